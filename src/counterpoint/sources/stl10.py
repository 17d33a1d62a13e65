"""STL-10: few labels, many images without."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.sources.pixels import fit_images
from counterpoint.sources.places import default_root, fetch, folder_of
from counterpoint.types import Dataset, Split

__all__ = ["Stl10"]

_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_IMAGE = 3 * 96 * 96


@dataclass(frozen=True)
class Stl10:
    """5,000 labelled training photos, 8,000 for the test and 100,000 without labels, of 96 x 96 pixels.

    Read from the binary files that torchvision downloads (`stl10_binary`, in `root` or being it). At their own size
    images stay on disk, memory-mapped. The unlabelled part is there if its file is.

    Source: Coates, Lee, Ng 2011.

    Args:
        root: the folder; None looks where downloads go.
        size: in pixels; None keeps 96.
        download: with torchvision, if the files are not there (2.6 GB); None does so only without a root.
    """

    root: str | None = None
    size: int | None = None
    download: bool | None = None

    def load(self) -> Dataset:
        """Find and read."""
        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        root = folder_of(self.root, "stl10") if self.root is not None else default_root()
        folder = self._look(root)
        if folder is None and (self.root is None if self.download is None else self.download):

            def get() -> None:
                from torchvision import datasets

                datasets.STL10(str(root), download=True)

            fetch(get, "stl10", root, "the folder stl10_binary")
            folder = self._look(root)
        if folder is None:
            raise SourceError(
                f"{root} holds no stl10_binary with train_X.bin; check --root, or let torchvision get it by --download"
            )
        unlabelled = folder / "unlabeled_X.bin"
        return Dataset(
            "stl10",
            "photos",
            self._labelled(folder, "train"),
            self._labelled(folder, "test"),
            _CLASSES,
            unlabelled=Split(self._images(unlabelled)) if unlabelled.is_file() else None,
        )

    def _look(self, root: Path) -> Path | None:
        return next((place for place in (root / "stl10_binary", root) if (place / "train_X.bin").is_file()), None)

    def _images(self, path: Path) -> UInt8[Tensor, "image channel height width"]:
        """Each image is stored channel x width x height."""
        try:
            length = path.stat().st_size
            if not length or length % _IMAGE:
                raise SourceError(
                    f"{path} is damaged: its {length:,} bytes are not a multiple of {_IMAGE:,}, one image"
                )
            stored = np.memmap(path, np.uint8, "c", shape=(length // _IMAGE, 3, 96, 96))
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        return fit_images(torch.from_numpy(stored).transpose(2, 3), self.size)

    def _labelled(self, folder: Path, side: str) -> Split:
        images = self._images(folder / f"{side}_X.bin")
        path = folder / f"{side}_y.bin"
        try:
            labels = np.fromfile(path, np.uint8).astype(np.int64) - 1
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        if len(labels) != len(images) or labels.min(initial=0) < 0 or labels.max(initial=0) > 9:
            raise SourceError(f"{path} is damaged: it needs a label from 1 to 10 for each of {len(images):,} images")
        return Split(images, torch.from_numpy(labels))
