"""What a run folder holds, read leniently: whatever is not there yet is simply absent from the page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RunError

__all__ = ["ENCODERS", "READINGS", "Finding", "Log", "Measure", "Run", "TestRows", "read"]

ENCODERS = ("learned", "pixels", "untrained")
READINGS = 4  # of the doctor, from which on finding nothing means something


@dataclass(frozen=True)
class Measure:
    """One score of one encoder.

    Args:
        name, label: for programs and for people.
        value: nan where it could not be computed.
        low, high: of the 95 % interval, None where there is none.
        better: `higher`, `lower`, or empty where neither is.
        group: heading under which it stands.
        note: what a reader must know to read it.
    """

    name: str
    label: str
    value: float
    low: float | None
    high: float | None
    better: str
    group: str
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What the doctor found wrong while the run was trained.

    Args:
        name, title: for programs and for people.
        evidence: what was read, one sentence.
        advice: what usually helps.
        settings: to try, by dial or path.
        flags: the same, as typed; empty where there are none.
        bad: it spoils the run; otherwise worth a note.
        step: since which it was there.
        until: the step at which it had gone again; None if it held to the end.
    """

    name: str
    title: str
    evidence: str
    advice: str
    settings: Mapping[str, Any]
    flags: str
    bad: bool
    step: int
    until: int | None = None


@dataclass(frozen=True)
class Log:
    """The events of log.jsonl: steps undone by a resume are left out.

    Args:
        steps, validations: in order.
        findings: of the doctor, in the order in which they came up.
        resumed: steps at which the run was taken up again.
        end: the last `end` event, None while the run is under way or was killed.
        damaged: lines before the last that could not be read.
    """

    steps: tuple[Mapping[str, Any], ...] = ()
    validations: tuple[Mapping[str, Any], ...] = ()
    findings: tuple[Finding, ...] = ()
    resumed: tuple[int, ...] = ()
    end: Mapping[str, Any] | None = None
    damaged: int = 0

    @property
    def held(self) -> tuple[Finding, ...]:
        """The findings that had not gone by the end, the bad ones first."""
        return tuple(sorted((f for f in self.findings if f.until is None), key=lambda f: not f.bad))

    @property
    def watched(self) -> int:
        """How many steps the doctor has read."""
        return sum(bool(s.get("health")) for s in self.steps)

    @property
    def judged(self) -> bool:
        """Whether these are enough to call a run healthy."""
        return self.watched >= READINGS


@dataclass(frozen=True, eq=False)
class TestRows:
    """The embedded test images.

    Args:
        sample: position in the test split.
        h: representation.
        label: class, -1 where unknown.
    """

    __test__ = False  # no test case, whatever its name says to pytest

    sample: Int64[Tensor, " row"]
    h: Float[Tensor, "row width"]
    label: Int64[Tensor, " row"]


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder as values.

    Args:
        folder: where it is.
        recipe, scores: the JSON files; scores is None before the first evaluation.
        measures: of each encoder, in the order of the file.
        test: embedded test rows, None where there are none.
        skipped: (name, reason) of files that could not be used.
        weights: step of the newest checkpoint, None where there is none.
    """

    folder: Path
    recipe: Mapping[str, Any]
    log: Log
    scores: Mapping[str, Any] | None
    measures: Mapping[str, tuple[Measure, ...]]
    test: TestRows | None
    skipped: tuple[tuple[str, str], ...]
    weights: int | None = None

    def section(self, name: str) -> Mapping[str, Any]:
        """A dictionary of recipe.json, empty where it is absent."""
        value = self.recipe.get(name)
        return value if isinstance(value, Mapping) else {}

    def details(self, encoder: str) -> Mapping[str, Any]:
        """What scores.json says of one encoder beyond its measures."""
        details = (self.scores or {}).get("details") or {}
        value = details.get(encoder)
        return value if isinstance(value, Mapping) else {}

    def measure(self, encoder: str, name: str) -> Measure | None:
        """One measure by name, None where it is absent or not a number."""
        found = (m for m in self.measures.get(encoder, ()) if m.name == name and math.isfinite(m.value))
        return next(found, None)

    @property
    def digest(self) -> str:
        """Of the test images that the scores are of; empty where nobody took it."""
        return str((self.scores or {}).get("digest") or "")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, empty without labels."""
        names = (self.scores or {}).get("classes") or self.section("dataset").get("classes") or ()
        return tuple(str(name) for name in names)


