"""Where a number comes from: closed forms, an oracle one image at a time, and every encoder's map."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from counterpoint.encoders import MLP, ConvNet, Pami, Patched, ResNet, SplitBatchNorm, Timm, ViT, WithoutBatchNorm
from counterpoint.errors import RecipeError, ShapeError
from counterpoint.evaluation.saliency import (
    enlarged,
    grad_cam,
    pair_maps,
    placed,
    scaled,
    score_maps,
    similarity_maps,
)
from counterpoint.evaluation.watched import Watched, map_layer
from counterpoint.random import forked
from counterpoint.types import Facts
from counterpoint.views import Box, ResizedCrop


def facts(size=32, channels=3):
    return Facts("made", "photos", channels, size, 100)


def built(encoder, size=32, channels=3, seed=0):
    """An encoder with random weights whose batch norms have met some images, so that no two channels are alike."""
    with forked(seed):
        module = encoder.build(facts(size, channels))
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.3, 0.3)
        with torch.no_grad():
            module.train()(torch.rand(16, channels, size, size))
    return module.eval()


def images(count=3, size=32, channels=3, seed=0):
    """Large coloured blocks, so that networks with random weights tell them apart."""
    blocks = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed)).mul(3).round().div(3)
    return functional.interpolate(blocks, (size, size))


def watched(encoder=None, *, projected=False, **rest):
    module = built(encoder or ConvNet(16, (8, 12)), **rest)
    size, channels = rest.get("size", 32), rest.get("channels", 3)
    network = Watched(module, map_layer(module, images(1, size, channels)))
    if not projected:
        return network
    with forked(1), torch.no_grad():  # centred, or all images would be alike
        norm = nn.BatchNorm1d(module(images(1)).shape[1], momentum=None)
        norm(network.features(images(64, size, channels, seed=9)))
        return replace(network, after=nn.Sequential(norm, nn.Tanh(), nn.Linear(len(norm.running_mean), 6)))


def the_map(network, x):
    """The last map, caught by hand."""
    seen = []
    handle = network.encoder.get_submodule(network.layer).register_forward_hook(lambda m, i, out: seen.append(out))
    with torch.no_grad():
        network.features(x)
    handle.remove()
    return seen[0]


# ---------------------------------------------------------------- closed forms


def test_a_score_linear_in_the_mean_map_gives_the_class_activation_map():
    network, x = watched(), images()
    weight = torch.randn(16, generator=torch.Generator().manual_seed(1))
    found = score_maps(network, x, lambda h: h @ weight + 3.0)
    activation = the_map(network, x)
    _, _, tall, wide = activation.shape
    expected = torch.einsum("c,rcyx->ryx", weight, activation).relu() / (tall * wide)
    torch.testing.assert_close(found.maps, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.score, activation.mean((2, 3)) @ weight + 3.0)
    assert found.maps.max() > 0


def test_grad_cam_of_two_channels_by_hand():
    activation = torch.tensor([[[[1.0, 2.0], [0.0, 4.0]], [[1.0, 0.0], [3.0, 1.0]]]])
    slope = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]], [[-2.0, -2.0], [0.0, 0.0]]]])  # means 1 and -1
    assert grad_cam(activation, slope).tolist() == [[[0.0, 2.0], [0.0, 3.0]]]


def test_a_constant_score_has_a_map_of_zeros():
    network, x = watched(), images()
    for score in (lambda h: torch.full((len(h),), 2.0), lambda h: 0 * h.sum(1) + 1):
        found = score_maps(network, x, score)
        assert found.maps.tolist() == torch.zeros(3, 4, 4).tolist()
        assert scaled(enlarged(found.maps, (32, 32))).tolist() == torch.zeros(3, 32, 32).tolist()


def test_scaling_divides_each_map_by_its_largest():
    maps = torch.tensor([[[0.0, 2.0], [1.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert scaled(maps).tolist() == [[[0.0, 0.5], [0.25, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_the_map_of_a_similarity_says_more_than_on_average():
    """With h the mean of the map, the weighted map has mean zero before the relu, for a cosine ignores length."""
    network, x = watched(), images()
    activation, out = network.watch(x)
    anchor = functional.normalize(torch.rand(3, 16, generator=torch.Generator().manual_seed(2)), dim=1)
    value = (functional.normalize(out, dim=1) * anchor).sum(1)
    (slope,) = torch.autograd.grad(value.sum(), activation)
    raw = torch.einsum("rc,rcyx->ryx", slope.mean((2, 3)), activation)
    assert raw.mean((1, 2)).abs().max() < 1e-6 * raw.abs().max()


def test_an_image_beside_itself_has_no_map():
    """The similarity is at its top: what is left of a gradient is rounding, and is not blown up."""
    network, x = watched(), images()
    found = similarity_maps(network, x, x[:, None])
    torch.testing.assert_close(found.score, torch.ones(3))
    assert not found.maps.any()
    both = pair_maps(network, x, x[:, None])
    assert not both.maps.any()
    assert not both.anchor_maps.any()


# ---------------------------------------------------------------- gates


def test_a_gate_of_ones_is_no_gate_and_the_scale_of_one_is_nothing():
    network, x = watched(projected=True), images()
    anchors = images(12, seed=1).unflatten(0, (3, 4))
    gate = torch.rand(6, generator=torch.Generator().manual_seed(3))
    for maps in (similarity_maps, pair_maps):
        without, ones = maps(network, x, anchors), maps(network, x, anchors, gate=torch.ones(6))
        torch.testing.assert_close(ones.maps, without.maps)
        torch.testing.assert_close(ones.score, without.score)
        one, large = maps(network, x, anchors, gate=gate), maps(network, x, anchors, gate=1e3 * gate)
        torch.testing.assert_close(large.maps, one.maps, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(large.score, one.score)
        assert not torch.allclose(one.score, without.score, atol=1e-3)
        torch.testing.assert_close(maps(network, x, anchors, gate=gate.expand(3, 6)).maps, one.maps)


def test_a_gate_of_zeros_and_ones_deletes_dimensions():
    network, x = watched(), images()
    anchors = images(6, seed=1).unflatten(0, (3, 2))
    keep = torch.arange(16) % 3 == 0

    class Some(nn.Module):
        def forward(self, h):
            return h[:, keep]

    fewer = Watched(network.encoder, network.layer, after=Some())
    torch.testing.assert_close(
        similarity_maps(network, x, anchors, gate=keep.float()).maps, similarity_maps(fewer, x, anchors).maps
    )


def test_nothing_is_seen_under_a_gate_of_zeros():
    network, x = watched(), images()
    found = similarity_maps(network, x, images(3, seed=1)[:, None], gate=torch.zeros(16))
    assert not found.maps.any()
    assert not found.score.any()


def test_a_gate_of_another_width_is_one_sentence():
    network, x = watched(), images()
    with pytest.raises(ShapeError, match="the gate has 6 numbers, but the features have width 16"):
        similarity_maps(network, x, x[:, None], gate=torch.ones(6))
    for maps in (similarity_maps, pair_maps):
        with pytest.raises(ShapeError, match="2 gates arrived for 3 rows"):
            maps(network, x, x[:, None], gate=torch.ones(2, 16))


# ---------------------------------------------------------------- oracles


def slow_similarity(network, x, anchors, gate, *, both):
    """One pair at a time, one crop at a time, weights by plain sums; `both`: gradient through the anchor too."""
    scores, maps, anchor_maps = [], [], []
    for image, views in zip(x, anchors, strict=True):
        activation, out = network.watch(image[None])
        seen = [network.watch(view[None]) for view in views]
        value = torch.zeros(())
        for _, feature in seen:
            other = feature if both else feature.detach()
            value = value + functional.cosine_similarity(gate * out, gate * other)[0] / len(views)
        leaves = [activation, *(a for a, _ in seen)] if both else [activation]
        slopes = torch.autograd.grad(value, leaves)
        weight = [float(slopes[0][0, c].mean()) for c in range(activation.shape[1])]
        if both:
            for c in range(len(weight)):
                weight[c] = (weight[c] + sum(float(s[0, c].mean()) for s in slopes[1:])) / 2
        maps.append(sum(w * activation[0, c] for c, w in enumerate(weight)).relu())
        anchor_maps.append(torch.stack([sum(w * a[0, c] for c, w in enumerate(weight)).relu() for a, _ in seen]))
        scores.append(value)
    return torch.stack(scores).detach(), torch.stack(maps).detach(), torch.stack(anchor_maps).detach()


def test_all_pairs_at_once_are_each_pair_by_itself():
    network, x = watched(projected=True), images(4)
    anchors = images(12, seed=1).unflatten(0, (4, 3))
    gate = torch.rand(6, generator=torch.Generator().manual_seed(3))
    score, maps, _ = slow_similarity(network, x, anchors, gate, both=False)
    found = similarity_maps(network, x, anchors, gate=gate, batch=3)
    torch.testing.assert_close(found.score, score)
    torch.testing.assert_close(found.maps, maps, rtol=1e-4, atol=1e-7)
    score, maps, anchor_maps = slow_similarity(network, x, anchors, gate, both=True)
    for batch in (512, 5, 1):  # whole pairs in a pass, and views of one pair in several
        both = pair_maps(network, x, anchors, gate=gate, batch=batch)
        torch.testing.assert_close(both.score, score)
        torch.testing.assert_close(both.maps, maps, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(both.anchor_maps, anchor_maps, rtol=1e-4, atol=1e-7)


def test_one_view_of_a_pair_is_the_map_of_both_side_by_side():
    """Grad-CAM of one wide map, the two maps beside one another, whose halves are read by one encoder's pooling."""
    network, x, y = watched(), images(2), images(2, seed=1)
    wide = torch.cat((the_map(network, x), the_map(network, y)), 3).requires_grad_()
    one, other = wide.split(wide.shape[3] // 2, 3)
    value = functional.cosine_similarity(one.mean((2, 3)), other.mean((2, 3)))
    (slope,) = torch.autograd.grad(value.sum(), wide)
    expected = grad_cam(wide.detach(), slope)
    found = pair_maps(network, x, y[:, None])
    torch.testing.assert_close(torch.cat((found.maps, found.anchor_maps[:, 0]), 2), expected, rtol=1e-4, atol=1e-7)


def test_a_channel_weighs_what_a_nudge_of_it_changes():
    """The gradient at the map by central differences, in float64: a channel is raised everywhere at once."""
    network = watched(projected=True)
    network.encoder.double()
    network.after.double()
    x, channel, step = images(2).double(), 5, 1e-4
    anchor = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def score(z):
        return functional.cosine_similarity(z.double(), anchor[None])

    activation, out = network.watch(x)
    (slope,) = torch.autograd.grad(score(out).sum(), activation)

    def nudged(by):
        """Features with one channel of the map raised everywhere."""

        def change(module, given, out):
            out = out.clone()
            out[:, channel] += by
            return out

        handle = network.encoder.get_submodule(network.layer).register_forward_hook(change)
        try:
            with torch.no_grad():
                return score(network.after.eval()(network.encoder(x)))
        finally:
            handle.remove()

    rise = (nudged(step) - nudged(-step)) / (2 * step)
    torch.testing.assert_close(slope[:, channel].sum((1, 2)), rise, rtol=1e-4, atol=1e-8)
    assert rise.abs().min() > 0


@pytest.mark.parametrize("maps", [similarity_maps, pair_maps])
def test_a_map_does_not_depend_on_the_other_pairs(maps):
    network, x = watched(projected=True), images(5)
    anchors = images(10, seed=1).unflatten(0, (5, 2))
    together = maps(network, x, anchors)
    alone = torch.cat([maps(network, x[i : i + 1], anchors[i : i + 1]).maps for i in range(5)])
    torch.testing.assert_close(together.maps, alone, rtol=1e-4, atol=1e-7)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(maps(network, x[order], anchors[order]).maps, together.maps[order], rtol=1e-4, atol=1e-7)


def test_the_network_is_left_as_it_was():
    network = watched(SplitBatchNorm(ConvNet(16, (8, 12)), 2), projected=True)
    network.encoder.train()
    network.encoder[0].eval()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    modes = [module.training for module in network.encoder.modules()]
    similarity_maps(network, images(), images(6, seed=1).unflatten(0, (3, 2)))
    assert modes == [module.training for module in network.encoder.modules()]
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert all(p.grad is None for p in network.encoder.parameters())
    assert not network.encoder.get_submodule(network.layer)._forward_hooks


# ---------------------------------------------------------------- crops, put back


def test_a_crop_is_put_back_where_it_was_cut():
    """A picture whose brightness is its place, cropped and mirrored: put back, each pixel has its place again."""
    side = 16
    ramp = ((torch.arange(side) + 0.5) / side).expand(1, 1, side, side)
    for picture in (ramp, ramp.mT):
        box = Box(*(torch.tensor([n]) for n in (3, 5, 8, 10)))
        view = ResizedCrop(side).apply(picture, box)[:, 0]
        for mirrored in (False, True):
            frame = torch.tensor([5.0, 3.0, 10.0, 8.0]) / side
            frame = torch.stack((frame[0] + frame[2], frame[1], -frame[2], frame[3])) if mirrored else frame
            seen = view.flip(-1) if mirrored else view
            back = placed(seen[:, None], frame[None, None], (side, side))[0]
            inside = torch.zeros(side, side, dtype=torch.bool)
            inside[3:11, 5:15] = True
            assert not back[~inside].any()
            torch.testing.assert_close(back[4:10, 6:14], picture[0, 0, 4:10, 6:14], rtol=0, atol=0.02)


def test_crops_that_overlap_are_averaged_over_those_that_show_a_place():
    maps = torch.tensor([1.0, 3.0])[None, :, None, None].expand(1, 2, 2, 2)
    frames = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.5, 1.0]]])
    assert placed(maps, frames, (1, 4)).tolist() == [[[1.0, 2.0, 3.0, 0.0]]]


