import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation import uniformity
from counterpoint.evaluation.free_points import optimised_points
from counterpoint.evaluation.minima import gaps, least_uniformity, uniform_logit, uniform_uniformity
from counterpoint.objectives import align_uniform, info_nce


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def potential(points):
    return torch.pdist(points).square().mul(-2).exp().mean().log()


def series(b, z):
    """0F1(; b; z), term by term."""
    total = term = 1.0
    for k in range(400):
        term *= z / ((b + k) * (k + 1))
        total += term
    return total


@pytest.mark.parametrize("dim", [2, 3, 8, 32, 128, 512, 2048])
@pytest.mark.parametrize("concentration", [0.0, 0.1, 2.0, 4.0, 14.3, 100.0])
def test_the_uniform_law_is_its_series(dim, concentration):
    expected = math.log(series(dim / 2, concentration**2 / 4))
    assert uniform_logit(dim, concentration) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_uniform_law_is_the_known_one_on_circle_and_sphere():
    from scipy.special import i0

    assert uniform_logit(2, 3.0) == pytest.approx(math.log(i0(3.0)))
    assert uniform_logit(3, 5.0) == pytest.approx(math.log(math.sinh(5.0) / 5.0))
    for dim, value in ((2, -1.575027), (3, -2.079777), (8, -3.082527), (32, -3.751805), (512, -3.984375)):
        assert uniform_uniformity(dim) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("n", "dim"), [(2, 2), (3, 2), (4, 3), (3, 5), (6, 8)])
def test_few_free_points_become_a_simplex(n, dim):
    points = optimised_points(potential, n, dim, starts=2)
    cosine = (points @ points.T)[~torch.eye(n, dtype=torch.bool)]
    assert cosine.tolist() == pytest.approx([-1 / (n - 1)] * len(cosine), abs=1e-5)
    assert uniformity(points) == pytest.approx(least_uniformity(n, dim), abs=1e-9)


POTENTIALS = {
    (5, 2): [1 - math.cos(2 * math.pi * k / 5) for k in range(1, 5)],  # pentagon
    (9, 2): [1 - math.cos(2 * math.pi * k / 9) for k in range(1, 9)],
    (6, 3): [1.0] * 4 + [2.0],  # octahedron
    (8, 4): [1.0] * 6 + [2.0],  # cross-polytope
    (12, 3): [1 - 1 / math.sqrt(5)] * 5 + [1 + 1 / math.sqrt(5)] * 5 + [2.0],  # icosahedron
}


@pytest.mark.parametrize(("n", "dim"), POTENTIALS)
def test_free_points_become_the_known_best_of_the_gaussian_potential(n, dim):
    """Regular polygons, cross-polytopes and the icosahedron are best for every such kernel (Cohn & Kumar 2007)."""
    points = optimised_points(potential, n, dim, starts=2)
    expected = math.log(sum(math.exp(-4 * far) for far in POTENTIALS[n, dim]) / (n - 1))
    assert uniformity(points) == pytest.approx(expected, abs=1e-7)
    assert uniformity(points) > least_uniformity(n, dim)


def test_the_objective_itself_spreads_free_points():
    points = optimised_points(lambda p: align_uniform(p, p, align=0.0), 3, 2, starts=1)
    assert uniformity(points) == pytest.approx(least_uniformity(3, 2), abs=1e-8)


def test_many_free_points_come_near_the_uniform_law():
    points = optimised_points(potential, 200, 3, starts=1, iterations=60)
    assert least_uniformity(200, 3) < uniformity(points) < uniform_uniformity(3) < uniformity(rows(200, 3))
    assert least_uniformity(200, 3) == pytest.approx(uniformity(points), abs=1e-3), "the bound is nearly met"
    assert uniformity(points) == pytest.approx(uniform_uniformity(3), abs=0.05)


def test_alignment_brings_free_pairs_together():
    points = optimised_points(lambda p: align_uniform(p[:5], p[5:], uniform=0.0), 10, 4, starts=1)
    assert gaps(points[:5], points[5:]).alignment.value == pytest.approx(0, abs=1e-8)
    assert float((points[:5] @ points[:5].T).min()) < 0.9, "nothing asks them to collapse"


def test_the_contrastive_loss_reaches_both_minima_at_once():
    """Four pairs in three dimensions: coincident pairs on a simplex."""
    points = optimised_points(lambda p: info_nce(p[:4], p[4:], temperature=0.5), 8, 3)
    found = gaps(points[:4], points[4:])
    assert found.alignment.value == pytest.approx(0, abs=1e-6)
    assert found.uniformity.value == pytest.approx(found.least, abs=1e-6)


@given(st.integers(2, 40), st.integers(2, 12), st.floats(0.1, 8.0), st.integers(0, 1000))
def test_no_points_are_below_the_least(n, dim, t, seed):
    assert uniformity(rows(n, dim, seed), t=t) >= least_uniformity(n, dim, t) - 1e-9


def test_gaps_of_a_collapsed_and_of_a_spread_encoder():
    x = rows(3000, 16)
    spread = gaps(x, x)
    assert spread.alignment.value == pytest.approx(0, abs=1e-12)
    assert spread.gap.value == pytest.approx(0, abs=5e-3)
    assert spread.gap.low <= 0 <= spread.gap.high
    collapsed = gaps(torch.ones(20, 16), torch.ones(20, 16))
    assert collapsed.gap.value == pytest.approx(-uniform_uniformity(16))


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="0 to 500"):
        uniform_logit(3, 501.0)
    with pytest.raises(ShapeError, match="2 or more"):
        uniform_uniformity(1)
    with pytest.raises(ShapeError, match="at least 2"):
        least_uniformity(1, 3)
    with pytest.raises(ShapeError, match="1 free points"):
        optimised_points(lambda p: p.sum(), 1, 3)
