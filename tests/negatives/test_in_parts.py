"""Parts of a batch: loops, the whole batch, and two ranks."""

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import InBatch, InParts
from counterpoint.objectives import Contrast, nt_xent
from counterpoint.pairing import SameSample
from counterpoint.scores import Cosine
from counterpoint.types import Facts

from .rows_made import context, encoded, share


def matches(part, online, keys=None, comm=None):
    return part.match(online, keys or online, SameSample(), Cosine(), None, context(comm=comm))


@pytest.mark.parametrize(("n", "images"), [(4, 2), (6, 2), (6, 3), (5, 2)])
def test_each_part_is_a_batch_of_its_own(n, images):
    """The mean over rows of the losses that the parts have as batches; a part of one image has nothing to tell."""
    rows = encoded(1, n=n)
    total = 0.0
    for start in range(0, n, images):
        own = list(range(start, min(start + images, n)))
        part = rows.z[own + [i + n for i in own]]
        total += 2 * len(own) * float(nt_xent(part, temperature=0.3))
    found = Contrast(0.3)(matches(InParts(images), rows))
    assert float(found.total) == pytest.approx(total / (2 * n), rel=1e-6)
    assert found.anchors == 2 * n


def test_a_part_of_all_images_is_the_batch():
    rows = encoded(1)
    for images in (4, 100):
        (ours,), (theirs,) = matches(InParts(images), rows), matches(InBatch(), rows)
        torch.testing.assert_close(Contrast(0.3)([ours]).total, Contrast(0.3)([theirs]).total)
        assert InParts(images).seen(4, 2) == InBatch().seen(4, 2) == 6
    assert InParts(2).seen(4, 2) == 2


def test_a_row_of_another_part_gets_no_force():
    rows = encoded(1)
    rows.z.requires_grad_()
    first = matches(InParts(2), rows)[0]
    (gradient,) = torch.autograd.grad(Contrast(0.3)([first]).total, rows.z)
    assert (gradient[[2, 3, 6, 7]] == 0).all()
    assert (gradient[[0, 1, 4, 5]] != 0).any(1).all()


@pytest.mark.parametrize("images", [2, 4, 8])
def test_two_ranks_compare_the_parts_of_the_joined_batch(images):
    """Also a part whose images lie on both."""
    whole = encoded(1, n=6)

    class Two(Comm):
        def gather(self, t):
            return whole.z

        def gather_rows(self, rows):
            return whole.rows

    joined = Contrast(0.3)(matches(InParts(images), whole))
    total, anchors = 0.0, 0.0
    for rank in range(2):
        mine = share(whole, rank)
        found = Contrast(0.3)(matches(InParts(images), mine, comm=Two(rank, 2)))
        total, anchors = total + float(found.total) * found.anchors, anchors + found.anchors
    assert anchors == joined.anchors
    assert total / anchors == pytest.approx(float(joined.total), rel=1e-6)


def test_a_part_of_one_image_is_refused():
    with pytest.raises(RecipeError, match="at least 2"):
        InParts(1).build(Facts("made", "photos", 1, 2, 8))
