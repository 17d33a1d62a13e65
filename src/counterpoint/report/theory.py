"""The page of what the theory of contrastive learning says of a run."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from counterpoint.evaluation.class_bound import Bound, Inequality
from counterpoint.evaluation.resampling import Estimate
from counterpoint.evaluation.theory import Layer, Theory
from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Section, Table
from counterpoint.report.study import write_sections
from counterpoint.report.tables import write_tables

__all__ = ["theory_sections", "write_theory"]

AS_THEY_ARE = {"h": "h as it is", "z": "z, rows of length one"}


def write_theory(target: Path, found: Theory, *, name: str, command: str, facts: Mapping[str, str]) -> Path:
    """Write the page, one file that needs nothing else, and its tables beside it.

    Args:
        target: the file; an earlier one is replaced.
        found: what was measured.
        name: of the recipe.
        command: that makes the page again.
        facts: how it was made, by name.

    Raises:
        RunError: a file cannot be written.
    """
    sections = theory_sections(found)
    write_tables(target.parent, sections)
    about = (
        "What the theory of contrastive learning says of this run: how near its embeddings are to the minima of "
        "alignment and uniformity, how much of its images two views share, what a bound promises for classification, "
        "and what the representation ignores. Intervals are of 95 %, for other test images of the same classes.",
        *found.notes,
    )
    return write_sections(
        target, title=f"Theory of {name}", about=about, sections=sections, command=command, facts=facts
    )


def theory_sections(found: Theory) -> tuple[Section, ...]:
    """The sections of the page; one that nothing was measured for is left out.

    Args:
        found: what was measured.
    """
    every = (_minima(found), _information(found), _bounds(found), _invariance(found))
    return tuple(section for section in every if section is not None)


def _text(estimate: Estimate | None, digits: int = 3) -> str | None:
    if estimate is None or not isfinite(estimate.value):
        return None
    ends = f"{estimate.low:.{digits}f}, {estimate.high:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({ends})".replace("-", "−")


def _minima(found: Theory) -> Section | None:
    layers = [layer for layer in found.layers if layer.gaps is not None and layer.limit is not None]
    if not layers:
        return None
    rows: list[tuple[str | float | None, ...]] = []
    split: list[tuple[str | float | None, ...]] = []
    lines: list[Line] = []
    for layer in layers:
        near, limit = layer.gaps, layer.limit
        assert near is not None
        assert limit is not None
        rows.append(
            (layer.name, layer.width, _text(near.alignment), _text(near.uniformity), near.uniform, _text(near.gap))
        )
        left = limit.remainder[max(limit.remainder)]
        split.append(
            (layer.name, _text(limit.attraction), _text(limit.spread), limit.uniform, _text(limit.limit), _text(left))
        )
        counts = tuple(float(count) for count in limit.remainder)
        style = "s-learned" if layer.name == "h" else "s-projection"
        lines.append(Line(layer.name, counts, tuple(each.value for each in limit.remainder.values()), style))
    most = max(max(layer.limit.remainder) for layer in layers if layer.limit is not None)
    return Section(
        "minima",
        "Alignment and uniformity, and how far they are from their minima",
        (
            "Alignment is the mean squared distance of two views of an image, at best 0; uniformity the logarithm of "
            "the mean Gaussian potential of two images, at best that of a uniform spread over the sphere, which has a "
            "closed form; few images, which can repel, may do a little better. With many negatives the contrastive "
            "loss less the logarithm of their number tends to an attraction and a spread, least at those same minima "
            "(Wang and Isola 2020, theorem 1).",
        ),
        (
            Table(
                "minima",
                "Both minima",
                ("layer", "width", "alignment", "uniformity", "of a uniform spread", "gap"),
                tuple(rows),
                "One view of test images against the other; the minimum of alignment is 0.",
            ),
            Table(
                "limit",
                f"The contrastive loss at temperature {found.temperature:g} with negatives without end",
                ("layer", "attraction", "spread", "of a uniform spread", "sum", f"left at {most:,} negatives"),
                tuple(split),
                "What is left is the loss with so many negatives less the logarithm of their number, less the sum.",
            ),
            Chart(
                "How the loss tends to its limit",
                "The loss less the logarithm of the number of negatives, less the limit.",
                tuple(lines),
                Axis("negatives", log=True),
                Axis("above the limit (nats)"),
            ),
        ),
    )


def _information(found: Theory) -> Section | None:
    rows = tuple(
        (
            one.name,
            _text(one.shared.nats),
            one.shared.ceiling,
            one.shared.batch,
            one.shared.temperature,
            one.shared.rows,
        )
        for one in found.layers
        if one.shared is not None
    )
    if not rows:
        return None
    return Section(
        "information",
        "What two views of an image share",
        (
            "A lower bound of the mutual information of two views' embeddings: log K less the contrastive loss of K "
            "pairs, whose temperature was chosen on other images. It never exceeds log K: near it, it says only that "
            "they share at least so much.",
        ),
        (
            Table(
                "information",
                "Shared information (nats)",
                ("layer", "at least", "log K", "K", "temperature", "images judged"),
                rows,
            ),
        ),
    )


def _bounds(found: Theory) -> Section | None:
    every = [(layer, one) for layer in found.layers for one in layer.bounds]
    if not every:
        return None
    singles = [(layer, one) for layer, one in every if one.negatives == 1]
    return Section(
        "bound",
        "What the bound promises for tasks among the classes",
        (
            "For pairs drawn from classes, the unsupervised loss bounds the loss of the mean classifier: "
            "(loss − τ l0) / (1 − τ), τ being the chance that a negative is of the anchor's class, and l0 the loss of "
            "such negatives alone, each with a margin of 0 (Arora et al. 2019, theorem 4.1). Of the hinge, and of one "
            "negative, l0 is 1. A bound that is not below what guessing costs promises nothing.",
            "The images are test images, and those of a tuple are different ones. Both sides are taken over the same "
            "tuples, so that there is no term of generalisation and the inequality cannot fail: the slack says how "
            "loose it is, not whether it holds.",
            "It is not claimed of the pairs that this run may have been trained on: two augmentations of one image "
            "are not independent given its class. The logistic loss is the softmax cross-entropy at temperature 1, in "
            "base 2.",
        ),
        (
            Table(
                "bound",
                "The first theorem",
                (
                    "layer", "loss", "negatives", "τ", "l0", "guessing costs", "unsupervised loss",
                    "without collision", "in collisions", "mean classifier", "bound", "slack",
                ),
                tuple(_bound_row(layer, one) for layer, one in every),
                f"Largest length of a row: {_radii(found)}.",
            ),
            Table(
                "blocks",
                "Blocks bind more tightly",
                ("layer", "loss", "block", "loss of blocks", "bound", "slack"),
                tuple(
                    (layer.name, one.loss, size, _text(one.blocks[size]), *_both(one.by_block[size]))
                    for layer, one in singles
                    for size in one.blocks
                ),
                "The mean of so many images stands for the partner and for the negative; of more than the smallest "
                "class can give twice, none.",
            ),
            Table(
                "second-theorem",
                "The second theorem: loss without collision + β s(f)",
                ("layer", "loss", "s(f)", "β", "bound", "slack"),
                tuple(
                    (layer.name, one.loss, _text(one.spread), one.beta, *_both(one.second))
                    for layer, one in singles
                    if one.second is not None
                ),
                "s(f) is how far a class spreads around its mean; β holds the constant of each loss. Of classes of "
                "few images s(f) is too large, and with it this bound, which the intervals do not know.",
            ),
            *_tasks(found),
        ),
    )  # fmt: skip


def _bound_row(layer: Layer, one: Bound) -> tuple[str | float | int | None, ...]:
    return (
        layer.name, one.loss, one.negatives, one.collision, one.at_zero, one.guess, _text(one.unsupervised),
        _text(one.unequal), _text(one.equal), _text(one.mean_classifier), *_both(one.first),
    )  # fmt: skip


def _both(one: Inequality) -> tuple[str | None, str | None]:
    return _text(one.limit), _text(one.slack)


def _radii(found: Theory) -> str:
    return ", ".join(f"{layer.bounds[0].radius:.3g} of {AS_THEY_ARE[layer.name]}" for layer in found.layers)


def _tasks(found: Theory) -> tuple[Table, ...]:
    rows = tuple(
        (
            layer.name,
            tasks.count,
            tasks.mean(tasks.losses.mean_classifier),
            tasks.mean(tasks.losses.linear),
            tasks.mean(tasks.losses.mean_accuracy),
            tasks.mean(tasks.losses.accuracy),
            _text(layer.train_loss),
            _text(layer.bounds[0].unsupervised),
        )
        for layer in found.layers
        if (tasks := layer.tasks) is not None
    )
    if not rows:
        return ()
    right = ("mean classifier right", "linear classifier right")
    return (
        Table(
            "tasks",
            "Tasks of two classes, learned from training images and judged on test images",
            (
                "layer", "tasks", "mean classifier's logistic loss", "linear classifier's", *right,
                "unsupervised hinge loss, train", "test",
            ),
            rows,
            "Losses count a coin's toss as 1. The linear classifier is a logistic regression or the mean classifier, "
            "whichever costs less on the training images. The last two columns differ by what generalisation costs. "
            "Where no interval stands, none was computed.",
            right,
        ),
    )  # fmt: skip


def _invariance(found: Theory) -> Section | None:
    layers = [layer for layer in found.layers if layer.changes]
    if not layers:
        return None
    rows = tuple(
        (layer.name, change.kind, change.strength, _text(one.moved), _text(one.kept), one.rate, _text(one.score, 1))
        for layer in layers
        for change, one in layer.changes.items()
    )
    units: list[tuple[str | float | int | None, ...]] = []
    for layer in layers:
        kept = [one.unit_kept.tolist() for one in layer.changes.values()]
        moved = [one.unit_moved.tolist() for one in layer.changes.values()]
        for unit in range(layer.width):
            told = [column[unit] if isfinite(column[unit]) else None for column in (*kept, *moved)]
            units.append((layer.name, unit, *told))
    names = tuple(f"{change.kind}, {change.strength}" for change in layers[0].changes)
    return Section(
        "invariance",
        "What the representation ignores",
        (
            "Movement is the squared distance of an image's embedding from that of the changed image, over that of "
            "two images: 0 unmoved, 1 as far as another image. A unit fires for the few images that are highest, or "
            "lowest, in it; kept is how many of those it still fires for after the change, and the score that share "
            "over the share of all images, for the fifth of units that keep most: 1 is chance (after Goodfellow et "
            "al. 2009). Thresholds and the best units were chosen on one half of the images, and the other half was "
            "judged. A unit that is constant counts as none.",
        ),
        (
            Table(
                "invariance",
                "Each change",
                ("layer", "change", "strength", "movement", "kept", "share that fires", "score"),
                rows,
            ),
            Table(
                "invariance-units",
                "Each unit",
                ("layer", "unit", *(f"kept: {name}" for name in names), *(f"movement: {name}" for name in names)),
                tuple(units),
                "Movement of a unit is the mean square of its change over twice its variance.",
                folded=True,
            ),
        ),
    )
