"""What a step costs on this machine: the fastest numerics, memory and time, and how long training may take."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from counterpoint.app.asked import Asked
from counterpoint.distributed import Comm
from counterpoint.engine import Machine, Numerics, batches, compare, duration, measured
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.schedules import resolve
from counterpoint.types import Clock, Context, Dataset, Split

__all__ = ["decide_numerics", "estimate", "time_to_train"]


def _trial(
    recipe: Recipe, split: Split, seed: int, machine: Machine, most: int
) -> Callable[[nn.Module, Numerics], None]:
    """One training step on real images, for measuring; at most so many images."""
    share = min(most, recipe.batch_size)
    small = replace(recipe, batch_size=share)
    clock = Clock(0, 1, 1)
    streams = Streams(seed, machine.device)
    batch = next(iter(batches(split, small, streams, clock, machine.device)))

    def work(model: nn.Module, numerics: Numerics) -> None:
        model.train()
        with numerics.autocast(machine.device):
            loss, _, _ = compare(
                resolve(small, clock), cast(Model, model), batch, Context(clock, Comm.alone(), streams)
            )
        loss.total.backward()
        model.zero_grad(set_to_none=True)

    return work


def estimate(recipe: Recipe, model: Model, learned: Split, machine: Machine, numerics: Numerics, seed: int) -> str:
    """Memory and time of a step on one rank, measured on real images; negatives of other ranks are not counted."""
    work = _trial(recipe, learned, seed, machine, recipe.batch_size // machine.comm.world)
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        work(model, numerics)
    began = time.perf_counter()
    work(model, numerics)
    seconds = time.perf_counter() - began
    weights = sum(p.nbytes for p in model.parameters())
    steps = len(learned) // recipe.batch_size * recipe.epochs
    return (
        f"  memory   about {(kept + 4 * weights) / 2**20:,.0f} MiB for a step (activations {kept / 2**20:,.0f}, "
        f"weights with gradients and optimizer {4 * weights / 2**20:,.0f}), "
        f"and {learned.images.nbytes / 2**20:,.0f} MiB of images\n"
        f"  time     about {duration(steps * seconds)} for {steps:,} steps of {seconds:.3f} s, before evaluation"
    )


def decide_numerics(
    recipe: Recipe,
    model: Model,
    learned: Split,
    asked: Asked,
    machine: Machine,
    precision: str | None,
    channels_last: str | None,
) -> tuple[Numerics, dict[str, float]]:
    """As it was begun, as it was asked for, or as it is fastest here; the same on all ranks."""
    if asked.stored is not None and precision is None and channels_last is None:
        engine = asked.stored["engine"]
        return Numerics(engine["precision"], engine["channels_last"]), dict(engine["measured_seconds"])
    work = _trial(recipe, learned, asked.seed, machine, 128)
    decided = measured(work, model, (precision or "auto", channels_last or "auto"), machine.device)
    return machine.fabric.broadcast(decided)


def time_to_train(limit: float | None, began: float, dataset: Dataset, recipe: Recipe, evaluate: bool) -> float | None:
    """The limit less what evaluation and page need: 10 s, and 2 ms for each image and 3,000 numbers of its rows."""
    if limit is None:
        return None
    numbers = recipe.encoder.width * 2 + dataset.train.images[0].numel()
    images = len(dataset.train) + len(dataset.test)
    after = 10 + images * (0.0005 + 0.002 * numbers / 3000) if evaluate else 2
    return max(0.0, limit - after - (time.perf_counter() - began))
