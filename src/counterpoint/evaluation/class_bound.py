r"""Arora's bound: how much a contrastive loss says of the classification tasks among its classes.

Classes c are drawn from a law rho, images from their class. With k negatives, anchor x and its partner x' are of class
c, negative i of class c_i, all independent, and for v_i = f(x).(f(x') - f(x_i)) the unsupervised loss is
L_un = E l(v_1, ..., v_k). With mu_c the mean of f over class c, the mean classifier's loss is
L_mu = E l(f(x).(mu_c - mu_c') for the distinct c' among the negatives), given that none of them is c. Both losses are
convex and l never falls when a margin is added, so

    L_un >= E l(f(x).(mu_c - mu_c_i))                                       Jensen, x' and x_i averaged
         >= (1 - tau) L_mu + tau E[l(0, ..., 0) | some c_i = c]             tau: the probability of such a collision

and L_mu <= (L_un - tau l0) / (1 - tau) for every f, which is the first theorem without its term of generalisation. Of
one negative l0 = 1. The loss of blocks, where x' and x_i are means of b images, lies between and binds more tightly.

The second theorem splits L_un = (1 - tau) L_unequal + tau L_equal. Given x, two images of one class make v even about
0, where (l(v) + l(-v)) / 2 <= 1 + slope |v| / 2, with a slope of 1 of the hinge and of 1 / ln 2 of the logistic, and
E |v| <= |f(x)| sqrt(2 |Cov_c f|), so that L_equal <= 1 + r s(f) with r = slope / sqrt(2) and

    s(f) = E_{c ~ rho^2} sqrt(|Cov_c f|_2) E_{x ~ c} |f(x)|,    L_mu <= L_unequal + r tau / (1 - tau) s(f).

The theorems are of pairs drawn from classes, of inner products, and of these two losses. They say nothing of pairs
that are two augmentations of one image, which are not independent given the class, nor of NT-Xent.

Source: Arora et al. 2019, arXiv:1902.09229, theorems 4.1 and 4.5, sections 6.1 and 6.2; the constant r is derived here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, inf, sqrt

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, blocks
from counterpoint.evaluation.class_tuples import Classes, Tuples, collision, draw_tuples, grouped
from counterpoint.evaluation.margin_losses import HINGE, MarginLoss
from counterpoint.evaluation.resampling import Estimate, from_influence
from counterpoint.random import Streams
from counterpoint.sphere import products

__all__ = ["Bound", "Inequality", "bound"]


@dataclass(frozen=True)
class Inequality:
    """One side of a theorem: the mean classifier's loss is at most `limit`.

    Args:
        limit: the upper bound.
        slack: limit less the mean classifier's loss; >= 0 says the theorem.
    """

    limit: Estimate
    slack: Estimate


@dataclass(frozen=True)
class Bound:
    """What the theory says of features, of one loss and number of negatives.

    Intervals are of 95 %, for other images of the same classes; they hold the error of the draws too. The classes' law
    counts as known.

    Args:
        loss: `hinge` or `logistic`.
        negatives: k.
        classes, rows: of which.
        radius: the largest length of a row.
        collision: tau.
        at_zero: l0, the loss of collisions were all else equal.
        unsupervised: L_un.
        unequal, equal: its parts, given that no negative is of the anchor's class, and that some are.
        mean_classifier: L_mu over the tasks that the negatives make, of two classes where k = 1.
        first: the first theorem.
        spread: s(f); the largest eigenvalue of a class of few rows is too large, and the interval does not know.
        beta: r tau / (1 - tau), by which it counts.
        second: the second theorem, for one negative; else None.
        blocks: size of a block to its loss.
        by_block: size of a block to the first theorem with its loss.
        error: standard error of the unsupervised loss over draws, given the rows.
    """

    loss: str
    negatives: int
    classes: int
    rows: int
    radius: float
    collision: float
    at_zero: float
    unsupervised: Estimate
    unequal: Estimate
    equal: Estimate
    mean_classifier: Estimate
    first: Inequality
    spread: Estimate
    beta: float
    second: Inequality | None
    blocks: Mapping[int, Estimate]
    by_block: Mapping[int, Inequality]
    error: float


def bound(
    x: Features,
    labels: Labels | None = None,
    *,
    loss: MarginLoss = HINGE,
    negatives: int = 1,
    law: Float[Tensor, " class"] | None = None,
    sizes: Sequence[int] = (1, 2, 5, 10),
    draws: int = 20_000,
    seed: int = 0,
    cells: int = CELLS,
) -> Bound:
    """Both theorems, measured: this module's equations for the rows as they stand.

    A class is the rows that it has, drawn with replacement: for that law the theorems are exact, whatever the rows.
    Expectations are means over `draws` tuples with a collision and as many without, in memory linear in rows and draws.

    Args:
        x: features as they are compared, by inner products; give unit rows for cosines.
        labels: in place of those of Embeddings; rows of label -1 are left out.
        loss: `Hinge()` or `Logistic()`.
        negatives: k >= 1.
        law: weight of each class index; None: as often as the rows have it.
        sizes: of blocks, >= 1.
        draws: tuples of each kind, >= 2.
        seed: of the draws.
        cells: most numbers held at once.

    Raises:
        ShapeError: no labels, fewer than two classes, or a number out of its range.

    See also: `task_losses`, for tasks of given classes, also of classes that were held out.

    Example:
        Where f is 0 both sides are 1.

        >>> found = bound(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]), draws=10)
        >>> found.unsupervised.value, found.mean_classifier.value, found.first.slack.value
        (1.0, 1.0, 0.0)
    """
    if negatives < 1 or draws < 2 or not sizes or min(sizes) < 1:
        raise ShapeError(
            f"bound got negatives={negatives}, draws={draws} and blocks of {tuple(sizes)}; "
            "expected 1 negative, 2 draws and blocks of 1 or more"
        )
    classes = grouped(x, labels, law)
    if len(classes.label) < 2:
        raise ShapeError("the bound is of tasks between classes, but all rows have one class; give rows of two or more")
    tau, at_zero = collision(classes.share, negatives), _at_zero(classes.share, negatives, loss)
    every = sorted({1, *sizes})
    means = classes.means()
    apart, together = (
        _of_tuples(
            classes, means, draw_tuples(
                classes, draws, negatives=negatives, block=every[-1], collide=collide,
                stream=Streams(seed).at("class tuples", int(collide)),
            ),
            loss, every, cells,
        )
        for collide in (False, True)
    )  # fmt: skip

    def estimate(value: float, influence: Tensor, low: float = -inf) -> Estimate:
        return from_influence(value, float(influence.square().sum()), low, inf)

    def mixed(b: int) -> tuple[float, Tensor]:
        one, other = apart.by_size[b], together.by_size[b]
        return (1 - tau) * one[0] + tau * other[0], (1 - tau) * one[1] + tau * other[1]

    below, below_by = apart.mean_classifier

    def inequality(limit: float, by: Tensor) -> Inequality:
        return Inequality(estimate(limit, by), estimate(limit - below, by - below_by))

    def first(b: int) -> Inequality:
        value, by = mixed(b)
        return inequality((value - tau * at_zero) / (1 - tau), by / (1 - tau))

    spread, spread_by = _spread(classes, means)
    beta = loss.reach * tau / (1 - tau)
    unequal, unequal_by = apart.by_size[1]
    error = sqrt(((1 - tau) ** 2 * apart.variance + tau**2 * together.variance) / draws)
    return Bound(
        loss=loss.name,
        negatives=negatives,
        classes=len(classes.label),
        rows=len(classes.rows),
        radius=float(classes.rows.norm(dim=1).max()),
        collision=tau,
        at_zero=at_zero,
        unsupervised=estimate(*mixed(1), 0.0),
        unequal=estimate(unequal, unequal_by, 0.0),
        equal=estimate(*together.by_size[1], 0.0),
        mean_classifier=estimate(below, below_by, 0.0),
        first=first(1),
        spread=estimate(spread, spread_by, 0.0),
        beta=beta,
        second=inequality(unequal + beta * spread, unequal_by + beta * spread_by) if negatives == 1 else None,
        blocks={b: estimate(*mixed(b), 0.0) for b in every if b in sizes},
        by_block={b: first(b) for b in every if b in sizes},
        error=error,
    )


def _at_zero(share: Float64[Tensor, " class"], negatives: int, loss: MarginLoss) -> float:
    """Mean loss of as many margins of 0 as negatives collide, given that some do."""
    count = torch.arange(1, negatives + 1, dtype=torch.float64, device=share.device)
    ways = torch.tensor([float(comb(negatives, m)) for m in range(1, negatives + 1)], dtype=torch.float64)
    chance = share @ (ways.to(share) * share[:, None] ** count * (1 - share[:, None]) ** (negatives - count))
    return float((chance * loss.at_zero(count)).sum() / chance.sum())


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Means over tuples, each with the influence of every row on it.

    Args:
        by_size: of the loss of blocks, by their size.
        mean_classifier: of its loss; where tuples collide, a class against itself has margin 0.
        variance: of the loss of blocks of one.
    """

    by_size: Mapping[int, tuple[float, Float64[Tensor, " row"]]]
    mean_classifier: tuple[float, Float64[Tensor, " row"]]
    variance: float


