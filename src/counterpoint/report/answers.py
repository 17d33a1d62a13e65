"""What a reader comes to ask, answered in a few words and with what the answer rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from counterpoint.report.classes import confused, judge, merging
from counterpoint.report.numbers import amount, figure, is_share, points
from counterpoint.report.run import READINGS, Run
from counterpoint.report.verdict import comparable, paired
from counterpoint.report.words import headlines, trained

__all__ = ["Answer", "answers", "health"]

ALIVE = 1e-4  # of the strongest direction, below which one counts as unused
HEALTH = "Collapsed or healthy?"
EASY = 0.98  # accuracy of raw pixels above which there is nothing to gain
LONG = 100  # epochs from which on a contrastive run is no longer short


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


def answers(run: Run, *, views: int) -> list[Answer]:
    """Better than pixels? Which classes merge? Collapsed? What was seen? What next?

    Args:
        run: read from its folder.
        views: how many augmented views of an image the page can show.
    """
    sound = health(run)
    return [a for a in (_better(run), _merging(run), sound, _seen(run, views), _next(run, sound)) if a is not None]


def _better(run: Run) -> Answer | None:
    if run.scores is None:
        return Answer("Better than raw pixels?", "Not evaluated yet", "There are no scores in the run folder.")
    names = headlines(run)
    # Scores that are exact copies, as one label per class is where that is 1 % of them, count once.
    found = {
        (m.group, m.value, m.low, m.high, gap): gap.verdict
        for m in run.measures.get("learned", ())
        if comparable(m) and (gap := paired(run, m.name, "pixels"))
    }
    verdicts = list(found.values())
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
    pairs, names = merging(run)[:3], run.classes
    if not pairs:
        most = next(iter(confused(run)), None)
        if most is None:
            return Answer(
                "Which classes merge?", "None", "No test image was taken for another class.", "good", "classes"
            )
        n, of = most.forward + most.backward, (most.forward + most.backward) / most.share
        told = (
            f"At most {n:,} of {of:,.0f} images are mistaken between two classes "
            f"({names[most.first]} and {names[most.second]}): too few to say that they merge."
        )
        return Answer("Which classes merge?", "None clearly", told, "plain", "classes")
    short = ", ".join(f"{names[p.first]} and {names[p.second]}" for p in pairs[:2])
    told = [
        f"{names[p.first]} was taken for {names[p.second]} ({_times(p.forward)}"
        + (f"; the other way {_times(p.backward)})" if p.backward else ")")
        for p in pairs
    ]
    who = judge(run)
    detail = f"{f'by the {who}, ' if who else ''}{', '.join(told)}"
    return Answer("Which classes merge?", short, f"{_upper(detail)}.", "plain", "classes")


def health(run: Run) -> Answer | None:
    """Collapsed or healthy? The doctor watched the training, the scores the test embeddings; either can object."""
    measured = _measured(run)
    bad = [f for f in run.log.held if f.bad]
    if bad:
        collapsed = any("collapse" in f.name for f in bad)
        named = ", ".join(_lower(f.title) for f in bad)
        told = f"The doctor, at the end of training: {' '.join(f.evidence for f in bad)}"
        if measured is not None:
            agrees = measured.tone == "bad"
            told += f" The test embeddings {'agree' if agrees else 'alone show no collapse'}: {_lower(measured.detail)}"
        short = f"Collapsed: {named}" if collapsed else f"Not healthy: {named}"
        return Answer(HEALTH, short, told, "bad", "doctor")
    watched = _watched(run)
    if run.log.watched and not run.log.judged and (measured is None or measured.tone == "good"):
        told = f"{watched} {measured.detail if measured else ''}".strip()
        return Answer(HEALTH, "Too short to judge", told, "plain", "doctor")
    if measured is None:
        if not run.log.watched:
            return None
        return Answer(HEALTH, "Nothing found while training", watched, "good", "doctor")
    detail = f"{measured.detail} {watched}".strip()
    if measured.tone == "bad" and run.log.watched:
        detail += " What is judged here are the test embeddings after training."
    return Answer(HEALTH, measured.short, detail, measured.tone, measured.link)


def _watched(run: Run) -> str:
    if not run.log.watched:
        return ""
    notes = [f"“{_lower(f.title)}”" for f in run.log.held]
    gone = [f"“{_lower(f.title)}”" for f in run.log.findings if f.until is not None]
    if notes:
        return f"The doctor, who watched the training, notes {_joined(notes)}."
    if gone:
        return f"The doctor, who watched the training, saw {_joined(list(dict.fromkeys(gone)))} come and go."
    if not run.log.judged:
        n = run.log.watched
        return f"The doctor has {n} reading{'' if n == 1 else 's'} of the training, and at least {READINGS} are needed."
    return "The doctor, who watched the training, found nothing."


def _measured(run: Run) -> Answer | None:
    """What the test embeddings say."""
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
        whose = "Images of different classes" if run.classes else "Test images"
        told = f"{whose} have a mean cosine of {alike:.3f}: all look the same to it. {detail}"
        return Answer(HEALTH, "Collapsed", told, "bad", "geometry")
    if used < 0.25 * most or (rank is not None and rank.value < 2 < most):
        return Answer(HEALTH, "Partly collapsed: few directions are used", detail, "bad", "geometry")
    return Answer(HEALTH, "No sign of collapse", detail, "good", "geometry")


def _mean_similarity(run: Run) -> float | None:
    """Of images of different classes; of all test images where that was not measured, as without labels."""
    held = run.details("learned").get("similarity") or {}
    edges: Sequence[float] = held.get("edges") or ()
    counts: Sequence[float] = held.get("inter") or ()
    if not counts or sum(counts) == 0:
        if run.test is None or len(run.test.h) < 2:
            return None
        unit, n = torch.nn.functional.normalize(run.test.h.double(), dim=1), len(run.test.h)
        return (float(unit.sum(0).square().sum()) - n) / (n * (n - 1))
    centres = [(float(edges[i]) + float(edges[i + 1])) / 2 for i in range(len(counts))]
    return sum(c * n for c, n in zip(centres, counts, strict=True)) / sum(counts)


def _seen(run: Run, views: int) -> Answer | None:
    data = run.section("dataset")
    images = run.section("facts").get("images") or data.get("train")
    if not images:
        return None
    classes = f" of {len(run.classes)} classes" if run.classes else ""
    times = _passes(run, int(images))
    each = f"Each about {amount(times)} times, under new random views every time. " if times and times >= 1.5 else ""
    left = max(len(run.skipped), int(data.get("skipped") or 0))
    skipped = f"{left:,} file{' was' if left == 1 else 's were'} left out. " if left else ""
    blind = "The labels were not used. " if classes and _label_free(run) else ""
    link = "views" if views else "data"
    return Answer(
        "What was seen in training?", f"{int(images):,} images{classes}", f"{each}{blind}{skipped}".strip(), link=link
    )


def _passes(run: Run, images: int) -> float | None:
    """How often an image was seen on average: an incomplete batch at the end of an epoch is left out."""
    epochs, steps = trained(run)
    batch = run.section("parts").get("batch_size") or run.section("dials").get("batch_size")
    return epochs if steps is None or not isinstance(batch, int) else steps * batch / images


def _label_free(run: Run) -> bool:
    """Whether positives were views of one image and nothing else in the loss could see a label."""
    parts = run.section("parts")
    kinds = [str((parts.get(name) or {}).get("part", "")).rpartition(":")[2] for name in ("pairing", "objective")]
    return kinds == ["SameSample", "Contrast"]


def _next(run: Run, sound: Answer | None) -> Answer | None:
    found = next((f for f in run.log.held if f.bad), None)
    if found is not None:
        typed = found.flags or ", ".join(f"{path} = {value}" for path, value in found.settings.items())
        told = f"{found.advice} {f'To try: {typed}' if typed else ''}".strip()
        return Answer("What to try next?", f"Cure it: {_lower(found.title)}", told, link="doctor")
    if (run.log.end or {}).get("reason") == "diverged":
        told = "A lower learning rate, a higher temperature, or gradient clipping: --set optim.clip_norm=1"
        return Answer("What to try next?", "Smaller steps: it diverged", told)
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
    if sound is not None and sound.tone == "bad":
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
        told = f"{amount(epochs)} epochs are few for contrast without labels, which often goes on gaining for hundreds."
        hints.append(("Train longer", told))
    gap = paired(run, names[0], "pixels") if names else None
    theirs = run.measure("pixels", names[0]) if names else None
    if theirs is not None and theirs.value >= EASY:
        told = "The raw pixels alone name nearly all images rightly, so this test set cannot show what was learned."
        hints.append(("Take a harder test", told))
    elif gap is not None and gap.verdict != "better":
        told = "They should keep what tells the classes apart and change the rest; then more epochs, a larger encoder."
        hints.append(("Question the views", told))
    pairs = merging(run, 0.02)
    if pairs:
        one, other = run.classes[pairs[0].first], run.classes[pairs[0].second]
        kept = "orientation, detail" if run.section("facts").get("channels") == 1 else "colour, orientation, detail"
        told = f"Check that no view removes what tells {one} from {other} ({kept})."
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


def _joined(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
