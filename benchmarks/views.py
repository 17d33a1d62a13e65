"""SimCLR's views of CIFAR-10: how many a second, and how far the merged chain is from the exact one.

    COUNTERPOINT_DATA=DATA python -m benchmarks.views                     speed, difference in grey levels
    COUNTERPOINT_DATA=DATA python -m benchmarks.views --knn --epochs 5    kNN accuracy after training with either

The operations and their probabilities are the same on all sides: crop .08-1, flip .5, jitter (.4, .4, .4, .1) with .8
in random order, grey .2; no blur, no normalisation. Each image is seen twice. Ours crops bicubically with
anti-aliasing; lightly and kornia keep their bilinear default. lightly works on PIL images in a DataLoader with two
workers; ours and kornia on batches with two threads, from bytes to floats.
"""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.encoders import CANDIDATES, Trial
from benchmarks.harness import Row, interleaved, show
from counterpoint import sources
from counterpoint.embed import embed
from counterpoint.engine import Numerics
from counterpoint.evaluation import knn_accuracy
from counterpoint.random import Streams
from counterpoint.recipe import compose
from counterpoint.views import Views, named

IMAGES = 4096
BATCH = 512
EXACT, MERGED = "simclr-cifar", "simclr-cifar-merged"


def _data() -> Path:
    return Path(os.environ.get("COUNTERPOINT_DATA", "data")) / "cifar10"


class Pictures(Dataset[Any]):
    """PIL images under a transform."""

    def __init__(self, images: Tensor, transform: Callable[[Any], Any]) -> None:
        from PIL import Image

        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.images[index])


def exhaust(batches: Iterable[Any]) -> None:
    """Take everything."""
    for _ in batches:
        pass


def ours(views: Views, images: Tensor, threads: int) -> Callable[[], None]:
    """Both views of all images, batch by batch."""

    def work() -> None:
        torch.set_num_threads(threads)
        streams = Streams(0)
        for step, batch in enumerate(images.split(BATCH)):
            views(batch, streams.at("views", step))

    return work


def _lightly(images: Tensor) -> Callable[[], None]:
    from lightly.transforms.simclr_transform import SimCLRTransform

    transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0, normalize=None)
    loader = DataLoader(Pictures(images, transform), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    return lambda: exhaust(loader)


def _kornia(images: Tensor, mode: str) -> Callable[[], None]:
    import kornia.augmentation as K

    augment = K.AugmentationSequential(
        K.RandomResizedCrop((32, 32), scale=(0.08, 1.0), cropping_mode=mode),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        data_keys=["input"],
    )

    def work() -> None:
        torch.set_num_threads(2)
        for batch in images.split(BATCH):
            x = batch.float().div_(255)
            augment(x)
            augment(x)

    return work


def difference(images: Tensor) -> tuple[float, float]:
    """Mean and 95th percentile of |merged - exact| under the same draws, in grey levels of 255."""
    exact, merged = (named(name, size=32, channels=3).policies[0] for name in (EXACT, MERGED))
    drawn = exact.draw(images, Streams(0).at("views"))
    apart = (exact.apply(images, drawn) - merged.apply(images, drawn)).abs().mul(255).flatten()
    return float(apart.mean()), float(apart.kthvalue(round(0.95 * len(apart))).values)


def rows() -> list[Row]:
    """Speed beside lightly and kornia, on two threads."""
    images = sources.lookup("cifar10", root=_data()).load().train.images[:IMAGES]
    exact, merged = (named(name, size=32, channels=3) for name in (EXACT, MERGED))
    seconds = interleaved(
        {
            "exact": ours(exact, images, 2),
            "merged": ours(merged, images, 2),
            "exact, one thread": ours(exact, images, 1),
            "merged, one thread": ours(merged, images, 1),
            "lightly": _lightly(images),
            "kornia slice": _kornia(images, "slice"),
            "kornia resample": _kornia(images, "resample"),
        },
        repeats=7,
    )
    speed = {name: 2 * IMAGES / median(taken) for name, taken in seconds.items()}
    best = {name: 2 * IMAGES / min(taken) for name, taken in seconds.items()}
    kornia = max(("kornia slice", "kornia resample"), key=lambda name: speed[name])
    average, most = difference(images)
    apart = (
        f"differs from the exact chain by {average:.2f} grey levels on average, 95 % of values by at most {most:.1f}"
    )
    settings = "SimCLRTransform(32, cj_strength=.5, gaussian_blur=0, normalize=None), PIL, two workers"
    batched = f"AugmentationSequential, {kornia.split()[1]} crops, batches of {BATCH}, two threads"
    found: list[Row] = []
    for side, goals in (("exact", (10, 3)), ("merged", (30, 10))):
        alone = f"{best[f'{side}, one thread']:.0f} views/s at best on one thread, {best[side]:.0f} on two"
        for peer, told, goal in (("lightly", settings, goals[0]), (kornia, batched, goals[1])):
            found.append(
                Row(
                    f"SimCLR views of CIFAR-10, {side} chain, beside {peer.split()[0]}",
                    speed[side],
                    speed[peer],
                    "views/s",
                    f"{peer.split()[0]} {told}",
                    speed[side] / speed[peer],
                    "at least",
                    goal,
                    f"ratio of the fastest repeats {best[side] / best[peer]:.1f}; {alone}"
                    + (f"; {apart}" if side == "merged" else ""),
                )
            )
    return found


def accuracy(policy: str, epochs: int, seed: int) -> float:
    """Weighted kNN accuracy (k = 200) on a tenth of the training images, after SimCLR with the PAMI encoder."""
    dataset = sources.lookup("cifar10", root=_data()).load()
    learned, held = sources.hold_out(dataset.train, 0.1, dataset.name)
    trial = Trial("pami", learned, dataset, seed)
    trial.recipe = compose("simclr", trial.facts, CANDIDATES["pami"], {"policy": policy, "epochs": epochs})
    model = trial.fresh()
    optimizer = trial.recipe.optim.build(model)
    for batch, clock in trial.stream(epochs * trial.per_epoch):
        trial.step(model, optimizer, Numerics(), batch, clock)
    return float(knn_accuracy(embed(model, learned, dataset), embed(model, held, dataset), k=200))


def compare(epochs: int, seeds: int) -> None:
    """Print the kNN accuracy of every run, then each chain's mean and spread, and the paired difference."""
    found: dict[str, list[float]] = {EXACT: [], MERGED: []}
    for seed in range(seeds):
        for policy, runs in found.items():
            runs.append(100 * accuracy(policy, epochs, seed))
            print(f"{policy}, seed {seed}, {epochs} epochs: {runs[-1]:.2f} %", flush=True)
    gaps = [merged - exact for exact, merged in zip(found[EXACT], found[MERGED], strict=True)]
    for name, runs in {**found, "merged less exact": gaps}.items():
        spread = stdev(runs) if len(runs) > 1 else float("nan")
        print(f"{name}: {mean(runs):.2f} ± {spread:.2f} points (standard deviation over {len(runs)} seeds)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--knn", action="store_true", help="train with either chain instead of timing them")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="rows as JSON lines")
    asked = parser.parse_args()
    if asked.knn:
        compare(asked.epochs, asked.seeds)
    else:
        show(rows())
