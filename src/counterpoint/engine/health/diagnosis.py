"""From the readings of a run to findings: a pure function, the same while the run goes on and afterwards.

A condition is judged at each reading from the 20th step on, while the learning rate does not rise. It is a finding
when it held at three readings in a row, and has gone when it did not at two; how many steps lie between readings does
not matter. Findings stand in the order of causes: one that another explains is left out (a run with exploded weights
sits at its ceiling, collapsed; only the explosion is told).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from counterpoint.engine.health.remedies import flags, remedy

__all__ = ["Chart", "Finding", "diagnose"]

FIRST = 20  # steps before the first judgement
PATIENCE = 3  # readings in a row, for a finding to come
RELIEF = 2  # readings in a row, for it to go
WINDOW = 30  # readings that say whether positives are found; what was before is forgotten

BURST = 0.1  # an update of so much of the weights' norm; healthy ones are a fiftieth at most
HUGE = 1.0  # root mean square of all weights
STILL = 1e-5  # an update of so little of the weights' norm
LOST = 0.5  # share of anchors without a positive
MOST = 0.9  # the same, from which it spoils the run and explains the rest
STUCK = 0.9  # share of anchors whose softmax can't teach
EQUAL = 0.1  # deviation of a dimension, 1 for isotropic rows: two rows have a mean cosine of 1 - 0.1^2
# Where the loss is lowest at one point, nothing turns back what is on the way there:
DRAWN = 0.1**0.5  # the same after nine tenths of the way
FALLEN = 0.4**0.5  # the same, as a share of its highest: three fifths of the spread are lost, healthy runs lose half
BLURRED = 3e-3  # the same, below which rounding decides which candidate is the best
FEW = {"z": 3.0, "h": 4.0}  # directions; young or briefly trained projectors use little more than three
LUCK = 4.5  # standard deviations above guessing
BARELY = (2.0, 0.6)  # times as many found as by guessing; how far ahead of others: no more says next to nothing
ROUNDS = 3  # epochs until a row that stands for one image says something: by then it came twice in a changed network
KINDS = 2.0  # of images that codes tell apart, on average; fewer are next to none
SPREAD = 0.5  # share of the prototypes that codes could use which they do use, if they are balanced
SAID = 0.02  # share of the most that a code could tell of its image; as near to the ceiling as a loss may be

TITLES = {
    "no-positives": "No positives in the batch",
    "exploding-updates": "Exploding updates",
    "vanishing-updates": "Vanishing updates",
    "saturated-temperature": "Saturated temperature",
    "one-prototype": "One prototype for all",
    "uniform-assignments": "Uniform assignments",
    "loss-at-ceiling": "Loss at its ceiling",
    "complete-collapse": "Complete collapse",
    "dimensional-collapse": "Dimensional collapse",
}
COLLAPSES = {"complete-collapse", "dimensional-collapse"}
CODES = {"one-prototype", "uniform-assignments"}
# Without a cycle, so that of whatever holds something is told.
EXPLAINS: Mapping[str, set[str]] = {
    "no-positives": {"loss-at-ceiling", "vanishing-updates", *COLLAPSES},
    "exploding-updates": {"vanishing-updates", "saturated-temperature", "loss-at-ceiling", *CODES, *COLLAPSES},
    "vanishing-updates": {"loss-at-ceiling", *CODES, *COLLAPSES},
    "saturated-temperature": {"vanishing-updates", "loss-at-ceiling", *COLLAPSES},
    "one-prototype": {"loss-at-ceiling", *COLLAPSES},
    "uniform-assignments": {"loss-at-ceiling", *COLLAPSES},
    "loss-at-ceiling": COLLAPSES,
    "complete-collapse": {"dimensional-collapse"},
    "dimensional-collapse": set(),
}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run.

    Args:
        name: `complete-collapse`, `dimensional-collapse`, `loss-at-ceiling`, `one-prototype`, `uniform-assignments`,
            `saturated-temperature`, `no-positives`, `exploding-updates` or `vanishing-updates`.
        title: the same for a person.
        since: the first step of those at which it held without a break.
        evidence: one sentence with numbers.
        advice: what usually helps.
        settings: to try, by dial or path.
        flags: the same, as typed.
        severity: `bad` spoils the run, `note` may be meant.
    """

    name: str
    title: str
    since: int
    evidence: str
    advice: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    flags: str = ""
    severity: Literal["bad", "note"] = "bad"

    def fields(self) -> dict[str, Any]:
        """As it is logged."""
        return asdict(self)

    def line(self) -> str:
        """As it is said while a run goes on."""
        tried = f"; try {self.flags}" if self.flags else f"; {self.advice}"
        return f"{self.title.lower()} since step {self.since:,}: {self.evidence}{tried}"


