"""Cosine embedding and margin contrast: loops, closed forms, torch, properties, mistakes."""

import math

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch.nn import functional

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import CosineEmbedding, Margin, _blocks, cosine_embedding, margin_contrastive
from counterpoint.scores import Cosine, Euclidean

from .pairs_made import given, in_batch, normal, private, table

LABELS = [0, 1, 0, 2, 1, 0, -1, -1]
OBJECTIVES = [(CosineEmbedding(0.1), Cosine()), (Margin(2.0), Euclidean())]


def pair_cost(objective, score, similar):
    if isinstance(objective, CosineEmbedding):
        return 1 - score if similar else max(0.0, score - objective.margin)
    distance = -score
    return distance**2 / 2 if similar else max(0.0, objective.margin - distance) ** 2 / 2


def slow(objective, *matches):
    total, count = 0.0, 0.0
    for match in matches:
        for positives, negatives in table(match):
            total += match.weight * sum(pair_cost(objective, s, True) for s in positives)
            total += match.weight * sum(pair_cost(objective, s, False) for s in negatives)
            count += match.weight * (len(positives) + len(negatives))
    return total / count


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
@pytest.mark.parametrize("cells", [1, 20, 1 << 20])
def test_pairs_of_a_batch_equal_loops_whatever_the_block(objective, score, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    z = normal(0, 8, 4).requires_grad_()
    match = in_batch(z, LABELS, score)
    loss = objective([match])
    assert loss.total.item() == pytest.approx(slow(objective, match), rel=1e-12)
    assert loss.anchors == 8 * 7
    scores = table(match)
    far = [s for _, negatives in scores for s in negatives]
    sign = 1 if isinstance(objective, CosineEmbedding) else -1
    assert loss.terms["negative"].item() == pytest.approx(sign * sum(far) / len(far), rel=1e-6)
    active = sum(pair_cost(objective, s, False) > 0 for s in far) / len(far)
    assert loss.terms["active"].item() == pytest.approx(active)
    assert 0 < active < 1


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
def test_private_pairs_and_weights_equal_loops(objective, score):
    match = private(normal(0, 5, 4), normal(1, 5, 1, 4), normal(2, 5, 3, 4), score)
    other = in_batch(normal(3, 8, 4), LABELS, score, weight=0.5)
    loss = objective([match, other])
    assert loss.total.item() == pytest.approx(slow(objective, match, other), rel=1e-12)
    assert loss.anchors == 5 * 4 + 0.5 * 56


# ---------------------------------------------------------------- closed forms


def test_cosine_embedding_by_hand():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    for target, margin, expected in ((1, 0.0, 0.292893), (-1, 0.0, 0.707107), (-1, 0.5, 0.207107)):
        loss = cosine_embedding(a, 7 * b, torch.tensor([target]), margin=margin)
        assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_margin_contrastive_by_hand():
    origin = torch.zeros(1, 2)
    for distance, dissimilar, expected in ((2.0, False, 2.0), (0.5, True, 0.125), (1.5, True, 0.0)):
        x = torch.tensor([[distance, 0.0]], requires_grad=True)
        loss = margin_contrastive(origin, x, torch.tensor([dissimilar]), margin=1.0)
        assert loss.item() == pytest.approx(expected, abs=1e-5)
        (slope,) = torch.autograd.grad(loss, x)
        assert (slope == 0).all() == (expected == 0)
    z = torch.ones(6, 2, requires_grad=True)
    loss = margin_contrastive(z, z.detach(), torch.ones(6, dtype=torch.bool), margin=3.0)
    assert loss.item() == pytest.approx(4.5, rel=1e-5)
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


def test_identical_views_attract_at_no_cost():
    z = normal(0, 6, 4)
    pairs = private(z, z[:, None], z.flip(0)[:, None], Cosine())
    loss = CosineEmbedding(1.0)([pairs])
    assert loss.total.item() == pytest.approx(0.0, abs=1e-12)
    assert loss.terms["positive"].item() == pytest.approx(1.0)


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.3])
def test_equals_torch(margin):
    a, b = normal(0, 30, 5).requires_grad_(), normal(1, 30, 5).requires_grad_()
    target = torch.where(normal(2, 30) > 0, 1, -1)
    ours = cosine_embedding(a, b, target, margin=margin)
    theirs = functional.cosine_embedding_loss(a, b, target, margin=margin)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for one, two in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_the_parts_are_the_functions():
    a, b = normal(0, 10, 4), normal(1, 10, 4)
    both, similar = torch.cat([b, b]), torch.arange(20) < 10
    query, rows = torch.cat([a, a]), both.flip(0)
    rows[:10] = b
    near, far = b[:, None], rows[10:, None]
    ours = Margin(2.0)([private(a, near, far, Euclidean())]).total
    torch.testing.assert_close(ours, margin_contrastive(query, rows, ~similar, margin=2.0))
    ours = CosineEmbedding(0.2)([private(a, near, far, Cosine())]).total
    target = torch.where(similar, 1, -1)
    torch.testing.assert_close(ours, cosine_embedding(query, rows, target, margin=0.2))


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
@drawn(seed=st.integers(0, 10**6))
def test_order_and_axes_do_not_matter(objective, score, seed):
    z, labels = normal(seed, 8, 4), torch.tensor(LABELS)
    loss = objective([in_batch(z, labels, score)]).total
    order = normal(seed + 1, 8).argsort()
    torch.testing.assert_close(objective([in_batch(z[order], labels[order], score)]).total, loss)
    turn = torch.linalg.qr(normal(seed + 2, 4, 4)).Q
    turned = objective([in_batch(z @ turn, labels, score)]).total
    # eps is added to each coordinate, so that distances turn with it to 1e-6.
    torch.testing.assert_close(turned, loss, rtol=1e-5, atol=1e-5)


