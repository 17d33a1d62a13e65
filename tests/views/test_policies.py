"""Views as a whole: the named policies, replay, independence, and the distribution of what is drawn."""

import dataclasses
import math

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import RandomErasing, RandomResizedCrop

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream, Streams
from counterpoint.types import Policy
from counterpoint.views import (
    Chain,
    ColourJitter,
    Cutout,
    Erase,
    Greyscale,
    HFlip,
    ResizedCrop,
    Solarize,
    VFlip,
    Views,
    contact_sheet,
    default,
    named,
    names,
)
from counterpoint.views.warps import warp

SPEC = [
    *("simclr", "simclr-cifar", "symmetric-cifar", "weak-cifar", "asym-cifar", "instdisc", "moco-v2", "byol-asym"),
    *("swav-multicrop", "dino-multicrop", "multicrop-cifar", "align-uniform-stl", "three-augment", "elastic"),
    *("pami-none", "pami-fer", "pami-simclr", "none", "glyphs", "rotate", "resize", "translate", "elastic-colour"),
]


def photos(batch=6, channels=3, side=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, channels, side, side), generator=generator, dtype=torch.uint8)


def parts(value):
    """Every dataclass inside a policy."""
    yield value
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        for item in inner if isinstance(inner, tuple) else (inner,):
            if dataclasses.is_dataclass(item):
                yield from parts(item)


def test_every_policy_of_the_specification_has_a_name_and_a_line():
    assert set(SPEC) <= set(names())
    assert all(20 < len(line) < 120 for line in names().values())
    assert list(names()) == sorted(names())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(names()))