@dataclass(frozen=True)
class _Reading:
    step: int
    loss: float | None
    lr: float
    health: Mapping[str, float]

    def __call__(self, name: str, otherwise: float) -> float:
        return self.health.get(name, otherwise)


@dataclass
class _Case:
    """How long a condition has held, or not."""

    since: int = 0
    held: int = 0
    missed: int = 0
    found: bool = False

    def see(self, holds: bool, step: int) -> None:
        if holds:
            self.since = self.since if self.held or self.found else step
            self.held, self.missed = self.held + 1, 0
        else:
            self.held, self.missed = 0, self.missed + 1
        self.found = self.held >= PATIENCE or (self.found and self.missed < RELIEF)


class Chart:
    """Follows a run line by line of its log.

    Args:
        recipe: recipe.json, for the advice; as much of it as there is.
    """

    def __init__(self, recipe: Mapping[str, Any] | None = None) -> None:
        self.recipe = recipe or {}
        self.readings: list[_Reading] = []
        self.cases = {name: _Case() for name in TITLES}
        # Anchors, found, guessed, ahead of others.
        self.recent: deque[tuple[float, float, float, float]] = deque(maxlen=WINDOW)
        self.informed = False  # whether anchors have lately found their positives better than by guessing
        self.learned = False  # whether they ever did
        self.blind = 0  # readings since, at which they did not although their rows were not all one
        self.widest = 0.0  # that the rows ever spread
        self.peak: float | None = None  # of the learning rate
        self.rising = False
        self.round = 0  # steps until all images have come, where a row stands for each; else 0

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line; those that say nothing of health are passed over."""
        if line.get("event") == "end":
            self._ended(line)
        if line.get("event") == "start":
            self.round = int(line.get("round", 0))
        if line.get("event") != "step":
            return
        rate = float(line.get("lr", 0.0))
        self.rising = self.peak is not None and rate > 1.0001 * self.peak
        self.peak = max(self.peak or 0.0, rate)
        health = line.get("health")
        if not isinstance(health, Mapping) or not health:
            return
        read = _Reading(int(line["step"]), line.get("loss"), rate, cast(Mapping[str, float], health))
        self.readings.append(read)
        self.widest = max(self.widest, read("std", 0.0))
        anchors = read("anchors", 64.0)
        found, guessed, ahead = read("accuracy", 0.0), read("chance", 1.0), read("ahead", 0.5)
        self.recent.append((anchors, anchors * found, anchors * guessed, anchors * ahead))
        self.informed = self._informed()
        self.learned |= self.informed
        if read.step < FIRST or self.rising:
            return
        # Pairs that were found once do belong together: if the rows are one by now, that is the fault.
        seen = read("std", 1.0) > (EQUAL if self.learned else BLURRED)
        self.blind = 0 if self.informed else self.blind + seen
        for name, case in self.cases.items():
            holds = _CONDITIONS[name](self)
            if holds is not None:
                case.see(holds, read.step)

    def _ended(self, line: Mapping[str, Any]) -> None:
        """A run that stopped by itself."""
        step = int(line.get("step", 0))
        if line.get("reason") == "no-positives":
            self.readings.append(_Reading(step, None, self.peak or 0.0, {"no_positive": 1.0}))
            self.cases["no-positives"] = _Case(step, PATIENCE, 0, True)
        # Without any reading the first steps broke it.
        if line.get("reason") == "diverged" and all(_burst(read) for read in self.readings[-1:]):
            self.readings.append(_Reading(step, None, self.peak or 0.0, self.last))
            case = self.cases["exploding-updates"]
            self.cases["exploding-updates"] = _Case(case.since or step, PATIENCE, 0, True)

    def _informed(self) -> bool:
        """Whether more anchors than by luck have found a positive, or had it ahead of most others.

        Counted from the window's beginning to any reading, and from any to the last. Two views of an image count as
        one. By guessing a positive is ahead of a share that is uniform in [0, 1], of variance 1/12.
        """
        for readings in (self.recent, reversed(self.recent)):
            tried = hits = lucky = ahead = 0.0
            for anchors, found, guessed, before in readings:
                tried, hits, lucky, ahead = tried + anchors, hits + found, lucky + guessed, ahead + before
                chance = min(1.0, lucky / max(1.0, tried))
                if hits > lucky + LUCK * (2 * tried * chance * (1 - chance)) ** 0.5:
                    return True
                if ahead > tried / 2 + LUCK * (2 * tried / 12) ** 0.5:
                    return True
        return False

    @property
    def barely(self) -> bool:
        """Whether positives have lately been found next to no better than by guessing, be it more than luck."""
        tried, hits, lucky, ahead = (sum(column) for column in zip(*self.recent, strict=True))
        return hits < BARELY[0] * lucky and ahead < BARELY[1] * tried

    @property
    def last(self) -> Mapping[str, float]:
        """The newest readings."""
        return self.readings[-1].health if self.readings else {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What holds now, causes first."""
        held = [self._finding(name) for name in TITLES if self.cases[name].found]
        explained = {name for cause in held if cause.severity == "bad" for name in EXPLAINS[cause.name]}
        return tuple(finding for finding in held if finding.name not in explained)

    def _finding(self, name: str) -> Finding:
        read = self.readings[-1]
        advice, settings = remedy(name, self.recipe, read.health)
        typed = flags(settings, self.recipe)
        note = name == "no-positives" and read("no_positive", 0.0) < MOST
        severity: Literal["bad", "note"] = "note" if note else "bad"
        since = self.cases[name].since
        return Finding(name, TITLES[name], since, _EVIDENCE[name](read), advice, settings, typed, severity)


