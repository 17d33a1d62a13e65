"""A folder with every kind of format and of damage, made from real photos."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from sklearn.datasets import load_sample_images

Pixels = np.ndarray


def photo(which: int = 0, height: int = 96, width: int = 144) -> Pixels:
    """Of scikit-learn's two photos (a temple, a flower), small."""
    whole = Image.fromarray(load_sample_images()["images"][which])
    return np.asarray(whole.resize((width, height), Image.Resampling.BOX))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def grey(rgb: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def three(one: Pixels) -> Pixels:
    return np.repeat(one[..., None], 3, 2)


def alpha(rgb: Pixels) -> Pixels:
    """From clear on the left to solid on the right."""
    height, width = rgb.shape[:2]
    return np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width))


def on_white(rgb: Pixels, opacity: Pixels) -> Pixels:
    a = opacity[..., None] / 255.0
    return np.rint(rgb * a + 255 * (1 - a))


def paletted(rgb: Pixels) -> Image.Image:
    return Image.fromarray(rgb).quantize(64, dither=Image.Dither.NONE)


def formats(rgb: Pixels) -> dict[str, tuple[bytes, Pixels, int]]:
    """By file name: (bytes, expected RGB by an own formula, largest error allowed in grey levels)."""
    image = Image.fromarray(rgb)
    luma = grey(rgb)
    opacity = alpha(rgb)
    table = paletted(rgb)
    entries = np.asarray(table)
    colours = np.array(table.getpalette()[: 3 * 64]).reshape(-1, 3)
    light = np.maximum(rgb.max(-1), 1)[..., None].astype(float)  # colour = (255 - ink) (255 - black) / 255
    cmyk = np.dstack([np.rint(255 * (1 - rgb / light)), 255 - light]).astype(np.uint8)
    blank = Image.new("RGB", image.size, "blue")
    sixteen = luma.astype(np.uint16) * 257 - (luma > 0)  # not multiples of 257
    ycc = image.convert("YCbCr")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    keyed = entries[0, 0]
    rgba = Image.fromarray(np.dstack([rgb, opacity]))
    la = Image.merge("LA", [Image.fromarray(luma), Image.fromarray(np.ascontiguousarray(opacity))])
    lab = ImageCms.applyTransform(
        image,
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    wanted: dict[str, tuple[bytes, Pixels, int]] = {
        "baseline.jpg": (encoded(image, "JPEG", quality=97), rgb, 60),
        "progressive.JPEG": (encoded(image, "JPEG", quality=97, progressive=True), rgb, 60),
        "grey.JPG": (encoded(Image.fromarray(luma), "JPEG", quality=97), three(luma), 25),
        "adobe cmyk.jpg": (encoded(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=97, subsampling=0), rgb, 60),
        "lossless.png": (encoded(image, "PNG"), rgb, 0),
        "grey.png": (encoded(Image.fromarray(luma), "PNG"), three(luma), 0),
        "one bit.png": (encoded(Image.fromarray(luma > 99), "PNG"), three((luma > 99) * 255), 0),
        "palette.png": (encoded(table, "PNG"), colours[entries], 0),
        "keyed palette.png": (
            encoded(table, "PNG", transparency=int(keyed)),
            np.where((entries == keyed)[..., None], 255, colours[entries]),
            0,
        ),
        "soft palette.png": (
            encoded(table, "PNG", transparency=bytes(range(0, 256, 4))),
            on_white(colours[entries], np.arange(0, 256, 4)[entries]),
            1,
        ),
        "alpha.png": (encoded(rgba, "PNG"), on_white(rgb, opacity), 1),
        "grey and alpha.png": (encoded(la, "PNG"), three(on_white(luma[..., None], opacity)[..., 0]), 1),
        "sixteen.png": (encoded(Image.fromarray(sixteen), "PNG"), three(luma), 0),
        "sixteen.tif": (encoded(Image.fromarray(sixteen), "TIFF"), three(luma), 0),
        "sixteen big.tiff": (encoded(Image.fromarray(sixteen.astype(">u2")), "TIFF"), three(luma), 0),
        "unit floats.tif": (encoded(Image.fromarray(luma.astype(np.float32) / 255), "TIFF"), three(luma), 0),
        "floats.tif": (encoded(Image.fromarray(luma.astype(np.float32)), "TIFF"), three(luma), 0),
        "integers.tif": (encoded(Image.fromarray(luma.astype(np.int32) * 257), "TIFF"), three(luma), 0),
        "lzw.TIF": (encoded(image, "TIFF", compression="tiff_lzw"), rgb, 0),
        "cmyk.tif": (encoded(Image.fromarray(cmyk, "CMYK"), "TIFF"), rgb, 2),
        "ycbcr.tif": (encoded(ycc, "TIFF"), rgb, 8),
        "lab.tif": (encoded(lab, "TIFF"), rgb, 12),
        "profile.png": (encoded(image, "PNG", icc_profile=profile), rgb, 0),  # not applied
        "two pages.tif": (encoded(image, "TIFF", save_all=True, append_images=[blank]), rgb, 0),
        "moving.gif": (encoded(table, "GIF", save_all=True, append_images=[blank]), colours[entries], 0),
        "moving.webp": (encoded(image, "WEBP", lossless=True, save_all=True, append_images=[blank]), rgb, 0),
        "moving.png": (encoded(image, "PNG", save_all=True, append_images=[blank]), rgb, 0),
        "alpha.webp": (encoded(rgba, "WEBP", lossless=True, exact=True), on_white(rgb, opacity), 1),
        "windows.BMP": (encoded(image, "BMP"), rgb, 0),
        "plain.ppm": (encoded(image, "PPM"), rgb, 0),
        "täglich 日本 photo.png": (encoded(image, "PNG"), rgb, 0),
        "wrong suffix.jpg": (encoded(image, "PNG"), rgb, 0),
        "sixteen colour.png": (_sixteen_bit_png(rgb), rgb, 0),
    }
    for orientation, stored in _stored(rgb).items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = Image.fromarray(np.ascontiguousarray(stored))
        options = {"quality": 97, "subsampling": 0, "exif": exif}
        wanted[f"turned {orientation}.jpg"] = (encoded(turned, "JPEG", **options), rgb, 60)
    return wanted


def _stored(rgb: Pixels) -> dict[int, Pixels]:
    """What a camera stores so that its orientation tag turns it upright (EXIF 2.3, tag 0x0112)."""
    return {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, 1),
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(rgb, -1),
    }


