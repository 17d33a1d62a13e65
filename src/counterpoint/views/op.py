"""What every operation on a batch of images shares: the value range, and work on chosen samples only."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError

__all__ = ["Images", "as_float", "chosen", "interval", "needs_colour", "rows", "shaped", "share"]

Images = Shaped[Tensor, "batch channel height width"]


def as_float(images: Images) -> Float[Tensor, "batch channel height width"]:
    """Float32 in [0, 1] from uint8 (divided by 255); a float tensor is given back as it is."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32).mul_(1 / 255)
    if not images.is_floating_point():
        raise ShapeError(f"views need images as uint8 or as float in [0, 1], but got {images.dtype}")
    return images


def shaped(images: Images, height: int, width: int) -> Shaped[Tensor, "batch channel tall wide"]:
    """A stand-in of this size on the same device, without memory: what `draw` reads of images that do not exist yet."""
    return images[:, :, :1, :1].expand(-1, -1, height, width)


def rows(drawn: Any, which: slice | Tensor) -> Any:
    """The drawn parameters of some samples, whatever tuples of tensors they are kept in."""
    if isinstance(drawn, Tensor):
        return drawn[which]
    if isinstance(drawn, tuple):
        parts = [rows(part, which) for part in drawn]
        return type(drawn)(*parts) if hasattr(drawn, "_fields") else tuple(parts)
    return drawn


def chosen(
    images: Float[Tensor, "batch channel height width"],
    keep: Bool[Tensor, " batch"],
    change: Callable[[Tensor, Int64[Tensor, " some"]], Tensor],
    *,
    owned: bool = False,
) -> Float[Tensor, "batch channel height width"]:
    """Change the samples of a mask and leave the others.

    Only chosen samples are computed on a CPU; elsewhere all are computed and the mask selects, because asking for the
    number of chosen samples would make the device wait. Both give the same values.

    Args:
        images: in [0, 1].
        keep: which are changed.
        change: pure, from some images and their positions in the batch to as many images of the same size.
        owned: the images are the caller's own and may be overwritten.
    """
    if images.device.type != "cpu":
        everyone = torch.arange(len(images), device=images.device)
        return torch.where(keep[:, None, None, None], change(images, everyone), images)
    index = keep.nonzero()[:, 0]
    if len(index) == len(images):
        return change(images, index)
    if len(index) == 0:
        return images
    changed = change(images[index], index)
    return images.index_copy_(0, index, changed) if owned else images.index_copy(0, index, changed)


def needs_colour(images: Images, part: str) -> bool:
    """Whether images have three channels; one channel has no colour, and any other number is an error."""
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ShapeError(f"{part} needs images of 1 or 3 channels, but got {channels}; leave it out of the policy")
    return channels == 3


def share(value: float, part: str, name: str) -> None:
    """Raise unless a probability or a share is in [0, 1]."""
    if not 0 <= value <= 1:
        raise RecipeError(f"{part}({name}={value}) is not possible: {name} must be in [0, 1]")


def interval(value: tuple[float, float], part: str, name: str, *, above: float = -math.inf) -> None:
    """Raise unless a range is (low, high) with low <= high and low > above."""
    low, high = value
    if not above < low <= high:
        bound = "" if above == -math.inf else f" above {above:g}"
        raise RecipeError(f"{part}({name}={value}) is not possible: {name} must be (low, high){bound} with low <= high")
