"""Patches as views: sheets of tiles, an operation on each tile, sheets cut into views."""

import pytest
import torch

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.views import Chain, EachTile, Greyscale, HFlip, Jigsaw, Resize, ResizedCrop, Tiles, Views, cut, named


def images(batch=3, side=8, channels=3, seed=0):
    shape = (batch, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("patch", "stride", "grid"), [(4, 4, 2), (4, 2, 3), (3, 2, 3), (8, 8, 1)])
def test_tiles_are_the_patches_of_the_image(patch, stride, grid):
    x = images().float() / 255
    sheet = Tiles(patch, stride).apply(x, ())
    assert sheet.shape[-2:] == Tiles(patch, stride).after(8, 8) == (grid * patch, grid * patch)
    views = cut(sheet, grid)
    assert len(views) == grid**2
    for place, view in enumerate(views):
        top, left = place // grid * stride, place % grid * stride
        assert torch.equal(view, x[:, :, top : top + patch, left : left + patch])


def test_views_are_cut_after_their_policies():
    x = images(side=12)
    whole, sheet = Chain((HFlip(1.0),)), Chain((HFlip(1.0), Tiles(6, 3)))
    views = Views((whole, sheet), (1, 3))
    seen = views(x, Stream(0))
    assert len(views) == len(seen) == 10
    assert views.size(12, 12) == ((12, 12), *((6, 6),) * 9) == tuple(tuple(v.shape[-2:]) for v in seen)
    mirrored = x.flip(-1).float() / 255
    torch.testing.assert_close(seen[0], mirrored)
    torch.testing.assert_close(seen[1 + 5], mirrored[:, :, 3:9, 6:12])
    assert part_from_json(part_to_json(views)) == views
    # Without grids nothing is cut, as before.
    assert len(Views((whole, sheet))) == 2


def test_tiled_is_each_place_once():
    views = Views.tiled(Chain((ResizedCrop(12), HFlip())), 6, 3, 12, (Greyscale(0.5),))
    seen = views(images(side=16), Stream(0))
    assert len(views) == len(seen) == 9
    assert {tuple(v.shape) for v in seen} == {(3, 3, 6, 6)}
    assert len(Views.tiled(ResizedCrop(12), 4, 4, 12)) == 9


def test_each_tile_has_a_draw_of_its_own():
    x = images(batch=40).float() / 255
    op = EachTile(2, Greyscale(0.5))
    drawn = op.draw(x, Stream(0))
    made = op.apply(x, drawn)
    grey = torch.stack([(t[:, 0] == t[:, 1]).flatten(1).all(1) for t in cut(made, 2)], 1)
    assert 0.3 < grey.float().mean() < 0.7
    assert not (grey == grey[:, :1]).all()
    kept = torch.stack([(a == b).flatten(1).all(1) for a, b in zip(cut(made, 2), cut(x, 2), strict=True)], 1)
    assert torch.equal(kept, ~grey)
    # Samples by themselves are what they are in the batch: chunks and threads rely on it.
    from counterpoint.views.op import rows

    torch.testing.assert_close(op.apply(x[5:9], rows(drawn, slice(5, 9))), made[5:9])


def test_each_tile_may_change_the_size():
    x = images().float() / 255
    op = EachTile(2, Resize(6))
    assert op.after(8, 8) == (12, 12)
    made = op.apply(x, op.draw(x, Stream(0)))
    for small, large in zip(cut(x, 2), cut(made, 2), strict=True):
        torch.testing.assert_close(Resize(6).apply(small, ()), large)


def test_two_ranks_draw_what_one_draws():
    x = images(batch=6)
    views = Views.tiled(ResizedCrop(8), 4, 2, 8, (Greyscale(0.5),))
    whole = views(x, Stream(3))
    parts = [views(x[3 * rank : 3 * rank + 3], Stream(3, rank=rank, world=2)) for rank in range(2)]
    for view, left, right in zip(whole, *parts, strict=True):
        torch.testing.assert_close(view, torch.cat([left, right]))


def test_a_jigsaw_is_cut_into_its_patches():
    """Nine patches of nine cells, in an order drawn for each image."""
    ramp = torch.arange(9).repeat_interleave(4).view(3, 3, 2, 2).permute(0, 2, 1, 3).reshape(1, 1, 6, 6)
    x = ramp.expand(50, -1, -1, -1).to(torch.uint8)
    seen = Views((Jigsaw(3, 2),), (3,))(x, Stream(0))
    places = (torch.stack([view.mean((1, 2, 3)) for view in seen], 1) * 255).round().long()
    assert (places.sort(1).values == torch.arange(9)).all()
    assert len(torch.unique(places, dim=0)) > 40
    assert len(Views(named("pirl", size=32, channels=3).policies, (1, 3))(images(side=32), Stream(0))) == 10


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="at least 1 pixel"):
        Tiles(0, 1)
    with pytest.raises(RecipeError, match="at least 1 tile"):
        EachTile(0, HFlip())
    with pytest.raises(ShapeError, match="take smaller patches"):
        Tiles(9, 1).after(8, 8)
    with pytest.raises(ShapeError, match="3 x 3 tiles of one size"):
        EachTile(3, HFlip()).after(8, 8)
    with pytest.raises(RecipeError, match="give each the tiles a side"):
        Views((HFlip(),), (1, 2))
