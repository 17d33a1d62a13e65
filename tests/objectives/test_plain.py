"""nt_xent, sup_con and info_nce: loops over explicit pairs, closed forms, identities, mistakes."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import info_nce, nt_xent, sup_con

Vector = list[float]


def cosine(a: Vector, b: Vector) -> float:
    inner = sum(x * y for x, y in zip(a, b, strict=True))
    return inner / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def nt_xent_slow(z: list[Vector], t: float) -> float:
    total = 0.0
    for i in range(len(z)):
        j = (i + len(z) // 2) % len(z)
        others = sum(math.exp(cosine(z[i], z[k]) / t) for k in range(len(z)) if k != i)
        total += -math.log(math.exp(cosine(z[i], z[j]) / t) / others)
    return total / len(z)


def sup_con_slow(z: list[Vector], labels: list[int], t: float) -> float:
    costs: list[float] = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and labels[p] == labels[i] >= 0]
        if not positives:
            continue
        others = sum(math.exp(cosine(z[i], z[k]) / t) for k in range(len(z)) if k != i)
        costs.append(-sum(math.log(math.exp(cosine(z[i], z[p]) / t) / others) for p in positives) / len(positives))
    return sum(costs) / len(costs)


def info_nce_slow(queries: list[Vector], keys: list[Vector], t: float, queue: list[Vector] | None = None) -> float:
    total = 0.0
    for i, q in enumerate(queries):
        own = math.exp(cosine(q, keys[i]) / t)
        rivals = queue if queue else [k for j, k in enumerate(keys) if j != i]
        total += -math.log(own / (own + sum(math.exp(cosine(q, r) / t) for r in rivals)))
    return total / len(queries)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_nt_xent_equals_loops(temperature: float) -> None:
    z = normal(0, 10, 3)
    assert nt_xent(z, temperature=temperature).item() == pytest.approx(nt_xent_slow(z.tolist(), temperature), abs=1e-10)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_sup_con_equals_loops(temperature: float) -> None:
    z, labels = normal(1, 9, 3), torch.tensor([0, 1, 1, 2, -1, 0, 0, 3, -1])
    expected = sup_con_slow(z.tolist(), labels.tolist(), temperature)
    assert sup_con(z, labels, temperature=temperature).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("stored", [0, 1, 7])
def test_info_nce_equals_loops(stored: int) -> None:
    queries, keys, queue = normal(2, 5, 3), normal(3, 5, 3), normal(4, stored, 3)
    expected = info_nce_slow(queries.tolist(), keys.tolist(), 0.2, queue.tolist())
    assert info_nce(queries, keys, temperature=0.2, queue=queue).item() == pytest.approx(expected, abs=1e-10)


# ---------------------------------------------------------------- closed forms


@pytest.mark.parametrize(
    ("images", "temperature", "expected"), [(2, 1.0, 0.551445), (2, 0.5, 0.239545), (4, 0.5, 0.594438)]
)
def test_orthonormal_identical_pairs(images: int, temperature: float, expected: float) -> None:
    loss = nt_xent(torch.eye(images).repeat(2, 1), temperature=temperature).item()
    assert loss == pytest.approx(expected, abs=1e-6)
    assert loss == pytest.approx(math.log(1 + (2 * images - 2) * math.exp(-1 / temperature)), abs=1e-6)


@pytest.mark.parametrize(("temperature", "expected"), [(0.5, 0.668040), (1.0, 0.802079)])
def test_four_points_on_the_circle(temperature: float, expected: float) -> None:
    interleaved = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.8, 0.6]])
    z = torch.cat([interleaved[::2], interleaved[1::2]])
    assert nt_xent(z, temperature=temperature).item() == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 20), st.floats(0.01, 5.0))
def test_equal_rows(images: int, temperature: float) -> None:
    z = torch.tensor([[0.3, -2.0]]).repeat(2 * images, 1)
    assert nt_xent(z, temperature=temperature).item() == pytest.approx(math.log(2 * images - 1), abs=1e-4)


@pytest.mark.parametrize(("temperature", "expected"), [(0.2, 0.020012), (1.0, 0.743668)])
def test_queue_orthogonal_to_the_query(temperature: float, expected: float) -> None:
    q, queue = torch.eye(5)[:2], torch.eye(5)[2:]
    assert info_nce(q, q, temperature=temperature, queue=queue).item() == pytest.approx(expected, abs=1e-6)
    same = info_nce(q[:1], q[:1], temperature=temperature, queue=q[:1].repeat(6, 1)).item()
    assert same == pytest.approx(math.log(7), abs=1e-6)


def test_keys_of_the_batch_as_negatives() -> None:
    # MoCo v3: both directions give log(1 + (N - 1) / e^(1/t)).
    q = torch.eye(6)
    assert info_nce(q, q, temperature=0.4).item() == pytest.approx(math.log(1 + 5 * math.exp(-2.5)), abs=1e-6)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 1.497728), (0.1, 1.098673)])
def test_orthonormal_classes(temperature: float, expected: float) -> None:
    z, labels = torch.eye(2).repeat_interleave(4, 0), torch.arange(2).repeat_interleave(4)
    assert sup_con(z, labels, temperature=temperature).item() == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- identities and properties


def test_sup_con_of_unique_labels_is_nt_xent() -> None:
    z = normal(5, 12, 4)
    expected = nt_xent(z, temperature=0.3).item()
    assert sup_con(z, torch.arange(6).repeat(2), temperature=0.3).item() == pytest.approx(expected, abs=1e-12)


def test_an_empty_queue_is_no_queue() -> None:
    q, k = normal(6, 5, 4), normal(7, 5, 4)
    left = info_nce(q, k, temperature=0.3, queue=q[:0]).item()
    assert left == info_nce(q, k, temperature=0.3).item()


def test_one_image_alone_is_nothing() -> None:
    assert nt_xent(normal(8, 2, 4), temperature=0.3).item() == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 1000), st.integers(2, 6), st.floats(0.05, 2.0))
def test_nt_xent_knows_no_order_and_no_axis(seed: int, images: int, temperature: float) -> None:
    z = normal(seed, 2 * images, 3)
    plain = nt_xent(z, temperature=temperature).item()
    first, second = z.chunk(2)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    turn, _ = torch.linalg.qr(normal(seed + 1, 3, 3))
    for other in (torch.cat([second, first]), torch.cat([first[order], second[order]]), z @ turn, z * 7):
        assert nt_xent(other, temperature=temperature).item() == pytest.approx(plain, abs=1e-9)


def test_every_row_gets_its_gradient() -> None:
    z = normal(9, 8, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: nt_xent(z, temperature=0.3), (z,))
    q, k, queue = (normal(i, 4, 3).requires_grad_() for i in range(3))
    assert torch.autograd.gradcheck(lambda q, k, s: info_nce(q, k, temperature=0.3, queue=s), (q, k, queue))


# ---------------------------------------------------------------- mistakes


def test_mistakes_are_sentences() -> None:
    z = torch.eye(3)
    with pytest.raises(ShapeError, match="nt_xent got 3 rows, but it needs two views of each image"):
        nt_xent(z, temperature=0.5)
    with pytest.raises(ShapeError, match=r"sup_con got 3 rows and labels of shape \[2\]"):
        sup_con(z, torch.arange(2), temperature=0.5)
    with pytest.raises(ShapeError, match="info_nce got 3 queries and 2 keys"):
        info_nce(z, z[:2], temperature=0.5)
    with pytest.raises(ShapeError, match="queries of width 3 and queue of width 2"):
        info_nce(z, z, temperature=0.5, queue=torch.eye(2))
    with pytest.raises(RecipeError, match="none of the 3 anchors has a positive"):
        sup_con(z, torch.arange(3), temperature=0.5)
    with pytest.raises(RecipeError, match="must be above 0"):
        nt_xent(torch.eye(4), temperature=0.0)


def test_views_on_an_axis_of_their_own_are_refused() -> None:
    # The sentence is for people, whose shapes nobody checks; the tests' own checker would speak first.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ShapeError, match=r"sup_con got z of shape \[2, 2, 3\], but it needs \[row, dim\]"):
            sup_con(torch.zeros(2, 2, 3), torch.arange(2), temperature=0.5)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
