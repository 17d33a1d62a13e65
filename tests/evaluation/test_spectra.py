import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation import alpha_req, effective_rank, rank_me, spectrum
from counterpoint.evaluation.spectra import spectra


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_effective_rank_closed_forms():
    assert effective_rank(torch.eye(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([3.0, 1.0])) == pytest.approx(1.754765, abs=1e-6)
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(1.754765, abs=1e-6)
    assert effective_rank(torch.outer(torch.arange(1.0, 5.0), torch.arange(1.0, 4.0))) == pytest.approx(1, abs=1e-3)


def test_rank_me_closed_forms():
    assert rank_me(torch.eye(9)) == pytest.approx(9, abs=1e-4)
    assert rank_me(torch.outer(torch.arange(1.0, 50.0), torch.arange(1.0, 9.0))) == pytest.approx(1, abs=1e-3)
    x = rows(200, 12)
    share = torch.linalg.svdvals(x)
    share = share / share.sum() + 1e-7
    assert rank_me(x) == pytest.approx(math.exp(-float((share * share.log()).sum())), rel=1e-9)


def test_alpha_of_a_power_law():
    rank = torch.arange(1, 301, dtype=torch.float64)
    assert alpha_req(rank**-1.3) == pytest.approx(1.3, abs=1e-9)
    assert alpha_req(7 * rank[:40] ** -0.6) == pytest.approx(0.6, abs=1e-9)
    bent = torch.cat((rank[:100] ** -1.0, torch.full((200,), 1e-9, dtype=torch.float64)))
    assert alpha_req(bent) == pytest.approx(1.0, abs=1e-9), "ranks above 100 take no part"


def test_spectrum_is_that_of_the_covariance_of_unit_rows():
    x = rows(100, 8) + 2
    unit = x / x.norm(dim=1, keepdim=True)
    assert torch.allclose(spectrum(x), torch.linalg.svdvals(torch.cov(unit.T)))


def test_a_wide_matrix_has_the_same_spectrum(monkeypatch):
    x = rows(20, 50)
    plain, every = spectrum(x), spectra(x)
    monkeypatch.setattr("counterpoint.evaluation.spectra.WIDEST", 40)
    assert torch.allclose(spectrum(x), plain[:20], atol=1e-12)
    wide = spectra(x)
    for name in ("effective_rank", "rank_me", "participation", "dimensions"):
        one, other = getattr(every, name), getattr(wide, name)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=1e-3), name


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_rotation_and_scale_change_nothing(seed, scale):
    x = rows(60, 14)
    turn = torch.linalg.qr(rows(14, 14, seed=seed)).Q * scale
    for measure in (rank_me, effective_rank, alpha_req):
        assert measure(x @ turn) == pytest.approx(measure(x), rel=1e-7)
    assert torch.allclose(spectrum(x @ turn), spectrum(x))


@given(st.integers(2, 40), st.integers(1, 20))
def test_ranks_stay_in_range(n, width):
    x = rows(n, width, seed=n)
    for value in (rank_me(x), effective_rank(x)):
        assert 1 - 1e-4 <= value <= min(n, width) * (1 + 1e-4)


def test_block_size_changes_nothing(monkeypatch):
    x = rows(80, 12)
    whole = spectra(x)
    monkeypatch.setattr("counterpoint.evaluation.spectra.CELLS", 400)
    parts = spectra(x)
    assert torch.allclose(whole.singular, parts.singular)
    assert whole.alpha_req.high == pytest.approx(parts.alpha_req.high)
    assert whole.dimensions == parts.dimensions


def test_collapsed_directions_are_counted():
    x = rows(500, 10)
    x[:, 4:] *= 1e-4
    found = spectra(x)
    assert found.dimensions.value == 4
    assert found.dimensions.low <= 4 <= found.dimensions.high
    assert 3 < found.participation.value <= 4


def test_intervals_are_those_of_a_bootstrap():
    x = rows(600, 14) * torch.arange(1, 15) ** -0.7
    found = spectra(x)
    generator = torch.Generator().manual_seed(5)
    draws = [spectra(x[torch.randint(0, 600, (600,), generator=generator)]) for _ in range(80)]
    for name in ("effective_rank", "rank_me", "alpha_req", "participation"):
        spread = torch.tensor([getattr(draw, name).value for draw in draws]).std()
        estimate = getattr(found, name)
        assert (estimate.high - estimate.low) / 2 / 1.96 == pytest.approx(float(spread), rel=0.3), name


def test_collapse_to_a_point_is_undefined_not_a_crash():
    found = spectra(torch.ones(20, 5))
    assert found.effective_rank is None
    assert found.alpha_req is None


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="at least 12 dimensions"):
        alpha_req(torch.ones(6))
    with pytest.raises(ShapeError, match="zeros"):
        effective_rank(torch.zeros(3))
    with pytest.raises(ShapeError, match="zeros"):
        rank_me(torch.zeros(3, 3))
    with pytest.raises(ShapeError, match="at least 2 rows"):
        spectrum(torch.ones(1, 3))
