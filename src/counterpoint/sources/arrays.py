"""NumPy files: an .npz with images and labels, or an .npy of images."""

import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.content import digests_of, divide
from counterpoint.sources.labels import group_names, hierarchy, index_labels
from counterpoint.sources.pixels import fit_images
from counterpoint.types import Dataset, Split

__all__ = ["Arrays"]

_IMAGES = ("images", "image", "x", "data", "pixels")
_LABELS = ("labels", "label", "y", "targets", "target")
_TOGETHER = 1 << 26  # numbers that are made bytes at a time

Column = NDArray[Any]
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Arrays:
    """Images [image, height, width] or [image, height, width, channel] in a NumPy file, with labels where it has some.

    In an .npz, arrays are found by their names: `images` or `x`, `labels` or `y`, and `train` or `test` before or after
    (`x_train`, `test_images`). Where nothing is called test, a split is made by a hash of content. Labels are numbers
    or texts; two arrays joined by a slash, `alphabet/character`, are classes within super-classes. An .npy holds images
    only. Numbers are integers in 0 to 255, booleans, or floats in [0, 1] or [0, 255]. Pickled objects are never read.

    Args:
        root: the file.
        size: in pixels; None keeps the shorter side. Resized bilinear and antialiased.
        images: name of the array; None finds it.
        labels: name of the array, or two joined by a slash; None finds it, `none` uses none.
        test_images: name of the images for testing; None finds them, `none` makes a split.
        test_labels: name of their labels, likewise.
        group: name of an array whose equal values stay on one side of a split that is made.
        invert: dark ink on bright paper becomes bright on dark, as MNIST has it.
        kind: `photos`, `objects` or `glyphs`; None: photos, or glyphs where images are grey.
        test_share: of a split that is made, in [0, 1).
    """

    root: str
    size: int | None = None
    images: str | None = None
    labels: str | None = None
    test_images: str | None = None
    test_labels: str | None = None
    group: str | None = None
    invert: bool = False
    kind: str | None = None
    test_share: float = 0.2

    def load(self) -> Dataset:
        """Read and split."""
        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        path = Path(self.root).expanduser()
        file = _File(path)
        image = file.named("images", self.images, _IMAGES, "train")
        if image is None:
            raise SourceError(
                f"{path} has no array that looks like images; name one by images=NAME; known: {', '.join(file.known)}"
            )
        test = file.named("test_images", self.test_images, _IMAGES, "test")
        sides = {image: (self.labels, "labels", "train")}
        if test is not None:
            sides[test] = (self.test_labels, "test_labels", "test")
        images: list[Tensor] = []
        columns: list[list[Column]] = []
        for name, (given, option, side) in sides.items():
            where = f"the array {name!r} of {path}"
            images.append(_bytes(file.array(name), where, invert=self.invert))
            found = file.label_names(option, given, side)
            columns.append([_one_for_each(file.array(label), images[-1], where) for label in found])
        if len({len(column) for column in columns}) > 1:
            raise SourceError(f"{path} has labels for one of {' and '.join(sides)} only; name both, or use labels=none")
        if len({part.shape[1] for part in images}) > 1:
            raise SourceError(f"the images for train and test in {path} differ in channels; all must be alike")
        group = file.named("group", self.group, (), "")
        groups = None
        if group is not None and test is None:
            values = _one_for_each(file.array(group), images[0], f"the array {image!r} of {path}")
            groups = group_names(values.tolist())
        return self._assembled(path, images, columns, groups)

    def _assembled(
        self, path: Path, images: Sequence[Tensor], columns: Sequence[Sequence[Column]], groups: list[str | None] | None
    ) -> Dataset:
        labels, classes, supers, super_of = None, (), (), None
        if columns[0]:
            # Numbers within a super-class begin anew in each, so both together name a class.
            texts = [
                [tuple(map(str, row)) for row in zip(*(c.tolist() for c in side), strict=True)] for side in columns
            ]
            plain = [side[0].tolist() for side in columns]
            values = plain if len(columns[0]) == 1 else [[_joined(row) for row in side] for side in texts]
            labels, classes = index_labels(values, str(path))
            if len(columns[0]) == 2:
                above, supers = index_labels(plain, str(path))
                super_of = hierarchy(labels, above, classes, supers, str(path))
        splits = [
            Split(fit_images(part, self.size), None if labels is None else labels[i]) for i, part in enumerate(images)
        ]
        if len(splits) == 2:
            train, test, said = *splits, "the file's own"
        else:
            train, test, said = divide(splits[0], digests_of(images[0]), self.test_share, str(path), groups)
        kind = self.kind or ("photos" if train.images.shape[1] == 3 else "glyphs")
        return Dataset(f"arrays:{path.stem}", kind, train, test, classes, supers, super_of, split=said)


