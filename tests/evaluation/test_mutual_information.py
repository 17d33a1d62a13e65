import math

import pytest
import torch

from counterpoint.errors import ShapeError
from counterpoint.evaluation.mutual_information import shared_information
from counterpoint.objectives import info_nce
from counterpoint.random import Streams


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_objective_subtracted_from_log_k():
    x, y = rows(40), rows(40) + 0.3 * rows(40, seed=1)
    found = shared_information(x, y, batch=20, temperatures=(0.2,))
    judged = Streams(0).at("pairs").permutation(40)[20:]
    expected = math.log(20) - float(info_nce(x[judged], y[judged], temperature=0.2))
    assert found.nats.value == pytest.approx(expected, rel=1e-9)
    assert (found.batch, found.rows, found.ceiling) == (20, 20, math.log(20))
    assert found.nats.low < found.nats.value < found.nats.high


@pytest.mark.parametrize("ids", [2, 8, 32])
def test_identical_ids_share_the_logarithm_of_their_number(ids):
    """With a steep critic the loss is the log of how many of a batch have the anchor's id."""
    labels = torch.randint(0, ids, (4096,), generator=torch.Generator().manual_seed(ids))
    x = torch.eye(ids, dtype=torch.float64)[labels]
    found = shared_information(x, x, batch=1024, temperatures=(0.02, 0.5))
    assert found.temperature == 0.02
    assert found.nats.value == pytest.approx(math.log(ids), abs=0.03)
    assert found.nats.value < found.ceiling


def test_independent_views_share_nothing():
    found = shared_information(rows(4096), rows(4096, seed=1), batch=512)
    assert found.nats.value == pytest.approx(0, abs=0.02)
    assert found.nats.value <= 0.005, "a bound may be below the truth, hardly above"


def test_it_never_exceeds_log_k():
    x = rows(300, 64)
    found = shared_information(x, x, batch=100)
    assert found.nats.value == pytest.approx(math.log(100), abs=1e-6)
    assert found.nats.high <= found.ceiling + 1e-12
    assert shared_information(x, x, batch=4096).batch == 150


def test_a_gaussian_channel_is_bounded_by_its_information():
    """Directions of noisy copies: the bound stays below the information of the rows themselves, and grows with it."""
    found = []
    for noise in (2.0, 1.0, 0.5):
        x = rows(4096, 4)
        truth = 4 / 2 * math.log(1 + 1 / noise**2)
        nats = shared_information(x, x + noise * rows(4096, 4, seed=9), batch=1024).nats
        assert 0 < nats.value < truth
        found.append(nats.value)
    assert found == sorted(found)


def test_the_interval_counts_each_row_as_a_candidate_too():
    """Rows in three clusters, where candidates move all anchors of theirs at once."""
    centres = 3 * torch.randn(3, 8, generator=torch.Generator().manual_seed(99))
    found = []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        x = centres[torch.randint(0, 3, (256,), generator=generator)] + 0.5 * torch.randn(256, 8, generator=generator)
        y = x + 0.5 * torch.randn(256, 8, generator=generator)
        found.append(shared_information(x, y, batch=128, temperatures=(0.1,), seed=seed).nats)
    mean = sum(each.value for each in found) / 60
    assert sum(each.low <= mean <= each.high for each in found) >= 54
    spread = float(torch.tensor([each.value for each in found]).std())
    told = sum(each.high - each.low for each in found) / 60 / 3.92
    assert 0.8 < told / spread < 1.25


def test_what_does_not_choose_judges():
    x = rows(62)
    assert shared_information(x, x, batch=16).rows == 32, "one batch chooses, two judge"


def test_the_block_size_changes_nothing():
    x, y = rows(60), rows(60) + rows(60, seed=1)
    whole, parts = (shared_information(x, y, batch=15, cells=c) for c in (1 << 20, 40))
    assert parts.nats.value == pytest.approx(whole.nats.value, abs=1e-12)
    assert parts.nats.low == pytest.approx(whole.nats.low, abs=1e-12)


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="at least 4"):
        shared_information(rows(3), rows(3))
    with pytest.raises(ShapeError, match="batches of 1"):
        shared_information(rows(9), rows(9), batch=1)
