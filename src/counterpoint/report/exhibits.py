"""What a study shows on its page: sections of words, tables and figures, as values that know nothing of HTML."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from counterpoint.report.charts import Axis, Chart

__all__ = ["Bars", "Exhibit", "Heat", "Histogram", "Pictures", "Points", "Section", "Series", "Table"]

Value = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """Rows of values, on the page and beside it as CSV and Parquet.

    Args:
        name: of its files, without ending: letters, digits and hyphens.
        title: what it shows.
        columns: headings; units stand in brackets.
        rows: one value for each column; None is shown as a dash.
        note: how to read it.
        percent: columns whose values are shares in [0, 1], shown in per cent.
        folded: shown only when it is opened, for long tables.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""
    percent: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Histogram:
    """How often a value falls between two edges, for one or more groups.

    Args:
        title: what it shows.
        note: how to read it, one sentence.
        edges: of the bins, one more than counts.
        groups: label to counts.
        x: the axis of the values.
        marks: x positions of vertical reference lines, with what they are.
    """

    title: str
    note: str
    edges: tuple[float, ...]
    groups: Mapping[str, tuple[float, ...]]
    x: Axis
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Series:
    """Points of one group.

    Args:
        label: in the legend.
        x, y: one value for each point.
        names: what each point is; empty where they have no names.
        values: by which each point is shaded, where the figure says what they are (`Points.shade`); else empty.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Points:
    """A scatter of points: a relation of two measures, or a map, which has no axes.

    Args:
        title: what it shows.
        note: how to read it, one sentence.
        series: groups of points, each in a colour of its own.
        x, y: axes; None: a map, whose directions mean nothing.
        shade: what the values of the points are: the larger, the deeper the colour; None: all are alike. Not on a map.
    """

    title: str
    note: str
    series: tuple[Series, ...]
    x: Axis | None = None
    y: Axis | None = None
    shade: Axis | None = None


@dataclass(frozen=True)
class Heat:
    """A matrix whose cells are shaded by their value: a grid of settings, who is like whom, a confusion matrix.

    Args:
        title: what it shows.
        note: how to read it, one sentence.
        rows, columns: names.
        values: [row][column]; None is an empty cell.
        percent: values are shares.
        row_label, column_label: what the rows and the columns are.
        confusion: of classes, how often a row was taken for a column: shaded by the share of the row, the diagonal in
            another colour than the mistakes; no value is below 0.
    """

    title: str
    note: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    percent: bool = False
    row_label: str = ""
    column_label: str = ""
    confusion: bool = False


@dataclass(frozen=True)
class Bars:
    """One value for each name, with an interval: methods side by side.

    Args:
        title: what it shows.
        note: how to read it, one sentence.
        names: of the bars.
        groups: label to values, one for each name; None leaves a bar out. Where no name has two values, each is one
            bar in the colour of its group.
        low, high: label to ends of the intervals, where there are any.
        y: the axis of the values.
        marks: label to published values, one for each name, drawn as a tick.
    """

    title: str
    note: str
    names: tuple[str, ...]
    groups: Mapping[str, tuple[float | None, ...]]
    y: Axis
    low: Mapping[str, tuple[float | None, ...]] | None = None
    high: Mapping[str, tuple[float | None, ...]] | None = None
    marks: Mapping[str, tuple[float | None, ...]] | None = None


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images in rows.

    Args:
        title: what they show.
        note: how to read them, one sentence.
        images: row by row.
        rows, columns: captions; empty for none.
    """

    title: str
    note: str
    images: UInt8[Tensor, "row column channel height width"]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


Exhibit = Table | Histogram | Points | Heat | Bars | Pictures | Chart


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a study's page.

    Args:
        key: of its anchor, letters and hyphens.
        title: heading; what was found rather than what was measured, where one sentence can say it.
        words: paragraphs.
        exhibits: tables and figures, in order.
    """

    key: str
    title: str
    words: tuple[str, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
