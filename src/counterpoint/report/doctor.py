"""What the doctor read while the run was trained, as curves with what a healthy one looks like."""

from dataclasses import dataclass

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.figures import events, readings
from counterpoint.report.run import Finding, Run

__all__ = ["Vital", "course", "vitals"]


@dataclass(frozen=True)
class Vital:
    """A chart of readings: (name, label, style) of each."""

    title: str
    note: str
    healthy: str
    lines: tuple[tuple[str, str, str], ...]
    axis: Axis


VITALS = (
    Vital(
        "Effective rank",
        "Over how many directions the embeddings of a batch spread, as if they did so evenly: h is what is used "
        "afterwards, z what the loss compares.",
        "it rises or settles. Falling towards 1 is a collapse onto a few directions.",
        (
            ("rank_h", "representation h", "s-learned"),
            ("room_h", "at most for h", "chance"),
            ("rank_z", "projection z", "s-projection"),
        ),
        Axis("directions", low=0.0),
    ),
    Vital(
        "Similarity of pairs",
        "Mean cosine similarity of rows that belong together (positives) and of all others (negatives).",
        "the positives lie well above the negatives. Both near 1: everything looks the same.",
        (("positive", "positives", "s-intra"), ("negative", "negatives", "s-inter")),
        Axis("cosine similarity"),
    ),
    Vital(
        "Finding its partner",
        "How often a row's own partner is the most similar of the batch. Dashed: by guessing.",
        "well above guessing, and rising.",
        (("accuracy", "partner found", "s-learned"), ("chance", "guessing", "chance")),
        Axis("share of rows", low=0.0, percent=True),
    ),
    Vital(
        "Alignment and uniformity",
        "Alignment: squared distance of partners, lower is closer. Uniformity: how evenly the rows cover the sphere, "
        "lower is more even.",
        "both go down, or one does while the other stays. Alignment at 0 with uniformity at 0 is collapse.",
        (("alignment", "alignment", "s-intra"), ("uniformity", "uniformity", "s-inter")),
        Axis("value"),
    ),
    Vital(
        "Spread",
        "How far the embeddings of a batch lie apart: 1 where they point evenly everywhere, 0 where all are one.",
        "steady and away from 0.",
        (("std_h", "representation h", "s-learned"), ("std", "projection z", "s-projection")),
        Axis("spread", low=0.0),
    ),
    Vital(
        "Use of prototypes",
        "Over how many prototypes the targets are spread, as if they were so evenly: those of all images of a batch "
        "together, and that of one image.",
        "all together use most of them, one image far fewer. Both low: all images have the same few. Both at the top: "
        "no image's differ from another's.",
        (
            ("used", "all together", "s-learned"),
            ("used_each", "one image", "s-projection"),
            ("codes", "there are", "chance"),
        ),
        Axis("prototypes", low=0.0),
    ),
    Vital(
        "Gradient and update",
        "Length of the gradient, and of one update relative to the weights.",
        "both wander slowly. A climb by powers of ten is an explosion; a fall to nothing while the loss is high, "
        "a standstill.",
        (("grad_norm", "gradient", "s-pixels"), ("update", "update / weights", "s-learned")),
        Axis("size", log=True),
    ),
    Vital(
        "Rows that teach nothing",
        "Rows that the temperature leaves without a gradient (saturated), rows without a partner in the batch, and "
        "units of h that are always the same (dead).",
        "near 0.",
        (
            ("saturated", "saturated", "s-pixels"),
            ("no_positive", "without partner", "s-inter"),
            ("dead", "dead units", "s-untrained"),
        ),
        Axis("share", low=0.0, percent=True),
    ),
)


def vitals(run: Run) -> list[Chart]:
    """The readings that were logged."""
    charts: list[Chart] = []
    for vital in VITALS:
        found = [(label, style, read) for name, label, style in vital.lines if (read := readings(run, name))]
        lines = tuple(Line(label, x, y, style) for label, style, (x, y) in found)
        if any(line.style != "chance" for line in lines):
            unit = Axis("epochs", low=0.0)
            charts.append(Chart(vital.title, vital.note, lines, unit, vital.axis, events(run), vital.healthy))
    return charts


def course(finding: Finding) -> str:
    """When it was there."""
    if finding.until is None:
        return f"since step {finding.step:,}, to the end"
    return f"from step {finding.step:,} to step {finding.until:,}, then gone"
