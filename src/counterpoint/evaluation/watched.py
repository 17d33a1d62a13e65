"""A network seen at its last map: which layer that is, and gradients that start there."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.types import Mapped

__all__ = ["Images", "Watched", "map_layer"]

Images = Float[Tensor, "row plane height width"]
CARRIED = 1e-3  # of the distance of two images, what may be left where a map carries all
ROUNDING = 1e-6


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


def _channels_last(out: Tensor) -> bool:
    """Whether a map is [row, tall, wide, channel], as Swin's are."""
    return out.shape[1] == out.shape[2] > 1 and out.shape[2] != out.shape[3]


def _is_map(out: object, rows: int) -> bool:
    if not isinstance(out, Tensor) or not out.is_floating_point():
        return False
    if out.ndim == 4:
        return len(out) == rows and (out.shape[2] == out.shape[3] > 1 or _channels_last(out))
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
        return out.movedim(3, 1) if _channels_last(out) else out
    if out.ndim == 2:
        out = out.unflatten(0, (rows, -1))
    side = _side(out.shape[1])
    return out[:, out.shape[1] - side**2 :].mT.unflatten(2, (side, side))


def _from_map(seen: Tensor, out: Tensor) -> Tensor:
    """The layer's output again, its map exchanged for the one that is watched."""
    if out.ndim == 4:
        return (seen.movedim(1, 3) if _channels_last(out) else seen).clone()  # what follows may overwrite it
    tokens = seen.flatten(2).mT
    if out.ndim == 2:
        return tokens.flatten(0, 1)
    return torch.cat((out[:, : out.shape[1] - tokens.shape[1]].detach(), tokens), 1)


@torch.no_grad()
def map_layer(encoder: nn.Module, example: Images) -> str:
    """The layer of an encoder's last map: the one that it names itself, else the last that all of h goes through.

    A layer without a name is believed where its output is a square map, and another image into which that map is put
    gets the h of the first: attention weights are square too, and h reaches them only in part.

    Args:
        encoder: a built one; `counterpoint.types.Mapped` is one that names the layer.
        example: an image, normalised or not.

    Raises:
        RecipeError: the encoder has no map, or h does not hear the one that it names.
    """
    named = encoder.map_layer if isinstance(encoder, Mapped) else None
    with _in_use(encoder):
        for name in reversed(_squares(encoder, example)) if named is None else [named]:
            own, other, mixed = _exchanged(encoder, name, example)
            apart, left = float((other - own).norm()), float((mixed - own).norm())
            if left <= CARRIED * apart + ROUNDING * float(own.norm()):
                return name
            if named is not None and not torch.equal(mixed, other):  # h may hear the map through one branch alone
                return name
    if named is not None:
        raise RecipeError(
            f"the layer {named} that the encoder {type(encoder).__name__} names has no map that its features hear; "
            "name a layer whose map or patch tokens they are made of"
        )
    raise RecipeError(
        f"the encoder {type(encoder).__name__} has no map to look at: no layer of it keeps the places of an image "
        f"of {example.shape[-1]} px apart; saliency needs a convolutional encoder or a transformer, such as conv"
    )


def _squares(encoder: nn.Module, example: Tensor) -> list[str]:
    """Layers whose output has four axes of which two are a square, in the order in which they speak."""
    found: list[str] = []
    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, module in encoder.named_modules():
        if name:

            def note(module: nn.Module, given: object, out: object, name: str = name) -> None:
                if isinstance(out, Tensor) and out.ndim == 4 and _is_map(out, len(example)):
                    found.append(name)

            handles.append(module.register_forward_hook(note))
    try:
        encoder(example)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(reversed(found)))[::-1]


def _exchanged(encoder: nn.Module, name: str, example: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The example's h, that of noise, and that of noise with the example's map put in at a layer."""
    noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example)
    maps: list[Tensor] = []
    calls = 0

    def keep(module: nn.Module, given: object, out: object) -> None:
        maps.append(_as_map(out, len(example)).clone())

    def exchange(module: nn.Module, given: object, out: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        return _from_map(maps[-1], out) if calls == len(maps) else None  # of a layer in use twice, the last

    def through(images: Tensor, hook: Callable[..., Tensor | None]) -> Tensor:
        handle = encoder.get_submodule(name).register_forward_hook(hook)
        try:
            return encoder(images).float()
        finally:
            handle.remove()

    return through(example, keep), encoder(noise).float(), through(noise, exchange)
