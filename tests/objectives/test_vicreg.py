"""VICReg: loops, closed forms, each term alone, properties, mistakes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import VICReg, vicreg

from .aligned_made import columns, covariance, views
from .pairs_made import normal

WHITE = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)


def slow(x, y):
    """Invariance, variance, covariance."""
    count, width = x.shape
    far = sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)) / (count * width)
    lack = off = 0.0
    for rows in (x, y):
        for j, one in enumerate(columns(rows)):
            lack += max(0.0, 1 - (covariance(one, one) + 1e-4) ** 0.5) / width / 2
            off += sum(covariance(one, other) ** 2 for k, other in enumerate(columns(rows)) if k != j) / width
    return far, lack, off


@pytest.mark.parametrize("dimensions", [3, 6, 30])
def test_it_equals_loops(dimensions):
    x, y = 0.8 * normal(0, 6, dimensions) + 2, 1.3 * normal(1, 6, dimensions)
    far, lack, off = slow(x, y)
    assert lack > 0
    assert vicreg(x, y).item() == pytest.approx(25 * far + 25 * lack + off, rel=1e-10)
    loss = VICReg(3.0, 5.0, 7.0)([views(x, y)])
    assert loss.total.item() == pytest.approx(3 * far + 5 * lack + 7 * off, rel=1e-10)
    found = [loss.terms[name].item() for name in ("invariance", "variance", "covariance")]
    assert found == pytest.approx([far, lack, off], rel=1e-10)
    assert loss.anchors == 6


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(0 * WHITE, 24.75, id="all zero: twice that without the half"),
        pytest.param(WHITE, 0.0, id="whitened"),
        pytest.param(WHITE[:, [0, 0]], 3.555556, id="a dimension twice"),
        pytest.param(WHITE / 2, 10.564078, id="too little variance"),
    ],
)
def test_closed_forms(rows, expected):
    assert vicreg(rows, rows).item() == pytest.approx(expected, abs=1e-6)
    shifted = rows + torch.tensor([3.0, -2.0])
    assert vicreg(shifted, shifted).item() == pytest.approx(expected, abs=1e-6)


def test_each_term_stands_alone():
    x, y = WHITE, WHITE + torch.tensor([2.0, 0.0])
    assert vicreg(x, y, variance=0.0, covariance=0.0, invariance=1.0).item() == pytest.approx(2.0)
    small = 0 * WHITE
    assert vicreg(small, WHITE, invariance=0.0, covariance=0.0, variance=1.0).item() == pytest.approx(0.99 / 2)
    twice = WHITE[:, [0, 0]]
    assert vicreg(twice, WHITE, invariance=0.0, variance=0.0).item() == pytest.approx((4 / 3) ** 2)


@given(seed=st.integers(0, 10**6), dimensions=st.sampled_from([3, 30]))
def test_order_shift_and_side_do_not_matter(seed, dimensions):
    x, y = normal(seed, 8, dimensions), normal(seed + 1, 8, dimensions)
    order, across, shift = normal(seed + 2, 8).argsort(), normal(seed + 3, dimensions).argsort(), normal(seed + 4, 1)
    moved = (x + shift)[order][:, across], (y + shift)[order][:, across]
    torch.testing.assert_close(vicreg(*moved), vicreg(x, y))
    torch.testing.assert_close(vicreg(y, x), vicreg(x, y))


@pytest.mark.parametrize("dimensions", [2, 12])
def test_gradcheck(dimensions):
    x, y = 0.5 * normal(0, 4, dimensions), 0.5 * normal(1, 4, dimensions)
    assert torch.autograd.gradcheck(vicreg, (x.requires_grad_(), y.requires_grad_()))


def test_enough_variance_gets_no_gradient():
    x = (3 * WHITE).requires_grad_()
    vicreg(x, x, invariance=0.0, covariance=0.0).backward()
    assert (x.grad == 0).all()


def test_constant_rows_stay_finite():
    x = torch.ones(6, 4, requires_grad=True)
    vicreg(x, torch.ones(6, 4)).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("rows", [32, 512])
def test_single_precision_and_autocast_keep_it(rows):
    x = normal(0, rows, 128)
    y = x + 0.3 * normal(1, rows, 128)
    exact = vicreg(x, y).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = VICReg()([views(x.float(), y.float())]).total
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=1e-4)


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match=r"two tensors .* of one shape"):
        vicreg(z, z[:3])
    with pytest.raises(ShapeError, match="got 1 rows, but it needs at least 2"):
        vicreg(z[:1], z[:1])
    for name in ("invariance", "variance", "covariance"):
        with pytest.raises(RecipeError, match="none may be negative"):
            vicreg(z, z, **{name: -1.0})
        with pytest.raises(RecipeError, match="none may be negative"):
            VICReg(**{name: -1.0})([views(z, z)])
