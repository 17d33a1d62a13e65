"""The merged chain against the exact one, under the same draws."""

import pytest
import torch

from counterpoint.errors import RecipeError
from counterpoint.random import Stream
from counterpoint.views import Blur, Chain, ColourJitter, Greyscale, HFlip, Merged, ResizedCrop, VFlip, named
from counterpoint.views.colour import shift_hue
from counterpoint.views.merged import turn_hue


def muted(batch=32, channels=3, side=16, seed=0):
    """Colours so near the middle that no operation leaves [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 + 0.2 * torch.rand(batch, channels, side, side, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
def test_where_nothing_is_clipped_and_no_hue_turned_it_is_the_chain(channels):
    images = muted(channels=channels)
    ops = (ResizedCrop(12), HFlip(), VFlip(), ColourJitter(0.4, 0.4, 0.4, p=0.8), Greyscale(0.3))
    drawn = Chain(ops).draw(images, Stream(1))
    exact, merged = Chain(ops).apply(images, drawn), Merged(ops).apply(images, drawn)
    assert float(exact.min()) > 0.05
    assert float(exact.max()) < 0.95
    torch.testing.assert_close(merged, exact, atol=1e-5, rtol=0)


def test_turning_the_hue_keeps_greys_and_moves_pure_colours_as_the_hexagon_does():
    grey = torch.full((3, 5), 0.3)
    turn = torch.tensor([-0.5, -1 / 3, 0.0, 0.1, 1 / 3])
    torch.testing.assert_close(turn_hue(grey, turn), grey)
    torch.testing.assert_close(
        turn_hue(turn_hue(muted()[:5].permute(1, 2, 3, 0), turn), -turn), muted()[:5].permute(1, 2, 3, 0)
    )
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    thirds = torch.tensor([-1 / 3, 0.0, 1 / 3])
    rotated = turn_hue(images.permute(1, 2, 3, 0), thirds).permute(3, 0, 1, 2)
    torch.testing.assert_close(rotated, shift_hue(images, thirds), atol=1e-5, rtol=0)


def test_it_is_nearer_to_the_chain_than_leaving_the_hue_out():
    images = muted(64)
    ops = (ResizedCrop(16), ColourJitter(hue=0.1))
    drawn = Chain(ops).draw(images, Stream(0))
    still = (drawn[0], drawn[1]._replace(factor=torch.zeros_like(drawn[1].factor)))
    exact, merged = Chain(ops).apply(images, drawn), Merged(ops).apply(images, drawn)
    without = Chain(ops).apply(images, still)
    assert float((merged - exact).abs().mean()) < 0.75 * float((without - exact).abs().mean())


def test_the_named_policy_draws_what_the_exact_one_draws():
    images = (muted(16, side=32) * 255).to(torch.uint8)
    exact, merged = (named(name, size=32, channels=3) for name in ("simclr-cifar", "simclr-cifar-merged"))
    for one, other in zip(exact.draw(images, Stream(3)), merged.draw(images, Stream(3)), strict=True):
        assert torch.equal(one[0].top, other[0].top)
        assert torch.equal(one[2].factor, other[2].factor)
        assert torch.equal(one[3], other[3])


@pytest.mark.parametrize(
    "ops", [(), (HFlip(), ResizedCrop(8)), (ResizedCrop(8), Blur(3)), (ResizedCrop(8), Greyscale(tiles=2))]
)
def test_what_is_no_single_matrix_is_refused(ops):
    with pytest.raises(RecipeError, match="use Chain"):
        Merged(ops)