def _of_tuples(
    classes: Classes, means: Tensor, tuples: Tuples, loss: MarginLoss, sizes: Sequence[int], cells: int
) -> _Drawn:
    """One pass over the tuples.

    From the loss of a tuple its tangent at the margins of the means is taken, whose mean is 0 given anchor and classes:
    the noise of the candidates goes, and what is left is nowhere below the loss at those margins, as in the proof.
    """
    rows, draws = classes.rows, len(tuples.anchor)
    who, block = tuples.candidate.shape[1:]
    costs = rows.new_zeros(len(sizes), draws, dtype=torch.float64)
    base, below = (rows.new_zeros(draws, dtype=torch.float64) for _ in range(2))
    centre = means.detach().clone().requires_grad_()
    pulls = [torch.zeros_like(means), torch.zeros_like(means)]
    for part in blocks(draws, (who * block + 2) * rows.shape[1], cells):
        anchor = rows[tuples.anchor[part]]
        candidate = rows[tuples.candidate[part].flatten(1)]
        score = products(anchor, candidate).double().unflatten(1, (who, block))
        other = tuples.cls[part][:, 1:]
        again = (other[:, :, None] == other[:, None, :]).tril(-1).any(2)
        with torch.enable_grad():
            level = (anchor @ centre.T).double().gather(1, tuples.cls[part])
            margin = level[:, :1] - level[:, 1:]
            # The mean classifier meets a class that stands twice among the others once.
            here = (loss(margin), loss(margin.masked_fill(again, inf)))
            slope = torch.autograd.grad(here[0].sum(), margin, retain_graph=True)[0]
            for pull, cost in zip(pulls, here, strict=True):
                pull += torch.autograd.grad(cost.sum(), centre, retain_graph=True)[0] / draws
        base[part], below[part], margin = here[0].detach(), here[1].detach(), margin.detach()
        for i, b in enumerate(sizes):
            drawn = score[:, :1, :b].mean(2) - score[:, 1:, :b].mean(2)
            costs[i, part] = loss(drawn) - (slope * (drawn - margin)).sum(1)

    def influence(moved: Tensor, which: Int64[Tensor, "draw _"]) -> Float64[Tensor, " row"]:
        """Of each row's weight within its class on the mean, through these places."""
        total = rows.new_zeros(len(rows), dtype=torch.float64)
        moved = (moved - moved.mean()) / draws
        total.index_add_(0, which.flatten(), moved[:, None].expand(which.shape).flatten())
        return _centred(total, classes)

    def through(pull: Tensor) -> Float64[Tensor, " row"]:
        """The same, through the means of the classes."""
        moved = ((rows - means[classes.index]) * pull[classes.index]).double().sum(1)
        return moved / classes.size[classes.index]

    anchors = tuples.anchor[:, None]
    by_means = through(pulls[0])
    by_size = {
        b: (
            float(cost.mean()),
            influence(cost, anchors) + influence(cost - base, tuples.candidate[:, :, :b].flatten(1)) + by_means,
        )
        for b, cost in zip(sizes, costs, strict=True)
    }
    mean_classifier = (float(below.mean()), influence(below, anchors) + through(pulls[1]))
    return _Drawn(by_size, mean_classifier, float(costs[list(sizes).index(1)].var()))


