"""The charts of a run: how it learned, and the shape of what it learned."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from counterpoint.report.charts import Axis, Chart, Line, thin
from counterpoint.report.run import ENCODERS, Run

__all__ = [
    "NAMES",
    "curve",
    "epoch_of",
    "epochs_of",
    "events",
    "few_labels",
    "geometry",
    "loss",
    "number",
    "readings",
    "smooth",
    "spectrum",
    "training",
]

NAMES = {"learned": "learned", "pixels": "raw pixels", "untrained": "untrained"}


def training(run: Run) -> list[Chart]:
    """Loss, its terms, the learning rate, and the accuracy on the validation split."""
    steps = run.log.steps
    epochs, unit, marks = epochs_of(run), Axis("epochs", low=0.0), events(run)
    charts: list[Chart] = []
    lines = list(loss(run))
    if lines:
        ceiling = readings(run, "ceiling")
        note = "What training made smaller."
        if ceiling is not None:
            lines.append(Line("ceiling", *ceiling, "chance"))
            note += " Dashed: its ceiling, the loss of a network that tells nothing apart."
        charts.append(Chart("Loss", note, tuple(lines), unit, Axis("loss"), marks))
    if run.log.validations:
        x = [float(v["epoch"]) for v in run.log.validations]
        lines = [
            Line(label, *thin(x, [number(v.get(key)) for v in run.log.validations]), f"s-{style}")
            for style, (key, label) in enumerate(_followed(run.log.validations))
        ]
        note = "Followed on images kept apart from training and from the test."
        charts.append(Chart("Validation", note, tuple(lines), unit, Axis("accuracy", percent=True), marks))
    terms = sorted({name for s in steps for name in s.get("terms") or {}})
    if len(terms) > 1:
        lines = [
            Line(name, *thin(epochs, [number((s.get("terms") or {}).get(name)) for s in steps]), f"s-{i % 10}")
            for i, name in enumerate(terms)
        ]
        charts.append(Chart("Terms of the loss", "Its parts, one by one.", tuple(lines), unit, Axis("value"), marks))
    rates = [number(s.get("lr")) for s in steps]
    if any(map(math.isfinite, rates)):
        line = Line("learning rate", *thin(epochs, rates), "s-plain")
        charts.append(Chart("Learning rate", "How large the steps were.", (line,), unit, Axis("rate", low=0.0), marks))
    return charts


def epochs_of(run: Run) -> list[float]:
    """Of each logged step."""
    return [float(s.get("epoch", s["step"])) for s in run.log.steps]


def events(run: Run) -> tuple[tuple[float, str], ...]:
    """What happened on the way: the run was taken up again, the doctor found something or saw it go."""
    told = [(step, f"taken up again at step {step:,}") for step in run.log.resumed]
    for finding in run.log.findings:
        told.append((finding.step, f"the doctor: {finding.title}, step {finding.step:,}"))
        if finding.until is not None:
            told.append((finding.until, f"gone again: {finding.title}, step {finding.until:,}"))
    return tuple((epoch_of(run, step), text) for step, text in told)


def loss(run: Run) -> tuple[Line, ...]:
    """The loss, with its smoothed course where it is noisy."""
    losses = [number(s.get("loss")) for s in run.log.steps]
    if not any(map(math.isfinite, losses)):
        return ()
    epochs = epochs_of(run)
    if len(losses) <= 60:
        return (Line("loss", *thin(epochs, losses), "s-learned"),)
    course = smooth(losses, max(5, len(losses) // 40))
    faint = Line("", *thin(epochs, losses), "s-learned faint")
    return faint, Line("loss, smoothed", *thin(epochs, course), "s-learned")


def readings(run: Run, name: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Epochs and values of one of the doctor's readings; None where it was never read."""
    return curve(epochs_of(run), [number((s.get("health") or {}).get(name)) for s in run.log.steps])


