"""Rectangles drawn inside images: the sampling that random crops and random erasing share."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from counterpoint.random import Stream

__all__ = ["Box", "draw_boxes"]

TRIES = 10


class Box(NamedTuple):
    """One rectangle per sample, in pixels."""

    top: Int64[Tensor, " batch"]
    left: Int64[Tensor, " batch"]
    height: Int64[Tensor, " batch"]
    width: Int64[Tensor, " batch"]


def draw_boxes(
    stream: Stream,
    batch: int,
    height: int,
    width: int,
    scale: tuple[float, float],
    log_ratio: tuple[float, float],
    *,
    largest: tuple[int, int],
) -> tuple[Box, Bool[Tensor, " batch"]]:
    """Draw area and log-ratio ten times for each sample and take the first rectangle that fits.

    Args:
        stream: where the draws come from.
        batch: how many rectangles.
        height: of the images.
        width: of the images.
        scale: area as a share of the image, uniform.
        log_ratio: logarithm of width over height, uniform.
        largest: height and width that a rectangle may have at most.

    Returns:
        The rectangles, uniformly placed, and for which samples one of the ten fitted (the others hold the first try,
        cut to what fits).
    """
    area = stream.uniform(batch, TRIES, low=scale[0], high=scale[1]) * (height * width)
    shape = stream.uniform(batch, TRIES, low=log_ratio[0], high=log_ratio[1]).exp()
    wide = (area * shape).sqrt().round().long()
    tall = (area / shape).sqrt().round().long()
    fits = (wide > 0) & (wide <= largest[1]) & (tall > 0) & (tall <= largest[0])
    first = fits.byte().argmax(1, keepdim=True)
    wide = wide.gather(1, first)[:, 0].clamp(1, max(1, largest[1]))
    tall = tall.gather(1, first)[:, 0].clamp(1, max(1, largest[0]))
    place = stream.uniform(batch, 2)
    top = torch.minimum((place[:, 0] * (height - tall + 1)).long(), height - tall)
    left = torch.minimum((place[:, 1] * (width - wide + 1)).long(), width - wide)
    return Box(top, left, tall, wide), fits.any(1)
