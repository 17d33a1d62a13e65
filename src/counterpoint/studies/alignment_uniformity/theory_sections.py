"""The part of the page about the theory: the loss and its limit, the way to the minima, and what is known exactly."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import figure
from counterpoint.studies.alignment_uniformity.evaluators import NEGATIVES
from counterpoint.studies.alignment_uniformity.grid import NT_XENT, OBJECTIVES, Setting
from counterpoint.studies.alignment_uniformity.reading import answers, mean_of, objective_of, of
from counterpoint.studies.statistics import estimate
from counterpoint.studies.study import Results

__all__ = ["STYLES", "Row", "course", "exact", "limit"]

Row = tuple[str | float | int | bool | None, ...]
STYLES = ("s-0", "s-1", "s-2", "s-3", "s-5", "s-6", "s-7")


def limit(results: Results, every: Sequence[Setting]) -> Section | None:
    """What the contrastive loss becomes as negatives grow; None without any answer, as all here."""
    contrast = objective_of(every, NT_XENT)
    largest = max(s.batch for s in every)
    lines: list[Line] = []
    rows: list[Row] = []
    for setting in contrast:
        left = [mean_of(of(results, setting, "plane", "limit", "remainder", str(count))) for count in NEGATIVES]
        if any(v is None for v in left):
            continue
        if setting.batch == largest:
            style = STYLES[len(lines) % len(STYLES)]
            y = tuple(abs(v) for v in left if v is not None)
            lines.append(Line(setting.name, tuple(map(float, NEGATIVES)), y, style))
        told = (
            estimate(of(results, setting, "plane", "limit", key))
            for key in ("attraction", "spread", "sum", "uniform", "slope")
        )
        rows.append((setting.name, setting.batch, *(None if e is None else e.mean for e in told), *left))
    if not rows:
        return None
    chart = Chart(
        "How the loss comes to its limit",
        "The contrastive loss less the logarithm of the number of negatives, less the limit, without its sign; "
        f"batch {largest}, means over seeds.",
        tuple(lines),
        Axis("negatives", log=True),
        Axis("left (nats)", log=True),
    )
    heads = tuple(f"left at {count:,}" for count in NEGATIVES)
    table = Table(
        "limit",
        "The limit of the contrastive loss, of each encoder at its own temperature (nats)",
        ("setting", "batch", "attraction", "spread", "sum", "of a uniform spread", "slope", *heads),
        tuple(rows),
        "The attraction is least at minus one over the temperature, the spread of a uniform law. The slope is that of "
        "the logarithm of what is left by that of the number, over at least three numbers at which the draws leave no "
        "doubt that it is not 0; a dash where there are fewer, or where it changes its sign. Means over seeds.",
        folded=True,
    )
    words = (
        "Wang and Isola's first theorem splits the loss for negatives without end. Negatives are drawn from other test "
        "images of the encoder; a cold temperature needs more of them, because few of them weigh. What is left has two "
        "parts: the positive in the denominator adds to it, and that few negatives are seen takes from it.",
    )
    return Section("limit", "The contrastive loss becomes attraction and spread", words, (chart, table))


def course(results: Results, every: Sequence[Setting]) -> Section | None:
    """The gaps to both minima over training."""
    charts: list[Exhibit] = []
    largest = max(s.batch for s in every)
    for objective in OBJECTIVES:
        own = [s for s in objective_of(every, objective) if s.batch == largest and (s.alpha, s.t) == (2, 2)]
        shown = own[:: max(1, len(own) // len(STYLES) + 1)]
        for term in ("alignment", "uniformity"):
            lines: list[Line] = []
            for setting, style in zip(shown, STYLES, strict=False):
                read = answers(results, setting, "gap")
                if read and read[0]["steps"]:
                    least = read[0]["uniform"] if term == "uniformity" else 0.0
                    y = tuple(v - least for v in read[0][term])
                    lines.append(Line(setting.name, tuple(map(float, read[0]["steps"])), y, style))
            if lines:
                charts.append(
                    Chart(
                        f"Gap of {term} over training, {objective}",
                        "Of z in training batches, the first seed; 0 is the minimum over all laws, below which a "
                        "few points that repel each other may lie.",
                        tuple(lines),
                        Axis("step"),
                        Axis(f"{term} above its minimum"),
                    )
                )
    words = (
        "From the readings that every run logs: 256 images of a batch, with the views that are trained on. Where all "
        "images lie in one point alignment is perfect and uniformity worst, so that the one may be lost as the other "
        "is won.",
    )
    return Section("course", "How far both minima are, over training", words, tuple(charts)) if charts else None


def exact(results: Results, every: Sequence[Setting]) -> Section | None:
    """Free points, and known laws."""
    read = answers(results, every[0], "closed forms")
    if not read:
        return None
    said = {"points": "Free points, optimised by a term alone", "laws": "Laws of images that are known"}
    tables = tuple(
        Table(
            f"closed-{key}",
            title,
            ("case", "found", "closed form", "largest difference over seeds"),
            tuple(
                (
                    one["case"],
                    one["found"],
                    one["exact"],
                    max(abs(seed[key][i]["found"] - seed[key][i]["exact"]) for seed in read),
                )
                for i, one in enumerate(read[0][key])
            ),
            f"{len(read)} {'seed' if len(read) == 1 else 'seeds'}; what was found is of the first.",
        )
        for key, title in said.items()
    )
    worst = max(seed["worst minimum"] for seed in read)
    return Section("exact", f"Free points reach the closed forms to {figure(worst, False)}", exhibits=tables)
