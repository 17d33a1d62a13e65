r"""Arora's bound: how much a contrastive loss says of the classification tasks among its classes.

Classes c are drawn from a law rho, images from their class. With k negatives, anchor x and its partner x' are of class
c, negative i of class c_i, and for v_i = f(x).(f(x') - f(x_i)) the unsupervised loss is L_un = E l(v_1, ..., v_k). With
mu_c the mean of f over class c, the mean classifier's loss is L_mu = E l(f(x).(mu_c - mu_c') for the distinct c' among
the negatives), given that none of them is c. Both losses are convex and l never falls when a margin is added, so

    L_un >= E l(f(x).(mu_c - mu_c_i))                                       Jensen, x' and x_i averaged
         >= (1 - tau) L_mu + tau E[l(0, ..., 0) | some c_i = c]             tau: the probability of such a collision

and L_mu <= (L_un - tau l0) / (1 - tau) for every f, which is the first theorem without its term of generalisation. Of
one negative l0 = 1. The loss of blocks, where x' and x_i are means of b images, lies between and binds more tightly.

Images are rows, all rows of a tuple are different ones, and the anchor is none of those that its own class's mean is
of: an image that judged itself would make features look better than they are for other images, of small classes by
far. Given x, its partner and a colliding negative still have the mean mu_c of the others, so that both steps hold
unchanged, tuple by tuple: of rows as they stand the first theorem cannot fail, and its slack says how loose it is.

The second theorem splits L_un = (1 - tau) L_unequal + tau L_equal. Given x, two images of one class make v even about
0, where (l(v) + l(-v)) / 2 <= 1 + slope |v| / 2, with a slope of 1 of the hinge and of 1 / ln 2 of the logistic, and
E |v| <= |f(x)| sqrt(2 |Cov_c f|), so that L_equal <= 1 + r s(f) with r = slope / sqrt(2) and

    s(f) = E_{c ~ rho^2} sqrt(|Cov_c f|_2) E_{x ~ c} |f(x)|,    L_mu <= L_unequal + r tau / (1 - tau) s(f).

For two different ones of the n - 1 rows that are not x, the covariance is their scatter over n - 2, and the scatter of
the whole class is no less: with the latter over n - 2 this holds for any rows. The largest eigenvalue of few rows is
too large all the same, and with it s(f).

The theorems are of pairs drawn from classes and of inner products. They say nothing of pairs that are two augmentations
of one image, which are not independent given the class. The logistic loss of k margins is the softmax cross-entropy of
k + 1 candidates at temperature 1, in base 2; another temperature is another length of f.

Source: Arora et al. 2019, arXiv:1902.09229, theorems 4.1 and 4.5, sections 6.1 and 6.2; the constant r is derived here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, lgamma, sqrt

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

__all__ = ["FEWEST", "Bound", "Inequality", "bound"]

FEWEST = 3  # rows of a class: an anchor, its partner, and a negative that collides


@dataclass(frozen=True)
class Inequality:
    """One side of a theorem: the mean classifier's loss is at most `limit`.

    Args:
        limit: the upper bound.
        slack: limit less the mean classifier's loss, >= 0 by the theorem.
    """

    limit: Estimate
    slack: Estimate


@dataclass(frozen=True)
class Bound:
    """What the theory says of features, of one loss and number of negatives.

    Intervals are of 95 %, for other images of the same classes; they hold the error of the draws too. The classes' law
    counts as known. Of fewer than about ten images a class they are rough.

    Args:
        loss: `hinge` or `logistic`.
        negatives: k.
        classes, rows: of which.
        radius: the largest length of a row.
        collision: tau.
        at_zero: l0, the loss of collisions were all else equal.
        guess: what the mean classifier costs that knows nothing; 1 of the hinge, and of one negative.
        unsupervised: L_un.
        unequal, equal: its parts, given that no negative is of the anchor's class, and that some are.
        mean_classifier: L_mu over the tasks that the negatives make, of two classes where k = 1.
        first: the first theorem.
        spread: s(f), for one negative; else None. The largest eigenvalue of a class of few rows is too large, and the
            interval does not know: of scattered unit rows in 16 dimensions s(f) was 0.03 too large at 50 images a
            class, and 0.15 at 10.
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
    guess: float
    unsupervised: Estimate
    unequal: Estimate
    equal: Estimate
    mean_classifier: Estimate
    first: Inequality
    spread: Estimate | None
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
    """Both theorems, measured: this module's equations, for images of which these rows are some.

    Expectations are means over `draws` tuples with a collision and as many without, in memory linear in rows and draws.
    Blocks of b are of different images where a class has more than 2b; in a smaller one a block may hold an image
    twice, and its loss comes out too large.

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
        ShapeError: no labels, fewer than two classes, a class of fewer than three rows, or a number out of its range.

    See also: `task_losses`, for tasks of given classes, also of classes that were held out.

    Example:
        Where f is 0 both sides are 1.

        >>> found = bound(torch.zeros(6, 2), torch.tensor([0, 0, 0, 1, 1, 1]), draws=10)
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
        raise ShapeError("the bound is of tasks between classes, but one is all that is left; give rows of two or more")
    if int(classes.size.min()) < FEWEST:
        c = int(classes.size.argmin())
        raise ShapeError(
            f"the bound needs {FEWEST} rows of each class, but class {int(classes.label[c])} has "
            f"{int(classes.size[c])}; leave it out by label -1 or by a law that gives it 0"
        )
    tau, at_zero = collision(classes.share, negatives), _at_zero(classes.share, negatives, loss)
    if tau >= 1:
        raise ShapeError(
            f"of {negatives} negatives one is all but surely of the anchor's class, and then the bound says nothing; "
            "give fewer"
        )
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
    odds = tau / (1 - tau)

    def estimate(by: Tensor, *draw: Tensor, value: float | None = None) -> Estimate:
        """A sum of means over draws, by the influence of the rows and the draws themselves."""
        value = sum(float(each.mean()) for each in draw) if value is None else value
        variance = float(by.square().sum()) + sum(float(each.var()) / draws for each in draw)
        return from_influence(value, variance, min(0.0, value), inf)

    def mixed(b: int) -> Estimate:
        one, other = apart.by_size[b], together.by_size[b]
        return estimate((1 - tau) * one[1] + tau * other[1], (1 - tau) * one[0], tau * other[0])

    below, below_by = apart.mean_classifier

    def first(b: int) -> Inequality:
        """By each tuple's own loss at 0, whose mean is l0: then no draw falls below the mean classifier."""
        one, other = apart.by_size[b], together.by_size[b]
        by, excess = one[1] + odds * other[1], odds * (other[0] - together.at_zero)
        return Inequality(estimate(by, one[0], excess), estimate(by - below_by, one[0] - below, excess))

    unequal, unequal_by = apart.by_size[1]
    beta = loss.reach * odds
    spread = second = None
    if negatives == 1:
        value, by = _spread(classes)
        spread = estimate(by, value=value)
        total, by = float(unequal.mean()) + beta * value, unequal_by + beta * by
        second = Inequality(
            estimate(by, unequal, value=total),
            estimate(by - below_by, unequal - below, value=total - float(below.mean())),
        )
    variance = (1 - tau) ** 2 * unequal.var() + tau**2 * together.by_size[1][0].var()
    return Bound(
        loss=loss.name,
        negatives=negatives,
        classes=len(classes.label),
        rows=len(classes.rows),
        radius=float(classes.rows.norm(dim=1).max()),
        collision=tau,
        at_zero=at_zero,
        guess=float(apart.at_zero.mean()),
        unsupervised=mixed(1),
        unequal=estimate(unequal_by, unequal),
        equal=estimate(together.by_size[1][1], together.by_size[1][0]),
        mean_classifier=estimate(below_by, below),
        first=first(1),
        spread=spread,
        beta=beta,
        second=second,
        blocks={b: mixed(b) for b in every if b in sizes},
        by_block={b: first(b) for b in every if b in sizes},
        error=sqrt(float(variance) / draws),
    )


