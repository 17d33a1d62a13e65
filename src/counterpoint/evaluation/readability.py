"""Can an attribute be read off frozen features: better than off raw pixels, and better than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.auroc import auroc_influence
from counterpoint.evaluation.calibration import (
    BINS,
    Platt,
    Reliability,
    expected_of_calibrated,
    fit_platt,
    reliability,
)
from counterpoint.evaluation.linear_heads import Converged, fit_heads
from counterpoint.evaluation.resampling import Estimate, bootstrap, from_influence
from counterpoint.random import Stream, Streams

__all__ = ["Heads", "Reading", "Roles", "divide_rows", "fit_attributes", "read_attributes"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of C, tried on held-out rows
SELECTION_ROWS = 10_000
FEW = 5  # rows of either side below which nothing is measured
FOLDS = 5
PATTERNS = 16  # heads up to which rows of equal answers are brought together
TOLERANCE = 0.02  # calibration error that is small whatever chance allows


@dataclass(frozen=True, eq=False)
class Roles:
    """What each row is for; no row has two roles.

    Args:
        fit: heads are trained on these.
        calibrate: their probabilities are set by these.
        test: all figures are of these.
        said: how they came about, one sentence.
    """

    fit: Int64[Tensor, " fit"]
    calibrate: Int64[Tensor, " calibrate"]
    test: Int64[Tensor, " test"]
    said: str


@dataclass(frozen=True, eq=False)
class Heads:
    """Calibrated linear heads on raw features.

    Args:
        weight, bias: of the logit.
        platt: from logits to probabilities.
        c: inverse strength of each head's penalty.
    """

    weight: Float[Tensor, "head width"]
    bias: Float[Tensor, " head"]
    platt: Platt
    c: tuple[float, ...]

    def logits(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row head"]:
        """Above 0 a head says yes, before calibration."""
        return rows.to(self.weight.dtype) @ self.weight.T + self.bias

    def __call__(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row head"]:
        """Calibrated probabilities."""
        return self.platt(self.logits(rows))


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


def divide_rows(train: int, test: int, *, groups: Int64[Tensor, " row"] | None = None, seed: int = 0) -> Roles:
    """Roles for the rows of two splits that stand one after the other, train first.

    The encoder has seen the training images: what it makes of them is a little surer than of new ones. So heads are
    trained on them, but calibrated on one half of the test images and measured on the other. Without enough test images
    all three come from the training images, 60 : 20 : 20.

    Args:
        train: how many rows the first has.
        test: how many the second has.
        groups: of all rows; those of one group get one role, as far as one split holds them.
        seed: of the division.
    """
    if test >= 4 * FEW:
        order = train + _together(test, None if groups is None else groups[train:], seed)
        half = _cut(order, test // 2, groups)
        said = (
            f"heads are trained on {train:,} training images, calibrated on {half:,} test images and measured on the "
            f"other {test - half:,}"
        )
        return Roles(torch.arange(train), order[:half].sort().values, order[half:].sort().values, said)
    order = _together(train, None if groups is None else groups[:train], seed)
    first, second = (_cut(order, train * part // 5, groups) for part in (3, 4))
    parts = (order[:first], order[first:second], order[second:])
    said = (
        f"the data have too few test images, so heads are trained on {first:,} of the training images, calibrated on "
        f"{second - first:,} and measured on {train - second:,}, all of which the encoder has seen"
    )
    fit, calibrate, test_rows = (part.sort().values for part in parts)
    return Roles(fit, calibrate, test_rows, said)


def _together(rows: int, groups: Tensor | None, seed: int) -> Tensor:
    """The rows in random order, those of a group one after the other."""
    stream = Streams(seed).at("roles")
    if groups is None:
        return stream.permutation(rows)
    _, group = groups.unique(return_inverse=True)
    return stream.permutation(int(group.max()) + 1)[group].argsort(stable=True)


def _cut(order: Tensor, at: int, groups: Tensor | None) -> int:
    """The place nearest above `at` where a group ends."""
    while groups is not None and 0 < at < len(order) and groups[order[at]] == groups[order[at - 1]]:
        at += 1
    return at


def fit_attributes(
    rows: Float[Tensor, "row width"],
    targets: Int64[Tensor, "row head"],
    roles: Roles,
    *,
    c: Sequence[float] | None = None,
    seed: int = 0,
) -> Heads:
    """One calibrated logistic head for each column of targets, all of equal rows and penalty at once.

    C is chosen for each head by the likelihood of a fifth of at most 10,000 of its rows. A head with fewer than five
    held-out rows of either side is calibrated on cross-validated logits of its own training rows.

    Args:
        rows: features of all rows.
        targets: 1 has it, 0 has it not, -1 unknown.
        roles: of the rows.
        c: of each head; chosen where None.
        seed: of folds and validation rows.

    Raises:
        ShapeError: a column without rows of either side to train on.
    """
    given = targets[roles.fit]
    sides = torch.stack(((given == 0).sum(0), (given == 1).sum(0)))
    if bool((sides == 0).any()):
        raise ShapeError("an attribute has no training row with it, or none without it; there is nothing to learn")
    x = rows[roles.fit]
    masks = (given >= 0).T
    distinct, mask_of = masks.unique(dim=0, return_inverse=True)
    heads = targets.shape[1]
    strength = list(c) if c is not None else [1.0] * heads
    weight, bias = rows.new_zeros(heads, rows.shape[1]), rows.new_zeros(heads)
    held = _both(targets[roles.calibrate])
    out_of_fold: dict[int, Tensor] = {}
    for group, mask in enumerate(distinct):
        members = torch.nonzero(mask_of == group)[:, 0].tolist()
        index = torch.nonzero(mask)[:, 0]
        if c is None:
            chosen = _strengths(x, given, index, members, seed)
            for h in members:
                strength[h] = chosen[h]
        for value in sorted({strength[h] for h in members}):
            same = [h for h in members if strength[h] == value]
            weight[same], bias[same] = _solve(x[index], given[index][:, same], value)
        few = [h for h in members if not held[h]]
        if few:
            logits = _crossed(x[index], given[index][:, few], [strength[h] for h in few], Streams(seed).at("folds"))
            for column, h in enumerate(few):
                out_of_fold[h] = torch.stack((logits[:, column], given[index, h].to(logits.dtype)))
    seen = rows[roles.calibrate] @ weight.T + bias
    slope, offset = torch.ones(heads), torch.zeros(heads)
    plain = torch.nonzero(held)[:, 0]
    if len(plain):
        platt = fit_platt(seen[:, plain], targets[roles.calibrate][:, plain])
        slope[plain], offset[plain] = platt.slope.float(), platt.offset.float()
    for h, pair in out_of_fold.items():
        platt = fit_platt(pair[0][:, None], pair[1].long()[:, None])
        slope[h], offset[h] = float(platt.slope), float(platt.offset)
    return Heads(weight, bias, Platt(slope, offset), tuple(strength))


def _both(targets: Tensor) -> Tensor:
    """Whether a column has enough rows of either side."""
    return ((targets == 1).sum(0) >= FEW) & ((targets == 0).sum(0) >= FEW)


def _solve(rows: Tensor, targets: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Weight [head, width] and bias on raw features; targets are all known."""
    mean, scale = rows.mean(0), rows.std(0, correction=0)
    largest = scale.max().clamp_min(1e-12)
    scale = torch.where(scale > 1e-6 * largest, scale, largest)  # what does not vary is only centred
    used, span = (rows - mean) / scale, None
    if len(rows) < rows.shape[1]:  # the minimum lies in the span of the rows
        span = torch.linalg.qr(used.T).Q
        used = used @ span
    if targets.shape[1] > PATTERNS:
        answers, which = targets, torch.arange(len(targets))
    else:
        answers, which = targets.unique(dim=0, return_inverse=True)
    found = fit_heads(used, which, answers == 1, Converged(c=c, standardise=False))
    weight = found.weight.to(rows.dtype)
    weight = ((weight if span is None else span @ weight) / scale[:, None]).T
    return weight, found.bias.to(rows.dtype) - weight @ mean


