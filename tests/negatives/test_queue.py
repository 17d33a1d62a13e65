"""The queue: closed forms, the symmetric form, and what the target must encode for it."""

import math

import pytest
import torch
from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.negatives import Queue
from counterpoint.objectives import Contrast, Each
from counterpoint.pairing import SameSample
from counterpoint.scores import Cosine
from counterpoint.types import Encoded, Facts

from .rows_made import context, encoded, rows_of, take

FACTS = Facts("made", "photos", 3, 8, 100, width=6, projection=5)


def matches(part, state, online, keys):
    return part.match(online, keys, SameSample(), Cosine(), state, context())


@pytest.mark.parametrize(("temperature", "expected"), [(0.2, 0.020012), (1.0, 0.743668)])
def test_a_query_at_its_key_and_a_queue_across(temperature, expected):
    """log(1 + 3 exp(-1 / t))."""
    part = Queue(3)
    state = part.build(FACTS)
    state.rows.copy_(torch.eye(5)[:3])
    z = torch.eye(5, dtype=torch.float64)[3:].repeat(2, 1)
    rows = Encoded(z, z, rows_of(2))
    loss = Contrast(temperature)(matches(part, state, rows, rows))
    assert float(loss.total) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
def test_all_rows_alike(symmetric):
    part = Queue(6, symmetric)
    state = part.build(FACTS)
    state.rows.fill_(1.0)
    z = torch.ones(8, 5, dtype=torch.float64)
    rows = Encoded(z, z, rows_of())
    loss = Contrast(0.1)(matches(part, state, rows, rows))
    assert float(loss.total) == pytest.approx(math.log(7))
    assert loss.anchors == (8 if symmetric else 4)


def test_the_symmetric_form_is_the_mean_of_both_directions():
    part, both = Queue(7), Queue(7, symmetric=True)
    state = part.build(FACTS)
    online, keys = encoded(1), encoded(2)
    swap = lambda e: Encoded(e.h.roll(4, 0), e.z.roll(4, 0), e.rows)  # noqa: E731
    there, back = (
        Contrast(0.2)(matches(part, state, *pair)).total for pair in ((online, keys), (swap(online), swap(keys)))
    )
    online.z.requires_grad_()
    found = Contrast(0.2)(matches(both, state, online, keys)).total
    torch.testing.assert_close(found, (there + back) / 2)
    found.backward()
    assert (online.z.grad != 0).any(1).all()


def test_the_symmetric_queue_takes_both_keys_after_the_step():
    part = Queue(10, symmetric=True)
    state = part.build(FACTS)
    before = state.rows.clone()
    keys = encoded(2)
    matches(part, state, encoded(1), keys)
    assert torch.equal(state.rows, before)
    state.after_step(nn.Identity(), context(), encoded(1), keys)
    assert torch.equal(state.rows[:4], keys.z[4:].float())
    assert torch.equal(state.rows[4:8], keys.z[:4].float())
    assert torch.equal(state.rows[8:], before[8:])
    assert int(state.head) == 8


@pytest.mark.parametrize("size", [4, 6, 9])
def test_after_as_many_keys_as_it_holds_no_random_one_remains(size):
    state = Queue(size).build(FACTS)
    random = state.rows.clone()
    for step in range(math.ceil(size / 4)):
        assert (state.rows == random).all(1).any()
        state.after_step(nn.Identity(), context(), encoded(9), encoded(10 + step))
    assert not (state.rows == random).all(1).any()


def test_one_positive_needs_no_denominator_of_its_own():
    """VINCE with one frame is MoCo."""
    part = Queue(7)
    state = part.build(FACTS)
    made = matches(part, state, encoded(1), encoded(2))
    torch.testing.assert_close(Contrast(0.2)(made).total, Contrast(0.2, denominator=Each())(made).total)


def test_views_that_are_not_encoded_are_not_needed():
    """What a target that shares the views out hands over: queries of view 0, keys of view 1."""
    part = Queue(7)
    state = part.build(FACTS)
    online, keys = encoded(1), encoded(2)
    few = take(online, online.rows.view == 0), take(keys, keys.rows.view == 1)
    assert torch.equal(
        Contrast(0.2)(matches(part, state, online, keys)).total, Contrast(0.2)(matches(part, state, *few)).total
    )
    with pytest.raises(RecipeError, match="compares view 1 of the network with view 0 of the target"):
        matches(Queue(7, symmetric=True), state, *few)


def test_it_takes_the_keys_of_the_second_view_and_they_get_no_gradient():
    part = Queue(10)
    state = part.build(FACTS)
    online, keys = encoded(1), encoded(2)
    online.z.requires_grad_()
    keys.z.requires_grad_()
    Contrast(0.2)(matches(part, state, online, keys)).total.backward()
    assert (online.z.grad[:4] != 0).any(1).all()
    assert keys.z.grad is None
    state.after_step(nn.Identity(), context(), online, keys.detached())
    assert torch.equal(state.rows[:4], keys.z[4:].float())
