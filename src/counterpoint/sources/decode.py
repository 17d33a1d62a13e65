"""Encoded images of any kind to uint8 tensors of one size, once, on all cores.

What comes out, whatever the file:

* upright: the EXIF orientation is applied;
* RGB, or grey where one channel is asked for; palettes and CMYK are converted, without colour profiles;
* transparency lies on white;
* 16 bits become 8 by the full range (v / 257, rounded); floats are taken in [0, 1], or in [0, 255];
* of an animated image, or one of several pages, the first;
* square: the shorter side is resized to the size, antialiased and bilinear (Pillow), and the centre is cut out.
"""

import os
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources.content import digest
from counterpoint.sources.pixels import crop_box
from counterpoint.types import Skipped

__all__ = ["Decoded", "Encoded", "check_skipped", "decode", "peek", "to_array"]

Encoded = bytes | Path | None  # a file's bytes, a file, or nothing where a row is empty

_ORIENTATION = 0x0112
_CARRIES_EXIF = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_LONGEST = 4  # sides in this ratio are resized whole; of a longer image the middle alone
_MANY_PIXELS = 178_956_970  # Pillow's own limit for an image that is no attack


class _Unusable(Exception):
    """Why an image cannot be used."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What came out of some encoded images.

    Args:
        images: those that could be used, in order.
        kept: their positions among all.
        digests: of their pixels before the resize; empty where none was asked for.
        skipped: the others.
    """

    images: UInt8[Tensor, "image channel size size"]
    kept: tuple[int, ...]
    digests: tuple[bytes, ...]
    skipped: tuple[Skipped, ...]


def _eight_bits(image: Any) -> Any:
    """A grey image of 8 bits from one of 16 or 32, integer or float."""
    from PIL import Image

    values = np.asarray(image)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    elif values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):
            raise _Unusable(f"its numbers run from {low:g} to {high:g}; floats must be in [0, 1] or [0, 255]")
        values = np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
    elif image.mode == "I" and int(values.max()) <= 255 and int(values.min()) >= 0 and image.format != "PNG":
        values = values.astype(np.uint8)
    else:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise _Unusable(f"its numbers run from {low} to {high}; integers must be in 0 to 65535")
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(values)


def _convert(image: Any, mode: str) -> Any:
    """A loaded image, upright, in mode L or RGB."""
    from PIL import Image, ImageOps

    if image.format == "TIFF" or not _CARRIES_EXIF.isdisjoint(image.info):
        try:
            turned = image.getexif().get(_ORIENTATION, 1) != 1
        except Exception:  # a damaged EXIF block says nothing about the pixels
            turned = False
        if turned:
            kind = image.format
            image = ImageOps.exif_transpose(image)
            image.format = kind
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _open(encoded: Encoded) -> Any:
    from PIL import Image, UnidentifiedImageError

    if encoded is None:
        raise _Unusable("no image is there")
    try:
        contents = encoded.read_bytes() if isinstance(encoded, Path) else encoded
    except OSError as error:
        raise _Unusable(error.strerror or "cannot be read") from error
    try:
        image = Image.open(BytesIO(contents))
    except UnidentifiedImageError as error:
        raise _Unusable("not an image that Pillow can read" if contents else "the file is empty") from error
    if image.width * image.height > _MANY_PIXELS:
        raise _Unusable(f"{image.width} x {image.height} pixels are too many")
    return image


def _fit(image: Any, size: int) -> Any:
    from PIL import Image

    width, height = image.size
    if (width, height) == (size, size):
        return image
    short = min(width, height)
    if max(width, height) > _LONGEST * short:
        left, top = max(0, (width - _LONGEST * short) // 2), max(0, (height - _LONGEST * short) // 2)
        image = image.crop((left, top, width - left, height - top))
        width, height = image.size
    high, wide, top, left = crop_box(height, width, size)
    image = image.resize((wide, high), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + size, top + size))


