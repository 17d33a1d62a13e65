"""The practicum's t-SNE maps, and what they are worth in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.random import Streams
from counterpoint.studies.study import Cell, Trained
from counterpoint.studies.twelve_scenarios.features import Statistics, features, labels_of
from counterpoint.types import Dataset

__all__ = ["Map", "linearity", "plane_purity"]


def plane_purity(xy: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], neighbours: int = 10) -> float:
    """Mean share of a point's nearest neighbours that have its class: how well a map keeps classes apart.

    Args:
        xy: points, of any number of dimensions.
        labels: class of each.
        neighbours: fewer where there are fewer points.

    Example:
        >>> plane_purity(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1]), 1)
        1.0
    """
    near = torch.cdist(xy, xy).fill_diagonal_(torch.inf).topk(min(neighbours, len(xy) - 1), largest=False).indices
    return float((labels[near] == labels[:, None]).double().mean())


def linearity(xy: Float[Tensor, "row 2"], neighbours: int = 10) -> float:
    """Mean share of the variance of a point's neighbourhood that lies along one line: 1 where a map is made of lines.

    Points spread evenly over a plane have about 0.7 with ten neighbours.

    Args:
        xy: points of a plane.
        neighbours: fewer where there are fewer points.

    Example:
        >>> round(linearity(torch.arange(20.0)[:, None] * torch.tensor([1.0, 2.0])), 4)
        1.0
    """
    near = torch.cdist(xy, xy).topk(min(neighbours + 1, len(xy)), largest=False).indices
    around = xy[near].double()
    spread = torch.linalg.eigvalsh((around - around.mean(1, keepdim=True)).mT @ (around - around.mean(1, keepdim=True)))
    return float((spread[:, 1] / spread.sum(1).clamp(min=1e-12)).mean())


@dataclass(frozen=True)
class Map:
    """The practicum's t-SNE of the first 1,000 shuffled test features: 2-D, perplexity 20, 5,000 iterations.

    The features are those of the cell's own protocol: with batch statistics, or running ones. Left open by the source
    and chosen here: learning rate 200, 250 of the iterations exaggerated, start from the first two principal
    components. 32 numbers need no reduction first.

    Args:
        statistics: of BatchNorm.
        rows: on the map.
        perplexity: of the map that is shown.
        iterations: in all.
        further: other perplexities, at the source's learning rate of 100, of which only the purity is kept.
        neighbours: of the purity.
        seed: of the shuffle and of the map.
    """

    statistics: Statistics = "running"
    rows: int = 1000
    perplexity: float = 20.0
    iterations: int = 5000
    further: tuple[float, ...] = ()
    neighbours: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        """`map`, or `map-batch` with batch statistics."""
        return "map" if self.statistics == "running" else "map-batch"

    def wanted(self, cell: Cell) -> bool:
        """The published cells, each in the mode of its protocol."""
        own = "batch" if cell.place.get("protocol") == "faithful" else "running"
        return cell.place.get("part") == "table" and self.statistics == own

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Points and classes, the purity of the map and of the features that it is made of, and how line-like it is."""
        dataset: Dataset = trained.dataset
        y = labels_of(dataset)
        h = features(trained.model, dataset.test.images, self.statistics)
        kept = Streams(self.seed).at("map").permutation(len(h))[: self.rows]
        x, labels = h[kept], y[kept]
        shown = self._placed(x, self.perplexity)
        return {
            "xy": [[round(float(v), 3) for v in row] for row in shown],
            "labels": labels.tolist(),
            "classes": list(dataset.classes),
            "purity": plane_purity(shown, labels, self.neighbours),
            "linearity": linearity(shown, self.neighbours),
            "purity_features": plane_purity(x, labels, self.neighbours),
            "purity_by_perplexity": {
                f"{perplexity:g}": plane_purity(self._placed(x, perplexity, 100.0), labels, self.neighbours)
                for perplexity in self.further
            },
        }

    def _placed(self, x: Tensor, perplexity: float, rate: float = 200.0) -> Float[Tensor, "row 2"]:
        from openTSNE import TSNE

        early = min(250, self.iterations // 4)
        fitted = TSNE(
            perplexity=min(perplexity, (len(x) - 1) / 3),  # pyright: ignore[reportArgumentType]
            learning_rate=rate,  # pyright: ignore[reportArgumentType]
            early_exaggeration_iter=early,
            n_iter=self.iterations - early,
            initialization="pca",
            negative_gradient_method="bh",
            random_state=Streams(self.seed).number("map") % 2**31,
            n_jobs=1,
        ).fit(x.double().numpy())
        return torch.as_tensor(fitted).float()
