"""What came out, in plain words: one paragraph and five short answers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from counterpoint.report.classes import confused, judge
from counterpoint.report.run import Measure, Run
from counterpoint.report.verdict import Difference, comparable, paired

__all__ = [
    "Answer",
    "answers",
    "duration",
    "figure",
    "headlines",
    "interval",
    "is_share",
    "points",
    "seconds",
    "summary",
    "trained",
]

LEADING = ("knn_accuracy", "linear_probe")
SHARES = re.compile(r"accuracy|knn|probe|top|recall|precision|few|shot|label|_at_|map|eer|error", re.IGNORECASE)
SHARE_GROUPS = ("classification", "few labels", "retrieval")
ALIVE = 1e-4  # of the strongest direction, below which one counts as unused
LONG = 100  # epochs from which on a contrastive run is no longer short
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Answer:
    """A question a reader comes with.

    Args:
        question: as they would ask it.
        short: the answer in a few words.
        detail: what it rests on.
        tone: `good`, `bad`, `plain`.
        link: id of the section that shows it, empty for none.
    """

    question: str
    short: str
    detail: str
    tone: str = "plain"
    link: str = ""


def is_share(measure: Measure) -> bool:
    """Whether a measure reads best in percent."""
    ends = [v for v in (measure.value, measure.low, measure.high) if v is not None and math.isfinite(v)]
    named = measure.group in SHARE_GROUPS and SHARES.search(measure.name) is not None
    return named and all(0.0 <= v <= 1.0 for v in ends)


def is_count(measure: Measure) -> bool:
    """Whether a measure counts things, as the used dimensions do."""
    ends = [v for v in (measure.value, measure.low, measure.high) if v is not None]
    return all(v == round(v) and abs(v) >= 2 for v in ends)


def figure(value: float, share: bool, count: bool = False) -> str:
    """A number as it stands in the text: 0.9719 as 97.2 %, 0.00003 as 3.0 · 10⁻⁵, others with three digits that count.

    Args:
        value: nan gives a dash.
        share: in percent.
        count: without decimals.
    """
    if not math.isfinite(value):
        return "–"
    if share:
        return f"{value * 100:.1f} %"
    size = abs(value)
    if 0 < size < 5e-4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.replace('-', '−')} · 10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    digits = 0 if count or size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", "−")


def interval(measure: Measure, between: str = "–") -> str:
    """Its 95 % interval without unit; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    share, count = is_share(measure), is_count(measure)
    low, high = (figure(v, share, count).removesuffix(" %") for v in (measure.low, measure.high))
    return f"{low}{' to ' if set('−·') & set(low + high) and between == '–' else between}{high}"


def points(gap: Difference, share: bool) -> str:
    """A difference with sign and interval: +1.1 points (−0.3 to +2.5)."""

    def signed(value: float) -> str:
        text = f"{value * 100:.1f}" if share else figure(abs(value), False)
        return f"{'−' if value < 0 else '+'}{text.lstrip('-−')}"

    return f"{signed(gap.value)}{' points' if share else ''} ({signed(gap.low)} to {signed(gap.high)})"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def headlines(run: Run) -> list[str]:
    """Names of the measures that the page puts first: accuracies that the learned encoder and the raw pixels share."""
    shared = [
        m.name
        for m in run.measures.get("learned", ())
        if m.better and m.group == "classification" and run.measure("pixels", m.name) and run.measure("learned", m.name)
    ]
    return [name for name in LEADING if name in shared] or shared[:1]


def trained(run: Run) -> tuple[float | None, int | None]:
    """Epochs and steps done, None where the log says nothing."""
    last = run.log.end or (run.log.steps[-1] if run.log.steps else {})
    epoch, step = last.get("epoch"), last.get("step")
    return (None if epoch is None else float(epoch)), (None if step is None else int(step))


def seconds(run: Run) -> float | None:
    """How long the whole training took; None where the log does not say, or tells only of the last of several goes."""
    value = (run.log.end or {}).get("seconds")
    return float(value) if isinstance(value, int | float) and not run.log.resumed else None