def _centred(total: Float64[Tensor, " row"], classes: Classes) -> Float64[Tensor, " row"]:
    """Less the mean of its class: weights of rows sum to one within a class."""
    sums = total.new_zeros(len(classes.size)).index_add_(0, classes.index, total)
    return total - (sums / classes.size)[classes.index]


def _spread(classes: Classes, means: Tensor) -> tuple[float, Float64[Tensor, " row"]]:
    """s(f), and the influence of each row on it."""
    weight = classes.share.square() / classes.share.square().sum()
    total, by = 0.0, classes.rows.new_zeros(len(classes.rows), dtype=torch.float64)
    for c, (start, size) in enumerate(zip(classes.start.tolist(), classes.size.tolist(), strict=True)):
        rows = classes.rows[start : start + size].double()
        length = rows.norm(dim=1)
        rows = rows - rows.mean(0)
        tall = size > rows.shape[1]
        values, vectors = torch.linalg.eigh((rows.T @ rows if tall else rows @ rows.T) / size)
        top = float(values[-1].clamp_min(0))
        root, mean = sqrt(top), float(length.mean())
        along = (rows @ vectors[:, -1]).square() if tall else vectors[:, -1].square() * top * size
        moved = mean * (along - top) / (2 * root) if root > 0 else torch.zeros_like(length)
        total += float(weight[c]) * root * mean
        by[start : start + size] = weight[c] / size * (moved + root * (length - mean))
    return total, by
