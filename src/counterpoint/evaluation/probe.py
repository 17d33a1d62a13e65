"""What a linear classifier on frozen features reaches, with all labels and with few."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, labelled
from counterpoint.evaluation.resampling import of_draws
from counterpoint.random import Stream, Streams

__all__ = ["FewLabel", "Probe", "few_label", "fit_logistic", "linear_probe", "standardisation"]

DECADES = tuple(10.0**power for power in range(-6, 6))
PATIENCE = 3  # decades of C without a better validation accuracy, after which the path ends
SELECTION_ROWS = 10_000
GRAM_ROWS = 8_192
SMALL = 1 << 22  # problems with fewer elements are solved in float64
TOLERANCE = 1e-6  # of a gradient in float64; a thousandth of it takes three times the steps, and predicts the same


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted linear classifier and what it says of the test rows.

    Args:
        accuracy: on the labelled test rows.
        c: inverse strength of the L2 penalty, in scikit-learn's sense.
        weight, bias: on standardised features; a class without train rows has bias -inf.
        mean, scale: of the standardisation.
        logits: of the labelled test rows.
        prediction: of the labelled test rows.
    """

    accuracy: float
    c: float
    weight: Float[Tensor, "class width"]
    bias: Float[Tensor, " class"]
    mean: Float[Tensor, " width"]
    scale: Float[Tensor, " width"]
    logits: Float[Tensor, "row class"]
    prediction: Int64[Tensor, " row"]


@dataclass(frozen=True)
class FewLabel:
    """Test accuracy of a probe on a few labelled train rows.

    Args:
        setting: in words.
        rows: labelled rows in all.
        mean, std: over the draws.
        draws: how many subsets were drawn.
        low, high: Student's t interval of the mean over draws; the test set is held fixed.
    """

    setting: str
    rows: int
    mean: float
    std: float
    draws: int
    low: float
    high: float


def standardisation(rows: Float[Tensor, "row width"]) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
    """Mean and standard deviation of each column; a column that does not vary is only centred."""
    mean, std = rows.mean(0), rows.std(0, correction=0)
    still = std <= 8 * torch.finfo(rows.dtype).eps * mean.abs() + torch.finfo(rows.dtype).tiny
    return mean, torch.where(still, torch.ones_like(std), std)


