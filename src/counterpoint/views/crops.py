"""What changes the size: random resized crop, resize, centre crop, pad, and the jigsaw of patches."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.views.boxes import Box, draw_boxes
from counterpoint.views.op import Images, as_float, interval
from counterpoint.views.resample import axis_taps, axis_weights, resample, resample_tapped, short

__all__ = ["CentreCrop", "Jigsaw", "JigsawDraw", "Pad", "Resize", "ResizedCrop", "crop", "patches"]

INTERPOLATIONS = ("bilinear", "bicubic")


def _known(interpolation: str, part: str) -> None:
    if interpolation not in INTERPOLATIONS:
        raise RecipeError(
            f"{part}(interpolation={interpolation!r}) is not known: take one of {', '.join(INTERPOLATIONS)}"
        )


def _positive(value: int, part: str, name: str) -> None:
    if value < 1:
        raise RecipeError(f"{part}({name}={value}) is not possible: {name} must be at least 1 pixel")


def crop(
    images: Images,
    box: Box,
    size: int,
    *,
    interpolation: str = "bilinear",
    upside_down: Bool[Tensor, " batch"] | None = None,
    mirrored: Bool[Tensor, " batch"] | None = None,
    clip: bool = True,
) -> Float[Tensor, "batch channel size size"]:
    """Cut one rectangle out of each image, resize it with anti-aliasing, and flip it, in one pass.

    What lies outside the rectangle has no influence, as if it were cut first. Bicubic overshoot is clipped to [0, 1],
    unless the caller does it.
    """
    x = as_float(images)
    height, width = x.shape[-2:]
    horizontal = axis_weights(box.left, box.width, width, size, interpolation=interpolation, mirror=mirrored)
    if x.device.type == "cpu" and x.dtype == torch.float32 and short(height, size):
        taps = axis_taps(box.top, box.height, height, size, interpolation=interpolation, mirror=upside_down)
        resized = resample_tapped(x, *taps, horizontal)
    else:
        vertical = axis_weights(box.top, box.height, height, size, interpolation=interpolation, mirror=upside_down)
        resized = resample(x, vertical, horizontal)
    return resized.clamp_(0, 1) if clip else resized


@dataclass(frozen=True)
class ResizedCrop:
    """A rectangle of random area, shape and place, resized to a square with anti-aliasing.

    Area and log-ratio are drawn up to ten times until the rectangle fits; after ten misses it is the largest central
    one within the ratios. Same sampling as torchvision's RandomResizedCrop; agrees with `resized_crop` (antialias=True)
    on float images to 1e-5, bicubic clipped to [0, 1].

    Source: Szegedy et al. 2015, arXiv:1409.4842, section 6; SimCLR, appendix A.

    Args:
        size: side of the result in pixels.
        scale: area as a share of the image, in (0, 1].
        ratio: width over height.
        interpolation: `bilinear` or `bicubic` (a = -1/2), both anti-aliased.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _positive(self.size, "ResizedCrop", "size")
        interval(self.scale, "ResizedCrop", "scale", above=0.0)
        interval(self.ratio, "ResizedCrop", "ratio", above=0.0)
        _known(self.interpolation, "ResizedCrop")
        if self.scale[1] > 1:
            raise RecipeError(
                f"ResizedCrop(scale={self.scale}) is not possible: an area is a share of the image, at most 1"
            )

    def after(self, height: int, width: int) -> tuple[int, int]:
        """The square."""
        return self.size, self.size

    def draw(self, images: Tensor, stream: Stream) -> Box:
        """A rectangle for each sample."""
        height, width = images.shape[-2:]
        low, high = self.ratio
        box, found = draw_boxes(
            stream,
            len(images),
            height,
            width,
            self.scale,
            (math.log(low), math.log(high)),
            largest=(height, width),
        )
        tall, wide = height, width
        if width / height < low:
            tall = round(width / low)
        elif width / height > high:
            wide = round(height * high)
        central = ((height - tall) // 2, (width - wide) // 2, tall, wide)
        parts = (torch.where(found, part, whole) for part, whole in zip(box, central, strict=True))
        return Box(*(part.to(images.device) for part in parts))

    def apply(self, images: Images, drawn: Box) -> Float[Tensor, "batch channel size size"]:
        """The crops."""
        return crop(images, drawn, self.size, interpolation=self.interpolation)


@dataclass(frozen=True)
class Resize:
    """Bring the shorter side to a length, keeping the proportions, with anti-aliasing.

    Agrees with torchvision's `resize` (antialias=True) on float images to 1e-6, bicubic clipped to [0, 1].

    Args:
        shorter: length of the shorter side in pixels.
        interpolation: `bilinear` or `bicubic`.
    """

    shorter: int
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _positive(self.shorter, "Resize", "shorter")
        _known(self.interpolation, "Resize")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """The shorter side as asked, the longer in proportion, rounded down."""
        if height <= width:
            return self.shorter, int(self.shorter * width / height)
        return int(self.shorter * height / width), self.shorter

    def draw(self, images: Tensor, stream: Stream) -> tuple[()]:
        """Nothing."""
        return ()

    def apply(self, images: Images, drawn: tuple[()]) -> Float[Tensor, "batch channel tall wide"]:
        """Resized images."""
        x = as_float(images)
        size = self.after(*x.shape[-2:])
        if size == tuple(x.shape[-2:]):
            return x
        return F.interpolate(x, size, mode=self.interpolation, antialias=True).clamp_(0, 1)


@dataclass(frozen=True)
class CentreCrop:
    """The central square, zeros where the image is smaller. Agrees with torchvision's `center_crop` exactly.

    Args:
        side: of the square in pixels.
    """

    side: int

    def __post_init__(self) -> None:
        _positive(self.side, "CentreCrop", "side")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """The square."""
        return self.side, self.side

    def draw(self, images: Tensor, stream: Stream) -> tuple[()]:
        """Nothing."""
        return ()

    def _start(self, length: int) -> int:
        """First pixel of the crop on an axis, negative where zeros precede it; halves round as in torchvision."""
        return -((self.side - length) // 2) if length < self.side else round((length - self.side) / 2)

    def apply(self, images: Images, drawn: tuple[()]) -> Float[Tensor, "batch channel side side"]:
        """Cut and padded."""
        x = as_float(images)
        height, width = x.shape[-2:]
        top, left = self._start(height), self._start(width)
        return F.pad(x, (-left, self.side + left - width, -top, self.side + top - height))

    @property
    def interpolation(self) -> None:
        """None: moves whole pixels only."""
        return None

    def trace(self, points: Tensor, drawn: tuple[()], height: int, width: int) -> Tensor:
        """The crop's centre in the image."""
        shift = [self._start(width) + (self.side - width) / 2, self._start(height) + (self.side - height) / 2]
        return points + torch.tensor(shift, device=points.device)


@dataclass(frozen=True)
class Pad:
    """Zeros around the image. Agrees with torchvision's `pad` exactly.

    Args:
        border: its width on every side, in pixels.
    """

    border: int

    def __post_init__(self) -> None:
        if self.border < 0:
            raise RecipeError(f"Pad(border={self.border}) is not possible: border must be at least 0 pixels")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Larger by two borders."""
        return height + 2 * self.border, width + 2 * self.border

    def draw(self, images: Tensor, stream: Stream) -> tuple[()]:
        """Nothing."""
        return ()

    def apply(self, images: Images, drawn: tuple[()]) -> Float[Tensor, "batch channel tall wide"]:
        """Padded images."""
        return F.pad(as_float(images), (self.border,) * 4)

    @property
    def interpolation(self) -> None:
        """None: moves whole pixels only."""
        return None

    def trace(self, points: Tensor, drawn: tuple[()], height: int, width: int) -> Tensor:
        """The centre stays."""
        return points


class JigsawDraw(NamedTuple):
    """Where each patch begins in its cell, and which cell is put at each place."""

    down: Int64[Tensor, "batch cell"]
    across: Int64[Tensor, "batch cell"]
    order: Int64[Tensor, "batch place"]


@dataclass(frozen=True)
class Jigsaw:
    """Cut the image into grid x grid cells, take a random patch of each, and lay the patches out in random order.

    The result is one image of grid x grid patches; `patches` cuts it apart for an encoder that sees them one by one.

    Source: Noroozi & Favaro 2016, arXiv:1603.09246; Misra & van der Maaten 2020, arXiv:1912.01991, section 3 (grid 3,
    image 255, patch 64, all 9! orders allowed).

    Args:
        grid: cells along a side.
        patch: side of a patch in pixels, at most a cell's.
    """

    grid: int = 3
    patch: int = 64

    def __post_init__(self) -> None:
        _positive(self.grid, "Jigsaw", "grid")
        _positive(self.patch, "Jigsaw", "patch")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """A square of grid patches a side."""
        return self.grid * self.patch, self.grid * self.patch

    def draw(self, images: Tensor, stream: Stream) -> JigsawDraw:
        """Patches and their order."""
        cells = self.grid**2
        tall, wide = (side // self.grid for side in images.shape[-2:])
        if min(tall, wide) < self.patch:
            raise ShapeError(
                f"Jigsaw(grid={self.grid}, patch={self.patch}) needs cells of at least {self.patch} pixels, but an "
                f"image of {images.shape[-2]} x {images.shape[-1]} has cells of {tall} x {wide}"
            )
        down = stream.integers(0, tall - self.patch + 1, len(images), cells)
        across = stream.integers(0, wide - self.patch + 1, len(images), cells)
        order = stream.uniform(len(images), cells).argsort(1)
        return JigsawDraw(*(part.to(images.device) for part in (down, across, order)))

    def apply(self, images: Images, drawn: JigsawDraw) -> Float[Tensor, "batch channel side side"]:
        """The patches in their new places."""
        x = as_float(images)
        batch, channels, height, width = x.shape
        grid, patch = self.grid, self.patch
        cell = drawn.order
        top = cell // grid * (height // grid) + drawn.down.gather(1, cell)
        left = cell % grid * (width // grid) + drawn.across.gather(1, cell)
        at = torch.arange(patch, device=x.device)
        down = (top[:, :, None] + at).view(batch, grid, grid, patch, 1)
        across = (left[:, :, None] + at).view(batch, grid, grid, 1, patch)
        source = (
            (down * width + across)
            .permute(0, 1, 3, 2, 4)
            .reshape(batch, 1, (grid * patch) ** 2)
            .expand(-1, channels, -1)
        )
        return x.flatten(2).gather(2, source).view(batch, channels, grid * patch, grid * patch)


def patches(images: Float[Tensor, "batch channel height width"], grid: int) -> Float[Tensor, "row channel patch patch"]:
    """The patches of a jigsaw as images: for each image its grid x grid patches, row by row."""
    batch, channels, height, width = images.shape
    if height != width or height % grid:
        raise ShapeError(
            f"a jigsaw of {grid} x {grid} patches is square and divisible by {grid}, but got {height} x {width}"
        )
    patch = height // grid
    cut = images.view(batch, channels, grid, patch, grid, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch * grid**2, channels, patch, patch)
