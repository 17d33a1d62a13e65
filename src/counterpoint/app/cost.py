"""What a step costs on this machine: the fastest numerics, memory and time, and how long training may take."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint import sources
from counterpoint.app.asked import Asked
from counterpoint.distributed import Comm
from counterpoint.engine import Machine, Numerics, batches, chunked, compare, duration, measured
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.schedules import resolve
from counterpoint.types import Clock, Context, Dataset, Images, Split

__all__ = ["decide_numerics", "estimate", "time_to_train"]


def _trial(
    recipe: Recipe, split: Split, seed: int, machine: Machine, most: int, micro_batch: int | None = None
) -> Callable[[nn.Module, Numerics], None]:
    """Forward and backward of a step on real images, for measuring; at most so many images."""
    share = min(most, recipe.batch_size)
    small = replace(recipe, batch_size=share)
    clock = Clock(0, 1, 1)
    streams = Streams(seed, machine.device)
    batch = next(iter(batches(split, small, streams, clock, machine.device)))

    def work(model: nn.Module, numerics: Numerics) -> None:
        model.train()
        now, context = resolve(small, clock), Context(clock, Comm.alone(), streams)
        if micro_batch is not None and micro_batch < share:
            chunked(now, cast(Model, model), batch, context, numerics, micro_batch)
        else:
            with numerics.autocast(machine.device):
                found = compare(now, cast(Model, model), batch, context)
            found.loss.total.backward()
        model.zero_grad(set_to_none=True)

    return work


class _Held:
    """Counts the bytes that autograd keeps at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def keep(self, tensor: Tensor) -> "_Kept":
        self.now += tensor.nbytes
        self.most = max(self.most, self.now)
        return _Kept(tensor, self)


class _Kept:
    def __init__(self, tensor: Tensor, held: _Held) -> None:
        self.tensor, self.held = tensor, held

    def __del__(self) -> None:
        self.held.now -= self.tensor.nbytes


def estimate(
    recipe: Recipe,
    model: Model,
    learned: Split,
    machine: Machine,
    numerics: Numerics,
    seed: int,
    micro_batch: int | None = None,
) -> str:
    """Memory and time of a step on one rank, measured on real images; negatives of other ranks are not counted."""
    work = _trial(recipe, learned, seed, machine, recipe.batch_size // machine.comm.world, micro_batch)
    held = _Held()

    def unpack(kept: _Kept) -> Tensor:
        return kept.tensor

    with torch.autograd.graph.saved_tensors_hooks(held.keep, unpack):
        work(model, numerics)
    began = time.perf_counter()
    work(model, numerics)
    seconds = time.perf_counter() - began
    weights = sum(p.nbytes for p in model.parameters())
    steps = len(learned) // recipe.batch_size * recipe.epochs
    where = learned.images.where if isinstance(learned.images, Images) else "in memory"
    return (
        f"  memory   about {(held.most + 4 * weights) / 2**20:,.0f} MiB for a step (activations "
        f"{held.most / 2**20:,.0f}, weights with gradients and optimizer {4 * weights / 2**20:,.0f}), "
        f"and {sources.told(learned.images.nbytes)} of images, {where}\n"
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
    """The limit less what evaluation and page need: 10 s, and 2 ms for each image and 3,000 numbers of its rows.

    Raises:
        RecipeError: nothing is left for training before an evaluation.
    """
    if limit is None:
        return None
    numbers = recipe.encoder.width * 2 + dataset.train.images[0].numel()
    images = len(dataset.train) + len(dataset.test)
    after = 10 + images * (0.0005 + 0.002 * numbers / 3000) if evaluate else 2
    spent = time.perf_counter() - began
    if evaluate and limit <= spent + after:
        raise RecipeError(
            f"--max-time {duration(limit)} leaves no time to train: data and measuring took {duration(spent)}, "
            f"evaluation and page need about {duration(after)}; give more than {duration(spent + after)}, or "
            "--no-evaluate"
        )
    return max(0.0, limit - spent - after)
