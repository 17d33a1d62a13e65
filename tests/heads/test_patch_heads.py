"""Heads that put the patches of an image together: concatenation, a causal context, attention over what is seen."""

import pytest
import torch

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.heads import AttentionPool, CausalContext, MLPHead, PatchConcat
from counterpoint.pairing import HiddenPatches
from counterpoint.random import Stream
from counterpoint.types import Batch, Facts, Rows

FACTS = Facts("made", "photos", 3, 8, 16, width=8)


def rows(batch, views, hidden=None, seed=0):
    image = torch.arange(batch)
    made = Rows.of(Batch(torch.zeros(batch, 1, 2, 2, dtype=torch.uint8), image, image, image), views)
    return made if hidden is None else HiddenPatches(hidden).draw(made, Stream(seed))


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved_by(function, x):
    """[row, row]: whether the output's row depends on the input's row, by the gradient."""
    return torch.autograd.functional.jacobian(function, x).abs().amax((1, 3)) > 0


# ---------------------------------------------------------------- PIRL


def concat(patches=9):
    torch.manual_seed(0)
    return PatchConcat(MLPHead((), 5), MLPHead((), 6), patches).build(FACTS).double()


def test_concatenation_equals_loops():
    head, x = concat(4), normal(0, 15, 8)
    z = head(x, rows(3, 5))
    f, g = head.image[0], head.patch[0]
    for image in range(3):
        torch.testing.assert_close(z[image], f(x[image]))
        parts = [g(x[3 * (1 + place) + image]) for place in range(4)]
        whole = head.together(torch.cat(parts))
        for view in range(1, 5):
            torch.testing.assert_close(z[3 * view + image], whole)


def test_the_order_of_patches_matters_as_it_would_not_to_a_mean():
    head, x, who = concat(), normal(0, 20, 8), rows(2, 10)
    swapped = x.view(10, 2, 8)[[0, 2, 1, *range(3, 10)]].flatten(0, 1)
    assert (head(x, who)[2:4] - head(swapped, who)[2:4]).abs().amax(1).min() > 0.01
    torch.testing.assert_close(head(x, who)[:2], head(swapped, who)[:2])


def test_g_sees_all_patches_of_its_image_and_f_the_image_alone():
    seen = moved_by(lambda x: concat()(x, rows(2, 10)), normal(0, 20, 8))
    image, view = torch.arange(20) % 2, torch.arange(20) // 2
    own = image[:, None] == image
    assert torch.equal(seen, own & ((view[:, None] == 0) == (view == 0)))


def test_an_image_by_itself_is_f():
    head, x = concat(), normal(0, 4, 8)
    torch.testing.assert_close(head(x), head.image(x))
    assert PatchConcat(MLPHead((), 5), MLPHead((), 6)).width == 5


# ---------------------------------------------------------------- CPC


def context(grid=4, layers=2, hidden=8):
    torch.manual_seed(0)
    return CausalContext(grid, hidden, layers).build(FACTS).double()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_context_sees_what_is_above_and_left_of_it(layers):
    grid, batch = 4, 2
    seen = moved_by(lambda x: context(grid, layers)(x, None), normal(0, grid**2 * batch, 8))
    for there in range(grid**2 * batch):
        for here in range(grid**2 * batch):
            (place, image), (other, whose) = divmod(there, batch), divmod(here, batch)
            down, across = place // grid - other // grid, place % grid - other % grid
            # A block reaches one row up and one place to each side, or one place to the left.
            reached = any(down == up and -up <= across <= layers for up in range(layers + 1)) and down >= 0
            assert bool(seen[there, here]) == (reached and image == whose), (there, here)


def test_nothing_below_reaches_a_context_even_to_rounding():
    x = normal(0, 32, 8)
    before = context()(x)
    below = x.clone()
    below[16:] += 1
    after = context()(below)
    assert torch.equal(before[:16], after[:16])
    assert (before[16:] - after[16:]).abs().amax(1).min() > 0


def test_a_context_is_the_same_whoever_else_is_in_the_batch():
    x = normal(0, 48, 8).view(16, 3, 8)
    whole = context()(x.flatten(0, 1)).view(16, 3, 8)
    torch.testing.assert_close(context()(x[:, 1]), whole[:, 1])


# ---------------------------------------------------------------- Selfie


def pool(patches=9, layers=2):
    torch.manual_seed(0)
    return AttentionPool(patches, layers, 2, 16).build(FACTS).double()


def test_what_is_hidden_does_not_reach_the_prediction_and_what_is_seen_does():
    who = rows(3, 9, hidden=4)
    seen = moved_by(lambda x: pool()(x, who), normal(0, 27, 8))
    image = torch.arange(27) % 3
    assert torch.equal(seen, (image[:, None] == image) & ~who.hidden)
    x = normal(0, 27, 8)
    other = torch.where(who.hidden[:, None], normal(1, 27, 8), x)
    assert torch.equal(pool()(x, who), pool()(other, who))


def test_a_prediction_is_what_was_pooled_and_the_place():
    who, head = rows(3, 9, hidden=4), pool()
    v = head(normal(0, 27, 8), who).view(9, 3, 8)
    u = v - head.place[:, None]
    torch.testing.assert_close(u, u[:1].expand_as(u))


def test_patches_that_move_with_their_places_are_the_same_to_attention():
    who, head, x = rows(3, 9, hidden=4), pool(), normal(0, 27, 8)
    turn = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    moved = Rows(who.sample, who.position, who.view, who.label, hidden=who.hidden.view(9, 3)[turn].flatten())
    u = head(x, who)[:3] - head.place[0]
    head.place.data = head.place.data[turn]
    again = head(x.view(9, 3, 8)[turn].flatten(0, 1), moved)[:3] - head.place[0]
    torch.testing.assert_close(u, again)
    # Without their places they are not.
    apart = head(x, who)[:3] - head.place[0]
    assert (u - apart).abs().max() > 1e-4


def test_mistakes_are_sentences():
    with pytest.raises(ShapeError, match="9 patches of each image"):
        concat()(normal(0, 21, 8), rows(7, 3))
    with pytest.raises(ShapeError, match="4 x 4 patches got 18 rows"):
        context()(normal(0, 18, 8))
    with pytest.raises(ShapeError, match="none is hidden"):
        pool()(normal(0, 27, 8), rows(3, 9))
    with pytest.raises(ShapeError, match="one grid"):
        pool()(normal(0, 26, 8), rows(2, 13, 4))
    with pytest.raises(RecipeError, match="heads must divide"):
        AttentionPool(9, heads=3).build(FACTS)
    for made in (
        lambda: PatchConcat(MLPHead((), 2), MLPHead((), 2), 0),
        lambda: CausalContext(0),
        lambda: AttentionPool(0),
    ):
        with pytest.raises(RecipeError, match="at least 1"):
            made()
