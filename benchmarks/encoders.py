"""Which small encoder learns most in a minute of CPU? SimCLR on CIFAR-10, kNN on held-out training images.

    python -m benchmarks.encoders DATA --minutes 2 --out encoders.jsonl            every candidate, a short budget
    python -m benchmarks.encoders DATA --minutes 8 --only conv patch4 --out …      the best of them, a longer one

Each candidate first has its training step timed on one thread, in the fastest precision and layout found; the budget
divided by that is its number of steps, over which its schedule runs. So what else the machine does while it trains
changes no result. Scored by weighted kNN (k = 200, temperature .1) on a tenth of the training images, held out; test
images are not read.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.harness import environment, interleaved
from counterpoint import sources
from counterpoint.app.asked import facts_of
from counterpoint.distributed import Comm
from counterpoint.embed import embed
from counterpoint.encoders import MLP, ConvNet, Pami, ResNet, ViT
from counterpoint.engine import Numerics, batches, measured, train_step
from counterpoint.evaluation import knn_accuracy
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.types import Batch, Clock, Context, Dataset, Encoder, Split

CANDIDATES: dict[str, Encoder] = {
    "mlp": MLP(),
    "pami": Pami(),
    "vit, patch 4, 4 blocks of 128": ViT(128, 4, 4, patch=4),
    "conv 32-64-128, map 16": ConvNet(256, (32, 64, 128), 16),
    "conv 32-64-128, map 32": ConvNet(256, (32, 64, 128), 32),
    "conv 64-128-256, map 8": ConvNet(512, (64, 128, 256), 8),
    "conv 96-192, map 8": ConvNet(512, (96, 192), 8),
    "conv 128-256, map 8": ConvNet(512, (128, 256), 8),
    "conv 96-192, map 8, width 256": ConvNet(256, (96, 192), 8),
    "conv 64-128, map 8": ConvNet(512, (64, 128), 8),
    "conv 64-192, map 8": ConvNet(512, (64, 192), 8),
    "conv 48-96, map 8": ConvNet(384, (48, 96), 8),
    "conv 64-128, map 10": ConvNet(512, (64, 128), 10),
    "conv 32-64, map 16": ConvNet(256, (32, 64), 16),
    "conv 64-128-256, map 16": ConvNet(512, (64, 128, 256), 16),
    "conv 48-96-192, map 16": ConvNet(384, (48, 96, 192), 16),
    "conv 32-64-128-256, map 16": ConvNet(512, (32, 64, 128, 256), 16),
    "resnet18": ResNet(18),
}


@dataclass(frozen=True)
class Timed:
    """A candidate whose training step was timed on one thread.

    Args:
        name: in CANDIDATES.
        weights: of the encoder.
        precision, channels_last: the fastest found.
        step_seconds: median of five steps, views and update included.
    """

    name: str
    weights: int
    precision: str
    channels_last: bool
    step_seconds: float


class Trial:
    """SimCLR with one encoder."""

    def __init__(self, name: str, learned: Split, dataset: Dataset, seed: int) -> None:
        self.name, self.learned, self.dataset = name, learned, dataset
        facts = facts_of(dataset, learned)
        self.recipe = compose("simclr", facts, CANDIDATES[name])
        self.streams = Streams(seed)
        self.per_epoch = len(learned) // self.recipe.batch_size
        self.facts = replace(facts, steps_per_epoch=self.per_epoch, total_steps=self.per_epoch)

    def fresh(self) -> Model:
        """The model as initialised."""
        with forked(self.streams.number("init")):
            return Model(self.recipe, self.facts).train()

    def step(self, model: Model, optimizer: Optimizer, numerics: Numerics, batch: Batch, clock: Clock) -> None:
        """One update."""
        self.recipe.optim.set_lr(optimizer, clock)
        train_step(self.recipe, model, optimizer, batch, Context(clock, Comm.alone(), self.streams), numerics)

    def stream(self, total: int) -> Iterator[tuple[Batch, Clock]]:
        """So many batches, epoch after epoch."""
        step = 0
        while step < total:
            clock = Clock(step, total, self.per_epoch)
            for batch in batches(self.learned, self.recipe, self.streams, clock, torch.device("cpu")):
                yield batch, Clock(step, total, self.per_epoch)
                step += 1
                if step == total:
                    return

    def numerics(self, images: int = 128) -> Numerics:
        """The fastest precision and layout of a step on so many images, as a run finds them."""
        batch, clock = next(self.stream(100))
        few = Batch(batch.images[:images], batch.sample[:images], batch.position[:images], batch.label[:images])

        def work(model: nn.Module, numerics: Numerics) -> None:
            model = cast(Model, model)
            self.step(model, self.recipe.optim.build(model), numerics, few, clock)

        return measured(work, self.fresh(), ("auto", "auto"), torch.device("cpu"))[0]

    def timed(self) -> Timed:
        """Its training step in the fastest precision and layout."""
        batch, clock = next(self.stream(100))
        numerics = self.numerics(len(batch.images))
        model = cast(Model, numerics.arrange(self.fresh()))
        optimizer = self.recipe.optim.build(model)
        seconds = interleaved({"step": lambda: self.step(model, optimizer, numerics, batch, clock)})["step"]
        weights = sum(p.numel() for p in model.towers.get_submodule("encoder").parameters())
        return Timed(self.name, weights, numerics.precision, numerics.channels_last, round(median(seconds), 4))

    def score(self, timed: Timed, minutes: float, held: Split) -> dict[str, Any]:
        """Trained for a budget of CPU minutes, as steps; kNN accuracy on held-out training images."""
        numerics = Numerics(timed.precision, timed.channels_last)
        total = max(1, round(60 * minutes / timed.step_seconds))
        model = cast(Model, numerics.arrange(self.fresh()))
        optimizer = self.recipe.optim.build(model)
        for batch, clock in self.stream(total):
            self.step(model, optimizer, numerics, batch, clock)
        bank, queries = embed(model, self.learned, self.dataset), embed(model, held, self.dataset)
        knn = float(knn_accuracy(bank, queries, k=200))
        epochs = round(total / self.per_epoch, 2)
        return {**asdict(timed), "cpu_minutes": minutes, "steps": total, "epochs": epochs, "knn": round(knn, 4)}


def main() -> None:
    """Print one line for each candidate; with --out, keep them too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--minutes", type=float, default=2.0, help="of CPU for each candidate; 0: only time the steps")
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES), choices=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timings", type=Path, help="step times printed before, on an idle machine")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    dataset = sources.lookup("cifar10", root=asked.data).load()
    learned, held = sources.hold_out(dataset.train, 0.1, dataset.name)

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps(line) + "\n")

    tell({"environment": environment(), "learned": len(learned), "held out": len(held), "seed": asked.seed})
    known: dict[str, Timed] = {}
    if asked.timings is not None:
        lines = [json.loads(line) for line in asked.timings.read_text().splitlines()]
        known = {line["name"]: Timed(**line) for line in lines if set(line) == {f.name for f in fields(Timed)}}
    trials = {name: Trial(name, learned, dataset, asked.seed) for name in asked.only}
    for name, trial in trials.items():
        if name not in known:
            known[name] = trial.timed()
            tell(asdict(known[name]))
    for name, trial in trials.items() if asked.minutes else ():
        tell(trial.score(known[name], asked.minutes, held))


if __name__ == "__main__":
    main()