def test_every_policy_runs(name, channels, untouched_generator):
    views = named(name, size=32, channels=channels)
    images = photos(channels=channels)
    seen = views(images, Stream(3))
    assert len(seen) == len(views)
    for view, size in zip(seen, views.size(32, 32), strict=True):
        assert view.dtype == torch.float32
        assert tuple(view.shape) == (6, channels, *size)
        assert 0 <= float(view.min()) <= float(view.max()) <= 1
    again = views(images, Stream(3))
    drawn = views.draw(images, Stream(3))
    assert all(torch.equal(one, other) for one, other in zip(seen, again, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(seen, views.apply(images, drawn), strict=True))


@pytest.mark.parametrize("name", ["swav-multicrop", "dino-multicrop", "simclr", "byol-asym", "pirl"])
def test_policies_at_their_own_size(name):
    views = named(name, size=224, channels=3)
    seen = views(photos(2, side=64), Stream(0))
    assert [tuple(view.shape[-2:]) for view in seen] == list(views.size(64, 64))


def test_sizes_of_multi_crop_are_the_sources():
    assert [side for side, _ in named("swav-multicrop", size=224, channels=3).size(256, 256)] == [224] * 2 + [96] * 6
    assert [side for side, _ in named("dino-multicrop", size=224, channels=3).size(256, 256)] == [224] * 2 + [96] * 8
    assert [side for side, _ in named("multicrop-cifar", size=32, channels=3).size(32, 32)] == [32] * 2 + [18] * 6
    assert [side for side, _ in named("pirl", size=224, channels=3).size(256, 256)] == [224, 192]


@pytest.mark.parametrize("name", [name for name in sorted(names()) if name not in ("none", "pami-none")])
def test_samples_and_views_draw_for_themselves(name):
    """Equal images in, different pictures out: across the batch, and across views of one policy."""
    views = named(name, size=32, channels=3)
    images = photos(1).expand(8, -1, -1, -1).contiguous()
    seen = views(images, Stream(1))
    assert len({view.sum().item() for view in seen}) == len(seen)
    assert len({round(float(one.double().sum()), 6) for one in seen[-1]}) >= 7


def test_ranks_together_see_what_one_process_sees():
    views, images = named("simclr-cifar", size=32, channels=3), photos(6)
    whole = views(images, Streams(0).at("views", 4))
    halves = [views(images[3 * r : 3 * r + 3], Streams(0, rank=r, world=2).at("views", 4)) for r in (0, 1)]
    for position, view in enumerate(whole):
        torch.testing.assert_close(torch.cat([half[position] for half in halves]), view, atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(names()))
def test_a_device_gives_the_views_of_the_cpu(name):
    views, images = named(name, size=32, channels=3), photos()
    here = views(images, Stream(0))
    for one, other in zip(here, views(images.cuda(), Stream(0)), strict=True):
        assert other.device.type == "cuda"
        torch.testing.assert_close(one, other.cpu(), atol=1e-4, rtol=0)


def test_blocks_change_nothing():
    """A batch larger than a block of the cache equals its samples one at a time."""
    from counterpoint.views import blocks as module

    policy = named("simclr-cifar", size=32, channels=3).policies[0]
    images = photos(40)
    drawn = policy.draw(images, Stream(0))
    whole = policy.apply(images, drawn)
    before, module.BLOCK = module.BLOCK, 7 * 3 * 32 * 32
    try:
        torch.testing.assert_close(policy.apply(images, drawn), whole, atol=1e-6, rtol=0)
    finally:
        module.BLOCK = before


def test_digits_are_neither_mirrored_nor_coloured():
    for size in (8, 28):
        ops = [type(part) for policy in named("glyphs", size=size, channels=1).policies for part in parts(policy)]
        assert HFlip not in ops
        assert VFlip not in ops
    jitters = [
        part for part in parts(named("glyphs", size=8, channels=3).policies[0]) if isinstance(part, ColourJitter)
    ]
    assert all(jitter.hue == 0 for jitter in jitters)


@pytest.mark.parametrize(
    ("kind", "size", "channels", "name"),
    [
        ("glyphs", 8, 1, "glyphs"),
        ("objects", 28, 1, "objects"),
        ("photos", 32, 3, "simclr-cifar"),
        ("photos", 96, 3, "simclr"),
    ],
)
def test_the_default_follows_the_source(kind, size, channels, name):
    assert default(kind, size=size, channels=channels) == name
    assert name in names()


def test_unknown_names_get_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'simclr-cifar'"):
        named("simclr-cifr", size=32, channels=3)
    with pytest.raises(RecipeError, match="did you mean 'photos'"):
        default("photo", size=32, channels=3)


def test_a_plus_puts_policies_in_sequence(untouched_generator):
    """A view of `a+b` is b's view of a's view, each with its own draws; here the second one moves whole pixels."""
    both = named("simclr-cifar+byol-asym", size=32, channels=3)
    first, second = named("simclr-cifar", size=32, channels=3), named("byol-asym", size=32, channels=3)
    images, stream = photos(), Stream(2)
    drawn = both.draw(images, stream)
    for i, view in enumerate(both.apply(images, drawn)):
        one, other = first.policies[i], second.policies[i]
        once = one.apply(images, drawn[i][: len(one.ops)])
        torch.testing.assert_close(other.apply(once, drawn[i][len(one.ops) :]), view, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pair", [("elastic", "rotate"), ("rotate", "elastic"), ("resize", "translate")])
def test_movements_in_sequence_share_one_resampling(pair):
    """They are read once: the chain is the two warps behind one fit to the square, and its result is `warp`'s."""
    views = named("+".join(pair), size=28, channels=1)
    movements = tuple(named(name, size=28, channels=1).policies[0].ops[-1] for name in pair)
    for policy in views.policies:
        assert policy.ops[2:] == movements
    images = photos(5, 1, 28)
    drawn = views.policies[0].draw(images, Stream(0))
    torch.testing.assert_close(
        views.policies[0].apply(images, drawn), warp(images, movements, drawn[2:]), atol=1e-6, rtol=0
    )


def test_three_policies_in_sequence():
    views = named("elastic+rotate+elastic-colour", size=32, channels=3)
    assert [type(op).__name__ for op in views.policies[0].ops] == [
        *("Resize", "CentreCrop", "Elastic", "Rotate", "Elastic", "ColourJitter")
    ]
    assert named("elastic", size=28, channels=1) == named("elastic-colour", size=28, channels=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("elastic+none", "'elastic' makes views of sides 32, 32, but 'none' of 32;"),
        ("elastic+pirl", "but 'pirl' of 32, 27;"),
        ("elastic+rotat", r"no policy 'rotat' \(in 'elastic\+rotat'\); did you mean 'rotate'"),
        ("elastic+", r"no policy '' \(in 'elastic\+'\)"),
        ("elastic rotate", "several in sequence are joined by"),
    ],
)
def test_sequences_that_cannot_be_are_one_sentence(name, message):
    with pytest.raises(RecipeError, match=message):
        named(name, size=32, channels=3)


@pytest.mark.parametrize(("name", "least"), [("resize", 0.97), ("rotate", 0.99), ("translate", 0.97)])
def test_movements_keep_a_glyph_in_the_picture(name, least):
    """A square in the middle 20 of 28 pixels, where a digit of MNIST lies, keeps its ink."""
    images = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 4:24, 4:24] = 255
    policy = named(name, size=28, channels=1).policies[0]
    drawn = policy.draw(images, Stream(0))
    area = 400 * (drawn[2] ** 2 if name == "resize" else 1.0)
    assert (policy.apply(images, drawn).sum((1, 2, 3)) / area).min() > least


def test_the_hue_of_the_coloured_distortion_is_any_hue():
    """One red patch, many views: every part of the circle is seen."""
    images = torch.zeros(1, 3, 28, 28, dtype=torch.uint8)
    images[:, 0] = 200
    seen = named("elastic-colour", size=28, channels=3)(images.expand(400, -1, -1, -1), Stream(0))[0][:, :, 14, 14]
    hue = torch.atan2(3**0.5 * (seen[:, 1] - seen[:, 2]), 2 * seen[:, 0] - seen[:, 1] - seen[:, 2])
    counts = torch.histc(hue, 8, -math.pi, math.pi)
    assert counts.min() > 25
    assert (seen.amax(1) - 200 / 255).abs().max() < 1e-5