def curve(x: Sequence[float], y: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The finite points, thinned; None where there are none."""
    held = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
    return thin([a for a, _ in held], [b for _, b in held]) if held else None


def few_labels(run: Run) -> list[Chart]:
    """Accuracy of the linear probe against the number of labels that it was given."""
    lines: list[Line] = []
    for encoder in ENCODERS:
        rows = [r for r in run.details(encoder).get("few_label") or () if r.get("rows") and r.get("mean") is not None]
        rows.sort(key=lambda row: row["rows"])
        if len(rows) > 1:
            xs, ys = tuple(float(r["rows"]) for r in rows), tuple(float(r["mean"]) for r in rows)
            lines.append(Line(NAMES[encoder], xs, ys, f"s-{encoder}"))
    note = "A linear classifier that sees the labels of only so many training images; mean over several draws of them."
    x, y = Axis("labelled images", log=True), Axis("accuracy", percent=True)
    return [Chart("With few labels", note, tuple(lines), x, y)] if lines else []


def geometry(run: Run) -> list[Chart]:
    """Singular spectra, similarities within and between classes, verification."""
    charts: list[Chart] = []
    spectra = [spectrum(run, encoder, "spectrum_h", NAMES[encoder], f"s-{encoder}") for encoder in ENCODERS]
    spectra.append(spectrum(run, "learned", "spectrum_z", "projection z", "s-projection"))
    lines = tuple(line for line in spectra if line is not None)
    if lines:
        long = max(len(run.details(encoder).get("spectrum_h") or ()) for encoder in ENCODERS) > 64
        note = (
            "How much of the embeddings lies along each direction, the strongest set to 1. A curve that falls off a "
            "cliff has collapsed onto few directions; a long, even slope uses the space."
        )
        # Singular values beyond single precision are rounding.
        axis = Axis("share of the strongest", log=True, high=1.0)
        charts.append(Chart("Singular spectrum", note, lines, Axis("direction", log=long, low=1.0), axis))
    charts.extend(_similarities(run))
    roc = [
        Line(NAMES[encoder], *thin(map(number, curve["fpr"]), map(number, curve["tpr"]), 160), f"s-{encoder}")
        for encoder in ENCODERS
        if (curve := run.details(encoder).get("roc")) and curve.get("fpr")
    ]
    if roc:
        chance = Line("", (0.0, 1.0), (0.0, 1.0), "chance")
        note = "Pairs of images taken for one class by their similarity: the higher, the better. Dashed: guessing."
        x = Axis("different-class pairs taken for one", low=0.0, high=1.0, percent=True)
        y = Axis("same-class pairs found", low=0.0, high=1.0, percent=True)
        charts.append(Chart("Same class or not?", note, (chance, *roc), x, y))
    return charts


def _similarities(run: Run) -> list[Chart]:
    found = {encoder: h for encoder in ENCODERS if (h := run.details(encoder).get("similarity"))}
    kinds = (("intra", "same class", "s-intra"), ("inter", "different classes", "s-inter"))
    curves = {
        encoder: [
            (label, style, *_density(held["edges"], held[key])) for key, label, style in kinds if _mass(held.get(key))
        ]
        for encoder, held in found.items()
    }
    seen = [
        x
        for lines in curves.values()
        for _, _, xs, ys in lines
        for x, y in zip(xs, ys, strict=True)
        if y > 0.002 * max(ys)
    ]
    if not seen:
        return []
    x = Axis("cosine similarity of two images", low=max(-1.0, min(seen) - 0.02), high=min(1.0, max(seen) + 0.02))
    charts: list[Chart] = []
    for encoder, lines in curves.items():
        both = len(lines) == 2
        note = {
            "learned": "The less the two hills overlap, the better similarity alone tells the classes apart."
            if both
            else "How alike two test images are, drawn at random.",
            "pixels": "The same, for the bare pixels.",
            "untrained": "The same, before training.",
        }[encoder]
        drawn = tuple(Line(label if both else "all pairs", xs, ys, style, fill=True) for label, style, xs, ys in lines)
        title = f"Similarity, {NAMES[encoder]}"
        charts.append(Chart(title, note, tuple(_within(line, x) for line in drawn), x, Axis("density", low=0.0)))
    return charts


def _within(line: Line, axis: Axis) -> Line:
    low = -1.0 if axis.low is None else axis.low
    high = 1.0 if axis.high is None else axis.high
    kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if low <= x <= high]
    return Line(line.label, tuple(x for x, _ in kept), tuple(y for _, y in kept), line.style, line.fill)


def _mass(counts: Sequence[float] | None) -> bool:
    return bool(counts) and sum(counts) > 0


def _density(edges: Sequence[float], counts: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pairs of bins joined, as a density in steps: both edges of every bin."""
    total = float(sum(counts))
    step = 2 if len(counts) % 2 == 0 else 1
    xs, ys = [], []
    for i in range(0, len(counts), step):
        low, high = float(edges[i]), float(edges[i + step])
        xs += [low, high]
        ys += [float(sum(counts[i : i + step])) / total / (high - low)] * 2
    return tuple(xs), tuple(ys)


def spectrum(run: Run, encoder: str, key: str, label: str, style: str) -> Line | None:
    """Singular values relative to the strongest; None where there are none."""
    values = [v for v in map(number, run.details(encoder).get(key) or ()) if math.isfinite(v) and v > 0]
    if not values:
        return None
    values.sort(reverse=True)
    kept = [v / values[0] for v in values if v / values[0] > 1e-7]
    if len(kept) <= 200:
        return Line(label, tuple(float(i + 1) for i in range(len(kept))), tuple(kept), style)
    places = sorted({round(len(kept) ** (i / 199)) for i in range(200)})  # evenly on the logarithmic axis
    return Line(label, tuple(float(i) for i in places), tuple(kept[i - 1] for i in places), style)


def _followed(validations: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    keys = dict.fromkeys(k for v in validations for k, value in v.items() if isinstance(value, int | float))
    told = {"knn_accuracy": "nearest neighbours"}
    return [(k, told.get(k, k.replace("_", " "))) for k in keys if "accuracy" in k]


def epoch_of(run: Run, step: int) -> float:
    """The epoch of a step, from the log."""
    near = min(run.log.steps, key=lambda s: abs(s["step"] - step), default=None)
    return float(near.get("epoch", step)) if near else 0.0


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Mean over `window` neighbours, centred; fewer towards both ends, so that the curve does not lag."""
    half = window // 2
    totals, counts = [0.0], [0]
    for value in values:
        fine = math.isfinite(value)
        totals.append(totals[-1] + (value if fine else 0.0))
        counts.append(counts[-1] + fine)
    smooth: list[float] = []
    for i, value in enumerate(values):
        reach = min(half, i, len(values) - 1 - i)
        low, high = i - reach, i + reach + 1
        smooth.append((totals[high] - totals[low]) / (counts[high] - counts[low]) if math.isfinite(value) else math.nan)
    return smooth


def number(value: Any) -> float:
    """A logged value, nan where it is none."""
    return float(value) if isinstance(value, int | float) else math.nan
