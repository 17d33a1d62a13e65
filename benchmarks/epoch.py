"""An epoch of SimCLR on CIFAR-10: what views, comparison and data cost beside the encoder, and lightly's.

    COUNTERPOINT_DATA=DATA python -m benchmarks.epoch               pami and ResNet-18
    COUNTERPOINT_DATA=DATA python -m benchmarks.epoch --only pami

Steps of a batch of 512 are timed in short blocks, the sides in turns, and the median block stands for the 97 steps of
an epoch. A step of ours is all that training does: images gathered, views drawn and computed, normalisation, encoder,
projector, comparison, update, and the loss read. Ready tensors: two views of 512 images, normalised, in the
layout of ours, through the encoder alone; the sum of squares of its output is what is differentiated.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks.encoders import Trial
from benchmarks.harness import Row, interleaved, show
from benchmarks.views import Pictures
from counterpoint import sources
from counterpoint.model import Model
from counterpoint.types import Batch, Clock, Dataset

__all__ = ["against_lightly", "against_ready", "rows"]

GOALS = {"pami": 1.25, "resnet18": 1.05}
BLOCKS = {"pami": (7, 8), "resnet18": (3, 1)}  # repeats, and steps of each
LIGHTLY = 7.0
CPU = torch.device("cpu")


class Ours:
    """Training as the engine does it, a block of steps at a time."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.numerics = trial, trial.numerics()
        self.model = cast(Model, self.numerics.arrange(trial.fresh()))
        self.optimizer = trial.recipe.optim.build(self.model)
        self.stream: Iterator[tuple[Batch, Clock]] = trial.stream(1 << 30)

    def steps(self, count: int) -> None:
        for batch, clock in islice(self.stream, count):
            self.trial.step(self.model, self.optimizer, self.numerics, batch, clock)

    @property
    def layout(self) -> str:
        return f"{self.numerics.precision}, {'channels-last' if self.numerics.channels_last else 'contiguous'}"


def _ready(ours: Ours) -> Callable[[int], None]:
    """The encoder's own steps on tensors that are there."""
    trial = ours.trial
    model = cast(Model, ours.numerics.arrange(trial.fresh()))
    optimizer = trial.recipe.optim.build(model)
    batch, _ = next(trial.stream(1))
    with torch.no_grad():
        views = model.normalise(torch.cat(trial.recipe.views(batch.images, trial.streams.at("views", 0))))
    if ours.numerics.channels_last:
        views = views.contiguous(memory_format=torch.channels_last)

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            with ours.numerics.autocast(CPU):
                h = model.towers.get_submodule("encoder")(views)
            h.float().square().sum().backward()
            optimizer.step()

    return steps


def against_ready(name: str, dataset: Dataset) -> Row:
    """An epoch of ours, and of the encoder alone."""
    trial = Trial(name, dataset.train, dataset, 0)
    ours = Ours(trial)
    ready = _ready(ours)
    repeats, count = BLOCKS[name]
    seconds = interleaved({"ours": lambda: ours.steps(count), "ready": lambda: ready(count)}, repeats=repeats)
    taken = {side: median(values) / count * trial.per_epoch for side, values in seconds.items()}
    return Row(
        f"an epoch of {name} on CIFAR-10, SimCLR, batch {trial.recipe.batch_size}",
        taken["ours"],
        taken["ready"],
        "s",
        "the encoder's forward, backward and update on ready tensors",
        taken["ours"] / taken["ready"],
        "at most",
        GOALS[name],
        f"{ours.layout}; from {repeats} blocks of {count} steps of {trial.per_epoch}",
    )


def _lightly(trial: Trial, images: Tensor, workers: int, warm_up: int, count: int) -> float:
    """Seconds of a step as in lightly's SimCLR example, once the loader's head start is used up."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torch.utils.data import DataLoader

    batch, width = trial.recipe.batch_size, trial.recipe.encoder.width
    pictures = Pictures(images, SimCLRTransform(input_size=trial.facts.size))
    loader: DataLoader[Any] = DataLoader(pictures, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers)
    network = nn.Sequential(trial.recipe.encoder.build(trial.facts), SimCLRProjectionHead(width, width, 128))
    loss, optimizer = NTXentLoss(), torch.optim.SGD(network.parameters(), lr=0.06)
    begun = 0.0
    for step, (first, second) in enumerate(islice(loader, warm_up + count)):
        if step == warm_up:
            begun = time.perf_counter()
        found = loss(network(first), network(second))
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - begun) / count


def against_lightly(name: str, dataset: Dataset, *, repeats: int = 3, warm_up: int = 6, count: int = 10) -> list[Row]:
    """An epoch of ours, and of lightly's parts: with torch's default loader, and with two workers.

    A loader's workers would work on while we are timed, so it starts each time.
    """
    trial = Trial(name, dataset.train, dataset, 0)
    ours = Ours(trial)
    seconds: dict[int | None, list[float]] = {None: [], 0: [], 2: []}
    ours.steps(2)
    for _ in range(repeats):
        begun = time.perf_counter()
        ours.steps(2 * count)
        seconds[None].append((time.perf_counter() - begun) / (2 * count))
        for workers in (0, 2):
            seconds[workers].append(_lightly(trial, dataset.train.images, workers, warm_up if workers else 1, count))
    taken = {side: median(values) * trial.per_epoch for side, values in seconds.items()}
    return [
        Row(
            f"an epoch of {name} on CIFAR-10, SimCLR, batch {trial.recipe.batch_size}",
            taken[None],
            taken[workers],
            "s",
            f"lightly NTXentLoss, SimCLRTransform(input_size=32) and DataLoader(num_workers={workers}), SGD, float32",
            taken[workers] / taken[None],
            "at least",
            LIGHTLY,
            f"ours {ours.layout}; both from {repeats} runs of {count} steps or more, of {trial.per_epoch}; "
            "theirs blurs half of the views, as its default is",
        )
        for workers in (0, 2)
    ]


def rows(only: str | None = None) -> list[Row]:
    """All figures of this file."""
    root = Path(os.environ.get("COUNTERPOINT_DATA", "data")) / "cifar10"
    dataset = sources.lookup("cifar10", root=root).load()
    found: list[Row] = []
    if only in (None, "pami"):
        found += [against_ready("pami", dataset), *against_lightly("pami", dataset)]
    if only in (None, "resnet18"):
        found.append(against_ready("resnet18", dataset))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=list(GOALS))
    parser.add_argument("--json", action="store_true")
    show(rows(parser.parse_args().only))
