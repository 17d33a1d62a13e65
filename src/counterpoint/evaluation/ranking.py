"""Finding more of the same: each test row asks for its own class among the others."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, blocks, labelled, sampled
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["RECALLS", "Retrieval", "retrieval"]

RECALLS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What each query found; scores are means over the queries.

    Args:
        recall: for each k of 1, 5 and 10, whether one of the k nearest has the query's class.
        average_precision: at R, the number of other rows of the class (MAP@R is its mean).
        reciprocal_rank: of the first row of the class.
        query: the positions of the queries among the labelled rows: those whose class has another row.
        gallery: how many rows were searched.
    """

    recall: dict[int, Float64[Tensor, " query"]]
    average_precision: Float64[Tensor, " query"]
    reciprocal_rank: Float64[Tensor, " query"]
    query: Int64[Tensor, " query"]
    gallery: int

    @property
    def recall_at(self) -> dict[int, float]:
        """Recall at 1, 5 and 10."""
        return {k: float(hit.mean()) for k, hit in self.recall.items()}

    @property
    def map_at_r(self) -> float:
        """Mean average precision at R."""
        return float(self.average_precision.mean())

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return float(self.reciprocal_rank.mean())


def retrieval(
    x: Features, labels: Labels | None = None, *, rows: int = 10_000, seed: int = 0, cells: int = CELLS
) -> Retrieval:
    """Rank the other rows by cosine similarity to each row.

    MAP@R: mean of (1/R) sum_{k <= R} precision(k) [the k-th is of the class], R the rows of the class less one.

    Source: Musgrave et al. 2020, "A metric learning reality check", section 3.3.

    Args:
        x: test rows; those of label -1 are left out.
        labels: in place of the labels of Embeddings.
        rows: at most so many are queries and gallery, drawn without replacement.
        seed: of that draw.
        cells: most similarities held at once.

    Raises:
        ShapeError: no labels, or no class has two rows.
    """
    every, known = labelled(x, labels, "test")
    kept = sampled(len(every), rows, Streams(seed).at("retrieval")).to(every.device)
    points, label = unit(every[kept]), known[kept]
    _, dense, sizes = label.unique(return_inverse=True, return_counts=True)
    relevant = sizes[dense] - 1
    query = torch.nonzero(relevant > 0)[:, 0]
    if len(query) == 0:
        raise ShapeError("retrieval needs a class with two rows, but every class has one; give more test images")
    n = len(points)
    deepest = min(n - 1, max(int(relevant.max()), max(RECALLS)))
    place = torch.arange(1, deepest + 1, device=points.device, dtype=torch.float64)
    hits: dict[int, list[Tensor]] = {k: [] for k in RECALLS}
    precision: list[Tensor] = []
    reciprocal: list[Tensor] = []
    for part in blocks(len(query), n, cells):
        mine = query[part]
        similarity = points[mine] @ points.T
        similarity[torch.arange(len(mine), device=points.device), mine] = -torch.inf
        right = label[similarity.topk(deepest, dim=1).indices] == label[mine][:, None]
        for k in RECALLS:
            hits[k].append(right[:, :k].any(1).double())
        first = torch.where(right.any(1), right.int().argmax(1) + 1.0, 0.0).double()
        far = ~right.any(1)
        if bool(far.any()):
            some, other = similarity[far], label[None] != label[mine[far]][:, None]
            best = some.masked_fill(other, -torch.inf).amax(1, keepdim=True)
            first[far] = (some > best).sum(1).double() + 1
        reciprocal.append(1 / first)
        size = relevant[mine][:, None].double()
        right &= place <= size
        precision.append(((right.cumsum(1) / place) * right).sum(1) / size[:, 0])
    return Retrieval(
        {k: torch.cat(found) for k, found in hits.items()}, torch.cat(precision), torch.cat(reciprocal), kept[query], n
    )
