"""Many yes-or-no questions asked of the same rows at once: the heads are the columns of one matrix.

A binary softmax has two columns per question, of which only the difference matters; here a question is that one column,
a logistic regression.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from counterpoint.errors import ShapeError
from counterpoint.evaluation.probe import fit_logistic, standardisation
from counterpoint.random import Streams

__all__ = ["Converged", "LinearHeads", "Passes", "Training", "fit_classes", "fit_heads"]

BLOCK = 1024  # rows whose logits are held at once
SMALL = 1 << 22  # problems with fewer elements converge in float64
MEMORY = 10  # pairs that L-BFGS keeps
SLOPE = 0.5  # a step is taken where the slope at its end is at most this share of that at its start, and uphill


@dataclass(frozen=True)
class Passes:
    """A few passes of Adam over shuffled batches from zero weights, without a penalty: the paper's classifier.

    The paper says "softmax linear classifier, 10 epochs" and no more. Two softmax columns from zero stay opposite under
    Adam, so their difference is one logistic column that moves at twice the rate; it is trained so.

    Source: Nissani, section on super-classes; rate, batch and standardisation are our choice.

    Args:
        epochs: passes over the rows.
        lr: Adam's rate for a softmax column, constant.
        batch_size: rows.
        standardise: to zero mean and unit deviation of each feature over the training rows; else as they come.
    """

    epochs: int = 10
    lr: float = 1e-3
    batch_size: int = 256
    standardise: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.lr > 0:
            raise ShapeError(f"{self}: epochs and batch_size must be 1 or more, lr above 0")


@dataclass(frozen=True)
class Converged:
    """The minimum of  mean_i log(1 + exp(-s_i (w x_i + b))) + |w|^2 / (2 C n)  for each head.

    Args:
        c: > 0, inverse strength of the penalty, scikit-learn's C; the bias is not penalised.
        tolerance: largest component of a head's gradient at the end, scikit-learn's tol for lbfgs, whose
            1e-4 ends with the objective some per cent above the minimum.
        iterations: at most.
        standardise: as in `Passes`.
    """

    c: float = 1.0
    tolerance: float = 1e-5
    iterations: int = 1000
    standardise: bool = True

    def __post_init__(self) -> None:
        if not self.c > 0 or not self.tolerance > 0 or self.iterations < 1:
            raise ShapeError(f"{self}: c and tolerance must be above 0, iterations 1 or more")


Training = Passes | Converged
"""How linear heads are trained."""


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """Trained heads.

    Args:
        weight, bias: on standardised features; the bias of a head whose answer is constant is infinite.
        mean, scale: of the standardisation; 0 and 1 where there is none.
        loss: mean over the training rows at the end, without a penalty; of heads each, of classes one.
        gradient: largest component of the gradient of what was minimised, likewise.
        steps: of the optimiser.
    """

    weight: Float[Tensor, "width head"]
    bias: Float[Tensor, " head"]
    mean: Float[Tensor, " width"]
    scale: Float[Tensor, " width"]
    loss: Float[Tensor, " _"]
    gradient: Float[Tensor, " _"]
    steps: int

    def logits(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row head"]:
        """Above 0 a head says yes; of classes the largest is said."""
        standard = (rows.to(self.weight.dtype) - self.mean) / self.scale
        return torch.addmm(self.bias, standard, self.weight)


def _prepared(rows: Tensor, training: Training) -> tuple[Tensor, Tensor, Tensor]:
    """Rows in the precision of the solver, with a last column of ones for the bias; and how they were standardised."""
    exact = isinstance(training, Converged) and rows.numel() <= SMALL
    rows = rows.to(torch.float64 if exact else torch.float32)
    mean, scale = rows.new_zeros(rows.shape[1]), rows.new_ones(rows.shape[1])
    if training.standardise:
        mean, scale = standardisation(rows)
    x = rows.new_ones(len(rows), rows.shape[1] + 1)
    torch.sub(rows, mean, out=x[:, :-1]).div_(scale)
    return x, mean, scale


def _checked(rows: Tensor, labels: Tensor, classes: int) -> None:
    if len(rows) != len(labels) or len(rows) == 0:
        raise ShapeError(f"{len(labels)} labels arrived for {len(rows)} rows; expected one for each, at least one")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ShapeError(
            f"the labels run from {int(labels.min())} to {int(labels.max())}; expected classes in [0, {classes})"
        )


def fit_heads(
    rows: Float[Tensor, "row width"],
    labels: Int64[Tensor, " row"],
    members: Bool[Tensor, "class head"],
    training: Training,
    *,
    seed: int = 0,
) -> LinearHeads:
    """One logistic regression for each set of classes, all at once; each as if it were trained alone.

    Heads of equal or complementary sets are one problem and are solved once; the latter only differ in sign. Of a set
    that no row, or every row, belongs to, the answer is constant, and nothing is trained.

    Args:
        rows: features.
        labels: class of each row.
        members: whether a class belongs to the set of a head.
        training: passes, or until convergence.
        seed: of the order of batches.

    Raises:
        ShapeError: a label that is no class, or not one for each row.
    """
    _checked(rows, labels, len(members))
    counts = torch.bincount(labels, minlength=len(members))
    seen = members & (counts > 0)[:, None]
    sign = torch.where(seen[int(labels[0])], -1.0, 1.0)  # sets that hold the first row's class are turned round
    turned = torch.where(sign > 0, seen, ~seen & (counts > 0)[:, None])
    distinct, which = turned.unique(dim=1, return_inverse=True)
    work = torch.nonzero(distinct.any(0))[:, 0]
    x, mean, scale = _prepared(rows, training)
    weight, bias = x.new_zeros(x.shape[1] - 1, distinct.shape[1]), x.new_zeros(distinct.shape[1])
    loss, gradient = torch.zeros_like(bias), torch.zeros_like(bias)
    bias.fill_(-torch.inf)
    if isinstance(training, Passes):
        ridge = 0.0
        solved = _passes(x, labels, distinct[:, work], training, Streams(seed), softmax=False)
    else:
        ridge = 1 / (training.c * len(x))
        solved = _converged(x, labels, distinct[:, work], training)
    weight[:, work], bias[work], steps = solved
    loss[work], gradient[work] = _reached(x, labels, distinct[:, work], weight[:, work], bias[work], ridge)
    sign = sign.to(x.dtype)
    return LinearHeads(weight[:, which] * sign, bias[which] * sign, mean, scale, loss[which], gradient[which], steps)


def fit_classes(
    rows: Float[Tensor, "row width"], labels: Int64[Tensor, " row"], classes: int, training: Training, *, seed: int = 0
) -> LinearHeads:
    """One softmax over all classes, trained as the heads are.

    Args:
        rows: features.
        labels: class of each row.
        classes: how many.
        training: passes, or until convergence.
        seed: of the order of batches.

    Raises:
        ShapeError: a label that is no class, or not one for each row.
    """
    _checked(rows, labels, classes)
    x, mean, scale = _prepared(rows, training)
    if isinstance(training, Passes):
        members = torch.eye(classes, dtype=torch.bool, device=x.device)
        weight, bias, steps = _passes(x, labels, members, training, Streams(seed), softmax=True)
    else:
        found, bias = fit_logistic(
            x[:, :-1], labels, classes, c=training.c, iterations=training.iterations, tolerance=training.tolerance
        )
        weight, steps = found.T, 0
    both = torch.cat((weight, bias[None]))
    total, slope = x.new_zeros((), dtype=torch.float64), torch.zeros_like(both)
    for part, truth in zip(x.split(BLOCK), labels.split(BLOCK), strict=True):
        logits = part @ both
        total += cross_entropy(logits, truth, reduction="sum").double()
        residual = logits.softmax(1)
        residual[torch.arange(len(truth), device=x.device), truth] -= 1
        slope.addmm_(part.T, residual)
    slope /= len(x)
    if isinstance(training, Converged):
        slope[:-1] += weight / (training.c * len(x))
    return LinearHeads(weight, bias, mean, scale, (total / len(x)).to(x.dtype)[None], slope.abs().max()[None], steps)


def _passes(
    x: Tensor, labels: Tensor, members: Tensor, training: Passes, streams: Streams, *, softmax: bool
) -> tuple[Tensor, Tensor, int]:
    wanted = members.to(x.dtype)
    weight = x.new_zeros(x.shape[1], wanted.shape[1], requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    optimiser = torch.optim.Adam([weight], lr=training.lr * (1 if softmax else 2), fused=True)
    steps = 0
    with torch.no_grad():
        for epoch in range(training.epochs):
            order = streams.at("order", epoch).permutation(len(x)).to(x.device)
            for rows in order.split(training.batch_size):
                part, truth = x[rows], labels[rows]
                answer = part @ weight
                answer = answer.softmax(1) if softmax else answer.sigmoid_()
                answer.sub_(wanted[truth])
                torch.mm(part.T, answer, out=weight.grad).div_(len(rows))
                optimiser.step()
                steps += 1
    found = weight.detach()
    return found[:-1], found[-1], steps


def _reached(
    x: Tensor, labels: Tensor, members: Tensor, weight: Tensor, bias: Tensor, ridge: float
) -> tuple[Tensor, Tensor]:
    """Mean loss without the penalty, and the largest component of the gradient with it."""
    both = torch.cat((weight, bias[None]))
    wanted = members.to(x.dtype)
    total, slope = torch.zeros_like(bias, dtype=torch.float64), torch.zeros_like(both)
    for part, truth in zip(x.split(BLOCK), labels.split(BLOCK), strict=True):
        logits, target = part @ both, wanted[truth]
        yes = logits.sigmoid()
        # log(1 + exp(z)) = max(z, 0) - log(max(p, 1 - p)), without cancellation
        total += (logits.clamp_min(0) - logits * target - torch.maximum(yes, 1 - yes).log_()).double().sum(0)
        slope.addmm_(part.T, yes.sub_(target))
    slope /= len(x)
    slope[:-1] += ridge * weight
    return (total / len(x)).to(x.dtype), slope.abs().amax(0)


@torch.no_grad()
def _converged(x: Tensor, labels: Tensor, members: Tensor, training: Converged) -> tuple[Tensor, Tensor, int]:
    r"""L-BFGS on all columns side by side, in coordinates that all share; columns that are done leave.

    With the eigenvectors U and eigenvalues s of the covariance, w = U D v and D = (s / 4 + 1 / (C n))^-1/4: half the
    way to coordinates in which the rows are white. All the way suits the start, where every row counts; at the end
    those near a head's boundary do, which no coordinates that all heads share can know; in between it takes the fewest
    steps. D bounds the curvature, so that the first step is safe; later ones are scaled by what was met. A step whose
    end lies too far uphill is shortened by the secant of its slopes: along a line the objective is convex, and slopes
    come with the gradient, so that nothing but one gradient is ever computed. Directions in which no row varies are
    left out: there the minimum has no weight.

    Source: Nocedal & Wright 2006, algorithm 7.4; Boehning & Lindsay 1988 for the bound of 1/4.
    """
    x, n = x[:, :-1], len(x)
    ridge = 1 / (training.c * n)
    values, vectors = torch.linalg.eigh((x.T @ x / n - torch.outer(x.mean(0), x.mean(0))).double())
    kept = values > values[-1:].clamp_min(0) * torch.finfo(x.dtype).eps
    values, vectors = values[kept], vectors[:, kept]
    steepest = (values / 4 + ridge).sqrt()  # of the curvature in each coordinate of v
    spread = steepest.rsqrt()
    back = (vectors / spread).to(x.dtype)  # gradients of v to gradients of w
    basis = (vectors * spread).to(x.dtype)
    centre = x.mean(0)
    rows = torch.cat(((x - centre) @ basis, x.new_full((n, 1), 2.0)), 1)
    penalty = torch.cat((ridge * spread.square().to(x.dtype), x.new_zeros(1)))[:, None]

    sums = rows.new_zeros(len(members), rows.shape[1], dtype=torch.float64)
    for part, truth in zip(rows.split(BLOCK), labels.split(BLOCK), strict=True):
        sums.index_add_(0, truth, part.double())
    aim = (sums.T @ members.double() / n).to(x.dtype)  # what the targets add to the gradient

    def gradient(v: Tensor, aim: Tensor) -> Tensor:
        slope = torch.zeros_like(v)
        held = v.new_empty(min(BLOCK, n), v.shape[1])
        for part in rows.split(BLOCK):
            answer = torch.mm(part, v, out=held[: len(part)]).sigmoid_()
            slope.addmm_(part.T, answer)
        return slope.div_(n).sub_(aim).addcmul_(penalty, v)

    done = rows.new_zeros(rows.shape[1], members.shape[1])
    left = torch.arange(members.shape[1], device=x.device)
    v = torch.zeros_like(done)
    g = gradient(v, aim)
    d, length = -g / max([1.0, *steepest.tolist()]), torch.ones_like(g[0])
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    steps = 0
    while True:
        worst = torch.maximum((back @ g[:-1]).abs().amax(0), g[-1].abs() / 2)
        go = worst > training.tolerance
        if steps == training.iterations:
            go = torch.zeros_like(go)
        if not bool(go.all()):
            done[:, left[~go]] = v[:, ~go]
            left, v, g, d, aim = left[go], v[:, go], g[:, go], d[:, go], aim[:, go]
            length = length[go]
            pairs = [(s[:, go], y[:, go], rho[go]) for s, y, rho in pairs]
        if len(left) == 0:
            break
        steps += 1
        tried = v + length * d
        there = gradient(tried, aim)
        start, end = (g * d).sum(0), (there * d).sum(0)
        good = end <= -SLOPE * start
        s, y = torch.where(good, tried - v, 0.0), torch.where(good, there - g, 0.0)
        bend = (s * y).sum(0)
        rho = torch.where(bend > torch.finfo(x.dtype).eps * y.square().sum(0), 1 / bend, 0.0)
        pairs = [*pairs[-MEMORY + 1 :], (s, y, rho)]
        v, g = v + s, torch.where(good, there, g)
        length = torch.where(good, 1.0, length * (start / (start - end)).clamp(0.1, 0.9))
        d = torch.where(good, _direction(g, pairs), d)
    bias = 2 * done[-1]
    weight = basis @ done[:-1]
    return weight, bias - centre @ weight, steps


def _direction(g: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two loops of L-BFGS, for each column; a pair with rho = 0 takes no part."""
    q = -g
    scale = torch.ones_like(q[0])
    shares: list[Tensor] = []
    for s, y, rho in reversed(pairs):
        share = rho * (s * q).sum(0)
        q = q - share * y
        shares.append(share)
    for _, y, rho in pairs:  # the newest that takes part
        scale = torch.where(rho > 0, 1 / (rho * y.square().sum(0)), scale)
    q = scale * q
    for (s, y, rho), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - rho * (y * q).sum(0)) * s
    return torch.where((q * g).sum(0) < 0, q, -g)