def _at_zero(share: Float64[Tensor, " class"], negatives: int, loss: MarginLoss) -> float:
    """Mean loss of as many margins of 0 as negatives collide, given that some do."""
    count = torch.arange(1, negatives + 1, dtype=torch.float64, device=share.device)
    ways = [lgamma(negatives + 1) - lgamma(m + 1) - lgamma(negatives - m + 1) for m in range(1, negatives + 1)]
    rest = (negatives - count) * torch.log1p(-share[:, None])
    chance = share @ (count.new_tensor(ways) + count * share[:, None].log() + rest).exp()
    return float((chance * loss.at_zero(count)).sum() / chance.sum())


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Losses of tuples, each with the influence of every row on their mean.

    Args:
        by_size: of blocks, by their size.
        mean_classifier: where tuples collide, a class against itself has margin 0.
        at_zero: where they do not, of the mean classifier that knows nothing; else of the margins that collide, were
            they alone.
    """

    by_size: Mapping[int, tuple[Float64[Tensor, " draw"], Float64[Tensor, " row"]]]
    mean_classifier: tuple[Float64[Tensor, " draw"], Float64[Tensor, " row"]]
    at_zero: Float64[Tensor, " draw"]


def _of_tuples(
    classes: Classes, means: Tensor, tuples: Tuples, loss: MarginLoss, sizes: Sequence[int], cells: int
) -> _Drawn:
    """One pass over the tuples.

    From the loss of a tuple its tangent at the margins of the means is taken, whose mean is 0 given anchor and classes:
    the noise of the candidates goes, and what is left is nowhere below the loss at those margins, as in the proof.
    """
    rows, index, draws = classes.rows, classes.index, len(tuples.anchor)
    size = classes.size[index].double()
    who, block = tuples.candidate.shape[1:]
    length = rows.double().square().sum(1)
    # Of each row, its product with the mean of the others of its class.
    near = ((rows * means[index]).double().sum(1) * size - length) / (size - 1)
    costs = rows.new_zeros(len(sizes), draws, dtype=torch.float64)
    base, below, at_zero = (rows.new_zeros(draws, dtype=torch.float64) for _ in range(3))
    own = [torch.zeros_like(near) for _ in range(2)]
    away = [torch.zeros_like(means) for _ in range(2)]
    for part in blocks(draws, (who * (block + 4) + 2) * rows.shape[1] + who * who, cells):
        which, cls = tuples.anchor[part], tuples.cls[part]
        anchor, other = rows[which], cls[:, 1:]
        score = products(anchor, rows[tuples.candidate[part].flatten(1)]).double().unflatten(1, (who, block))
        again = (other[:, :, None] == other[:, None, :]).tril(-1).any(2)
        same = other == cls[:, :1]
        level = near[which][:, None]
        margin = level - torch.where(same, level, products(anchor, means[other]).double())
        with torch.enable_grad():
            free = margin.clone().requires_grad_()
            # The mean classifier meets a class that stands twice among the others once.
            here = (loss(free), loss(free.masked_fill(again, inf)))
            slopes = [torch.autograd.grad(cost.sum(), free, retain_graph=True)[0] for cost in here]
        for i, slope in enumerate(slopes):
            pull = slope.masked_fill(same, 0.0)
            own[i].index_add_(0, which, pull.sum(1))
            away[i].index_add_(0, other.flatten(), (pull.to(rows)[:, :, None] * -anchor[:, None]).flatten(0, 1))
        base[part], below[part] = here[0].detach(), here[1].detach()
        at_zero[part] = loss.at_zero(torch.where(same.any(1), same.sum(1), (~again).sum(1)).double())
        for i, b in enumerate(sizes):
            drawn = score[:, :1, :b].mean(2) - score[:, 1:, :b].mean(2)
            costs[i, part] = loss(drawn) - (slopes[0] * (drawn - margin)).sum(1)

    # Jackknife: what tells of a row beside another of its class was found among n - 1 rows, and counts for more.
    few = (size / (size - 1)).sqrt()
    beside = few * (size - 1) / (size - 2)

    def influence(moved: Tensor, which: Int64[Tensor, "draw _"]) -> Float64[Tensor, " row"]:
        """Of each row's weight within its class on the mean, through these places."""
        total = rows.new_zeros(len(rows), dtype=torch.float64)
        moved = (moved - moved.mean()) / draws
        total.index_add_(0, which.flatten(), moved[:, None].expand(which.shape).flatten())
        return _centred(total, classes)

    def through(own: Tensor, away: Tensor) -> Float64[Tensor, " row"]:
        """The same, through the means of the classes: of others, and of an anchor's own without it."""
        far = ((rows - means[index]) * away[index]).double().sum(1) / size
        pull = torch.zeros_like(means).index_add_(0, index, own.to(rows)[:, None] * rows)
        level = own * near
        whole = level.new_zeros(len(means)).index_add_(0, index, level)[index]
        beyond = ((rows * pull[index]).double().sum(1) - own * length - (whole - level)) / (size - 1)
        return (few * far + beside * beyond) / draws

    collides = bool((tuples.cls[:1, 1:] == tuples.cls[:1, :1]).any())
    anchors = tuples.anchor[:, None]
    by_means = through(own[0], away[0])

    def of_block(cost: Tensor, b: int) -> Float64[Tensor, " row"]:
        partner, others = (places.flatten(1) for places in tuples.candidate[:, :, :b].split((1, who - 1), 1))
        near, far = influence(cost - base, partner), influence(cost - base, others)
        return beside * (influence(cost, anchors) + near) + (beside if collides else few) * far + by_means

    by_size = {b: (cost, of_block(cost, b)) for b, cost in zip(sizes, costs, strict=True)}
    mean_classifier = (below, beside * influence(below, anchors) + through(own[1], away[1]))
    return _Drawn(by_size, mean_classifier, at_zero)


