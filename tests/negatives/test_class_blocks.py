"""Pairs that are drawn from classes: whom an anchor meets, how often classes collide, and the losses of the theory."""

from math import log

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.evaluation import Hinge, Logistic
from counterpoint.negatives import ClassBlocks
from counterpoint.objectives import Contrast, Triplet
from counterpoint.pairing import SameClass
from counterpoint.random import Streams
from counterpoint.scores import Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

LABELS = [0, 1, 0, -1, 2, 1, 0, 0, 1, 3]  # four of class 0, three of 1, one each of 2 and 3, one unknown


def context(step=0, comm=None, rank=0, world=1):
    return Context(Clock(step, 100, 10), comm or Comm.alone(), Streams(0, "cpu", rank, world))


def encoded(labels=LABELS, views=1, z=None):
    """Row i is the i-th unit vector, so that a block's mean says who is in it."""
    n = len(labels)
    image = torch.arange(n)
    batch = Batch(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), image + 40, image, torch.tensor(labels))
    z = torch.eye(n).repeat(views, 1) if z is None else z
    return Encoded(z, z, Rows.of(batch, views))


def match(negatives, rows, step=0, context_=None):
    (made,) = negatives.match(rows, rows, SameClass(), Dot(), None, context_ or context(step))
    return made


def test_the_positive_is_of_the_anchors_class_and_never_the_anchor():
    for step in range(20):
        made = match(ClassBlocks(3), encoded(), step)
        near, far = made.columns
        anchors = made.query.argmax(1).tolist()
        assert anchors == [0, 1, 2, 5, 6, 7, 8], "images alone in their class, or of none, are no anchors"
        assert made.left_out == 3
        assert near.rows.shape == (7, 1, 10)
        assert far.rows.shape == (7, 3, 10)
        for i, who, others in zip(anchors, near.rows.argmax(2).tolist(), far.rows.argmax(2).tolist(), strict=True):
            assert LABELS[who[0]] == LABELS[i]
            assert who[0] != i
            assert i not in others
            assert 3 not in others, "of unknown class"
    assert (near.relation.block(slice(0, 7), slice(0, 1)).target == 1).all()
    assert (far.relation.block(slice(0, 7), slice(0, 3)).target == 0).all()
    assert ClassBlocks(3).seen(10, 1) == 3


def test_classes_come_as_often_as_the_batch_has_them():
    """8,000 negatives of image 0: each other known image is drawn as often, but one of its own class, 1 + 3 of 8."""
    far = match(ClassBlocks(8000), encoded()).columns[1].rows[0].argmax(1)
    of_class = torch.tensor(LABELS)[far].bincount(minlength=4) / 8000
    expected = torch.tensor([3, 3, 1, 1]) / 8
    assert (of_class - expected).abs().max() < 5 * (0.25 / 8000) ** 0.5


def test_a_positive_is_any_other_image_of_the_class():
    found = torch.stack([match(ClassBlocks(), encoded(), step).columns[0].rows[0, 0] for step in range(900)])
    share = found.mean(0)
    assert share[[2, 6, 7]].sum() == pytest.approx(1)
    assert (share[[2, 6, 7]] - 1 / 3).abs().max() < 5 * (2 / 9 / 900) ** 0.5


def test_blocks_hold_different_images_also_where_classes_collide():
    labels = [0] * 12 + [1] * 12
    for step in range(10):
        made = match(ClassBlocks(4, block=2), encoded(labels), step)
        every = torch.cat([group.rows for group in made.columns], 1)
        assert every.shape == (24, 5, 24)
        assert set(every.unique().tolist()) == {0.0, 0.5}, "two different images in each mean"
        own = torch.tensor(labels)
        for i, blocks in enumerate(every):
            cls = torch.stack([own[block > 0] for block in blocks])
            assert (cls == cls[:, :1]).all(), "of one class"
            assert (cls[0] == own[i]).all()
            mine = blocks[cls[:, 0] == own[i]].sum(0)
            assert mine[i] == 0
            assert mine.max() == 0.5, "an anchor's own class gives each image once: 5 blocks of 2 of its 11 others"


