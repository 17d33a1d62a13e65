"""Colour: jitter, greyscale, solarize, normalise. Every step clips to [0, 1], in the order that was drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.views.op import Images, as_float, chosen, needs_colour, share

__all__ = ["Brightness", "ColourJitter", "Greyscale", "JitterDraw", "Normalise", "Solarize", "shift_hue", "to_grey"]

RED, GREEN, BLUE = 0.2989, 0.587, 0.114
CONTRAST, SATURATION, HUE = 1, 2, 3
UNTOUCHED = 4


def to_grey(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch height width"]:
    """0.2989 R + 0.587 G + 0.114 B, the luma of ITU-R BT.601."""
    red, green, blue = images.unbind(1)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)


def shift_hue(
    images: Float[Tensor, "batch 3 height width"],
    turn: Float[Tensor, " batch"],
    out: Float[Tensor, "batch 3 height width"] | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """Turn the hue around the HSV hexagon, saturation and value kept.

    On the hexagon of circumference 6 a hue is d from red, where (M - m) d = M - 2 m + green + blue - red with M and m
    the largest and smallest channel, on green's side if green > blue. Turned by t, red is
    m + (M - m) clamp(||+-d + 6 t| - 3| - 1, 0, 1), and so for the other channels in cyclic order: nothing is divided,
    no sector is named, and a grey stays as it is.

    Args:
        images: in [0, 1].
        turn: in turns of the circle; +-1/2 is the complement.
        out: where the result is put; it may be `images`, unless a gradient is wanted.
    """
    planes = images.unbind(1)
    high = torch.maximum(torch.maximum(planes[0], planes[1]), planes[2])
    low = torch.minimum(torch.minimum(planes[0], planes[1]), planes[2])
    chroma = high - low
    # The distance of a hue from a pure channel x, times the chroma, is this less 2 x.
    further = (planes[0] + planes[1]).add_(planes[2]).add_(high).sub_(low, alpha=2)
    low_less_chroma = low - chroma
    turned = chroma * (6 * turn[:, None, None])
    places: list[Tensor] = []
    for channel in range(3):
        after, before = planes[(channel + 1) % 3], planes[(channel + 2) % 3]
        place = (torch.sub(further, planes[channel], alpha=2).copysign_(after - before) + turned).abs_()
        places.append(place.sub_(chroma, alpha=3).abs_().add_(low_less_chroma))
    if out is None and images.requires_grad:
        return torch.stack([place.clamp(low, high) for place in places], 1)
    out = torch.empty_like(images) if out is None else out
    for place, plane in zip(places, out.unbind(1), strict=True):
        torch.clamp(place, low, high, out=plane)
    return out


class _Blends(NamedTuple):
    """The three operations that are no hue, in the order of each sample: x becomes clip(a x + b grey(x) + c mean grey).

    A column for each place.
    """

    scale: Float[Tensor, "batch 3"]
    grey: Float[Tensor, "batch 3"]
    mean: Float[Tensor, "batch 3"]

    def of(self, which: slice | Tensor) -> "_Blends":
        """Those of some samples."""
        return _Blends(*(part[which] for part in self))

    def only(self, keep: Bool[Tensor, " batch"]) -> "_Blends":
        """Nothing happens to the other samples."""
        keep = keep[:, None]
        return _Blends(torch.where(keep, self.scale, 1.0), self.grey * keep, self.mean * keep)

    def change(self, x: Tensor, place: int) -> None:
        """The operation at this place, in place."""
        if len(x) == 0:
            return
        across = x.shape[1:].numel() // x.shape[1]
        planes = x.view(len(x), -1, across)
        level = to_grey(x).view(len(x), across) if x.shape[1] == 3 else planes[:, 0]
        flat = self.mean[:, place, None] * level.mean(1, keepdim=True)
        shift = torch.addcmul(flat, level, self.grey[:, place, None])
        planes.mul_(self.scale[:, place, None, None]).add_(shift[:, None]).clamp_(0, 1)


class JitterDraw(NamedTuple):
    """Which samples, in what order (0 brightness, 1 contrast, 2 saturation, 3 hue), and each operation's factor."""

    keep: Bool[Tensor, " batch"]
    order: Int64[Tensor, "batch 4"]
    factor: Float[Tensor, "batch 4"]


@dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast, saturation and hue, in an order drawn for each sample, clipped after each.

    Brightness blends with black, contrast with the image's mean grey, saturation with its grey version:
    clip(f x + (1 - f) reference), f ~ U(max(0, 1 - s), 1 + s). Hue is turned by U(-s, s) of the circle. On one channel
    saturation and hue do nothing. Agrees with torchvision's `adjust_*` on float images to 1e-5.

    Source: Howard 2013; the chain of torchvision's ColorJitter.

    Args:
        brightness, contrast, saturation: strengths s >= 0; 0 leaves it out.
        hue: in [0, 0.5].
        p: probability for a sample.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        share(self.p, "ColourJitter", "p")
        if min(self.brightness, self.contrast, self.saturation) < 0 or not 0 <= self.hue <= 0.5:
            raise RecipeError(f"{self} is not possible: strengths must be >= 0, and hue in [0, 0.5]")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> JitterDraw:
        """Choice, order and factors."""
        batch, device = len(images), images.device
        strength = torch.tensor([self.brightness, self.contrast, self.saturation, self.hue], device=device)
        middle = torch.tensor([1.0, 1.0, 1.0, 0.0], device=device)
        low = middle - strength
        low[:3].clamp_(min=0)
        keep = stream.uniform(batch).to(device) < self.p
        order = stream.uniform(batch, 4).to(device).argsort(1)
        factor = low + stream.uniform(batch, 4).to(device) * (middle + strength - low)
        return JitterDraw(keep, order, factor)

    def apply(self, images: Images, drawn: JitterDraw) -> Float[Tensor, "batch channel height width"]:
        """The four operations, each sample in its own order."""
        return self.apply_(as_float(images).clone(memory_format=torch.contiguous_format), drawn)

    def apply_(
        self, images: Float[Tensor, "batch channel height width"], drawn: JitterDraw
    ) -> Float[Tensor, "batch channel height width"]:
        """`apply` that may overwrite the images, which are contiguous and needed by no gradient."""
        colour = needs_colour(images, "ColourJitter")
        blends, group = self._blends(drawn, colour), self.alike(drawn)
        if images.device.type != "cpu" or images.requires_grad:
            return self._everywhere(images, drawn, blends, group, colour)
        # Samples whose hue comes at the same place stand together, so that every pass changes neighbours.
        order = group.argsort(stable=True)
        ends = torch.bincount(group, minlength=UNTOUCHED + 1).cumsum(0).tolist()
        order = order[: ends[HUE]]
        ready = bool((group[1:] >= group[:-1]).all())
        x = images[: ends[HUE]] if ready else images[order]
        blends = blends.of(order)
        for place in range(3):
            rest = slice(ends[place], None)
            blends.of(rest).change(x[rest], place)
        if colour and self.hue > 0 and len(x):
            shift_hue(x, drawn.factor[order, HUE], x)
        for place in range(3):
            rest = slice(0, ends[place])
            blends.of(rest).change(x[rest], place)
        return images if ready else images.index_copy_(0, order, x)

    def _everywhere(self, x: Tensor, drawn: JitterDraw, blends: _Blends, group: Tensor, colour: bool) -> Tensor:
        """Without asking how many samples there are of each kind, which makes a device wait, and differentiable.

        It passes twice over samples that the other way groups by kind and passes over once.
        """
        for place in range(3):
            blends.only((group > place) & drawn.keep).change(x, place)
        if colour and self.hue > 0:
            x = torch.where(drawn.keep[:, None, None, None], shift_hue(x, drawn.factor[:, HUE]), x)
        for place in range(3):
            blends.only(group <= place).change(x, place)
        return x

    def _blends(self, drawn: JitterDraw, colour: bool) -> _Blends:
        places = torch.arange(3, device=drawn.order.device)
        which = drawn.order.gather(1, places + (places >= self._hue_place(drawn)[:, None]))
        factor = drawn.factor.gather(1, which)
        rest = 1 - factor
        saturates = which == SATURATION
        scale = factor if colour else torch.where(saturates, 1.0, factor)
        return _Blends(scale, rest * (saturates & colour), rest * (which == CONTRAST))

    def _hue_place(self, drawn: JitterDraw) -> Int64[Tensor, " batch"]:
        return (drawn.order == HUE).byte().argmax(1)

    def alike(self, drawn: JitterDraw) -> Int64[Tensor, " batch"]:
        """At which place hue comes, 4 for samples left alone: a batch sorted by it takes fewer, larger passes."""
        return torch.where(drawn.keep, self._hue_place(drawn), UNTOUCHED)


