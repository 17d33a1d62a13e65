"""The embedded digits: a first run without a download."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from counterpoint.errors import SourceError
from counterpoint.sources.content import digests_of, divide
from counterpoint.sources.pixels import fit_images
from counterpoint.types import Dataset, Split

__all__ = ["Digits"]


@dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits of 8 x 8 pixels, which come with scikit-learn.

    Their 17 grey levels 0 … 16 become round(255 v / 16). They have no split of their own: one is made by a hash of
    content.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI; the test part, as in
        scikit-learn.

    Args:
        size: of an image in pixels; None keeps 8. Resized bilinear and antialiased.
        test_share: of the test side, in [0, 1).
    """

    size: int | None = None
    test_share: float = 0.2

    def load(self) -> Dataset:
        """Read and split."""
        from sklearn.datasets import load_digits

        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        bunch: Any = load_digits()
        grey = np.rint(bunch["images"] * (255 / 16)).astype(np.uint8)
        images = torch.from_numpy(grey)[:, None]
        labels = torch.from_numpy(bunch["target"].astype(np.int64))
        names = tuple(f"digit {i}" for i in range(len(images)))
        whole = Split(fit_images(images, self.size), labels, names)
        train, test, said = divide(whole, digests_of(images), self.test_share, "digits")
        classes = tuple(str(digit) for digit in range(10))
        return Dataset("digits", "glyphs", train, test, classes, split=said)
