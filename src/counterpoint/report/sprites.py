"""Many small images in one data URI, shown piece by piece with CSS or drawn on a canvas."""

import base64
import io
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Tensor

from counterpoint.types import Images

__all__ = ["BUDGET", "Sheet", "sheet"]

BUDGET = 3_600_000  # bytes of an encoded sheet, before base64


@dataclass(frozen=True)
class Sheet:
    """A grid of equal tiles in one image.

    Args:
        uri: data URI.
        columns, rows: of the grid; tile i stands in column i % columns, row i // columns.
        width, height: of a tile, in pixels.
        count: of tiles.
        pixelated: the tiles are small originals, to be enlarged without smoothing.
    """

    uri: str
    columns: int
    rows: int
    width: int
    height: int
    count: int
    pixelated: bool


def sheet(
    images: UInt8[Tensor, "image channel height width"] | Images,
    index: Int64[Tensor, " tile"] | None = None,
    *,
    side: int = 48,
    columns: int | None = None,
    budget: int = BUDGET,
) -> Sheet:
    """Put images side by side: small ones as they are, larger ones scaled down to `side` pixels.

    Args:
        images: any number of channels; beyond grey and RGB the first are shown.
        index: which of them; all where None.
        side: of the longer edge of a tile, at most.
        columns: of the grid; about as many as rows where None.
        budget: bytes of the encoded sheet, about.
    """
    index = torch.arange(len(images)) if index is None else index
    tiles = torch.cat([_tiles(images[part], side) for part in index.split(256)])
    count, _, height, width = tiles.shape
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    rows = max(1, math.ceil(count / columns))
    grid = tiles.new_zeros(rows * columns, *tiles.shape[1:])
    grid[:count] = tiles
    picture = grid.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, -1)
    whole = max(images.shape[-2:]) <= side
    return Sheet(_encode(picture.contiguous(), budget), columns, rows, width, height, count, whole)


def _tiles(images: UInt8[Tensor, "image channel height width"], side: int) -> UInt8[Tensor, "image shade high wide"]:
    """Grey or RGB, at most `side` pixels wide and high."""
    shades = images[:, :3] if images.shape[1] >= 3 else images[:, :1]
    height, width = shades.shape[-2:]
    if max(height, width) <= side:
        return shades
    scale = side / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(shades.float(), size, mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)


def _encode(picture: UInt8[Tensor, "height width shade"], budget: int) -> str:
    """The smallest encoding that keeps every pixel, or one within the budget."""
    from PIL import Image, features

    pixels = picture.numpy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if pixels.size <= 3_000_000:
        whole = _save(image, "PNG", optimize=True)
        if len(whole) <= budget // 3:
            return f"data:image/png;base64,{base64.b64encode(whole).decode()}"
    kind = "webp" if features.check("webp") else "jpeg"
    encoded = b""
    for quality in (90, 80, 65, 45, 25):
        encoded = _save(image, kind.upper(), quality=quality)
        if len(encoded) <= budget:
            break
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _save(image: "object", kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # pyright: ignore[reportAttributeAccessIssue]
    return buffer.getvalue()
