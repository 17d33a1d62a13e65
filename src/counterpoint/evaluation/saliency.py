"""Where in an image a number comes from: Grad-CAM of any score, and of the similarity of two images (CLAM).

A map is as fine as the encoder's last map, 4 x 4 for the default encoder at 32 px: it says which part of an image
speaks, not which pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterpoint.errors import ShapeError
from counterpoint.evaluation.watched import Images, Watched
from counterpoint.sphere import unit

__all__ = [
    "Maps",
    "PairMaps",
    "directions",
    "enlarged",
    "grad_cam",
    "maps_towards",
    "mean_direction",
    "pair_maps",
    "placed",
    "scaled",
    "score_maps",
    "similarity_maps",
    "under_gate",
]

Gate = Float[Tensor, " gated"] | Float[Tensor, "each gated"] | None
Score = Callable[[Float[Tensor, "row dim"]], Float[Tensor, " row"]]
SILENT = 2e-6  # the effect of a whole map on a cosine that float32 cannot tell from none


@dataclass(frozen=True, eq=False)
class Maps:
    """Where the scores of some images come from.

    Args:
        score: of each image.
        maps: as fine as the encoder's map, >= 0: by how much each place raises the score, to first order, with the
            channels' weights taken as means over the places. See `enlarged` and `scaled`.
    """

    score: Float[Tensor, " row"]
    maps: Float[Tensor, "row tall wide"]


@dataclass(frozen=True, eq=False)
class PairMaps:
    """Where the similarity of pairs comes from, in both images.

    Args:
        score: of each pair.
        maps: of the images.
        anchor_maps: of the anchors' views.
    """

    score: Float[Tensor, " pair"]
    maps: Float[Tensor, "pair tall wide"]
    anchor_maps: Float[Tensor, "pair crop tall wide"]


# ---------------------------------------------------------------- the map of a score


def grad_cam(
    activation: Float[Tensor, "row channel tall wide"], slope: Float[Tensor, "row channel tall wide"]
) -> Float[Tensor, "row tall wide"]:
    r"""relu(sum_c a_c A_c) with a_c = mean_xy dy / dA_c(x, y).

    Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.

    Args:
        activation: A, the encoder's last map.
        slope: of each row's score y by it.
    """
    return torch.einsum("rc,rcyx->ryx", slope.mean((2, 3)), activation).relu()


def score_maps(watched: Watched, images: Images, score: Score) -> Maps:
    """Grad-CAM of a score of each image's feature: a class's logit, say.

    All maps come from one backward pass, of the sum of the scores.

    Args:
        watched: the network.
        images: float in [0, 1].
        score: of features, each row's of that row alone.

    Raises:
        RecipeError: the network has no map at its layer.
        ShapeError: not one score for each image.
    """
    activation, out = watched.watch(images)
    with torch.enable_grad():
        value = score(out)
    if value.shape != (len(images),):
        raise ShapeError(
            f"the score has shape {list(value.shape)}, expected one number for each of {len(images)} images"
        )
    return Maps(value.detach(), grad_cam(activation.detach(), _slope(value, activation)))


def _slope(value: Tensor, activation: Tensor) -> Tensor:
    if not value.requires_grad:  # a constant
        return torch.zeros_like(activation)
    return torch.autograd.grad(value.sum(), activation, materialize_grads=True)[0]


def enlarged(maps: Float[Tensor, "row tall wide"], size: Sequence[int]) -> Float[Tensor, "row height width"]:
    """Maps at the size of their images: height and width, bilinear."""
    return functional.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def scaled(maps: Float[Tensor, "row tall wide"]) -> Float[Tensor, "row tall wide"]:
    """Each map divided by its largest value; one of zeros stays so."""
    peak = maps.amax((1, 2), keepdim=True)
    return torch.where(peak > 0, maps / torch.where(peak > 0, peak, 1.0), 0.0)


# ---------------------------------------------------------------- the map of a similarity


def under_gate(features: Float[Tensor, "row *crop dim"], gate: Gate = None) -> Float[Tensor, "row *crop dim"]:
    """Directions of features, each multiplied with its gate first.

    Args:
        features: of rows, or of the crops of each.
        gate: one number for each dimension, for all rows or for each.

    Raises:
        ShapeError: the gate has another width, or not one row for each.
    """
    if gate is None:
        return unit(features)
    if gate.shape[-1] != features.shape[-1]:
        raise ShapeError(
            f"the gate has {gate.shape[-1]} numbers, but the features have width {features.shape[-1]}; give one number "
            "for each of their dimensions"
        )
    if gate.ndim > 1 and len(gate) != len(features):
        raise ShapeError(f"{len(gate)} gates arrived for {len(features)} rows; give one for all, or one for each")
    return unit(features * (gate[:, None] if features.ndim > gate.ndim > 1 else gate).to(features))


def _audible(maps: Tensor) -> Tensor:
    """Maps, those of them zero that are rounding alone: of two views that are one and the same, say."""
    places = maps[0, 0].numel() if maps.ndim == 4 else maps[0].numel()
    return torch.where(maps.flatten(1).amax(1).reshape(-1, *(1,) * (maps.ndim - 1)) * places > SILENT, maps, 0.0)


@torch.no_grad()
def directions(
    watched: Watched, anchors: Float[Tensor, "row crop plane height width"], *, batch: int = 512
) -> Float[Tensor, "row crop dim"]:
    """Features of each anchor's views."""
    each = [watched.features(part) for part in anchors.flatten(0, 1).split(batch)]
    return torch.cat(each).unflatten(0, anchors.shape[:2])


