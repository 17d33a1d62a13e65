"""Is a saliency map right, and is it steady? The pointing game on planted objects, and maps of other crops."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.resampling import Estimate, bootstrap, wilson
from counterpoint.evaluation.saliency import Gate, directions, maps_towards, mean_direction, pair_maps
from counterpoint.evaluation.watched import Images, Watched
from counterpoint.random import Stream

__all__ = [
    "PointingGame",
    "Stability",
    "map_stability",
    "plant",
    "pointing_game",
    "rank_correlation",
    "scrambled",
]


# ---------------------------------------------------------------- is it right


@dataclass(frozen=True)
class PointingGame:
    """How often the largest place of a map lies on the object.

    Args:
        score: share of the images; Wilson's interval, or where ties make hits fractions, by bootstrap.
        control: the same of the maps that know nothing.
        gain: of the score over the control, image by image, by bootstrap.
        chance: share of the image that the object covers: the score of a place drawn at random.
        images: counted.
    """

    score: Estimate
    control: Estimate
    gain: Estimate
    chance: float
    images: int


def scrambled(
    objects: Float[Tensor, "any plane side side"], count: int, size: int, stream: Stream
) -> Float[Tensor, "count plane size size"]:
    """Scenes made of objects whose pixels are shuffled: what stands out in them is form alone, not light or contrast.

    Args:
        objects: float in [0, 1].
        count: of scenes.
        size: their side in pixels.
        stream: of which objects, of the shuffling, and of where the tiles begin.
    """
    _, planes, side, _ = objects.shape
    tiles = -(-size // side) + 1
    drawn = objects[stream.integers(0, len(objects), count * tiles**2).to(objects.device)].flatten(2)
    order = stream.uniform(len(drawn), side**2).to(objects.device).argsort(1)
    mixed = drawn.gather(2, order[:, None].expand(-1, planes, -1)).view(count, tiles, tiles, planes, side, side)
    sheet = mixed.permute(0, 3, 1, 4, 2, 5).reshape(count, planes, tiles * side, tiles * side)
    down, across = stream.integers(0, tiles * side - size + 1, 2).tolist()
    return sheet[:, :, down : down + size, across : across + size]


def plant(
    objects: Float[Tensor, "row plane side side"], scenes: Images, stream: Stream
) -> tuple[Images, Bool[Tensor, "row height width"]]:
    """Paste each object at a random place of its scene, and say where.

    Args:
        objects: float in [0, 1], no larger than the scenes.
        scenes: float in [0, 1].
        stream: of the places.

    Returns:
        The images, and the pixels that the object covers.

    Raises:
        ShapeError: not one object for each scene, or one that does not fit.
    """
    count, channels, side = objects.shape[:3]
    height, width = scenes.shape[-2:]
    if scenes.shape[:2] != (count, channels) or side > min(height, width):
        raise ShapeError(
            f"objects of shape {list(objects.shape)} do not fit into scenes of shape {list(scenes.shape)}; give one "
            "scene, no smaller and with as many channels, for each object"
        )
    room = torch.tensor([height - side + 1, width - side + 1])
    top, left = (stream.uniform(count, 2).cpu() * room).long().minimum(room - 1).to(scenes.device).T
    rows = torch.arange(count, device=scenes.device)[:, None, None]
    steps = torch.arange(side, device=scenes.device)
    down, across = (top[:, None] + steps)[:, :, None], (left[:, None] + steps)[:, None]
    images = scenes.clone()
    images.permute(0, 2, 3, 1)[rows, down, across] = objects.permute(0, 2, 3, 1)
    inside = torch.zeros(count, height, width, dtype=torch.bool, device=scenes.device)
    inside[rows, down, across] = True
    return images, inside


def pointing_game(
    maps: Float[Tensor, "row height width"],
    control: Float[Tensor, "row height width"],
    inside: Bool[Tensor, "row height width"],
    *,
    seed: int = 0,
) -> PointingGame:
    """Does the largest place of a map lie on the object, more often than that of a map which knows nothing?

    Where several places are equally large, a map scores the share of them that lies on the object: one that is the same
    everywhere scores what a random place does.

    Source: Zhang et al. 2018, "Top-down neural attention by excitation backprop", without their margin around the
        object; the control with random weights is that of Adebayo et al. 2018, "Sanity checks for saliency maps".

    Args:
        maps: at the size of the images; see `counterpoint.evaluation.saliency.enlarged`.
        control: of the same images, by the same network with random weights.
        inside: the pixels of each image's object.
        seed: of the bootstrap over images.

    Example:
        >>> maps = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
        >>> pointing_game(maps, torch.zeros(1, 2, 2), torch.tensor([[[False, True], [False, False]]])).gain.value
        0.75
    """
    hits, others = _hits(maps, inside), _hits(control, inside)
    return PointingGame(
        _share(hits, seed),
        _share(others, seed),
        bootstrap(hits - others, seed=seed),
        float(inside.double().mean()),
        len(maps),
    )


def _hits(maps: Tensor, inside: Tensor) -> Tensor:
    largest = maps == maps.amax((1, 2), keepdim=True)
    return (largest & inside).double().sum((1, 2)) / largest.double().sum((1, 2))


def _share(hits: Tensor, seed: int) -> Estimate:
    if bool(((hits == 0) | (hits == 1)).all()):
        return wilson(int(hits.sum()), len(hits))
    return bootstrap(hits, seed=seed)


# ---------------------------------------------------------------- is it steady


@dataclass(frozen=True)
class Stability:
    """How alike two maps of one pair are, made with other crops of its anchor.

    Args:
        crops: of each of the two maps.
        correlation: Spearman's, over the places of a map, mean over pairs with the interval over pairs.
        pairs: counted; a map that is the same everywhere has no ranks.
    """

    crops: int
    correlation: Estimate
    pairs: int


def rank_correlation(one: Float[Tensor, "row place"], other: Float[Tensor, "row place"]) -> Float[Tensor, " row"]:
    """Spearman's rank correlation of two rows, equals sharing their mean rank; nan where a row is constant.

    Example:
        >>> rank_correlation(torch.tensor([[1.0, 2.0, 2.0, 5.0]]), torch.tensor([[0.0, 3.0, 3.0, 4.0]])).tolist()
        [1.0]
    """
    from scipy.stats import rankdata

    def centred(rows: Tensor) -> Tensor:
        rank = torch.from_numpy(rankdata(rows.cpu().numpy(), axis=1))
        return rank - rank.mean(1, keepdim=True)

    a, b = centred(one), centred(other)
    return ((a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()).to(one)


def map_stability(
    watched: Watched,
    images: Images,
    anchors: Float[Tensor, "row crop plane height width"],
    *,
    gate: Gate = None,
    detach: bool = False,
    counts: Sequence[int] = (1, 2, 4, 8, 16, 32),
    batch: int = 512,
    seed: int = 0,
) -> tuple[Stability, ...]:
    """How much the map of an image depends on which crops of its anchor were drawn, by their number.

    The crops are parted into two halves; for each number, the first so many of either half make a map each.

    Args:
        watched: the network.
        images: float in [0, 1].
        anchors: views of each image's partner, drawn apart: at least twice the largest count.
        gate: as in `similarity_maps`.
        detach: the maps are those of `similarity_maps`, in place of `pair_maps`.
        counts: numbers of crops.
        batch: images of a forward pass.
        seed: of the bootstrap over pairs.

    Raises:
        ShapeError: too few views.
    """
    half = anchors.shape[1] // 2
    if not counts or min(counts) < 1 or max(counts) > half:
        raise ShapeError(
            f"maps of {list(counts)} crops were asked for, but there are {anchors.shape[1]} views of each anchor; give "
            "counts of 1 or more, and twice as many views as the largest"
        )
    views = directions(watched, anchors, batch=batch) if detach else anchors

    def maps(some: Tensor) -> Tensor:
        if detach:  # the crops' features are known once and for all
            return maps_towards(watched, images, mean_direction(some, gate), gate=gate, batch=batch).maps.flatten(1)
        return pair_maps(watched, images, some, gate=gate, batch=batch).maps.flatten(1)

    told: list[Stability] = []
    for count in counts:
        alike = rank_correlation(maps(views[:, :count]), maps(views[:, half : half + count]))
        known = alike[~alike.isnan()]
        if not len(known):
            raise ShapeError("every map is the same everywhere, so that none can be compared with another")
        told.append(Stability(count, bootstrap(known, seed=seed), len(known)))
    return tuple(told)