def test_views_of_nothing_and_of_a_single_image_are_sentences():
    with pytest.raises(RecipeError, match="no policy"):
        Views(())
    with pytest.raises(ShapeError, match="batch of images"):
        Views.once(Chain())(photos()[0], Stream(0))


def test_an_empty_chain_only_makes_floats():
    images = photos()
    (view,) = Views.once(Chain())(images, Stream(0))
    torch.testing.assert_close(view, images / 255, atol=1e-6, rtol=0)


def test_operations_satisfy_the_protocol():

    for name in names():
        for policy in named(name, size=32, channels=3).policies:
            for part in parts(policy):
                assert isinstance(part, Policy)
                assert isinstance(part, Policy)
                assert hash(part) == hash(dataclasses.replace(part))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (6, 48), (48, 6)])
def test_crops_are_distributed_as_torchvisions(height, width):
    """Kolmogorov-Smirnov on each coordinate; 6 x 48 needs the central fallback."""
    n, scale, ratio = 3000, (0.08, 1.0), (3 / 4, 4 / 3)
    box = ResizedCrop(8, scale, ratio).draw(torch.empty(n, 3, height, width), Stream(0))
    image = torch.empty(3, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torch.tensor([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(n)])
    for ours, other in zip(box, theirs.T, strict=True):
        assert ks_2samp(ours.numpy(), other.numpy()).pvalue > 1e-3
    assert bool((box.top + box.height <= height).all())
    assert bool((box.left + box.width <= width).all())


def test_erased_rectangles_are_distributed_as_torchvisions():
    n = 3000
    op = Erase(p=1.0)
    box = op.draw(torch.empty(n, 3, 24, 20), Stream(0))
    image = torch.empty(3, 24, 20)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        theirs = torch.tensor([RandomErasing.get_params(image, op.scale, op.ratio, [0.0])[:4] for _ in range(n)])
    for ours, other in zip(box, theirs.T, strict=True):
        assert ks_2samp(ours.numpy(), other.numpy()).pvalue > 1e-3


def test_probabilities_orders_and_factors_are_those_asked_for():
    n = 20000
    images = torch.empty(n, 3, 8, 8)
    assert abs(float(HFlip(0.3).draw(images, Stream(0)).float().mean()) - 0.3) < 0.02
    assert abs(float(Greyscale(0.2).draw(images, Stream(1)).float().mean()) - 0.2) < 0.02
    assert abs(float(Solarize(p=0.6).draw(images, Stream(2)).float().mean()) - 0.6) < 0.02
    drawn = ColourJitter(0.8, 1.5, 0.4, 0.1, p=0.8).draw(images, Stream(3))
    assert abs(float(drawn.keep.float().mean()) - 0.8) < 0.02
    ranks = (drawn.order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = ranks.unique(return_counts=True)[1]
    assert len(counts) == math.factorial(4)
    assert int(counts.min()) > 0.8 * n / 24
    for column, (low, high) in zip(drawn.factor.T, [(0.2, 1.8), (0.0, 2.5), (0.6, 1.4), (-0.1, 0.1)], strict=True):
        assert low <= float(column.min()) < low + 0.01
        assert high - 0.01 < float(column.max()) <= high
    centre = Cutout(0.5).draw(images, Stream(4))
    assert (int(centre.top.min()), int(centre.top.max())) == (-2, 5)


@pytest.mark.parametrize(("name", "side"), [("simclr-cifar", 32), ("swav-multicrop", 32), ("glyphs", 8)])
def test_a_contact_sheet_shows_originals_and_draws(name, side):
    channels = 1 if name == "glyphs" else 3
    images = photos(3, channels, side)
    views = named(name, size=side, channels=channels)
    sheet = contact_sheet(images, views, Stream(0), draws=5)
    tile = 64 + 4
    distinct = len(set(views.policies))
    assert tuple(sheet.shape) == (3 * distinct * tile, 6 * tile, 3)
    factor = 64 // side
    first = sheet[2 : 2 + 64, 2 : 2 + 64].permute(2, 0, 1)
    original = images[0].repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    assert torch.equal(first, original.expand(3, -1, -1))
    assert not torch.equal(sheet[:tile, tile : 2 * tile], sheet[:tile, 2 * tile : 3 * tile])


def test_a_contact_sheet_of_nothing_is_a_sentence():
    with pytest.raises(ShapeError, match="at least one image"):
        contact_sheet(photos(0), named("none", size=32, channels=3), Stream(0))


def test_autocast_does_not_round_the_views():
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = named("simclr-cifar", size=32, channels=3)
    plain = views(images, Stream(0))
    with torch.autocast("cpu", torch.bfloat16):
        cast = views(images, Stream(0))
    assert all((a == b).all() and b.dtype == torch.float32 for a, b in zip(plain, cast, strict=True))
