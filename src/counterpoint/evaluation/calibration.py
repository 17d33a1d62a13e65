"""Does a probability mean what it says? Of images called 80 % likely, about 80 % should be it."""

from dataclasses import dataclass
from math import exp

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Labels, Values, values
from counterpoint.random import Streams

__all__ = [
    "BINS",
    "Platt",
    "Reliability",
    "expected_calibration_error",
    "expected_of_calibrated",
    "fit_platt",
    "fit_temperature",
    "reliability",
]

BINS = 15
NEWTON = 100
CHUNK = 1 << 24  # numbers that the draws of a chunk hold at most


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was said and what came true, in bins of equal width.

    Args:
        edges: of the bins, from 0 to 1.
        count: rows of each bin.
        said: mean probability of each bin, nan where it is empty.
        true: share of each bin that came true, likewise.
    """

    edges: Float64[Tensor, " edge"]
    count: Int64[Tensor, " bin"]
    said: Float64[Tensor, " bin"]
    true: Float64[Tensor, " bin"]

    @property
    def error(self) -> float:
        """The expected calibration error: |said - true|, averaged over rows."""
        full = self.count > 0
        share = self.count[full].double() / self.count.sum()
        return float((share * (self.said - self.true)[full].abs()).sum())


@dataclass(frozen=True, eq=False)
class Platt:
    """From a head's logit to a probability: sigmoid(slope * logit + offset), each head its own.

    Args:
        slope: 0 or above; 0 says the same to every image.
        offset: in units of the logit.
    """

    slope: Float[Tensor, " head"]
    offset: Float[Tensor, " head"]

    def __call__(self, logits: Float[Tensor, "row head"]) -> Float[Tensor, "row head"]:
        """Probabilities."""
        return (self.slope * logits + self.offset).sigmoid()


def _checked(probability: Values, truth: Labels, bins: int) -> tuple[Tensor, Tensor]:
    said, true = values(probability), torch.as_tensor(truth).to(torch.int64)
    if len(said) != len(true) or len(said) == 0:
        raise ShapeError(f"{len(said)} probabilities with {len(true)} answers arrived; expected as many, at least one")
    if not bool(((said >= 0) & (said <= 1)).all()):
        raise ShapeError("probabilities must be in [0, 1]; some that arrived are not")
    if not bool(((true == 0) | (true == 1)).all()):
        raise ShapeError("answers must be 0 or 1; leave out the rows whose answer is unknown")
    if bins < 1:
        raise ShapeError(f"bins={bins} is no number of bins; expected 1 or more")
    return said, true


def reliability(probability: Values, truth: Labels, *, bins: int = BINS) -> Reliability:
    """The reliability curve. A probability on an edge belongs to the bin above it, 1 to the last.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 2; there for the most likely class,
        here for the probability of yes.

    Args:
        probability: of yes, in [0, 1].
        truth: 1 yes, 0 no.
        bins: of equal width.

    Raises:
        ShapeError: numbers out of range, or not as many answers as probabilities.
    """
    said, true = _checked(probability, truth, bins)
    place = (said * bins).long().clamp(max=bins - 1)
    count = torch.bincount(place, minlength=bins)
    mean = torch.bincount(place, said, minlength=bins) / count
    came = torch.bincount(place, true.double(), minlength=bins) / count
    return Reliability(torch.linspace(0, 1, bins + 1, dtype=torch.float64), count, mean, came)


def expected_calibration_error(probability: Values, truth: Labels, *, bins: int = BINS) -> float:
    """|mean probability - share that came true| of each bin, averaged over rows.

    It depends on the bins, and is above 0 also for perfect probabilities: see `expected_of_calibrated`.

    Source: Naeini et al. 2015; Guo et al. 2017, eq. 3.

    Args:
        probability: of yes, in [0, 1].
        truth: 1 yes, 0 no.
        bins: of equal width.

    Raises:
        ShapeError: as in `reliability`.

    Example:
        Four images called 80 % likely, of which three are it:

        >>> round(expected_calibration_error(torch.full((4,), 0.8), torch.tensor([1, 1, 1, 0])), 3)
        0.05
    """
    return reliability(probability, truth, bins=bins).error


def expected_of_calibrated(
    probability: Values, *, bins: int = BINS, draws: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Mean and 95 % point of the calibration error that these very probabilities would show were they all true.

    Answers are drawn from the probabilities, many times.

    Source: Broecker & Smith 2007, "Increasing the reliability of reliability diagrams": consistency resampling.

    Args:
        probability: of yes, in [0, 1].
        bins: of equal width.
        draws: of all answers.
        seed: of the draws.
    """
    said, _ = _checked(probability, torch.zeros(len(torch.as_tensor(probability)), dtype=torch.int64), bins)
    place = (said * bins).long().clamp(max=bins - 1)
    total = torch.bincount(place, said, minlength=bins)
    stream = Streams(seed).at("calibration", len(said))
    found: list[Tensor] = []
    step = max(1, CHUNK // len(said))
    for start in range(0, draws, step):
        answers = (stream.uniform(min(step, draws - start), len(said)) < said).double()
        came = answers.new_zeros(len(answers), bins).index_add_(1, place, answers)
        found.append((came - total).abs().sum(1) / len(said))
    errors = torch.cat(found)
    return float(errors.mean()), float(errors.quantile(0.95))


@torch.no_grad()
def fit_platt(logits: Float[Tensor, "row head"], truth: Int64[Tensor, "row head"]) -> Platt:
    """The likeliest slope and offset of each head on held-out rows, all heads side by side, by Newton's method.

    The answers are softened to (n_yes + 1) / (n_yes + 2) and 1 / (n_no + 2), so that rows which the logit separates
    wholly get a finite slope. A slope below 0 (a head that is wrong more often than right) becomes 0: the head then
    says the share of the held-out rows.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin & Weng 2007 for the damped steps.

    Args:
        logits: of the held-out rows.
        truth: 1 yes, 0 no, -1 unknown.

    Raises:
        ShapeError: other shapes, or a head of which no held-out row is known.
    """
    if logits.shape != truth.shape:
        raise ShapeError(f"logits have shape {tuple(logits.shape)}, answers {tuple(truth.shape)}; expected the same")
    known = (truth >= 0).double()
    yes, no = (truth == 1).double().sum(0), (truth == 0).double().sum(0)
    if bool((yes + no == 0).any()):
        raise ShapeError("a head has no held-out row whose answer is known; it cannot be calibrated")
    wanted = torch.where(truth == 1, (yes + 1) / (yes + 2), 1 / (no + 2))
    x = logits.double()
    # In units of the logits' own spread, in which Newton's steps are tame.
    rows = known.sum(0)
    middle = (x * known).sum(0) / rows
    spread = (((x - middle) * known).square().sum(0) / rows).sqrt()
    spread = torch.where(spread > 0, spread, 1.0)
    u = (x - middle) / spread
    a, b = torch.zeros_like(middle), ((wanted * known).sum(0) / rows).logit()

    def loss(a: Tensor, b: Tensor) -> Tensor:
        z = a * u + b
        return (known * (torch.nn.functional.softplus(z) - wanted * z)).sum(0)

    now = loss(a, b)
    for _ in range(NEWTON):
        p = (a * u + b).sigmoid()
        left, bend = known * (p - wanted), known * p * (1 - p)
        ga, gb = (left * u).sum(0), left.sum(0)
        if bool(((ga.abs() + gb.abs()) <= 1e-9 * rows).all()):
            break
        aa, ab, bb = (bend * u * u).sum(0) + 1e-9, (bend * u).sum(0), bend.sum(0) + 1e-9
        det = aa * bb - ab * ab
        da, db = -(bb * ga - ab * gb) / det, -(aa * gb - ab * ga) / det
        length = torch.ones_like(a)
        for _ in range(20):  # each head halves its own step until it gets better
            there = loss(a + length * da, b + length * db)
            worse = there > now + 1e-4 * length * (ga * da + gb * db)
            if not bool(worse.any()):
                break
            length = torch.where(worse, length / 2, length)
        better = loss(a + length * da, b + length * db) <= now
        a, b = torch.where(better, a + length * da, a), torch.where(better, b + length * db, b)
        now = loss(a, b)
    wrong = a < 0
    a, b = torch.where(wrong, 0.0, a), torch.where(wrong, ((yes + 1) / (yes + no + 2)).logit(), b)
    slope = a / spread
    return Platt(slope.to(logits.dtype), (b - slope * middle).to(logits.dtype))


@torch.no_grad()
def fit_temperature(logits: Float[Tensor, "row class"], labels: Int64[Tensor, " row"]) -> float:
    """The number by which logits of classes are divided so that held-out labels are likeliest.

    Source: Guo et al. 2017, section 4.2. The loss is convex in 1 / T; the search halves its logarithm's range.

    Args:
        logits: of the held-out rows; -inf for a class that was never seen.
        labels: of those rows.
    """
    x = logits.double()
    keep = x.gather(1, labels[:, None])[:, 0].isfinite()
    x, truth = x[keep], labels[keep]
    if len(x) == 0:
        return 1.0
    own = x.gather(1, truth[:, None])[:, 0]
    x = torch.where(x.isfinite(), x, x[x.isfinite()].min() - 1e6)
    low, high = -6.0, 6.0
    for _ in range(40):
        inverse = exp((low + high) / 2)
        slope = float(((inverse * x).softmax(1) * x).sum(1).mean() - own.mean())
        low, high = (low, (low + high) / 2) if slope > 0 else ((low + high) / 2, high)
    return exp(-(low + high) / 2)