def summary(run: Run) -> list[str]:
    """One paragraph, sentence by sentence."""
    data = run.section("dataset")
    name = str(data.get("name") or run.section("facts").get("source") or "its images")
    epochs, steps = trained(run)
    length = f" for {_count(epochs)} epoch{'' if epochs == 1 else 's'}" if epochs else ""
    length = length or (f" for {steps:,} steps" if steps else "")
    taken = seconds(run)
    time = f", which took {duration(taken)}" if taken is not None else ""
    images = run.section("facts").get("images") or data.get("train")
    train = f"{int(images):,} images of {name}" if images else name
    said = [f"An encoder was trained with {run.recipe.get('recipe', 'a recipe of its own')} on {train}{length}{time}."]
    if data.get("test") and run.scores:
        said.append(f"It was then frozen and tested on {int(data['test']):,} images that it had not been trained on.")
    said.extend(_ending(run))
    names = headlines(run)
    if not names:
        if run.scores is None:
            said.append("It has not been evaluated yet, so this page shows only how the training went.")
        elif not run.classes:
            said.append(
                "There are no labels, so nothing can be right or wrong; what can be said is how the images lie."
            )
        return said
    ours = run.measure("learned", names[0])
    theirs, untrained = run.measure("pixels", names[0]), run.measure("untrained", names[0])
    assert ours is not None
    assert theirs is not None
    share = is_share(ours)
    held = f" (95 % interval {interval(ours, ' to ')})" if interval(ours) else ""
    who = {
        "knn_accuracy": "A vote of the nearest neighbours names the class of {} of them rightly",
        "linear_probe": "A linear classifier on top names the class of {} of them rightly",
    }.get(ours.name, f"{ours.label} is {{}}")
    said.append(who.format(figure(ours.value, share)) + held + ".")
    gap = paired(run, ours.name, "pixels")
    given = figure(theirs.value, share)
    if gap is None:
        said.append(f"The raw pixels alone give {given}; without intervals, it stays open whether that differs.")
    else:
        verdict = {
            "better": f"That is better than the raw pixels alone, which give {given}: {points(gap, share)}.",
            "worse": f"That is worse than the raw pixels alone, which give {given}: {points(gap, share)}.",
            "alike": f"The raw pixels alone give {given}, and on this test set the two cannot be told apart: "
            f"{points(gap, share)}.",
        }
        said.append(verdict[gap.verdict])
    if untrained is not None:
        before = paired(run, ours.name, "untrained")
        tail = f"; what training changed is {points(before, share)}" if before else ""
        said.append(f"The same encoder before training gives {figure(untrained.value, share)}{tail}.")
    return said


def answers(run: Run, *, views: int) -> list[Answer]:
    """Better than pixels? Which classes merge? Collapsed? What was seen? What next?

    Args:
        run: read from its folder.
        views: how many augmented views of an image the page can show.
    """
    health = _health(run)
    return [a for a in (_better(run), _merging(run), health, _seen(run, views), _next(run, health)) if a is not None]


def _ending(run: Run) -> list[str]:
    if not run.log.steps:
        return []
    reason = (run.log.end or {}).get("reason")
    told = {
        "interrupted": "The training was interrupted before its planned end.",
        "max-time": "The training stopped when its time was up, before its planned end.",
        None: "The log has no end: the training is still under way, or was stopped by an error or from outside.",
    }
    return [told[reason]] if reason in told else []


