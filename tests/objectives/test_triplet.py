"""Triplets: loops for every way of mining, closed forms, torch, properties, mistakes."""

import math

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch.nn import functional

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import Triplet, _blocks, triplet_margin
from counterpoint.scores import Cosine, Euclidean

from .pairs_made import given, in_batch, normal, private, table

LABELS = [0, 1, 0, 2, 1, 0, -1, -1, 2, 2]
MINING = ["all", "hard", "semi-hard", "distance-weighted"]
SCORES = [Euclidean(), Euclidean(squared=True), Cosine()]


def slow(objective, match):
    """Mean cost over triplets, and the share that is active."""
    cost, active, count = 0.0, 0.0, 0.0
    directions = table(in_batch(match.query, LABELS, Cosine())) if objective.mining == "distance-weighted" else None
    for i, (positives, negatives) in enumerate(table(match)):
        if not positives or not negatives:
            continue
        for p, n, share in triplets(objective, positives, negatives, directions and directions[i][1], match):
            hinge = max(0.0, n - p + objective.margin)
            cost, active, count = cost + share * hinge, active + share * (hinge > 0), count + share
    return cost / count, active / count, count


def triplets(objective, positives, negatives, cosines, match):
    if objective.mining == "hard":
        yield min(positives), max(negatives), 1.0
        return
    for p in positives:
        if objective.mining == "all":
            yield from ((p, n, 1.0) for n in negatives)
        elif objective.mining == "semi-hard":
            beyond = [n for n in negatives if n < p]
            yield p, max(beyond) if beyond else min(negatives), 1.0
        else:
            width = match.query.shape[1]
            weights = [min(1 / density(math.sqrt(2 - 2 * c), width), 1 / density(0.5, width)) for c in cosines]
            yield from ((p, n, w / sum(weights)) for n, w in zip(negatives, weights, strict=True))


def density(d, width):
    return d ** (width - 2) * (1 - d * d / 4) ** ((width - 3) / 2)


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("cells", [1, 35, 1 << 20])
def test_a_batch_equals_loops_whatever_the_block(mining, score, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    objective = Triplet(0.4, mining=mining)
    match = in_batch(normal(1, 10, 5), LABELS, score)
    loss = objective([match])
    cost, active, count = slow(objective, match)
    assert loss.total.item() == pytest.approx(cost, rel=1e-10)
    assert loss.terms["active"].item() == pytest.approx(active, rel=1e-6)
    assert loss.anchors == pytest.approx(count)
    sign = -1 if isinstance(score, Euclidean) else 1
    if mining == "all":
        pairs = [(p, n) for ps, ns in table(match) for p in ps for n in ns]
        assert loss.terms["positive"].item() == pytest.approx(sign * sum(p for p, _ in pairs) / len(pairs), rel=1e-6)
        assert loss.terms["negative"].item() == pytest.approx(sign * sum(n for _, n in pairs) / len(pairs), rel=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_triplets_of_an_anchors_own_equal_loops(score):
    match = private(normal(0, 6, 4), normal(1, 6, 2, 4), normal(2, 6, 3, 4), score)
    for mining in ("all", "hard", "semi-hard"):
        objective = Triplet(0.4, mining=mining)
        assert objective([match]).total.item() == pytest.approx(slow(objective, match)[0], rel=1e-10)


def test_a_swap_equals_loops():
    a, p, n = normal(0, 6, 4), normal(1, 6, 2, 4), normal(2, 6, 3, 4)
    score, costs = Euclidean(), []
    for i in range(6):
        for near in p[i]:
            for far in n[i]:
                to = lambda u, v: math.dist((u + 1e-6).tolist(), v.tolist())  # noqa: E731
                costs.append(max(0.0, to(a[i], near) - min(to(a[i], far), to(near, far)) + 0.5))
    loss = Triplet(0.5, swap=True)([private(a, p, n, score)])
    assert loss.total.item() == pytest.approx(sum(costs) / len(costs), rel=1e-12)
    assert loss.anchors == 36


def test_semi_hard_takes_the_band_then_what_is_beyond_then_the_farthest():
    """One anchor at 0 and its positive at 2, on a line; the margin is 1."""
    anchor, near = torch.zeros(1, 1), torch.full((1, 1, 1), 2.0)
    for negatives, expected in (
        ([0.5, 2.25, 2.75], 0.75),  # 2.25 is the nearest of the band: 2 - 2.25 + 1
        ([0.5, 4.0], 0.0),  # the band is empty; 4 is beyond the margin
        ([0.5, 1.5], 1.5),  # all are nearer: the farthest of them
        ([2.0, 2.0], 1.0),  # none is farther: the margin
    ):
        far = torch.tensor(negatives)[None, :, None]
        loss = Triplet(1.0, mining="semi-hard")([private(anchor, near, far, Euclidean(eps=0.0))])
        assert loss.total.item() == pytest.approx(expected)


# ---------------------------------------------------------------- closed forms


def test_by_hand():
    a, p, n = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]])
    assert triplet_margin(a, p, n, margin=1.0).item() == pytest.approx(5.0, abs=1e-5)
    assert triplet_margin(a, n, p, margin=1.0).item() == 0.0
    assert triplet_margin(a, p, n, margin=1.0, squared=True).item() == pytest.approx(25.0, abs=1e-4)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("score", SCORES)
