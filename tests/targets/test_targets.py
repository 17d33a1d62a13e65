from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import ConvNet, lookup
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.targets import MovingAverage, StopGradient
from counterpoint.types import Batch, Clock, Context, Facts, Rows

FACTS = Facts("made", "glyphs", 1, 8, 100, classes=4)
CONTEXT = Context(Clock(0, 10, 5), Comm.alone(), Streams(0))
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = Rows.of(Batch((IMAGES * 255).to(torch.uint8), torch.arange(6), torch.arange(6), torch.zeros(6).long()), 2)


def model_with(target):
    recipe = replace(compose("simclr", FACTS, lookup("mlp")), target=target)
    with forked(0):
        return Model(recipe, FACTS), recipe


def moved(model, by=0.1):
    with torch.no_grad():
        for parameter in model.towers.parameters():
            parameter.add_(by)


@pytest.mark.parametrize(("momentum", "share"), [(1.0, 0.0), (0.0, 1.0), (0.75, 0.25)])
def test_the_average_moves_by_its_share(momentum, share):
    model, _ = model_with(MovingAverage(momentum, when="before"))
    start = [p.clone() for p in model.target.towers.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(start, model.towers.parameters(), strict=True))
    moved(model)
    model.target.before_forward(model, CONTEXT)
    for old, new in zip(start, model.target.towers.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1 * share)


def test_it_moves_before_or_after_and_not_both():
    for when, moments in (("before", [True, False]), ("after", [False, True])):
        model, recipe = model_with(MovingAverage(0.5, when=when))
        moved(model)
        online = model([IMAGES, IMAGES], ROWS)
        found = []
        for moment in (
            lambda m: m.target.before_forward(m, CONTEXT),
            lambda m, online=online: m.target.after_step(m, CONTEXT, online, online),
        ):
            before = next(model.target.towers.parameters()).clone()
            moment(model)
            found.append(not torch.equal(before, next(model.target.towers.parameters())))
        assert found == moments
        assert recipe.target.when == when


def test_keys_have_no_gradient_and_the_copy_is_not_trained():
    model, recipe = model_with(MovingAverage(0.9))
    online = model([IMAGES, IMAGES], ROWS)
    keys = recipe.target.keys(model, model.target, [IMAGES, IMAGES], online, CONTEXT)
    assert not keys.z.requires_grad
    torch.testing.assert_close(keys.z, online.z.detach())
    assert not any(p.requires_grad for p in model.target.parameters())
    trained = {id(p) for group in recipe.optim.build(model).param_groups for p in group["params"]}
    assert trained == {id(p) for p in model.parameters() if p.requires_grad}


def test_statistics_of_the_copy_are_its_own():
    """It normalises by its batch, keeps what it saw itself, and neither gives to the network nor takes from it."""
    recipe = replace(compose("byol", FACTS, ConvNet(stages=(4, 8), width=8)), target=MovingAverage(0.5))
    with forked(0):
        model = Model(recipe, FACTS).train()
        model.towers.get_buffer("encoder.0.1.running_mean").fill_(3.0)
        model.target = recipe.target.build(FACTS, model)
    ours, theirs = (dict(of.named_buffers()) for of in (model.towers, model.target.towers))
    assert all(torch.equal(theirs[name], value) for name, value in ours.items())
    online = model([IMAGES, IMAGES], ROWS)
    left = {name: value.clone() for name, value in ours.items()}
    keys = recipe.target.keys(model, model.target, [IMAGES, IMAGES], online, CONTEXT)
    torch.testing.assert_close(keys.z, online.z.detach())
    assert all(torch.equal(left[name], value) for name, value in ours.items())
    # As many passes as the network, of the same views; now two more of another.
    for name, value in theirs.items():
        torch.testing.assert_close(value, left[name])
    recipe.target.keys(model, model.target, [IMAGES.square(), IMAGES.square()], online, CONTEXT)
    own = {name: value.clone() for name, value in theirs.items()}
    assert any(not torch.allclose(own[name], value) for name, value in ours.items())
    model.target.before_forward(model, CONTEXT)
    assert all(torch.equal(own[name], value) for name, value in theirs.items())


def test_a_target_may_see_the_first_views_only():
    model, recipe = model_with(MovingAverage(0.9, views=1))
    online = model([IMAGES, IMAGES], ROWS)
    keys = recipe.target.keys(model, model.target, [IMAGES, IMAGES], online, CONTEXT)
    assert len(keys.z) == len(keys.rows) == 6
    assert keys.rows.view.unique().tolist() == [0]


def test_stop_gradient_keeps_the_values_and_drops_the_graph():
    model, _ = model_with(StopGradient())
    online = model([IMAGES, IMAGES], ROWS)
    keys = StopGradient().keys(model, None, [IMAGES, IMAGES], online, CONTEXT)
    assert torch.equal(keys.z, online.z)
    assert not keys.z.requires_grad
