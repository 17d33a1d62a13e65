"""Distances: loops, torch's pairwise distance, and what happens where two rows are one."""

import math

import pytest
import torch
from torch.nn import functional

from counterpoint.scores import Euclidean


def rows(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(a, b, eps, squared):
    square = sum((x - y + eps) ** 2 for x, y in zip(a, b, strict=True))
    return -square if squared else -math.sqrt(square)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_shared_and_private_rows_equal_loops(squared, eps):
    anchors, candidates = rows(0, 3, 4), rows(1, 5, 4)
    score = Euclidean(squared, eps)
    expected = [[slow(a, b, eps, squared) for b in candidates.tolist()] for a in anchors.tolist()]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(score.tile(anchors, candidates), expected, rtol=1e-12, atol=1e-12)
    private = candidates.expand(3, -1, -1)
    torch.testing.assert_close(score.tile(anchors, private), expected, rtol=1e-12, atol=1e-12)


def test_equals_torch_to_the_bit_where_candidates_are_private():
    a, b = rows(0, 6, 4).float(), rows(1, 6, 4).float()
    assert torch.equal(-Euclidean().tile(a, b[:, None])[:, 0], functional.pairwise_distance(a, b))


def test_near_rows_far_from_the_origin_keep_their_digits():
    """A thousandth apart at a distance of 4000 from the origin: |u|^2 + |v|^2 - 2 <u, v> would say anything."""
    a = torch.full((40, 16), 1000.0)
    b = a.clone()
    b[:, 0] += 2**-10
    assert torch.equal(Euclidean(eps=0.0).tile(a, b), torch.full((40, 40), -(2.0**-10)))


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_gradient_is_finite_where_two_rows_are_one(squared, eps):
    a = torch.ones(3, 4, requires_grad=True)
    for candidates in (torch.ones(5, 4), torch.ones(3, 5, 4)):
        (slope,) = torch.autograd.grad(Euclidean(squared, eps).tile(a, candidates).sum(), a)
        assert slope.isfinite().all()


@pytest.mark.parametrize("squared", [False, True])
def test_gradcheck(squared):
    score = Euclidean(squared)
    a, shared, private = (t.requires_grad_() for t in (rows(0, 3, 4), rows(1, 2, 4), rows(2, 3, 2, 4)))
    assert torch.autograd.gradcheck(score.tile, (a, shared))
    assert torch.autograd.gradcheck(score.tile, (a, private))


def test_half_precision_is_computed_in_float32():
    made = Euclidean().prepare(rows(0, 2, 3).bfloat16())
    assert made.dtype == torch.float32
    assert Euclidean().prepare(rows(0, 2, 3)).dtype == torch.float64
