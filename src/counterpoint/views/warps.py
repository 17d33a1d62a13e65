"""Movements between pixels: rotate, translate, scale, elastic. Neighbours in a chain share one resampling grid.

A warp says where each output point comes from. Several in a row are traced from the last to the first and the image is
read once, so that it is not blurred again by each. Points are (x, y) in pixels from the centre of the image, y down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import RecipeError
from counterpoint.random import Stream
from counterpoint.types import Policy
from counterpoint.views.op import Images, as_float, interval
from counterpoint.views.resample import gaussian_matrix

__all__ = ["Elastic", "Rotate", "Scale", "Translate", "Warp", "warp"]


@runtime_checkable
class Warp(Policy, Protocol):
    """An operation that only moves things, so that it can share a resampling grid."""

    @property
    def interpolation(self) -> str | None:
        """`bilinear` or `nearest` where it moves between pixels; None where it moves whole pixels only."""
        ...

    def trace(self, points: Tensor, drawn: Any, height: int, width: int) -> Tensor:
        """Where points of its output lie in its input of this height and width."""
        ...


def warp(images: Images, warps: Sequence[Warp], drawn: Sequence[Any]) -> Float[Tensor, "batch channel tall wide"]:
    """Apply warps, first to last, reading the image once; what comes from outside it is 0.

    For affine warps the result agrees with torchvision's `affine` of the composed map; without composition it would be
    interpolated once per warp, which is blurrier.
    """
    x = as_float(images)
    sizes = [(x.shape[-2], x.shape[-1])]
    for part in warps:
        sizes.append(part.after(*sizes[-1]))
    height, width = sizes[-1]
    points = _centres(height, width, x)
    for part, own, (tall, wide) in zip(reversed(warps), reversed(drawn), reversed(sizes[:-1]), strict=True):
        points = part.trace(points, own, tall, wide)
    half = torch.tensor([x.shape[-1] / 2, x.shape[-2] / 2], device=x.device, dtype=x.dtype)
    grid = (points / half).expand(len(x), -1, -1, -1)
    mode = next((part.interpolation for part in warps if part.interpolation), "bilinear")
    return F.grid_sample(x, grid, mode=mode, padding_mode="zeros", align_corners=False)


def _centres(height: int, width: int, like: Tensor) -> Float[Tensor, "1 height width 2"]:
    """Of all pixels."""
    across = torch.arange(width, device=like.device, dtype=like.dtype) - (width - 1) / 2
    down = torch.arange(height, device=like.device, dtype=like.dtype) - (height - 1) / 2
    return torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)[None]


def _turn(points: Tensor, radians: Tensor) -> Tensor:
    cosine, sine = radians.cos()[:, None, None], radians.sin()[:, None, None]
    x, y = points.unbind(-1)
    return torch.stack((cosine * x - sine * y, sine * x + cosine * y), -1)


def _mode(interpolation: str, part: str) -> None:
    if interpolation not in ("bilinear", "nearest"):
        raise RecipeError(f"{part}(interpolation={interpolation!r}) is not known: take one of bilinear, nearest")


@dataclass(frozen=True)
class Rotate:
    """Rotate about the centre by an angle drawn for each sample, counter-clockwise; zeros come in.

    Agrees with torchvision's `rotate` to 1e-4 with bilinear interpolation (no anti-aliasing: nothing gets smaller).

    Args:
        degrees: range, drawn uniformly.
        interpolation: `bilinear` or `nearest` (torchvision's default).
    """

    degrees: tuple[float, float] = (-15.0, 15.0)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        interval(self.degrees, "Rotate", "degrees")
        _mode(self.interpolation, "Rotate")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Float[Tensor, " batch"]:
        """Angles in degrees."""
        return stream.uniform(len(images), low=self.degrees[0], high=self.degrees[1]).to(images.device)

    def apply(self, images: Images, drawn: Float[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Rotated images."""
        return warp(images, (self,), (drawn,))

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """Turned back."""
        return _turn(points, drawn * (math.pi / 180))


@dataclass(frozen=True)
class Translate:
    """Move right and down by distances drawn for each sample; zeros come in.

    Agrees with torchvision's `affine(translate=...)` to 1e-4, bilinear. Distances are not rounded to pixels
    (RandomAffine rounds them).

    Args:
        share: largest distance as a share of the side, in [0, 1]; both axes uniform in +-share.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError(f"Translate(share={self.share}) is not possible: share must be in [0, 1]")

    @property
    def interpolation(self) -> str:
        """Bilinear."""
        return "bilinear"

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Float[Tensor, "batch 2"]:
        """Distances (x, y) in pixels."""
        height, width = images.shape[-2:]
        reach = torch.tensor([self.share * width, self.share * height], device=images.device)
        return stream.uniform(len(images), 2, low=-1.0, high=1.0).to(images.device) * reach

    def apply(self, images: Images, drawn: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch channel height width"]:
        """Moved images."""
        return warp(images, (self,), (drawn,))

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """Moved back."""
        return points - drawn[:, None, None]


@dataclass(frozen=True)
class Scale:
    """Enlarge or shrink about the centre by a factor drawn for each sample; the size stays, zeros come in.

    Agrees with torchvision's `affine(scale=...)` to 1e-4, bilinear, without anti-aliasing as there: factors well below
    1 alias; `ResizedCrop` does not.

    Args:
        factor: range, drawn uniformly; above 1 enlarges.
    """

    factor: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self) -> None:
        interval(self.factor, "Scale", "factor", above=0.0)

    @property
    def interpolation(self) -> str:
        """Bilinear."""
        return "bilinear"

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Float[Tensor, " batch"]:
        """Factors."""
        return stream.uniform(len(images), low=self.factor[0], high=self.factor[1]).to(images.device)

    def apply(self, images: Images, drawn: Float[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Scaled images."""
        return warp(images, (self,), (drawn,))

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """Scaled back."""
        return points / drawn[:, None, None, None]


@dataclass(frozen=True)
class Elastic:
    """Elastic distortion: a smooth random displacement of every pixel; zeros come in.

    dx, dy ~ U(-1, 1) for each pixel; displacement = alpha * (G_sigma convolved with each), G normalised, with zeros
    outside the image; bilinear reading. Away from the border its standard deviation is alpha / (2 sigma sqrt(3 pi)) on
    each axis: 1.4 pixels for the defaults.

    Source: Simard, Steinkraus & Platt 2003, section 2 (sigma 4, alpha 34 for 29 x 29 digits). torchvision's
    ElasticTransform divides the displacement by the size of the image, so its alpha is another number. The field agrees
    with `scipy.ndimage.gaussian_filter(mode="constant", truncate=4)` to 1e-5.

    Args:
        sigma: smoothness, in pixels, > 0.
        alpha: strength, raw pixels, before smoothing, >= 0.
        truncate: the Gaussian is cut at this many sigmas.
    """

    sigma: float = 4.0
    alpha: float = 34.0
    truncate: float = 4.0

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and self.alpha >= 0 and self.truncate > 0):
            raise RecipeError(f"{self} is not possible: sigma and truncate must be above 0, and alpha at least 0")

    @property
    def interpolation(self) -> str:
        """Bilinear."""
        return "bilinear"

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Float[Tensor, "batch 2 height width"]:
        """The unsmoothed field (dx, dy)."""
        return stream.uniform(len(images), 2, *images.shape[-2:], low=-1.0, high=1.0).to(images.device)

    def apply(
        self, images: Images, drawn: Float[Tensor, "batch 2 height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Distorted images."""
        return warp(images, (self,), (drawn,))

    def displacement(self, drawn: Float[Tensor, "batch 2 height width"]) -> Float[Tensor, "batch 2 height width"]:
        """The smoothed field (dx, dy), in pixels."""
        height, width = drawn.shape[-2:]
        vertical = gaussian_matrix(height, self.sigma, truncate=self.truncate, device=drawn.device)
        horizontal = gaussian_matrix(width, self.sigma, truncate=self.truncate, device=drawn.device)
        return vertical @ (drawn @ (horizontal.T * self.alpha))

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """Each point moved by the field, which is read bilinearly and held beyond the border."""
        field = self.displacement(drawn)
        if points.device.type == "cpu" and torch.equal(points, _centres(height, width, points)):
            return points + field.permute(0, 2, 3, 1)
        grid = points / torch.tensor([width / 2, height / 2], device=points.device)
        read = F.grid_sample(
            field, grid.expand(len(field), -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=False
        )
        return points + read.permute(0, 2, 3, 1)
