"""The page of a run's attributes: which can be read, whether their probabilities hold, what they look like."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from counterpoint.evaluation.calibration import BINS
from counterpoint.evaluation.readability import TOLERANCE, Reading
from counterpoint.evaluation.resampling import Estimate
from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Pictures, Section, Table
from counterpoint.report.numbers import per_cent
from counterpoint.report.study import write_sections
from counterpoint.types import Images

__all__ = ["GAPS", "UNIONS", "attribute_sections", "interval_of", "write_attributes"]

SHOWN = 6  # images of either end of a row
FEW = 10  # images of a bin, below which a curve leaves it out
GAPS = ("above raw pixels", "above chance (shuffled labels)", "against random unions of as many classes")
UNIONS = (
    "Random unions of as many classes are shown and do not decide: where any union of classes is linearly separable, "
    "as contrastive representations are said to make it, each reads as well as a named one, and none could be better."
)


def write_attributes(
    target: Path,
    about: Mapping[str, Any],
    readings: Sequence[Reading],
    *,
    images: UInt8[Tensor, "image channel height width"] | Images,
    probabilities: Float[Tensor, "image attribute"],
    truths: Int64[Tensor, "image attribute"] | None,
    distances: Float[Tensor, "image plane"],
    command: str,
) -> Path:
    """Write the page: one file that needs nothing else.

    Args:
        target: the file; an earlier one is replaced.
        about: what is stored beside the heads.
        readings: of the attributes.
        images: that are shown.
        probabilities: of each attribute, for these images.
        truths: 1 has it, 0 has it not, -1 unknown; None where nobody knows.
        distances: from each plane.
        command: that makes the page again.

    Raises:
        RunError: the page cannot be written.
    """
    sections = attribute_sections(about, readings, images, probabilities, truths, distances)
    label = about.get("label")
    facts = {
        "data": f"{about['dataset']}, {about['train']:,} training and {about['test']:,} test images",
        "rows": str(about["roles"]),
        "heads": "logistic regression on standardised features, penalty chosen on held-out training rows, all at once",
        "probabilities": "Platt's sigmoid on held-out rows",
        "seed": str(about["seed"]),
    }
    if label:
        value, low, high = label["accuracy"]
        facts["class"] = (
            f"a linear classifier names {per_cent(value)} ({per_cent(low)} to {per_cent(high)}) of "
            f"{label['rows']:,} test images rightly; calibration error {label['error']:.3f}"
        )
    return write_sections(
        target,
        title=f"Attributes of {about['dataset']}",
        about=_summary(readings, about),
        sections=sections,
        command=command,
        facts=facts,
    )


def _summary(readings: Sequence[Reading], about: Mapping[str, Any]) -> tuple[str, ...]:
    said: list[str] = []
    if readings:
        good = [one.name for one in readings if one.readable]
        said.append(
            f"{len(good)} of {len(readings)} attributes can be read off the embeddings of {about['dataset']}"
            + (f": {_listed(good)}." if good else ".")
        )
        bad = [f"{one.name} ({one.why})" for one in readings if not one.readable]
        if bad:
            said.append(f"Not readable: {'; '.join(bad)}.")
        unions = [one.over_union for one in readings if one.over_union is not None]
        if unions:
            better, worse = sum(gap.low > 0 for gap in unions), sum(gap.high < 0 for gap in unions)
            said.append(
                f"Against random unions of as many classes, {better or 'none'} of the {len(unions)} sets of classes "
                f"{'has' if better < 2 else 'have'} a larger AUROC with the whole interval, and {worse or 'none'} a "
                f"smaller one. {UNIONS}"
            )
    if about["sought"]:
        count = len(about["valleys"]) or "No"
        said.append(
            f"{count} plane{'' if count == 1 else 's'} of {about['sought']} looked for "
            f"{'was' if count == 1 else 'were'} found without labels, where the embeddings are thin."
        )
    return tuple(said)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def attribute_sections(
    about: Mapping[str, Any],
    readings: Sequence[Reading],
    images: UInt8[Tensor, "image channel height width"] | Images,
    probabilities: Float[Tensor, "image attribute"],
    truths: Int64[Tensor, "image attribute"] | None,
    distances: Float[Tensor, "image plane"],
) -> list[Section]:
    """The sections of the page; arguments as in `write_attributes`."""
    sections: list[Section] = []
    if readings:
        sections += [
            _readable(readings, about),
            _calibrated(readings),
            _pictured(readings, images, probabilities, truths),
        ]
    if about["valleys"]:
        sections.append(_planes(about["valleys"], images, distances))
    return sections


def interval_of(estimate: Estimate | None, *, signed: bool = False) -> str:
    """`0.981 (0.977 to 0.985)`, with as many digits as the interval needs; a dash where there is none."""
    if estimate is None:
        return "–"
    width, end = estimate.high - estimate.low, min(abs(estimate.low), abs(estimate.high))
    digits = 5 if width < 2e-4 else 4 if width < 2e-3 else 3
    if estimate.low * estimate.high > 0:  # it leaves out zero, and must not look as if it began there
        digits = next((more for more in range(digits, 8) if round(end, more) > 0), 8)
    form = f"{{:{'+' if signed else ''}.{digits}f}}"
    value, low, high = (form.format(v).replace("-", "−") for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _readable(readings: Sequence[Reading], about: Mapping[str, Any]) -> Section:
    told = about.get("told") or {}
    short = Table(
        name="attributes",
        title="Every attribute",
        columns=("attribute", "verdict", "AUROC", *GAPS[:2], "ECE"),
        rows=tuple(
            (
                one.name,
                "readable" if one.readable else one.why,
                interval_of(one.auroc),
                interval_of(one.over_pixels, signed=True),
                interval_of(one.over_shuffled, signed=True),
                one.error,
            )
            for one in readings
        ),
        note="AUROC: the chance that an image with the attribute gets a higher probability than one without; 0.5 is "
        "guessing. Its differences are paired by test images: from the same head on raw pixels, and from heads that "
        "learn random sets of as many images, where there is nothing to read. ECE: the calibration error.",
    )
    long = Table(
        name="attributes-more",
        title="What they are, and more figures",
        columns=(
            "attribute", "defined as", "accuracy", "balanced accuracy", "test images with it", "test images",
            "training images with it", "training images",
        ),
        rows=tuple(
            (
                one.name,
                told.get(one.name, ""),
                None if one.accuracy is None else one.accuracy.value,
                one.balanced,
                one.yes,
                one.rows,
                one.fit_yes,
                one.fit_rows,
            )
            for one in readings
        ),
        percent=("accuracy", "balanced accuracy"),
        folded=True,
    )  # fmt: skip
    measured = [one for one in readings if not one.few]
    united = [one for one in measured if one.over_union is not None]
    return Section(
        "readable",
        "Which attributes can be read",
        (
            f"An attribute counts as readable where a linear head on the frozen embeddings is calibrated (calibration "
            f"error at most {TOLERANCE}, or no larger than chance makes it with so many images), and its AUROC lies "
            "above that of the same head on raw pixels and above chance, each with the whole 95 % interval. Chance is "
            "what the same head reads of shuffled labels, that is of random sets of as many images. Intervals hold one "
            "by one.",
        ),
        (*((_bars(measured),) if measured else ()), short, *((_unions(united),) if united else ()), long),
    )


def _unions(united: Sequence[Reading]) -> Table:
    return Table(
        name="attributes-unions",
        title="Sets of classes against random unions of as many classes",
        columns=("attribute", "AUROC", GAPS[2]),
        rows=tuple((one.name, interval_of(one.auroc), interval_of(one.over_union, signed=True)) for one in united),
        note=f"{UNIONS} The difference is from the mean of the unions, paired by test images; draws count in its "
        "interval.",
    )


def _bars(measured: Sequence[Reading]) -> Bars:
    groups: dict[str, tuple[float | None, ...]] = {"embeddings": tuple(one.auroc.value for one in measured)}
    low: dict[str, tuple[float | None, ...]] = {"embeddings": tuple(one.auroc.low for one in measured)}
    high: dict[str, tuple[float | None, ...]] = {"embeddings": tuple(one.auroc.high for one in measured)}
    if any(one.pixels is not None for one in measured):
        groups["raw pixels"] = tuple(None if one.pixels is None else one.pixels.value for one in measured)
        low["raw pixels"] = tuple(None if one.pixels is None else one.pixels.low for one in measured)
        high["raw pixels"] = tuple(None if one.pixels is None else one.pixels.high for one in measured)
    if any(one.union is not None for one in measured):
        groups["random unions of classes"] = tuple(one.union for one in measured)
    lowest = min(v for ends in low.values() for v in ends if v is not None)
    return Bars(
        "How well each attribute is read",
        "AUROC on test images that neither trained nor calibrated a head; 0.5 is guessing.",
        tuple(one.name for one in measured),
        groups,
        Axis("AUROC", low=0.5 if lowest >= 0.5 else None, high=1.0),
        low=low,
        high=high,
    )


def _calibrated(readings: Sequence[Reading]) -> Section:
    charts: list[Exhibit] = []
    for one in readings:
        if one.curve is None or one.error is None or one.chance_error is None:
            continue
        full = one.curve.count >= min(FEW, int(one.curve.count.max()))
        said, true = one.curve.said[full].tolist(), one.curve.true[full].tolist()
        lines = (
            Line("as it should be", (0.0, 1.0), (0.0, 1.0), "chance"),
            Line("came true", tuple(said), tuple(true), "s-learned"),
        )
        fine = "calibrated" if one.calibrated else "not calibrated"
        note = (
            f"Calibration error {one.error:.3f} ({one.raw_error:.3f} before calibration; up to {one.chance_error:.3f} "
            f"by chance alone): {fine}."
        )
        percent = Axis("said", low=0.0, high=1.0, percent=True)
        charts.append(Chart(one.name, note, lines, percent, Axis("came true", low=0.0, high=1.0, percent=True)))
    few = [one.name for one in readings if one.few]
    words = [
        f"The expected calibration error is the mean over test images of |probability said − share that came true|, in "
        f"{BINS} bins of equal width. Probabilities that are all right still show some of it by chance: the 95 % point "
        f"of that is given beside each. Curves leave out bins of fewer than {FEW} images; the error counts them.",
    ]
    if few:
        words.append(
            f"Too few images to measure: {_listed(few)}. Their probabilities are set by cross-validation on their own "
            "images, and speak of a world in which the attribute is as common as among these."
        )
    return Section("calibration", "Whether probabilities mean what they say", tuple(words), tuple(charts))


def _pictured(
    readings: Sequence[Reading],
    images: UInt8[Tensor, "image channel height width"] | Images,
    probabilities: Tensor,
    truths: Tensor | None,
) -> Section:
    names = tuple(one.name for one in readings)
    count = min(SHOWN, len(images))
    most, least = probabilities.topk(count, 0).indices, probabilities.topk(count, 0, largest=False).indices.flip(0)
    exhibits: list[Exhibit] = [
        Pictures(
            "Surest images",
            "Left, the test images that most surely have each attribute; right, those that most surely have it not.",
            _gathered(images, torch.cat((most, least)).T),
            names,
            ("yes", *("",) * (2 * count - 2), "no"),
        )
    ]
    if truths is not None:
        off = torch.where(truths >= 0, (probabilities - truths.float()).abs(), -1.0)
        worst = off.topk(count, 0)
        keep = [k for k in range(len(names)) if float(worst.values[0, k]) > 0.5]
        if keep:
            shown = torch.where(worst.values > 0.5, worst.indices, -1)[:, keep]
            exhibits.append(
                Pictures(
                    "Most surely wrong",
                    "The test images whose probability stands on the wrong side and furthest from the truth: worth a "
                    "look, also at the truth.",
                    _gathered(images, shown.T),
                    tuple(names[k] for k in keep),
                )
            )
    return Section("images", "What the attributes look like", (), tuple(exhibits))


def _gathered(images: Any, index: Tensor) -> Tensor:
    """[row, column, channel, height, width]; -1 is an empty place."""
    shown = images[index.clamp_min(0).flatten()].unflatten(0, tuple(index.shape))
    return torch.where((index >= 0)[..., None, None, None], shown, torch.zeros_like(shown))


def _planes(valleys: Sequence[Mapping[str, Any]], images: Any, distances: Tensor) -> Section:
    names = tuple(f"plane {i + 1}" for i in range(len(valleys)))
    labelled = all("classes" in one for one in valleys)
    columns = ["plane", "depth of the valley", "images on the positive side"]
    if labelled:
        columns += ["classes mostly on it", "AUROC for those", "explained by class"]
    named = all("attribute" in one for one in valleys)
    if named:
        columns += ["nearest attribute", "its AUROC"]
    rows = tuple(
        (
            name,
            one["depth"],
            one["share"],
            *((", ".join(one["classes"]), one["area"], one["information"]) if labelled else ()),
            *((one["attribute"], one["attribute_area"]) if named else ()),
        )
        for name, one in zip(names, valleys, strict=True)
    )
    count = min(SHOWN, len(images))
    ends = torch.cat((distances.topk(count, 0, largest=False).indices, distances.topk(count, 0).indices.flip(0)))
    return Section(
        "planes",
        "Planes that were found without labels",
        (
            "Each plane lies where the embeddings are thin along one direction (minimum density hyperplanes, Pavlidis, "
            "Hofmeyr and Tasoulis 2016), so that it parts the images into two heaps. Nobody named what the heaps are: "
            "the images at both ends may say. Depth is how much higher the lower heap is than the valley: 1 is twice "
            "as high, 0 no valley.",
        ),
        (
            Table(
                "planes",
                "Every plane, the deepest valley first",
                tuple(columns),
                rows,
                "AUROC of the distance for the classes that lie mostly on the positive side, on test images. Explained "
                "by class: mutual information of side and class over the entropy of the side; of random directions, "
                f"cut at the median, {per_cent(valleys[0]['of_random'])} on average."
                if labelled
                else "The data have no labels to compare with.",
                ("images on the positive side", "explained by class"),
            ),
            Pictures(
                "Both ends of each plane",
                "The test images that lie furthest on the negative side, left, and on the positive side, right.",
                _gathered(images, ends.T),
                names,
                ("−", *("",) * (2 * count - 2), "+"),
            ),
        ),
    )
