"""IDX files: MNIST and its relatives."""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.collect import check_skipped
from counterpoint.sources.content import digests_of, divide
from counterpoint.sources.pixels import fit_images
from counterpoint.sources.places import default_root, fetch, folder_of
from counterpoint.types import Dataset, Split

__all__ = ["EMNIST_SPLITS", "IDX_NAMES", "Idx", "looks_like_idx", "read_idx"]

_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MERGED = _DIGITS + _UPPER + "abdefghnqrt"  # the letters whose two cases look alike count as one
EMNIST_SPLITS: dict[str, tuple[str, ...]] = {
    "balanced": tuple(_MERGED),
    "byclass": tuple(_DIGITS + _UPPER + _UPPER.lower()),
    "bymerge": tuple(_MERGED),
    "digits": tuple(_DIGITS),
    "letters": tuple(f"{upper}/{upper.lower()}" for upper in _UPPER),
    "mnist": tuple(_DIGITS),
}
_CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": tuple(_DIGITS),
    "fashion_mnist": (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "kmnist": ("お o", "き ki", "す su", "つ tsu", "な na", "は ha", "ま ma", "や ya", "れ re", "を wo"),
}  # fmt: skip
_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST", "emnist": "EMNIST"}
_ELSEWHERE = {"fashion_mnist": "/usr/share/datasets/fashion-mnist"}  # Debian's dataset-fashion-mnist
IDX_NAMES = ("idx", *_CLASSES, *(f"emnist:{split}" for split in EMNIST_SPLITS))