@drawn(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_cosines_know_no_lengths_and_distances_scale_with_the_margin(seed, scale):
    z = normal(seed, 8, 4)
    loss = CosineEmbedding(0.1)([in_batch(z, LABELS, Cosine())]).total
    torch.testing.assert_close(CosineEmbedding(0.1)([in_batch(scale * z, LABELS, Cosine())]).total, loss)
    one = Margin(1.0)([in_batch(z, LABELS, Euclidean(eps=0.0))]).total
    other = Margin(scale)([in_batch(scale * z, LABELS, Euclidean(eps=0.0))]).total
    torch.testing.assert_close(other, scale**2 * one)


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
def test_a_masked_candidate_gets_no_gradient(objective, score):
    query, rows = normal(0, 4, 3), normal(1, 6, 3).requires_grad_()
    target, part = (normal(2, 4, 6) > 0).double(), torch.ones(4, 6, dtype=torch.bool)
    part[:, 2] = False
    objective([given(query, rows, target, part, score)]).total.backward()
    assert (rows.grad[2] == 0).all()
    assert (rows.grad[[0, 1, 3, 4, 5]] != 0).any(1).all()


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
@pytest.mark.parametrize("cells", [10, 1 << 20])
def test_gradcheck(objective, score, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    z = normal(5, 5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: objective([in_batch(z, LABELS[:5], score)]).total, (z,))
    three = [t.requires_grad_() for t in (normal(6, 3, 2), normal(7, 3, 1, 2), normal(8, 3, 2, 2))]
    assert torch.autograd.gradcheck(lambda *t: objective([private(*t, score)]).total, three)


@pytest.mark.parametrize(("objective", "score"), OBJECTIVES)
def test_finite_under_bfloat16_and_for_equal_rows(objective, score):
    with torch.autocast("cpu", torch.bfloat16):
        for z in (normal(0, 8, 4, dtype=torch.bfloat16), torch.ones(8, 4), torch.zeros(8, 4)):
            z = z.clone().requires_grad_()
            loss = objective([in_batch(z, LABELS, score)])
            assert loss.total.dtype == torch.float32
            loss.total.backward()
            assert loss.total.isfinite()
            assert z.grad.isfinite().all()


# ---------------------------------------------------------------- mistakes


def test_mistakes_are_sentences():
    a, y = torch.ones(2, 3), torch.ones(2, dtype=torch.int64)
    with pytest.raises(RecipeError, match="it is a cosine"):
        cosine_embedding(a, a, y, margin=1.5)
    with pytest.raises(RecipeError, match="it is a cosine"):
        CosineEmbedding(-2.0)([in_batch(a, [0, 0], Cosine())])
    with pytest.raises(RecipeError, match=r"other than 1 \(similar\) and -1"):
        cosine_embedding(a, a, 0 * y, margin=0.0)
    with pytest.raises(ShapeError, match=r"x1 of shape \[2, 3\] and x2 of shape \[3, 3\]"):
        cosine_embedding(a, torch.ones(3, 3), y, margin=0.0)
    with pytest.raises(ShapeError, match="no rows"):
        margin_contrastive(a[:0], a[:0], y[:0] > 0, margin=1.0)
    with pytest.raises(RecipeError, match="give a number above 0"):
        margin_contrastive(a, a, y > 0, margin=0.0)
    with pytest.raises(RecipeError, match="one of cosines"):
        CosineEmbedding()([in_batch(a, [0, 0], Euclidean())])
    for score in (Cosine(), Euclidean(squared=True)):
        with pytest.raises(RecipeError, match="one of distances"):
            Margin()([in_batch(a, [0, 0], score)])
    with pytest.raises(RecipeError, match="at least one match"):
        Margin()([])


def test_a_rank_without_pairs_counts_nothing():
    loss = Margin()([given(normal(0, 2, 3), normal(1, 2, 3), torch.zeros(2, 2), torch.zeros(2, 2) > 0, Euclidean())])
    assert loss.total.item() == 0.0
    assert loss.anchors == 0
    assert not any(math.isnan(term) for term in loss.terms.values())
