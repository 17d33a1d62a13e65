"""The doctor's word on a run, from its folder alone."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from counterpoint.engine import Finding, diagnose
from counterpoint.report.run import READINGS
from counterpoint.run import Run

__all__ = ["Checkup", "doctor", "ended_early", "show_checkup"]

SEEN = 0.9  # of the steps, before which the last reading says nothing of the end

MEANINGS = {
    "std": "deviation of a dimension of z: 1 spread out, 0 one point",
    "std_h": "the same of h",
    "rank_z": "directions that z uses (effective rank)",
    "rank_h": "directions that h uses",
    "alignment": "squared distance of positive pairs: 0 equal, 2 unrelated",
    "uniformity": "how evenly z fills the sphere: 0 one point, about -4 evenly",
    "positive": "mean score of positive pairs",
    "negative": "mean score of the others",
    "accuracy": "share of anchors whose best candidate is a positive",
    "chance": "the same by guessing",
    "codes": "prototypes that images are shared out among",
    "used": "of these, by all images together",
    "used_each": "of these, by one image",
    "ceiling": "the loss if all scores were equal",
    "one_point": "the loss if all images had one embedding",
    "saturated": "share of anchors whose softmax is too steep or too flat to teach",
    "no_positive": "share of anchors without a positive",
    "dead": "share of units of h that never change",
    "grad_norm": "of the gradient, before clipping",
    "weight_norm": "of all weights",
    "update": "what a step changes, as a share of the weights",
}


@dataclass(frozen=True)
class Checkup:
    """What the doctor says of a run.

    Args:
        run: its folder.
        verdict: one sentence.
        healthy: None where nothing can be said.
        findings: what holds at the end, causes first.
        passed: findings that came and went: name, first and last step.
        step: of the last readings.
        loss: then.
        readings: by name.
    """

    run: str
    verdict: str
    healthy: bool | None
    findings: tuple[Finding, ...]
    passed: tuple[tuple[str, int, int], ...]
    step: int
    loss: float | None
    readings: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def doctor(run: Run | str | Path) -> Checkup:
    """What is wrong with a run, and what to try; from log.jsonl and recipe.json.

    Args:
        run: a run, finished or not.

    Raises:
        RunError: the folder is not a run.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    history = run.history()
    findings = diagnose(history, run.recipe())
    steps = [line for line in history if line.get("event") == "step"]
    read = [line for line in steps if line.get("health")]
    last: Mapping[str, Any] = read[-1] if read else steps[-1] if steps else {}
    healthy = False if findings else True if len(read) >= READINGS else None
    return Checkup(
        run=str(run.folder),
        verdict=_verdict(findings, steps, read),
        healthy=healthy,
        findings=findings,
        passed=_passed(history, {finding.name for finding in findings}),
        step=int(last.get("step", 0)),
        loss=last.get("loss"),
        readings=last.get("health") or {},
    )


def _verdict(findings: tuple[Finding, ...], steps: list[dict[str, Any]], read: list[dict[str, Any]]) -> str:
    if findings:
        return "; ".join(f"{finding.title.lower()} since step {finding.since:,}" for finding in findings)
    if steps and not read:
        return "the log of this run has no readings: it was made by an older version, and can't be judged"
    if not steps:
        return "there is no logged step in this run's log.jsonl, so nothing can be judged"
    if len(read) < READINGS:
        return f"too short to judge: {len(read)} of the {READINGS} readings that are needed"
    seen, done = int(read[-1]["step"]), int(steps[-1]["step"])
    if ended_early(seen, done):
        return f"healthy up to step {seen:,}, the last of {done:,} that was read: nothing found"
    return "healthy: nothing found"


def ended_early(read: int, done: int) -> bool:
    """Whether the last step that was read says nothing of the end of so many steps."""
    return read < SEEN * done


def _passed(history: list[dict[str, Any]], held: set[str]) -> tuple[tuple[str, int, int], ...]:
    began: dict[str, int] = {}
    passed: list[tuple[str, int, int]] = []
    for line in history:
        if line.get("event") == "finding":
            began[line["name"]] = int(line.get("since", line["step"]))
        elif line.get("event") == "recovered" and line.get("name") in began:
            passed.append((line["name"], began.pop(line["name"]), int(line["step"])))
    return tuple(each for each in passed if each[0] not in held)


def _free(run: str | Path) -> str:
    """The first folder beside a run that is not there."""
    return next(name for n in count(2) if not Path(name := f"{run}-{n}").exists())


def show_checkup(checkup: Checkup) -> None:
    """Print it on one screen."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=False)
    colour = {True: "green", False: "red", None: "yellow"}[checkup.healthy]
    console.print(f"[bold {colour}]{escape(checkup.verdict)}[/]")
    for finding in checkup.findings:
        console.print(f"\n[bold]{escape(finding.title)}[/], since step {finding.since:,}")
        console.print(f"  {escape(finding.evidence)}")
        console.print(f"  {escape(finding.advice)}")
        if finding.flags:
            stored = shlex.quote(str(Path(checkup.run) / "recipe.json"))
            config = f"counterpoint train --config {stored} {finding.flags} --out {shlex.quote(_free(checkup.run))}"
            console.print(f"  [cyan]{escape(config)}[/]", soft_wrap=True)
    for name, first, last in checkup.passed:
        console.print(f"{name.replace('-', ' ')}: from step {first:,} to {last:,}, then gone")
    if checkup.readings:
        loss = "" if checkup.loss is None else f", loss {checkup.loss:.4f}"
        table = Table("reading", "", "what it means", title=f"step {checkup.step:,}{loss}", title_justify="left")
        table.columns[1].justify = "right"
        for name, meaning in MEANINGS.items():
            if name in checkup.readings:
                room = checkup.readings.get(name.replace("rank_", "room_")) if name.startswith("rank_") else None
                of = "" if room is None else f" of {room:.0f}"
                table.add_row(name, f"{checkup.readings[name]:.3g}{of}", meaning)
        console.print(table)
