import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation.one_shot import _distinct, one_shot
from counterpoint.random import Streams

CIRCLE = {c: [10.0 * c, 10.0 * c + 1, 10.0 * c + 2] for c in range(6)}


def circle(angles: dict[int, list[float]], radius: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [(radius * math.cos(math.radians(a)), radius * math.sin(math.radians(a))) for c in angles for a in angles[c]]
    return torch.tensor(rows), torch.tensor([c for c in angles for _ in angles[c]])


def slow(x: torch.Tensor, y: torch.Tensor, ways: int, shots: int, queries: int, episodes: int, metric: str) -> float:
    """The same episodes, one query at a time."""
    stream = Streams(3).at("episodes", ways, shots, queries)
    classes = y.unique().tolist()
    of = {c: torch.nonzero(y == c)[:, 0].tolist() for c in classes}
    chosen = _distinct(torch.full((episodes,), len(classes)), ways, stream)
    sizes = torch.tensor([[len(of[classes[i]]) for i in row] for row in chosen.tolist()])
    picked = _distinct(sizes, shots + queries, stream)
    right = total = 0
    for e in range(episodes):
        means = []
        for w in range(ways):
            rows = [x[of[classes[int(chosen[e, w])]][int(i)]] for i in picked[e, w, :shots]]
            rows = [r / r.norm() for r in rows] if metric == "cosine" else rows
            means.append(sum(rows) / shots)
        for w in range(ways):
            for i in picked[e, w, shots:]:
                q = x[of[classes[int(chosen[e, w])]][int(i)]]
                if metric == "cosine":
                    near = [float(q @ m / q.norm() / m.norm()) for m in means]
                else:
                    near = [-float((q - m).norm()) for m in means]
                right += near.index(max(near)) == w
                total += 1
    return right / total


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("ways", "shots", "queries"), [(2, 1, 1), (3, 2, 1), (4, 1, 3)])
def test_equals_the_slow_form(metric: str, ways: int, shots: int, queries: int) -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.arange(40) % 5
    found = one_shot(x, y, ways=ways, shots=shots, queries=queries, episodes=50, metric=metric, seed=3)
    assert found.accuracy.value == pytest.approx(slow(x, y, ways, shots, queries, 50, metric))


def test_classes_apart_are_told_and_classes_alike_are_guessed() -> None:
    x, y = circle(CIRCLE)
    assert one_shot(x, y, ways=6, episodes=50).accuracy.value == 1
    noise = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    found = one_shot(noise, torch.arange(600) % 6, ways=5, episodes=4000)
    assert (found.chance, found.classes) == (0.2, 6)
    assert abs(found.accuracy.value - 0.2) < 0.02
    assert found.accuracy.low < 0.2 < found.accuracy.high
    assert found.accuracy.high - found.accuracy.low < 0.02


def test_only_euclidean_sees_length() -> None:
    directions, y = circle({0: [5, 40, 70], 1: [6, 41, 71]})
    x = directions * (1 + 9 * y[:, None])
    assert one_shot(x, y, ways=2, shots=2, episodes=200, metric="euclidean").accuracy.value == 1
    assert one_shot(x, y, ways=2, shots=2, episodes=200).accuracy.value < 0.9


@given(st.integers(1, 6), st.integers(0, 10))
def test_draws_are_distinct_and_in_range(count: int, more: int) -> None:
    sizes = torch.tensor([count, count + more]).repeat(20, 1)
    drawn = _distinct(sizes, count, Streams(0).at("x"))
    assert drawn.shape == (20, 2, count)
    assert (drawn >= 0).all()
    assert (drawn < sizes[..., None]).all()
    assert all(len(set(row)) == count for row in drawn.flatten(0, 1).tolist())


def test_draws_are_uniform() -> None:
    drawn = _distinct(torch.full((30_000,), 4), 2, Streams(0).at("x"))
    counts = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    off = counts[~torch.eye(4, dtype=torch.bool)].double()
    assert (off - 2500).abs().max() < 250


def test_unknown_labels_and_small_classes_take_no_part() -> None:
    x, y = circle(CIRCLE)
    y[y == 5] = -1
    y[0] = 9  # a class of one row
    found = one_shot(x, y, ways=2, episodes=20)
    assert found.classes == 5


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ways": 7}, "7-way episodes of 1 \\+ 1 images need 7 classes with so many, but 6 of the 6"),
        ({"ways": 2, "shots": 3}, "but 0 of the 6"),
        ({"ways": 1}, "expected at least 2 ways"),
        ({"episodes": 0}, "episodes=0"),
    ],
)
def test_mistakes_are_sentences(options: dict[str, int], match: str) -> None:
    x, y = circle(CIRCLE)
    with pytest.raises(ShapeError, match=match):
        one_shot(x, y, **options)
