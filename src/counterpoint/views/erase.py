"""Hide a rectangle of each image: cutout, random erasing."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.random import Stream
from counterpoint.views.boxes import Box, draw_boxes
from counterpoint.views.op import Images, as_float, interval, share

__all__ = ["Cutout", "Erase", "erase"]


def erase(images: Images, box: Box, value: float) -> Float[Tensor, "batch channel height width"]:
    """Fill one rectangle of each image; a rectangle may reach over the border, or be empty."""
    x = as_float(images)
    down = _span(box.top, box.height, x.shape[-2])
    across = _span(box.left, box.width, x.shape[-1])
    return x.masked_fill((down[:, :, None] & across[:, None, :])[:, None], value)


def _span(start: Int64[Tensor, " batch"], length: Int64[Tensor, " batch"], side: int) -> Tensor:
    at = torch.arange(side, device=start.device)
    return (at >= start[:, None]) & (at < (start + length)[:, None])


@dataclass(frozen=True)
class Cutout:
    """Hide a square whose centre is any pixel, so that it may lie partly outside.

    Source: DeVries & Taylor 2017, arXiv:1708.04552. Agrees with torchvision's `erase` exactly, given the same square.

    Args:
        length: side of the square, as a share of the shorter side of the image, in [0, 1].
        value: what is put there, in [0, 1].
        p: probability for a sample.
    """

    length: float = 0.5
    value: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        share(self.length, "Cutout", "length")
        share(self.value, "Cutout", "value")
        share(self.p, "Cutout", "p")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Box:
        """A square for each sample, empty where none is cut."""
        batch, (height, width) = len(images), images.shape[-2:]
        keep = stream.uniform(batch) < self.p
        side = round(self.length * min(height, width))
        top = stream.integers(0, height, batch) - side // 2
        left = stream.integers(0, width, batch) - side // 2
        length = torch.where(keep, side, 0)
        return Box(*(part.to(images.device) for part in (top, left, length, length)))

    def apply(self, images: Images, drawn: Box) -> Float[Tensor, "batch channel height width"]:
        """Squares filled."""
        return erase(images, drawn, self.value)


@dataclass(frozen=True)
class Erase:
    """Hide a rectangle inside the image, of random area and shape.

    Area and log-ratio are drawn up to ten times until the rectangle is smaller than the image; after ten misses it
    stays whole, as in torchvision's RandomErasing. Agrees with torchvision's `erase` exactly, given the same rectangle.

    Source: Zhong et al. 2017, arXiv:1708.04896.

    Args:
        scale: area as a share of the image, drawn uniformly.
        ratio: height over width, drawn uniformly in its logarithm.
        value: what is put there, in [0, 1].
        p: probability for a sample.
    """

    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.0
    p: float = 0.5

    def __post_init__(self) -> None:
        share(self.p, "Erase", "p")
        share(self.value, "Erase", "value")
        interval(self.scale, "Erase", "scale", above=0.0)
        interval(self.ratio, "Erase", "ratio", above=0.0)
        if self.scale[1] > 1:
            raise RecipeError(f"Erase(scale={self.scale}) is not possible: an area is a share of the image, at most 1")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Box:
        """A rectangle for each sample, empty where nothing is erased."""
        height, width = images.shape[-2:]
        keep = stream.uniform(len(images)) < self.p
        log_width_over_height = (-math.log(self.ratio[1]), -math.log(self.ratio[0]))
        box, found = draw_boxes(
            stream, len(images), height, width, self.scale, log_width_over_height, largest=(height - 1, width - 1)
        )
        whole = keep & found
        box = box._replace(height=torch.where(whole, box.height, 0), width=torch.where(whole, box.width, 0))
        return Box(*(part.to(images.device) for part in box))

    def apply(self, images: Images, drawn: Box) -> Float[Tensor, "batch channel height width"]:
        """Rectangles filled."""
        return erase(images, drawn, self.value)
