"""Where in an image a number comes from: Grad-CAM of any score, and of the similarity of two images (CLAM).

A map is as fine as the encoder's last map, 4 x 4 for the default encoder at 32 px: it says which part of an image
speaks, not which pixel.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.sphere import unit
from counterpoint.types import Mapped

__all__ = [
    "Maps",
    "PairMaps",
    "Watched",
    "directions",
    "enlarged",
    "gated",
    "grad_cam",
    "map_layer",
    "maps_towards",
    "mean_direction",
    "pair_maps",
    "placed",
    "scaled",
    "score_maps",
    "similarity_maps",
]

Images = Float[Tensor, "row plane height width"]
Gate = Float[Tensor, " gated"] | Float[Tensor, "row gated"] | None
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


# ---------------------------------------------------------------- the network and its last map


@dataclass(frozen=True, eq=False)
class Watched:
    """A network in use, seen at its last map: from images in [0, 1] to the feature that is compared.

    It computes as in evaluation, so that no image depends on the others of its batch, and is left in the mode that it
    was in. Gradients start at the map; freeze the parameters too where memory is short.

    Args:
        encoder: to h.
        layer: name of its module whose output is the map; `map_layer` finds it.
        before: from images in [0, 1] to what the encoder takes: the normalisation.
        after: from h to the feature; the identity gives h, a projector z.
    """

    encoder: nn.Module
    layer: str
    before: nn.Module = field(default_factory=nn.Identity)
    after: nn.Module = field(default_factory=nn.Identity)

    def features(self, images: Images) -> Float[Tensor, "row dim"]:
        """The features, in float32."""
        with _in_use(self.before, self.encoder, self.after):
            return self.after(self.encoder(self.before(images))).float()

    def watch(self, images: Images) -> tuple[Float[Tensor, "row channel tall wide"], Float[Tensor, "row dim"]]:
        """The map, at which gradients start, and the features that follow from it.

        Raises:
            RecipeError: the layer's output is no map.
        """
        seen: list[Tensor] = []

        def catch(module: nn.Module, given: object, out: Tensor) -> Tensor:
            seen.append(_as_map(out.detach(), len(images)).clone().requires_grad_())
            return _from_map(seen[-1], out)

        handle = self.encoder.get_submodule(self.layer).register_forward_hook(catch)
        try:
            with torch.enable_grad():
                out = self.features(images)
        finally:
            handle.remove()
        return seen[-1], out


@contextmanager
def _in_use(*modules: nn.Module) -> Generator[None]:
    modes = [(module, module.training) for part in modules for module in part.modules()]
    for part in modules:
        part.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _side(count: int) -> int:
    """Of the square that so many tokens end with, the class token and a few registers left out; 0: there is none."""
    side = isqrt(count)
    return side if side > 1 and count - side**2 <= 8 else 0


def _is_map(out: object, rows: int) -> bool:
    if not isinstance(out, Tensor) or not out.is_floating_point():
        return False
    if out.ndim == 4:
        return len(out) == rows and out.shape[2] == out.shape[3] > 1
    if out.ndim == 3:
        return len(out) == rows and _side(out.shape[1]) > 0
    return out.ndim == 2 and len(out) % rows == 0 and isqrt(len(out) // rows) ** 2 == len(out) // rows > 1


def _as_map(out: object, rows: int) -> Tensor:
    """Maps, patch tokens, or one row for each tile, as [row, channel, tall, wide]."""
    if not _is_map(out, rows):
        what = f"a tensor of shape {list(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise RecipeError(
            f"the layer that was named gives {what} for {rows} images, which is no square map of each; name a layer "
            "whose output is a map [row, channel, tall, wide] or patch tokens [row, token, width]"
        )
    assert isinstance(out, Tensor)
    if out.ndim == 4:
        return out
    if out.ndim == 2:
        out = out.unflatten(0, (rows, -1))
    side = _side(out.shape[1])
    return out[:, out.shape[1] - side**2 :].mT.unflatten(2, (side, side))


def _from_map(seen: Tensor, out: Tensor) -> Tensor:
    """The layer's output again, its map exchanged for the one that is watched."""
    if out.ndim == 4:
        return seen.clone()  # what follows may overwrite it
    tokens = seen.flatten(2).mT
    if out.ndim == 2:
        return tokens.flatten(0, 1)
    return torch.cat((out[:, : out.shape[1] - tokens.shape[1]].detach(), tokens), 1)


