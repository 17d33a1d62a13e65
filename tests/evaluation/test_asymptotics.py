import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation.asymptotics import asymptote
from counterpoint.evaluation.minima import uniform_logit


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_equals_a_slow_loop():
    x, y = (z / z.norm(dim=1, keepdim=True) for z in (rows(12, 3), rows(12, 3, 1)))
    found = asymptote(x, 5 * y, temperature=0.3, negatives=())
    spread = sum(math.log(sum(math.exp(float(x[i] @ x[j]) / 0.3) for j in range(12) if j != i) / 11) for i in range(12))
    assert found.spread.value == pytest.approx(spread / 12)
    assert found.attraction.value == pytest.approx(-float((x * y).sum()) / 12 / 0.3)
    assert found.limit.value == pytest.approx(found.attraction.value + found.spread.value)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_a_collapsed_encoder(temperature):
    found = asymptote(torch.ones(30, 4), torch.ones(30, 4), temperature=temperature, negatives=(3, 50))
    assert found.attraction.value == pytest.approx(-1 / temperature)
    assert found.limit.value == pytest.approx(0, abs=1e-6)
    for count in (3, 50):
        assert found.remainder[count].value == pytest.approx(math.log(1 + 1 / count), abs=1e-6)


def test_a_simplex():
    """Every negative is at -1/4: L_M is the same whatever is drawn."""
    points = torch.eye(5, dtype=torch.float64) - 0.2
    found = asymptote(points, points, temperature=0.5, negatives=(1, 20))
    assert found.spread.value == pytest.approx(-0.5)
    assert found.limit.value == pytest.approx(-2.5)
    for count in (1, 20):
        expected = math.log(1 + count * math.exp(-2.5)) - math.log(count) + 2.5
        assert found.remainder[count].value == pytest.approx(expected)


@pytest.mark.parametrize(("dim", "temperature"), [(2, 0.5), (3, 0.2), (8, 0.5), (64, 0.3)])
def test_a_uniform_spread_has_the_closed_form(dim, temperature):
    x = rows(3000, dim)
    found = asymptote(x, x, temperature=temperature, negatives=())
    assert found.uniform == uniform_logit(dim, 1 / temperature)
    assert found.spread.value == pytest.approx(found.uniform, abs=0.01)
    assert found.spread.low - 0.005 < found.uniform < found.spread.high + 0.005
    assert found.limit.value == pytest.approx(found.uniform - 1 / temperature, abs=0.01)


def test_the_loss_tends_to_the_limit_as_negatives_grow():
    x = rows(1500, 4)
    found = asymptote(x, x + 0.5 * rows(1500, 4, 1), temperature=0.5, negatives=(1, 8, 64, 512, 4096))
    left = [abs(each.value) for each in found.remainder.values()]
    assert left == sorted(left, reverse=True)
    assert left[0] > 0.3
    assert left[-1] < 0.002
    assert found.remainder[4096].low < 0.002


@given(st.integers(1, 5000))
def test_the_block_size_changes_nothing(cells):
    x, y = rows(40), rows(40, seed=1)
    whole, parts = (asymptote(x, y, negatives=(7,), cells=c) for c in (1 << 20, cells))
    assert parts.limit.value == pytest.approx(whole.limit.value, abs=1e-12)
    assert parts.limit.high == pytest.approx(whole.limit.high, abs=1e-12)
    assert parts.remainder[7].value == pytest.approx(whole.remainder[7].value, abs=1e-12)


def test_the_interval_covers_at_about_its_rate():
    def views(n, seed):
        x = rows(n, 3, seed) + torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        return x, x + 0.4 * rows(n, 3, seed + 50_000)

    truth = asymptote(*views(4000, 999), negatives=())
    inside = {"limit": 0, "spread": 0, "attraction": 0}
    for seed in range(60):
        found = asymptote(*views(200, seed), negatives=())
        for name in inside:
            one = getattr(found, name)
            inside[name] += one.low <= getattr(truth, name).value <= one.high
    assert all(51 <= count <= 60 for count in inside.values()), inside
    assert min(inside.values()) < 60


def test_few_rows_can_spread_further_than_a_uniform_law():
    x = torch.eye(64, dtype=torch.float64) - 1 / 64  # a simplex
    found = asymptote(x, x, temperature=0.1, negatives=())
    assert found.spread.value < found.uniform


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="two views"):
        asymptote(rows(3), rows(4))
    with pytest.raises(ShapeError, match=r"temperature 0\.001"):
        asymptote(rows(3), rows(3), temperature=0.001)
