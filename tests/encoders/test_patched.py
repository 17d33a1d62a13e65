"""Encoders of patches, and encoders whose rows do not know of one another."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from counterpoint.encoders import MLP, ConvNet, Patched, WithoutBatchNorm, untrained
from counterpoint.errors import RecipeError, ShapeError
from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.types import Facts

FACTS = Facts("made", "photos", 3, 12, 8)


@pytest.mark.parametrize("inner", [MLP((5,)), ConvNet(5, (4,))])
def test_a_patch_is_encoded_and_an_image_is_the_mean_of_its_patches(inner):
    part = Patched(inner, 4, 2)
    module = part.build(FACTS).eval()
    x = torch.rand(2, 3, 12, 12)
    assert part.width == 5
    each = [module(x[:, :, top : top + 4, left : left + 4]) for top in range(0, 9, 2) for left in range(0, 9, 2)]
    assert len(each) == 25
    torch.testing.assert_close(module(x), torch.stack(each).mean(0))
    assert part_from_json(part_to_json(part)) == part


def test_the_inner_encoder_may_be_built_for_the_whole_image():
    """The conv net's stem is as coarse as the image is large: its patches cost what the image costs."""
    inner = ConvNet(5, (4,), grid=2)
    fine, coarse = (Patched(inner, 4, 4, size).build(FACTS)(torch.rand(2, 3, 4, 4)).shape for size in (0, 12))
    assert fine == coarse == (2, 5)
    kernels = [next(Patched(inner, 4, 4, size).build(FACTS).parameters()).shape[-1] for size in (0, 12)]
    assert kernels[0] < kernels[1]


def test_without_batch_norm_a_row_does_not_know_of_the_others():
    encoder = ConvNet(8, (4, 4))

    def moved(part):
        torch.manual_seed(0)
        module = part.build(FACTS).train()
        x = torch.rand(4, 3, 12, 12)
        other = torch.cat([x[:1], torch.rand(3, 3, 12, 12)])
        return (module(x)[0] - module(other)[0]).abs().max()

    assert moved(encoder) > 1e-3
    assert moved(WithoutBatchNorm(encoder)) < 1e-5


@pytest.mark.parametrize(("norm", "kind"), [("layer", nn.GroupNorm), ("none", nn.Identity)])
def test_every_batch_norm_is_exchanged(norm, kind):
    """Those within a residual block too."""
    before = ConvNet(5, (4, 4)).build(FACTS)
    after = WithoutBatchNorm(ConvNet(5, (4, 4)), norm).build(FACTS)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in after.modules())
    count = sum(isinstance(m, nn.BatchNorm2d) for m in before.modules())
    assert sum(isinstance(m, kind) for m in after.modules()) == count == 4
    assert WithoutBatchNorm(ConvNet(5)).width == 5


def test_a_layer_norm_is_over_channels_and_places():
    module = WithoutBatchNorm(ConvNet(5, (4,))).build(FACTS)
    norm = next(m for m in module.modules() if isinstance(m, nn.GroupNorm))
    out = norm(torch.randn(3, 4, 6, 6))
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((1, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)


@dataclass(frozen=True)
class Published(MLP):
    """An encoder with weights of its own."""

    pretrained: bool = True


def test_the_baseline_of_a_wrapped_encoder_is_untrained_too():
    wrapped = Patched(WithoutBatchNorm(Published()), 4, 4)
    assert untrained(wrapped).inner.inner.pretrained is False
    assert untrained(Patched(MLP(), 4, 4)) == Patched(MLP(), 4, 4)


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="at least 1 pixel"):
        Patched(MLP(), 0, 1)
    with pytest.raises(ShapeError, match="patches of 4 px"):
        Patched(MLP(), 4, 4).build(FACTS)(torch.rand(1, 3, 3, 3))
