"""Mixtures of hard negatives: loops, closed forms, MoCo where there are none."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Mixed, Queue, between, hardest, mixed
from counterpoint.objectives import Contrast
from counterpoint.pairing import SameSample
from counterpoint.scores import Cosine
from counterpoint.sphere import unit
from counterpoint.types import Facts

from .rows_made import context, cosines, encoded, share

FACTS = Facts("made", "photos", 3, 8, 100, width=6, projection=5)
PART = Mixed(Queue(20), hardest=6, keys=8, query=7)


def made(part, seed=1, step=0, online=None, context_=None):
    """The match, and the queue."""
    torch.manual_seed(0)
    state = part.build(FACTS).double()
    online = encoded(seed) if online is None else online
    (match,) = part.match(online, encoded(seed + 1), SameSample(), Cosine(), state, context_ or context(step))
    return match, unit(state.rows)


# ---------------------------------------------------------------- the parts of a mixture


@pytest.mark.parametrize("count", [1, 4, 20])
@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_the_hardest_are_those_of_the_highest_cosine(count, cells, monkeypatch):
    monkeypatch.setattr(mixed, "_CELLS", cells)
    query, rows = unit(encoded(1).z), unit(encoded(2, n=10).z)
    expected = [sorted(sorted(range(20), key=lambda j: -row[j])[:count]) for row in cosines(query, rows)]
    assert hardest(query, rows, count).tolist() == expected


def test_the_ends_of_a_mixture_are_its_rows():
    one, other = unit(encoded(1).z), unit(encoded(2).z)
    torch.testing.assert_close(between(one, other, torch.ones(8)), one)
    torch.testing.assert_close(between(one, other, torch.zeros(8)), other)
    middle = between(one, other, torch.full((8,), 0.5))
    torch.testing.assert_close((middle * one).sum(1), (middle * other).sum(1))
    torch.testing.assert_close(middle.norm(dim=1), torch.ones(8, dtype=torch.float64))


# ---------------------------------------------------------------- the columns


def test_mixtures_lie_between_two_of_the_hardest_keys_or_one_and_the_query():
    """Solved in plain loops: some pair, and some share, make every column."""
    match, rows = made(PART)
    extra = match.columns[-1].rows
    assert extra.shape == (4, 15, 5)
    query = unit(match.query)
    for i in range(4):
        near = sorted(range(20), key=lambda j: -float(query[i] @ rows[j]))[:6]
        for c in range(15):
            ends = [(rows[a], rows[b], 1.0) for a in near for b in near]
            if c >= 8:
                ends = [(query[i], rows[b], 0.5) for b in near]
            assert any(lies_between(extra[i, c], *end) for end in ends), (i, c)


def lies_between(row, one, other, most):
    """Whether row is unit(x one + (1 - x) other) for an x of at most so much."""
    if torch.allclose(row, one) and torch.allclose(one, other):
        return True
    x, y = torch.linalg.lstsq(torch.stack([one, other], 1), row[:, None]).solution[:, 0].tolist()
    near = torch.allclose(x * one + y * other, row, atol=1e-6)
    return near and x >= -1e-6 and y >= -1e-6 and x / (x + y) <= most + 1e-6


def test_partners_and_shares_are_drawn_evenly(monkeypatch):
    """Which an end of the range, or a key mixed with itself, would pass for in all else."""
    asked = []
    monkeypatch.setattr(mixed, "between", lambda one, other, share: asked.append((one, other, share)) or other)
    made(replace(PART, keys=200, query=200))
    for (_, _, part), most in zip(asked, (1.0, 0.5), strict=True):
        assert part.min() < 0.05 * most
        assert 0.95 * most < part.max() <= most
        assert part.mean().item() == pytest.approx(most / 2, rel=0.1)
    # Of six keys another is drawn five times in six.
    (one, other, _), _ = asked
    assert (one != other).any(-1).double().mean().item() == pytest.approx(5 / 6, abs=0.05)


@given(seed=st.integers(0, 10**4))
def test_a_mixture_with_the_query_is_no_easier_than_its_key(seed):
    match, rows = made(replace(PART, hardest=1), seed)
    query = unit(match.query)
    own = torch.einsum("ad,acd->ac", query, match.columns[-1].rows[:, 8:])
    hard = (query @ rows.mT).amax(1, keepdim=True)
    assert (own >= hard - 1e-9).all()


def test_nothing_flows_through_a_mixture():
    online = encoded(1)
    online.z.requires_grad_()
    match, _ = made(PART, online=online)
    assert not match.columns[-1].rows.requires_grad
    fixed = replace(match, columns=tuple(replace(g, rows=g.rows.detach()) for g in match.columns))
    one, two = (torch.autograd.grad(Contrast(0.2)([m]).total, online.z, retain_graph=True)[0] for m in (match, fixed))
    assert torch.equal(one, two)


def test_steps_draw_anew_and_the_same_when_asked_again():
    first, again, second = (made(PART, step=step)[0].columns[-1].rows for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


# ---------------------------------------------------------------- the loss


def test_without_mixtures_it_is_moco():
    with_none, _ = made(replace(PART, keys=0, query=0))
    torch.manual_seed(0)
    state = Queue(20).build(FACTS).double()
    (plain,) = Queue(20).match(encoded(1), encoded(2), SameSample(), Cosine(), state, context())
    assert torch.equal(Contrast(0.2)([with_none]).total, Contrast(0.2)([plain]).total)


def test_mixing_starts_at_its_epoch():
    part = replace(PART, start=1.5)
    groups = [len(made(part, step=step)[0].columns) for step in (0, 14, 15, 99)]
    assert groups == [2, 2, 3, 3]


@given(seed=st.integers(0, 10**4), keys=st.integers(0, 5), query=st.integers(0, 5))
def test_the_loss_is_at_least_that_of_moco(seed, keys, query):
    match, _ = made(replace(PART, keys=keys, query=query), seed)
    plain = replace(match, columns=match.columns[:2])
    assert Contrast(0.2)([match]).total >= Contrast(0.2)([plain]).total - 1e-12


def test_mixtures_that_are_keys_count_these_twice(monkeypatch):
    monkeypatch.setattr(mixed, "between", lambda one, other, share: one)
    match, rows = made(replace(PART, query=0))
    query, own, twice = unit(match.query), match.columns[0].rows[:, 0], match.columns[2].rows
    assert (twice[:, :, None] == rows).all(-1).any(-1).all()
    logits = [query @ unit(own).mT, query @ rows.mT, torch.einsum("ad,acd->ac", query, twice)]
    logits[0] = logits[0].diagonal()[:, None]
    table = torch.cat(logits, 1) / 0.2
    torch.testing.assert_close(Contrast(0.2)([match]).total, (table.logsumexp(1) - table[:, 0]).mean())


def test_a_rank_mixes_what_one_process_does():
    whole = encoded(1)
    alone, _ = made(PART, online=whole)
    for rank in range(2):
        match, _ = made(PART, online=share(whole, rank), context_=context(comm=Comm(rank, 2)))
        assert torch.equal(match.columns[-1].rows, alone.columns[-1].rows[rank * 2 : rank * 2 + 2])


def test_both_directions_have_mixtures_of_their_own():
    part = replace(PART, queue=Queue(20, symmetric=True))
    torch.manual_seed(0)
    state = part.build(FACTS).double()
    one, two = part.match(encoded(1), encoded(2), SameSample(), Cosine(), state, context())
    assert len(one.columns) == len(two.columns) == 3
    assert not torch.equal(one.columns[2].rows, two.columns[2].rows)
    assert part.seen(8, 2) == 35


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="at most as many"):
        replace(PART, hardest=21).build(FACTS)
    with pytest.raises(RecipeError, match="give 0 or more of each"):
        replace(PART, keys=-1).build(FACTS)
