"""The contact sheet: what a policy makes of some images, to be looked at."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import ShapeError
from counterpoint.random import Stream
from counterpoint.views.chain import Views
from counterpoint.views.op import Images, as_float

__all__ = ["contact_sheet"]

READABLE = 64
GAP = 2


def _tile(image: Float[Tensor, "channel height width"], side: int, factor: int) -> Float[Tensor, "3 side side"]:
    """Enlarged by repeating pixels, in the middle of a white square; one channel becomes three."""
    shown = image.repeat_interleave(factor, 1).repeat_interleave(factor, 2).clamp(0, 1)
    shown = shown.expand(3, -1, -1) if len(shown) == 1 else shown[:3]
    height, width = shown.shape[-2:]
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(shown, (left, side - width - left, top, side - height - top), value=1.0)


def contact_sheet(images: Images, views: Views, stream: Stream, *, draws: int = 8) -> UInt8[Tensor, "tall wide 3"]:
    """Images and how they are seen: the original, then draws, in one row for each image and distinct policy.

    Small images are enlarged by a whole factor, without smoothing, to at least 64 pixels; smaller views (local crops)
    keep their size beside the larger.

    Args:
        images: uint8 or float in [0, 1], 1 or 3 channels; a few.
        views: policies that occur twice are shown once.
        stream: where the draws come from.
        draws: columns beside the original.

    Raises:
        ShapeError: no image.
    """
    if len(images) == 0:
        raise ShapeError("a contact sheet needs at least one image, but got none")
    images = images.cpu()
    policies = tuple(dict.fromkeys(views.policies))
    sides = [max(policy.after(*images.shape[-2:])) for policy in policies]
    largest = max(*images.shape[-2:], *sides)
    factor = max(1, -(-READABLE // largest))
    many = images.repeat_interleave(draws, 0)
    seen = Views(policies)(many, stream)
    rows: list[Tensor] = []
    for position, original in enumerate(as_float(images)):
        for view in seen:
            drawn = view[position * draws : (position + 1) * draws]
            tiles = [_tile(picture, largest * factor, factor) for picture in (original, *drawn)]
            rows.append(torch.cat([F.pad(tile, (GAP, GAP, GAP, GAP), value=1.0) for tile in tiles], 2))
    return torch.cat(rows, 1).permute(1, 2, 0).mul(255).round().to(torch.uint8).contiguous()