@dataclass(frozen=True)
class Brightness:
    """Multiply by one of a few factors, each as likely, and clip to [0, 1].

    Source: the views of SimLAP's saliency (CLAM), which have 0.9, 1 and 1.1.

    Args:
        factors: at least one, each > 0.
    """

    factors: tuple[float, ...] = (0.9, 1.0, 1.1)

    def __post_init__(self) -> None:
        if not self.factors or min(self.factors) <= 0:
            raise RecipeError(f"{self} is not possible: give at least one of the factors, each above 0")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Float[Tensor, " batch"]:
        """The factor of each sample."""
        which = stream.integers(0, len(self.factors), len(images))
        return torch.tensor(self.factors, device=which.device)[which].to(images.device)

    def apply(self, images: Images, drawn: Float[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Brighter or darker."""
        return (as_float(images) * drawn[:, None, None, None]).clamp_(0, 1)


@dataclass(frozen=True)
class Greyscale:
    """Replace colour by its luma in all channels. Agrees with torchvision's `rgb_to_grayscale` to 1e-6.

    Args:
        p: probability for a sample (or for a tile).
        tiles: the image is cut into tiles x tiles, each drawn for itself (PIRL greys single patches); 1 is the image.
    """

    p: float = 0.2
    tiles: int = 1

    def __post_init__(self) -> None:
        share(self.p, "Greyscale", "p")
        if self.tiles < 1:
            raise RecipeError(f"Greyscale(tiles={self.tiles}) is not possible: tiles must be at least 1")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Bool[Tensor, "batch tile tile"]:
        """Which samples and tiles."""
        return stream.uniform(len(images), self.tiles, self.tiles).to(images.device) < self.p

    def apply(
        self, images: Images, drawn: Bool[Tensor, "batch tile tile"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Grey where drawn."""
        return self._grey(as_float(images), drawn, owned=False)

    def apply_(
        self, images: Float[Tensor, "batch channel height width"], drawn: Bool[Tensor, "batch tile tile"]
    ) -> Float[Tensor, "batch channel height width"]:
        """`apply` that may overwrite the images."""
        return self._grey(images, drawn, owned=True)

    def _grey(self, x: Tensor, drawn: Tensor, *, owned: bool) -> Tensor:
        if not needs_colour(x, "Greyscale"):
            return x
        if self.tiles == 1:
            return chosen(x, drawn[:, 0, 0], lambda part, _: to_grey(part)[:, None].expand_as(part), owned=owned)
        height, width = x.shape[-2:]
        if height % self.tiles or width % self.tiles:
            raise ShapeError(f"Greyscale(tiles={self.tiles}) needs sides divisible by it, but got {height} x {width}")
        mask = drawn.repeat_interleave(height // self.tiles, 1).repeat_interleave(width // self.tiles, 2)
        return torch.where(mask[:, None], to_grey(x)[:, None], x)


@dataclass(frozen=True)
class Solarize:
    """Invert values at or above a threshold. Agrees with torchvision's `solarize` exactly on float images.

    Args:
        threshold: in [0, 1]; 0.5 is 128 of 255 (127.5 lies between two values of a byte).
        p: probability for a sample.
    """

    threshold: float = 0.5
    p: float = 0.2

    def __post_init__(self) -> None:
        share(self.threshold, "Solarize", "threshold")
        share(self.p, "Solarize", "p")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Bool[Tensor, " batch"]:
        """Which samples."""
        return stream.uniform(len(images)).to(images.device) < self.p

    def apply(self, images: Images, drawn: Bool[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Inverted highlights where drawn."""
        return chosen(as_float(images), drawn, lambda x, _: torch.where(x >= self.threshold, 1 - x, x))


@dataclass(frozen=True)
class Normalise:
    """(x - mean) / std for each channel; leaves [0, 1]. Agrees with torchvision's `normalize` to 1e-6.

    Views do not contain it: the model normalises, in training and in evaluation alike. It is here for other loops.

    Args:
        mean, std: one number per channel, or one for all; std > 0.
    """

    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise RecipeError(f"{self} is not possible: mean and std must have equal length, and every std be above 0")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> tuple[()]:
        """Nothing."""
        return ()

    def apply(self, images: Images, drawn: tuple[()]) -> Float[Tensor, "batch channel height width"]:
        """Standardised channels."""
        x = as_float(images)
        if len(self.mean) not in (1, x.shape[1]):
            raise ShapeError(f"Normalise has {len(self.mean)} means, but the images have {x.shape[1]} channels")
        mean = torch.tensor(self.mean, device=x.device, dtype=x.dtype)[:, None, None]
        std = torch.tensor(self.std, device=x.device, dtype=x.dtype)[:, None, None]
        return (x - mean) / std
