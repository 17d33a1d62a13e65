"""The conjecture on a study's page."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Heat, Points, Section, Series, Table
from counterpoint.studies.attributes import ATTRIBUTES, HUE
from counterpoint.studies.conjecture.claims import HUES
from counterpoint.studies.conjecture.grid import Grid, grid_of, mean_over, places
from counterpoint.studies.conjecture.nets import favoured, readings
from counterpoint.studies.conjecture.relation import crossed, within_attributes
from counterpoint.studies.statistics import Correlation
from counterpoint.studies.study import Results

__all__ = ["attribute_sections"]

CELLS = (
    *("images", "policy", "attribute", "kind", "invariance (ICC)", "ICC within class", "view with original (r)"),
    *("R² pixels", "R² hidden 1", "R² h", "R² z", "R² untrained h", "R² h within class", "AUROC h"),
)


def attribute_sections(results: Results) -> tuple[Section, ...]:
    """The grid of policies, then the paper's two nets; each only where cells of it have finished."""
    return tuple(section for section in (_policies(results), _nets(results)) if section is not None)


def _policies(results: Results) -> Section | None:
    """Words, scatter, matrices, layers and a table of all cells."""
    grid = grid_of(results)
    shown = np.asarray(np.isfinite(grid.readability).any(axis=1))
    if not shown.any():
        return None
    within = grid_of(results, invariance="within class", readability="within class")
    overall = crossed(grid)
    seen, seen_within = _only(grid, shown), _only(within, shown)
    layers = _layers(results)
    exhibits: list[Exhibit] = [
        _points(
            "Does invariance predict readability?",
            "A point is an attribute under one policy; towards the upper right the views spare it and h tells it.",
            seen,
        ),
        _points(
            "The same within classes", "Class means are taken off views, features and attributes first.", seen_within
        ),
        _heat(
            "Invariance under the views", "ICC: 1 is untouched, 0 is as unlike as two images.", seen, seen.invariance
        ),
        _heat("Readability from h", "R² on test images.", seen, seen.readability),
        *([] if layers is None else [layers]),
        _table(results),
        Table(
            name="attribute-list",
            title="What the attributes are",
            columns=("attribute", "kind", "meaning"),
            rows=tuple((a.name, a.kind, a.said) for a in (*ATTRIBUTES, HUE)),
            folded=True,
        ),
    ]
    title = "Attributes: invariance and readability"
    if overall is not None and overall.low > 0:
        title = f"What the views spare is read better: rank correlation {overall.rho:.2f}"
    return Section("attributes", title, _words(results, grid, within, int(shown.sum())), tuple(exhibits))


def _nets(results: Results) -> Section | None:
    """What both nets of the paper tell about each attribute."""
    found = readings(results)
    if not found:
        return None
    gaps = tuple(one.contrastive - one.supervised for one in found)
    points = Points(
        "What contrast keeps, and what it drops",
        "A point is an attribute; above 0 the contrastive net tells more of it than the supervised one.",
        (Series("attribute", tuple(one.invariance for one in found), gaps, tuple(one.name for one in found)),),
        Axis("invariance under the views (ICC)"),
        Axis("R² from h, contrastive less supervised"),
    )
    table = Table(
        name="attributes-of-both-nets",
        title="Attributes in both nets",
        columns=(
            *("attribute", "invariance (ICC)", "R² contrastive", "R² supervised"),
            *("R² within class, contrastive", "R² within class, supervised"),
        ),
        rows=tuple(
            (
                one.name,
                *map(_or_none, (one.invariance, one.contrastive, one.supervised)),
                *map(_or_none, (one.contrastive_within, one.supervised_within)),
            )
            for one in found
        ),
        note="Means over seeds; from h.",
    )
    better = sum(gap > 0 for gap in gaps)
    words = (
        f"Both nets saw the same elastic distortion; only one was told to ignore it. Of {len(found)} attributes, "
        f"{better} are read better from the contrastive net. Over the attributes, the rank correlation of invariance "
        f"with what the contrastive net tells more {_told(favoured(results), 'attributes')}.",
    )
    return Section(
        "attributes-of-both-nets", "Attributes in the contrastive and the supervised net", words, (points, table)
    )


