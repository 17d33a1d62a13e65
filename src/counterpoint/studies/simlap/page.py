"""What pages about SimLAP's spaces share: numbers over seeds as tables and bars, likeness as a heat map."""

from collections.abc import Mapping, Sequence

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Bars, Heat, Table
from counterpoint.signature import recipes
from counterpoint.studies.statistics import Estimate, estimate

__all__ = ["Seeds", "bars_of", "likeness", "table_of", "title_of"]

Seeds = Mapping[int, float]  # a value for each seed


def title_of(method: str) -> str:
    """What a recipe is called on pages."""
    known = recipes()
    return known[method].title if method in known else method


def _end(found: Sequence[Estimate | None], end: str) -> tuple[float | None, ...]:
    return tuple(None if each is None else getattr(each, end) for each in found)


def bars_of(
    title: str, note: str, names: Sequence[str], groups: Mapping[str, Sequence[Seeds]], y: Axis
) -> tuple[Bars, ...]:
    """Means over seeds with Student's 95 % interval; nothing where nothing was measured.

    Args:
        title: what the figure shows.
        note: how to read it, one sentence.
        names: of the bars.
        groups: label to values over seeds, for each name.
        y: the axis of the values.
    """
    found = {label: [estimate(values) for values in every] for label, every in groups.items()}
    found = {label: every for label, every in found.items() if any(every)}
    if not found:
        return ()
    ends = [{label: _end(every, end) for label, every in found.items()} for end in ("mean", "low", "high")]
    return (Bars(title, f"{note} Means over seeds with their 95 % interval.", tuple(names), ends[0], y, *ends[1:]),)


def table_of(
    name: str,
    title: str,
    heads: Sequence[str],
    measures: Sequence[str],
    rows: Sequence[tuple[Sequence[str | float | None], Sequence[Seeds]]],
    note: str,
    *,
    percent: bool = False,
    folded: bool = False,
) -> Table:
    """Means over seeds and standard deviations.

    Args:
        name: of its files.
        title: what it shows.
        heads: of the columns that say what a row is.
        measures: of the columns of numbers.
        rows: what each is, and its values over seeds, one for each measure.
        note: how to read it.
        percent: the measures are shares.
        folded: shown only when it is opened.
    """
    made: list[tuple[str | float | None, ...]] = []
    for what, values in rows:
        found = [estimate(each) for each in values]
        numbers = [v for e in found for v in ((None, None) if e is None else (e.mean, e.spread))]
        made.append((*what, *numbers, max((e.seeds for e in found if e), default=0)))
    columns = tuple(head for measure in measures for head in (measure, f"± {measure}"))
    said = f"{note} Means over seeds; ± is the standard deviation over seeds."
    shares = columns if percent else ()
    return Table(name, title, (*heads, *columns, "seeds"), tuple(made), said, percent=shares, folded=folded)


def likeness(
    title: str, note: str, names: Sequence[str], values: Sequence[Sequence[float | None]], what: str = "classes"
) -> Heat:
    """How alike each two of some things are.

    Args:
        title: what the figure shows.
        note: how to read it, one sentence.
        names: of the things.
        values: of each two.
        what: they are.
    """
    # Names are long: a column is told by its number.
    numbered = tuple(f"{i} {name}" for i, name in enumerate(names, 1))
    columns = tuple(str(i) for i in range(1, len(names) + 1))
    return Heat(title, note, numbered, columns, tuple(tuple(row) for row in values), row_label=what, column_label=what)
