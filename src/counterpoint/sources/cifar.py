"""CIFAR-10 and CIFAR-100."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.labels import hierarchy
from counterpoint.sources.parquet import Parquet, holds_parquet
from counterpoint.sources.pixels import fit_images
from counterpoint.sources.places import default_root, fetch, folder_of
from counterpoint.types import Dataset, Split

__all__ = ["CIFAR_NAMES", "Cifar"]

CIFAR_NAMES = ("cifar10", "cifar100")
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_FILES = {
    "cifar10": (tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
    "cifar100": (("train",), "test"),
}


class _Unpickler(pickle.Unpickler):
    """Arrays and plain values only: a data file must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        reconstruct = np.empty(0).__reduce__()[0]
        allowed = {
            ("multiarray", "_reconstruct"): reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): lambda text, coding="latin1": text.encode(coding),  # pyright: ignore
        }
        try:
            return allowed[module.rpartition(".")[2], name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data file needs") from None


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = _Unpickler(file, encoding="latin1").load()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise SourceError(f"{path} is damaged: {said}; get it again") from error
    if not isinstance(values, dict):
        raise SourceError(f"{path} is damaged: it holds a {type(values).__name__}, where a dictionary was expected")
    return values


@dataclass(frozen=True)
class Cifar:
    """60,000 photos of 32 x 32 pixels in 10 classes, or in 100 with 20 super-classes.

    Read from the Python batches that torchvision downloads (`cifar-10-batches-py`, `cifar-100-python`, in `root` or
    being it), or from a Parquet copy in `root` (`train.parquet`, `test.parquet`, or the Hugging Face layout), whose
    images may be encoded. Batches are unpickled by a reader that makes arrays and nothing else.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".

    Args:
        name: `cifar10` or `cifar100`.
        root: the folder; None looks where downloads go.
        size: in pixels; None keeps 32.
        download: with torchvision, if the files are not there; None does so only without a root.
    """

    name: str = "cifar10"
    root: str | None = None
    size: int | None = None
    download: bool | None = None

    def load(self) -> Dataset:
        """Find and read."""
        if self.name not in CIFAR_NAMES:
            raise SourceError(f"no CIFAR is called {self.name!r}; {nearest(self.name, CIFAR_NAMES)}")
        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        root = folder_of(self.root, self.name) if self.root is not None else default_root()
        batches = self._look(root)
        if batches is None and root.is_dir() and holds_parquet(root):
            return self._from_parquet(root)
        download = self.root is None if self.download is None else self.download
        if batches is None and download:

            def get() -> None:
                from torchvision import datasets

                getattr(datasets, self.name.upper())(str(root), download=True)

            fetch(get, self.name, root, f"the folder {_FOLDERS[self.name]}")
            batches = self._look(root)
        if batches is None:
            raise SourceError(
                f"{root} holds neither {_FOLDERS[self.name]} nor train.parquet with test.parquet; check --root, or let "
                "torchvision get the data by --download"
            )
        return self._from_batches(batches)

    def _look(self, root: Path) -> Path | None:
        _, test = _FILES[self.name]
        places = (root / _FOLDERS[self.name], root)
        found = (place for place in places if (place / test).is_file())
        return next(found, None)

    def _from_parquet(self, root: Path) -> Dataset:
        fine = self.name == "cifar100"
        given = Parquet(str(root), size=self.size, class_names=None if fine else _CLASSES).load()
        count = len(given.classes)
        if count != (100 if fine else 10) or len(given.train.images) < 2:
            raise SourceError(
                f"the Parquet files in {root} have {count} classes, where {self.name} has {100 if fine else 10}"
            )
        return Dataset(
            self.name,
            "photos",
            given.train,
            given.test,
            given.classes,
            given.super_classes,
            given.super_of,
            skipped=given.skipped,
            split=given.split,
        )

    def _batch(self, path: Path) -> tuple[UInt8[Tensor, "image channel height width"], dict[str, Any]]:
        values = _unpickle(path)
        data = values.get("data")
        labels = values.get("fine_labels" if self.name == "cifar100" else "labels")
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
            raise SourceError(f"{path} is damaged: its 'data' must be uint8 of image x 3072")
        if not isinstance(labels, list) or len(labels) != len(data):
            raise SourceError(f"{path} is damaged: it needs one label for each of its {len(data):,} images")
        return torch.from_numpy(np.ascontiguousarray(data)).view(-1, 3, 32, 32), values

    def _side(self, folder: Path, files: Sequence[str], key: str) -> tuple[Split, Int64[Tensor, " image"]]:
        images: list[Tensor] = []
        labels: list[int] = []
        above: list[int] = []
        for file in files:
            if not (folder / file).is_file():
                raise SourceError(f"{folder / file} is missing; get {self.name} again")
            part, values = self._batch(folder / file)
            images.append(part)
            labels += values[key]
            above += values.get("coarse_labels", [])
        split = Split(fit_images(torch.cat(images), self.size), torch.tensor(labels, dtype=torch.int64))
        return split, torch.tensor(above, dtype=torch.int64)

    def _from_batches(self, folder: Path) -> Dataset:
        files, test_file = _FILES[self.name]
        fine = self.name == "cifar100"
        key = "fine_labels" if fine else "labels"
        train, train_above = self._side(folder, files, key)
        test, test_above = self._side(folder, (test_file,), key)
        if not fine:
            return Dataset(self.name, "photos", train, test, _CLASSES)
        meta = _unpickle(folder / "meta")
        classes, supers = tuple(meta["fine_label_names"]), tuple(meta["coarse_label_names"])
        assert train.labels is not None
        assert test.labels is not None
        super_of = hierarchy((train.labels, test.labels), (train_above, test_above), classes, supers, self.name)
        return Dataset(self.name, "photos", train, test, classes, supers, super_of)
