import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation.invariances import class_partners, invariance
from counterpoint.random import Streams


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pictures(n=400, seed=0):
    """A left and a right half of different brightness, each image its own."""
    return rows(n, 2, seed).sigmoid()


def units(x):
    """Of [image, half]: brightness, contrast of the halves, a constant, the left half."""
    return torch.stack((x.sum(1), x[:, 0] - x[:, 1], torch.full((len(x),), 3.0, dtype=x.dtype), x[:, 0]), 1)


def test_a_unit_that_reads_brightness_moves_with_it_and_a_contrast_does_not():
    x = pictures()
    found = invariance(units(x), units(x + 5))
    assert found.unit_moved[1] == pytest.approx(0, abs=1e-12)
    assert found.unit_kept[1] == 1
    assert 9 < found.unit_score[1] < 45, "ten of 200 images are above a threshold, about ten of the other 200"
    assert found.unit_moved[0] > 50
    for silent in (found.unit_moved[2], found.unit_kept[2], found.unit_score[2]):
        assert silent.isnan(), "a constant unit is unmoved and tells nothing"


def test_darkness_blinds_a_brightness_unit_at_both_ends():
    x = pictures()
    found = invariance(units(x), units(torch.full_like(x, 0.5)))
    assert found.unit_kept[0] == found.unit_kept[1] == found.unit_kept[3] == 0
    assert found.kept.value == 0
    assert found.score.value == 0


def test_it_is_the_slow_loop():
    x, y = rows(50, 5), rows(50, 5, 1) + rows(50, 5)
    found = invariance(x, y, rate=0.3)
    order = Streams(0).at("halves").permutation(50).tolist()
    choose, judge = order[:25], order[25:]
    kept, often, score, promised = [], [], [], []
    for u in range(5):
        ends = []
        for sign in (1, -1):
            threshold = sorted(sign * float(x[i, u]) for i in choose)[-11]  # ten images are above
            fired = [i for i in choose if sign * float(x[i, u]) > threshold]
            assert len(fired) == 10
            ends.append((sum(sign * float(y[i, u]) > threshold for i in fired), sign, threshold))
        most, sign, threshold = max(ends, key=lambda end: end[0])
        fired = [i for i in judge if sign * float(x[i, u]) > threshold]
        still = [i for i in fired if sign * float(y[i, u]) > threshold]
        kept.append(len(still) / len(fired))
        often.append(len(fired) / 25)
        score.append(kept[-1] * 26 / (len(fired) + 1))
        promised.append(most)
        change = sum((float(x[i, u]) - float(y[i, u])) ** 2 for i in range(50)) / 50
        assert found.unit_moved[u] == pytest.approx(change / (2 * float(x[:, u].var())))
    assert found.unit_kept.tolist() == pytest.approx(kept)
    assert found.unit_score.tolist() == pytest.approx(score)
    assert found.kept.value == pytest.approx(sum(kept) / 5)
    assert found.score.value == pytest.approx(score[promised.index(max(promised))]), "a fifth of five units is one"
    assert found.rate == pytest.approx(sum(often) / 5)
    sphere = [z / z.norm(dim=1, keepdim=True) for z in (x, y)]
    apart = [float((sphere[0][i] - sphere[0][j]).square().sum()) for i in range(50) for j in range(50) if i != j]
    moved = float((sphere[0] - sphere[1]).square().sum(1).mean())
    assert found.moved.value == pytest.approx(moved / (sum(apart) / len(apart)))


def test_chance_is_one_for_what_knows_nothing_of_the_image():
    found = invariance(rows(4000, 30), rows(4000, 30, 1), rate=0.1)
    assert found.moved.value == pytest.approx(1, abs=0.02)
    assert float(found.unit_moved.mean()) == pytest.approx(1, abs=0.02)
    assert found.kept.value == pytest.approx(0.1, abs=0.01)
    assert found.kept.low < 0.1 < found.kept.high
    assert found.moved.low < 1 < found.moved.high


def test_of_many_units_and_few_images_the_best_are_not_so_by_chance():
    inside, total = 0, 0.0
    for seed in range(20):
        found = invariance(rows(512, 128, seed), rows(512, 128, seed + 100), seed=seed).score
        inside += found.low <= 1 <= found.high
        total += found.value / 20
    assert inside >= 17
    assert total == pytest.approx(1, abs=0.12)
    many = invariance(rows(512, 512), rows(512, 512, 1)).score
    assert many.low < 1 < many.high < 1.8


def test_nothing_changed_and_nothing_told():
    found = invariance(rows(400), 1 * rows(400))
    assert (found.moved.value, found.kept.value, found.kept.high) == (0, 1, 1)
    assert 0.8 < found.kept.low < 1
    assert found.score.value > 9
    dead = invariance(torch.ones(30, 4), torch.ones(30, 4))
    assert dead.unit_kept.isnan().all()
    for silent in (dead.kept, dead.score, dead.moved):
        assert torch.tensor(silent.value).isnan(), "where all images are one, staying tells nothing"
    assert dead.rate == 0
    changed = invariance(torch.ones(30, 4), rows(30, 4))
    assert torch.tensor(changed.moved.value).isnan()
    for n in (2, 3):
        assert invariance(rows(n), rows(n)).moved.value == 0


def test_a_rectified_unit_fires_where_it_is_above_zero():
    x = rows(200, 1).clamp_min(0)
    x[x < x.sort(0).values[-12]] = 0  # twelve images are above zero, fewer than ten of either half
    found = invariance(x, x)
    judged = Streams(0).at("halves").permutation(200)[100:]
    assert found.rate == float((x[judged] > 0).double().mean()) > 0
    assert found.unit_kept[0] == 1


@given(st.integers(0, 1000), st.integers(2, 40))
def test_partners_are_others_of_the_class(seed, n):
    labels = torch.randint(-1, 5, (n,), generator=torch.Generator().manual_seed(seed))
    row, partner = class_partners(labels, seed=seed)
    assert bool((labels[row] == labels[partner]).all())
    assert not bool((row == partner).any())
    assert sorted(partner.tolist()) == row.tolist() == sorted(set(row.tolist()))
    counts = torch.bincount(labels + 1, minlength=6)[labels + 1]
    assert row.tolist() == [i for i in range(n) if labels[i] >= 0 and counts[i] > 1]


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="the same images twice"):
        invariance(rows(3), rows(4))
    with pytest.raises(ShapeError, match="firing rate of 0"):
        invariance(rows(3), rows(3), rate=0.0)