_FILE = re.compile(r"(?P<of>.*?)(?P<what>images|labels)[-._]idx(?P<axes>\d)-ubyte(?P<gz>\.gz)?")
_SIDES = {"train": "train", "t10k": "test", "test": "test"}
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in an IDX file, plain or gzip (told by its first bytes, not by its name).

    Format: two zero bytes, one for the type, one for the number of axes, the axes as big-endian 32-bit integers, the
        data.

    Raises:
        SourceError: not an IDX file, damaged, or cut short.
    """
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not head[3]:
                raise SourceError(f"{path} is no IDX file: it starts with {head.hex(' ') or 'nothing'}")
            axes = file.read(4 * head[3])
            if len(axes) < 4 * head[3]:
                raise SourceError(f"{path} is cut short: its header is not complete")
            shape = tuple(int(n) for n in np.frombuffer(axes, ">u4"))
            kind = np.dtype(_TYPES[head[2]])
            expected = int(np.prod(shape, dtype=object)) * kind.itemsize
            if not zipped and path.stat().st_size < 4 + 4 * head[3] + expected:
                raise SourceError(
                    f"{path} is cut short: its header promises {expected:,} bytes of data, the file has "
                    f"{path.stat().st_size - 4 - 4 * head[3]:,}"
                )
            data = bytearray()
            while len(data) < expected and (part := file.read(min(1 << 24, expected - len(data)))):
                data += part
            if len(data) < expected:
                raise SourceError(
                    f"{path} is cut short: its header promises {expected:,} bytes of data, it holds {len(data):,}"
                )
            if file.read(1):
                raise SourceError(
                    f"{path} is damaged: it goes on after the {expected:,} bytes that its header promises"
                )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is damaged: {error}; get it again") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    return np.frombuffer(data, kind).reshape(shape)


@dataclass(frozen=True)
class _Files:
    """The IDX files of one data set in one folder: for each side, the images and, where there are any, the labels."""

    prefix: str
    images: dict[str, Path]
    labels: dict[str, Path]


def _catalogue(folder: Path) -> list[_Files]:
    """The data sets of a folder, by the prefix of their names; plain files go before gzip."""
    sets: dict[str, _Files] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.suffix == ".gz", path.name)):
        match = _FILE.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        of = match["of"].rstrip("-._")
        prefix, _, last = of.rpartition("-")
        side = _SIDES.get(last)
        if side is None:
            prefix, side = of, "whole"
        files = sets.setdefault(prefix, _Files(prefix, {}, {}))
        getattr(files, match["what"]).setdefault(side, path)
    return sorted((files for files in sets.values() if files.images), key=lambda files: files.prefix)


def looks_like_idx(folder: Path) -> bool:
    """Whether IDX images lie in a folder, or in its `raw`."""
    return any(_catalogue(place) for place in (folder, folder / "raw") if place.is_dir())


def _mapping(folder: Path, prefix: str) -> dict[int, str] | None:
    """mapping.txt: on each line a label and the codes of its characters."""
    for name in (f"{prefix}-mapping.txt", "mapping.txt"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            rows = [[int(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]
            return {row[0]: "/".join(chr(code) for code in row[1:]) or str(row[0]) for row in rows}
        except (ValueError, OverflowError, OSError) as error:
            raise SourceError(
                f"{path} is damaged: each line must be a label and character codes, as in '1 65 97'"
            ) from error
    return None


_STANDING = frozenset("1Ii")  # strokes that go up and down
_LYING = frozenset("MW")  # characters wider than tall
_FEWEST, _DECISIVE = 20, 0.8


def _standing(
    images: UInt8[Tensor, "image channel height width"], labels: Int64[Tensor, " image"], classes: Sequence[str]
):
    """(share that stands as it should, how many images, of which classes), of the classes whose shape tells the axes
    apart.

    An image stands when its ink varies more along y than along x (second central moments); M and W should not.
    """
    stand = {i for i, name in enumerate(classes) if _STANDING & set(name.split("/"))}
    lie = {i for i, name in enumerate(classes) if _LYING & set(name.split("/"))}
    chosen = torch.tensor(sorted(stand | lie), dtype=torch.int64)
    index = torch.nonzero(torch.isin(labels, chosen))[:, 0][:4000]
    ink = images[index].double().sum(1)
    ink = ink / ink.sum((1, 2), keepdim=True).clamp_min(1)

    def spread(profile: Tensor) -> Tensor:
        at = torch.arange(profile.shape[1], dtype=torch.float64)
        return profile @ at**2 - (profile @ at) ** 2

    tall = spread(ink.sum(2)) > spread(ink.sum(1))
    right = tall == torch.isin(labels[index], torch.tensor(sorted(stand), dtype=torch.int64))
    return (float(right.double().mean()) if len(index) else 0.5), len(index), [classes[i] for i in sorted(stand | lie)]


@dataclass(frozen=True)
class Idx:
    """Images in IDX files, plain or gzip, under their usual names or any.

    `train-images-idx3-ubyte`, `t10k-…` or `test-…`, `emnist-letters-train-…`, each with its labels beside it if there
    are any, in `root` or in the sub-folders that torchvision makes. Without a test file a split is made by content.

    EMNIST's original files hold each image transposed; some copies are upright. What the images themselves say is
    always checked, on the characters whose shape tells the axes apart (1 and I stand, M and W lie): it decides where
    `transpose` is None, it must not contradict a given one, and the conclusion is part of `Dataset.split`. The check
    tells the two axes apart, and nothing about mirror images.

    Source: LeCun, Cortes, Burges 1998 (MNIST); Xiao et al. 2017 (Fashion-MNIST); Clanuwat et al. 2018 (KMNIST);
    Cohen et al. 2017 (EMNIST).

    Args:
        name: `mnist`, `fashion_mnist`, `kmnist`, `emnist:<split>`, or `idx` for any other.
        root: the folder; None looks where downloads go.
        size: in pixels; None keeps the shorter side.
        download: with torchvision, if the files are not there; None does so only without a root.
        transpose: swap the axes of each image. None: for EMNIST as the images say, for others no.
        label_offset: the label of the first class, subtracted. None: for EMNIST by mapping.txt, or by the smallest
            label; for others 0.
        test_share: of the split that is made where there are no test files, in [0, 1).
    """

    name: str = "idx"
    root: str | None = None
    size: int | None = None
    download: bool | None = None
    transpose: bool | None = None
    label_offset: int | None = None
    test_share: float = 0.2

    def load(self) -> Dataset:
        """Find, read, check and split."""
        if self.name not in IDX_NAMES:
            raise SourceError(f"no IDX data set is called {self.name!r}; {nearest(self.name, IDX_NAMES)}")
        if self.name == "idx" and self.root is None:
            raise SourceError("idx needs the folder of its files: give --root FOLDER")
        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        folder, files = self._find()
        sides = [side for side in ("train", "test", "whole") if side in files.images]
        if "whole" in sides and len(sides) > 1:
            raise SourceError(
                f"{folder} holds {files.images['whole'].name} beside files for train or test; keep one kind"
            )
        images = [self._images(files.images[side]) for side in sides]
        labels, classes, notes = self._labels(files, sides, [len(part) for part in images], folder)
        if self._emnist or self.transpose:
            images, said = self._turn(images, labels, classes)
            notes += said
        if len({part.shape[1:] for part in images}) > 1:
            shapes = " and ".join("x".join(map(str, part.shape[2:])) for part in images)
            raise SourceError(f"the images for train and test in {folder} differ in shape: {shapes}")
        kind = {"fashion_mnist": "objects"}.get(self.name, "glyphs")
        parts = [
            Split(fit_images(part, self.size), None if labels is None else labels[i]) for i, part in enumerate(images)
        ]
        check_skipped((), sum(map(len, parts)), 0.0, str(folder))
        if len(parts) == 2:
            train, test, said = parts[0], parts[1], "the data set's own"
        else:
            digests = digests_of(images[0])
            names = tuple(f"image {i}" for i in range(len(digests)))
            whole = Split(parts[0].images, parts[0].labels, names)
            train, test, said = divide(whole, digests, self.test_share, str(folder))
        name = f"idx:{folder.name}" if self.name == "idx" else self.name
        return Dataset(name, kind, train, test, classes, split="; ".join([said, *notes]))

    @property
    def _emnist(self) -> bool:
        return self.name.startswith("emnist")

    @property
    def _wanted(self) -> str:
        stem = f"emnist-{self.name.partition(':')[2]}-" if self._emnist else ""
        return f"{stem}train-images-idx3-ubyte.gz and its companions"

    def _find(self) -> tuple[Path, _Files]:
        roots = [folder_of(self.root, self.name)] if self.root is not None else [default_root()]
        if self.root is None and self.name in _ELSEWHERE:
            roots.append(Path(_ELSEWHERE[self.name]))
        found = self._look(roots)
        download = self.root is None if self.download is None else self.download
        if found is None and download and self.name != "idx":
            fetch(self._downloader(roots[0]), self.name, roots[0], self._wanted)
            found = self._look(roots)
        if found is None:
            what = "IDX images (…-images-idx3-ubyte, plain or .gz)" if self.name == "idx" else self._wanted
            tail = "check --root" if self.name == "idx" else "check --root, or let torchvision get them by --download"
            raise SourceError(f"{roots[0]} holds no {what}; {tail}")
        return found

    def _look(self, roots: Sequence[Path]) -> tuple[Path, _Files] | None:
        family, _, split = self.name.partition(":")
        own = _TORCHVISION.get(family)
        for root in roots:
            places = [root / own / "raw", root / own, root, root / "raw"] if own else [root, root / "raw"]
            for place in places:
                sets = _catalogue(place) if place.is_dir() else []
                exact = [files for files in sets if files.prefix == f"emnist-{split}"] if split else []
                if not exact:
                    exact = [files for files in sets if not files.prefix] or (sets if self.name == "idx" else [])
                if len(exact) > 1:
                    known = ", ".join(files.prefix for files in exact)
                    raise SourceError(f"{place} holds several IDX data sets ({known}); keep one in a folder")
                if exact:
                    return place, exact[0]
        return None

    def _downloader(self, root: Path) -> Callable[[], object]:
        def download() -> None:
            from torchvision import datasets

            family, _, split = self.name.partition(":")
            getattr(datasets, _TORCHVISION[family])(str(root), download=True, **({"split": split} if split else {}))

        return download

    def _images(self, path: Path) -> UInt8[Tensor, "image channel height width"]:
        array = read_idx(path)
        if array.dtype != np.uint8 or array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
            shape = " x ".join(map(str, array.shape))
            raise SourceError(
                f"{path} holds {array.dtype.name} of {shape}; images must be uint8 of image x height x width (x 1 or 3)"
            )
        if 0 in array.shape:
            raise SourceError(f"{path} holds no image")
        images = torch.from_numpy(array)
        return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()

    def _labels(
        self, files: _Files, sides: Sequence[str], counts: Sequence[int], folder: Path
    ) -> tuple[list[Int64[Tensor, " _"]] | None, tuple[str, ...], list[str]]:
        missing = [side for side in sides if side not in files.labels]
        if missing:
            if len(missing) < len(sides) or self.name != "idx":
                raise SourceError(f"{folder} holds {files.images[missing[0]].name}, but not its labels")
            return None, (), []
        raw: list[np.ndarray[Any, np.dtype[Any]]] = []
        for side, count in zip(sides, counts, strict=True):
            path = files.labels[side]
            array = read_idx(path)
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise SourceError(
                    f"{path} holds {array.dtype.name} with {array.ndim} axes; labels must be integers in one row"
                )
            if len(array) != count:
                raise SourceError(
                    f"{path} holds {len(array):,} labels for {count:,} images; the files do not belong together"
                )
            raw.append(array.astype(np.int64))
        values = np.unique(np.concatenate(raw))
        low, high = int(values[0]), int(values[-1])
        mapping = _mapping(folder, files.prefix)
        offset, notes = self._offset(mapping, low)
        if mapping is not None and offset != min(mapping):
            raise SourceError(
                f"label_offset={offset} contradicts mapping.txt in {folder}, which starts at {min(mapping)}"
            )
        if offset and low < offset:
            raise SourceError(
                f"label_offset={offset} is above the smallest label, {low}, of {folder}; give {low}, or leave it out"
            )
        family, _, split = self.name.partition(":")
        if mapping is not None:
            top = max(*mapping, high)
            classes = tuple(mapping.get(value, str(value)) for value in range(offset, top + 1))
            unknown = [int(value) for value in values if int(value) not in mapping]
            if unknown:
                raise SourceError(f"label {unknown[0]} of {folder} is not in its mapping.txt")
        elif family in _CLASSES or split:
            classes = EMNIST_SPLITS[split] if split else _CLASSES[family]
        else:
            classes = tuple(str(value) for value in range(offset, high + 1))
        if high - offset >= len(classes):
            raise SourceError(
                f"{folder} has label {high} and label offset {offset}, but {self.name} has {len(classes)} classes; "
                "this is another data set (use idx), or another label_offset"
            )
        if split and mapping is None and len(raw[0]) >= 100 * len(classes) and len(values) < len(classes):
            raise SourceError(
                f"{folder} has {len(values)} different labels among {len(raw[0]):,} images, but {self.name} has "
                f"{len(classes)} classes; this is another data set (use idx), or its mapping.txt is missing"
            )
        return [torch.from_numpy(array - offset) for array in raw], classes, notes

    def _offset(self, mapping: dict[int, str] | None, low: int) -> tuple[int, list[str]]:
        if self.label_offset is not None:
            return self.label_offset, []
        if not self._emnist:
            return 0, []
        if mapping is not None:
            first, by = min(mapping), "mapping.txt"
        elif low in (0, 1):
            first, by = low, "the smallest label"
        else:
            raise SourceError(
                f"the labels of {self.name} start at {low}, so what the first class is called cannot be told; say "
                "label_offset=0 or label_offset=1"
            )
        return first, [f"labels start at {first} by {by}"]

    def _turn(
        self,
        images: list[UInt8[Tensor, "_ _ _ _"]],
        labels: list[Int64[Tensor, " _"]] | None,
        classes: Sequence[str],
    ) -> tuple[list[UInt8[Tensor, "_ _ _ _"]], list[str]]:
        """Swap the axes, or not: by the option, checked against the images of EMNIST."""
        transpose, said = self.transpose, "by option"
        if self._emnist and labels is not None:
            share, count, named = _standing(images[0], labels[0], classes)
            decided = count >= _FEWEST and not (1 - _DECISIVE < share < _DECISIVE)
            stored = f"{max(share, 1 - share):.0%} of {count:,} images of {', '.join(named)}"
            if transpose is None and not decided:
                raise SourceError(
                    f"whether the images of {self.name} are stored upright cannot be told from them ({stored} agree); "
                    "say "
                    "transpose=True for the original files, which are transposed, or transpose=False for an upright "
                    "copy"
                )
            if transpose is not None and decided and transpose != (share < 0.5):
                raise SourceError(
                    f"transpose={transpose} contradicts the images of {self.name}: {stored} would lie on their side; "
                    "leave "
                    "transpose out, or read the files as idx"
                )
            if decided:
                transpose, said = share < 0.5, f"by {stored}"
        if not transpose:
            return images, [f"stored upright, {said}"]
        return [part.transpose(2, 3).contiguous() for part in images], [f"stored transposed, turned upright, {said}"]