def read(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        RunError: the folder is not a run, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder} is not a folder; a page is made for the folder of a run, as `counterpoint train` leaves it"
        )
    if not (folder / "recipe.json").is_file():
        raise RunError(f"{folder} is not a run: it has no recipe.json; give the folder that `counterpoint train` wrote")
    recipe = _json(folder / "recipe.json", Mapping)
    scores = _json(folder / "scores.json", Mapping) if (folder / "scores.json").is_file() else None
    skipped = _json(folder / "skipped.json", Sequence) if (folder / "skipped.json").is_file() else []
    measures = (scores or {}).get("measures") or {}
    return Run(
        folder=folder,
        recipe=recipe,
        log=_log(folder / "log.jsonl"),
        scores=scores,
        measures={encoder: tuple(_measure(m) for m in measures.get(encoder) or ()) for encoder in ENCODERS},
        test=_test(folder / "embeddings.parquet"),
        skipped=tuple((str(item.get("name", "?")), str(item.get("reason", ""))) for item in skipped),
        weights=_weights(folder / "checkpoints"),
    )


def _weights(folder: Path) -> int | None:
    steps = (path.stem.removeprefix("step-") for path in folder.glob("step-*.pt"))
    return max((int(step) for step in steps if step.isdecimal()), default=None)


def _json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); the run has to be written again") from error
    if not isinstance(value, kind):
        raise RunError(
            f"{path} holds {type(value).__name__}, not what a run writes there; the run has to be written again"
        )
    return value


def _measure(item: Mapping[str, Any]) -> Measure:
    name = str(item.get("name", ""))
    return Measure(
        name=name,
        label=str(item.get("label") or name.replace("_", " ")),
        value=_finite(item.get("value"), math.nan),
        low=_finite(item.get("low"), None),
        high=_finite(item.get("high"), None),
        better=str(item.get("better") or ""),
        group=str(item.get("group") or "other"),
        note=str(item.get("note") or ""),
    )


def _finite(value: Any, otherwise: Any) -> Any:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise


def _log(path: Path) -> Log:
    if not path.is_file():
        return Log()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    steps: list[Mapping[str, Any]] = []
    validations: list[Mapping[str, Any]] = []
    findings: list[Finding] = []
    resumed: list[int] = []
    end: Mapping[str, Any] | None = None
    damaged = 0
    for number, line in enumerate(lines):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            damaged += bool(line.strip()) and number < len(lines) - 1
            continue
        kind = event.get("event")
        if kind == "step" and "step" in event:
            steps.append(event)
        elif kind == "validate" and "epoch" in event:
            validations.append(event)
        elif kind == "resume":
            at = int(event.get("step", 0))
            steps = [s for s in steps if s["step"] <= at]
            epoch = float(steps[-1].get("epoch", math.inf)) if steps else 0.0
            validations = [v for v in validations if v["epoch"] <= epoch]
            findings = [replace(f, until=_before(f.until, at)) for f in findings if f.step <= at]
            resumed.append(at)
            end = None
        elif kind == "finding" and "name" in event:
            findings.append(_finding(event))
        elif kind == "recovered":
            at = int(event.get("step", 0))
            same = [i for i, f in enumerate(findings) if f.name == event.get("name") and f.until is None]
            for i in same:
                findings[i] = replace(findings[i], until=at)
        elif kind == "end":
            end = event
    return Log(tuple(steps), tuple(validations), tuple(findings), tuple(resumed), end, damaged)


def _finding(event: Mapping[str, Any]) -> Finding:
    name, settings = str(event["name"]), event.get("settings")
    return Finding(
        name,
        str(event.get("title") or name.replace("-", " ")),
        str(event.get("evidence") or ""),
        str(event.get("advice") or ""),
        settings if isinstance(settings, Mapping) else {},
        str(event.get("flags") or ""),
        event.get("severity") != "note",
        int(event.get("since") or event.get("step") or 0),
    )


def _before(step: int | None, at: int) -> int | None:
    return step if step is not None and step <= at else None


def _test(path: Path) -> TestRows | None:
    if not path.is_file():
        return None
    import numpy as np
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, columns=["sample", "label", "h"], filters=[("split", "==", "test")])
    except (ArrowException, OSError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); `counterpoint evaluate {path.parent}` writes it again"
        ) from error
    if table.num_rows == 0:
        return None
    table = table.combine_chunks()
    h = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["h"].chunks])
    return TestRows(
        torch.from_numpy(np.array(table["sample"].to_numpy(), np.int64)),
        torch.from_numpy(np.array(h, np.float32)).reshape(table.num_rows, -1),
        torch.from_numpy(np.array(table["label"].to_numpy(), np.int64)),
    )