def test_a_small_class_gives_images_again():
    near = match(ClassBlocks(1, block=5), encoded([0, 0, 0, 1, 1])).columns[0].rows
    assert near[0, 0].tolist() == pytest.approx([0, *near[0, 0, 1:3].tolist(), 0, 0])
    assert sorted(near[0, 0].tolist())[-2:] == pytest.approx([0.4, 0.6])
    assert near[3, 0].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("block", [1, 3])
def test_the_objectives_are_the_theorys_losses(count, block):
    """By the margins of the means, one anchor at a time."""
    z = torch.randn(10, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    made = match(ClassBlocks(count, block), encoded(z=z))
    near, far = (group.rows for group in made.columns)
    margin = torch.stack([(near[i, 0] - far[i]) @ made.query[i] for i in range(7)])
    logistic, hinge = Contrast(1.0, times_temperature=1 / log(2)), Triplet(1.0, mining="hard")
    assert logistic([made]).total.item() == pytest.approx(Logistic()(margin).mean().item(), rel=1e-9)
    assert hinge([made]).total.item() == pytest.approx(Hinge()(margin).mean().item(), rel=1e-9)


def test_features_of_zero_cost_one():
    made = match(ClassBlocks(), encoded(z=torch.zeros(10, 6)))
    for objective in (Contrast(1.0, times_temperature=1 / log(2)), Triplet(1.0, mining="hard")):
        assert objective([made]).total.item() == pytest.approx(1.0, abs=1e-6)


def test_gradients_are_those_of_finite_differences():
    z = torch.randn(10, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64, requires_grad=True)
    for objective in (Contrast(1.0, times_temperature=1 / log(2)), Triplet(1.0, mining="hard")):
        assert torch.autograd.gradcheck(
            lambda z, objective=objective: objective([match(ClassBlocks(2, 2), encoded(z=z))]).total, z
        )


def test_steps_draw_anew_and_further_views_take_no_part():
    first, again, second = (match(ClassBlocks(5), encoded(), step).columns[1].rows for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    z = torch.cat((torch.eye(10), torch.full((10, 10), torch.nan)))
    assert torch.equal(match(ClassBlocks(5), encoded(views=2, z=z), 3).columns[1].rows, first)


def test_two_ranks_draw_what_one_process_draws():
    labels = [0, 1, 0, 1, 1, 0, 0, 1]
    whole = encoded(labels)
    alone = match(ClassBlocks(4, 2), whole)

    class Two(Comm):
        def gather(self, t):
            return whole.z

        def gather_rows(self, rows):
            return whole.rows

    for rank in range(2):
        own = (whole.rows.position // 4) == rank
        share = Encoded(whole.h[own], whole.z[own], whole.rows.where(own))
        made = match(ClassBlocks(4, 2), share, context_=context(comm=Two(rank, 2), rank=rank, world=2))
        for group, other in zip(made.columns, alone.columns, strict=True):
            assert torch.equal(group.rows, other.rows[rank * 4 : rank * 4 + 4])


def test_where_nobody_has_a_partner_there_is_no_anchor():
    for labels in ([0, 1, 2], [-1, -1, -1], [0]):
        made = match(ClassBlocks(2), encoded(labels))
        assert len(made.query) == 0
        assert made.left_out == len(labels)
        assert Contrast(1.0)([made]).anchors == 0


def test_mistakes_are_sentences():
    for wrong in ({"count": 0}, {"block": 0}):
        with pytest.raises(RecipeError, match="at least 1 negative, and 1 image"):
            ClassBlocks(**wrong)
    with pytest.raises(RecipeError, match="need labels, but source 'made' has none"):
        ClassBlocks().build(Facts("made", "photos", 1, 2, 8, classes=0))
    assert ClassBlocks().build(Facts("made", "photos", 1, 2, 8, classes=2)) is None
