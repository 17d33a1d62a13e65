"""Debiased contrast: loops, closed forms, NT-Xent as its limit, properties, mistakes."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import Debiased, _blocks, debiased, nt_xent
from counterpoint.scores import Cosine, Euclidean
from counterpoint.types import Columns, Match

from .pairs_made import given, in_batch, normal, private, table

LABELS = [0, 1, 0, 2, 1, 0, -1, -1]


def slow(match, temperature, tau_plus):
    """Mean cost over anchors with a positive, and the share of them at the bound."""
    costs, bounded = [], 0
    for positives, negatives in table(match):
        if not positives:
            continue
        if not negatives:
            costs.append(0.0)
            continue
        own = [math.exp(s / temperature) for s in positives]
        number = len(negatives)
        total = sum(math.exp(s / temperature) for s in negatives)
        free = (total - number * tau_plus * sum(own) / len(own)) / (1 - tau_plus)
        least = number * math.exp(-1 / temperature)
        bounded += free < least
        costs.append(sum(-math.log(p / (p + max(free, least))) for p in own) / len(own))
    return sum(costs) / len(costs), bounded / len(costs)


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("cells", [1, 20, 1 << 20])
def test_a_batch_equals_loops_whatever_the_block(temperature, tau_plus, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    for match in (
        in_batch(normal(0, 8, 4), LABELS, Cosine()),
        private(normal(1, 5, 4), normal(2, 5, 2, 4), normal(3, 5, 6, 4), Cosine()),
    ):
        loss = Debiased(temperature, tau_plus)([match])
        cost, bounded = slow(match, temperature, tau_plus)
        assert loss.total.item() == pytest.approx(cost, rel=1e-12)
        assert loss.terms["bounded"].item() == pytest.approx(bounded)
    assert loss.anchors == 5


def test_some_anchors_are_free_and_some_are_bounded():
    match = in_batch(normal(0, 8, 4), LABELS, Cosine())
    assert 0 < slow(match, 0.5, 0.4)[1] < 1


# ---------------------------------------------------------------- closed forms


def test_by_hand():
    z = torch.eye(2, dtype=torch.float64).repeat(2, 1)
    assert debiased(z, temperature=0.5, tau_plus=0.0).item() == pytest.approx(0.239545, abs=1e-6)
    corrected = (2 - 0.2 * math.exp(2)) / 0.9
    assert corrected == pytest.approx(0.580210, abs=1e-6)
    expected = math.log(1 + corrected / math.exp(2))
    assert expected == pytest.approx(0.075592, abs=1e-6)
    assert debiased(z, temperature=0.5, tau_plus=0.1).item() == pytest.approx(expected, rel=1e-12)
    # All are bounded: N exp(-1 / t) beside exp(1 / t).
    bound = math.log(1 + 2 * math.exp(-2) / math.exp(2))
    assert debiased(z, temperature=0.5, tau_plus=0.5).item() == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.5])
def test_equal_rows(tau_plus):
    """The correction leaves (N - N tau) / (1 - tau) = N of the N negatives: log(2n - 1), as NT-Xent."""
    loss = debiased(torch.ones(8, 3), temperature=0.2, tau_plus=tau_plus)
    assert loss.item() == pytest.approx(math.log(7), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_chance_it_is_nt_xent(temperature, dtype):
    z = normal(0, 30, 6, dtype=dtype).requires_grad_()
    ours, theirs = debiased(z, temperature=temperature, tau_plus=0.0), nt_xent(z, temperature=temperature)
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(ours, theirs, **near)
    one, two = torch.autograd.grad(ours, z)[0], torch.autograd.grad(theirs, z)[0]
    torch.testing.assert_close(one, two, **near)


# ---------------------------------------------------------------- properties


@drawn(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_order_axes_and_lengths_do_not_matter(seed, scale):
    z, labels = normal(seed, 8, 4), torch.tensor(LABELS)
    loss = Debiased(0.3, 0.2)([in_batch(z, labels, Cosine())]).total
    order, turn = normal(seed + 1, 8).argsort(), torch.linalg.qr(normal(seed + 2, 4, 4)).Q
    other = Debiased(0.3, 0.2)([in_batch(scale * z[order] @ turn, labels[order], Cosine())]).total
    torch.testing.assert_close(other, loss)


@drawn(seed=st.integers(0, 10**6), chances=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)))
def test_the_more_chance_the_less_cost_where_the_positive_is_nearest(seed, chances):
    one = normal(seed, 6, 8)
    z = torch.cat([one, one])
    low, high = (debiased(z, temperature=0.5, tau_plus=tau) for tau in sorted(chances))
    assert high <= low + 1e-12


def test_at_the_bound_no_gradient_reaches_the_negatives():
    query, rows = torch.eye(3)[:1], torch.tensor([[1.0, 0.1, 0.0], [0.0, 1.0, 0.3]], requires_grad=True)
    match = given(query, rows, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool), Cosine())
    loss = Debiased(0.5, 0.5)([match])
    assert loss.terms["bounded"].item() == 1.0
    loss.total.backward()
    assert (rows.grad[1] == 0).all()
    assert (rows.grad[0] != 0).any()


def test_a_masked_candidate_gets_no_gradient():
    query, rows = normal(0, 4, 3), normal(1, 6, 3).requires_grad_()
    target, part = (normal(2, 4, 6) > 0).double(), torch.ones(4, 6, dtype=torch.bool)
    part[:, 2] = False
    Debiased(0.5, 0.01)([given(query, rows, target, part, Cosine())]).total.backward()
    assert (rows.grad[2] == 0).all()
    assert (rows.grad[[0, 1, 3, 4, 5]] != 0).any(1).all()


@pytest.mark.parametrize("cells", [10, 1 << 20])
def test_gradcheck(cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    z = normal(0, 6, 3).requires_grad_()
    for tau_plus in (0.0, 0.1, 0.4):
        objective = Debiased(0.5, tau_plus)
        assert torch.autograd.gradcheck(lambda z: objective([in_batch(z, LABELS[:6], Cosine())]).total, (z,))  # noqa: B023


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_finite_when_cold_and_in_bfloat16(temperature):
    with torch.autocast("cpu", torch.bfloat16):
        for z in (normal(0, 12, 4, dtype=torch.bfloat16), torch.zeros(12, 4), torch.ones(12, 4), -torch.eye(12)):
            z = z.clone().requires_grad_()
            loss = debiased(z, temperature=temperature, tau_plus=0.1)
            assert loss.dtype == torch.float32
            loss.backward()
            assert loss.isfinite()
            assert z.grad.isfinite().all()


def test_cold_equals_loops():
    """At temperature 0.02 float64 still holds the exponentials of the loops."""
    match = in_batch(normal(4, 8, 4), LABELS, Cosine())
    loss = Debiased(0.02, 0.1)([match]).total
    assert loss.item() == pytest.approx(slow(match, 0.02, 0.1)[0], rel=1e-9)
    single = in_batch(normal(4, 8, 4).float(), LABELS, Cosine())
    assert Debiased(0.02, 0.1)([single]).total.item() == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.slow
def test_memory_is_linear_in_the_rows():
    """8,192 rows in 16 columns: their matrix would be 256 MiB in float32, the blocks are 4 MiB."""
    import subprocess
    import sys

    program = (
        "import resource, torch\n"
        "from counterpoint.objectives import debiased\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "run = lambda n: debiased(torch.randn(n, 16, requires_grad=True), temperature=0.5, tau_plus=0.1).backward()\n"
        "run(2048); before = peak(); run(8192); print(peak() - before)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert float(done.stdout) < 64


# ---------------------------------------------------------------- mistakes


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match="debiased got 3 rows, but it needs two views"):
        debiased(z[:3], temperature=0.5, tau_plus=0.1)
    for tau_plus in (-0.1, 1.0):
        with pytest.raises(RecipeError, match="it is a chance"):
            debiased(z, temperature=0.5, tau_plus=tau_plus)
    with pytest.raises(RecipeError, match="must be above 0"):
        debiased(z, temperature=0.0, tau_plus=0.1)
    with pytest.raises(RecipeError, match="bounded for cosines only"):
        Debiased()([in_batch(z, [0, 0, 1, 1], Euclidean())])
    with pytest.raises(RecipeError, match="at least one match"):
        Debiased()([])


@pytest.mark.parametrize(("labels", "anchors"), [([0, 1, 2], 0), ([0, 0, 0], 3)])
def test_without_a_positive_nothing_counts_and_without_a_negative_nothing_costs(labels, anchors):
    z = normal(0, 3, 4).requires_grad_()
    loss = Debiased()([in_batch(z, labels, Cosine())])
    assert loss.total.item() == 0.0
    assert loss.anchors == anchors
    loss.total.backward()
    assert (z.grad == 0).all()


def test_columns_of_one_group_and_of_two_are_one_match():
    z = normal(0, 8, 4)
    positive, rest = normal(1, 8, 1, 4), normal(2, 5, 4)
    apart = private(z, positive, rest.expand(8, -1, -1), Cosine())
    shared = Match(z, (apart.columns[0], Columns(rest, apart.columns[1].relation, Cosine())))
    one, two = (Debiased(0.5, 0.1)([match]).total for match in (apart, shared))
    torch.testing.assert_close(one, two)
