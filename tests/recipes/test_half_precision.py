"""Every recipe trains with bfloat16 networks; what is compared stays in full precision."""

from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import lookup
from counterpoint.engine import Numerics, batches, train_step
from counterpoint.model import Model
from counterpoint.negatives import InBatch
from counterpoint.optim import SGD
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.signature import recipes
from counterpoint.types import Clock, Context, Facts, Split

FACTS = Facts("noise", "glyphs", 1, 8, 64, 10, total_steps=2, steps_per_epoch=2)


def losses(name, precision, micro_batch=None, **parts):
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    recipe = compose(name, FACTS, lookup("conv"), {"batch_size": 32, "epochs": 1})
    recipe = replace(recipe, optim=SGD(lr=0.01, momentum=0.9), **parts)
    with forked(0):
        model = Model(recipe, FACTS).train()
    optimizer, streams, found = recipe.optim.build(model), Streams(0), []
    split = Split(images, torch.arange(64) % 10)
    for step, batch in enumerate(batches(split, recipe, streams, Clock(0, 2, 2), torch.device("cpu"))):
        context = Context(Clock(step, 2, 2), Comm.alone(), streams)
        recipe.optim.set_lr(optimizer, context.clock)
        done = train_step(recipe, model, optimizer, batch, context, Numerics(precision), micro_batch)
        found.append(float(done.values["loss"]))
    return found


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_step_in_bfloat16_is_nearly_that_in_float32(name):
    half = losses(name, "bf16-mixed")
    assert half == pytest.approx(losses(name, "32-true"), rel=0.1, abs=0.1)


@pytest.mark.parametrize("micro_batch", [None, 10])
def test_the_comparison_is_in_full_precision(micro_batch):
    seen = []

    class Spied(InBatch):
        def match(self, online, keys, *rest):
            seen.extend(t.dtype for t in (online.h, online.z, keys.z))
            seen.append((online.z @ online.z.mT).dtype)
            return super().match(online, keys, *rest)

    losses("simclr", "bf16-mixed", micro_batch, negatives=Spied())
    assert set(seen) == {torch.float32}
