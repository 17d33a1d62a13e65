"""One encoded image of any kind to a uint8 array.

What comes out, whatever the file:

* upright: the EXIF orientation is applied;
* RGB, or grey where one channel is asked for; palettes, CMYK (Adobe's inverted too), YCbCr and Lab are converted;
  colour profiles are not applied: numbers are taken as sRGB;
* transparency lies on white;
* 16 bits of grey become 8 by the full range (v / 257, rounded), not by the values that occur; of 16 bits of colour,
  Pillow keeps the high byte; floats are taken in [0, 1], or in [0, 255] where one is above 1;
* of an animated image, or one of several pages, the first;
* square: the shorter side is resized to the size, antialiased and bilinear (Pillow), and the centre is cut out.

A truncated image is no image: it is refused, never filled up with grey. So are files of kinds that Pillow would hand to
other programs (EPS), and what is too large to be an honest image.
"""

import os
import re
import stat
import threading
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from counterpoint.errors import SourceError
from counterpoint.sources.content import digest
from counterpoint.sources.pixels import crop_box

__all__ = ["Encoded", "decoder_versions", "peek", "plain_pillow", "to_array"]

Encoded = bytes | Path | None  # a file's bytes, a file, or nothing where a row is empty

_ORIENTATION = 0x0112
_CARRIES_EXIF = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_CLEAR = ("RGBA", "LA", "PA", "RGBa", "La")
_LONGEST = 4  # sides in this ratio are resized whole; of a longer image the middle alone
_MANY_PIXELS = 178_956_970  # twice the number at which Pillow warns of an attack, where it refuses
_MANY_BYTES = 2**31
_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "JPEG2000", "PPM", "TGA"),
    *("ICO", "ICNS", "PCX", "SGI", "QOI", "XBM", "DDS"),
)


class _Unusable(Exception):
    """Why an image cannot be used."""


def _eight_bits(image: Any, kind: str | None) -> Any:
    """A grey image of 8 bits from one of 16 or 32, integer or float; `kind` is its file format."""
    from PIL import Image

    values = np.asarray(image)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    elif values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):
            raise _Unusable(f"its numbers run from {low:g} to {high:g}; floats must be in [0, 1] or [0, 255]")
        values = np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)
    elif image.mode == "I" and int(values.max()) <= 255 and int(values.min()) >= 0 and kind != "PNG":
        values = values.astype(np.uint8)
    else:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise _Unusable(f"its numbers run from {low} to {high}; integers must be in 0 to 65535")
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(values)


def _upright(image: Any) -> Any:
    """A loaded image, turned as its EXIF or XMP says."""
    from PIL import Image

    if image.format != "TIFF" and _CARRIES_EXIF.isdisjoint(image.info):
        return image
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        turn = None
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _convert(image: Any, mode: str) -> Any:
    """An opened image, upright, in mode L or RGB."""
    from PIL import Image

    image.load()
    kind = image.format
    image = _upright(image)
    clear = image.info.get("transparency")
    if image.mode[0] in "IF":
        whole = _eight_bits(image, kind)
        if isinstance(clear, int):
            whole.paste(255, mask=Image.fromarray(np.asarray(image) == clear))
        image, clear = whole, None
    if clear is not None or image.mode in _CLEAR or _clear_palette(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "LAB":
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _clear_palette(image: Any) -> bool:
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


@cache
def _formats() -> tuple[str, ...]:
    """Those that this Pillow has."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def decoder_versions() -> list[str]:
    """Of what turns bytes into pixels: with others, the lowest bits may differ."""
    import PIL
    from PIL import features

    found = [f"{name} {features.version(name)}" for name in ("jpg", "webp", "jpg_2000") if features.check(name)]
    return [f"Pillow {PIL.__version__}", *found]


_PILLOWS = re.compile(r"PIL\.|counterpoint\.sources\.")
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # a forked process must not inherit it locked by a thread that it has not
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_inside = 0
_filled = False


@contextmanager
def plain_pillow() -> Generator[None]:
    """Without Pillow's remarks about files, and without filling truncated ones, whatever another library asked it for.

    From any number of threads: the first to enter changes Pillow and puts one warning filter in front, the last to
    leave takes both back. (`warnings.catch_warnings` would put back, from one thread, a list that others have changed.)
    """
    from PIL import ImageFile

    global _inside, _filled
    with _lock:
        if not _inside:
            _filled, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
            warnings.filterwarnings("ignore", module=_PILLOWS.pattern)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                ImageFile.LOAD_TRUNCATED_IMAGES = _filled
                filters: Any = warnings.filters
                filters[:] = [one for one in filters if one[3] != _PILLOWS]


def _contents(path: Path) -> bytes:
    """A file's bytes; nothing is waited for where a name is of a pipe or a device."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _Unusable("a folder, not an image")
        if not stat.S_ISREG(found.st_mode):
            raise _Unusable("not a file, but a pipe, a socket or a device")
        if found.st_size > _MANY_BYTES:
            raise _Unusable(f"{found.st_size / 2**30:,.1f} GiB are too many for one image")
        return path.read_bytes()
    except OSError as error:
        said = "a link to nothing" if isinstance(error, FileNotFoundError) and path.is_symlink() else error.strerror
        raise _Unusable(said or "cannot be read") from error


def _open(encoded: Encoded) -> Any:
    from PIL import Image, UnidentifiedImageError

    if encoded is None:
        raise _Unusable("no image is there")
    contents = _contents(encoded) if isinstance(encoded, Path) else encoded
    if not contents:
        raise _Unusable("the file is empty")
    try:
        image = Image.open(BytesIO(contents), formats=_formats())
    except UnidentifiedImageError as error:
        raise _Unusable("not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise _Unusable(f"more than {_MANY_PIXELS:,} pixels are too many") from error
    if not (image.width and image.height):
        raise _Unusable(f"{image.width} x {image.height} pixels: nothing to see")
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
        with plain_pillow():
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


def peek(items: Iterable[Encoded]) -> list[tuple[int, int, int]]:
    """(width, height, channels) of the images among these that open; channels is 1 for grey, else 3."""
    found: list[tuple[int, int, int]] = []
    with plain_pillow():
        for item in items:
            try:
                image = _open(item)
            except Exception:  # the reason is told when it is decoded
                continue
            grey = image.mode[0] in "1LIF" and image.mode != "LAB" and "A" not in image.mode
            found.append((image.width, image.height, 1 if grey else 3))
    return found