# ---------------------------------------------------------------- which map


@pytest.mark.parametrize(
    ("encoder", "size", "layer", "shape"),
    [
        (ConvNet(), 32, "3", (512, 4, 4)),
        (ConvNet(16, (8,)), 8, "1", (16, 8, 8)),
        (Pami(), 32, "10", (256, 3, 3)),
        (ResNet(18), 32, "layer4", (512, 4, 4)),
        (SplitBatchNorm(ResNet(18)), 32, "layer4", (512, 4, 4)),
        (WithoutBatchNorm(ConvNet()), 32, "3", (512, 4, 4)),
        (ViT(24, 2, 3), 32, "encoder.layers.encoder_layer_1.ln_1", (24, 8, 8)),
        (Patched(ConvNet(16, (8, 12)), 16, 8), 32, "encoder", (16, 3, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_encoder_has_a_map(encoder, size, layer, shape):
    network = watched(encoder, size=size)
    assert network.layer == layer
    x = images(2, size)
    plain = network.features(x).detach()
    activation, out = network.watch(x)
    assert activation.shape == (2, *shape)
    torch.testing.assert_close(out.detach(), plain)  # watching changes nothing
    weight = torch.randn(out.shape[1], generator=torch.Generator().manual_seed(0))
    speaks_for, speaks_against = (score_maps(network, x, lambda h, w=w: h @ w).maps for w in (weight, -weight))
    assert torch.maximum(speaks_for, speaks_against).flatten(1).amin(1).min() > 0
    assert not torch.minimum(speaks_for, speaks_against).any()


def test_a_transformers_map_is_of_what_its_last_block_reads():
    """Patches are moved by a roll of the image; without positions the map moves with them."""
    network = watched(ViT(24, 2, 3), size=32)
    with torch.no_grad():
        network.encoder.encoder.pos_embedding.zero_()
    x = images(2)
    weight = torch.randn(24, generator=torch.Generator().manual_seed(0))
    still = score_maps(network, x, lambda h: h @ weight).maps
    moved = score_maps(network, x.roll((8, 4), (2, 3)), lambda h: h @ weight).maps
    torch.testing.assert_close(moved, still.roll((2, 1), (1, 2)), rtol=1e-4, atol=1e-6)
    assert still.amax() > 0


def test_an_encoder_without_a_map_is_one_sentence():
    with pytest.raises(RecipeError, match=r"no map to look at.*such as conv"):
        map_layer(built(MLP((12,)), size=8, channels=1), images(1, 8, 1))
    network = watched(ConvNet(16, (8, 12)))
    with pytest.raises(RecipeError, match=r"a tensor of shape \[3, 16\] for 3 images"):
        Watched(network.encoder, "5").watch(images())


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet10t", "layer4"),
        ("test_byobnet", None),
        ("test_vit", "blocks.5.norm1"),  # read by a class token
        ("test_vit2", "blocks.7"),  # by a mean
        ("test_vit3", "blocks.8"),  # by attention
        ("swin_tiny_patch4_window7_224", "norm"),  # [row, tall, wide, channel]
    ],
)
def test_a_backbone_of_timm_has_a_map(name, layer):
    pytest.importorskip("timm")
    network = watched(Timm(name), size=64)
    if layer:
        assert network.layer == layer
    x = images(2, 64)
    activation, out = network.watch(x)
    assert activation.shape[2] == activation.shape[3] > 1
    torch.testing.assert_close(out.detach(), network.features(x).detach())
    assert similarity_maps(network, x, images(2, 64, seed=1)[:, None]).maps.amax() > 0


class Attentive(nn.Module):
    """Patches of 8 px that attend to one another; without a name for its map. Of 32 px, all is 4 x 4 or 16 x 16."""

    def __init__(self, embed, *, token=False, named=None):
        super().__init__()
        self.embed, self.mix, self.attention = embed, nn.Linear(24, 24), nn.Softmax(-1)
        self.last, self.token = nn.Identity(), token
        if named is not None:
            self.map_layer = named

    def forward(self, x):
        tokens = self.embed(x)
        tokens = tokens.flatten(2).mT if tokens.ndim == 4 else tokens
        tokens = torch.cat((torch.ones(len(x), 1, 24), tokens), 1) if self.token else tokens
        weights = self.attention((tokens @ tokens.mT).unflatten(0, (-1, 1)) / 5)[:, 0]
        tokens = self.last(tokens + weights @ self.mix(tokens))
        return tokens[:, 0] if self.token else tokens.mean(1)


class Patches(nn.Module):
    """Patches as rows, without a map on the way."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(192, 24)

    def forward(self, x):
        return self.project(functional.unfold(x, 8, stride=8).mT)


def test_attention_weights_are_no_map():
    """They are square, too, and the last square output; h is not made of them alone."""
    with forked(0):
        over_map, over_rows = Attentive(nn.Conv2d(3, 24, 8, 8)), Attentive(Patches())
    assert map_layer(over_map, images(1)) == "embed"
    with pytest.raises(RecipeError, match="no map to look at"):
        map_layer(over_rows, images(1))


def test_a_layer_that_is_named_must_be_heard():
    """What a class token has not read of the patches at the last layer is in no feature."""
    with forked(0):
        embed = nn.Conv2d(3, 24, 8, 8)
    assert map_layer(Attentive(embed, named="last"), images(1)) == "last"
    assert map_layer(Attentive(embed, token=True, named="mix"), images(1)) == "mix"  # by one of its branches
    with pytest.raises(RecipeError, match="the layer last that the encoder Attentive names has no map that its feat"):
        map_layer(Attentive(embed, token=True, named="last"), images(1))


def test_a_map_whose_channels_are_last_is_the_same_map():
    class Last(nn.Module):
        def __init__(self, convolution):
            super().__init__()
            self.convolution, self.turned = convolution, nn.Identity()

        def forward(self, x):
            return self.turned(self.convolution(x).movedim(1, 3)).mean((1, 2))

    with forked(0):
        convolution = nn.Conv2d(3, 6, 8, 8)
    plain = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network, other = Last(convolution), images(3, seed=1)[:, None]
    assert map_layer(network, images(1)) == "turned"
    found = pair_maps(Watched(network, "turned"), images(), other)
    expected = pair_maps(Watched(plain, "0"), images(), other)
    torch.testing.assert_close(found.maps, expected.maps)
    torch.testing.assert_close(found.anchor_maps, expected.anchor_maps)


def test_a_score_for_all_images_together_is_one_sentence():
    with pytest.raises(ShapeError, match=r"the score has shape \[\], expected one number for each of 3 images"):
        score_maps(watched(), images(), lambda h: h.sum())