def to_array(
    encoded: Encoded, size: int | None, channels: int = 3, *, hashed: bool = False
) -> tuple[UInt8[np.ndarray, "height width channel"], bytes]:
    """One image; see the top of this file for what is done to it.

    Args:
        encoded: the bytes of a file, or the file.
        size: of the square in pixels; None keeps height and width.
        channels: 1 or 3.
        hashed: also answer with the digest of its pixels before the resize, else with b"".

    Raises:
        SourceError: the image cannot be used; the message is the reason.
    """
    try:
        image = _convert(_open(encoded), "L" if channels == 1 else "RGB")
        content = digest(image.tobytes(), (image.height, image.width, channels)) if hashed else b""
        fitted = np.asarray(image if size is None else _fit(image, size))
        return fitted.reshape(*fitted.shape[:2], channels), content
    except _Unusable as error:
        raise SourceError(str(error)) from error
    except MemoryError as error:
        raise SourceError("too large for the memory") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise SourceError(f"damaged: {said}") from error


_Chunk = tuple[UInt8[np.ndarray, "image channel size size"], list[int], list[bytes], list[str]]


def _decode_chunk(items: Sequence[Encoded], size: int, channels: int, hashed: bool) -> _Chunk:
    buffer = np.empty((len(items), size, size, channels), np.uint8)
    kept: list[int] = []
    digests: list[bytes] = []
    reasons: list[str] = []
    for i, item in enumerate(items):
        try:
            buffer[len(kept)], content = to_array(item, size, channels, hashed=hashed)
        except SourceError as error:
            reasons.append(str(error))
            continue
        kept.append(i)
        digests.append(content)
    return buffer[: len(kept)].transpose(0, 3, 1, 2), kept, digests, reasons


def decode(
    chunks: Iterable[Sequence[Encoded]], names: Sequence[str], size: int, channels: int = 3, *, hashed: bool = False
) -> Decoded:
    """Decode all images, in order, by a pool of threads over all cores.

    Chunks are read while others are decoded, a few ahead, so encoded bytes never lie in memory as a whole.

    Args:
        chunks: encoded images; together as many as there are names.
        names: what a person calls each.
        size: of the square, in pixels.
        channels: 1 or 3.
        hashed: also digest the pixels before the resize, for a split by content.
    """
    try:
        images = torch.empty(len(names), channels, size, size, dtype=torch.uint8)
    except RuntimeError as error:
        need = len(names) * channels * size * size / 2**30
        raise SourceError(
            f"{len(names):,} images of {size} pixels need {need:.1f} GiB; ask for a smaller size"
        ) from error
    filled = images.numpy()
    kept: list[int] = []
    digests: list[bytes] = []
    skipped: list[Skipped] = []
    workers = os.cpu_count() or 1
    waiting: deque[tuple[int, int, Future[_Chunk]]] = deque()

    def collect() -> None:
        start, count, future = waiting.popleft()
        part, good, contents, reasons = future.result()
        filled[len(kept) : len(kept) + len(good)] = part
        bad = sorted(set(range(count)) - set(good)) if reasons else []
        skipped.extend(Skipped(names[start + i], reason) for i, reason in zip(bad, reasons, strict=True))
        kept.extend(start + i for i in good)
        digests.extend(contents)

    start = 0
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore")  # Pillow's remarks about a file are no concern of the caller
        for items in chunks:
            waiting.append((start, len(items), pool.submit(_decode_chunk, items, size, channels, hashed)))
            start += len(items)
            if len(waiting) > 2 * workers:
                collect()
        while waiting:
            collect()
    return Decoded(images[: len(kept)], tuple(kept), tuple(digests) if hashed else (), tuple(skipped))


def peek(items: Iterable[Encoded]) -> list[tuple[int, int, int]]:
    """(width, height, channels) of the images among these that open; channels is 1 for grey, else 3."""
    found: list[tuple[int, int, int]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item in items:
            try:
                image = _open(item)
            except Exception:  # the reason is told when it is decoded
                continue
            grey = image.mode[0] in "1LIF" and image.mode != "LAB" and "A" not in image.mode
            found.append((image.width, image.height, 1 if grey else 3))
    return found


def check_skipped(skipped: Sequence[Skipped], total: int, bad_share: float, where: str) -> None:
    """Raise where more than a share of the images, or all but one, cannot be used."""
    if not total:
        raise SourceError(f"{where} holds no image")
    good = total - len(skipped)
    if skipped and (len(skipped) > bad_share * total or not good):
        example = f"{skipped[0].name}: {skipped[0].reason}"
        raise SourceError(
            f"{len(skipped):,} of the {total:,} images of {where} cannot be used, more than the {bad_share:.0%} that "
            "are "
            f"passed over (the first is {example}); mend them, or raise --bad-share"
        )
    if good == 1:
        raise SourceError(f"{where} holds one image only; contrast needs at least two")
