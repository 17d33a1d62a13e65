"""Elastic distortion of 28 x 28 digits beside torchvision's and kornia's.

    COUNTERPOINT_DATA=DATA python -m benchmarks.elastic

The same field on all sides: uniform noise smoothed by a Gaussian of sigma 4 and multiplied so that it is alpha = 34 in
pixels. torchvision and kornia move points of a grid that is 2 wide: there alpha is 34 / 14 for kornia and, divided by
the side of the image by torchvision itself, 68. Kernels reach four sigmas (33 pixels) everywhere; torchvision reflects
the noise at the border, ours and kornia put zeros there.
"""

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.harness import Row, interleaved, show
from benchmarks.views import exhaust
from counterpoint import sources
from counterpoint.random import Streams
from counterpoint.views import Chain, Elastic, Views

IMAGES = 4096
BATCH = 512
SIGMA, ALPHA = 4.0, 34.0


class Digits(torch.utils.data.Dataset[Tensor]):
    """Images under torchvision's distortion, one at a time."""

    def __init__(self, images: Tensor) -> None:
        from torchvision.transforms import v2

        self.images = images
        self.distort = v2.ElasticTransform(alpha=2 * ALPHA, sigma=SIGMA)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.distort(self.images[index]).float() / 255


def _ours(images: Tensor, threads: int) -> Callable[[], None]:
    views = Views.once(Chain((Elastic(SIGMA, ALPHA),)))

    def work() -> None:
        torch.set_num_threads(threads)
        for step, batch in enumerate(images.split(BATCH)):
            views(batch, Streams(0).at("views", step))

    return work


def _kornia(images: Tensor) -> Callable[[], None]:
    import kornia.augmentation as K

    alpha = ALPHA / (images.shape[-1] / 2)
    distort = K.RandomElasticTransform(kernel_size=(33, 33), sigma=(SIGMA, SIGMA), alpha=(alpha, alpha), p=1.0)

    def work() -> None:
        torch.set_num_threads(2)
        for batch in images.split(BATCH):
            distort(batch.float().div_(255))

    return work


def rows() -> list[Row]:
    """Speed beside torchvision and kornia, on two threads."""
    data = Path(os.environ.get("COUNTERPOINT_DATA", "data")) / "mnist"
    images = sources.lookup("mnist", root=data).load().train.images[:IMAGES]
    loader = DataLoader(Digits(images), BATCH, num_workers=2, persistent_workers=True)
    seconds = interleaved(
        {
            "ours": _ours(images, 2),
            "one thread": _ours(images, 1),
            "torchvision": lambda: exhaust(loader),
            "kornia": _kornia(images),
        },
        repeats=7,
    )
    speed = {name: len(images) / median(taken) for name, taken in seconds.items()}
    best = {name: len(images) / min(taken) for name, taken in seconds.items()}
    told = {
        "torchvision": (f"torchvision v2.ElasticTransform(alpha={2 * ALPHA:g}, sigma={SIGMA:g}), two workers", 20),
        "kornia": (f"kornia RandomElasticTransform(33, sigma {SIGMA:g}, alpha 34/14), batches of {BATCH}", 2),
    }
    return [
        Row(
            f"elastic distortion of 28 x 28 digits, beside {peer}",
            speed["ours"],
            speed[peer],
            "images/s",
            settings,
            speed["ours"] / speed[peer],
            "at least",
            goal,
            f"ratio of the fastest repeats {best['ours'] / best[peer]:.1f}; "
            f"{best['one thread']:.0f} images/s at best on one thread, {best['ours']:.0f} on two",
        )
        for peer, (settings, goal) in told.items()
    ]


if __name__ == "__main__":
    show(rows())
