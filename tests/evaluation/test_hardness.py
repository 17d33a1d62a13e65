"""Which negatives push: loops, closed forms, and the gradient that an embedding gets."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.distributed import Comm
from counterpoint.evaluation import by_hardness, forces
from counterpoint.negatives import InBatch, InParts, Queue
from counterpoint.objectives import Contrast, Debiased
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.relations import Related, Unrelated
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Columns, Context, Encoded, Facts, Match, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))


def encoded(seed=0, n=6, width=5):
    batch = Batch(
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.arange(n), torch.arange(n), torch.zeros(n, dtype=torch.int64)
    )
    z = torch.randn(2 * n, width, generator=torch.Generator().manual_seed(seed))
    return Encoded(z, z, Rows.of(batch, 2))


def matched(part, rows):
    state = part.build(Facts("made", "photos", 1, 2, 100, projection=rows.z.shape[1]))
    return part.match(rows, rows, SameSample(), Cosine(), state, CONTEXT)


def of_circle(degrees, temperature):
    """One query at 0 degrees whose key is there too, negatives at these angles; a softmax."""
    z = torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])
    query = torch.tensor([[1.0, 0.0]])
    groups = (Columns(query[:, None], Related(), Cosine()), Columns(z, Unrelated(), Cosine()))
    (found,) = forces([Match(query, groups)], Contrast(temperature))
    return found


# ---------------------------------------------------------------- forces


def test_a_softmax_pushes_by_its_weights():
    """In plain loops: weight / temperature of each negative, and of the positive less what it asks for."""
    angles, temperature = [10, 60, 90, 200], 0.3
    found = of_circle(angles, temperature)
    exponentials = [math.exp(math.cos(math.radians(a)) / temperature) for a in [0, *angles]]
    weights = [e / sum(exponentials) for e in exponentials]
    assert found.force[0, 1:].tolist() == pytest.approx([w / temperature for w in weights[1:]], rel=1e-5)
    assert float(found.force[0, 0]) == pytest.approx((weights[0] - 1) / temperature, rel=1e-5)
    assert found.negative.tolist() == [[False, True, True, True, True]]
    assert found.score[0].tolist() == pytest.approx([math.cos(math.radians(a)) for a in [0, *angles]], abs=1e-6)


@pytest.mark.parametrize("part", [InBatch(), InParts(3), Queue(9)], ids=str)
@pytest.mark.parametrize(
    "objective", [Contrast(0.2), Contrast(0.2, times_temperature=2.0), Debiased(0.5, 0.1)], ids=str
)
def test_they_are_the_gradient_that_embeddings_get(part, objective):
    """The chain rule over the scores gives what the objective itself gives."""
    rows = encoded()
    rows.z.requires_grad_()
    matches = matched(part, rows)
    (whole,) = torch.autograd.grad(objective(matches).total, rows.z, retain_graph=True)
    cosine, total = Cosine(), torch.zeros(())
    for match, found in zip(matches, forces(matches, objective), strict=True):
        scores = [cosine.tile(cosine.prepare(match.query), cosine.prepare(group.rows)) for group in match.columns]
        table = torch.cat(scores, 1)
        torch.testing.assert_close(found.score, table.detach())
        total = total + (table * found.force).sum()
    torch.testing.assert_close(torch.autograd.grad(total, rows.z)[0], whole, rtol=1e-4, atol=1e-6)


def test_whoever_takes_no_part_is_not_pushed():
    rows = encoded()
    (found,) = forces(matched(InBatch(), rows), Contrast(0.3))
    itself, twin = torch.arange(12), (torch.arange(12) + 6) % 12
    assert not found.negative[itself, itself].any()
    assert not found.negative[itself, twin].any()
    assert (found.negative.sum(1) == 10).all()
    assert (found.force[itself, itself] == 0).all()
    assert (found.force[found.negative] > 0).all()


def test_an_anchor_at_the_bound_pushes_nobody():
    """Debiased: where the corrected negatives are at the least that they could be."""
    z = torch.eye(2).repeat(2, 1)
    rows = Encoded(z, z, encoded(n=2).rows)
    (found,) = forces(matched(InBatch(), rows), Debiased(0.5, 0.3))
    assert (found.force[found.negative] == 0).all()
    (free,) = forces(matched(InBatch(), rows), Debiased(0.5, 0.1))
    assert (free.force[free.negative] > 0).all()


# ---------------------------------------------------------------- tenths


def slow(scores, negative, amounts, parts):
    """Each negative is cut into `parts` pieces, so that tenths are whole numbers of pieces."""
    ranked = sorted((i for i, n in enumerate(negative) if n), key=lambda i: -scores[i])
    pieces = [amounts[i] / parts for i in ranked for _ in range(parts)]
    size = len(ranked)
    return [sum(pieces[size * part : size * (part + 1)]) for part in range(parts)]


@given(st.integers(1, 4), st.integers(1, 23), st.sampled_from([1, 3, 10]), st.integers(0, 99))
def test_tenths_are_those_of_plain_loops(anchors, candidates, parts, seed):
    rng = random.Random(seed)
    scores = [rng.sample(range(100), candidates) for _ in range(anchors)]
    negative = [[rng.random() < 0.8 for _ in range(candidates)] for _ in range(anchors)]
    amounts = [[rng.random() for _ in range(candidates)] for _ in range(anchors)]
    found = by_hardness(
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(negative),
        torch.tensor(amounts, dtype=torch.float64),
        parts=parts,
    )
    for row, *given_ in zip(found.tolist(), scores, negative, amounts, strict=True):
        assert row == pytest.approx(slow(*given_, parts), abs=1e-12)


@given(st.integers(10, 40), st.integers(0, 99))
def test_the_order_of_candidates_does_not_matter(candidates, seed):
    stream = torch.Generator().manual_seed(seed)
    score, amount = (torch.rand(3, candidates, generator=stream) for _ in range(2))
    score, negative = score.argsort(1).float(), torch.rand(3, candidates, generator=stream) < 0.7
    order = torch.randperm(candidates, generator=stream)
    first = by_hardness(score, negative, amount)
    torch.testing.assert_close(by_hardness(score[:, order], negative[:, order], amount[:, order]), first)
    torch.testing.assert_close(first.sum(1), (amount.double() * negative).sum(1))


@pytest.mark.parametrize("count", [3, 10, 62, 101])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equal_similarities_make_equal_tenths(count, temperature):
    found = of_circle([70.0] * count, temperature)
    tenths = by_hardness(found.score, found.negative, found.force)
    assert (tenths / tenths.sum()).tolist()[0] == pytest.approx([0.1] * 10, rel=1e-5)


@pytest.mark.parametrize("count", [10, 62])
def test_the_coldest_pushes_the_hardest_alone(count):
    angles = torch.linspace(170.0, 20.0, count).tolist()
    found = of_circle(angles, 0.005)
    tenths = by_hardness(found.score, found.negative, found.force)[0]
    assert float(tenths[0] / tenths.sum()) == pytest.approx(1.0, abs=1e-4)
    warm = of_circle(angles, 1e4)
    tenths = by_hardness(warm.score, warm.negative, warm.force)[0]
    assert (tenths / tenths.sum()).tolist() == pytest.approx([0.1] * 10, rel=1e-3), "and the hottest all alike"


def test_what_is_no_negative_counts_nothing():
    score = torch.tensor([[9.0, 1.0, 2.0, 3.0]])
    found = by_hardness(score, torch.tensor([[False, True, True, False]]), torch.ones(1, 4), parts=2)
    assert found.tolist() == [[1.0, 1.0]]
    assert by_hardness(score, torch.zeros(1, 4, dtype=torch.bool), torch.ones(1, 4), parts=2).tolist() == [[0.0, 0.0]]
