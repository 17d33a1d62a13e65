"""Attributes by policies: what the cells that finished answered, as two matrices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterpoint.studies.attributes import ATTRIBUTES, HUE
from counterpoint.studies.conjecture.readability import PART
from counterpoint.studies.study import Results

__all__ = ["Grid", "grid_of", "mean_over", "places"]


@dataclass(frozen=True, eq=False)
class Grid:
    """A measure of each attribute in each cell, mean over seeds; nan where there is none.

    Args:
        attributes: of the rows.
        columns: of the cells: a policy, on grey or tinted images.
        invariance: under the cell's views.
        readability: from the cell's net.
    """

    attributes: tuple[str, ...]
    columns: tuple[str, ...]
    invariance: NDArray[np.float64]
    readability: NDArray[np.float64]

    @property
    def both(self) -> NDArray[np.bool_]:
        """Where there is one of each."""
        return np.isfinite(self.invariance) & np.isfinite(self.readability)

    def grey(self) -> "Grid":
        """Without the tinted cells."""
        kept = [i for i, column in enumerate(self.columns) if not column.startswith("tinted ")]
        columns = tuple(self.columns[i] for i in kept)
        return Grid(self.attributes, columns, self.invariance[:, kept], self.readability[:, kept])


def places(results: Results) -> dict[str, dict[str, str]]:
    """Column to place of the grid's finished cells, in their order."""
    found: dict[str, dict[str, str]] = {}
    for result in results:
        place = result.cell.place
        if place.get("part") == PART:
            tint = "tinted " if place["images"] == "tinted" else ""
            found[tint + place["policy"]] = {key: place[key] for key in ("part", "images", "policy")}
    return found


def mean_over(values: Mapping[int, float]) -> float:
    """Over seeds; nan without any."""
    return math.fsum(values.values()) / len(values) if values else math.nan


def grid_of(
    results: Results, *, invariance: str = "icc", readability: str = "r2", layer: str = "h", less: str | None = None
) -> Grid:
    """The cells that finished.

    Args:
        results: of the study.
        invariance: `icc`, `within class` or `original`.
        readability: `r2` or `within class`.
        layer: that is read.
        less: a layer whose readability is taken off: `untrained h` leaves what training added.
    """
    found = places(results)
    names = tuple(attribute.name for attribute in (*ATTRIBUTES, HUE))

    def column(evaluator: str, place: Mapping[str, str], *path: str) -> list[float]:
        return [mean_over(results.values(evaluator, "attributes", name, *path, **place)) for name in names]

    def read(place: Mapping[str, str], at: str) -> NDArray[np.float64]:
        return np.array(column("readability", place, at, readability))

    kept = np.array([column("invariance", place, invariance) for place in found.values()]).reshape(-1, len(names)).T
    told = [read(place, layer) - (read(place, less) if less else 0.0) for place in found.values()]
    return Grid(names, tuple(found), kept, np.array(told).reshape(-1, len(names)).T)
