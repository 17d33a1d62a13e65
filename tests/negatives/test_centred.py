"""DINO: loops, closed forms, the centre of before the step, what is frozen, mistakes."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.encoders import ConvNet, lookup
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.negatives import Centred
from counterpoint.objectives import Contrast
from counterpoint.pairing import SameSample
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose, set_path
from counterpoint.schedules import Linear, resolve
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

from .rows_made import share, two_ranks

FACTS = Facts("made", "glyphs", 1, 8, 100, width=6, projection=5)
PHOTOS = Facts("made", "photos", 3, 32, 100, mean=(0.5,) * 3, std=(0.5,) * 3)


def context(epoch=0, comm=None):
    return Context(Clock(10 * epoch, 1000, 10), comm or Comm.alone(), Streams(0))


def encoded(n=4, views=3, seed=0, scale=1.0):
    images = torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
    rows = Rows.of(Batch(images, torch.arange(n), torch.arange(n), torch.full((n,), -1)), views)
    z = torch.randn(n * views, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale
    return Encoded(z[:, :1].clone(), z, rows)


def loss_of(part, state, online, keys, temperature=0.1):
    return Contrast(temperature)(part.match(online, keys, SameSample(), Dot(), state, context())).total


def softmax(row):
    peak = max(row)
    whole = sum(math.exp(x - peak) for x in row)
    return [math.exp(x - peak) / whole for x in row]


def slow(online, keys, centre, student, teacher):
    """Algorithm 1 in plain loops."""
    n = int((online.rows.view == 0).sum())
    s, t = online.z.tolist(), keys.z.tolist()
    total = count = 0
    for u in range(len(t) // n):
        for v in range(len(s) // n):
            if u == v:
                continue
            count += 1
            for i in range(n):
                p = softmax([(x - c) / teacher for x, c in zip(t[u * n + i], centre.tolist(), strict=True)])
                q = softmax([x / student for x in s[v * n + i]])
                total -= sum(a * math.log(b) for a, b in zip(p, q, strict=True)) / n
    return total / count, count


@pytest.mark.parametrize("views", [2, 3, 6])
def test_the_loss_is_that_of_the_loops(views):
    part = Centred(0.07)
    state = part.build(FACTS).double()
    state.centre.copy_(torch.randn(5, dtype=torch.float64))
    online, keys = encoded(4, views), encoded(4, 2, seed=9)
    expected, pairs = slow(online, keys, state.centre, 0.1, 0.07)
    assert pairs == 2 * (views - 1)
    assert loss_of(part, state, online, keys).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("width", "expected"), [(4096, 8.3178), (65536, 11.0904)])
def test_equal_logits_cost_log_k(width, expected):
    part = Centred(0.04)
    state = part.build(replace(FACTS, projection=width))
    online = encoded(2, 2)
    flat = Encoded(online.h.float(), torch.full((4, width), 0.3), online.rows)
    assert loss_of(part, state, flat, flat).item() == pytest.approx(expected, abs=1e-4)


def test_the_least_is_the_entropy_of_the_target():
    """Where a view's distribution is the target's; any other costs more."""
    part = Centred(0.1)
    state = part.build(FACTS).double()
    one = encoded(4, 1, scale=0.1).z
    rows = encoded(4, 2).rows
    both = Encoded(torch.zeros(8, 1), torch.cat([one, one]), rows)
    p = (one / 0.1).softmax(1)
    entropy = -(p * p.log()).sum(1).mean().item()
    assert loss_of(part, state, both, both).item() == pytest.approx(entropy, rel=1e-10)
    other = Encoded(both.h, both.z + 0.05 * torch.randn(8, 5, dtype=torch.float64), rows)
    assert loss_of(part, state, other, both).item() > entropy


def test_what_logits_and_centre_have_in_common_changes_nothing():
    part = Centred(0.05)
    state = part.build(FACTS).double()
    online, keys = encoded(), encoded(4, 2, seed=9)
    before = loss_of(part, state, online, keys)
    shift = torch.randn(5, dtype=torch.float64)
    state.centre.copy_(shift)
    torch.testing.assert_close(loss_of(part, state, online, replace(keys, z=keys.z + shift)), before)
    # The centre alone does change it.
    assert abs((loss_of(part, state, online, keys) - before).item()) > 1e-3


def test_the_centre_moves_after_the_step_by_all_views_of_the_target():
    part = Centred(0.05, momentum=0.9)
    state = part.build(FACTS).double()
    online, keys = encoded(), encoded(4, 2, seed=9)
    before = loss_of(part, state, online, keys)
    assert (state.centre == 0).all()
    state.after_step(nn.Identity(), context(), online, keys)
    torch.testing.assert_close(state.centre, 0.1 * keys.z.mean(0))
    state.after_step(nn.Identity(), context(), online, keys)
    torch.testing.assert_close(state.centre, 0.19 * keys.z.mean(0))
    assert loss_of(part, state, online, keys).item() != before.item()
    still = Centred(0.05, momentum=1.0).build(FACTS).double()
    still.after_step(nn.Identity(), context(), online, keys)
    assert (still.centre == 0).all()


def test_two_ranks_have_one_centre():
    keys = encoded(4, 2, seed=9)

    def work(comm):
        own, mine = Centred(0.05).build(FACTS).double(), share(keys, comm.rank)
        own.after_step(nn.Identity(), context(comm=comm), mine, mine)
        return own.centre

    for centre in two_ranks(work):
        torch.testing.assert_close(centre, 0.1 * keys.z.mean(0))


def test_the_gradient_is_the_softmax_less_the_target_and_none_reaches_the_keys():
    part = Centred(0.05)
    state = part.build(FACTS).double()
    online, keys = encoded(4, 2), encoded(4, 2, seed=9)
    online.z.requires_grad_()
    keys.z.requires_grad_()
    loss_of(part, state, online, keys, temperature=0.2).backward()
    p = (keys.z.detach() / 0.05).softmax(1)
    q = (online.z.detach() / 0.2).softmax(1)
    torch.testing.assert_close(online.z.grad, (q - torch.cat([p[4:], p[:4]])) / 0.2 / 8)
    assert keys.z.grad is None


def test_gradcheck():
    part = Centred(0.1)
    state = part.build(FACTS).double()
    online, keys = encoded(3, 3), encoded(3, 2, seed=9)

    def loss(z):
        return loss_of(part, state, replace(online, z=z), keys, temperature=0.5)

    assert torch.autograd.gradcheck(loss, (online.z.clone().requires_grad_(),))


def test_a_schedule_of_the_target_is_followed():
    part = Centred(Linear(0.04, 0.08, epochs=2))
    state = part.build(FACTS).double()
    online, keys = encoded(), encoded(4, 2, seed=9)
    for epoch, temperature in ((0, 0.04), (1, 0.06), (5, 0.08)):
        found = loss_of(resolve(part, context(epoch).clock), state, online, keys)
        assert found.item() == pytest.approx(loss_of(Centred(temperature), state, online, keys).item())


# ---------------------------------------------------------------- in a model


def test_the_last_layer_rests_and_the_average_has_its_own():
    facts = Facts("made", "glyphs", 1, 8, 100)
    recipe = compose("dino", facts, lookup("mlp"), {"prototypes": 16, "batch_size": 8})
    with forked(0):
        model = Model(recipe, facts)
    last = model.get_submodule("towers.projector.prototypes")
    first = model.get_submodule("towers.projector.mlp.0")
    for epoch, kept in ((0, False), (1, True)):
        for parameter in model.towers.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.negatives.after_backward(model, context(epoch))
        assert (last.weight.grad is not None) == kept
        assert first.weight.grad is not None
    names = dict(model.target.named_parameters())
    assert "towers.projector.prototypes.weight" in names
    assert not any(p.requires_grad for p in names.values())


def test_only_the_large_crops_have_keys():
    recipe = compose("dino", PHOTOS, ConvNet(stages=(8, 8), width=8), {"prototypes": 16, "policy": "multicrop-cifar"})
    with forked(0):
        model = Model(recipe, PHOTOS)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    views = recipe.views(images, Streams(0).at("views", 0))
    batch = Batch(images, torch.arange(4), torch.arange(4), torch.full((4,), -1))
    online = model(views, Rows.of(batch, len(views)))
    keys = recipe.target.keys(model, model.target, views, online, context())
    assert len(online.z) == 4 * 8
    assert keys.rows.view.unique().tolist() == [0, 1]
    matches = recipe.negatives.match(online, keys, recipe.pairing, recipe.score, model.negatives, context())
    assert [match.weight for match in matches] == [1.0, 1.0] + [2.0] * 6


def test_an_encoder_of_one_size_refuses_small_crops():
    recipe = compose("swav", PHOTOS, lookup("mlp"), {"policy": "multicrop-cifar"})
    with pytest.raises(RecipeError, match="views of 18 x 18 px; take an encoder that ends in an average"):
        Model(recipe, PHOTOS)
    Model(compose("swav", PHOTOS, lookup("conv"), {"policy": "multicrop-cifar"}), PHOTOS)


def test_the_ablations_can_be_asked_for():
    facts = Facts("made", "glyphs", 1, 8, 100)
    dino = compose("dino", facts, lookup("mlp"))
    assert set_path(dino, "negatives.momentum", "1.0").negatives.momentum == 1.0
    assert set_path(dino, "negatives.temperature", "0.1").negatives.temperature == 0.1
    swav = compose("swav", facts, lookup("mlp"), settings={"negatives.iterations": "0"})
    assert swav.negatives.iterations == 0


def test_mistakes_are_sentences():
    part = Centred()
    online = encoded()
    state = part.build(FACTS).double()
    with pytest.raises(RecipeError, match="logits are compared as they are"):
        part.match(online, online, SameSample(), Cosine(), state, context())
    with pytest.raises(RecipeError, match="one view only"):
        part.match(encoded(4, 1), encoded(4, 1), SameSample(), Dot(), state, context())
    with pytest.raises(RecipeError, match="must be above 0"):
        Centred(0.0)
    with pytest.raises(RecipeError, match=r"in \[0, 1\]"):
        Centred(momentum=1.5)
    facts = Facts("made", "glyphs", 1, 8, 100)
    recipe = replace(compose("simclr", facts, lookup("mlp")), negatives=part)
    model = Model(recipe, facts)
    with pytest.raises(RecipeError, match="no layer 'prototypes' to keep still for 1 epochs"):
        model.negatives.after_backward(model, context())
    assert part.seen(256, 10) == 0
