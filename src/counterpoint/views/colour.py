"""Colour: jitter, greyscale, solarize, normalise. Every step clips to [0, 1], in the order that was drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.views.op import Images, as_float, chosen, needs_colour, share

__all__ = ["ColourJitter", "Greyscale", "JitterDraw", "Normalise", "Solarize", "shift_hue", "to_grey"]

RED, GREEN, BLUE = 0.2989, 0.587, 0.114
CONTRAST, SATURATION, HUE = 1, 2, 3


def to_grey(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch height width"]:
    """0.2989 R + 0.587 G + 0.114 B, the luma of ITU-R BT.601."""
    red, green, blue = images.unbind(1)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)


def shift_hue(
    images: Float[Tensor, "batch 3 height width"], turn: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """Turn the hue around the HSV hexagon, saturation and value kept.

    With M and m the largest and smallest channel and h in [0, 6) the turned hue, each channel is
    m + (M - m) clamp(t, 0, 1), where t is |h - 3| - 1 for red, 2 - |h - 2| for green and 2 - |h - 4| for blue: the HSV
    hexagon without naming its six sectors.

    Args:
        images: in [0, 1].
        turn: in turns of the circle; +-1/2 is the complement.
    """
    red, green, blue = images.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    inverse = torch.where(chroma == 0, 1.0, chroma).reciprocal_()
    blue_led = (red - green).mul_(inverse).add_(4)
    green_led = (blue - red).mul_(inverse).add_(2)
    red_led = (green - blue).mul_(inverse)
    hue = torch.where(high == red, red_led, torch.where(high == green, green_led, blue_led))
    hue.add_(6 * turn[:, None, None])
    hue.sub_((hue / 6).floor_().mul_(6))
    out = torch.empty_like(images)
    out[:, 0] = (hue - 3).abs_().sub_(1).clamp_(0, 1).mul_(chroma).add_(low)
    out[:, 1] = (hue - 2).abs_().neg_().add_(2).clamp_(0, 1).mul_(chroma).add_(low)
    out[:, 2] = (hue - 4).abs_().neg_().add_(2).clamp_(0, 1).mul_(chroma).add_(low)
    return out


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
        colour = needs_colour(images, "ColourJitter")

        def change(x: Tensor, index: Tensor) -> Tensor:
            return self._chain(x, drawn.order[index], drawn.factor[index], colour)

        return chosen(as_float(images), drawn.keep, change)

    def _chain(self, x: Tensor, order: Tensor, factor: Tensor, colour: bool) -> Tensor:
        """At each place of the order the three blends are one pass, a x + b grey(x) + c mean(grey(x)), hue another."""
        x = x.clone()
        grey_level = self.contrast > 0 or (colour and self.saturation > 0)
        for place in range(4):
            which = order[:, place]
            f = factor.gather(1, order[:, place : place + 1])[:, 0]
            if self.brightness > 0 or grey_level:
                idle = which >= (HUE if colour else SATURATION)
                scale = torch.where(idle, 1.0, f)[:, None, None, None]
                if grey_level:
                    grey = to_grey(x) if colour else x[:, 0]
                    flat = torch.where(which == CONTRAST, 1 - f, 0.0) * grey.mean((1, 2))
                    own = torch.where((which == SATURATION) & ~idle, 1 - f, 0.0)
                    shift = (grey * own[:, None, None]).add_(flat[:, None, None])
                    x.mul_(scale).add_(shift[:, None]).clamp_(0, 1)
                else:
                    x.mul_(scale).clamp_(0, 1)
            if colour and self.hue > 0:
                x = chosen(x, which == HUE, lambda part, index, turn=f: shift_hue(part, turn[index]), owned=True)
        return x


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
        x = as_float(images)
        if not needs_colour(images, "Greyscale"):
            return x
        if self.tiles == 1:
            return chosen(x, drawn[:, 0, 0], lambda part, _: to_grey(part)[:, None].expand_as(part))
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
