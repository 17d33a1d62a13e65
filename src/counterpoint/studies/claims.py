"""What studies decided, kept beside each, and all of it as one table."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from counterpoint.errors import RunError
from counterpoint.files import write_json, write_text
from counterpoint.report.numbers import UNITS, Unit, in_unit
from counterpoint.studies.study import Decision, Result, Results, Study

__all__ = ["SCALES", "collect", "decide", "markdown", "measured", "record", "tally", "write_claims"]

_WEIGHT = {"full": 0, "small": 1, "smoke": 2}
SCALES = {
    "full": "the epochs and the data that were published",
    "small": "shortened for a laptop: a verdict is a hint",
    "smoke": "seconds of training, which shows that the rules can be computed and nothing about the claims",
}


@dataclass(frozen=True, eq=False)
class _Watched(Results):
    """Results that note which cells a rule looks at."""

    looked: list[Result] = field(default_factory=list[Result])

    def asked(self, **place: str) -> tuple[Result, ...]:
        """Noted."""
        found = super().asked(**place)
        self.looked.extend(found)
        return found

    def __iter__(self) -> Iterator[Result]:
        """Noted: all, those too that have not finished."""
        self.looked.extend(self.every)
        return super().__iter__()


def _so_far(decision: Decision, looked: Sequence[Result]) -> Decision:
    """A rule decides nothing yet while a run that it looks at is missing, or a seed for want of an answer."""
    runs = {id(result): result for result in looked}.values()
    missing = [result for result in runs if result.folder is None and not result.diverged]
    if not missing and decision.seeds < len({result.cell.seed for result in runs}):
        missing = [result for result in runs if result.error]
    if decision.verdict == "undecided" or not missing:
        return decision
    said = f"so far {decision.verdict}, while {len(missing)} of the {len(runs)} runs that it looks at lack something"
    return replace(decision, verdict="undecided", said=f"{said}: {decision.said}")


def decide(study: Study, results: Results) -> dict[str, Decision]:
    """Every claim by its key.

    One whose rule cannot be computed from what is there is undecided, and so is one of whose seeds some are still
    missing; it says why. A rule that fails although nothing is missing is a mistake in the study, and said so.
    """
    found: dict[str, Decision] = {}
    for claim in study.claims:
        watched = _Watched(results.every)
        try:
            decision = claim.decide(watched)
        except Exception as error:  # hours of training must still have their page
            found[claim.key] = Decision("undecided", said=_failed(error, watched.looked or results.every))
            continue
        decision = _so_far(decision, watched.looked or results.every)
        found[claim.key] = replace(decision, said=_typeset(decision.said), effect=_typeset(decision.effect))
    return found


def _failed(error: Exception, looked: Sequence[Result]) -> str:
    """Why a rule decides nothing that failed while it looked at some runs."""
    why = f"{type(error).__name__}: {error}"
    if looked and not any(result.error for result in looked):
        return f"its rule failed, though every run that it looks at is complete; that is a mistake in it: {why}"
    return f"its rule could not be computed from the cells that are there: {why}"


def tally(verdicts: Sequence[str]) -> str:
    """How many claims there are, and what became of them: `3 claims: 1 held, 0 not held, 2 undecided`."""
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("held", "not held", "undecided"))
    return f"{len(verdicts)} claims: {counts}"


def _typeset(text: str) -> str:
    """Negative numbers with a minus sign."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def record(
    folder: Path, study: Study, decisions: Mapping[str, Decision], *, scale: str, data: str, seeds: int, command: str
) -> Path:
    """Keep what was decided as claims.json.

    Args:
        folder: of the study.
        study: that was run.
        decisions: by the key of their claim.
        scale: `smoke`, `small` or `full`; empty for a study that has none.
        data: in words.
        seeds: that were asked for.
        command: what to type to have it again.
    """
    words = ("key", "statement", "where", "published", "origin", "measured", "rule")
    claims = [
        {
            **{word: getattr(claim, word) for word in words},
            "decision": asdict(decisions[claim.key]),
        }
        for claim in study.claims
    ]
    about = {"study": study.name, "title": study.title, "source": study.source}
    path = folder / "claims.json"
    write_json(path, {**about, "scale": scale, "data": data, "seeds": seeds, "command": command, "claims": claims})
    return path


