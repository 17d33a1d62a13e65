"""What a map is worth in numbers: whether near points are of one class, and whether it is made of lines."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, blocks, features, labelled

__all__ = ["linearity", "neighbour_purity"]


def _nearest(points: Float[Tensor, "row dim"], count: int) -> Int64[Tensor, "row near"]:
    """The nearest points of each, itself left out, at most as many as there are others."""
    if len(points) < 2:
        raise ShapeError(f"a point's neighbours were asked for, but {len(points)} arrived; expected at least 2 points")
    if count < 1:
        raise ShapeError(f"{count} neighbours were asked for; expected at least 1")
    found: list[Tensor] = []
    for part in blocks(len(points), len(points)):
        apart = torch.cdist(points[part], points)
        apart[range(len(apart)), range(part.start, part.stop)] = torch.inf
        found.append(apart.topk(min(count, len(points) - 1), largest=False).indices)
    return torch.cat(found)


def neighbour_purity(points: Features, labels: Labels | None = None, *, neighbours: int = 10) -> float:
    """Mean share of a point's nearest neighbours that have its class: how well a map keeps classes apart.

    Args:
        points: of any number of dimensions, compared by Euclidean distance; those of label -1 are left out.
        labels: in place of the labels of Embeddings.
        neighbours: fewer where there are fewer points.

    Raises:
        ShapeError: no labels, fewer than 2 points, or no neighbour asked for.

    Example:
        >>> neighbour_purity(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1]), neighbours=1)
        1.0
    """
    rows, known = labelled(points, labels, "map's")
    return float((known[_nearest(rows, neighbours)] == known[:, None]).double().mean())


def linearity(points: Features, *, neighbours: int = 10) -> float:
    """Mean share of the variance of a point's neighbourhood that lies along one line: 1 where a map is made of lines.

    Points spread evenly over a plane have about 0.7 with ten neighbours.

    Args:
        points: of a map.
        neighbours: fewer where there are fewer points.

    Raises:
        ShapeError: fewer than 2 points, or no neighbour asked for.

    Example:
        >>> round(linearity(torch.arange(20.0)[:, None] * torch.tensor([1.0, 2.0])), 4)
        1.0
    """
    rows = features(points)
    own = torch.arange(len(rows), device=rows.device)[:, None]
    around = rows[torch.cat((own, _nearest(rows, neighbours)), 1)].double()
    centred = around - around.mean(1, keepdim=True)
    spread = torch.linalg.eigvalsh(centred.mT @ centred)
    return float((spread[:, -1] / spread.sum(1).clamp(min=1e-12)).mean())
