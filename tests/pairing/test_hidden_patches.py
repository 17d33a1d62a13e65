"""Which patches are hidden."""

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError, ShapeError
from counterpoint.pairing import HiddenPatches
from counterpoint.random import Stream
from counterpoint.types import Batch, Rows


def rows(batch=40, views=9):
    image = torch.arange(batch)
    return Rows.of(Batch(torch.zeros(batch, 1, 2, 2, dtype=torch.uint8), image + 7, image, image % 3), views)


def test_each_image_hides_as_many_and_each_patch_as_often():
    hidden = HiddenPatches(3).draw(rows(4000), Stream(0)).hidden.view(9, 4000)
    assert (hidden.sum(0) == 3).all()
    share = hidden.float().mean(1)
    assert (share - 1 / 3).abs().max() < 5 * (2 / 9 / 4000) ** 0.5
    assert len(torch.unique(hidden.T, dim=0)) == 84  # 9 over 3


def test_it_stays_with_its_rows():
    drawn = HiddenPatches(3).draw(rows(), Stream(0))
    keep = drawn.view == 4
    assert torch.equal(drawn.where(keep).hidden, drawn.hidden[keep])
    assert torch.equal(Comm.alone().gather_rows(drawn).hidden, drawn.hidden)
    assert drawn.hidden.dtype == torch.bool


def test_two_ranks_draw_what_one_draws():
    whole = HiddenPatches(3).draw(rows(), Stream(5)).hidden.view(9, 40)
    for rank in range(2):
        part = HiddenPatches(3).draw(rows(20), Stream(5, rank=rank, world=2)).hidden.view(9, 20)
        assert torch.equal(part, whole[:, 20 * rank : 20 * rank + 20])


def test_a_patch_attracts_itself_alone():
    who = rows(3, 4)
    assert torch.equal(HiddenPatches(2).relation(who, who).block(slice(0, 12), slice(0, 12)).target, torch.eye(12))


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="at least 2"):
        HiddenPatches(1)
    with pytest.raises(ShapeError, match="hide all 9 patches"):
        HiddenPatches(9).draw(rows(), Stream(0))