def test_a_collapsed_batch_costs_the_margin(mining, score):
    z = torch.full((10, 4), 0.25, requires_grad=True)
    loss = Triplet(0.7, mining=mining)([in_batch(z, LABELS, score)])
    assert loss.total.item() == pytest.approx(0.7, rel=1e-5)
    assert loss.terms["active"].item() == pytest.approx(1.0)
    loss.total.backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("swap", [False, True])
def test_equals_torch(swap):
    three = [normal(i, 40, 6).requires_grad_() for i in range(3)]
    ours = triplet_margin(*three, margin=1.0, swap=swap)
    theirs = functional.triplet_margin_loss(*three, margin=1.0, swap=swap)
    a, p, n = three
    part = Triplet(1.0, swap=swap)([private(a, p[:, None], n[:, None], Euclidean())]).total
    for found in (ours, part):
        torch.testing.assert_close(found, theirs, rtol=1e-12, atol=1e-12)
        slopes = torch.autograd.grad(found, three, retain_graph=True)
        for one, two in zip(slopes, torch.autograd.grad(theirs, three, retain_graph=True), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_cosine_scores_are_the_similarity_form():
    a, p, n = (normal(i, 12, 4) for i in range(3))
    cosine = functional.cosine_similarity
    expected = (cosine(a, n) - cosine(a, p) + 0.3).clamp_min(0).mean()
    loss = Triplet(0.3)([private(a, p[:, None], n[:, None], Cosine())])
    torch.testing.assert_close(loss.total, expected)
    assert loss.terms["positive"].item() == pytest.approx(cosine(a, p).mean().item(), rel=1e-6)


def test_a_triplet_of_no_cost_moves_nothing():
    z = torch.tensor([[0.0], [0.1], [5.0], [5.1]], requires_grad=True)
    for mining in ("all", "hard", "semi-hard"):
        loss = Triplet(1.0, mining=mining)([in_batch(z, [0, 0, 1, 1], Euclidean())])
        assert loss.total.item() == pytest.approx(0.0, abs=1e-12)
        assert loss.terms["active"].item() == 0.0
        assert (torch.autograd.grad(loss.total, z)[0] == 0).all()


def test_far_rows_lose_no_digits_of_a_small_cost():
    """Costs of a thousandth among distances of a thousand, a thousand of each: sums of 1e9 are subtracted."""
    far = 1000 + torch.arange(1000, dtype=torch.float32) % 7 / 1024
    positive = far[None, :, None].clone()
    negative = far[None, :, None] + 1.0
    loss = Triplet(1.0)([private(torch.zeros(1, 1), positive, negative, Euclidean(eps=0.0))])
    p, n = positive.double().flatten(), negative.double().flatten()
    expected = (p[:, None] - n + 1).clamp_min(0).mean()
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-6)


# ---------------------------------------------------------------- properties


@pytest.mark.parametrize("mining", MINING)
@drawn(seed=st.integers(0, 10**6))
def test_order_and_axes_do_not_matter(mining, seed):
    z, labels, objective = normal(seed, 10, 5), torch.tensor(LABELS), Triplet(0.5, mining=mining)
    loss = objective([in_batch(z, labels, Euclidean(eps=0.0))]).total
    order = normal(seed + 1, 10).argsort()
    torch.testing.assert_close(objective([in_batch(z[order], labels[order], Euclidean(eps=0.0))]).total, loss)
    turn = torch.linalg.qr(normal(seed + 2, 5, 5)).Q
    torch.testing.assert_close(objective([in_batch(z @ turn, labels, Euclidean(eps=0.0))]).total, loss)