def diagnose(history: Iterable[Mapping[str, Any]], recipe: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """What is wrong at the end of a history; nothing where it is healthy, short, or has no readings.

    Args:
        history: the lines of log.jsonl.
        recipe: the content of recipe.json, for the advice.
    """
    chart = Chart(recipe)
    for line in history:
        chart.add(line)
    return chart.findings


# ---------------------------------------------------------------- conditions


def _burst(read: _Reading) -> bool:
    return read("update", 0.0) > BURST or read("weight_rms", 0.0) > HUGE


def _no_positives(chart: Chart) -> bool:
    return chart.readings[-1]("no_positive", 0.0) > LOST


def _exploding(chart: Chart) -> bool:
    return _burst(chart.readings[-1])


def _vanishing(chart: Chart) -> bool | None:
    """Not to be judged where the schedule itself takes the learning rate away."""
    read = chart.readings[-1]
    return None if read.lr < 0.1 * (chart.peak or 0.0) else read("update", 1.0) < STILL


def _saturated(chart: Chart) -> bool:
    return chart.readings[-1]("saturated", 0.0) > STUCK


def _codes(read: _Reading) -> tuple[float, float, float] | None:
    """Of codes: how many there are to share, how many kinds of images they tell apart, how much of them is used.

    The mean of so many codes, each spread as it is, can use `used_each` times as many prototypes, or all.
    """
    count, used, each = (read(name, 0.0) for name in ("codes", "used", "used_each"))
    if count < 2 or each <= 0:
        return None
    return count, used / each, used / min(count, each * read("anchors", count))


def _one_prototype(chart: Chart) -> bool:
    """All images have the same few: fewer are used than could be, and hardly by one image others than by the next."""
    found = _codes(chart.readings[-1])
    return found is not None and found[1] < KINDS and found[2] < SPREAD


def _uniform(chart: Chart) -> bool:
    """All are used, by every image alike."""
    found = _codes(chart.readings[-1])
    return found is not None and math.log(found[1]) < SAID * math.log(found[0]) and found[2] >= SPREAD


def _at_ceiling(chart: Chart) -> bool:
    """The loss is that of equal scores, and no positive has lately been found, while there were rows to tell apart.

    What was found stays while the loss is above that of equal scores and positives are found next to never: many
    readings show the least lead over guessing.
    """
    read = chart.readings[-1]
    if read.loss is None or "ceiling" not in read.health or read.step < ROUNDS * chart.round:
        return False
    ceiling, floor = read.health["ceiling"], read("floor", 0.0)
    found = chart.cases["loss-at-ceiling"].found
    if chart.informed:
        return found and chart.barely and read.loss > ceiling
    high = read.loss > ceiling - 0.02 * (ceiling - floor)
    # Rows of few directions can't tell: that is a fault of its own.
    return (found or chart.blind >= PATIENCE) and high and not _few_directions(chart)


def _collapsed(chart: Chart) -> bool:
    read = chart.readings[-1]
    spread, drawn = read("std", 1.0), _drawn(read)
    if drawn and spread < FALLEN * chart.widest:
        return True
    return spread < (DRAWN if drawn else EQUAL) and not _grows(chart, "std")


def _drawn(read: _Reading) -> bool:
    """Whether the loss would be lower if all rows pointed one way."""
    return read.loss is not None and read.loss > read("one_point", math.inf)


def _few_directions(chart: Chart) -> bool:
    """Fewer than the classes span, where there are few of them."""
    read = chart.readings[-1]
    for name in ("z", "h"):
        enough = min(FEW[name], 0.25 * read(f"room_{name}", 0.0), 0.5 * (1 / max(read("chance", 0.0), 1e-9) - 1))
        if read(f"rank_{name}", enough) < enough and not _grows(chart, f"rank_{name}"):
            return True
    return False


def _grows(chart: Chart, name: str) -> bool:
    """By a tenth over the last readings."""
    then = chart.readings[-PATIENCE:][0].health.get(name, 0.0)
    return chart.readings[-1].health.get(name, 0.0) > 1.1 * then


_CONDITIONS: Mapping[str, Callable[[Chart], bool | None]] = {
    "no-positives": _no_positives,
    "exploding-updates": _exploding,
    "vanishing-updates": _vanishing,
    "saturated-temperature": _saturated,
    "one-prototype": _one_prototype,
    "uniform-assignments": _uniform,
    "loss-at-ceiling": _at_ceiling,
    "complete-collapse": _collapsed,
    "dimensional-collapse": _few_directions,
}


# ---------------------------------------------------------------- evidence


def _said_exploding(read: _Reading) -> str:
    if "update" not in read.health:
        return "the loss was no number before the first reading was taken"
    told: list[str] = []
    if read.health["update"] > BURST:
        told.append(f"a step moves the weights by {read.health['update']:.0%} of their norm, where a fiftieth is much")
    if read("weight_rms", 0.0) > HUGE:
        told.append(f"a weight is {read('weight_rms', 0.0):,.0f} large in root mean square, where 1 is much")
    return ", and ".join(told) or "the last steps had left what weights and updates usually are"


def _said_saturated(read: _Reading) -> str:
    share = f"for {read('saturated', 0.0):.0%} of the anchors"
    reach = read("reach", 0.0)
    if reach < 1:
        return f"the logits of the best and the worst candidate can differ by {reach:.2g} only, {share}"
    return f"logits can differ by {reach:,.0f}, so that one negative decides or all rows crowd together, {share}"


def _said_few(read: _Reading) -> str:
    told = [
        f"{read(f'rank_{name}', 0.0):.1f} of {read(f'room_{name}', 0.0):.0f} in {name}"
        for name in ("z", "h")
        if f"rank_{name}" in read.health
    ]
    return f"effective rank {' and '.join(told)}"


_EVIDENCE: Mapping[str, Callable[[_Reading], str]] = {
    "no-positives": lambda read: f"{read('no_positive', 1.0):.0%} of the anchors have no positive in the batch",
    "exploding-updates": _said_exploding,
    "vanishing-updates": lambda read: (
        f"a step moves the weights by {read('update', 0.0):.1e} of their norm "
        f"(gradient {read('grad_norm', 0.0):.1e}, learning rate {read.lr:.1e})"
    ),
    "saturated-temperature": _said_saturated,
    "one-prototype": lambda read: (
        f"the codes of all images use {read('used', 0.0):,.1f} of {read('codes', 0.0):,.0f} prototypes together, "
        f"that of one image {read('used_each', 0.0):,.1f} of the same"
    ),
    "uniform-assignments": lambda read: (
        f"the code of an image is spread over {read('used_each', 0.0):,.0f} of {read('codes', 0.0):,.0f} prototypes, "
        f"those of all together over {read('used', 0.0):,.0f}: they hardly differ"
    ),
    "loss-at-ceiling": lambda read: (
        f"the loss is {read.loss or 0.0:.3f}, that of equal scores is {read('ceiling', 0.0):.3f}, "
        f"and {read('accuracy', 0.0):.1%} of the anchors find a positive ({read('chance', 0.0):.1%} by guessing)"
    ),
    "complete-collapse": lambda read: (
        f"the deviation of a dimension of z is {read('std', 0.0):.2g}, where 1 is spread out and 0 is one point"
        + (", to which the loss draws all" if _drawn(read) else "")
    ),
    "dimensional-collapse": _said_few,
}
