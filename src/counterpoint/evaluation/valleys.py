"""Attributes without labels: hyperplanes that settle where the data are thin.

A direction along which the embeddings fall into two heaps says something about the images, whether anybody has named it
or not; the plane between the heaps is a classifier that nobody taught.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, features, sampled
from counterpoint.evaluation.auroc import auroc
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit

__all__ = ["Agreement", "Valley", "Valleys", "agreement", "find_valleys"]

GRID = 129  # places of a plane that are tried along a direction
REACH = (0.3, 0.6, 0.9)  # how far from the mean a plane may stand, in deviations, stage by stage
STEPS = 50  # of each stage
RATE = 0.15  # radians of a step, at the beginning of a stage
TAIL = 0.05  # share of the rows that each side holds at least


@dataclass(frozen=True)
class Valley:
    """How good a valley is.

    Args:
        density: of the projected rows at the plane, in units of 1 / (deviation along the direction).
        depth: the lower of the two heaps' heights over the density at the plane, less one; 0 is no valley.
        share: of the rows that lie on the plane's positive side.
    """

    density: float
    depth: float
    share: float


@dataclass(frozen=True)
class Agreement:
    """What a plane that was found without labels has to do with the classes.

    Args:
        classes: that lie mostly on its positive side.
        area: AUROC of the distance for those classes together; 0.5 is chance.
        information: share of the side's entropy that the class explains, in [0, 1].
        of_random: the same, mean over random directions through the median; classes explain some of any direction.
    """

    classes: tuple[int, ...]
    area: float
    information: float
    of_random: float


@dataclass(frozen=True, eq=False)
class Valleys:
    """Planes w x + b = 0 between heaps of rows, the deepest valley first.

    Args:
        weight: of length one, orthogonal to one another on centred rows.
        bias: so that the positive side is the smaller.
        scale: deviation of the rows along each direction.
        found: how good each is.
    """

    weight: Float[Tensor, "plane width"]
    bias: Float[Tensor, " plane"]
    scale: Float[Tensor, " plane"]
    found: tuple[Valley, ...]

    def __len__(self) -> int:
        return len(self.found)

    def distance(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row plane"]:
        """How far each row lies on the positive side of each plane, in deviations."""
        return (rows.to(self.weight.dtype) @ self.weight.T + self.bias) / self.scale


def find_valleys(
    x: Features, planes: int = 8, *, rows: int = 10_000, axes: int = 64, restarts: int = 12, seed: int = 0
) -> Valleys:
    r"""Hyperplanes of low density: minimise over w, |w| = 1, the density of the projections w x_i at the best b.

    density(w, b) = 1/n sum_i N(b - w x_i; h),  h = 0.9 s n^(-1/5), s the deviation along the first principal axis,

    over |b - mean| <= a s_w, where s_w is the deviation along w and a grows stage by stage to 0.9: a plane in a tail
    would be thin too and say nothing. All restarts move together, each on the sphere of directions; the best place b of
    each is looked up in a binned density, and the gradient is taken there (the place is optimal, so that its own
    movement adds nothing). The next plane is sought orthogonal to those found, in rows from which their directions are
    taken out. Of the restarts the deepest valley counts.

    Source: Pavlidis, Hofmeyr & Tasoulis 2016, "Minimum density hyperplanes", JMLR 17(156). Deviations: a hard range in
    place of their penalty; normalised gradient steps in place of BFGS; the deepest of many starts (principal axes and
    random directions) in place of two; rows are reduced to their principal axes first; deflation for further planes.

    Args:
        x: embeddings.
        planes: how many to look for; fewer come where no direction has a valley left.
        rows: at most so many are used, drawn without replacement.
        axes: principal axes that are kept, at most.
        restarts: directions that each plane is sought from.
        seed: of the draws.

    Raises:
        ShapeError: too few rows, or a number out of range.
    """
    whole = features(x)
    if planes < 1 or restarts < 1 or axes < 1:
        raise ShapeError(f"planes={planes}, axes={axes} and restarts={restarts} must all be 1 or more")
    if len(whole) < 20:
        raise ShapeError(f"{len(whole)} rows are too few to see where they are thin; expected at least 20")
    streams = Streams(seed)
    kept = whole[sampled(len(whole), rows, streams.at("rows"))].double()
    mean = kept.mean(0)
    kept = kept - mean
    values, vectors = torch.linalg.eigh(kept.T @ kept / len(kept))
    order = torch.arange(len(values) - 1, max(-1, len(values) - 1 - axes), -1)
    order = order[values[order] > 1e-10 * values[-1].clamp_min(torch.finfo(values.dtype).tiny)]
    if len(order) == 0:
        raise ShapeError("all rows are equal; there is nothing between them")
    basis = vectors[:, order]
    points = (kept @ basis).float()
    width = 0.9 * float(values[-1].sqrt()) * len(points) ** -0.2
    taken = points.new_zeros(points.shape[1], 0)
    found: list[tuple[Tensor, Tensor, Valley]] = []
    for plane in range(min(planes, points.shape[1])):
        direction, place, valley = _settle(points, taken, width, restarts, streams.at("valleys", plane))
        taken = torch.cat((taken, direction[:, None]), 1)
        if valley.depth > 0:
            found.append((direction, place, valley))
    found.sort(key=lambda one: -one[2].depth)
    directions = torch.cat([points.new_zeros(0, points.shape[1]), *(one[0][None] for one in found)])
    places = torch.cat([points.new_zeros(0), *(one[1][None] for one in found)])
    weight = directions.double() @ basis.T
    bias = -places.double() - weight @ mean
    scale = (points @ directions.T).square().mean(0).sqrt()
    return Valleys(weight.float(), bias.float(), scale, tuple(one[2] for one in found))


@torch.no_grad()
def _settle(
    points: Tensor, taken: Tensor, width: float, restarts: int, stream: Stream
) -> tuple[Tensor, Tensor, Valley]:
    """The plane of the deepest valley among the restarts."""
    free = _without(torch.eye(points.shape[1]), taken)
    spread = (points @ free).square().mean(0)
    starts = free[:, spread.argsort(descending=True, stable=True)[: (restarts + 1) // 2]].T
    drawn = stream.normal(restarts - len(starts), points.shape[1]) * points.square().mean(0).sqrt()
    w = unit(_without(torch.cat((starts, drawn)).T, taken).T)
    for reach in REACH:
        for step in range(STEPS):
            rate = RATE * (1 - step / STEPS)
            projected = points @ w.T
            place, _ = _thinnest(projected, width, reach)
            apart = (projected - place) / width
            pull = apart * (-0.5 * apart.square()).exp_()
            slope = -(pull.T @ points)  # of the density, up to a factor
            slope = _without(slope.T, taken).T
            slope = slope - (slope * w).sum(1, keepdim=True) * w
            w = unit(w - rate * unit(slope))
            w = unit(_without(w.T, taken).T)
    projected = points @ w.T
    place, valleys = _thinnest(projected, width, REACH[-1])
    best = max(range(len(w)), key=lambda i: valleys[i].depth)
    direction, at, valley = w[best], place[best], valleys[best]
    if valley.share > 0.5:
        direction, at = -direction, -at
        valley = Valley(valley.density, valley.depth, 1 - valley.share)
    return direction, at, valley


def _without(columns: Tensor, taken: Tensor) -> Tensor:
    """Columns less what they share with the directions taken, which are orthonormal."""
    return columns - taken @ (taken.T @ columns)


def _thinnest(projected: Tensor, width: float, reach: float) -> tuple[Tensor, list[Valley]]:
    """Where each column is thinnest within its reach, and how deep the valley there is."""
    n, columns = projected.shape
    deviation = projected.std(0, correction=0).clamp_min(1e-12)
    centre = projected.mean(0)
    # A grid over three deviations on either side; what lies beyond counts at its ends.
    spacing = 6 * deviation / (GRID - 1)
    position = ((projected - centre) / spacing + (GRID - 1) / 2).clamp(0, GRID - 1)
    low = position.floor().clamp(max=GRID - 2)
    part = position - low
    index = low.long() + torch.arange(columns) * GRID
    counts = projected.new_zeros(columns * GRID)
    counts.index_add_(0, index.flatten(), (1 - part).flatten())
    counts.index_add_(0, (index + 1).flatten(), part.flatten())
    counts = counts.view(columns, GRID)
    steps = torch.arange(GRID)[:, None] - torch.arange(GRID)[None]
    kernel = (-0.5 * (steps * spacing[:, None, None] / width).square()).exp() / (width * (2 * torch.pi) ** 0.5)
    density = torch.bmm(kernel, counts[:, :, None])[..., 0] / n  # [column, place]
    offset = torch.linspace(-3, 3, GRID)
    below = counts.cumsum(1) / n
    inside = (offset.abs() <= reach) & (below >= TAIL) & (below <= 1 - TAIL)
    inside |= ~inside.any(1, keepdim=True) & (offset.abs() <= spacing.new_tensor(6 / (GRID - 1)))
    at = torch.where(inside, density, torch.inf).argmin(1)
    left = density.cummax(1).values.gather(1, at[:, None])[:, 0]
    right = density.flip(1).cummax(1).values.flip(1).gather(1, at[:, None])[:, 0]
    here = density.gather(1, at[:, None])[:, 0]
    depth = torch.minimum(left, right) / here.clamp_min(1e-12) - 1
    place = centre + offset[at] * deviation
    share = (projected > place).double().mean(0)
    said = [
        Valley(*map(float, one))
        for one in zip((here * deviation).tolist(), depth.tolist(), share.tolist(), strict=True)
    ]
    return place, said


def agreement(
    valleys: Valleys,
    train: Features,
    test: Features,
    train_labels: Int64[Tensor, " row"],
    test_labels: Int64[Tensor, " other"],
    classes: int,
    *,
    directions: int = 64,
    seed: int = 0,
) -> tuple[Agreement, ...]:
    """What each plane has to do with the classes: the union is chosen on train rows, all figures are of test rows.

    Args:
        valleys: planes, found without labels.
        train: embeddings to choose the union of classes on.
        test: embeddings to measure on.
        train_labels: class of each row, -1 unknown.
        test_labels: likewise.
        classes: how many.
        directions: random ones, for comparison, drawn with the rows' covariance.
        seed: of those.
    """
    known, seen = train_labels >= 0, test_labels >= 0
    rows, y = features(train)[known], train_labels[known]
    checked, truth = features(test)[seen], test_labels[seen]
    sides = valleys.distance(rows) > 0
    counts = torch.bincount(y, minlength=classes).clamp_min(1)
    share = torch.zeros(classes, sides.shape[1]).index_add_(0, y, sides.float()) / counts[:, None]
    stream = Streams(seed).at("directions")
    drawn = unit(stream.normal(directions, min(len(rows), 1000)) @ (rows[:1000] - rows.mean(0)))
    projected = checked @ drawn.T
    random = float(_information(projected > projected.median(0).values, truth, classes).mean())
    distance = valleys.distance(checked)
    explained = _information(distance > 0, truth, classes).tolist()
    found: list[Agreement] = []
    for k in range(len(valleys)):
        chosen = torch.nonzero(share[:, k] > 0.5)[:, 0]
        if not 0 < len(chosen) < int((counts > 1).sum()):
            chosen = share[:, k].argmax()[None]
        area = auroc(distance[:, k], torch.isin(truth, chosen))
        found.append(Agreement(tuple(chosen.tolist()), area, explained[k], random))
    return tuple(found)


def _information(sides: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mutual information of side and class over the entropy of the side, for each column."""
    joint = torch.zeros(classes, sides.shape[1], dtype=torch.float64).index_add_(0, labels, sides.double())
    joint = torch.stack((joint, torch.bincount(labels, minlength=classes)[:, None] - joint)) / len(labels)
    side, label = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    shared = torch.where(joint > 0, joint * (joint / (side * label).clamp_min(1e-300)).log(), 0.0).sum((0, 1))
    entropy = -torch.where(side > 0, side * side.clamp_min(1e-300).log(), 0.0).sum((0, 1))
    return torch.where(entropy > 0, shared / entropy.clamp_min(1e-300), 0.0)
