"""Images that a person hands over, and a part of a split held out of training."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources.content import digests_of, sides
from counterpoint.sources.decode import to_array
from counterpoint.sources.folder import walk
from counterpoint.sources.ondemand import OnDemand
from counterpoint.sources.parallel import decode
from counterpoint.sources.pixels import fit_images
from counterpoint.types import Images, Skipped, Split

__all__ = ["hold_out", "image_files", "read_files", "read_images"]


def image_files(path: Path) -> list[Path]:
    """A file alone, or the images of a folder, searched recursively, in sorted order.

    Raises:
        SourceError: nothing is there, or no image is in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"there is no {path}; give the path of an image or of a folder of images")
    found = [path / name for name in walk(path)]
    if not found:
        raise SourceError(f"{path} holds no image")
    return found


def read_images(given: Sequence[Any], *, size: int, channels: int) -> UInt8[Tensor, "image channel size size"]:
    """Paths, PIL images and arrays [height, width, channel], as squares of `size` pixels.

    Raises:
        SourceError: one of them cannot be used.
    """
    images: list[Tensor] = []
    for item in given:
        if isinstance(item, Tensor):
            images.append(fit_images(item[None], size)[0])
            continue
        name = str(item) if isinstance(item, str | Path) else "an image"
        try:
            array, _ = to_array(_encoded(item), size, channels)
        except SourceError as error:
            raise SourceError(f"{name} cannot be used: {error}") from error
        images.append(torch.from_numpy(array.copy()).permute(2, 0, 1))
    return torch.stack(images)


def read_files(
    files: Sequence[Path], *, size: int, channels: int
) -> tuple[UInt8[Tensor, "image channel size size"], tuple[int, ...], tuple[Skipped, ...]]:
    """Images of files, decoded on all cores; those that cannot be used are left out.

    Returns:
        The images, the positions of their files, and the others with the reason.
    """
    chunks = (files[start : start + 16] for start in range(0, len(files), 16))
    found = decode(chunks, [str(file) for file in files], size, channels)
    assert isinstance(found.images, Tensor)
    return found.images, found.kept, found.skipped


def _encoded(item: Any) -> bytes | Path:
    if isinstance(item, str | Path):
        return Path(item)
    from PIL import Image

    image = Image.fromarray(_bytes(item)) if isinstance(item, np.ndarray) else item
    if not isinstance(image, Image.Image):
        raise SourceError(f"got {type(item).__name__}, expected a path, a PIL image or an array")
    from PIL import ImageOps

    # Upright first: a PNG forgets the orientation. Lossless, so that a PIL image and its file are one and the same.
    image = ImageOps.exif_transpose(image)
    lossless = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I")
    written = BytesIO()
    (image if lossless else image.convert("RGB")).save(written, "PNG")
    return written.getvalue()


def _bytes(array: NDArray[Any]) -> NDArray[Any]:
    """An array [height, width] or [height, width, channel] as uint8."""
    if array.dtype.kind == "f":
        if not (array.size and array.min() >= 0 and array.max() <= 1):
            raise SourceError("an array of floats must have values in [0, 1]")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise SourceError(f"got an array of {array.dtype}, expected uint8, or floats in [0, 1]")
    return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array


def hold_out(split: Split, share: float, where: str) -> tuple[Split, Split]:
    """(kept, held out) by a hash of content: exact duplicates and groups stay together. Images are not copied."""
    groups = None if split.groups is None else [str(int(g)) for g in split.groups]
    made = sides(digests_of(split.images), share, where, groups, salt=b"hold out")
    images = split.images
    if not isinstance(images, Images):
        tensor = images
        images = OnDemand(lambda index: tensor[index], torch.arange(len(split)), tensor.shape[1:], "in memory")
    whole = Split(images, split.labels, split.names, made.groups)
    return whole.rows(torch.nonzero(~made.test)[:, 0]), whole.rows(torch.nonzero(made.test)[:, 0])
