"""Calibrated linear heads for attributes: which rows they are trained on, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from counterpoint.errors import ShapeError
from counterpoint.evaluation.calibration import Platt, fit_platt
from counterpoint.evaluation.linear_heads import Converged, fit_heads
from counterpoint.random import Stream, Streams

__all__ = ["Heads", "Roles", "crossed", "divide_rows", "enough", "fit_attributes"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of C, tried on held-out rows
SELECTION_ROWS = 10_000
FEW = 5  # rows of either side below which nothing is measured
FOLDS = 5
PATTERNS = 16  # heads up to which rows of equal answers are brought together


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
    held = enough(targets[roles.calibrate])
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
            logits = crossed(x[index], given[index][:, few], [strength[h] for h in few], Streams(seed).at("folds"))
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


def enough(targets: Tensor) -> Tensor:
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


def crossed(x: Tensor, targets: Tensor, c: Sequence[float], stream: Stream) -> Tensor:
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