def _better(run: Run) -> Answer | None:
    if run.scores is None:
        return Answer("Better than raw pixels?", "Not evaluated yet", "There are no scores in the run folder.")
    names = headlines(run)
    verdicts = [
        gap.verdict for m in run.measures.get("learned", ()) if comparable(m) and (gap := paired(run, m.name, "pixels"))
    ]
    tally = [(verdicts.count(kind), kind) for kind in ("better", "worse", "alike")]
    worded = {"better": "better on {}", "worse": "worse on {}", "alike": "not to be told apart on {}"}
    counted = ", ".join(worded[kind].format(n) for n, kind in tally if n)
    over = f"Of {len(verdicts)} scores with intervals: {counted}." if len(verdicts) > 1 else ""
    if not names:
        why = "No accuracy was measured for both." if run.classes else "It takes labels to say so."
        return Answer("Better than raw pixels?", "Cannot be said", over or why, link="scores")
    ours = run.measure("learned", names[0])
    gap = paired(run, names[0], "pixels")
    if gap is None or ours is None:
        return Answer("Better than raw pixels?", "Cannot be said", "The scores carry no intervals.", link="scores")
    short = {"better": "Yes", "worse": "No, worse", "alike": "Cannot be told apart"}[gap.verdict]
    how = "bootstrapped over the same test images" if gap.paired else "from the two separate intervals"
    detail = f"{_upper(ours.label)}: {points(gap, is_share(ours))}, {how}. {over}"
    return Answer(
        "Better than raw pixels?", short, detail, {"better": "good", "worse": "bad"}.get(gap.verdict, "plain"), "scores"
    )


def _merging(run: Run) -> Answer | None:
    if len(run.classes) < 2 or not run.details("learned").get("confusion"):
        return None
    pairs = [pair for pair in confused(run) if pair.share >= 0.01][:3]
    if not pairs:
        return Answer("Which classes merge?", "None", "No two classes share 1 % of their images.", "good", "classes")
    names = run.classes
    short = ", ".join(f"{names[p.first]} and {names[p.second]}" for p in pairs[:2])
    told = [
        f"{names[p.first]} was taken for {names[p.second]} ({_times(p.forward)}"
        + (f"; the other way {_times(p.backward)})" if p.backward else ")")
        for p in pairs
    ]
    who = judge(run)
    detail = f"{f'by the {who}, ' if who else ''}{', '.join(told)}"
    return Answer("Which classes merge?", short, f"{_upper(detail)}.", "plain", "classes")


def _health(run: Run) -> Answer | None:
    spectrum = [float(v) for v in run.details("learned").get("spectrum_h") or () if isinstance(v, int | float)]
    spectrum = [v for v in spectrum if math.isfinite(v)]
    if not spectrum or max(spectrum) <= 0:
        return None
    used = sum(v > ALIVE * max(spectrum) for v in spectrum)
    rows = int((run.scores or {}).get("test_rows") or 0)
    most = min(len(spectrum), rows - 1) if rows > 1 else len(spectrum)  # so many directions can n centred rows have
    rank = run.measure("learned", "effective_rank")
    ranked = f"effective rank {figure(rank.value, False)}" if rank else ""
    before = run.measure("untrained", "effective_rank")
    ranked += f" (untrained {figure(before.value, False)})" if rank and before else ""
    room = f"{used} of {most} directions carry more than a ten-thousandth of the strongest"
    detail = f"{room}{'; ' + ranked if ranked else ''}."
    alike = _mean_similarity(run)
    if alike is not None and alike > 0.995:
        told = f"Images of different classes have a mean cosine of {alike:.3f}: all look the same to it. {detail}"
        return Answer("Collapsed or healthy?", "Collapsed", told, "bad", "geometry")
    if used < 0.25 * most or (rank is not None and rank.value < 2 < most):
        return Answer("Collapsed or healthy?", "Partly collapsed: few directions are used", detail, "bad", "geometry")
    return Answer("Collapsed or healthy?", "No sign of collapse", detail, "good", "geometry")


def _mean_similarity(run: Run) -> float | None:
    held = run.details("learned").get("similarity") or {}
    edges: Sequence[float] = held.get("edges") or ()
    counts: Sequence[float] = held.get("inter") or ()
    if not counts or sum(counts) == 0:
        return None
    centres = [(float(edges[i]) + float(edges[i + 1])) / 2 for i in range(len(counts))]
    return sum(c * n for c, n in zip(centres, counts, strict=True)) / sum(counts)


