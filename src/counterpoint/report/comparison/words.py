"""A comparison in plain words: one paragraph, short answers, and the rule for many differences."""

from collections.abc import Sequence
from typing import Any

from counterpoint.report.answers import Answer, health
from counterpoint.report.comparison.together import Gap, Together, class_gaps, told
from counterpoint.report.numbers import amount, duration, figure, is_share, points
from counterpoint.report.run import Run
from counterpoint.report.settings import pace
from counterpoint.report.words import seconds, trained

__all__ = ["UNPAIRED", "answers", "card", "rule", "signed", "summary"]


UNPAIRED = "Not paired image by image: put together from two separate intervals, which is wider than it need be."


def card(together: Together, i: int) -> dict[str, Any]:
    """What stands in the table of runs for one of them."""
    run = together.runs[i]
    data = run.section("dataset")
    epochs, steps = trained(run)
    taken, rate = seconds(run), pace(run)
    sound = health(run)
    state = "" if run.scores else "not evaluated"
    if run.scores and i and together.group[i] != together.group[0]:
        state = "tested on other images"
    ending = {
        "interrupted": "interrupted",
        "max-time": "stopped by the clock",
        "diverged": "diverged",
        None: "no end in the log",
    }
    return {
        "name": together.names[i],
        "folder": str(run.folder),
        "style": f"s-{i}",
        "recipe": str(run.recipe.get("recipe") or "–"),
        "data": str(data.get("name") or "–"),
        "encoder": str(run.recipe.get("encoder") or "–"),
        "length": f"{amount(epochs)} epochs" if epochs else f"{steps:,} steps" if steps else "–",
        "ended": ending.get((run.log.end or {}).get("reason"), "") if run.log.steps else "",
        "seconds": "–" if taken is None else duration(taken),
        "pace": "–" if rate is None else f"{rate:,.0f}",
        "seed": str(run.recipe.get("seed", "–")),
        "state": state,
        "health": sound,
        "command": str(run.recipe.get("command") or ""),
    }


def summary(together: Together, different: Sequence[tuple[str, Any]]) -> list[str]:
    """One paragraph, sentence by sentence."""
    names, runs = together.names, together.runs
    said = [f"{len(runs)} runs side by side; {names[0]} is the reference, with which the others are compared."]
    missing = [name for name, run in zip(names, runs, strict=True) if not run.scores]
    if len(missing) == len(names):
        said.append("None of them has been evaluated; “counterpoint evaluate RUN” scores one.")
    elif missing:
        said.append(f"{_joined(missing)} {'has' if len(missing) == 1 else 'have'} not been evaluated.")
    strange = [names[i] for i in range(1, len(runs)) if runs[i].scores and together.group[i] != together.group[0]]
    if strange and runs[0].scores:
        said.append(
            f"{_joined(strange)} {'was' if len(strange) == 1 else 'were'} tested on other images than {names[0]}, "
            "so no difference from it is computed."
        )
    for name, label in told(together)[:2]:
        values = [(names[i], m) for i, run in enumerate(runs) if (m := run.measure("learned", name))]
        if values:
            each = ", ".join(f"{who} {figure(m.value, is_share(m))}" for who, m in values)
            said.append(f"{_upper(label)}: {each}.")
    if not different:
        said.append("Their recipes do not differ at all; what differs is chance.")
    return said


def rule(together: Together, found: Sequence[Gap]) -> str:
    """How the intervals are to be read, and by what rule many differences are judged together."""
    if not found:
        return ""
    counted = [gap for gap in found if not gap.repeats]
    peers = len(together.peers())
    how = (
        "Accuracies whose predictions are stored are bootstrapped over the shared test images; the others (°) are put "
        "together from two separate intervals, which is wider than it need be."
    )
    if len(counted) == 1:
        return f"Intervals hold for 95 %. {how}"
    return (
        f"Each interval holds for 95 % by itself. {len(counted)} differences are looked at here ({peers} "
        f"{'run' if peers == 1 else 'runs'} against {together.names[0]}, "
        f"{len({gap.name for gap in counted})} scores), and among so many some would seem real by chance: ▲ and ▼ "
        f"stand only where a difference holds among all of them together (Holm’s rule, 5 %). The headline score was "
        f"named beforehand and is judged by its own interval. {how}"
    )