@pytest.mark.parametrize("mining", MINING)
@drawn(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_scale(mining, seed, scale):
    z = normal(seed, 10, 5)
    cosine = [Triplet(0.5, mining=mining)([in_batch(x, LABELS, Cosine())]).total for x in (z, scale * z)]
    torch.testing.assert_close(*cosine)
    one = Triplet(0.5, mining=mining)([in_batch(z, LABELS, Euclidean(eps=0.0))]).total
    other = Triplet(0.5 * scale, mining=mining)([in_batch(scale * z, LABELS, Euclidean(eps=0.0))]).total
    torch.testing.assert_close(other, scale * one)


@pytest.mark.parametrize("mining", MINING)
def test_a_masked_candidate_gets_no_gradient(mining):
    query, rows = normal(0, 4, 4), normal(1, 6, 4).requires_grad_()
    target, part = (normal(2, 4, 6) > 0).double(), torch.ones(4, 6, dtype=torch.bool)
    part[:, 2] = False
    Triplet(5.0, mining=mining)([given(query, rows, target, part, Euclidean())]).total.backward()
    assert (rows.grad[2] == 0).all()
    assert (rows.grad != 0).any()


@pytest.mark.parametrize("mining", [*MINING, "swap"])
@pytest.mark.parametrize("cells", [12, 1 << 20])
def test_gradcheck(mining, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    objective = Triplet(0.5, swap=True) if mining == "swap" else Triplet(0.5, mining=mining)
    if mining in ("all", "hard", "semi-hard"):
        z = normal(4, 6, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: objective([in_batch(z, LABELS[:6], Euclidean())]).total, (z,))
    if mining != "distance-weighted":  # its weights are no part of the gradient
        three = [t.requires_grad_() for t in (normal(6, 3, 2), normal(7, 3, 2, 2), normal(8, 3, 2, 2))]
        assert torch.autograd.gradcheck(lambda *t: objective([private(*t, Euclidean())]).total, three)


def test_the_weights_of_distances_have_no_gradient():
    """One negative: whatever its weight, it is the expectation, so that this is the mean over all triplets."""
    z, labels = normal(0, 5, 4).requires_grad_(), [0, 0, 0, 0, 1]
    slopes = []
    for mining in ("all", "distance-weighted"):
        target = torch.tensor([[1.0] * 4 + [0.0]] * 4, dtype=torch.float64)
        part = ~torch.eye(5, dtype=torch.bool)[:4]
        match = given(z[:4], z, target, part, Euclidean())
        slopes.append(torch.autograd.grad(Triplet(3.0, mining=mining)([match]).total, z)[0])
    assert labels.count(1) == 1
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("score", SCORES)
def test_finite_under_bfloat16(mining, score):
    with torch.autocast("cpu", torch.bfloat16):
        for z in (normal(0, 10, 4, dtype=torch.bfloat16), torch.zeros(10, 4), 1e6 * normal(0, 10, 4).float()):
            z = z.clone().requires_grad_()
            loss = Triplet(0.2, mining=mining)([in_batch(z, LABELS, score)])
            assert loss.total.dtype == torch.float32
            loss.total.backward()
            assert loss.total.isfinite()
            assert z.grad.isfinite().all()


# ---------------------------------------------------------------- mistakes


def test_mistakes_are_sentences():
    a = torch.ones(2, 3)
    with pytest.raises(ShapeError, match="row i of both must belong together"):
        triplet_margin(a, a, torch.ones(3, 3), margin=1.0)
    with pytest.raises(RecipeError, match="give a number above 0"):
        Triplet(0.0)([in_batch(a, [0, 0], Euclidean())])
    with pytest.raises(RecipeError, match="swap goes with mining='all'"):
        Triplet(swap=True, mining="hard")([in_batch(a, [0, 0], Euclidean())])
    with pytest.raises(RecipeError, match="must be its own"):
        Triplet(swap=True)([in_batch(a, [0, 1], Euclidean())])
    with pytest.raises(RecipeError, match="at least one match"):
        Triplet()([])


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
def test_a_batch_without_a_triplet_counts_nothing(mining, labels):
    z = normal(0, 3, 4).requires_grad_()
    loss = Triplet(mining=mining)([in_batch(z, labels, Euclidean())])
    assert loss.total.item() == 0.0
    assert loss.anchors == 0
    loss.total.backward()
    assert (z.grad == 0).all()
