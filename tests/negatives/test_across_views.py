"""MoCo v3's comparison: loops, the closed form, and its equal that forms twice the products."""

import math

import pytest
import torch

from counterpoint.errors import RecipeError
from counterpoint.negatives import AcrossViews, InBatch
from counterpoint.objectives import Contrast
from counterpoint.pairing import SameClass, SameSample
from counterpoint.scores import Cosine
from counterpoint.types import Encoded

from .rows_made import context, cosines, encoded, rows_of


def loss(online, keys, temperature, part=None, pairing=None, times=0.0):
    matches = (part or AcrossViews()).match(online, keys, pairing or SameSample(), Cosine(), None, context())
    return Contrast(temperature, times_temperature=times)(matches)


def slow(online, keys, temperature):
    """2 t (ctr(q1, k2) + ctr(q2, k1)), as the algorithm says it."""
    total = 0.0
    n = len(keys.z) // 2
    for queries, answers in ((online.p[:n], keys.z[n:]), (online.p[n:], keys.z[:n])):
        for i, row in enumerate(cosines(queries, answers)):
            exponentials = [math.exp(s / temperature) for s in row]
            total += -2 * temperature * math.log(exponentials[i] / sum(exponentials)) / n
    return total


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_it_is_the_algorithm_in_plain_loops(temperature):
    online, keys = encoded(1, predicted=True), encoded(2)
    found = loss(online, keys, temperature, times=4.0)
    assert float(found.total) == pytest.approx(slow(online, keys, temperature), rel=1e-10)
    assert found.anchors == 8
    assert float(sum(found.terms.values())) / 2 == pytest.approx(float(found.total))


@pytest.mark.parametrize("n", [2, 5])
def test_orthonormal_identical_pairs(n):
    """4 t log(1 + (n - 1) exp(-1 / t))."""
    z = torch.eye(n, dtype=torch.float64).repeat(2, 1)
    rows = Encoded(z, z, rows_of(n))
    expected = 4 * 0.2 * math.log(1 + (n - 1) * math.exp(-1 / 0.2))
    assert float(loss(rows, rows, 0.2, times=4.0).total) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("pairing", "labels"), [(SameSample, None), (SameClass, [0, 1, 0, -1])])
@pytest.mark.parametrize("views", [2, 3])
def test_it_is_the_batch_without_the_own_view(pairing, labels, views):
    online, keys = encoded(1, views=views, predicted=True, labels=labels), encoded(2, views=views, labels=labels)
    online.p.requires_grad_()
    ours = loss(online, keys, 0.3, pairing=pairing())
    theirs = loss(online, keys, 0.3, InBatch(), pairing(only_other_view=True))
    assert ours.anchors == theirs.anchors
    torch.testing.assert_close(ours.total, theirs.total)
    torch.testing.assert_close(*(torch.autograd.grad(found.total, online.p)[0] for found in (ours, theirs)))


def test_keys_of_the_own_view_are_nobody_to_a_query():
    online, keys = encoded(1, predicted=True), encoded(2)
    keys.z.requires_grad_()
    first = AcrossViews().match(online, keys, SameSample(), Cosine(), None, context())[0]
    Contrast(0.2)([first]).total.backward()
    assert (keys.z.grad[:4] == 0).all()
    assert (keys.z.grad[4:] != 0).any(1).all()


def test_the_gradient_does_not_grow_as_the_temperature_falls():
    """What the factor is for: without it the gradient by a score is as 1 / t."""
    online, keys = encoded(1, predicted=True), encoded(2)
    online.p.requires_grad_()
    plain, scaled = (
        torch.autograd.grad(loss(online, keys, 0.1, times=times).total, online.p)[0] for times in (0.0, 4.0)
    )
    torch.testing.assert_close(scaled, plain * 0.4)
    with pytest.raises(RecipeError, match="give 0 or more"):
        loss(online, keys, 0.1, times=-1.0)


def test_seen_and_mistakes():
    assert AcrossViews().seen(global_batch=8, views=2) == 7
    with pytest.raises(RecipeError, match="there is one view only"):
        loss(encoded(1, views=1), encoded(1, views=1), 0.1)
