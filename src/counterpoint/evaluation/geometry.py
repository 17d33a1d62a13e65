"""How positives lie together and everything else lies apart, on the unit sphere."""

from math import exp, log

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, blocks, features, labelled, sampled
from counterpoint.evaluation.resampling import Estimate, from_influence, percentiles, resamples
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = [
    "alignment",
    "alignment_rows",
    "class_alignment",
    "class_alignment_estimate",
    "uniformity",
    "uniformity_estimate",
]


def alignment_rows(x: Features, y: Features, alpha: float = 2.0) -> Float[Tensor, " row"]:
    """The distance of each positive pair, to the power alpha."""
    left, right = features(x), features(y)
    if left.shape != right.shape:
        raise ShapeError(
            f"alignment got {tuple(left.shape)} and {tuple(right.shape)}; "
            "expected row i of both to be two views of one image"
        )
    return (unit(left.double()) - unit(right.double())).norm(dim=1) ** alpha


def alignment(x: Features, y: Features, *, alpha: float = 2.0) -> float:
    """Mean distance of positive pairs: mean_i |x_i - y_i|^alpha on unit rows.

    0 where positives coincide; with alpha 2 it is 2 - 2 cos.

    Source: Wang & Isola 2020, eq. 1.

    Args:
        x: one view of each image.
        y: another view; row i of both is one image.
        alpha: > 0.

    Raises:
        ShapeError: other shapes.

    Example:
        >>> round(alignment(torch.eye(2), torch.eye(2).flip(0)), 6)
        2.0
    """
    return float(alignment_rows(x, y, alpha).mean())


def class_alignment_estimate(
    x: Features, labels: Labels | None = None, *, draws: int = 200, seed: int = 0
) -> Estimate | None:
    """`class_alignment` with its row-bootstrap interval; None where no class has two rows.

    The mean over all pairs comes from one sum a class: sum_{i != j} x_i . x_j = |sum_i x_i|^2 - sum_i |x_i|^2.
    """
    rows, known = labelled(x, labels, "test")
    _, dense, sizes = known.unique(return_inverse=True, return_counts=True)
    if int(sizes.max()) < 2:
        return None
    rows = unit(rows)
    members = [torch.nonzero(dense == c)[:, 0] for c in range(len(sizes))]

    def mean(weight: Tensor) -> Tensor:
        dots, pairs = weight.new_zeros(len(weight)).double(), weight.new_zeros(len(weight)).double()
        for index in members:
            w = weight[:, index]
            itself = w.square().double() @ rows[index].square().sum(1).double()
            dots += (w @ rows[index]).double().square().sum(1) - itself
            pairs += w.double().sum(1).square() - w.double().square().sum(1)
        return 2 - 2 * dots / pairs

    low, high = percentiles(
        torch.cat([mean(weight.to(rows)) for weight in resamples(len(rows), draws, seed)])[:, None]
    )[:, 0].tolist()
    return Estimate(max(0.0, float(mean(rows.new_ones(1, len(rows))))), max(0.0, low), high)


def class_alignment(x: Features, labels: Labels | None = None) -> float:
    """Alignment with the class as the positive: mean |x_i - x_j|^2 over all distinct same-class pairs of unit rows.

    Exact, in time linear in the rows.

    Source: Wang & Isola 2020, eq. 1, with alpha 2 and same-class test images as pairs.

    Raises:
        ShapeError: no labels, or no class has two rows.
    """
    estimate = class_alignment_estimate(x, labels, draws=1)
    if estimate is None:
        raise ShapeError("class alignment needs a class with two rows, but every class has one; give more test images")
    return estimate.value


def uniformity_estimate(
    x: Features, *, t: float = 2.0, rows: int = 10_000, seed: int = 0, cells: int = CELLS
) -> Estimate:
    """`uniformity` with a normal interval from each row's influence on the mean over pairs (a U-statistic)."""
    every = features(x)
    if len(every) < 2:
        raise ShapeError(f"uniformity is over pairs of rows, but {len(every)} arrived; expected at least 2")
    points = unit(every[sampled(len(every), rows, Streams(seed).at("uniformity")).to(every.device)])
    n = len(points)
    sums = torch.zeros(n, dtype=torch.float64, device=points.device)
    for part in blocks(n, n, cells):
        later = points[part.start :]
        kernel = (points[part] @ later.T).mul_(2 * t).sub_(2 * t).clamp_(max=0.0).exp_()
        kernel.triu_(1)  # row i of this block with the rows after it
        sums[part] += kernel.sum(1, dtype=torch.float64)
        sums[part.start :] += kernel.sum(0, dtype=torch.float64)
    each = sums / (n - 1)
    mean = float(each.mean())
    if mean <= 0:
        return Estimate(log(exp(-4 * t)), -4 * t, 0.0)
    variance = 4 * float(each.var()) / n / mean**2 if n > 2 else 0.0
    return from_influence(log(mean), variance, -4 * t, 0.0)


def uniformity(x: Features, *, t: float = 2.0, rows: int = 10_000, seed: int = 0, cells: int = CELLS) -> float:
    """How evenly the rows fill the sphere: log of the mean of exp(-t |x_i - x_j|^2) over distinct pairs of unit rows.

    0 where all rows coincide; for a uniform spread -2t + log 0F1(; D/2; t^2), near -3.94 at D = 128 and t = 2.

    Source: Wang & Isola 2020, eq. 2.

    Args:
        x: at least 2 rows.
        t: > 0, of the Gaussian potential.
        rows: at most so many are compared, drawn without replacement.
        seed: of that draw.
        cells: most similarities held at once.

    Raises:
        ShapeError: fewer than two rows.

    Example:
        Two antipodal points.

        >>> round(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), 6)
        -8.0
    """
    return uniformity_estimate(x, t=t, rows=rows, seed=seed, cells=cells).value
