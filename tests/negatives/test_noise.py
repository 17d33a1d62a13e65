"""NAT: every permutation, closed forms, the permutation over all images, mistakes."""

import itertools
import math

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Noise
from counterpoint.objectives import CosineEmbedding
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

from .rows_made import share, two_ranks

FACTS = Facts("made", "glyphs", 1, 8, 20, width=6, projection=4)
SAMPLES = [3, 17, 0, 9, 12]


def context(epoch=0, comm=None):
    return Context(Clock(10 * epoch, 1000, 10), comm or Comm.alone(), Streams(0))


def encoded(views=1, seed=0, samples=tuple(SAMPLES)):
    n = len(samples)
    images = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
    rows = Rows.of(Batch(images, torch.tensor(samples), torch.arange(n), torch.full((n,), -1)), views)
    z = torch.randn(n * views, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Encoded(z[:, :1].clone(), z, rows)


def made(part=Noise()):  # noqa: B008 - frozen
    torch.manual_seed(0)
    return part.build(FACTS).double()


def loss_of(part, state, online, at=None):
    return CosineEmbedding()(part.match(online, online, SameSample(), Cosine(), state, at or context())).total


def cost(z, targets, views):
    """Mean over rows of half the squared distance."""
    z = nn.functional.normalize(z, dim=1)
    return ((z - targets.repeat(views, 1)).square().sum(1) / 2).mean().item()


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("common", [0.0, 5.0])
def test_no_permutation_of_the_batch_is_cheaper(views, common):
    state, online = made(), encoded(views)
    # With much in common all rows are nearest to one target.
    online.z.add_(common)
    own = state.targets[torch.tensor(SAMPLES)]
    every = [cost(online.z, own[list(order)], views) for order in itertools.permutations(range(5))]
    assert loss_of(Noise(), state, online).item() == pytest.approx(min(every), rel=1e-6)
    assert min(every) < cost(online.z, own, views)


def test_what_is_dealt_counts_after_the_step_and_stays_a_permutation():
    state, online = made(), encoded()
    loss_of(Noise(), state, online)
    assert torch.equal(state.assigned, torch.arange(20))
    state.after_step(nn.Identity(), context(), online, online)
    dealt = state.assigned.clone()
    assert not torch.equal(dealt, torch.arange(20))
    assert torch.equal(dealt.sort().values, torch.arange(20))
    others = [i for i in range(20) if i not in SAMPLES]
    assert torch.equal(dealt[others], torch.tensor(others))
    # Nobody is nearer than what was found: the same rows are given the same targets again.
    first = loss_of(Noise(), state, online)
    torch.testing.assert_close(loss_of(Noise(every=0), state, online), first)
    # A step that dealt nothing changes nothing.
    state.after_step(nn.Identity(), context(), online, online)
    state.after_step(nn.Identity(), context(), online, online)
    assert torch.equal(state.assigned, dealt)


def test_targets_that_are_met_cost_nothing():
    state = made()
    rows = encoded().rows
    other = torch.randperm(5)
    z = 3 * state.targets[torch.tensor(SAMPLES)][other]
    assert loss_of(Noise(), state, Encoded(z, z, rows)).item() == pytest.approx(0, abs=1e-9)
    # Fixed targets: whoever faces away from his pays 2.
    against = -state.targets[torch.tensor(SAMPLES)]
    assert loss_of(Noise(every=0), state, Encoded(against, against, rows)).item() == pytest.approx(2.0)


def test_epochs_without_dealing():
    part, state, online = Noise(every=3), made(), encoded()
    fixed = loss_of(Noise(every=0), state, online)
    for epoch, deals in ((0, True), (1, False), (2, False), (3, True)):
        assert (loss_of(part, state, online, context(epoch)) < fixed - 1e-6) == deals
        assert (state.dealt is not None) == deals


def test_targets_are_even_on_the_sphere_and_are_not_trained():
    torch.manual_seed(1)
    state = Noise().build(Facts("made", "glyphs", 1, 8, 4000, width=6, projection=4))
    torch.testing.assert_close(state.targets.norm(dim=1), torch.ones(4000))
    assert state.targets.mean(0).abs().max() < 4 / math.sqrt(4 * 4000)
    assert not list(state.parameters())


def test_the_gradient_pulls_to_the_target_and_stays_on_the_sphere():
    state, online = made(), encoded()
    online.z.requires_grad_()
    loss_of(Noise(every=0), state, online).backward()
    target = state.targets[torch.tensor(SAMPLES)]
    z = online.z.detach()
    length = z.norm(dim=1, keepdim=True)
    away = (z / length * (z / length * target).sum(1, keepdim=True) - target) / length / 5
    torch.testing.assert_close(online.z.grad, away)


def test_two_ranks_deal_the_targets_of_the_whole_batch():
    state, online = made(), encoded(2, samples=(*SAMPLES, 5))
    whole = loss_of(Noise(), state, online)
    state.after_step(nn.Identity(), context(), online, online)

    each = made(), made()  # not by the threads, which share torch's generator

    def work(comm):
        own, mine = each[comm.rank], share(online, comm.rank)
        loss = loss_of(Noise(), own, mine, context(comm=comm))
        own.after_step(nn.Identity(), context(comm=comm), mine, mine)
        return loss, own.assigned

    (one, dealt), (other, same) = two_ranks(work)
    torch.testing.assert_close((one + other) / 2, whole)
    assert torch.equal(dealt, state.assigned)
    assert torch.equal(same, state.assigned)


def test_the_state_goes_on_from_its_file():
    state, other = made(), Noise().build(FACTS).double()
    online = encoded()
    loss_of(Noise(), state, online)
    state.after_step(nn.Identity(), context(), online, online)
    other.load_state_dict(state.state_dict())
    again = encoded(seed=4, samples=(9, 12, 1, 2, 3))
    torch.testing.assert_close(loss_of(Noise(), other, again), loss_of(Noise(), state, again), rtol=0, atol=0)


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="give 0 or more epochs"):
        Noise(every=-1).build(FACTS)
    assert Noise().seen(256, 1) == 0
