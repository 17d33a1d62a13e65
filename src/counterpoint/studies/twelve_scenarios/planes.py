"""The practicum's t-SNE maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.evaluation.map_quality import linearity, neighbour_purity
from counterpoint.random import Streams
from counterpoint.studies.study import Cell, Trained
from counterpoint.studies.twelve_scenarios.features import Statistics, features, labels_of
from counterpoint.types import Dataset

__all__ = ["Map", "Volume"]


def _wanted(cell: Cell, statistics: Statistics) -> bool:
    """The published cells, each in the mode of its protocol."""
    own = "batch" if cell.place.get("protocol") == "faithful" else "running"
    return cell.place.get("part") == "table" and statistics == own


def _sample(
    trained: Trained, statistics: Statistics, rows: int, seed: int
) -> tuple[Float[Tensor, "row width"], Int64[Tensor, " row"]]:
    """The first shuffled test features, and their classes."""
    dataset: Dataset = trained.dataset
    y = labels_of(dataset)
    h = features(trained.model, dataset.test.images, statistics)
    kept = Streams(seed).at("map").permutation(len(h))[:rows]
    return h[kept], y[kept]


def _placed(
    x: Float[Tensor, "row width"], perplexity: float, rate: float, iterations: int, seed: int, dims: int = 2
) -> Float[Tensor, "row {dims}"]:
    from openTSNE import TSNE

    early = min(250, iterations // 4)
    fitted = TSNE(
        n_components=dims,
        perplexity=min(perplexity, (len(x) - 1) / 3),  # pyright: ignore[reportArgumentType]
        learning_rate=rate,  # pyright: ignore[reportArgumentType]
        early_exaggeration_iter=early,
        n_iter=iterations - early,
        initialization="pca",
        negative_gradient_method="bh",
        random_state=Streams(seed).number("map") % 2**31,
        n_jobs=1,
    ).fit(x.double().numpy())
    return torch.as_tensor(fitted).float()


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
        return _wanted(cell, self.statistics)

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Points and classes, the purity of the map and of the features that it is made of, and how line-like it is."""
        x, labels = _sample(trained, self.statistics, self.rows, self.seed)

        def placed(perplexity: float, rate: float) -> Tensor:
            return _placed(x, perplexity, rate, self.iterations, self.seed)

        def purity(points: Tensor) -> float:
            return neighbour_purity(points, labels, neighbours=self.neighbours)

        shown = placed(self.perplexity, 200.0)
        return {
            "xy": [[round(float(v), 3) for v in row] for row in shown],
            "labels": labels.tolist(),
            "classes": list(trained.dataset.classes),
            "purity": purity(shown),
            "linearity": linearity(shown, neighbours=self.neighbours),
            "purity_features": purity(x),
            "purity_by_perplexity": {f"{other:g}": purity(placed(other, 100.0)) for other in self.further},
        }


@dataclass(frozen=True)
class Volume:
    """The practicum's t-SNE in three dimensions, of which only the purity is kept: paper has two.

    Start and iterations, which the source leaves open, are those of `Map`.

    Args:
        statistics: of BatchNorm.
        rows: placed, the same as on the map.
        perplexity: of the source.
        rate: learning rate of the source.
        iterations: in all.
        neighbours: of the purity.
        seed: of the shuffle and of the start.
    """

    statistics: Statistics = "running"
    rows: int = 1000
    perplexity: float = 30.0
    rate: float = 200.0
    iterations: int = 5000
    neighbours: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        """`volume`, or `volume-batch` with batch statistics."""
        return "volume" if self.statistics == "running" else "volume-batch"

    def wanted(self, cell: Cell) -> bool:
        """The published cells, each in the mode of its protocol."""
        return _wanted(cell, self.statistics)

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The purity of the placed points."""
        x, labels = _sample(trained, self.statistics, self.rows, self.seed)
        points = _placed(x, self.perplexity, self.rate, self.iterations, self.seed, dims=3)
        return {"purity": neighbour_purity(points, labels, neighbours=self.neighbours)}
