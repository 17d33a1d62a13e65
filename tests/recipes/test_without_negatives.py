"""BYOL, SimSiam, Barlow Twins, VICReg, alignment with uniformity, DirectCLR: the mechanisms that each one stands on."""

import math
from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import lookup
from counterpoint.engine import Numerics, compare, train_step
from counterpoint.heads import Heads, Identity
from counterpoint.model import Model
from counterpoint.objectives import CosineRegression
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose, from_json
from counterpoint.targets import MovingAverage, Same, StopGradient
from counterpoint.types import Batch, Clock, Context, Facts

IMAGES = 12
FACTS = Facts("noise", "glyphs", 1, 8, IMAGES, total_steps=4, steps_per_epoch=4)
REGRESSIONS, DIMENSIONS = ("byol", "simsiam"), ("barlow", "vicreg", "align_uniform")
SMALL = {
    "byol": {"hidden": 16, "width": 8},
    "simsiam": {"width": 16, "bottleneck": 4},
    "barlow": {"width": 16},
    "vicreg": {"width": 16},
    "align_uniform": {"width": 8},
}


def made(name, settings=None, **dials):
    return compose(name, FACTS, lookup("mlp"), {"batch_size": IMAGES, **SMALL.get(name, {}), **dials}, settings)


def built(recipe):
    with forked(0):
        return Model(recipe, FACTS).double().train()


def batch():
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 1, 8, 8), dtype=torch.uint8, generator=noise)
    order = torch.arange(IMAGES)
    return Batch(images, order, order, torch.full((IMAGES,), -1))


def at(step):
    return Context(Clock(step, 4, 4), Comm.alone(), Streams(0))


def stepped(recipe, model, *steps):
    optimizer = recipe.optim.build(model)
    for step in steps:
        recipe.optim.set_lr(optimizer, at(step).clock)
        train_step(recipe, model, optimizer, batch(), at(step), Numerics())


def gradients(recipe, model):
    """The loss, and the gradient of each trained weight."""
    loss = compare(recipe, model, batch(), at(1)).loss.total
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


# ---------------------------------------------------------------- who takes a gradient


@pytest.mark.parametrize("name", [*REGRESSIONS, *DIMENSIONS, "directclr"])
def test_the_answers_take_a_gradient_only_where_the_method_says_so(name):
    recipe = made(name)
    for match in compare(recipe, built(recipe), batch(), at(1)).matches:
        assert match.query.requires_grad
        for group in match.columns:
            assert group.rows.requires_grad == (name not in REGRESSIONS)


def test_without_its_stop_gradient_simsiam_moves_otherwise():
    recipe = made("simsiam")
    open_recipe = replace(recipe, target=Same())
    (loss, stopped), (same_loss, through) = (gradients(r, built(r)) for r in (recipe, open_recipe))
    torch.testing.assert_close(loss, same_loss)
    for name, gradient in stopped.items():
        assert torch.allclose(gradient, through[name]) == name.startswith("predictor.")


@pytest.mark.parametrize("name", REGRESSIONS)
def test_predictions_query_the_projections_of_the_other_view(name):
    recipe = made(name)
    model = built(recipe)
    found = compare(recipe, model, batch(), at(1))
    p, z = found.online.p.chunk(2), found.keys.z.chunk(2)
    for match, query, rows in zip(found.matches, p, reversed(z), strict=True):
        assert torch.equal(match.query, query)
        assert torch.equal(match.columns[0].rows, rows)


# ---------------------------------------------------------------- BYOL's copy


@pytest.mark.parametrize("momentum", [0.0, 0.6, 1.0])
def test_the_copy_moves_after_the_step_by_its_schedule(momentum):
    recipe = made("byol", momentum=momentum)
    model = built(recipe)
    before = [p.clone() for p in model.towers.parameters()]
    stepped(recipe, model, 1)
    reached = 1 - (1 - momentum) * (1 + math.cos(math.pi / 4)) / 2
    copy = model.target.towers.parameters()
    for mine, old, new in zip(copy, before, model.towers.parameters(), strict=True):
        assert mine.grad is None
        torch.testing.assert_close(mine, reached * old + (1 - reached) * new)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.towers.parameters(), strict=True))


def test_the_copy_has_no_predictor():
    model = built(made("byol"))
    assert model.predictor is not None
    assert not any("predictor" in name for name in model.target.state_dict())


def test_byol_with_an_instant_copy_is_four_and_four_times_simsiam():
    byol = replace(made("byol"), target=MovingAverage(0.0))
    simsiam = replace(byol, target=StopGradient(), objective=CosineRegression())
    (loss, ours), (other, theirs) = (gradients(recipe, built(recipe)) for recipe in (byol, simsiam))
    torch.testing.assert_close(loss, 4 + 4 * other)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, 4 * theirs[name])


# ---------------------------------------------------------------- SimSiam's predictor


def test_the_predictor_keeps_its_learning_rate():
    recipe = made("simsiam", lr=0.4)
    model = built(recipe)
    optimizer = recipe.optim.build(model)
    rates = {}
    for step in (0, 3):
        recipe.optim.set_lr(optimizer, Clock(step, 4, 4))
        of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        rates[step] = {name: of[id(p)] for name, p in model.named_parameters()}
    top = 0.4 * IMAGES / 256
    for name in rates[0]:
        assert rates[0][name] == pytest.approx(top)
        assert rates[3][name] == pytest.approx(top if name.startswith("predictor.") else top * 0.146447, rel=1e-5)
    assert any(name.startswith("predictor.") for name in rates[0])


def test_all_weights_decay():
    optimizer = (recipe := made("simsiam")).optim.build(built(recipe))
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-4}


# ---------------------------------------------------------------- DirectCLR


def test_directclr_of_all_dimensions_is_simclr_without_a_head():
    direct = made("directclr", share=1.0, temperature=0.5)
    simclr = replace(made("simclr"), heads=Heads(Identity()))
    (loss, ours), (other, theirs) = (gradients(recipe, built(recipe)) for recipe in (direct, simclr))
    torch.testing.assert_close(loss, other)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name])


def test_directclr_compares_the_first_dimensions_alone():
    recipe = made("directclr")
    found = compare(recipe, built(recipe), batch(), at(1))
    kept = recipe.heads.width
    assert kept == round(0.176 * 400)
    found.online.h.retain_grad()
    z = found.online.h[:, :kept]
    assert torch.equal(found.online.z, z)
    found.loss.total.backward()
    assert (found.online.h.grad[:, kept:] == 0).all()
    assert (found.online.h.grad[:, :kept] != 0).any()


def test_a_share_outside_is_a_sentence():
    for share in (0.0, 1.5):
        with pytest.raises(Exception, match=r"give a number in \(0, 1\]"):
            made("directclr", share=share)


# ---------------------------------------------------------------- all


@pytest.mark.parametrize("name", [*REGRESSIONS, *DIMENSIONS, "directclr"])
def test_a_recipe_is_a_value(name):
    recipe = made(name)
    assert from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("simsiam", {"target": "counterpoint.targets:Same"}),
        ("simsiam", {"heads.predictor": "none", "optim.groups": "()"}),
        ("byol", {"heads.predictor": "none"}),
        ("byol", {"target": "counterpoint.targets:Same"}),
        ("barlow", {"objective.redundancy": "0"}),
        ("vicreg", {"objective.variance": "0", "objective.covariance": "0"}),
        ("align_uniform", {"objective.uniform": "0"}),
    ],
)
def test_what_should_fail_can_be_asked_for(name, settings):
    recipe = made(name, settings)
    stepped(recipe, built(recipe), 0, 1)
    assert recipe != made(name)
