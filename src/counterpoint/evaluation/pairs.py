"""Same class or not, from the similarity of two rows alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, Values, blocks, labelled, values
from counterpoint.evaluation.auroc import auroc
from counterpoint.evaluation.resampling import Estimate, centred, resamples
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit

__all__ = ["BINS", "Pairs", "Separation", "Verification", "overlap", "sample_pairs", "separation", "verification"]

BINS = 200


@dataclass(frozen=True, eq=False)
class Pairs:
    """Cosine similarities of pairs of test rows, and who they are.

    Args:
        similarity: in [-1, 1].
        same: whether both rows have one class.
        first, second: the two rows.
        every: whether these are all pairs there are, or a sample.
    """

    similarity: Float[Tensor, " pair"]
    same: Tensor
    first: Int64[Tensor, " pair"]
    second: Int64[Tensor, " pair"]
    every: bool


@dataclass(frozen=True, eq=False)
class Verification:
    """Telling same-class pairs from others by a threshold on the similarity.

    Args:
        auroc: area under the curve; 0.5 is chance.
        equal_error_rate: where as many same-class pairs are refused as others are accepted.
        threshold: similarity at that point.
        fpr, tpr: the curve, from (0, 0) to (1, 1).
    """

    auroc: float
    equal_error_rate: float
    threshold: float
    fpr: Float64[Tensor, " point"]
    tpr: Float64[Tensor, " point"]


@dataclass(frozen=True, eq=False)
class Separation:
    """All that the similarities of pairs say, with row-bootstrap intervals.

    Args:
        edges: of the bins of both histograms.
        intra, inter: share of same-class and of other pairs in each bin.
        curve: the ROC curve.
    """

    overlap: Estimate
    auroc: Estimate
    equal_error_rate: Estimate
    d_prime: Estimate
    edges: Float64[Tensor, " edge"]
    intra: Float64[Tensor, " bin"]
    inter: Float64[Tensor, " bin"]
    curve: Verification
    every: bool


def sample_pairs(x: Features, labels: Labels | None = None, *, pairs: int = 100_000, stream: Stream) -> Pairs | None:
    """Pairs of one class and of two; None where there are none of either kind.

    All distinct pairs where there are at most `2 * pairs`; else `pairs` of each kind, drawn uniformly with replacement
    from all ordered pairs of that kind, without listing them.
    """
    rows, known = labelled(x, labels, "test")
    n = len(rows)
    _, dense, sizes = known.unique(return_inverse=True, return_counts=True)
    if int(sizes.max()) < 2 or len(sizes) < 2:
        return None
    every = n * (n - 1) // 2 <= 2 * pairs
    if every:
        first, second = torch.triu_indices(n, n, 1, device=rows.device)
    else:
        order = dense.argsort(stable=True).cpu()
        size = sizes.cpu()[dense.cpu()[order]]
        start = (sizes.cumsum(0) - sizes).cpu()[dense.cpu()[order]]
        others = torch.stack((size - 1, n - size)).double()
        firsts: list[Tensor] = []
        seconds: list[Tensor] = []
        for kind in (0, 1):
            until = others[kind].cumsum(0)
            drawn = torch.searchsorted(until, stream.uniform(pairs).double() * until[-1], right=True).clamp(max=n - 1)
            which = (stream.uniform(pairs).double() * others[kind][drawn]).long().clamp(max=n - 1)
            if kind == 0:
                other = start[drawn] + which
                other += other >= drawn
            else:
                other = which + torch.where(which >= start[drawn], size[drawn], 0)
            firsts.append(order[drawn])
            seconds.append(order[other])
        first, second = torch.cat(firsts).to(rows.device), torch.cat(seconds).to(rows.device)
    rows = unit(rows)
    similarity = torch.cat(
        [(rows[first[part]] * rows[second[part]]).sum(1) for part in blocks(len(first), rows.shape[1], CELLS // 4)]
    )
    return Pairs(similarity.clamp(-1, 1), dense[first] == dense[second], first, second, every)


def _bins(similarity: Tensor, bins: int) -> Tensor:
    return ((similarity.double() + 1) * (bins / 2)).floor().long().clamp(0, bins - 1)


def overlap(intra: Values, inter: Values, *, bins: int = BINS) -> float:
    """Common mass of two histograms on [-1, 1]: sum_b min(p_b, q_b), in [0, 1]; smaller is better separated.

    Args:
        intra: similarities of same-class pairs; what lies outside [-1, 1] counts in the last bin.
        inter: similarities of other pairs, likewise.
        bins: of equal width, the same for both.

    Raises:
        ShapeError: one of them is empty.

    Example:
        >>> overlap(torch.tensor([0.9, 0.1]), torch.tensor([0.1, -0.5]))
        0.5
    """
    p, q = values(intra), values(inter)
    if len(p) == 0 or len(q) == 0:
        raise ShapeError(f"the overlap of {len(p)} and {len(q)} similarities is undefined; expected some of both")
    shares = [torch.bincount(_bins(x, bins), minlength=bins).double() / len(x) for x in (p, q)]
    return float(torch.minimum(*shares).sum())


@dataclass(frozen=True, eq=False)
class _Order:
    """Pairs by falling similarity; equal ones share a threshold."""

    index: Tensor
    last: Tensor
    level: Tensor

    @classmethod
    def of(cls, similarity: Tensor) -> "_Order":
        level, index = similarity.double().sort(descending=True)
        last = torch.cat((torch.nonzero(level[1:] != level[:-1])[:, 0], torch.tensor([len(level) - 1])))
        return cls(index, last, level[last])

    def rates(self, weight: Tensor) -> Tensor:
        """Share of the weight at or above each threshold, from 0 to 1: [draw, threshold + 1]."""
        risen = weight[:, self.index].cumsum(1)[:, self.last]
        return torch.nn.functional.pad(risen / risen[:, -1:], (1, 0))


def _equal_error(fpr: Tensor, tpr: Tensor) -> tuple[Tensor, Tensor]:
    """Where fpr = 1 - tpr, between two points of the curve, and the index of the first point at or past it."""
    excess = fpr + tpr - 1
    after = (excess >= 0).int().argmax(1).clamp(min=1)[:, None]
    before, then = excess.gather(1, after - 1), excess.gather(1, after)
    share = -before / (then - before)
    rate = fpr.gather(1, after - 1) * (1 - share) + fpr.gather(1, after) * share
    return rate[:, 0], after[:, 0]


def _verification(pairs: Pairs, points: int) -> Verification:
    order = _Order.of(pairs.similarity.cpu())
    same = pairs.same.double().cpu()[None]
    tpr, fpr = order.rates(same), order.rates(1 - same)
    rate, where = _equal_error(fpr, tpr)
    target = torch.linspace(0, 1, points, dtype=torch.float64)
    kept = torch.searchsorted(((fpr + tpr) / 2)[0].contiguous(), target).clamp(max=fpr.shape[1] - 1).unique()
    kept = torch.cat((torch.tensor([0]), kept, torch.tensor([fpr.shape[1] - 1]))).unique()
    threshold = float(order.level[int(where) - 1])
    area = auroc(pairs.similarity.cpu(), pairs.same.cpu())
    return Verification(area, float(rate), threshold, fpr[0, kept], tpr[0, kept])


def verification(
    x: Features, labels: Labels | None = None, *, pairs: int = 100_000, points: int = 200, seed: int = 0
) -> Verification:
    """Are two images of one class? The ROC curve of the cosine similarity over pairs of test rows.

    Args:
        x: test rows; those of label -1 are left out.
        labels: in place of the labels of Embeddings.
        pairs: of each kind, where not all are taken.
        points: at most about so many on the curve; area and error rate use all.
        seed: of the pairs.

    Raises:
        ShapeError: no labels, or no pair of one kind.
    """
    drawn = sample_pairs(x, labels, pairs=pairs, stream=Streams(seed).at("pairs"))
    if drawn is None:
        raise ShapeError(
            "verification needs two classes and a class with two rows; the test rows that arrived lack one"
        )
    return _verification(drawn, points)


def separation(pairs: Pairs, rows: int, *, draws: int = 200, seed: int = 0, points: int = 200) -> Separation:
    """Histograms, overlap, ROC, equal error rate and d' of sampled pairs, with intervals.

    The bootstrap draws rows, and a pair counts as often as the product of its rows' counts, so that pairs that share a
    row are not taken for independent.

    Args:
        pairs: of `sample_pairs`.
        rows: how many rows they were drawn from.
        draws: resamples.
        seed: of the resampling.
        points: as in `verification`.
    """
    similarity, same = pairs.similarity.cpu(), pairs.same.cpu()
    order = _Order.of(similarity)
    first, second = pairs.first.cpu(), pairs.second.cpu()
    code = _bins(similarity, BINS) + BINS * same.long()
    moments = torch.stack((torch.ones_like(similarity), similarity, similarity.square()), 1).double()

    def statistics(weight: Tensor) -> tuple[Tensor, Tensor]:
        intra, inter = weight * same, weight * ~same
        tpr, fpr = order.rates(intra), order.rates(inter)
        counts = weight.new_zeros(len(weight), 2 * BINS).index_add_(1, code, weight).view(-1, 2, BINS)
        shares = counts / counts.sum(2, keepdim=True)
        one, other = intra @ moments, inter @ moments
        means = [m[:, 1] / m[:, 0] for m in (one, other)]
        variances = [(m[:, 2] / m[:, 0] - mean**2).clamp(min=0) for m, mean in zip((one, other), means, strict=True)]
        d_prime = (means[0] - means[1]) / ((variances[0] + variances[1]) / 2).sqrt()
        found = (shares.amin(1).sum(1), torch.trapezoid(tpr, fpr, dim=1), _equal_error(fpr, tpr)[0], d_prime)
        return torch.stack(found, 1), shares

    value, shares = statistics(torch.ones(1, len(similarity), dtype=torch.float64))
    found: list[Tensor] = []
    for counts in resamples(rows, draws, seed, max(rows, CELLS // 8 * rows // len(similarity))):
        found.append(statistics((counts[:, first] * counts[:, second]).double())[0])
    every = torch.cat(found)
    common, auroc, error = centred(value[:, :3], every[:, :3], 0.0, 1.0)
    [d_prime] = centred(value[:, 3:], every[:, 3:], float("-inf"), float("inf"))
    edges = torch.linspace(-1, 1, BINS + 1, dtype=torch.float64)
    curve = _verification(pairs, points)
    return Separation(common, auroc, error, d_prime, edges, shares[0, 1], shares[0, 0], curve, pairs.every)
