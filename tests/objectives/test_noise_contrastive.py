"""Noise-contrastive estimation: loops, the closed form, properties, mistakes."""

import math

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import NoiseContrastive, _blocks, noise_contrastive
from counterpoint.relations import Explicit, Related, Unrelated, Weighted
from counterpoint.scores import Cosine, Euclidean
from counterpoint.types import Columns, Match

from .pairs_made import in_batch, normal, private


def slow(query, key, noise, temperature, prior, proximal=0.0):
    """Chances, as the paper has them."""
    total = 0.0
    cosine = lambda a, b: float(a @ b / (a.norm() * b.norm()))  # noqa: E731
    signal = lambda s: 1 / (1 + math.exp(-s / temperature - prior))  # noqa: E731
    for q, k in zip(query, key, strict=True):
        total -= math.log(signal(cosine(q, k)))
        total -= sum(math.log(1 - signal(cosine(q, n))) for n in noise)
        total += proximal * float((q / q.norm() - k / k.norm()).square().sum())
    return total / len(query)


def match(query, key, noise, prior):
    own = Columns(key[:, None], Weighted(Related(), log_prior=prior), Cosine())
    return Match(query, (own, Columns(noise, Weighted(Unrelated(), log_prior=prior), Cosine())))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("prior", [-3.0, 0.0])
@pytest.mark.parametrize("cells", [1, 1 << 20])
def test_it_is_the_loops_whatever_the_block(temperature, prior, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    query, key, noise = normal(0, 6, 4), normal(1, 6, 4), normal(2, 9, 4)
    found = noise_contrastive(query, key, noise, temperature=temperature, log_prior=prior)
    assert found.item() == pytest.approx(slow(query, key, noise, temperature, prior), rel=1e-12)
    near = NoiseContrastive(temperature, proximal=0.7)([match(query, key, noise, prior)])
    assert near.total.item() == pytest.approx(slow(query, key, noise, temperature, prior, 0.7), rel=1e-12)
    assert near.anchors == 6


@pytest.mark.parametrize(("count", "expected"), [(4, 2.502012), (1, 2 * math.log(2))])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_all_scores_equal(count, expected, temperature):
    """Z = n exp(s / t), so that g = 1 / (1 + K): log(1 + K) + K log((1 + K) / K), whatever t and n are."""
    one = torch.ones(3, 2, dtype=torch.float64)
    n = 50
    prior = math.log(n / count) - math.log(n) - 1 / temperature
    found = noise_contrastive(one, one, one[:1].repeat(count, 1), temperature=temperature, log_prior=prior)
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_terms_are_the_mean_log_odds():
    query, key, noise = normal(0, 6, 4), normal(1, 6, 4), normal(2, 9, 4)
    terms = NoiseContrastive(0.2)([match(query, key, noise, -1.0)]).terms
    unit = torch.nn.functional.normalize
    own = (unit(query, dim=1) * unit(key, dim=1)).sum(1).mean() / 0.2 - 1
    other = (unit(query, dim=1) @ unit(noise, dim=1).mT).mean() / 0.2 - 1
    assert terms["own"].item() == pytest.approx(own.item(), rel=1e-5)
    assert terms["noise"].item() == pytest.approx(other.item(), rel=1e-5)


@drawn(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_order_axes_and_lengths_do_not_matter(seed, scale):
    query, key, noise = normal(seed, 5, 4), normal(seed + 1, 5, 4), normal(seed + 2, 7, 4)
    loss = NoiseContrastive(0.3)([match(query, key, noise, -1.0)]).total
    turn = torch.linalg.qr(normal(seed + 3, 4, 4)).Q
    order, other = normal(seed + 4, 5).argsort(), normal(seed + 5, 7).argsort()
    turned = match(scale * query[order] @ turn, key[order] @ turn, scale * noise[other] @ turn, -1.0)
    torch.testing.assert_close(NoiseContrastive(0.3)([turned]).total, loss)


def test_a_masked_candidate_gets_no_gradient():
    query, rows = normal(0, 4, 3), normal(1, 6, 3).requires_grad_()
    target, part = torch.eye(4, 6, dtype=torch.float64), torch.ones(4, 6, dtype=torch.bool)
    part[:, 5] = False
    prior = torch.zeros(4, 6, dtype=torch.float64).masked_fill(~part, -torch.inf)
    NoiseContrastive(0.5)([Match(query, (Columns(rows, Explicit(target, prior), Cosine()),))]).total.backward()
    assert (rows.grad[5] == 0).all()
    assert (rows.grad[:5] != 0).any(1).all()


@pytest.mark.parametrize("cells", [10, 1 << 20])
def test_gradcheck(cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    rows = [normal(i, n, 3).requires_grad_() for i, n in enumerate((4, 4, 5))]
    objective = NoiseContrastive(0.4, proximal=0.3)
    assert torch.autograd.gradcheck(lambda *r: objective([match(*r, -0.5)]).total, rows)


@pytest.mark.parametrize("temperature", [0.001, 0.5])
def test_finite_when_cold_and_in_bfloat16(temperature):
    with torch.autocast("cpu", torch.bfloat16):
        for z in (normal(0, 12, 4, dtype=torch.bfloat16), torch.zeros(12, 4), -torch.eye(12)):
            z = z.clone().requires_grad_()
            loss = noise_contrastive(z, z, z.detach(), temperature=temperature, log_prior=-8.0)
            assert loss.dtype == torch.float32
            loss.backward()
            assert loss.isfinite()
            assert z.grad.isfinite().all()


def test_an_anchor_without_a_positive_counts_nothing():
    z = normal(0, 4, 3).requires_grad_()
    loss = NoiseContrastive(0.5)([in_batch(z, [0, 1, 0, 2], Cosine())])
    assert loss.anchors == 2
    alone = NoiseContrastive(0.5)([in_batch(z, [0, 1, 2, 3], Cosine())])
    assert (alone.anchors, alone.total.item()) == (0, 0.0)
    alone.total.backward()
    assert (z.grad == 0).all()


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match="4 queries and 3 keys"):
        noise_contrastive(z, z[:3], z, temperature=0.5, log_prior=0.0)
    with pytest.raises(ShapeError, match="noise of width 2"):
        noise_contrastive(z, z, z[:, :2], temperature=0.5, log_prior=0.0)
    with pytest.raises(RecipeError, match="must be above 0"):
        noise_contrastive(z, z, z, temperature=0.0, log_prior=0.0)
    with pytest.raises(RecipeError, match="give 0 or more"):
        NoiseContrastive(0.5, proximal=-1.0)([in_batch(z, [0, 0, 1, 1], Cosine())])
    with pytest.raises(RecipeError, match="the proximal term is one of cosines"):
        NoiseContrastive(0.5, proximal=1.0)([private(z, z[:, None], z[:, None], Euclidean())])
    with pytest.raises(RecipeError, match="at least one match"):
        NoiseContrastive()([])