def _sixteen_bit_png(rgb: Pixels) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write: v * 257 in each."""
    height, width = rgb.shape[:2]
    rows = (rgb.astype(np.uint16) * 257).astype(">u2").reshape(height, -1)
    return _png(width, height, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def _png(width: int, height: int, bits: int, colour: int, raw: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def damage(folder: Path, rgb: Pixels) -> dict[str, str]:
    """Files that cannot be used, by name: a part of the reason that must be given."""
    image = Image.fromarray(rgb)
    jpeg, png = encoded(image, "JPEG"), encoded(image, "PNG")
    nothing = bytearray(encoded(Image.new("L", (1, 1)), "BMP"))
    nothing[18:22] = bytes(4)  # its width
    made: dict[str, tuple[bytes | Callable[[Path], object], str]] = {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "head only.jpg": (jpeg[:20], "not an image"),
        "truncated.png": (png[: len(png) // 2], "truncated"),
        "flipped.png": (png[:2000] + bytes(100) + png[2100:], "damaged"),
        "truncated.gif": (encoded(paletted(rgb), "GIF")[:900], "truncated"),
        "truncated.webp": (encoded(image, "WEBP")[:-300], ""),
        "truncated.tif": (encoded(image, "TIFF")[:3000], ""),
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"<!doctype html><p>404", "not an image"),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        "bomb.png": (_png(20_000, 20_000, 1, 0, bytes(5000)), "too many"),
        "large.png": (_png(19_000, 9_500, 1, 0, bytes(5000)), "too many"),
        "nothing.bmp": (bytes(nothing), ""),
        "negative.tif": (encoded(Image.fromarray(rgb[..., 0].astype(np.float32) - 9), "TIFF"), "floats must be"),
        "dangling.jpg": (lambda path: path.symlink_to(folder / "gone.jpg"), "a link to nothing"),
        "pipe.jpg": (os.mkfifo, "not a file"),
        "folder.jpg": (Path.mkdir, "empty folder"),
    }
    for name, (contents, _) in made.items():
        if isinstance(contents, bytes):
            (folder / name).write_bytes(contents)
        else:
            contents(folder / name)
    return {name: reason for name, (_, reason) in made.items()}
