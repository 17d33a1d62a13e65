"""Cosine regression: loops, closed forms, BYOL and SimSiam of one part, properties, mistakes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import CosineRegression, cosine_regression
from counterpoint.relations import Aligned, Related
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Columns, Match

from .aligned_made import views
from .pairs_made import in_batch, normal

BYOL, SIMSIAM = CosineRegression(scale=4.0, offset=1.0), CosineRegression()


def cosine(a, b):
    inner = sum(x * y for x, y in zip(a, b, strict=True))
    return inner / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def byol_slow(p1, z2, p2, z1):
    """The sum over both directions of the mean square distance of unit rows."""
    total = 0.0
    for p, z in ((p1, z2), (p2, z1)):
        for a, b in zip(p.tolist(), z.tolist(), strict=True):
            long, far = math.hypot(*a), math.hypot(*b)
            total += sum((x / long - y / far) ** 2 for x, y in zip(a, b, strict=True)) / len(p)
    return total


def simsiam_slow(p1, z2, p2, z1):
    """Half the sum over both directions of the negative mean cosine."""
    total = 0.0
    for p, z in ((p1, z2), (p2, z1)):
        for a, b in zip(p.tolist(), z.tolist(), strict=True):
            total -= cosine(a, b) / len(p) / 2
    return total


def test_both_methods_equal_loops():
    p1, z2, p2, z1 = (normal(seed, 7, 4) for seed in range(4))
    matches = [views(p1, z2), views(p2, z1)]
    assert BYOL(matches).total.item() == pytest.approx(byol_slow(p1, z2, p2, z1), rel=1e-12)
    assert SIMSIAM(matches).total.item() == pytest.approx(simsiam_slow(p1, z2, p2, z1), rel=1e-12)
    assert SIMSIAM(matches).anchors == 14


def test_weights_count_and_so_do_anchors():
    one, two = views(normal(0, 6, 3), normal(1, 6, 3), weight=2.0), views(normal(2, 3, 3), normal(3, 3, 3))
    costs = [SIMSIAM([match]).total.item() for match in (one, two)]
    loss = SIMSIAM([one, two])
    assert loss.total.item() == pytest.approx((12 * costs[0] + 3 * costs[1]) / 15, rel=1e-12)
    assert loss.anchors == 15


def test_an_offset_names_the_first_column():
    query, rows = normal(0, 4, 3), normal(1, 9, 3)
    torch.testing.assert_close(SIMSIAM([views(query, rows, offset=5)]).total, SIMSIAM([views(query, rows[5:])]).total)


@pytest.mark.parametrize(
    ("z", "byol", "simsiam"),
    [
        pytest.param([[3.0, 0.0], [0.0, 0.5]], 0.0, -1.0, id="equal"),
        pytest.param([[0.0, 2.0], [1.0, 0.0]], 4.0, 0.0, id="at a right angle"),
        pytest.param([[-1.0, 0.0], [0.0, -9.0]], 8.0, 1.0, id="opposed"),
    ],
)
def test_closed_forms(z, byol, simsiam):
    p, z = torch.eye(2), torch.tensor(z)
    matches = [views(p, z), views(p, z)]
    assert BYOL(matches).total.item() == pytest.approx(byol, abs=1e-6)
    assert SIMSIAM(matches).total.item() == pytest.approx(simsiam, abs=1e-6)


@given(seed=st.integers(0, 10**6))
def test_byol_is_four_and_four_times_simsiam(seed):
    tensors = [normal(seed + i, 6, 4).requires_grad_() for i in range(4)]
    matches = [views(*tensors[:2]), views(*tensors[2:])]
    byol, simsiam = BYOL(matches).total, SIMSIAM(matches).total
    torch.testing.assert_close(byol, 4 + 4 * simsiam)
    for one, other in zip(torch.autograd.grad(byol, tensors), torch.autograd.grad(simsiam, tensors), strict=True):
        torch.testing.assert_close(one, 4 * other)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_order_axes_and_lengths_do_not_matter(seed, scale):
    p, z = normal(seed, 8, 4), normal(seed + 1, 8, 4)
    order, turn = normal(seed + 2, 8).argsort(), torch.linalg.qr(normal(seed + 3, 4, 4)).Q
    torch.testing.assert_close(
        cosine_regression(scale * p[order] @ turn, z[order] @ turn / scale), cosine_regression(p, z)
    )


def test_only_the_row_beside_it_matters():
    p, z = normal(0, 4, 3), normal(1, 6, 3).requires_grad_()
    SIMSIAM([views(p, z, offset=1)]).total.backward()
    assert (z.grad[[0, 5]] == 0).all()
    assert (z.grad[1:5] != 0).any(1).all()


def test_gradcheck():
    p, z = normal(0, 5, 3).requires_grad_(), normal(1, 5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, z: BYOL([views(p, z), views(z, p)]).total, (p, z))


def test_finite_in_bfloat16_and_without_a_direction():
    p = torch.zeros(4, 3, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cosine_regression(p, torch.ones(4, 3))
    assert loss.dtype == torch.float32
    loss.backward()
    assert p.grad.isfinite().all()


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match=r"two tensors .* of one shape"):
        cosine_regression(z, z[:3])
    with pytest.raises(ShapeError, match="at least 1"):
        cosine_regression(z[:0], z[:0])
    with pytest.raises(RecipeError, match="must be above 0"):
        cosine_regression(z, z, scale=0.0)
    with pytest.raises(RecipeError, match="one of cosines"):
        SIMSIAM([views(z, z, score=Dot())])
    with pytest.raises(RecipeError, match="at least one match"):
        SIMSIAM([])
    two = Columns(z, Aligned(), Cosine())
    for match in (
        in_batch(z, [0, 0, 1, 1], Cosine()),
        Match(z, (two, two)),
        Match(z, (Columns(z, Aligned(), Cosine(), z),)),
    ):
        with pytest.raises(RecipeError, match=r"use negatives=.*OtherViews"):
            SIMSIAM([match])
    with pytest.raises(RecipeError, match="OtherViews"):
        SIMSIAM([Match(z, (Columns(z[:, None], Related(), Cosine()),))])
    with pytest.raises(ShapeError, match="one shape"):
        SIMSIAM([views(z, z[:2])])