def _joined(row: tuple[str, ...]) -> str:
    """`Greek 03`: padded, so that the order of texts is the order of numbers."""
    return " ".join(text.zfill(3) if text.isdigit() else text for text in row)


class _File:
    """The arrays of a NumPy file by name, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            said = "is a folder, where a file was expected" if path.is_dir() else "does not exist"
            raise SourceError(f"{path} {said}; give an .npz or .npy file by --root")
        self.known: tuple[str, ...] = self._read(tuple)

    def _read(self, use: Callable[[Mapping[str, Column]], _Read]) -> _Read:
        """What is made of the arrays while the file is open; whatever is wrong with it becomes one sentence."""
        try:
            with self.path.open("rb") as file:
                held: Any = np.load(file, allow_pickle=False)
                if isinstance(held, np.ndarray):
                    return use({"images": held})
                with held:
                    return use(held)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
            said = " ".join(str(error).split())[:120] or type(error).__name__
            if "pickle" in said.lower():
                said = "it is no NumPy file, or it holds Python objects, which could run code and are never read"
            raise SourceError(f"{self.path} cannot be read: {said}; save plain arrays by numpy.savez") from error

    def array(self, name: str) -> Column:
        """The array of a name."""
        return self._read(lambda held: held[name])

    def named(self, option: str, given: str | None, words: Sequence[str], side: str) -> str | None:
        """The name that was given, else the first that says one of the words, with its side or, for train, without."""
        if given == "none":
            return None
        if given is not None:
            if given not in self.known:
                raise SourceError(f"{option}={given!r} is no array of {self.path}; {nearest(given, self.known)}")
            return given
        said = {frozenset(re.split(r"[\W_]+", name.lower())): name for name in reversed(self.known)}
        wanted = [frozenset((word, side)) for word in words]
        if side == "train":
            wanted += [frozenset((word,)) for word in words]
        return next((said[one] for one in wanted if one in said), None)

    def label_names(self, option: str, given: str | None, side: str) -> list[str]:
        """Names of the arrays of labels: none, one, or super-class and class."""
        parts = [given] if given is None or given in self.known else given.split("/")
        if len(parts) > 2:
            raise SourceError(f"{option}={given!r} names {len(parts)} arrays; expected one, or SUPER/CLASS")
        found = [self.named(option, part, _LABELS, side) for part in parts]
        return [name for name in found if name is not None]


def _one_for_each(column: Column, images: Tensor, where: str) -> Column:
    if column.shape not in ((len(images),), (len(images), 1)):
        raise SourceError(
            f"{where} holds {len(images):,} images, but its labels or groups have shape {list(column.shape)}; expected "
            "one for each"
        )
    return column.reshape(len(images))


def _bytes(array: Column, where: str, *, invert: bool) -> UInt8[Tensor, "image channel height width"]:
    """An array of numbers as uint8, channels first."""
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3)):
        raise SourceError(
            f"{where} has shape {list(array.shape)}; expected [image, height, width], or [image, height, width, "
            "channel] with 1 or 3 channels"
        )
    if not array.size:
        raise SourceError(f"{where} has shape {list(array.shape)}, which holds no image")
    if array.dtype.kind not in "buif":
        raise SourceError(f"{where} holds {array.dtype}; expected integers, booleans or floats")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # written so that a NaN is refused too
        raise SourceError(f"{where} has numbers from {low:g} to {high:g}; expected 0 to 255, or floats in [0, 1]")
    scale = 255 if array.dtype == np.bool_ or (array.dtype.kind == "f" and high <= 1) else 1
    array = array[..., None] if array.ndim == 3 else array
    pixels = torch.empty(len(array), array.shape[3], *array.shape[1:3], dtype=torch.uint8)
    step = max(1, _TOGETHER // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if array.dtype != np.uint8:
            part = np.rint(part.astype(np.float32) * scale).astype(np.uint8)
        pixels[start : start + step] = torch.from_numpy(np.ascontiguousarray(np.moveaxis(part, -1, 1)))
    return pixels.bitwise_not_() if invert else pixels