def _words(results: Results, grid: Grid, within: Grid, count: int) -> tuple[str, ...]:
    said = [
        f"A representation is said to keep what its views keep. Here {count} attributes are measured from the pixels, "
        f"and {len(grid.columns)} nets are trained alike, each under a policy of its own. Invariance is the intraclass "
        "correlation of an attribute over views of one image; readability is the share of its variance on test images "
        "that ridge regression reads from the frozen representation.",
        f"Over all cells, the rank correlation of the two {_told(crossed(grid))}. Within classes, where an attribute "
        f"cannot be read just because the class can, it {_told(crossed(within))}. For what training adds to random "
        f"weights, it {_told(crossed(grid_of(results, less='untrained h')))}. When each attribute ranks the policies "
        "of the grey images for itself, the mean over attributes "
        f"{_told(within_attributes(grid.grey()), 'attributes')}. The intervals draw attributes and policies anew, each "
        "for itself.",
        "Some attributes hardly vary before views are drawn: the digits of MNIST are centred, so that their place is "
        "what rounding to whole pixels left over. The ranges of rotation, resizing and translation are ours, since the "
        "paper gives none, and every cell is trained for equally many epochs, fewer than in the paper.",
    ]
    hues = [mean_over(results.values("readability", "attributes", HUE.name, "h", "r2", **place)) for place in HUES]
    if all(math.isfinite(value) for value in hues):
        said.append(
            f"Colour: the hue of tinted glyphs, which says nothing about the class, is read with R² {hues[0]:.2f} "
            f"after elastic distortion alone, and with R² {hues[1]:.2f} where the views also draw a random hue."
        )
    return tuple(said)


def _told(found: Correlation | None, pairs: str = "cells") -> str:
    if found is None:
        return "cannot be said from so few cells"
    return f"is {found.rho:.2f} (95 % interval {found.low:.2f} to {found.high:.2f}, {found.count} {pairs})"


def _only(grid: Grid, rows: NDArray[np.bool_]) -> Grid:
    names = tuple(name for name, kept in zip(grid.attributes, rows, strict=True) if kept)
    return Grid(names, grid.columns, grid.invariance[rows], grid.readability[rows])


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _heat(title: str, note: str, grid: Grid, values: NDArray[np.float64]) -> Heat:
    return Heat(
        title=title,
        note=note,
        rows=grid.attributes,
        columns=grid.columns,
        values=tuple(tuple(map(_or_none, row)) for row in values.tolist()),
        row_label="attribute",
        column_label="policy",
    )


def _points(title: str, note: str, grid: Grid) -> Points:
    series: list[Series] = []
    for at, column in enumerate(grid.columns):
        x, y, both = grid.invariance[:, at], grid.readability[:, at], grid.both[:, at]
        names = tuple(name for name, kept in zip(grid.attributes, both, strict=True) if kept)
        series.append(Series(column, tuple(x[both].tolist()), tuple(y[both].tolist()), names))
    return Points(title, note, tuple(series), Axis("invariance under the views (ICC)"), Axis("readability from h (R²)"))


def _table(results: Results) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for place in places(results).values():
        for attribute in (*ATTRIBUTES, HUE):

            def value(
                evaluator: str, *path: str, at: Mapping[str, str] = place, name: str = attribute.name
            ) -> float | None:
                return _or_none(mean_over(results.values(evaluator, "attributes", name, *path, **at)))

            kept = [value("invariance", what) for what in ("icc", "within class", "original")]
            told = [value("readability", layer, "r2") for layer in ("pixels", "hidden 1", "h", "z", "untrained h")]
            more = [value("readability", "h", what) for what in ("within class", "auroc")]
            if any(found is not None for found in (*kept, *told)):
                rows.append((place["images"], place["policy"], attribute.name, attribute.kind, *kept, *told, *more))
    return Table(
        name="attributes",
        title="Every attribute under every policy",
        columns=CELLS,
        rows=tuple(rows),
        note="Means over seeds. ICC: share of variance that lies between images rather than between views of one.",
        folded=True,
    )


def _layers(results: Results) -> Heat | None:
    """Where attributes live: the mean over the policies of the grey images, layer by layer."""
    grey = [place for place in places(results).values() if place["images"] == "grey"]
    answers = [result.found.get("readability", {}) for place in grey for result in results.at(**place)]
    layers = tuple(dict.fromkeys(name for answer in answers for name in answer.get("layers", ())))
    if not layers:
        return None

    def mean(name: str, layer: str) -> float | None:
        found = [results.values("readability", "attributes", name, layer, "r2", **place) for place in grey]
        return _or_none(mean_over(dict(enumerate(mean_over(values) for values in found if values))))

    return Heat(
        title="Where attributes can be read",
        note="R² from each layer, mean over the policies of the grey images.",
        rows=tuple(attribute.name for attribute in ATTRIBUTES),
        columns=layers,
        values=tuple(tuple(mean(attribute.name, layer) for layer in layers) for attribute in ATTRIBUTES),
        row_label="attribute",
        column_label="layer",
    )
