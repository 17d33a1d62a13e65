"""Resampling as matrices: one weight matrix per sample and axis, so that a batch of different crops is two products."""

import math
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "axis_taps",
    "axis_weights",
    "band",
    "gaussian_matrix",
    "gaussian_taps",
    "resample",
    "resample_tapped",
    "short",
]


# Values in a table of weights: 8 MiB of float32, enough for axes up to 36 pixels.
LARGEST_TABLE = 2**21


def _triangle(distance: Tensor) -> Tensor:
    return distance.abs_().neg_().add_(1).clamp_(min=0)


def _cubic(distance: Tensor) -> Tensor:
    d = distance.abs_()
    near = ((1.5 * d - 2.5) * d).mul_(d).add_(1)
    far = ((-0.5 * d + 2.5) * d - 4).mul_(d).add_(2)
    return torch.where(d < 1, near, torch.where(d < 2, far, 0.0))


def axis_weights(
    start: Int64[Tensor, " batch"],
    length: Int64[Tensor, " batch"],
    inside: int,
    outside: int,
    *,
    interpolation: str,
    mirror: Bool[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch outside inside"]:
    """How much each input pixel of an axis weighs in each output pixel when a span is cut out and resized.

    The filter (triangle for `bilinear`, Keys' cubic with a = -1/2 for `bicubic`) is widened by the factor of reduction
    (anti-aliasing), cut at the span's ends, and normalised: the rule of Pillow and of torch's `antialias=True`.

    Args:
        start: first pixel of the span.
        length: of the span, in pixels.
        inside: length of the axis before.
        outside: length of the axis after.
        interpolation: `bilinear` or `bicubic`.
        mirror: samples whose axis is reversed after resizing.
    """
    if not short(inside, outside):
        return _weights(start, length, inside, outside, interpolation, mirror)
    return _table(inside, outside, interpolation, start.device).index_select(0, _row(start, length, inside, mirror))


def short(inside: int, outside: int) -> bool:
    """Whether the weights of every span of an axis fit into a table."""
    return inside * (inside + 1) * outside * inside <= LARGEST_TABLE


def axis_taps(
    start: Int64[Tensor, " batch"],
    length: Int64[Tensor, " batch"],
    inside: int,
    outside: int,
    *,
    interpolation: str,
    mirror: Bool[Tensor, " batch"] | None = None,
) -> tuple[Int64[Tensor, "batch outside tap"], Float[Tensor, "batch outside tap"]]:
    """`axis_weights` of a short axis without its zeros: which input pixels each output pixel reads, and their weights.

    See also: `axis_weights`, which takes the same.
    """
    pixel, weight = _taps(inside, outside, interpolation, start.device)
    row = _row(start, length, inside, mirror)
    return pixel.index_select(0, row), weight.index_select(0, row)


def _row(start: Tensor, length: Tensor, inside: int, mirror: Tensor | None) -> Tensor:
    row = (length - 1) * (2 * inside - length + 2) // 2 + start
    return row if mirror is None else row + inside * (inside + 1) // 2 * mirror


@lru_cache(maxsize=8)
def _taps(inside: int, outside: int, interpolation: str, device: torch.device) -> tuple[Tensor, Tensor]:
    table = _table(inside, outside, interpolation, device)
    used = table != 0
    first = used.byte().argmax(-1)
    last = inside - 1 - used.flip(-1).byte().argmax(-1)
    taps = int((last - first).max()) + 1
    pixel = first.clamp(max=inside - taps)[:, :, None] + torch.arange(taps, device=device)
    return pixel, table.gather(-1, pixel)


@lru_cache(maxsize=8)
def _table(inside: int, outside: int, interpolation: str, device: torch.device) -> Tensor:
    """The matrices of every span of a short axis, by length and start, then the same mirrored."""
    length = torch.arange(1, inside + 1, device=device).repeat_interleave(torch.arange(inside, 0, -1, device=device))
    start = torch.cat([torch.arange(inside - n, device=device) for n in range(inside)])
    mirror = torch.arange(2 * len(start), device=device) >= len(start)
    return _weights(start.repeat(2), length.repeat(2), inside, outside, interpolation, mirror)


def _weights(
    start: Tensor, length: Tensor, inside: int, outside: int, interpolation: str, mirror: Tensor | None
) -> Tensor:
    device = start.device
    scale = length.to(torch.float32) / outside
    place = torch.arange(outside, device=device, dtype=torch.float32) + 0.5
    if mirror is not None:
        place = torch.where(mirror[:, None], outside - place, place)
    centre = start[:, None] + scale[:, None] * place
    pixel = torch.arange(inside, device=device)
    distance = (pixel + 0.5 - centre[:, :, None]).mul_((1 / scale.clamp(min=1))[:, None, None])
    weight = _triangle(distance) if interpolation == "bilinear" else _cubic(distance)
    within = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])
    weight.mul_(within[:, None])
    return weight.div_(weight.sum(-1, keepdim=True))