def mean_direction(features: Float[Tensor, "row crop dim"], gate: Gate = None) -> Float[Tensor, "row dim"]:
    """The mean of the views' directions, under a gate: its product with a direction is their mean cosine."""
    return under_gate(features, gate).mean(1)


def maps_towards(
    watched: Watched, images: Images, aim: Float[Tensor, "row dim"], *, gate: Gate = None, batch: int = 512
) -> Maps:
    """Grad-CAM of <g f(x), aim> / |g f(x)|: `similarity_maps` where the anchors' mean direction is known."""
    found: list[Maps] = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        own = gate if gate is None or gate.ndim == 1 else gate[part]

        def score(out: Tensor, own: Tensor | None = own, aim: Tensor = aim[part]) -> Tensor:
            return (under_gate(out, own) * aim).sum(1)

        found.append(score_maps(watched, images[part], score))
    return Maps(torch.cat([one.score for one in found]), _audible(torch.cat([one.maps for one in found])))


def similarity_maps(
    watched: Watched,
    images: Images,
    anchors: Float[Tensor, "row crop plane height width"],
    *,
    gate: Gate = None,
    batch: int = 512,
) -> Maps:
    r"""Where an image is like its anchor: Grad-CAM of  y = mean_k cos(g f(x), g f(A_k)), without gradient through A.

    Where f is the mean over the map (h of a convolutional encoder), the weighted sum of the map has mean zero before
    its negative part is cut off: it says which places are more like the anchor than the image as a whole.

    Source: the saliency of SimLAP (CLAM), on Grad-CAM.

    Args:
        watched: the network; with a projector it compares z, else h.
        images: x, float in [0, 1].
        anchors: A_k, views of each image's partner.
        gate: g, one number for each dimension of the feature, for all pairs or for each; its scale changes nothing.
        batch: images of a forward pass.

    Raises:
        RecipeError: the network has no map at its layer.
        ShapeError: the gate has another width than the feature.

    See also: `pair_maps`, with gradient through both sides.
    """
    aim = mean_direction(directions(watched, anchors, batch=batch), gate)
    return maps_towards(watched, images, aim, gate=gate, batch=batch)


def pair_maps(
    watched: Watched,
    images: Images,
    anchors: Float[Tensor, "row crop plane height width"],
    *,
    gate: Gate = None,
    batch: int = 512,
) -> PairMaps:
    """The same score with gradient through both sides: the maps of image and anchor as one map, side by side.

    A channel's weight is the mean slope over the places of both, the anchor's views counted as one map, so that both
    images are read with the same weights and on one scale.

    Args:
        watched: the network.
        images: float in [0, 1].
        anchors: views of each image's partner.
        gate: as in `similarity_maps`.
        batch: images of a forward pass; where there are more, views included, each is passed through twice.

    See also: `placed`, which puts the views' maps back where they were cut.
    """
    pairs, crops = anchors.shape[:2]
    parts = torch.cat((images, anchors.flatten(0, 1))).split(batch)
    whole = watched.watch(parts[0]) if len(parts) == 1 else None
    with torch.no_grad():
        out = torch.cat([watched.features(part) for part in parts]) if whole is None else whole[1].detach()
    with torch.enable_grad():
        out = out.requires_grad_()
        aim = mean_direction(out[pairs:].unflatten(0, (pairs, crops)), gate)
        value = (under_gate(out[:pairs], gate) * aim).sum(1)
    pull = _slope(value, out).split(batch)
    maps, slope = [], []
    for part, upstream in zip(parts, pull, strict=True):
        activation, feature = whole or watched.watch(part)
        maps.append(activation.detach())
        slope.append(_slope((feature * upstream).sum(1), activation).mean((2, 3)))
    seen, slopes = torch.cat(maps), torch.cat(slope)
    weight = (slopes[:pairs] + slopes[pairs:].unflatten(0, (pairs, crops)).sum(1)) / 2
    of_images = torch.einsum("rc,rcyx->ryx", weight, seen[:pairs]).relu()
    of_anchors = torch.einsum("rc,rkcyx->rkyx", weight, seen[pairs:].unflatten(0, (pairs, crops))).relu()
    return PairMaps(value.detach(), _audible(of_images), _audible(of_anchors))


def placed(
    maps: Float[Tensor, "row crop tall wide"],
    frames: Float[Tensor, "row crop 4"],
    size: Sequence[int],
) -> Float[Tensor, "row height width"]:
    """Maps of crops put back into their image: the mean over the crops that show a pixel, zero where none does.

    Args:
        maps: of the crops.
        frames: left, top, width and height of each crop, in shares of the image; a mirrored crop starts at its right
            edge and has a negative width.
        size: height and width of the image in pixels.
    """
    tall, wide = size
    start, length = frames.flatten(0, 1)[:, :2], frames.flatten(0, 1)[:, 2:]
    across = (torch.arange(wide, device=maps.device) + 0.5) / wide
    down = (torch.arange(tall, device=maps.device) + 0.5) / tall
    x = (across - start[:, :1]) / length[:, :1]
    y = (down - start[:, 1:]) / length[:, 1:]
    inside = ((y >= 0) & (y <= 1))[:, :, None] & ((x >= 0) & (x <= 1))[:, None]
    grid = torch.stack((x[:, None].expand(-1, tall, -1), y[:, :, None].expand(-1, -1, wide)), 3) * 2 - 1
    back = functional.grid_sample(
        maps.flatten(0, 1)[:, None], grid.to(maps), padding_mode="border", align_corners=False
    )[:, 0]
    shown = inside.unflatten(0, maps.shape[:2]).to(maps)
    return (back.unflatten(0, maps.shape[:2]) * shown).sum(1) / shown.sum(1).clamp_min(1)
