"""Curves of several runs laid over one another."""

from collections.abc import Callable, Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.comparison.together import Together
from counterpoint.report.figures import curve, epochs_of, number, readings, smooth, spectrum
from counterpoint.report.run import Run

__all__ = ["geometry", "training", "vitals"]

# Readings of the doctor that are laid over one another: name, title, what a healthy curve looks like, axis.
READINGS = (
    (
        "rank_h",
        "Effective rank of h",
        "it rises or settles; falling to 1 is a collapse.",
        Axis("directions", low=0.0),
    ),
    ("negative", "Similarity of negatives", "it stays well below 1.", Axis("cosine similarity")),
    ("accuracy", "Finding its partner", "it rises well above guessing.", Axis("share of rows", low=0.0, percent=True)),
    ("grad_norm", "Gradient norm", "it wanders slowly, without leaps by powers of ten.", Axis("size", log=True)),
)


def _overlay(
    together: Together, lines: Callable[[Run], tuple[Sequence[float], Sequence[float]] | None]
) -> tuple[Line, ...]:
    found = [(i, xy) for i, run in enumerate(together.runs) if (xy := lines(run))]
    return tuple(Line(together.names[i], tuple(x), tuple(y), f"s-{i}") for i, (x, y) in found)


def training(together: Together) -> list[Chart]:
    """Loss, validation, learning rate and pace."""
    unit = Axis("epochs", low=0.0)

    def logged(name: str, window: bool) -> Callable[[Run], tuple[Sequence[float], Sequence[float]] | None]:
        def lines(run: Run) -> tuple[Sequence[float], Sequence[float]] | None:
            values = [number(s.get(name)) for s in run.log.steps]
            values = smooth(values, max(5, len(values) // 40)) if window and len(values) > 60 else values
            return curve(epochs_of(run), values)

        return lines

    def validated(run: Run) -> tuple[Sequence[float], Sequence[float]] | None:
        rows = run.log.validations
        return curve([float(v["epoch"]) for v in rows], [number(v.get("knn_accuracy")) for v in rows])

    rate, share, speed = Axis("rate", low=0.0), Axis("accuracy", percent=True), Axis("images per second", low=0.0)
    found = (
        ("Loss", "What training made smaller, smoothed.", logged("loss", True), Axis("loss")),
        ("Validation", "Nearest neighbours on images kept apart.", validated, share),
        ("Learning rate", "How large the steps were.", logged("lr", False), rate),
        ("Pace", "Smoothed; other work on the machine shows too.", logged("images_per_second", True), speed),
    )
    charts = [Chart(title, note, _overlay(together, lines), unit, axis) for title, note, lines, axis in found]
    return [chart for chart in charts if chart.lines]


def geometry(together: Together) -> list[Chart]:
    """Spectra, and accuracy with few labels."""
    charts: list[Chart] = []
    named = enumerate(zip(together.names, together.runs, strict=True))
    spectra = [spectrum(run, "learned", "spectrum_h", name, f"s-{i}") for i, (name, run) in named]
    lines = tuple(line for line in spectra if line is not None)
    if lines:
        long = max(len(line.x) for line in lines) > 64
        note = (
            "How much of the embeddings lies along each direction, the strongest set to 1. A cliff means that few "
            "directions are used. Encoders of other widths have another number of directions."
        )
        axis = Axis("share of the strongest", log=True, high=1.0)
        charts.append(Chart("Singular spectrum", note, lines, Axis("direction", log=long, low=1.0), axis))

    def few(run: Run) -> tuple[Sequence[float], Sequence[float]] | None:
        rows = [r for r in run.details("learned").get("few_label") or () if r.get("rows") and r.get("mean") is not None]
        rows.sort(key=lambda r: r["rows"])
        return curve([float(r["rows"]) for r in rows], [float(r["mean"]) for r in rows]) if len(rows) > 1 else None

    labelled = _overlay(together, few)
    if labelled:
        note = "A linear classifier that sees the labels of only so many training images; mean over several draws."
        x, y = Axis("labelled images", log=True), Axis("accuracy", percent=True)
        charts.append(Chart("With few labels", note, labelled, x, y))
    return charts


def vitals(together: Together) -> list[Chart]:
    """The doctor's readings of all runs over one another, one chart for each that says most by itself."""
    charts: list[Chart] = []
    for name, title, healthy, axis in READINGS:

        def read(run: Run, name: str = name) -> tuple[Sequence[float], Sequence[float]] | None:
            return readings(run, name)

        lines = _overlay(together, read)
        if lines:
            charts.append(Chart(title, "", lines, Axis("epochs", low=0.0), axis, healthy=healthy))
    return charts