def _strengths(x: Tensor, given: Tensor, index: Tensor, heads: list[int], seed: int) -> dict[int, float]:
    """For each head the C under which held-out rows are likeliest; with few rows that of `few_label`."""
    usual = 10 / x.shape[1]
    if len(index) < 10 * FEW:
        return dict.fromkeys(heads, usual)
    chosen = index[Streams(seed).at("validation", len(index)).permutation(len(index))[:SELECTION_ROWS]]
    cut = len(chosen) * 4 // 5
    fit, check = chosen[:cut], chosen[cut:]
    inside = given[fit][:, heads]
    able = torch.nonzero(((inside == 0).any(0)) & ((inside == 1).any(0)))[:, 0].tolist()
    best: dict[int, tuple[float, float]] = {h: (float("inf"), usual) for h in heads}
    if able:
        columns = [heads[i] for i in able]
        truth = given[check][:, columns].to(x.dtype)
        for value in STRENGTHS:
            weight, bias = _solve(x[fit], given[fit][:, columns], value)
            logits = x[check] @ weight.T + bias
            loss = (softplus(logits) - truth * logits).mean(0).tolist()
            for h, each in zip(columns, loss, strict=True):
                best[h] = min(best[h], (each, value))
    return {h: value for h, (_, value) in best.items()}


def _crossed(x: Tensor, targets: Tensor, c: Sequence[float], stream: Stream) -> Tensor:
    """Logits of each row by heads that were trained without its fold; folds hold both sides evenly."""
    logits = x.new_zeros(targets.shape)
    shuffled = stream.permutation(len(x))
    for column, value in enumerate(c):
        truth = targets[:, column]
        order = shuffled[truth[shuffled].argsort(stable=True)]
        fold = torch.empty_like(order)
        fold[order] = torch.arange(len(order)) % FOLDS
        for part in range(FOLDS):
            away = fold != part
            kept = truth[away]
            if not bool((fold == part).any()):
                continue
            if bool((kept == kept[0]).all()):  # one example of a side: without it there is nothing to learn
                logits[~away, column] = 0.0
                continue
            weight, bias = _solve(x[away], truth[away][:, None], value)
            logits[~away, column] = (x[~away] @ weight.T + bias)[:, 0]
    return logits


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
    measured = _both(targets[roles.test]) & _both(targets[roles.calibrate])
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
            if all(bool(_both(column[part][:, None])) for part in (roles.fit, roles.test)):
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
    logits = _crossed(rows[known], given[known][:, None], [c], stream)[:, 0]
    area, influence = auroc_influence(logits, given[known] == 1)
    return _estimate(area, influence, len(known))