def collect(studies: Path) -> list[dict[str, Any]]:
    """The claims.json of all studies below a folder, ordered by study, then full scale first, then data.

    Raises:
        RunError: there is none, or one cannot be read.
    """
    found: list[dict[str, Any]] = []
    for path in sorted(studies.glob("**/claims.json")):
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            odd = {claim["decision"]["unit"] for claim in kept["claims"]} - UNITS.keys()
            if odd:
                raise ValueError(f"its values have the unit {min(odd)!r}, expected one of {', '.join(UNITS)}")
            found += [kept] if kept["claims"] else []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{str(path)!r} cannot be read as claims ({error}); run its study again") from error
    if not found:
        raise RunError(f"no study below {str(studies)!r} has decided claims; run one: counterpoint study --list")
    return sorted(found, key=lambda kept: (kept["study"], _WEIGHT.get(kept["scale"], 0), kept["data"]))


def measured(decision: Mapping[str, Any]) -> str:
    """The value of a stored decision with its spread and interval, for a table: `51.0 ± 5.00 % [40.1, 61.9]`."""
    unit: Unit = decision["unit"]

    def number(value: float) -> str:
        return in_unit(value, unit).removesuffix(UNITS[unit])

    if decision["value"] is None:
        return "–"
    told = number(decision["value"])
    if decision["spread"] is not None:
        told += f" ± {number(decision['spread'])}"
    told += UNITS[unit]
    if decision["low"] is not None and decision["high"] is not None:
        told += f" [{number(decision['low'])}, {number(decision['high'])}]"
    return told


def _seeds(one: Mapping[str, Any]) -> str:
    """Of how many seeds the decisions of a study are, and how many were asked for: `2 of 3 seeds`, `1 to 3 seeds`."""
    known = [claim["decision"]["seeds"] for claim in one["claims"] if claim["decision"]["seeds"]]
    if not known:
        return f"none of {one['seeds']} seeds" if one["seeds"] > 1 else "no seed"
    least, most, asked = min(known), max(known), one["seeds"]
    told = str(most) if least == most else f"{least} to {most}"
    return f"{told}{f' of {asked}' if most < asked else ''} {'seed' if max(most, asked) == 1 else 'seeds'}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def markdown(kept: Sequence[Mapping[str, Any]]) -> str:
    """All claims as one Markdown page, a table for each run of a study."""
    every = [claim["decision"]["verdict"] for one in kept for claim in one["claims"]]
    lines = [
        "# Claims",
        "",
        "Checkable sentences of papers, and what became of them here. Made by `counterpoint claims` from the studies'",
        "`claims.json`; each rule stands in the study's code, whose history says when it was written. Measured values",
        "are means over seeds ± standard deviation [Student's 95 % interval of the mean]; of a rank correlation the",
        "interval is a bootstrap over what is ranked (scenarios, attributes, policies). An interval over seeds says",
        "where the mean over other seeds may lie, not how far other test images would move the value.",
        "",
        f"{tally(every)}.",
    ]
    scales = dict.fromkeys(one["scale"] for one in kept if one["scale"])
    if set(scales) - {"full"}:
        lines += ["", "Scales: " + "; ".join(f"`{scale}`: {SCALES.get(scale, 'its own')}" for scale in scales) + "."]
    for one in kept:
        scale = f", scale `{one['scale']}`" if one["scale"] else ""
        lines += ["", f"## {one['title']}: {one['data']}{scale}, {_seeds(one)}", "", f"`{one['command']}`"]
        if one["source"]:
            lines += ["", f"Source: {one['source']}"]
        lines += ["", "| Claim | Where | Published | Measured | Rule | Verdict |", "|---|---|---|---|---|---|"]
        for claim in one["claims"]:
            decision = claim["decision"]
            published = f"{claim['published']} ({claim['origin']})" if claim["published"] else "–"
            found = f"{measured(decision)}: {claim['measured'].rstrip('.')}"
            if decision["effect"]:
                found += f"; {decision['effect']}"
            verdict = f"**{decision['verdict']}**" + (f": {decision['said']}" if decision["said"] else "")
            row = (claim["statement"], claim["where"], published, found, claim["rule"], verdict)
            lines.append(f"| {' | '.join(map(_cell, row))} |")
    return "\n".join(lines) + "\n"


def write_claims(studies: Path, out: Path) -> Path:
    """Collect all claims below a folder into one Markdown file.

    Raises:
        RunError: there are none.
    """
    text = markdown(collect(studies))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out
