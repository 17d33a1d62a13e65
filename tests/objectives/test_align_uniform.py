"""Alignment and uniformity: loops, closed forms, the uniform limit, properties, mistakes."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import AlignUniform, _blocks, align_uniform

from .aligned_made import views
from .pairs_made import normal


def apart(a, b):
    long, far = math.hypot(*a), math.hypot(*b)
    return math.sqrt(sum((x / long - y / far) ** 2 for x, y in zip(a, b, strict=True)))


def slow(x, y, alpha, t):
    """Alignment and uniformity."""
    x, y = x.tolist(), y.tolist()
    align = sum(apart(a, b) ** alpha for a, b in zip(x, y, strict=True)) / len(x)
    spread = 0.0
    for rows in (x, y):
        pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
        spread += math.log(sum(math.exp(-t * apart(rows[i], rows[j]) ** 2) for i, j in pairs) / len(pairs)) / 2
    return align, spread


@pytest.mark.parametrize(("alpha", "t"), [(2.0, 2.0), (1.0, 3.0), (4.0, 0.5)])
@pytest.mark.parametrize("cells", [1, 20, 1 << 20])
def test_it_equals_loops_whatever_the_block(alpha, t, cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    x, y = normal(0, 7, 4), normal(1, 7, 4)
    align, spread = slow(x, y, alpha, t)
    assert align_uniform(x, y, alpha=alpha, t=t).item() == pytest.approx(align + spread, rel=1e-10)
    loss = AlignUniform(3.0, 0.5, alpha, t)([views(x, y)])
    assert loss.total.item() == pytest.approx(3 * align + 0.5 * spread, rel=1e-10)
    assert loss.terms["align"].item() == pytest.approx(align, rel=1e-10)
    assert loss.terms["uniform"].item() == pytest.approx(spread, rel=1e-10)
    assert loss.anchors == 7


def test_closed_forms():
    same = torch.ones(5, 3)
    assert align_uniform(same, 2 * same).item() == pytest.approx(0.0, abs=1e-6)
    opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert align_uniform(opposed, opposed).item() == pytest.approx(-8.0, rel=1e-6)
    assert align_uniform(torch.eye(2), torch.eye(2)).item() == pytest.approx(-4.0, rel=1e-6)
    # 2 - 2 cos between the views, and no spread to count.
    x, y = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[3.0, 4.0]] * 2)
    assert align_uniform(x, y, uniform=0.0).item() == pytest.approx(2 - 2 * 0.6, rel=1e-6)


@pytest.mark.parametrize(("width", "limit"), [(2, -1.575027), (3, -2.079777), (8, -3.082527), (128, -3.937530)])
def test_the_uniform_sphere_reaches_the_limit(width, limit):
    """-2t + log 0F1(; D/2; t^2) at t = 2."""
    x = normal(0, 2000, width).float()
    assert align_uniform(x, x, align=0.0).item() == pytest.approx(limit, abs=1e-2)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_order_axes_lengths_and_side_do_not_matter(seed, scale):
    x, y = normal(seed, 8, 4), normal(seed + 1, 8, 4)
    order, turn = normal(seed + 2, 8).argsort(), torch.linalg.qr(normal(seed + 3, 4, 4)).Q
    torch.testing.assert_close(align_uniform(scale * x[order] @ turn, y[order] @ turn), align_uniform(x, y))
    torch.testing.assert_close(align_uniform(y, x), align_uniform(x, y))


def test_only_rows_of_one_view_repel():
    """Exchanging which image a row of the other view belongs to leaves the spread as it was."""
    x, y = normal(0, 6, 3), normal(1, 6, 3)
    spread = AlignUniform()([views(x, y)]).terms["uniform"]
    torch.testing.assert_close(AlignUniform()([views(x, y.roll(1, 0))]).terms["uniform"], spread)
    assert AlignUniform()([views(x, y.roll(1, 0))]).terms["align"] != AlignUniform()([views(x, y)]).terms["align"]


@pytest.mark.parametrize("cells", [3, 1 << 20])
def test_gradcheck(cells, monkeypatch):
    monkeypatch.setattr(_blocks, "_CELLS", cells)
    x, y = normal(0, 3, 2).requires_grad_(), normal(1, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: align_uniform(x, y, align=0.7, uniform=1.3, t=3.0), (x, y))


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_finite_where_rows_are_equal_and_in_bfloat16(alpha):
    with torch.autocast("cpu", torch.bfloat16):
        for z in (torch.ones(4, 3), torch.zeros(4, 3), torch.eye(4, dtype=torch.bfloat16)):
            z = z.clone().requires_grad_()
            loss = align_uniform(z, z, alpha=alpha, t=20.0)
            assert loss.dtype == torch.float32
            loss.backward()
            assert loss.isfinite()
            assert z.grad.isfinite().all()


def test_opposed_rows_are_held_by_single_precision_up_to_the_largest_t():
    opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = align_uniform(opposed, opposed.detach(), t=20.0)
    assert loss.item() == pytest.approx(-80.0, rel=1e-5)


def test_equals_what_is_measured():
    from counterpoint.evaluation import alignment, uniformity

    x, y = normal(0, 40, 5), normal(1, 40, 5)
    expected = alignment(x, y) + (uniformity(x) + uniformity(y)) / 2
    assert align_uniform(x, y).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_memory_is_linear_in_the_rows():
    """4,096 rows of 16 dimensions: their matrix would be 64 MiB in float32, the blocks are 4 MiB."""
    import subprocess
    import sys

    program = (
        "import resource, torch\n"
        "from counterpoint.objectives import align_uniform\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "def run(n):\n"
        "    x = torch.randn(n, 16, requires_grad=True)\n"
        "    align_uniform(x, x.detach()).backward()\n"
        "run(1024); before = peak(); run(4096); print(peak() - before)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert float(done.stdout) < 32


def test_mistakes_are_sentences():
    z = torch.ones(4, 3)
    with pytest.raises(ShapeError, match=r"two tensors .* of one shape"):
        align_uniform(z, z[:3])
    with pytest.raises(ShapeError, match="got 1 rows, but it needs at least 2"):
        align_uniform(z[:1], z[:1])
    for wrong, sentence in (
        ({"align": -1.0}, "neither may be negative"),
        ({"uniform": -1.0}, "neither may be negative"),
        ({"alpha": 0.5}, "give 1 or more"),
        ({"t": 0.0}, "above 0"),
        ({"t": 21.0}, "at most 20"),
    ):
        with pytest.raises(RecipeError, match=sentence):
            align_uniform(z, z, **wrong)
        with pytest.raises(RecipeError, match=sentence):
            AlignUniform(**wrong)([views(z, z)])
