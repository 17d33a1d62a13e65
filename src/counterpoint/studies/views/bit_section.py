"""The page's section on made-up bits."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Points, Section, Series, Table
from counterpoint.report.numbers import in_points
from counterpoint.studies.negatives.reading import mean_of
from counterpoint.studies.statistics import Estimate, estimate
from counterpoint.studies.study import Results
from counterpoint.studies.views.bits import Bits, shared_nats
from counterpoint.studies.views.grid import Chances
from counterpoint.studies.views.reading import of_bits

__all__ = ["bit_section"]

Row = tuple[str | float | int | bool | None, ...]


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


def bit_section(results: Results, source: Bits, chances: Sequence[Chances]) -> Section | None:
    """Which bits survive, beside what views are known to share; None where nothing is measured.

    Args:
        results: of the study.
        source: of the bits.
        chances: at which they are drawn anew.
    """
    keys = ("relevant", "irrelevant", "class")
    rows: list[Row] = []
    points: list[tuple[str, float, float]] = []
    lines: dict[str, list[tuple[float, float]]] = {key: [] for key in keys}
    for chance in chances:
        known = [
            shared_nats(source.relevant, chance.relevant),
            shared_nats(source.irrelevant, chance.irrelevant),
        ]
        told = _mean(estimate(of_bits(results, chance, "shared", "nats")))
        read = [estimate(of_bits(results, chance, "survival", key)) for key in keys]
        if told is None and not any(read):
            continue
        spread = None if read[-1] is None else read[-1].spread
        rows.append((chance.relevant, chance.irrelevant, *known, told, *map(_mean, read), spread))
        if told is not None:
            points.append((chance.name, sum(known), told))
        if chance.relevant == 0 or chance.irrelevant == 1:
            for key, one in zip(keys, read, strict=True):
                if one is not None:
                    lines[key].append((sum(known), one.mean))
    if not rows:
        return None
    bare = [mean_of(_untrained(results, key)) for key in keys]
    if any(v is not None for v in bare):
        rows.append((None, None, None, None, None, *bare, None))
    said = {"relevant": "bits of the class", "irrelevant": "other bits", "class": "the class"}
    shares = tuple(
        Line(said[key], tuple(x for x, _ in sorted(lines[key])), tuple(y for _, y in sorted(lines[key])), f"s-{i}")
        for i, key in enumerate(keys)
        if lines[key]
    )
    exhibits: list[Exhibit] = [
        Chart(
            "What survives",
            "From none shared, over the class's bits alone, to all; means over seeds.",
            shares,
            Axis("what two views share, known [nats]"),
            Axis("read from h", percent=True),
            marks=((shared_nats(source.relevant, 0), "the bits of the class alone"),),
        )
    ]
    if points:
        names, x, y = zip(*points, strict=True)
        exhibits.append(
            Points(
                "Told and known",
                "What InfoNCE says two views share against what they do share, were there no noise; named by the "
                "chances that a bit of the class, and another bit, is drawn anew.",
                (Series("views", x, y, names),),
                Axis("known [nats]"),
                Axis("told by InfoNCE [nats]"),
            )
        )
    heads = ("bits of the class read", "other bits read", "class read", "± class")
    table = Table(
        "bits",
        "Bits drawn anew, and what is left of them",
        ("chance, class", "chance, other", "known, class [nats]", "known, other [nats]", "told [nats]", *heads),
        tuple(rows),
        "Chances are those that a bit is drawn anew in each view. Read: share of noisy test images on which a linear "
        "probe of h is right; half is chance for a bit. The last row is the untrained encoder.",
        percent=heads,
    )
    words = (
        f"{source.relevant} bits are the class, {source.irrelevant} say nothing of it. All that two views share is in "
        "the bits, each under noise of its own, so that it is known what they share.",
    )
    title = "Where it is known what is shared, what survives"
    sides = [mean_of(of_bits(results, Chances(0, second), "survival", "class")) for second in (0, 1)]
    if sides[0] is not None and sides[1] is not None:
        title = f"Sharing only the bits of the class gains {in_points(sides[1] - sides[0])} over sharing all"
    return Section("bits", title, words, (*exhibits, table))


def _untrained(results: Results, key: str) -> dict[int, float]:
    found = [r.number("survival", "untrained", key) for r in results]
    return {i: v for i, v in enumerate(found) if v is not None}