def _centred(total: Float64[Tensor, " row"], classes: Classes) -> Float64[Tensor, " row"]:
    """Less the mean of its class: weights of rows sum to one within a class."""
    sums = total.new_zeros(len(classes.size)).index_add_(0, classes.index, total)
    return total - (sums / classes.size)[classes.index]


def _spread(classes: Classes) -> tuple[float, Float64[Tensor, " row"]]:
    """s(f), and the influence of each row on it."""
    weight = classes.share.square() / classes.share.square().sum()
    total, by = 0.0, classes.rows.new_zeros(len(classes.rows), dtype=torch.float64)
    for c, (start, size) in enumerate(zip(classes.start.tolist(), classes.size.tolist(), strict=True)):
        rows = classes.rows[start : start + size].double()
        length = rows.norm(dim=1)
        rows = rows - rows.mean(0)
        tall = size > rows.shape[1]
        values, vectors = torch.linalg.eigh((rows.T @ rows if tall else rows @ rows.T) / (size - 2))
        top = float(values[-1].clamp_min(0))
        root, mean = sqrt(top), float(length.mean())
        along = (rows @ vectors[:, -1]).square() if tall else vectors[:, -1].square() * top * (size - 2)
        along = along * size / (size - 2)
        moved = mean * (along - top) / (2 * root) if root > 0 else torch.zeros_like(length)
        total += float(weight[c]) * root * mean
        by[start : start + size] = weight[c] / size * (moved + root * (length - mean))
    return total, by
