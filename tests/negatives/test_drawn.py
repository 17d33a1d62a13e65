"""Negatives that are drawn, and negatives that were fixed."""

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import ByView, Drawn
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

LABELS = [0, 1, 0, -1, 2, 1, -1, 0]


def context(step=0, comm=None, rank=0, world=1):
    return Context(Clock(step, 100, 10), comm or Comm.alone(), Streams(0, "cpu", rank, world))


def encoded(labels=LABELS, views=2):
    """Row i of view v is (i, v)."""
    n = len(labels)
    image = torch.arange(n)
    batch = Batch(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), image + 40, image, torch.tensor(labels))
    z = torch.cartesian_prod(torch.arange(float(views)), image.float()).flip(1)
    return Encoded(z, z, Rows.of(batch, views))


def match(negatives, rows, step=0, context_=None):
    (made,) = negatives.match(rows, rows, SameSample(), Cosine(), None, context_ or context(step))
    return made


def facts(classes):
    return Facts("made", "photos", 1, 2, 8, classes=classes)


def test_anchor_positive_and_negatives():
    made = match(Drawn(count=3), encoded())
    near, far = made.columns
    assert made.query.tolist() == [[i, 0] for i in range(8)]
    assert near.rows.tolist() == [[[i, 1]] for i in range(8)]
    assert far.rows.shape == (8, 3, 2)
    assert (far.rows[..., 1] == 0).all()
    assert (near.relation.block(slice(0, 8), slice(0, 1)).target == 1).all()
    assert (far.relation.block(slice(0, 8), slice(0, 3)).target == 0).all()
    assert near.score == far.score == Cosine()
    assert Drawn(count=3).seen(global_batch=8, views=2) == 3


@pytest.mark.parametrize("other_class", [True, False])
def test_each_other_image_is_drawn_as_often(other_class):
    """40,000 draws for each anchor: within five standard deviations of even, and never what is not allowed."""
    drawn = match(Drawn(40_000, other_class), encoded()).columns[1].rows[..., 0].long()
    for i, own in enumerate(LABELS):
        allowed = [j for j, label in enumerate(LABELS) if j != i and (label != own or own < 0 or not other_class)]
        share = torch.bincount(drawn[i], minlength=8) / 40_000
        assert set(share.nonzero().flatten().tolist()) == set(allowed)
        even = 1 / len(allowed)
        assert (share[allowed] - even).abs().max() < 5 * (even * (1 - even) / 40_000) ** 0.5


def test_steps_draw_anew_and_the_same_when_asked_again():
    first, again, second = (match(Drawn(5), encoded(), step).columns[1].rows for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_gradients_reach_all_three():
    rows = encoded()
    z = rows.z.clone().requires_grad_()
    made = match(Drawn(), Encoded(rows.h, z, rows.rows))
    (made.query.sum() + sum(group.rows.sum() for group in made.columns)).backward()
    assert (z.grad > 0).all(1).sum() == 16
    assert z.grad.sum() == 8 * 3 * 2


def test_two_ranks_draw_what_one_process_draws():
    """Rows of the joined batch, which a rank sees by gathering."""
    whole = encoded()
    alone = match(Drawn(4), whole).columns[1].rows

    class Two(Comm):
        def gather(self, t):
            return whole.z[whole.rows.view == 0]

        def gather_rows(self, rows):
            return whole.rows.where(whole.rows.view == 0)

    for rank in range(2):
        own = (whole.rows.position // 4) == rank
        share = Encoded(whole.h[own], whole.z[own], whole.rows.where(own))
        made = match(Drawn(4), share, context_=context(comm=Two(rank, 2), rank=rank, world=2))
        assert torch.equal(made.columns[1].rows, alone[rank * 4 : rank * 4 + 4])


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="no image of another class among the 3 of the batch"):
        match(Drawn(), encoded([1, 1, 1]))
    assert match(Drawn(other_class=False), encoded([1, 1, 1])).columns[1].rows.shape == (3, 1, 2)
    assert match(Drawn(), encoded([-1, -1, -1])).columns[1].rows.shape == (3, 1, 2)
    with pytest.raises(RecipeError, match="no image besides its own among the 1 of the batch"):
        match(Drawn(other_class=False), encoded([1]))
    with pytest.raises(RecipeError, match="there is one view only"):
        match(Drawn(), encoded(views=1))
    with pytest.raises(RecipeError, match="need labels, but source 'made' has none"):
        Drawn().build(facts(0))
    with pytest.raises(RecipeError, match="at least 1 negative"):
        Drawn(0).build(facts(4))
    assert Drawn(other_class=False).build(facts(0)) is None
    assert Drawn().build(facts(2)) is None


def test_by_view():
    made = match(ByView(), encoded(views=3))
    assert made.query.tolist() == [[i, 0] for i in range(8)]
    assert made.columns[0].rows.tolist() == [[[i, 1]] for i in range(8)]
    assert made.columns[1].rows.tolist() == [[[i, 2]] for i in range(8)]
    assert made.columns[0].relation.block(slice(0, 8), slice(0, 1)).target.min() == 1
    assert made.columns[1].relation.block(slice(0, 8), slice(0, 1)).target.max() == 0
    assert ByView().seen(8, 3) == 1
    other = match(ByView(positive=2, negative=1), encoded(views=3))
    assert torch.equal(other.columns[0].rows, made.columns[1].rows)
    with pytest.raises(RecipeError, match="view 2 of each entry, but the entries have 2 views"):
        match(ByView(), encoded(views=2))
    for wrong in (ByView(1, 1), ByView(0, 1)):
        with pytest.raises(RecipeError, match="view 0 is the anchor"):
            wrong.build(facts(0))
    assert ByView().build(facts(0)) is None
