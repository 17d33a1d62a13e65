"""What an evaluation found: a value that prints, saves and loads."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from counterpoint.errors import CounterpointError, RunError, nearest
from counterpoint.evaluation.resampling import Measure

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Evaluation"]

VERSION = 1


@dataclass(frozen=True)
class Evaluation:
    """Every score that the data allowed, of the learned encoder and of what it has to beat.

    Args:
        source, split: what was evaluated.
        train_rows, test_rows: how many.
        classes, super_classes: names.
        settings: the protocol, in words.
        measures: by encoder: `learned`, `pixels`, `untrained`.
        details: by encoder: what figures are drawn from, in plain lists.
        digest: of the test images, to know them again; empty where nobody took it.
    """

    source: str
    split: str
    train_rows: int
    test_rows: int
    classes: tuple[str, ...]
    super_classes: tuple[str, ...]
    settings: Mapping[str, str]
    measures: Mapping[str, tuple[Measure, ...]]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    digest: str = ""

    def score(self, name: str, encoder: str = "learned") -> Measure:
        """One measure by its name.

        Raises:
            CounterpointError: there is none of this name, or the data did not allow it.
        """
        found = self._score(name, encoder)
        if found is None:
            known = [m.name for m in self.measures.get(encoder, ())]
            raise CounterpointError(f"the {encoder} encoder has no score {name!r}; {nearest(name, known)}")
        return found

    def _score(self, name: str, encoder: str) -> Measure | None:
        return next((m for m in self.measures.get(encoder, ()) if m.name == name), None)

    def table(self) -> "Table":
        """Rows are measures, columns encoders; each cell is a value and its 95 % interval.

        A table of rich, which a console draws; `print` shows it as text too.
        """
        from rich.table import Table as Plain

        class Table(Plain):
            def __str__(self) -> str:
                from io import StringIO

                from rich.console import Console

                written = StringIO()
                Console(file=written, width=120).print(self)
                return written.getvalue().rstrip()

            __repr__ = __str__

        encoders = list(self.measures)
        every: dict[str, Measure] = {}
        for encoder in encoders:
            for measure in self.measures[encoder]:
                every.setdefault(measure.name, measure)
        title = " ".join(part for part in (self.source, self.split) if part)
        rows = f"{self.train_rows:,} train and {self.test_rows:,} test rows; 95 % intervals in brackets"
        table = Table(title=f"{title}: {rows}" if title else rows, box=None, pad_edge=False, title_justify="left")
        table.add_column("score", no_wrap=True)
        for encoder in encoders:
            table.add_column(encoder, justify="right", no_wrap=True)
        arrow = {"higher": " ↑", "lower": " ↓", "": ""}
        group = None
        for name, measure in every.items():
            if measure.group != group:
                group = measure.group
                table.add_row(f"[bold]{group}[/bold]", *[""] * len(encoders))
            cells = [self._score(name, encoder) for encoder in encoders]
            table.add_row(f"  {measure.label}{arrow[measure.better]}", *[_cell(cell) for cell in cells])
        return table

    def to_json(self) -> str:
        """The evaluation as text; `from_json` reads it back."""
        out: dict[str, Any] = {"version": VERSION}
        for part in fields(self):
            out[part.name] = getattr(self, part.name)
        out["measures"] = {encoder: [asdict(m) for m in found] for encoder, found in self.measures.items()}
        return json.dumps(out, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evaluation":
        """Read what `to_json` wrote.

        Raises:
            RunError: it is damaged, or of another version.
        """
        try:
            raw = json.loads(text)
            version = raw.pop("version")
            if version != VERSION:
                raise RunError(f"these scores are of version {version}, expected {VERSION}; evaluate the run again")
            raw["measures"] = {
                encoder: tuple(Measure(**measure) for measure in found) for encoder, found in raw["measures"].items()
            }
            raw["classes"], raw["super_classes"] = tuple(raw["classes"]), tuple(raw["super_classes"])
            return cls(**raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"these scores cannot be read ({error}); evaluate the run again") from None


def _number(value: float) -> str:
    if not isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def _cell(measure: Measure | None) -> str:
    if measure is None:
        return "–"
    return f"{_number(measure.value)} [dim]({_number(measure.low)}, {_number(measure.high)})[/dim]"
