"""The part of the page about where the theorems end."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.studies.bound.ends import RATIOS
from counterpoint.studies.bound.grid import LOSSES, Place, of_classes
from counterpoint.studies.bound.pieces import Row, bars, pair, plain_of
from counterpoint.studies.bound.reading import mean_of, of
from counterpoint.studies.statistics import Estimate, estimate
from counterpoint.studies.study import Results

__all__ = ["beside", "shift", "unseen"]


def shift(results: Results, every: Sequence[Place]) -> Section | None:
    """The bound beside what shifted laws cost; None without any answer, as all here."""
    charts: list[Exhibit] = []
    rows: list[Row] = []
    words: list[str] = []
    for loss in LOSSES:
        plain = plain_of(every, loss)
        limit = None if plain is None else mean_of(of(results, plain, "shift", "limit", "value"))
        if plain is None or limit is None:
            continue
        lines: list[Line] = []
        for label, key, style in (
            ("mean classifier on test images", "mean classifier", "s-0"),
            ("limit of the shifted law", "limit", "s-1"),
        ):
            y = [mean_of(of(results, plain, "shift", "laws", f"{r:g}", key, "value")) for r in RATIOS]
            points = [(r, v) for r, v in zip(RATIOS, y, strict=True) if v is not None]
            lines.append(Line(label, tuple(r for r, _ in points), tuple(v for _, v in points), style))
        lines.append(Line("limit of training's law", (RATIOS[0], RATIOS[-1]), (limit, limit), "chance"))
        worst = mean_of(of(results, plain, "shift", "worst", "loss"))
        charts.append(
            Chart(
                f"The classes' law shifted, {loss}",
                "One negative, no blocks; means over seeds. To the right the hardest classes come more often.",
                tuple(lines),
                Axis("how often the hardest class comes for one of the easiest", log=True),
                Axis(f"{loss} loss", low=0.0),
            )
        )
        for ratio in RATIOS:
            path = ("shift", "laws", f"{ratio:g}")
            told = [estimate(of(results, plain, *path, key, "value")) for key in ("mean classifier", "limit", "left")]
            rows.append((loss, ratio, *(v for e in told for v in pair(e))))
        if worst is not None:
            words.append(
                f"{loss.capitalize()}: the hardest task of two classes costs {worst:.3f}, the limit is {limit:.3f}."
            )
    if not charts:
        return None
    heads = tuple(
        h for n in ("mean classifier", "limit of the shifted law", "training's limit less it") for h in (n, f"± {n}")
    )
    table = Table("shift", "The law of the classes shifted", ("loss", "ratio", *heads), tuple(rows), folded=True)
    words.append(
        "The theorem holds again for the shifted law, with the loss measured under it; what training's law promised is "
        "the level line. Which classes are hard was read off training images. The mean classifier, also of the hardest "
        "task, has means of test images, each left out of its own."
    )
    return Section("shift", "Where the classes' law has shifted", tuple(words), (*charts, table))


def unseen(results: Results, every: Sequence[Place]) -> Section | None:
    """Tasks among classes that were left out."""
    names: list[str] = []
    groups: dict[str, list[Estimate | None]] = {name: [] for name in ("trained on all", "trained on half", "untrained")}
    rows: list[Row] = []
    for loss in LOSSES:
        plain, half = plain_of(every, loss), next((p for p in every if p.half and p.loss == loss), None)
        if plain is None or half is None:
            continue
        for tasks in ("seen", "unseen"):
            names.append(f"{loss}, classes {'of both' if tasks == 'seen' else 'left out of half'}")
            sides = {
                "trained on all": (plain, ("unseen", tasks)),
                "trained on half": (half, ("unseen", tasks)),
                "untrained": (half, ("unseen", "untrained", tasks)),
            }
            for label, (place, path) in sides.items():
                found = [estimate(of(results, place, *path, key)) for key in ("accuracy", "linear", "loss")]
                groups[label].append(found[0])
                rows.append((names[-1], label, *(v for e in found for v in pair(e))))
        limit = estimate(of(results, half, "unseen", "bound"))
        rows.append(
            (f"{loss}, limit on the classes trained on", "trained on half", None, None, None, None, *pair(limit))
        )
    if not any(e for found in groups.values() for e in found):
        return None
    figure = bars(
        "Tasks of two classes that training saw, and that it did not",
        "Right answers of the mean classifier on test images, means over seeds with Student's 95 % interval.",
        names,
        groups,
        Axis("right answers", percent=True),
    )
    table = Table(
        "unseen",
        "Classes that were left out",
        ("tasks", "encoder", "mean classifier", "± mean", "logistic regression", "± logistic", "loss", "± loss"),
        tuple(rows),
        "The loss is the mean classifier's, of the run's own kind. The untrained encoder's depends on the size of its "
        "numbers.",
        percent=("mean classifier", "± mean", "logistic regression", "± logistic"),
        folded=True,
    )
    words = (
        "The theorems are of tasks among the classes that pairs are drawn from; of others they say nothing. The mean "
        "classifier has means of training images, also of the classes that training left out.",
    )
    return Section("unseen", "Classes that training never saw", words, (figure, table))


def beside(results: Results, every: Sequence[Place]) -> Section | None:
    """What SimCLR's features would cost."""
    place = next((p for p in every if p.augmentations), None)
    if place is None:
        return None
    rows: list[Row] = []
    for loss in LOSSES:
        for k in sorted({p.negatives for p in of_classes(every)}):
            path = ("promise", "test", loss, str(k))
            told = [
                estimate(of(results, place, *path, *key))
                for key in (
                    ("unsupervised", "value"),
                    ("first", "limit", "value"),
                    ("mean classifier", "value"),
                    ("guess",),
                )
            ]
            if any(told):
                rows.append((loss, k, *(v for e in told for v in pair(e))))
    if not rows:
        return None
    heads = tuple(h for n in ("loss of class pairs", "limit", "mean classifier", "guessing") for h in (n, f"± {n}"))
    table = Table(
        "beside",
        "SimCLR's features, with pairs drawn from classes afterwards",
        ("loss", "negatives", *heads),
        tuple(rows),
        "Of test images, unit rows over the root of the temperature. Nothing is claimed: it was trained on pairs of "
        "which the theorems say nothing, and its own loss bounds nothing here.",
    )
    words = (
        "Two augmentations of one image are not independent given its class, so that the theorems do not apply to the "
        "loss that SimCLR lowers. What its features would cost on class-sampled pairs is measured all the same.",
    )
    return Section("beside", "Beside: augmentation pairs, where the theorems do not apply", words, (table,))