def _gram(rows: Tensor) -> Tensor:
    some = rows[:: max(1, len(rows) // GRAM_ROWS)]
    return some.T @ some / len(some)


def _factor(gram: Tensor, curvature: float, ridge: float) -> Tensor:
    """Lower Cholesky factor of curvature * gram + ridge, made a little more regular until there is one."""
    extra = float(gram.diagonal().mean()) * curvature * 8 * torch.finfo(gram.dtype).eps + torch.finfo(gram.dtype).tiny
    matrix = curvature * gram
    matrix.diagonal().add_(ridge)
    while True:
        matrix.diagonal().add_(extra)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not failed:
            return factor
        extra *= 8


def fit_logistic(
    rows: Float[Tensor, "row width"],
    labels: Int64[Tensor, " row"],
    classes: int,
    *,
    c: float = 1.0,
    start: tuple[Tensor, Tensor] | None = None,
    gram: Float[Tensor, "width width"] | None = None,
    iterations: int = 1000,
    tolerance: float | None = None,
) -> tuple[Float[Tensor, "class width"], Float[Tensor, " class"]]:
    r"""Multinomial logistic regression: the minimum of  mean_i CE(W x_i + b, y_i) + |W|^2 / (2 C n).

    Full-batch L-BFGS with a strong Wolfe line search. It runs in coordinates where the Hessian at the start is the
    identity (W = V L^-1, with L L' = Sigma / K (1 - 1/K) + 1 / (C n)), which changes the road and not the minimum, and
    takes tens of steps where plain coordinates take thousands. With fewer rows than columns it works in the span
    of the rows, where the minimum lies.

    Source: Nocedal & Wright 2006, algorithm 7.5; the bound behind L: Boehning 1992.

    Args:
        rows: standardised features.
        labels: in [0, classes).
        classes: how many; one without rows gets bias -inf.
        c: > 0, inverse strength of the penalty, scikit-learn's C. The bias is not penalised.
        start: weight and bias to start from.
        gram: rows' rows / n, where it is known already.
        iterations: at most.
        tolerance: largest gradient component at the end, in the whitened coordinates; by precision where None.

    Raises:
        ShapeError: c is not positive.
    """
    if not c > 0:
        raise ShapeError(f"the linear probe got C={c}; expected a number above 0")
    n, width = rows.shape
    present, dense = labels.unique(return_inverse=True)
    count = len(present)
    weight = rows.new_zeros(classes, width)
    bias = rows.new_full((classes,), -torch.inf)
    if count == 1:
        bias[present] = 0.0
        return weight, bias

    span = None
    if n < width:
        span = torch.linalg.qr(rows.T).Q
        rows, gram = rows @ span, None
    if tolerance is None:
        tolerance = 1e-9 if rows.dtype == torch.float64 else 2e-6
    ridge, curvature = 1 / (c * n), (1 - 1 / count) / count
    factor = _factor(_gram(rows) if gram is None else gram, curvature, ridge)
    steep = curvature**0.5

    v = rows.new_zeros(rows.shape[1] + 1, count, requires_grad=True)
    if start is not None:
        before = start[0][present].T.to(rows.dtype)
        level = start[1][present].to(rows.dtype)
        with torch.no_grad():
            v[:-1] = factor.T @ (before if span is None else span.T @ before)
            v[-1] = torch.where(level.isfinite(), level, 0.0) * steep
    wanted = one_hot(dense, count).to(rows.dtype)
    gradient = torch.empty_like(v)

    @torch.no_grad()
    def closure() -> Tensor:
        w = torch.linalg.solve_triangular(factor.T, v[:-1], upper=True)
        logs = (rows @ w + v[-1] / steep).log_softmax(1)
        loss = -(logs.gather(1, dense[:, None])).double().sum() / n + w.double().square().sum() * (ridge / 2)
        residual = (logs.exp_() - wanted).div_(n)
        slope = (residual.T @ rows).T + ridge * w
        gradient[:-1] = torch.linalg.solve_triangular(factor, slope, upper=False)
        gradient[-1] = residual.sum(0) / steep
        v.grad = gradient.clone()
        return loss

    optimiser = torch.optim.LBFGS(
        [v],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0 if rows.dtype == torch.float64 else 1e-9,
        line_search_fn="strong_wolfe",
    )
    optimiser.step(closure)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        w = torch.linalg.solve_triangular(factor.T, v[:-1], upper=True)
        weight[present] = (w if span is None else span @ w).T
        level = v[-1] / steep
        bias[present] = level - level.mean()
    return weight, bias


def _select_c(rows: Tensor, labels: Tensor, classes: int, stream: Stream) -> tuple[float, tuple[Tensor, Tensor] | None]:
    """The C of the best validation accuracy, of equals the likeliest, and its solution.

    Likelihood decides where accuracy is flat: while the intercept alone speaks, which names the commonest class.
    """
    if len(rows) < 20 or len(labels.unique()) < 2:
        return 1.0, None
    chosen = stream.permutation(len(rows))[:SELECTION_ROWS].to(rows.device)
    chosen = chosen[labels[chosen].argsort(stable=True)]  # every fifth row of each class validates
    held = torch.arange(len(chosen), device=rows.device) % 5 == 4
    fit, check = chosen[~held], chosen[held]
    x, y = rows[fit], labels[fit]
    gram = None if len(x) < x.shape[1] else _gram(x)
    if gram is None:
        span = torch.linalg.qr(x.T).Q
        x, seen = x @ span, rows[check] @ span
    else:
        span, seen = None, rows[check]
    tried: dict[float, tuple[tuple[float, float], tuple[Tensor, Tensor]]] = {}

    def attempt(c: float, start: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        solution = fit_logistic(x, y, classes, c=c, start=start, gram=gram, iterations=60, tolerance=1e-4)
        logits = seen @ solution[0].T + solution[1]
        right = float((logits.argmax(1) == labels[check]).double().mean())
        tried[c] = ((right, -float(torch.nn.functional.cross_entropy(logits, labels[check]))), solution)
        return solution

    def best() -> float:
        return max(sorted(tried), key=lambda c: tried[c][0])

    solution = None
    for decade, c in enumerate(DECADES):
        solution = attempt(c, solution)
        if decade - DECADES.index(best()) >= PATIENCE:
            break
    middle = best()
    for c in (middle / 10**0.5, middle * 10**0.5):
        attempt(c, tried[middle][1])
    weight, bias = tried[best()][1]
    return best(), (weight if span is None else weight @ span.T, bias)


def _pair(
    train: Features, test: Features, train_labels: Labels | None, test_labels: Labels | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    x, y = labelled(train, train_labels, "train")
    seen, truth = labelled(test, test_labels, "test")
    if x.shape[1] != seen.shape[1]:
        raise ShapeError(
            f"train rows have width {x.shape[1]}, test rows {seen.shape[1]}; both must come from one encoder"
        )
    dtype = torch.float64 if x.numel() <= SMALL else x.dtype
    return x.to(dtype), y, seen.to(dtype), truth, int(max(y.max(), truth.max())) + 1


def linear_probe(
    train: Features,
    test: Features,
    train_labels: Labels | None = None,
    test_labels: Labels | None = None,
    *,
    c: float | None = None,
    seed: int = 0,
) -> Probe:
    """Logistic regression on frozen, standardised features.

    Where C is not given it is chosen on a fifth of at most 10,000 train rows: decades from 1e-6 to 1e5, warm-started,
    until three in a row do not help, then half a decade to both sides; the final fit at that C uses all
    train rows. Needs memory for one standardised copy of the train rows, and width^2.

    Source: Kornblith et al. 2019, "Do better ImageNet models transfer better?", appendix A.5; they take 45 points of C.

    Args:
        train: frozen features; rows of label -1 are left out.
        test: likewise, of the same width.
        train_labels: in place of the labels of Embeddings.
        test_labels: likewise.
        c: inverse strength of the penalty; chosen where None.
        seed: of the validation split.

    Raises:
        ShapeError: no labels, or other widths.

    See also: `fit_logistic`, the solver.
    """
    x, y, seen, truth, classes = _pair(train, test, train_labels, test_labels)
    mean, scale = standardisation(x)
    x = (x - mean).div_(scale)
    start = None
    if c is None:
        c, start = _select_c(x, y, classes, Streams(seed).at("validation"))
    weight, bias = fit_logistic(
        x, y, classes, c=c, start=start, tolerance=TOLERANCE if x.dtype == torch.float64 else None
    )
    logits = ((seen - mean).div_(scale)) @ weight.T + bias
    prediction = logits.argmax(1)
    accuracy = float((prediction == truth).double().mean())
    return Probe(accuracy, c, weight, bias, mean, scale, logits, prediction)


def few_label(
    train: Features,
    test: Features,
    train_labels: Labels | None = None,
    test_labels: Labels | None = None,
    *,
    per_class: Sequence[int] = (1, 5, 10),
    shares: Sequence[float] = (0.01, 0.1),
    draws: int = 5,
    c: float | None = None,
    seed: int = 0,
) -> tuple[FewLabel, ...]:
    """Linear probes on class-balanced subsets of the train rows, several draws each.

    Features are standardised with the statistics of all train rows, which need no labels. With so few rows nothing can
    be validated, so C is fixed.

    Args:
        train: frozen features; rows of label -1 are left out.
        test: likewise, of the same width.
        train_labels: in place of the labels of Embeddings.
        test_labels: likewise.
        per_class: rows of each class; left out where a class has fewer.
        shares: of the train rows, in (0, 1], spread evenly over the classes; a class with fewer rows gives all it has.
            Left out where there would be less than one for each class.
        draws: subsets for each setting; the same for every encoder of one seed.
        c: inverse strength of the penalty; 10 / width where None.
        seed: of the draws.

    Raises:
        ShapeError: no labels, or other widths.
    """
    x, y, seen, truth, classes = _pair(train, test, train_labels, test_labels)
    present, sizes = y.unique(return_counts=True)
    mean, scale = standardisation(x)
    seen = (seen - mean).div_(scale)
    strength = 10 / x.shape[1] if c is None else c
    settings: list[tuple[str, int]] = [(f"{k} per class", k) for k in per_class if 1 <= k <= int(sizes.min())]
    for share in shares:
        each = round(share * len(x) / len(present))
        if share * len(x) >= len(present):
            settings.append((f"{share:.0%} of the labels", each))

    def accuracy(each: int, draw: int) -> float:
        order = Streams(seed).at("few labels", each, draw).permutation(len(x)).to(y.device)
        order = order[y[order].argsort(stable=True)]
        rank = torch.arange(len(x), device=y.device) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        index = order[rank < each]
        weight, bias = fit_logistic((x[index] - mean).div_(scale), y[index], classes, c=strength, tolerance=1e-5)
        return float(((seen @ weight.T + bias).argmax(1) == truth).double().mean())

    known: dict[int, list[float]] = {}
    out: list[FewLabel] = []
    for setting, each in settings:
        if each not in known:
            known[each] = [accuracy(each, draw) for draw in range(draws)]
        estimate, spread = of_draws(torch.tensor(known[each], dtype=torch.float64))
        rows = int(sizes.clamp(max=each).sum())
        out.append(FewLabel(setting, rows, estimate.value, spread, draws, estimate.low, estimate.high))
    return tuple(out)
