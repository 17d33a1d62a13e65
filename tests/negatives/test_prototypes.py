"""Sinkhorn codes and SwAV: loops, closed forms, balance, the queue, what is frozen, mistakes."""

import math

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Prototypes, sinkhorn
from counterpoint.objectives import Contrast
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.scores import Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

from .rows_made import share, two_ranks

FACTS = Facts("made", "photos", 3, 8, 100, width=6, projection=5)
SPEC = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]


def context(epoch=0, comm=None):
    return Context(Clock(10 * epoch, 1000, 10), comm or Comm.alone(), Streams(0))


def encoded(n=6, views=3, seed=0, dtype=torch.float64):
    images = torch.zeros(n, 3, 8, 8, dtype=torch.uint8)
    rows = Rows.of(Batch(images, torch.arange(n), torch.arange(n), torch.full((n,), -1)), views)
    z = torch.randn(n * views, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return Encoded(z[:, :1].clone(), z, rows)


def made(part, dtype=torch.float64):
    torch.manual_seed(0)
    state = part.build(FACTS).to(dtype)
    state.before_forward(nn.Identity(), context())
    return state


def matches(part, state, online, at=None):
    return part.match(online, online.detached(), SameSample(), Dot(), state, at or context())


# ---------------------------------------------------------------- codes


def slow_codes(scores, epsilon, iterations):
    """The released listing in plain loops: rows of Q are prototypes, columns are samples."""
    n, p = len(scores), len(scores[0])
    q = [[math.exp(scores[b][k] / epsilon) for b in range(n)] for k in range(p)]
    total = sum(map(sum, q))
    q = [[x / total for x in row] for row in q]
    for _ in range(iterations):
        q = [[x / sum(row) / p for x in row] for row in q]
        columns = [sum(row[b] for row in q) for b in range(n)]
        q = [[row[b] / columns[b] / n for b in range(n)] for row in q]
    return [[q[k][b] * n for k in range(p)] for b in range(n)]


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_codes_are_those_of_the_loops(iterations, epsilon):
    scores = torch.tanh(torch.randn(7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    expected = torch.tensor(slow_codes(scores.tolist(), epsilon, iterations), dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(scores, epsilon=epsilon, iterations=iterations), expected)


def test_codes_of_the_specification():
    codes = sinkhorn(torch.tensor(SPEC, dtype=torch.float64), epsilon=0.05, iterations=3)
    torch.testing.assert_close(
        codes[:, 0], torch.tensor([0.999999, 0.999936, 0.996536, 0.0], dtype=torch.float64), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(codes.sum(1), torch.ones(4, dtype=torch.float64), atol=1e-12, rtol=0)
    expected = torch.tensor([2.99647, 1.00353], dtype=torch.float64)
    torch.testing.assert_close(codes.sum(0), expected, atol=1e-5, rtol=0)
    # Three iterations are no convergence; with more of them the prototypes share evenly.
    even = sinkhorn(torch.tensor(SPEC, dtype=torch.float64), epsilon=0.05, iterations=200).sum(0)
    torch.testing.assert_close(even, torch.full((2,), 2.0, dtype=torch.float64), atol=1e-6, rtol=0)


def test_equal_scores_have_even_codes_and_cost_log_p():
    codes = sinkhorn(torch.full((5, 8), 0.3), epsilon=0.05, iterations=3)
    torch.testing.assert_close(codes, torch.full((5, 8), 1 / 8))
    part = Prototypes(8)
    state = made(part)
    state.rows.data.copy_(state.rows.data[:1].expand(8, -1))
    assert Contrast(0.1)(matches(part, state, encoded())).total.item() == pytest.approx(math.log(8), rel=1e-9)


@drawn(seed=st.integers(0, 10**6))
def test_converged_codes_are_balanced_and_do_not_see_what_a_prototype_has_in_all(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.tanh(torch.randn(12, 4, generator=generator, dtype=torch.float64))
    codes = sinkhorn(scores, epsilon=0.5, iterations=500)
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 3.0, dtype=torch.float64), rtol=1e-3, atol=1e-3)
    moved = scores + torch.randn(4, generator=generator, dtype=torch.float64).mul(0.3)
    torch.testing.assert_close(sinkhorn(moved, epsilon=0.5, iterations=500), codes, rtol=1e-3, atol=1e-3)
    order = torch.randperm(12, generator=generator)
    torch.testing.assert_close(
        sinkhorn(scores[order], epsilon=0.2, iterations=3), sinkhorn(scores, epsilon=0.2, iterations=3)[order]
    )


@pytest.mark.parametrize("epsilon", [0.003, 0.024, 0.025, 0.05])
def test_single_precision_holds_the_range_of_cosines(epsilon):
    """-1 beside 1 for every prototype: exp(2 / epsilon) would overflow."""
    scores = torch.full((6, 3), -1.0)
    scores[0] = 1.0
    scores[1, 0] = -0.9
    codes = sinkhorn(scores, epsilon=epsilon, iterations=3)
    exact = sinkhorn(scores.double(), epsilon=epsilon, iterations=3)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes, exact.float(), rtol=1e-3, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(sinkhorn(scores, epsilon=epsilon, iterations=3), codes)


def test_without_iterations_a_code_is_a_softmax():
    scores = torch.tensor(SPEC, dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(scores, epsilon=0.1, iterations=0), (scores / 0.1).softmax(1))


# ---------------------------------------------------------------- the loss


def slow_loss(z, prototypes, views, assigned, temperature, epsilon, iterations, queues=None):
    """SwAV in plain loops, in the order of the paper: every assignment view, then every other view."""
    unit = nn.functional.normalize
    z, n = unit(z, dim=1), len(z) // views
    scores = (z @ prototypes.T).tolist()
    total = 0.0
    for u in range(assigned):
        own = scores[u * n : (u + 1) * n]
        earlier = [] if queues is None else (queues[u] @ prototypes.T).tolist()
        codes = slow_codes(earlier + own, epsilon, iterations)[-n:]
        among = 0.0
        for v in range(views):
            if v == u:
                continue
            for code, row in zip(codes, scores[v * n : (v + 1) * n], strict=True):
                logits = [s / temperature for s in row]
                level = max(logits) + math.log(sum(math.exp(x - max(logits)) for x in logits))
                among += sum(q * (level - x) for q, x in zip(code, logits, strict=True)) / n
        total += among / (views - 1)
    return total / assigned


@pytest.mark.parametrize(("views", "assigned"), [(2, 2), (5, 2), (4, 3), (3, 1)])
def test_the_loss_is_that_of_the_loops(views, assigned):
    part = Prototypes(4, epsilon=0.1, assigned=assigned)
    state, online = made(part), encoded(6, views)
    loss = Contrast(0.2)(matches(part, state, online)).total
    slow = slow_loss(online.z, state.rows.detach(), views, assigned, 0.2, 0.1, 3)
    assert loss.item() == pytest.approx(slow, rel=1e-10)


def test_order_axes_and_lengths_do_not_matter():
    part = Prototypes(4, epsilon=0.1)
    state, online = made(part), encoded(6, 3)
    loss = Contrast(0.2)(matches(part, state, online)).total
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    order = torch.randperm(6)
    every = torch.cat([order, order + 6, order + 12])
    other = Encoded(online.h, 7 * (online.z @ turn)[every], online.rows)
    state.rows.data.copy_((state.rows.data @ turn)[torch.randperm(4)])
    torch.testing.assert_close(Contrast(0.2)(matches(part, state, other)).total, loss)


def test_the_gradient_is_that_of_the_softmax_with_codes_held():
    part = Prototypes(4, epsilon=0.1)
    state, online = made(part), encoded(4, 3)
    held = online.detached()

    def loss(z, rows):
        state.rows.data.copy_(rows.detach())
        named = part.match(Encoded(z, z, online.rows), held, SameSample(), Dot(), state, context())
        found = Contrast(0.3)(named)
        found.total.backward()
        return found.total.detach(), z.grad.clone(), state.rows.grad.clone()

    z = online.z.clone().requires_grad_()
    _, by_z, by_rows = loss(z, state.rows)
    z2, rows2 = online.z.clone().requires_grad_(), state.rows.detach().clone().requires_grad_()
    unit = nn.functional.normalize(z2, dim=1)
    codes = [sinkhorn(unit.detach()[4 * u : 4 * u + 4] @ rows2.detach().T, epsilon=0.1, iterations=3) for u in (0, 1)]
    pairs = [(u, v) for u in (0, 1) for v in range(3) if u != v]
    terms = [-(codes[u] * (unit[4 * v : 4 * v + 4] @ rows2.T / 0.3).log_softmax(1)).sum(1).mean() for u, v in pairs]
    torch.stack(terms).mean().backward()
    torch.testing.assert_close(by_z, z2.grad)
    torch.testing.assert_close(by_rows, rows2.grad)


def test_codes_carry_no_gradient():
    """A view that only gives codes (of two views with one assigned) gets none."""
    part = Prototypes(4, assigned=1)
    state, online = made(part), encoded(4, 2)
    online.z.requires_grad_()
    named = part.match(online, online, SameSample(), Dot(), state, context())
    assert not any(group.relation.target.requires_grad for match in named for group in match.columns)
    assert not sinkhorn(online.z, epsilon=0.05, iterations=3).requires_grad
    Contrast(0.2)(named).total.backward()
    assert online.z.grad[:4].abs().sum() == 0
    assert online.z.grad[4:].abs().sum() > 0


# ---------------------------------------------------------------- the state


def test_prototypes_are_scaled_outside_the_graph_and_frozen_for_a_while():
    part = Prototypes(4, frozen_epochs=2.0)
    state = part.build(FACTS)
    state.rows.data.mul_(3)
    state.before_forward(nn.Identity(), context())
    torch.testing.assert_close(state.rows.norm(dim=1), torch.ones(4))
    assert state.rows.is_leaf
    for epoch, kept in ((0, False), (1, False), (2, True)):
        state.rows.grad = torch.ones(4, 5)
        state.after_backward(nn.Identity(), context(epoch))
        assert (state.rows.grad is not None) == kept


def test_the_queue_is_used_when_it_is_full_and_not_before():
    part = Prototypes(4, epsilon=0.1, queue=8, queue_from=1.0)
    state = made(part)
    plain = Prototypes(4, epsilon=0.1)
    other = made(plain)
    steps = [encoded(6, 3, seed) for seed in range(4)]
    state.after_step(nn.Identity(), context(0), steps[0], steps[0])
    assert int(state.taken) == 0
    state.after_step(nn.Identity(), context(1), steps[1], steps[1])
    assert int(state.taken) == 6
    online = steps[3]

    def loss(part, state):
        return Contrast(0.2)(matches(part, state, online)).total.item()

    assert loss(part, state) == pytest.approx(loss(plain, other), rel=1e-12)
    state.after_step(nn.Identity(), context(1), steps[2], steps[2])
    assert int(state.taken) == 8
    assert int(state.head) == 4
    unit = [nn.functional.normalize(step.z, dim=1) for step in steps]
    for view in (0, 1):
        torch.testing.assert_close(state.queue[view, 4:6], unit[1][6 * view + 4 : 6 * view + 6])
        torch.testing.assert_close(state.queue[view, [6, 7, 0, 1, 2, 3]], unit[2][6 * view : 6 * view + 6])
    slow = slow_loss(online.z, state.rows.detach(), 3, 2, 0.2, 0.1, 3, state.queue)
    assert loss(part, state) == pytest.approx(slow, rel=1e-10)
    assert abs(loss(part, state) - loss(plain, other)) > 1e-6


def test_two_ranks_balance_together_and_keep_one_queue():
    part = Prototypes(4, epsilon=0.1, queue=12, queue_from=0.0)
    state, online, earlier = made(part), encoded(8, 2), encoded(12, 2, seed=3)
    state.after_step(nn.Identity(), context(), earlier, earlier)
    whole = Contrast(0.2)(matches(part, state, online)).total

    each = made(part), made(part)  # not by the threads, which share torch's generator

    def work(comm):
        own, mine = each[comm.rank], share(online, comm.rank)
        own.load_state_dict(state.state_dict())
        loss = Contrast(0.2)(matches(part, own, mine, context(comm=comm))).total
        own.after_step(nn.Identity(), context(comm=comm), mine, mine)
        return loss, own.queue

    (one, queue), (other, same) = two_ranks(work)
    torch.testing.assert_close((one + other) / 2, whole)
    state.after_step(nn.Identity(), context(), online, online)
    assert torch.equal(queue, state.queue)
    assert torch.equal(same, state.queue)


def test_the_state_goes_on_from_its_file():
    part = Prototypes(4, queue=8, queue_from=0.0)
    state, online = made(part), encoded()
    state.after_step(nn.Identity(), context(0), online, online)
    other = part.build(FACTS).double()
    other.load_state_dict(state.state_dict())
    for one in (state, other):
        one.after_step(nn.Identity(), context(1), encoded(seed=5), encoded(seed=5))
    assert all(torch.equal(a, b) for a, b in zip(state.state_dict().values(), other.state_dict().values(), strict=True))


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="there is one view only"):
        matches(Prototypes(4), made(Prototypes(4)), encoded(4, 1))
    for wrong in ({"count": 1}, {"assigned": 0}, {"queue": -1}):
        with pytest.raises(RecipeError, match="is not possible"):
            Prototypes(**wrong)
    with pytest.raises(RecipeError, match=r"epsilon is at least 0\.003"):
        sinkhorn(torch.ones(2, 2), epsilon=0.001, iterations=3)
    assert Prototypes().seen(512, 8) == 0
