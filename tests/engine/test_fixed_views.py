"""Views that were made once are what training sees."""

from dataclasses import replace

import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import MLP
from counterpoint.engine import Numerics, batches, compare
from counterpoint.engine.chunked import chunked
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.types import Clock, Context, Facts, Split

FACTS = Facts("noise", "glyphs", 1, 8, 24, 6, total_steps=2, steps_per_epoch=2)
CLOCK = Clock(0, 2, 2)


def pictures(seed):
    return torch.randint(0, 256, (24, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def a_batch(views):
    split = Split(pictures(0), torch.arange(24) % 6, views=views)
    recipe = compose("simclr", FACTS, MLP((24,)), {"batch_size": 12, "epochs": 1})
    with forked(0):
        model = Model(recipe, FACTS).double().train()
    batch = next(iter(batches(split, recipe, Streams(0), CLOCK, torch.device("cpu"))))
    return recipe, model, batch, Context(CLOCK, Comm.alone(), Streams(0))


def test_the_model_sees_them_in_order():
    views = pictures(1), pictures(2), pictures(3)
    recipe, model, batch, context = a_batch(views)
    found = compare(recipe, model, batch, context)
    assert len(found.online.rows) == 36
    h = model.represent(views[2][batch.sample].double() / 255)
    assert torch.allclose(found.online.h[24:], h)
    assert (found.online.rows.view[24:] == 2).all()


def test_the_policy_has_no_say():
    recipe, model, batch, context = a_batch((pictures(1), pictures(2)))
    other = replace(recipe, views=compose("simclr", FACTS, MLP((24,)), {"policy": "none"}).views)
    assert torch.equal(
        compare(recipe, model, batch, context).loss.total, compare(other, model, batch, context).loss.total
    )


def test_chunks_have_the_gradient_of_the_batch():
    recipe, model, batch, context = a_batch((pictures(1), pictures(2)))
    compare(recipe, model, batch, context).loss.total.backward()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    chunked(recipe, model, batch, context, Numerics(), 5)
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(whole) == len(parts) > 0
    assert all(torch.allclose(a, b) for a, b in zip(whole, parts, strict=True))