def _seen(run: Run, views: int) -> Answer | None:
    data = run.section("dataset")
    images = run.section("facts").get("images") or data.get("train")
    if not images:
        return None
    epochs, _ = trained(run)
    classes = f" of {len(run.classes)} classes" if run.classes else ""
    each = f"Each about {_count(epochs)} times, under new random views every time. " if epochs and epochs >= 1.5 else ""
    left = max(len(run.skipped), int(data.get("skipped") or 0))
    skipped = f"{left:,} file{' was' if left == 1 else 's were'} left out. " if left else ""
    blind = "The labels were not used. " if classes and _label_free(run) else ""
    link = "views" if views else "data"
    return Answer(
        "What was seen in training?", f"{int(images):,} images{classes}", f"{each}{blind}{skipped}".strip(), link=link
    )


def _label_free(run: Run) -> bool:
    """Whether positives were views of one image and nothing else in the loss could see a label."""
    parts = run.section("parts")
    kinds = [str((parts.get(name) or {}).get("part", "")).rpartition(":")[2] for name in ("pairing", "objective")]
    return kinds == ["SameSample", "Contrast"]


def _next(run: Run, health: Answer | None) -> Answer | None:
    if run.scores is None:
        if not run.log.end or run.log.end.get("reason") != "finished":
            return Answer(
                "What to try next?",
                "Let it finish",
                f"“counterpoint train --resume --out {run.folder}” goes on with it.",
            )
        said = f"“counterpoint evaluate {run.folder}” measures what the encoder has learned."
        return Answer("What to try next?", "Evaluate it", said)
    hints: list[tuple[str, str]] = []
    if health is not None and health.tone == "bad":
        hints.append(
            ("Undo the collapse", "A higher temperature, a lower learning rate or a larger batch usually helps.")
        )
    if (run.log.end or {}).get("reason") in ("interrupted", "max-time"):
        hints.append(("Let it finish", "The run stopped before its planned end."))
    elif (drop := _still_falling(run)) is not None:
        hints.append(("Train longer", f"The loss still fell by {drop * 100:.0f} % in the last tenth of the steps."))
    names = headlines(run)
    ours = run.measure("learned", names[0]) if names else None
    epochs, _ = trained(run)
    if not hints and epochs and epochs < LONG and _label_free(run) and (ours is None or ours.value < 0.95):
        told = f"{_count(epochs)} epochs are few for contrast without labels, which often goes on gaining for hundreds."
        hints.append(("Train longer", told))
    gap = paired(run, names[0], "pixels") if names else None
    if gap is not None and gap.verdict != "better":
        told = "They should keep what tells the classes apart and change the rest; then more epochs, a larger encoder."
        hints.append(("Question the views", told))
    pairs = [p for p in confused(run) if p.share >= 0.02]
    if pairs:
        one, other = run.classes[pairs[0].first], run.classes[pairs[0].second]
        told = f"Check that no view removes what tells {one} from {other} (colour, orientation, detail)."
        hints.append((f"Look at {one} and {other}", told))
    if not run.classes:
        hints.append(("Label a few images", "A handful for each class is enough to score the representation."))
    if not hints:
        hints.append(("Try it with other seeds", "One run says little about the spread between runs."))
    return Answer(
        "What to try next?", hints[0][0], " ".join([hints[0][1], *(f"{a}: {_lower(b)}" for a, b in hints[1:3])])
    )


def _still_falling(run: Run) -> float | None:
    losses = [float(s["loss"]) for s in run.log.steps if isinstance(s.get("loss"), int | float)]
    losses = [v for v in losses if math.isfinite(v)]
    tenth = len(losses) // 10
    if tenth < 2:
        return None
    last, before = sum(losses[-tenth:]) / tenth, sum(losses[-2 * tenth : -tenth]) / tenth
    drop = (before - last) / abs(before) if before else 0.0
    return drop if drop > 0.02 else None


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")


def _upper(sentence: str) -> str:
    """A capital at the start, but not in a name such as kNN."""
    return sentence if sentence[1:2].isupper() else sentence[:1].upper() + sentence[1:]


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"
