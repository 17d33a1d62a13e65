"""Pixels that are decoded already: their statistics, and another size."""

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from counterpoint.types import Images

__all__ = ["fit_images", "measure"]

_CHUNK = 1 << 24  # pixel values looked at together


def measure(
    images: UInt8[Tensor, "image channel height width"] | Images,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in [0, 1].

    Exact: from a histogram of the 256 values in integers of any length, so that neither the order nor the number of
    images adds rounding. Memory is bounded: images are read a few at a time, wherever they lie.

    Returns:
        (mean, std), one number for each channel; the deviation divides by n. It is 0 for a channel of one value.

    Example:
        >>> measure(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
        ((0.5,), (0.5,))
    """
    channels = images.shape[1]
    step = max(1, _CHUNK // max(1, images.shape[1:].numel()))
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        for channel in range(channels):
            counts[channel] += torch.bincount(part[:, channel].flatten(), minlength=256).cpu()
    mean: list[float] = []
    std: list[float] = []
    for row in counts.tolist():
        n = max(1, sum(row))
        first = sum(value * count for value, count in enumerate(row))
        second = sum(value * value * count for value, count in enumerate(row))
        mean.append(first / (255 * n))
        std.append((n * second - first * first) ** 0.5 / (255 * n))
    return tuple(mean), tuple(std)


def crop_box(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """How an image becomes a square: (new height, new width, top, left) in pixels.

    The shorter side is resized to `size`, the longer in proportion (rounded down), and the centre is cut out.
    """
    short = min(height, width)
    high, wide = size * height // short, size * width // short
    return high, wide, round((high - size) / 2), round((wide - size) / 2)


def fit_images(
    images: Shaped[Tensor, "image channel height width"], size: int | None
) -> Shaped[Tensor, "image channel size size"]:
    """Images of one shape as squares of `size` pixels.

    The shorter side is resized to `size`, antialiased and bilinear, and the centre is cut out. Images that have the
    size come back as they are, without a copy.

    Args:
        images: all of one shape, uint8 or float.
        size: in pixels; None keeps the shorter side.
    """
    height, width = images.shape[-2:]
    size = min(height, width) if size is None else size
    if (height, width) == (size, size):
        return images
    high, wide, top, left = crop_box(height, width, size)
    fitted = torch.empty(len(images), images.shape[1], size, size, dtype=images.dtype)
    step = max(1, _CHUNK // (images.shape[1] * max(high * wide, height * width)))
    for start in range(0, len(images), step):
        part = images[start : start + step].contiguous()
        scaled = interpolate(part, (high, wide), mode="bilinear", antialias=True, align_corners=False)
        fitted[start : start + step] = scaled[..., top : top + size, left : left + size]
    return fitted


def in_channels(
    images: Shaped[Tensor, "image channel height width"], channels: int
) -> Shaped[Tensor, "image channels height width"]:
    """Grey images as three equal planes, without a copy; coloured ones as grey by the luma of ITU-R 601.

    Args:
        images: of one channel or three, uint8 or float.
        channels: 1 or 3.
    """
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device)[None, :, None, None]
    grey = torch.empty(len(images), 1, *images.shape[2:], dtype=images.dtype, device=images.device)
    step = max(1, _CHUNK // images[0].numel()) if len(images) else 1
    for start in range(0, len(images), step):
        part = (images[start : start + step].float() * weights).sum(1, keepdim=True)
        grey[start : start + step] = part if images.is_floating_point() else part.round()
    return grey
