"""How many nats two views of an image share, by what a softmax over other images can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

from jaxtyping import Float64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, blocks, features
from counterpoint.evaluation.resampling import Estimate, from_influence
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["SharedInformation", "shared_information"]

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class SharedInformation:
    """A lower bound of the mutual information of two views' embeddings, hence of the views themselves.

    Args:
        nats: log K - L, with its interval for other pairs, each an anchor and a candidate.
        ceiling: log K, which the bound can never exceed.
        batch: K.
        temperature: of the critic that was chosen.
        rows: pairs that were judged, the temperature having been chosen on others.
    """

    nats: Estimate
    ceiling: float
    batch: int
    temperature: float
    rows: int


def shared_information(
    x: Features,
    y: Features,
    *,
    batch: int = 512,
    temperatures: Sequence[float] = TEMPERATURES,
    seed: int = 0,
    cells: int = CELLS,
) -> SharedInformation:
    """I(x; y) >= log K - L: InfoNCE over batches of K pairs, with the cosine over a temperature for its critic.

    On average over batches of independent pairs the inequality holds for every critic, so that the temperature is
    chosen on half of the pairs and the other half is judged. It is a bound: a poor critic, or a K below the number of
    things to tell apart, makes it loose, and it never says more than log K.

    Source: van den Oord et al. 2018, section 2.3; Poole et al. 2019, section 2.3, for the direction of the bound.

    Args:
        x: one view of each image, the anchors.
        y: another; row i of both is one image, the other rows of a batch are the negatives.
        batch: K, cut to half of the pairs where there are fewer.
        temperatures: > 0, tried.
        seed: of the order of pairs.
        cells: most similarities held at once.

    Raises:
        ShapeError: other shapes, fewer than four rows, or a number out of its range.

    See also: `counterpoint.objectives.info_nce`, the loss L.
    """
    left, right = features(x), features(y)
    if left.shape != right.shape or len(left) < 4:
        raise ShapeError(
            f"shared information got {tuple(left.shape)} and {tuple(right.shape)}; "
            "expected two views of the same images, at least 4"
        )
    if batch < 2 or not temperatures or not min(temperatures) > 0:
        raise ShapeError(
            f"shared information got batches of {batch} and temperatures {tuple(temperatures)}; expected 2 or more, "
            "and numbers above 0"
        )
    order = Streams(seed).at("pairs").permutation(len(left)).to(left.device)
    count = min(batch, len(left) // 2)
    one, other = unit(left[order].double()), unit(right[order].double())
    first = len(left) // 2 // count * count
    judged = (len(left) - first) // count * count
    choice = [float(_told(one[:first], other[:first], count, t, cells)[0].mean()) for t in temperatures]
    temperature = temperatures[choice.index(max(choice))]
    told, pulled = _told(one[-judged:], other[-judged:], count, temperature, cells)
    nats = float(told.mean())
    variance = float((told - nats + 1 - pulled).square().sum()) / judged**2
    return SharedInformation(from_influence(nats, variance, -inf, log(count)), log(count), count, temperature, judged)


def _told(
    x: Tensor, y: Tensor, batch: int, temperature: float, cells: int
) -> tuple[Float64[Tensor, " row"], Float64[Tensor, " row"]]:
    """For each anchor, log K + log softmax of its own candidate among its batch; of each candidate, all its shares."""
    told, pulled = x.new_empty(len(x)), x.new_zeros(len(x))
    for start in range(0, len(x), batch):
        candidate = y[start : start + batch]
        for part in blocks(batch, batch, cells):
            level = x[start : start + batch][part] @ candidate.T / temperature
            total = level.logsumexp(1)
            told[start + part.start : start + part.stop] = level.diagonal(part.start) - total + log(batch)
            pulled[start : start + batch] += level.sub_(total[:, None]).exp_().sum(0)
    return told, pulled
