"""Barlow Twins: loops, closed forms, both ways of the sum, properties, mistakes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import BarlowTwins, barlow_twins

from .aligned_made import columns, covariance, views
from .pairs_made import normal

WHITE = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)


def slow(x, y, redundancy, eps=0.0):
    total = 0.0
    for j, one in enumerate(columns(x)):
        for k, other in enumerate(columns(y)):
            deviation = (covariance(one, one, 0) + eps) ** 0.5 * (covariance(other, other, 0) + eps) ** 0.5
            correlation = covariance(one, other, 0) / deviation
            total += (1 - correlation) ** 2 if j == k else redundancy * correlation**2
    return total


# More rows than dimensions, as many as half of them, and fewer: both ways of the sum of squares.
@pytest.mark.parametrize("dimensions", [3, 9, 40])
@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.1])
def test_it_equals_loops(dimensions, eps):
    x, y = normal(0, 6, dimensions), 3 * normal(1, 6, dimensions) + 5
    expected = slow(x, y, 0.02, eps)
    assert barlow_twins(x, y, redundancy=0.02, eps=eps).item() == pytest.approx(expected, rel=1e-10)
    loss = BarlowTwins(0.02, scale=0.1, eps=eps)([views(x, y)])
    assert loss.total.item() == pytest.approx(0.1 * expected, rel=1e-10)
    parts = loss.terms["invariance"] + 0.02 * loss.terms["redundancy"]
    assert parts.item() == pytest.approx(expected, rel=1e-10)
    assert loss.anchors == 6


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        pytest.param(WHITE, WHITE, 0.0, id="whitened"),
        pytest.param(WHITE[:, [0, 0]], WHITE[:, [0, 0]], 0.0102, id="a dimension twice"),
        pytest.param(WHITE, WHITE[:, [1, 0]], 2.0102, id="dimensions exchanged"),
        pytest.param(WHITE, -WHITE, 8.0, id="opposed"),
    ],
)
def test_closed_forms(x, y, expected):
    assert barlow_twins(x, y, eps=0.0).item() == pytest.approx(expected, abs=1e-12)
    assert barlow_twins(x, y).item() == pytest.approx(expected, abs=1e-4)
    wide = [rows.repeat(1, 8) for rows in (x, y)]
    assert barlow_twins(*wide, eps=0.0).item() == pytest.approx(slow(*wide, 0.0051), abs=1e-9)


@given(seed=st.integers(0, 10**6), dimensions=st.sampled_from([3, 30]))
def test_order_and_positive_affine_maps_do_not_matter(seed, dimensions):
    x, y = normal(seed, 8, dimensions), normal(seed + 1, 8, dimensions)
    order, across = normal(seed + 2, 8).argsort(), normal(seed + 3, dimensions).argsort()
    scale, shift = normal(seed + 4, dimensions).exp(), normal(seed + 5, dimensions)
    moved = (scale * x + shift)[order][:, across], y[order][:, across]
    torch.testing.assert_close(barlow_twins(*moved, eps=0.0), barlow_twins(x, y, eps=0.0))
    torch.testing.assert_close(barlow_twins(y, x), barlow_twins(x, y))


def test_axes_do_matter():
    """What no loss of inner products of rows could be: a turn of both views makes dimensions redundant."""
    turn = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / 2**0.5
    stretched = WHITE * torch.tensor([1.0, 3.0])
    assert barlow_twins(stretched, stretched).item() == pytest.approx(0.0, abs=1e-4)
    assert barlow_twins(stretched @ turn, stretched @ turn, redundancy=1.0).item() > 1.0


@pytest.mark.parametrize("dimensions", [2, 12])
def test_gradcheck(dimensions):
    x, y = normal(0, 4, dimensions).requires_grad_(), normal(1, 4, dimensions).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: barlow_twins(x, y, redundancy=0.3), (x, y))


def test_a_constant_dimension_costs_one_and_stays_finite():
    x, y = WHITE.clone(), WHITE.clone()
    x[:, 1] = 7.0
    x.requires_grad_()
    loss = barlow_twins(x, y)
    assert loss.item() == pytest.approx(1.0, abs=1e-4)
    loss.backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("rows", [32, 512])
def test_single_precision_and_autocast_keep_it(rows):
    x = normal(0, rows, 128)
    y = x + 0.3 * normal(1, rows, 128)
    exact = barlow_twins(x, y).item()
    assert barlow_twins(x.float(), y.float()).item() == pytest.approx(exact, rel=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = BarlowTwins()([views(x.float(), y.float())]).total
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=1e-4)


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match=r"two tensors .* of one shape"):
        barlow_twins(z, z[:, :2])
    for wrong in ({"redundancy": -1.0}, {"eps": -1.0}):
        with pytest.raises(RecipeError, match="neither may be negative"):
            barlow_twins(z, z, **wrong)
    with pytest.raises(RecipeError, match="give a number above 0"):
        BarlowTwins(scale=0.0)([views(z, z)])
    with pytest.raises(RecipeError, match="at least one match"):
        BarlowTwins()([])
