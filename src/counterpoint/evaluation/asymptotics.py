r"""What the contrastive loss becomes when negatives are many: an attraction and a spread.

For unit rows, a positive pair (x, y) and M negatives x_i drawn independently, as M grows

    L_M - log M,  L_M = E -log( e^{x.y/T} / (e^{x.y/T} + sum_i e^{x.x_i/T}) )
        ->  -E[x.y] / T  +  E_x log E_x'[ e^{x.x'/T} ],

where the first term is least when positives coincide, and the second, of all laws, for the uniform one.

Source: Wang & Isola 2020, arXiv:2005.10242, theorem 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, blocks, features, sampled
from counterpoint.evaluation.minima import uniform_logit
from counterpoint.evaluation.resampling import Estimate, from_influence
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["Asymptote", "asymptote"]


@dataclass(frozen=True)
class Asymptote:
    """Both terms of the limit, and how near the loss of M negatives is to it.

    Args:
        temperature: T.
        rows: that were compared.
        attraction: -E[x.y] / T, at least -1 / T.
        spread: E_x log E_x' exp(x.x' / T).
        limit: their sum.
        uniform: what the spread would be of a uniform law in as many dimensions, the least of all laws. Few rows, which
            can repel, may have a smaller one: an anchor is not among the others.
        remainder: by M, L_M - log M - limit, with the interval of the draws of negatives.
    """

    temperature: float
    rows: int
    attraction: Estimate
    spread: Estimate
    limit: Estimate
    uniform: float
    remainder: Mapping[int, Estimate]


def asymptote(
    x: Features,
    y: Features,
    *,
    temperature: float = 0.5,
    negatives: Sequence[int] = (16, 64, 256, 1024, 4096),
    rows: int = 4096,
    seed: int = 0,
    cells: int = CELLS,
) -> Asymptote:
    """The limit of the contrastive loss and its approach to it, for given pairs.

    The law of negatives is that of the other rows: an anchor is never its own negative. Both terms of the limit are
    means over all of them, with intervals from each row's influence. The logarithm of a mean over few rows is too small
    by half its squared relative error, which counts where the temperature is low.

    Args:
        x: one view of each image, whose other rows are the negatives.
        y: another; row i of both is one image.
        temperature: in [0.002, inf).
        negatives: M, each at least 1; they are drawn with replacement.
        rows: at most so many pairs, drawn without replacement.
        seed: of both draws.
        cells: most numbers held at once beside the rows, in units of four bytes.

    Raises:
        ShapeError: other shapes, fewer than two rows, or a number out of its range.

    Example:
        All rows in one point: both terms cancel, and L_M is log(1 + M).

        >>> found = asymptote(torch.ones(4, 2), torch.ones(4, 2), negatives=(9,))
        >>> abs(round(found.limit.value, 6)), round(found.remainder[9].value, 6) == round(log(10 / 9), 6)
        (0.0, True)
    """
    left, right = features(x), features(y)
    if left.shape != right.shape or len(left) < 2:
        raise ShapeError(
            f"the limit of the contrastive loss got {tuple(left.shape)} and {tuple(right.shape)}; "
            "expected two views of the same images, at least 2"
        )
    if not temperature >= 0.002 or not all(count >= 1 for count in negatives):
        raise ShapeError(
            f"the limit of the contrastive loss got temperature {temperature} and {tuple(negatives)} negatives; "
            "expected 0.002 or more, and 1 or more"
        )
    kept = sampled(len(left), rows, Streams(seed).at("asymptote")).to(left.device)
    one, other = unit(left[kept].double()), unit(right[kept].double())
    n = len(one)
    near = (one * other).sum(1) / temperature
    far, pulled = torch.empty_like(near), torch.zeros_like(near)
    finite = near.new_zeros(len(negatives), n)
    streams = [Streams(seed).at("negatives", i, count) for i, count in enumerate(negatives)]
    # In float64, which counts twice: similarities twice, and of the largest M indices thrice and similarities twice.
    for part in blocks(n, 4 * n + 10 * max(negatives, default=0), cells):
        level = one[part] @ one.T / temperature
        anchor = torch.arange(part.start, part.stop, device=one.device)[:, None]
        for i, (stream, count) in enumerate(zip(streams, negatives, strict=True)):
            among = _drawn(level, anchor, stream.integers(0, n - 1, len(level), count).to(one.device))
            finite[i, part] = torch.logaddexp(near[part], among) - near[part] - log(count)
        level.scatter_(1, anchor, -inf)
        total = level.logsumexp(1)
        far[part] = total - log(n - 1)
        pulled += level.sub_(total[:, None]).exp_().sum(0)

    def estimate(value: Tensor, more: Tensor, least: float) -> Estimate:
        mean = float(value.mean())
        moved = (value - mean + more) / n
        return from_influence(mean, float(moved.square().sum()), least, inf)

    still, pull = torch.zeros_like(pulled), pulled - 1
    each = far - near
    return Asymptote(
        temperature,
        n,
        estimate(-near, still, -1 / temperature),
        estimate(far, pull, -inf),
        estimate(each, pull, -inf),
        uniform_logit(one.shape[1], 1 / temperature),
        {count: estimate(finite[i] - each, still, -inf) for i, count in enumerate(negatives)},
    )


def _drawn(level: Tensor, anchor: Tensor, taken: Tensor) -> Tensor:
    """The log of the sum of exp over these of the other rows."""
    return level.gather(1, taken.add_(taken >= anchor)).logsumexp(1)
