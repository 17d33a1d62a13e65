"""What a method keeps from step to step is in its checkpoint, and moves with the model."""

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import lookup
from counterpoint.engine import Numerics, batches, checkpoint, train_step
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.signature import recipes
from counterpoint.types import Clock, Context, Facts, Split

EPOCHS, PER_EPOCH, STOP = 4, 2, 5
TOTAL = EPOCHS * PER_EPOCH
FACTS = Facts("noise", "glyphs", 1, 8, 64, 10, total_steps=TOTAL, steps_per_epoch=PER_EPOCH)
# Queues that are filled on the way.
DIALS = {
    "moco": {"queue": 96},
    "mochi": {"queue": 96},
    "swav": {"queue": 96, "queue_from": 0.0},
    "instdisc": {"negatives": 16},
}


def made(name):
    recipe = compose(name, FACTS, lookup("conv"), {"batch_size": 32, "epochs": EPOCHS, **DIALS.get(name, {})})
    with forked(0):
        model = Model(recipe, FACTS).train()
    return recipe, model, recipe.optim.build(model)


def trained(recipe, model, optimizer, start, stop):
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split, streams, step = Split(images, torch.arange(64) % 10), Streams(0), start
    while step < stop:
        for batch in batches(split, recipe, streams, Clock(step, TOTAL, PER_EPOCH), torch.device("cpu")):
            clock = Clock(step, TOTAL, PER_EPOCH)
            recipe.optim.set_lr(optimizer, clock)
            train_step(recipe, model, optimizer, batch, Context(clock, Comm.alone(), streams), Numerics())
            step += 1
            if step == stop:
                break


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_stop_within_an_epoch_changes_no_bit(name, tmp_path):
    whole = made(name)
    trained(*whole, 0, TOTAL)
    recipe, model, optimizer = made(name)
    trained(recipe, model, optimizer, 0, STOP)
    alone = Comm.alone()
    checkpoint.save(tmp_path, step=STOP, model=model, optimizer=optimizer, comm=alone, barrier=lambda: None, keep=1)
    recipe, model, optimizer = made(name)
    found = checkpoint.newest(tmp_path)
    assert checkpoint.restore(found, model=model, optimizer=optimizer, comm=alone) == STOP
    trained(recipe, model, optimizer, STOP, TOTAL)
    straight = whole[1].state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, straight[key]), key


@pytest.mark.parametrize("name", sorted(recipes()))
def test_no_tensor_is_left_behind_when_the_model_moves(name):
    recipe, model, optimizer = made(name)
    trained(recipe, model, optimizer, 0, 3)
    model.to("meta")
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            parts = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
            for tensor in parts:
                assert not isinstance(tensor, torch.Tensor) or tensor.is_meta, f"{path}.{key}"
