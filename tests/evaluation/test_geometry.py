import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation import alignment, class_alignment, uniformity
from counterpoint.evaluation.geometry import class_alignment_estimate, uniformity_estimate


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sphere(row):
    return row / math.sqrt(float(row @ row))


def test_alignment_closed_forms():
    x = rows(10)
    assert alignment(x, 3 * x) == pytest.approx(0, abs=1e-12)
    assert alignment(torch.eye(2), torch.eye(2).flip(0)) == pytest.approx(2)
    angle = torch.tensor([0.3, 1.1], dtype=torch.float64)
    turned = torch.stack((angle.cos(), angle.sin()), 1)
    fixed = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(2, 1)
    assert alignment(fixed, turned) == pytest.approx(float((2 - 2 * angle.cos()).mean()))
    assert alignment(fixed, turned, alpha=1.0) == pytest.approx(float((2 * (angle / 2).sin()).mean()))


def test_uniformity_closed_forms():
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)
    assert uniformity(torch.eye(2)) == pytest.approx(-4)


def test_uniformity_equals_a_slow_loop():
    x = rows(30)
    total = [math.exp(-2 * float((sphere(x[i]) - sphere(x[j])).square().sum())) for i in range(30) for j in range(i)]
    assert uniformity(x) == pytest.approx(math.log(sum(total) / len(total)))


@pytest.mark.parametrize(
    ("width", "limit"),
    [(2, -1.575027), (3, -2.079777), (8, -3.082527), (32, -3.751805), (128, -3.937530), (512, -3.984375)],
)
def test_uniform_spread_has_the_known_limit(width, limit):
    assert uniformity(rows(2000, width)) == pytest.approx(limit, abs=1e-2)


@given(st.integers(1, 5000))
def test_the_block_size_changes_nothing(cells):
    assert uniformity(rows(70), cells=cells) == pytest.approx(uniformity(rows(70)), abs=1e-10)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_rotation_and_scale_change_nothing(seed, scale):
    x, y, labels = rows(40), rows(40, seed=1), torch.arange(40) % 3
    turn = torch.linalg.qr(rows(6, seed=seed)).Q * scale
    assert uniformity(x @ turn) == pytest.approx(uniformity(x), abs=1e-9)
    assert alignment(x @ turn, y @ turn) == pytest.approx(alignment(x, y), abs=1e-9)
    assert class_alignment(x @ turn, labels) == pytest.approx(class_alignment(x, labels), abs=1e-9)


def test_class_alignment_equals_a_slow_loop():
    x, labels = rows(40), torch.tensor([0] * 5 + [1] * 20 + [2] + [-1] * 4 + [3] * 10)
    total = [
        float((sphere(x[i]) - sphere(x[j])).square().sum())
        for i in range(40)
        for j in range(i)
        if labels[i] == labels[j] >= 0
    ]
    assert class_alignment(x, labels) == pytest.approx(sum(total) / len(total))


def test_intervals_cover_at_about_their_rate():
    shift = torch.tensor([0.8, 0.0, 0.0])
    truth = uniformity(rows(6000, 3, seed=99).float() + shift)
    found = [uniformity_estimate(rows(150, 3, seed=seed).float() + shift) for seed in range(60)]
    inside = sum(estimate.low <= truth <= estimate.high for estimate in found)
    assert 51 <= inside < 60


def test_class_alignment_interval_holds_its_value():
    estimate = class_alignment_estimate(rows(200), torch.arange(200) % 4)
    assert estimate is not None
    assert estimate.low < estimate.value < estimate.high
    assert estimate.value == pytest.approx(2, abs=0.1)


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="two views of one image"):
        alignment(rows(3), rows(4))
    with pytest.raises(ShapeError, match="at least 2"):
        uniformity(rows(1))
    with pytest.raises(ShapeError, match="every class has one"):
        class_alignment(rows(3), torch.arange(3))
