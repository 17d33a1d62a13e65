"""Twelve maps, and what they are worth in numbers."""

from collections.abc import Mapping
from typing import Any

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Points, Section, Series, Table
from counterpoint.studies.statistics import estimate
from counterpoint.studies.twelve_scenarios.answers import Answers
from counterpoint.studies.twelve_scenarios.page.names import ACCURACY, first, percent, title_of
from counterpoint.studies.twelve_scenarios.published import NAMED, SCENARIOS, SETS

__all__ = ["maps"]


def maps(answers: Answers) -> Section | None:
    """The maps of one protocol, the first seed of each scenario, and their quality over seeds; None without any."""
    name = "map-batch" if answers.protocol == "faithful" else "map"
    found = {cell: answer for cell in SCENARIOS if (answer := first(answers, cell, name)) is not None}
    if not found:
        return None
    rows: list[tuple[str | float | None, ...]] = []
    further = sorted({p for answer in found.values() for p in answer["purity_by_perplexity"]}, key=float)
    deep = {cell: own for cell in found if (own := estimate(answers.map(*cell, "purity", of="volume")))}
    quality: dict[str, list[tuple[float, float, str]]] = {}
    for cell in found:
        own = [estimate(answers.map(*cell, what)) for what in ("purity", "purity_features", "linearity")]
        accuracy = estimate(answers.of(*cell, "accuracy"))
        if own[0] is not None and accuracy is not None:
            quality.setdefault(SETS[cell[0]], []).append((own[0].mean, accuracy.mean, title_of(*cell)))
        numbers = [None if e is None else e.mean for e in (*own, accuracy)]
        others = [found[cell]["purity_by_perplexity"].get(p) for p in further]
        others += [deep[cell].mean if cell in deep else None] if deep else []
        rows.append((SETS[cell[0]], cell[1], NAMED[cell[2]], *numbers, *others))
    columns = ("purity of the map", "purity of the 32 numbers", "line-likeness", "accuracy")
    extra = tuple(f"purity at perplexity {p}" for p in further)
    extra += ("purity in three dimensions, perplexity 30",) if deep else ()
    protocol = answers.protocol
    return Section(
        key=f"maps-{protocol}",
        title=f"Twelve maps, {protocol} protocol",
        words=(
            "Each map shows 1,000 test images, placed by t-SNE so that near neighbours stay near. Distances between "
            "clusters and their sizes mean nothing. Purity says in a number what the eye sees: the share of a point's "
            "ten nearest neighbours that have its class; 10 % is chance.",
        ),
        exhibits=(
            Table(
                name=f"maps-{protocol}",
                title="Quality of the maps",
                columns=("data", "loss", "augmentation", *columns, *extra),
                rows=tuple(rows),
                note="Means over seeds; further perplexities: the first seed. Line-likeness: share of the variance of "
                "ten neighbours on the map that lies along one line; about 0.7 where points fill the plane.",
                percent=(*columns, *extra),
            ),
            Points(
                title="Does a map's quality rank the scenarios as accuracy does?",
                note="One point for each scenario, means over seeds.",
                series=tuple(
                    Series(data, tuple(p[0] for p in points), tuple(p[1] for p in points), tuple(p[2] for p in points))
                    for data, points in quality.items()
                ),
                x=Axis("purity of the map", low=0.0, high=1.0, percent=True),
                y=ACCURACY,
            ),
            *(_map(title_of(*cell), answer) for cell, answer in found.items()),
        ),
    )


def _map(title: str, answer: Mapping[str, Any]) -> Points:
    series: list[Series] = []
    for label, name in enumerate(answer["classes"]):
        points = [xy for xy, own in zip(answer["xy"], answer["labels"], strict=True) if own == label]
        if points:
            series.append(Series(name, tuple(p[0] for p in points), tuple(p[1] for p in points)))
    return Points(title, f"{percent(answer['purity'])} of a point's ten neighbours have its class.", tuple(series))
