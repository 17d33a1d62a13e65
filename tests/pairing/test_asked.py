"""PAL: a graph of views and of answered questions."""

from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Asking, InBatch
from counterpoint.objectives import Contrast, contrast_dense, nt_xent
from counterpoint.pairing import Asked, SameClass
from counterpoint.random import Stream, Streams
from counterpoint.relations import Summed
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Columns, Context, Encoded, Match, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))
LABELS = [0, 1, 0, -1, 1, 0, 1, -1, 0]


def rows_of(labels, positions=None, views=2):
    n = len(labels)
    positions = torch.arange(n) if positions is None else torch.as_tensor(positions)
    images = torch.zeros(n, 1, 2, 2, dtype=torch.uint8)
    return Rows.of(Batch(images, 100 + positions, positions, torch.as_tensor(labels)), views)


def encoded(rows, seed=0):
    z = torch.randn(len(rows), 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Encoded(z, z.requires_grad_(), rows)


def loss_of(pairing, encoded, negatives=None, temperature=0.3):
    negatives = negatives or InBatch()
    return Contrast(temperature)(negatives.match(encoded, encoded, pairing, Cosine(), None, CONTEXT))


def slow(rows, weight):
    """Who attracts whom, in loops."""
    partner = [-1] * len(rows) if rows.partner is None else rows.partner.tolist()
    position, sample, label = rows.position.tolist(), rows.sample.tolist(), rows.label.tolist()
    target = torch.zeros(len(rows), len(rows))
    for i in range(len(rows)):
        for j in range(len(rows)):
            asked = position[j] == partner[i] or position[i] == partner[j]
            if i == j:
                continue
            if sample[i] == sample[j]:
                target[i, j] = 1.0
            elif asked and label[i] == label[j] >= 0:
                target[i, j] = weight
    return target


ASKS = [
    Asked("pair"),
    Asked("pair", share=0.4, weight=0.5),
    Asked("captcha", shown=4),
    Asked("captcha", shown=2, share=0.5),
    Asked("captcha", shown=100, weight=2.0),
]


@pytest.mark.parametrize("pairing", ASKS)
@pytest.mark.parametrize("views", [1, 2, 3])
def test_edges_are_those_of_loops_and_sum_as_their_blocks(pairing, views):
    rows = pairing.draw(rows_of(LABELS, views=views), Stream(3))
    relation = pairing.relation(rows, rows)
    everyone = slice(0, len(rows))
    block = relation.block(everyone, everyone)
    expected = slow(rows, pairing.weight)
    assert torch.equal(block.target, expected)
    assert torch.equal(block.target, block.target.mT)
    assert torch.equal(block.log_prior == -torch.inf, torch.eye(len(rows)) > 0)
    part = relation.block(slice(2, 5), slice(1, 7))
    assert torch.equal(part.target, expected[2:5, 1:7])
    assert isinstance(relation, Summed)
    excluded = relation.excluded(len(rows), len(rows))
    z = torch.randn(len(rows), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    total, mass = relation.attracted(z, len(rows), excluded)
    torch.testing.assert_close(total, expected.double() @ z)
    torch.testing.assert_close(mass, expected.double().sum(1))


def test_a_pair_is_never_of_one_image_and_any_other_is_drawn():
    drawn = [Asked("pair").draw(rows_of([0] * 4), Stream(seed)).partner[:4] for seed in range(60)]
    met = torch.zeros(4, 4)
    for partner in drawn:
        met[torch.arange(4), partner] += 1
    assert (met.diagonal() == 0).all()
    assert (met[~torch.eye(4, dtype=torch.bool)] > 5).all()


@pytest.mark.parametrize(("ask", "questions"), [("pair", 12), ("captcha", 4)])
def test_no_more_questions_than_were_allowed(ask, questions):
    for share in (0.0, 0.25, 0.5, 1.0):
        partner = Asked(ask, share=share, shown=3).draw(rows_of([0] * 12), Stream(0)).partner[:12]
        asked = partner >= 0
        assert asked.sum() == round(share * questions) * 12 // questions
        if ask == "captcha" and asked.any():
            assert torch.equal(partner[asked], (torch.arange(12) // 3 * 3)[asked])


@pytest.mark.parametrize("pairing", ASKS[:4])
def test_two_ranks_draw_what_one_does(pairing):
    whole = pairing.draw(rows_of(LABELS[:8]), Stream(5)).partner[:8]
    ranks = [
        pairing.draw(rows_of(LABELS[part], range(8)[part]), Stream(5, rank=rank, world=2)).partner[:4]
        for rank, part in enumerate((slice(0, 4), slice(4, 8)))
    ]
    assert torch.equal(torch.cat(ranks), whole)


# ---------------------------------------------------------------- neighbours


def test_without_questions_it_is_nt_xent():
    rows = rows_of(LABELS)
    own = encoded(rows)
    base = nt_xent(own.z, temperature=0.3)
    for pairing in (Asked("none"), Asked("pair", share=0.0), Asked("captcha", share=0.0)):
        asked = Encoded(own.h, own.z, pairing.draw(rows, Stream(0)))
        torch.testing.assert_close(loss_of(pairing, asked).total, base)
    # Nobody is of a kind with another: whatever is asked, the answer is no.
    alone = Encoded(own.h, own.z, Asked().draw(rows_of(range(9)), Stream(0)))
    torch.testing.assert_close(loss_of(Asked(), alone).total, base)


def test_with_all_questions_it_is_supcon():
    known = encoded(rows_of([0, 1, 0, 1]))
    torch.testing.assert_close(loss_of(Asked("all"), known).total, loss_of(SameClass(), known).total)
    # Unknown rows have their views: the union of both graphs.
    half = encoded(rows_of([0, 1, 0, -1]))
    found = loss_of(Asked("all"), half)
    assert found.anchors == 8
    as_known = Encoded(half.h, half.z, rows_of([0, 1, 0, 2]))
    torch.testing.assert_close(found.total, loss_of(SameClass(), as_known).total)


def test_an_answer_changes_the_loss_and_its_weight_counts():
    rows = rows_of([0, 0, 1, 1])
    own = encoded(rows)
    partner = torch.tensor([1, -1, -1, 0]).repeat(2)
    asked = Encoded(own.h, own.z, replace(rows, partner=partner))
    base, light, full = (loss_of(Asked(weight=w), asked).total for w in (1e-9, 0.5, 1.0))
    torch.testing.assert_close(base, nt_xent(own.z, temperature=0.3))
    assert base != light != full
    match = Match(own.z, (Columns(own.z, Asked(weight=0.5).relation(asked.rows, asked.rows), Cosine()),))
    torch.testing.assert_close(light, contrast_dense(match, temperature=0.3))


def test_gradcheck():
    rows = Asked().draw(rows_of([0, 0, 1, -1]), Stream(1))
    own = encoded(rows)
    assert torch.autograd.gradcheck(lambda z: loss_of(Asked(), Encoded(z, z, rows)).total, (own.z,))


# ---------------------------------------------------------------- whom to ask about


def test_the_nearest_other_image_is_asked_about(monkeypatch):
    from counterpoint.negatives import asking

    angle = torch.tensor([0.0, 0.2, 2.0, 2.1, 3.9]).double()
    points = torch.stack([angle.cos(), angle.sin()], 1)
    rows = Asked(share=0.8).draw(rows_of([0, 0, 1, 0, 1]), Stream(0))
    silent = rows.partner[:5] < 0
    assert silent.sum() == 1
    for at_once in (2, 1024):
        monkeypatch.setattr(asking, "_AT_ONCE", at_once)
        match = Asking().match(
            Encoded(points.repeat(2, 1), points.repeat(2, 1), rows),
            Encoded(points.repeat(2, 1), points.repeat(2, 1), rows),
            Asked(),
            Cosine(),
            None,
            CONTEXT,
        )[0]
        found = match.columns[0].relation.anchors.partner
        expected = torch.tensor([1, 0, 3, 2, 3]).masked_fill(silent, -1)
        assert torch.equal(found, expected.repeat(2))
    target = match.columns[0].relation.block(slice(0, 10), slice(0, 10)).target
    # 0 and 1 are of a kind; 2 and 3, the other pair of neighbours, are not.
    assert target[0, 1] == target[1, 5] == 1
    assert target[2, 3] == target[3, 7] == 0


def test_without_questions_nobody_is_chosen():
    own = encoded(rows_of([0, 0, 1, 1]))
    torch.testing.assert_close(loss_of(Asked("none"), own, Asking()).total, nt_xent(own.z, temperature=0.3))
    assert Asking().seen(8, 2) == 14


def test_mistakes_are_sentences():
    for wrong in ({"share": 1.5}, {"shown": 1}, {"weight": 0.0}):
        with pytest.raises(RecipeError, match="a weight above 0"):
            Asked(**wrong)