def answers(together: Together, found: Sequence[Gap], different: Sequence[tuple[str, Any]]) -> list[Answer]:
    """Better than the reference? What differs? Which classes gain? Healthy? At what cost?"""
    names, runs = together.names, together.runs
    said = [_better(together, found)]
    paths = [path for path, _ in different if not path.startswith(("environment", "engine", "evaluation"))]
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    detail = "Settings of the recipe that are not the same in all runs."
    said.append(Answer("What differs?", shown or "No setting of the recipe", detail, link="settings"))
    changes = [
        (gain, c.name, i) for c in class_gaps(together) for i in together.peers() if (gain := c.gain(i)) is not None
    ]
    if changes and not any(gain for gain, _, _ in changes):
        said.append(
            Answer("Which classes gain, which lose?", "None", "All are named as well as before.", link="classes")
        )
    elif changes:
        changes.sort()
        (low, lost, who_lost), (high, won, who_won) = changes[0], changes[-1]
        short = f"{won} gains most" if high > -low else f"{lost} loses most"
        told_ = [f"{won} {signed(high)} points with {names[who_won]}"] if high > 0 else []
        told_ += [f"{lost} {signed(low)} points with {names[who_lost]}"] if low < 0 else []
        said.append(Answer("Which classes gain, which lose?", short, f"{_upper('; '.join(told_))}.", link="classes"))
    states = [(name, sound) for name, run in zip(names, runs, strict=True) if (sound := health(run))]
    if states:
        ill = [(name, sound) for name, sound in states if sound.tone == "bad"]
        told_of = ill or [(name, sound) for name, sound in states if sound.tone == "plain"]
        short = "; ".join(f"{name}: {_lower(s.short)}" for name, s in told_of) or "No sign of collapse in any"
        well = [name for name, sound in states if sound.tone == "good"]
        detail = f"{'No sign of collapse in' if told_of else 'In'} {_joined(well)}." if well and not ill else ""
        tone = "bad" if ill else "plain" if told_of else "good"
        said.append(Answer("Collapsed or healthy?", short, detail, tone, "doctor"))
    cost = _cost(together)
    return said if cost is None else [*said, cost]


def _cost(together: Together) -> Answer | None:
    """Time of training, and of an epoch; a quickest is named only among runs of the same length on the same data."""
    costs: list[tuple[float, str, Run]] = [
        (s, name, run) for name, run in zip(together.names, together.runs, strict=True) if (s := seconds(run))
    ]
    if not costs:
        return None
    each = {name: s / epochs for s, name, run in costs if (epochs := trained(run)[0])}
    work = {(run.section("dataset").get("name"), run.section("facts").get("images"), trained(run)[0])
            for _, _, run in costs}  # fmt: skip
    if len(costs) == 1:
        short = f"{costs[0][1]}: {duration(costs[0][0])}"
    elif len(work) == 1 and max(s for s, _, _ in costs) < 1.05 * min(s for s, _, _ in costs):
        short = "All took about as long"
    elif len(work) == 1:
        short = f"{min(costs, key=lambda cost: cost[0])[1]} was the quickest"
    else:
        short = "; ".join(f"{name}: {duration(s)} per epoch" for name, s in each.items()) or "Not the same work"
    told = ", ".join(
        f"{name} {duration(s)}" + (f" ({duration(each[name])} per epoch)" if name in each else "")
        for s, name, _ in costs
    )
    unlike = "" if len(work) == 1 else " They did not train for as many epochs on the same data."
    return Answer("What did it cost?", short, f"Training: {told}.{unlike}", link="runs")


def _better(together: Together, found: Sequence[Gap]) -> Answer:
    question = f"Better than {together.names[0]}?"
    leading = told(together)
    if not together.runs[0].scores:
        return Answer(question, "Cannot be said", f"{together.names[0]} has not been evaluated.", link="runs")
    if not together.peers():
        return Answer(question, "Cannot be said", "No other run was tested on the same images.", link="runs")
    sure = {gap.name for gap in found if gap.difference.paired}
    name, label = next((each for each in leading if each[0] in sure), leading[-1] if leading else ("", ""))
    rows = [gap for gap in found if gap.name == name]
    if not rows:
        return Answer(question, "Cannot be said", "No accuracy was measured for both.", link="scores")
    words = {"better": "yes", "worse": "no, worse", "alike": "cannot be told apart"}
    tone = {frozenset({"better"}): "good", frozenset({"worse"}): "bad"}
    # Named before anything was measured, so not one of many: its own interval decides.
    verdicts = [gap.difference.verdict for gap in rows]
    short = "; ".join(f"{together.names[gap.run]}: {words[v]}" for gap, v in zip(rows, verdicts, strict=True))
    first = together.runs[0].measure("learned", name)
    share = first is not None and is_share(first)
    detail = f"{_upper(label)}: " + "; ".join(
        f"{together.names[gap.run]} {points(gap.difference, share)}" for gap in rows
    )
    short = words[verdicts[0]].capitalize() if len(rows) == 1 else short
    own = "its own 95 % interval" if len(rows) == 1 else "their own 95 % intervals"
    detail = f"{detail}. This score was named beforehand and is judged by {own}."
    return Answer(question, short, detail, tone.get(frozenset(verdicts), "plain"), "scores")


def signed(value: float) -> str:
    """A change of a share in points, with its sign."""
    return f"{'−' if value < 0 else '+'}{abs(value) * 100:.1f}"


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]


def _upper(sentence: str) -> str:
    return sentence if sentence[1:2].isupper() else sentence[:1].upper() + sentence[1:]


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
