"""Relations answer block by block what they would answer as a whole."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.relations import Aligned, Explicit, Graph, Keyed, Related, Summed, Unrelated, Weighted
from counterpoint.types import Relation

G = torch.Generator().manual_seed(0)
KEYS, OTHERS = torch.randint(-1, 4, (7,), generator=G), torch.randint(-1, 4, (9,), generator=G)
MARKS = torch.arange(7), torch.arange(9)
PRIOR = torch.randn(7, 9, generator=G).masked_fill(torch.rand(7, 9, generator=G) < 0.3, -torch.inf)

RELATIONS: list[Relation] = [
    Keyed(KEYS, OTHERS),
    Keyed(KEYS, OTHERS, *MARKS, weight=0.25, log_prior=torch.randn(9, generator=G)),
    Graph(torch.rand(4, 4, generator=G), KEYS, OTHERS, *MARKS),
    Explicit(torch.rand(7, 9, generator=G), PRIOR),
    Explicit(torch.rand(7, 9, generator=G)),
    Aligned(),
    Aligned(offset=2, alone=True),
    Related(),
    Unrelated(),
    Weighted(Keyed(KEYS, OTHERS, *MARKS), 0.25, -1.0),
]


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: type(r).__name__)
@given(st.integers(0, 6), st.integers(1, 7), st.integers(0, 8), st.integers(1, 9))
def test_a_block_is_a_part_of_the_whole(relation: Relation, a: int, rows: int, c: int, columns: int) -> None:
    whole = relation.block(slice(0, 7), slice(0, 9))
    anchors, candidates = slice(a, min(7, a + rows)), slice(c, min(9, c + columns))
    block = relation.block(anchors, candidates)
    assert torch.equal(block.target, whole.target[anchors, candidates])
    assert torch.equal(block.log_prior, whole.log_prior[anchors, candidates])
    assert block.target.is_floating_point()


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda r: type(r).__name__)
def test_who_takes_no_part_attracts_nobody(relation: Relation) -> None:
    block = relation.block(slice(0, 7), slice(0, 9))
    assert (block.target >= 0).all()
    assert (block.target[block.log_prior == -torch.inf] == 0).all()


# Edges of 0 too, and other weights there than back.
EDGES = torch.rand(4, 4, generator=G).masked_fill(torch.rand(4, 4, generator=G) < 0.3, 0.0)

SUMMED: list[tuple[Relation, int]] = [
    (Keyed(KEYS, OTHERS), 9),
    (Keyed(KEYS, OTHERS, *MARKS, weight=0.25), 9),
    (Keyed(KEYS, OTHERS, torch.tensor([3, -1, 8, 8, -1, 0, 20]), torch.arange(9).flip(0)), 9),
    (Keyed(KEYS, KEYS, MARKS[0].flip(0), MARKS[0].flip(0)), 7),
    (Keyed(KEYS, OTHERS[:0]), 0),
    (Keyed(torch.full((7,), -1), torch.full((9,), -1)), 9),
    (Aligned(), 9),
    (Aligned(offset=2), 9),
    (Related(), 9),
    (Unrelated(), 9),
    (Graph(EDGES, KEYS, OTHERS), 9),
    (Graph(EDGES, KEYS, OTHERS, *MARKS), 9),
    (Graph(EDGES, KEYS, OTHERS, torch.tensor([3, -1, 8, 8, -1, 0, 20]), torch.arange(9).flip(0)), 9),
    (Graph(EDGES, torch.full((7,), -1), OTHERS, *MARKS), 9),
    (Graph(EDGES, KEYS, OTHERS[:0]), 0),
    (Weighted(Keyed(KEYS, OTHERS, *MARKS), 0.25), 9),
]


@pytest.mark.parametrize(("relation", "candidates"), SUMMED)
def test_a_sum_is_that_of_the_blocks(relation: Relation, candidates: int) -> None:
    assert isinstance(relation, Summed)
    excluded = relation.excluded(7, candidates)
    assert excluded is not None
    assert (excluded[0].diff() >= 0).all()
    whole = relation.block(slice(0, 7), slice(0, candidates))
    prior = torch.zeros(7, candidates)
    prior[excluded] = -torch.inf
    assert torch.equal(prior, whole.log_prior)
    rows = torch.randn(candidates, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    total, mass = relation.attracted(rows, 7, excluded)
    target = whole.target.double()
    assert torch.allclose(mass, target.sum(1), rtol=0, atol=1e-7)
    assert torch.equal(mass > 0, target.sum(1) > 0)
    assert torch.allclose(total, target @ rows, rtol=0, atol=1e-6)
    if total.requires_grad:
        slope = torch.autograd.grad((total * torch.arange(1, 8)[:, None]).sum(), rows)[0]
        assert torch.allclose(slope, (target.mT @ torch.arange(1.0, 8.0).double())[:, None].expand(-1, 3), atol=1e-6)


@pytest.mark.parametrize(
    "relation",
    [
        Keyed(KEYS, OTHERS, log_prior=torch.ones(9)),
        Keyed(KEYS, OTHERS, torch.zeros(7, dtype=torch.int64), torch.zeros(9, dtype=torch.int64)),
        Aligned(alone=True),
        Aligned(offset=3),
        Aligned(offset=-1),
        Weighted(Keyed(KEYS, OTHERS), 1.0, 0.5),
        Weighted(Explicit(torch.ones(7, 9))),
    ],
)
def test_what_is_not_a_few_pairs_is_told_by_blocks_alone(relation: Relation) -> None:
    assert isinstance(relation, Summed)
    assert relation.excluded(7, 9) is None


def test_unknown_keys_attract_nobody_not_even_each_other() -> None:
    block = Keyed(torch.tensor([-1, 2, -3]), torch.tensor([-1, -3, 2])).block(slice(0, 3), slice(0, 3))
    assert torch.equal(block.target, torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]]))
    assert (block.log_prior == 0).all()


def test_graph_looks_up_edges() -> None:
    graph = Graph(torch.tensor([[1.0, 0.2], [0.3, 1.0]]), torch.tensor([0, 1, -1]), torch.tensor([1, 0]))
    expected = torch.tensor([[0.2, 1.0], [1.0, 0.3], [0.0, 0.0]])
    assert torch.equal(graph.block(slice(0, 3), slice(0, 2)).target, expected)


def test_aligned_among_gathered_keys() -> None:
    block = Aligned(offset=2).block(slice(0, 2), slice(0, 4))
    assert torch.equal(block.target, torch.tensor([[0.0, 0, 1, 0], [0, 0, 0, 1]]))


def test_matrices_must_have_one_shape() -> None:
    with pytest.raises(ShapeError, match=r"\[2, 3\], but its log priors are \[3, 2\]"):
        Explicit(torch.ones(2, 3), torch.zeros(3, 2))