@torch.no_grad()
def map_layer(encoder: nn.Module, example: Images) -> str:
    """The layer of an encoder's last map: the one that it names itself, else the last whose output is a square map.

    Args:
        encoder: a built one; `counterpoint.types.Mapped` is one that names the layer.
        example: an image, normalised or not.

    Raises:
        RecipeError: the encoder has no map.
    """
    named = encoder.map_layer if isinstance(encoder, Mapped) else None
    found: list[str] = []
    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, module in encoder.named_modules():
        if named in (None, name):

            def note(module: nn.Module, given: object, out: object, name: str = name) -> None:
                square = isinstance(out, Tensor) and out.ndim == 4
                if _is_map(out, len(example)) and (square or name == named):
                    found.append(name)

            handles.append(module.register_forward_hook(note))
    try:
        with _in_use(encoder):
            encoder(example)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise RecipeError(
            f"the encoder {type(encoder).__name__} has no map to look at: no layer of it keeps the places of an image "
            f"of {example.shape[-1]} px apart; saliency needs a convolutional encoder or a transformer, such as conv"
        )
    return found[-1]


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


def gated(features: Float[Tensor, "row *crop dim"], gate: Gate = None) -> Float[Tensor, "row *crop dim"]:
    """Directions of features, each multiplied with its gate first.

    Raises:
        ShapeError: the gate has another width.
    """
    if gate is None:
        return unit(features)
    if gate.shape[-1] != features.shape[-1]:
        raise ShapeError(
            f"the gate has {gate.shape[-1]} numbers, but the features have width {features.shape[-1]}; give one number "
            "for each of their dimensions"
        )
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
    return gated(features, gate).mean(1)


def maps_towards(
    watched: Watched, images: Images, aim: Float[Tensor, "row dim"], *, gate: Gate = None, batch: int = 512
) -> Maps:
    """Grad-CAM of <g f(x), aim> / |g f(x)|: `similarity_maps` where the anchors' mean direction is known."""
    found: list[Maps] = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        own = gate if gate is None or gate.ndim == 1 else gate[part]

        def score(out: Tensor, own: Tensor | None = own, aim: Tensor = aim[part]) -> Tensor:
            return (gated(out, own) * aim).sum(1)

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
) -> PairMaps:
    """The same score with gradient through both sides: the maps of image and anchor as one map, side by side.

    A channel's weight is the mean slope over the places of both, the anchor's views counted as one map, so that both
    images are read with the same weights and on one scale. Needs memory for the views of all pairs that are given.

    Args:
        watched: the network.
        images: float in [0, 1].
        anchors: views of each image's partner.
        gate: as in `similarity_maps`.

    See also: `placed`, which puts the views' maps back where they were cut.
    """
    pairs, crops = anchors.shape[:2]
    activation, out = watched.watch(torch.cat((images, anchors.flatten(0, 1))))
    with torch.enable_grad():
        aim = mean_direction(out[pairs:].unflatten(0, (pairs, crops)), gate)
        value = (gated(out[:pairs], gate) * aim).sum(1)
    slope = _slope(value, activation)
    own, others = slope[:pairs].mean((2, 3)), slope[pairs:].mean((2, 3)).unflatten(0, (pairs, crops)).sum(1)
    weight, maps = (own + others) / 2, activation.detach()
    of_images = torch.einsum("rc,rcyx->ryx", weight, maps[:pairs]).relu()
    of_anchors = torch.einsum("rc,rkcyx->rkyx", weight, maps[pairs:].unflatten(0, (pairs, crops))).relu()
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