def resample(
    images: Float[Tensor, "batch channel height width"],
    vertical: Float[Tensor, "batch tall height"],
    horizontal: Float[Tensor, "batch wide width"],
) -> Float[Tensor, "batch channel tall wide"]:
    """V @ image @ H^T for each sample and channel."""
    batch, channels, height, width = images.shape
    lines = torch.bmm(images.reshape(batch, channels * height, width), horizontal.transpose(1, 2))
    lines = lines.view(batch, channels, height, horizontal.shape[1])
    return torch.matmul(vertical[:, None], lines)


def resample_tapped(
    images: Float[Tensor, "batch channel height width"],
    pixel: Int64[Tensor, "batch tall tap"],
    weight: Float[Tensor, "batch tall tap"],
    horizontal: Float[Tensor, "batch wide width"],
) -> Float[Tensor, "batch channel tall wide"]:
    """`resample` with the vertical weights as taps: on a CPU a sum of a few lines costs a fifth of a product."""
    batch, channels, height, width = images.shape
    tall, taps = pixel.shape[1:]
    plane = torch.arange(0, batch * channels * height, height, device=images.device).view(batch, channels, 1, 1)
    lines = F.embedding_bag(
        (plane + pixel[:, None]).view(-1, taps),
        images.reshape(-1, width),
        per_sample_weights=weight[:, None].expand(-1, channels, -1, -1).reshape(-1, taps),
        mode="sum",
    )
    resized = torch.bmm(lines.view(batch, channels * tall, width), horizontal.transpose(1, 2))
    return resized.view(batch, channels, tall, horizontal.shape[1])


def gaussian_taps(radius: int, sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch tap"]:
    """exp(-d^2 / (2 sigma^2)) for d in -radius..radius, normalised to sum 1."""
    offset = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    taps = torch.exp(-0.5 * (offset / sigma[:, None]).square())
    return taps / taps.sum(1, keepdim=True)


def band(taps: Float[Tensor, "batch tap"], length: int, *, border: str) -> Float[Tensor, "batch length length"]:
    """The matrix that convolves an axis with taps: one banded matrix per sample.

    Args:
        taps: an odd number.
        length: of the axis.
        border: `reflect` (without repeating the edge; needs a radius below the length) or `zero`.
    """
    radius = taps.shape[1] // 2
    at = torch.arange(length, device=taps.device)
    offset = torch.arange(-radius, radius + 1, device=taps.device)
    source = at[:, None] + offset
    valid = (source >= 0) & (source < length)
    if border == "reflect":
        source = (length - 1) - ((length - 1) - source.abs()).abs()
        valid = torch.ones_like(valid)
    source = source.clamp(0, length - 1)
    values = torch.where(valid, taps[:, None, :], 0.0)
    matrix = torch.zeros(len(taps), length, length, device=taps.device)
    return matrix.scatter_add_(2, source.expand_as(values), values)


def gaussian_matrix(length: int, sigma: float, *, truncate: float, device: torch.device) -> Float[Tensor, "l l"]:
    """A Gaussian of one sigma along an axis with zeros beyond its ends, cut at `truncate` sigmas."""
    radius = int(truncate * sigma + 0.5) if math.isfinite(truncate) else length
    taps = gaussian_taps(radius, torch.full((1,), sigma, device=device))
    return band(taps, length, border="zero")[0]
