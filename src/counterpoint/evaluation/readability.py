"""Can an attribute be read off frozen features: better than off raw pixels, and better than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.attribute_heads import SELECTION_ROWS, Heads, Roles, crossed, enough, fit_attributes
from counterpoint.evaluation.auroc import auroc_influence
from counterpoint.evaluation.calibration import (
    BINS,
    Reliability,
    expected_of_calibrated,
    reliability,
)
from counterpoint.evaluation.resampling import Estimate, bootstrap, from_influence
from counterpoint.random import Stream, Streams

__all__ = ["Reading", "read_attributes"]

TOLERANCE = 0.02  # calibration error that is small whatever chance allows


@dataclass(frozen=True, eq=False)
class Reading:
    """How well an attribute is read on test rows.

    AUROC is the chance that an image with the attribute gets a higher probability than one without; 0.5 is guessing.

    Args:
        name: of the attribute.
        fit_rows, fit_yes: rows it was trained on, and how many of them have it.
        rows, yes: test rows, and how many of them have it.
        auroc: on the embeddings.
        pixels: on raw pixels.
        over_pixels: their difference, paired by rows.
        shuffled: the same with shuffled labels, which is chance: mean over random sets of as many images.
        over_shuffled: `auroc` less that.
        union: mean over random unions of as many classes, on the embeddings; None where it is no set of classes.
        over_union: `auroc` less that.
        accuracy: share of test rows on whose side the probability stands.
        balanced: mean of the accuracies with and without the attribute.
        raw_error: calibration error before calibration.
        error: after it.
        chance_error: 95 % point of the error of perfectly calibrated probabilities of these sizes.
        curve: the reliability curve.
        few: too few rows to measure anything: only counts and cross-validated `auroc` are meant.
    """

    name: str
    fit_rows: int
    fit_yes: int
    rows: int
    yes: int
    auroc: Estimate
    pixels: Estimate | None = None
    over_pixels: Estimate | None = None
    shuffled: float | None = None
    over_shuffled: Estimate | None = None
    union: float | None = None
    over_union: Estimate | None = None
    accuracy: Estimate | None = None
    balanced: float | None = None
    raw_error: float | None = None
    error: float | None = None
    chance_error: float | None = None
    curve: Reliability | None = None
    few: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        data = asdict(replace(self, curve=None))
        if self.curve is not None:
            data["curve"] = {
                "edges": self.curve.edges.tolist(),
                "count": self.curve.count.tolist(),
                "said": [v if v == v else None for v in self.curve.said.tolist()],  # an empty bin has no mean
                "true": [v if v == v else None for v in self.curve.true.tolist()],
            }
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Reading":
        """From what `to_json` gave."""
        values: dict[str, Any] = dict(data)
        for key in ("auroc", "pixels", "over_pixels", "over_shuffled", "over_union", "accuracy"):
            values[key] = None if values[key] is None else Estimate(**values[key])
        if values["curve"] is not None:
            made = {
                key: torch.tensor([float("nan") if v is None else v for v in column], dtype=torch.float64)
                for key, column in values["curve"].items()
            }
            values["curve"] = Reliability(made["edges"], made["count"].long(), made["said"], made["true"])
        return cls(**values)

    @property
    def calibrated(self) -> bool:
        """The calibration error is at most 0.02, or no larger than chance makes it."""
        if self.error is None or self.chance_error is None:
            return False
        return self.error <= max(TOLERANCE, self.chance_error)

    @property
    def readable(self) -> bool:
        """Calibrated, and above raw pixels and above chance with the whole interval.

        Random unions of as many classes do not decide: were every union of classes linearly separable, each would read
        as well as any other, and no set of classes could be better than random ones.
        """
        gaps = (self.over_pixels, self.over_shuffled)
        return self.calibrated and all(gap is not None and gap.low > 0 for gap in gaps)

    @property
    def why(self) -> str:
        """What is missing where it is not readable."""
        if self.few:
            return "too few images to measure"
        missing: list[str] = []
        if self.over_shuffled is not None and self.over_shuffled.low <= 0:
            missing.append("not above chance")
        if self.over_pixels is not None and self.over_pixels.low <= 0:
            worse = self.over_pixels.high < 0
            missing.append("worse than raw pixels" if worse else "not better than raw pixels")
        if not self.calibrated:
            missing.append("not calibrated")
        return ", ".join(missing)


def read_attributes(
    names: Sequence[str],
    learned: Float[Tensor, "row width"],
    pixels: Float[Tensor, "row colour"] | None,
    targets: Int64[Tensor, "row head"],
    roles: Roles,
    *,
    labels: Int64[Tensor, " row"] | None = None,
    classes: int = 0,
    members: Sequence[frozenset[int] | None] = (),
    draws: int = 8,
    bins: int = BINS,
    seed: int = 0,
) -> tuple[Heads, tuple[Reading, ...]]:
    """Train and calibrate heads on embeddings, and say how well each attribute is read.

    A random attribute of the same size can mean two things, and both are measured. A random set of as many images: the
    known answers of an attribute's rows, shuffled; nothing is there to read, so that this is chance with these very
    sizes. And, for a set of classes, a random union of as many classes, of which `Reading.readable` says more.

    Intervals are normal, from each test row's influence; what the random draws add is added. They hold one by one.

    Args:
        names: of the attributes.
        learned: embeddings of all rows.
        pixels: the baseline's features of all rows.
        targets: 1 has it, 0 has it not, -1 unknown; one column for each attribute.
        roles: of the rows.
        labels: class of each row, -1 unknown.
        classes: how many.
        members: for each attribute the classes of which it consists, None where it is no set of classes.
        draws: random attributes of each kind, for each attribute or size.
        bins: of the calibration error.
        seed: of all draws.
    """
    count = len(names)
    members = members or (None,) * count
    heads = fit_attributes(learned, targets, roles, seed=seed)
    measured = enough(targets[roles.test]) & enough(targets[roles.calibrate])
    probability = heads(learned[roles.test])
    plain = heads.logits(learned[roles.test]).sigmoid()
    baseline = fit_attributes(pixels, targets, roles, seed=seed) if pixels is not None else None
    from_pixels = None if baseline is None or pixels is None else baseline.logits(pixels[roles.test])
    wanted = [h for h in range(count) if bool(measured[h])]
    shuffles = _shuffled(learned, targets, roles, heads, wanted, draws, seed)
    unions = _unions(learned, labels, classes, members, wanted, roles, heads, draws, seed)
    found: list[Reading] = []
    for h, name in enumerate(names):
        given, truth = targets[roles.fit, h], targets[roles.test, h]
        fit_rows, fit_yes = int((given >= 0).sum()), int((given == 1).sum())
        known = torch.nonzero(truth >= 0)[:, 0]
        yes = truth[known] == 1
        if h not in wanted:
            auroc = _crossed_area(learned[roles.fit], given, heads.c[h], Streams(seed).at("folds"))
            found.append(Reading(name, fit_rows, fit_yes, len(known), int(yes.sum()), auroc, few=True))
            continue
        area, influence = auroc_influence(heads.logits(learned[roles.test][known])[:, h], yes)
        n = len(known)
        auroc = _estimate(area, influence, n)
        raw = over = None
        if from_pixels is not None:
            other, moved = auroc_influence(from_pixels[known, h], yes)
            raw, over = _estimate(other, moved, n), _difference(area - other, influence - moved, n, ())
        shuffled, over_shuffled = _over(area, influence, shuffles[h], n)
        union, over_union = _over(area, influence, unions[h], n) if h in unions else (None, None)
        said = probability[known, h].double()
        right = ((said >= 0.5) == yes).double()
        curve = reliability(said, yes.long(), bins=bins)
        found.append(
            Reading(
                name=name,
                fit_rows=fit_rows,
                fit_yes=fit_yes,
                rows=n,
                yes=int(yes.sum()),
                auroc=auroc,
                pixels=raw,
                over_pixels=over,
                shuffled=shuffled,
                over_shuffled=over_shuffled,
                union=union,
                over_union=over_union,
                accuracy=bootstrap(right, seed=seed),
                balanced=float((right[yes].mean() + right[~yes].mean()) / 2),
                raw_error=reliability(plain[known, h].double(), yes.long(), bins=bins).error,
                error=curve.error,
                chance_error=expected_of_calibrated(said, bins=bins, seed=seed)[1],
                curve=curve,
            )
        )
    return heads, tuple(found)


def _estimate(value: float, influence: Tensor, n: int) -> Estimate:
    return from_influence(value, float(influence.square().sum()) / n**2, 0.0, 1.0)


def _difference(value: float, influence: Tensor, n: int, drawn: Sequence[float]) -> Estimate:
    """Of two areas on the same rows; the mean of random draws is itself uncertain."""
    variance = float(influence.square().sum()) / n**2
    if len(drawn) > 1:
        variance += float(torch.tensor(drawn, dtype=torch.float64).var()) / len(drawn)
    return from_influence(value, variance, -1.0, 1.0)


def _over(
    area: float, influence: Tensor, others: Sequence[tuple[float, Tensor]], n: int
) -> tuple[float | None, Estimate | None]:
    """The mean area of random attributes on the same rows, and how far ours lies above it."""
    if not others:
        return None, None
    areas = [each for each, _ in others]
    mean = sum(areas) / len(areas)
    moved = torch.stack([each for _, each in others]).mean(0)
    return mean, _difference(area - mean, influence - moved, n, areas)


def _shuffled(
    rows: Tensor, targets: Tensor, roles: Roles, heads: Heads, wanted: list[int], draws: int, seed: int
) -> dict[int, list[tuple[float, Tensor]]]:
    """Areas of random sets of as many images as the attribute has."""
    if not wanted or draws < 1:
        return {h: [] for h in wanted}
    stream = Streams(seed).at("permuted")
    some = roles.fit[sampled(len(roles.fit), SELECTION_ROWS, stream)]  # what there is to learn is nothing
    roles = replace(roles, fit=some)
    columns: list[Tensor] = []
    for h in wanted:
        for _ in range(draws):
            column = targets[:, h].clone()
            for part in (roles.fit, roles.calibrate, roles.test):
                known = part[column[part] >= 0]
                column[known] = column[known[stream.permutation(len(known))]]
            columns.append(column)
    drawn = torch.stack(columns, 1)
    strengths = [heads.c[h] for h in wanted for _ in range(draws)]
    logits = fit_attributes(rows, drawn, roles, c=strengths, seed=seed).logits(rows[roles.test])
    found: dict[int, list[tuple[float, Tensor]]] = {}
    for i, h in enumerate(wanted):
        found[h] = []
        for column in range(i * draws, (i + 1) * draws):
            truth = drawn[roles.test, column]
            known = truth >= 0
            found[h].append(auroc_influence(logits[known, column], truth[known] == 1))
    return found


def _unions(
    rows: Tensor,
    labels: Tensor | None,
    classes: int,
    members: Sequence[frozenset[int] | None],
    wanted: list[int],
    roles: Roles,
    heads: Heads,
    draws: int,
    seed: int,
) -> dict[int, list[tuple[float, Tensor]]]:
    """Areas of unions of as many classes, drawn at random; the attribute and its complement are not among them.

    A union and its complement are one question, so that a size stands for both, and attributes of a size share draws.
    """
    if labels is None or draws < 1:
        return {}
    every = frozenset(range(classes))
    sets = {h: own for h in wanted if (own := members[h]) is not None}
    size = {h: min(len(own), classes - len(own)) for h, own in sets.items()}
    columns: list[Tensor] = []
    drawn: list[frozenset[int]] = []
    strengths: list[float] = []
    for each in sorted(set(size.values())):
        stream = Streams(seed).at("unions", each)
        owners = [h for h in sets if size[h] == each]
        own = {sets[h] if len(sets[h]) == each else every - sets[h] for h in owners}
        found: set[frozenset[int]] = set()
        for _ in range(20 * draws):
            union = frozenset(stream.permutation(classes)[:each].tolist())
            if union in found or every - union in found:
                continue
            column = torch.where(labels >= 0, torch.isin(labels, torch.tensor(sorted(union))).long(), -1)
            if all(bool(enough(column[part][:, None])) for part in (roles.fit, roles.test)):
                found.add(union)
                columns.append(column)
                drawn.append(union)
                strengths.append(heads.c[owners[0]])
            if len(found - own - {every - one for one in own}) == draws:
                break
    if not columns:
        return {}
    targets = torch.stack(columns, 1)
    logits = fit_attributes(rows, targets, roles, c=strengths, seed=seed).logits(rows[roles.test])
    known = labels[roles.test] >= 0
    truths = targets[roles.test][known] == 1
    areas = [auroc_influence(logits[known, i], truths[:, i]) for i in range(len(drawn))]
    return {
        h: [
            area
            for union, area in zip(drawn, areas, strict=True)
            if len(union) == size[h] and union not in (own, every - own)
        ]
        for h, own in sets.items()
    }


def _crossed_area(rows: Tensor, given: Tensor, c: float, stream: Stream) -> Estimate:
    """Cross-validated AUROC on the training rows of an attribute that has no others."""
    known = torch.nonzero(given >= 0)[:, 0]
    logits = crossed(rows[known], given[known][:, None], [c], stream)[:, 0]
    area, influence = auroc_influence(logits, given[known] == 1)
    return _estimate(area, influence, len(known))
