"""Tables of a study: as text on its page, and as CSV and Parquet beside it."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from counterpoint.errors import RunError
from counterpoint.files import whole
from counterpoint.report.exhibits import Section, Table, Value
from counterpoint.report.numbers import figure

__all__ = ["FOLDER", "Column", "columns", "write_tables"]

FOLDER = "tables"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
AMOUNT = re.compile(r"[-−+±<>≤≥≈]?\s?\d")  # how a text begins that is read as a number


@dataclass(frozen=True)
class Column:
    """A column as it stands on the page.

    Args:
        heading: with the unit.
        numeric: set to the right, so that digits stand below one another.
        cells: text of each row.
    """

    heading: str
    numeric: bool
    cells: tuple[str, ...]


def columns(table: Table) -> list[Column]:
    """The columns of a table as text: numbers of a column with equal digits, shares in per cent, dashes for nothing."""
    found: list[Column] = []
    for j, heading in enumerate(table.columns):
        values = [row[j] if j < len(row) else None for row in table.rows]
        known = [v for v in values if not _nothing(v)]
        numeric = bool(known) and all(not isinstance(v, bool) and _amount(v) for v in known)
        shares = [abs(float(v)) for v in known if isinstance(v, int | float)] if heading in table.percent else []
        largest = max(shares, default=0.0) if heading in table.percent else None
        digits = _digits([abs(v) for v in known if isinstance(v, float) and v])
        found.append(Column(heading, numeric, tuple(_text(v, largest, digits) for v in values)))
    return found


def write_tables(folder: Path, sections: Sequence[Section]) -> list[Path]:
    """Write every table of the sections as `tables/NAME.csv` and `tables/NAME.parquet`, whole files.

    Values stand there as they are, shares in [0, 1]; a column of numbers is one of numbers in Parquet, any other text.

    Args:
        folder: of the page; `tables` is made in it.
        sections: of the study.

    Returns:
        The files, in the order of the tables.

    Raises:
        RunError: a name is no name of a file or stands there twice, or the files cannot be written.
    """
    tables = [exhibit for section in sections for exhibit in section.exhibits if isinstance(exhibit, Table)]
    _check([table.name for table in tables])
    inside, written = folder / FOLDER, list[Path]()
    try:
        for table in tables:
            inside.mkdir(parents=True, exist_ok=True)
            written += [_csv(table, inside / f"{table.name}.csv"), _parquet(table, inside / f"{table.name}.parquet")]
    except OSError as error:
        raise RunError(
            f"the tables cannot be written to {inside} ({error.strerror or error}); free some space, or give another "
            "folder"
        ) from error
    return written


def _check(names: Sequence[str]) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise RunError(f"a table of the study is named {name!r}; expected letters, digits and hyphens")
        if names.count(name) > 1:
            raise RunError(f"two tables of the study are named {name!r}; give each a name of its own")


def _csv(table: Table, path: Path) -> Path:
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(["" if _nothing(value) else value for value in row] for row in table.rows)
    return path


def _parquet(table: Table, path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [_array([row[j] if j < len(row) else None for row in table.rows]) for j in range(len(table.columns))]
    with whole(path) as temporary:
        pq.write_table(pa.table(arrays, names=list(table.columns)), temporary)
    return path


def _array(values: Sequence[Value]) -> object:
    import pyarrow as pa

    known = [value for value in values if value is not None]
    for kind, types in ((pa.bool_(), bool), (pa.int64(), int), (pa.float64(), int | float)):
        if known and all(isinstance(v, types) and (types is bool or not isinstance(v, bool)) for v in known):
            return pa.array([None if v is None else v for v in values], kind)
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _nothing(value: Value) -> bool:
    return value is None or value in ("", "-", "–", "—") or (isinstance(value, float) and not math.isfinite(value))


def _amount(value: Value) -> bool:
    return not isinstance(value, str) or AMOUNT.match(value) is not None


def _digits(sizes: Sequence[float]) -> int | None:
    """Digits after the point that all values of a column share; None where they differ too much in size."""
    if not sizes or min(sizes) < 5e-4:
        return None
    middle = median(sizes)
    return 0 if middle >= 1000 else 1 if middle >= 100 else 2 if middle >= 10 else 3


def _share(value: float, largest: float) -> str:
    """In per cent; in hundredths of them where the column holds errors, or the value is small beside the largest."""
    fine = largest < 0.1 or 0 < 10 * abs(value) < largest
    return f"{value * 100:.{2 if fine else 1}f} %".replace("-", "−")


def _text(value: Value, largest: float | None, digits: int | None) -> str:
    if _nothing(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if largest is not None:
        return _share(float(value or 0), largest)
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    assert isinstance(value, float)
    return figure(value, False) if digits is None else f"{value:,.{digits}f}".replace("-", "−")
