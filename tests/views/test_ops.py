"""Every operation against torchvision's on the same image, one sample at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as V

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.views import (
    Blur,
    Box,
    Brightness,
    CentreCrop,
    Chain,
    ColourJitter,
    Cutout,
    Elastic,
    Erase,
    Greyscale,
    HFlip,
    Jigsaw,
    Merged,
    Noise,
    Normalise,
    OneOf,
    Pad,
    QuarterTurn,
    Resize,
    ResizedCrop,
    Rotate,
    Scale,
    Sobel,
    Solarize,
    Translate,
    VFlip,
    as_float,
    patches,
)
from counterpoint.views.colour import shift_hue
from counterpoint.views.op import rows

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def photos(batch=6, channels=3, height=24, width=20, seed=0):
    """Random pixels, with a smooth part so that interpolation has something to do."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, channels, height, width), generator=generator, dtype=torch.uint8)


def close(ours, theirs, tolerance):
    torch.testing.assert_close(ours, torch.stack(list(theirs)), atol=tolerance, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [7, 16, 40])
def test_resized_crop_is_torchvisions_to_1e5(interpolation, size):
    images = photos(16)
    op = ResizedCrop(size, interpolation=interpolation)
    box = op.draw(images, Stream(1))
    x = as_float(images)
    theirs = (
        V.resized_crop(
            one, *(int(part[i]) for part in box), size=[size, size], interpolation=MODES[interpolation], antialias=True
        ).clamp(0, 1)
        for i, one in enumerate(x)
    )
    close(op.apply(images, box), theirs, 1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_of_larger_images_are_torchvisions_to_1e5(interpolation):
    """Long axes have their weights computed, short ones looked up in a table: both are held to the same."""
    images = photos(3, height=90, width=120)
    op = ResizedCrop(64, interpolation=interpolation)
    box = op.draw(images, Stream(1))
    mode = MODES[interpolation]
    theirs = (
        V.resized_crop(one, *(int(part[i]) for part in box), size=[64, 64], interpolation=mode, antialias=True)
        for i, one in enumerate(as_float(images))
    )
    close(op.apply(images, box), (one.clamp(0, 1) for one in theirs), 1e-5)


def test_what_lies_outside_a_crop_has_no_influence():
    x = torch.zeros(1, 1, 12, 12)
    other = torch.ones(1, 1, 12, 12)
    x[..., 4:8, 4:8] = other[..., 4:8, 4:8] = torch.rand(4, 4)
    box = Box(*(torch.tensor([n]) for n in (4, 4, 4, 4)))
    op = ResizedCrop(9, interpolation="bicubic")
    assert torch.equal(op.apply(x, box), op.apply(other, box))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shorter", [9, 20, 33])
def test_resize_is_torchvisions(interpolation, shorter):
    images = photos()
    op = Resize(shorter, interpolation)
    theirs = (V.resize(one, [shorter], MODES[interpolation], antialias=True).clamp(0, 1) for one in as_float(images))
    ours = op.apply(images, ())
    close(ours, theirs, 1e-6)
    assert tuple(ours.shape[-2:]) == op.after(24, 20)


@pytest.mark.parametrize("side", [7, 8, 20, 23, 24, 31])
def test_centre_crop_and_pad_are_torchvisions(side):
    images = photos()
    close(CentreCrop(side).apply(images, ()), (V.center_crop(one, [side, side]) for one in as_float(images)), 0)
    close(Pad(side).apply(images, ()), (V.pad(one, [side]) for one in as_float(images)), 0)


def test_flips_and_turns_are_torchvisions():
    images = photos(8, height=16, width=16)
    x = as_float(images)
    for op, function in ((HFlip(), V.horizontal_flip), (VFlip(), V.vertical_flip)):
        flip = op.draw(images, Stream(3))
        assert flip.any()
        assert not flip.all()
        close(op.apply(images, flip), (function(one) if f else one for one, f in zip(x, flip, strict=True)), 0)
    turns = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    close(
        QuarterTurn().apply(images, turns), (V.rotate(one, 90.0 * int(k)) for one, k in zip(x, turns, strict=True)), 0
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter_is_torchvisions_chain_to_1e5(channels):
    images = photos(48, channels)
    op = ColourJitter(0.8, 0.8, 0.8, 0.2, p=0.8)
    drawn = op.draw(images, Stream(5))
    assert len({tuple(row.tolist()) for row in drawn.order}) > 12
    functions = (V.adjust_brightness, V.adjust_contrast, V.adjust_saturation, V.adjust_hue)

    def theirs():
        for i, one in enumerate(as_float(images)):
            for which in drawn.order[i].tolist() if drawn.keep[i] else ():
                if channels == 3 or which < 2:
                    one = functions[which](one, float(drawn.factor[i, which]))
            yield one

    close(op.apply(images, drawn), theirs(), 1e-5)


def test_a_jitter_of_one_kind_is_torchvisions():
    images = photos(8)
    for position, (name, function) in enumerate(
        [
            ("brightness", V.adjust_brightness),
            ("contrast", V.adjust_contrast),
            ("saturation", V.adjust_saturation),
            ("hue", V.adjust_hue),
        ]
    ):
        op = ColourJitter(**{name: 0.4})
        drawn = op.draw(images, Stream(6))
        theirs = (function(one, float(drawn.factor[i, position])) for i, one in enumerate(as_float(images)))
        close(op.apply(images, drawn), theirs, 1e-5)


def test_jitter_on_a_device_is_jitter_on_a_cpu():
    """Where the number of samples of a kind may not be asked for, all are computed and masked."""
    images = as_float(photos(48))
    op = ColourJitter(0.8, 0.8, 0.8, 0.2, p=0.8)
    drawn = op.draw(images, Stream(5))
    masked = op._everywhere(images.clone(), drawn, op._blends(drawn, True), op.alike(drawn), True)
    torch.testing.assert_close(masked, op.apply(images, drawn), atol=1e-6, rtol=0)


def test_colour_in_a_chain_leaves_float_images_as_they_were():
    images = as_float(photos(8)).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    for first in (HFlip(0.5), CentreCrop(20), Resize(20)):
        chain = Chain((first, ColourJitter(0.8, 0.8, 0.8, 0.2), Greyscale(0.5)))
        drawn = chain.draw(images, Stream(1))
        expected = images
        for op, own in zip(chain.ops, drawn, strict=True):
            expected = op.apply(expected, own)
        torch.testing.assert_close(chain.apply(images, drawn), expected, atol=1e-6, rtol=0)
        assert torch.equal(images, before)


def test_hue_of_greys_and_pure_colours_is_torchvisions():
    corners = torch.tensor([[r, g, b] for r in (0, 0.5, 1) for g in (0, 0.5, 1) for b in (0, 0.5, 1)])
    images = corners.T.reshape(1, 3, 3, 9).repeat(5, 1, 1, 1)
    turn = torch.tensor([-0.5, -0.2, 0.0, 0.21, 0.5])
    close(shift_hue(images, turn), (V.adjust_hue(one, float(t)) for one, t in zip(images, turn, strict=True)), 1e-5)


def test_greyscale_and_solarize_are_torchvisions():
    images = photos(8)
    x = as_float(images)
    keep = torch.arange(8) % 2 == 0
    grey = (V.rgb_to_grayscale(one, 3) if k else one for one, k in zip(x, keep, strict=True))
    close(Greyscale().apply(images, keep[:, None, None]), grey, 1e-6)
    inverted = (V.solarize(one, 0.5) if k else one for one, k in zip(x, keep, strict=True))
    close(Solarize(0.5).apply(images, keep), inverted, 0)


def test_greyscale_of_tiles_greys_whole_tiles():
    images = photos(4, height=12, width=12)
    op = Greyscale(0.5, tiles=3)
    drawn = op.draw(images, Stream(1))
    ours = op.apply(images, drawn)
    grey = (ours == ours[:, :1]).all(1)
    assert torch.equal(grey[:, ::4, ::4] & grey[:, 3::4, 3::4], drawn)


@pytest.mark.parametrize("kernel", [3, 9])
def test_blur_is_torchvisions_to_1e5(kernel):
    images = photos(8)
    op = Blur(kernel, (0.1, 2.0), p=0.7)
    drawn = op.draw(images, Stream(2))
    assert drawn.keep.any()
    assert not drawn.keep.all()
    theirs = (
        V.gaussian_blur(one, [kernel, kernel], [float(s)] * 2) if k else one
        for one, s, k in zip(as_float(images), drawn.sigma, drawn.keep, strict=True)
    )
    close(op.apply(images, drawn), theirs, 1e-5)


def test_sobel_is_scipys():
    images = photos(2)
    x = as_float(images)

    def theirs():
        for channel in x.flatten(0, 1).numpy():
            across, down = (ndimage.sobel(channel, axis=axis, mode="reflect") / 4 for axis in (1, 0))
            yield torch.from_numpy(np.sqrt((across**2 + down**2) / 2))

    close(Sobel().apply(images, torch.ones(2, dtype=torch.bool)).flatten(0, 1), theirs(), 1e-6)


def test_noise_is_added_and_clipped():
    images = photos(2000, 1, 4, 4)
    op = Noise((0.1, 0.1), p=0.5)
    drawn = op.draw(images, Stream(2))
    assert abs(float(drawn.noise.std()) - 0.1) < 0.002
    expected = torch.where(
        drawn.keep[:, None, None, None], (as_float(images) + drawn.noise).clamp(0, 1), as_float(images)
    )
    assert torch.equal(op.apply(images, drawn), expected)


@pytest.mark.parametrize("op", [Cutout(0.5, value=0.3, p=0.8), Erase(p=0.9, value=0.7)])
def test_erasing_is_torchvisions(op):
    images = photos(64)
    box = op.draw(images, Stream(4))

    def theirs():
        for i, one in enumerate(as_float(images)):
            top, left, height, width = (int(part[i]) for part in box)
            bottom, right = max(0, min(24, top + height)), max(0, min(20, left + width))
            top, left = max(0, top), max(0, left)
            yield V.erase(one, top, left, bottom - top, right - left, torch.full((1, 1, 1), op.value))

    ours = op.apply(images, box)
    close(ours, theirs(), 0)
    changed = (ours != as_float(images)).flatten(1).any(1)
    assert changed.any()
    assert not changed.all()


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotate_is_torchvisions_to_1e4(interpolation):
    images = photos(8)
    op = Rotate((-180.0, 180.0), interpolation)
    angle = op.draw(images, Stream(1))
    mode = InterpolationMode(interpolation)
    theirs = (V.rotate(one, float(a), mode) for one, a in zip(as_float(images), angle, strict=True))
    close(op.apply(images, angle), theirs, 1e-4)


def test_scale_and_translate_are_torchvisions_affine_to_1e4():
    images = photos(8)
    x = as_float(images)
    factor = Scale((0.5, 2.0)).draw(images, Stream(1))
    shift = Translate(0.3).draw(images, Stream(1))
    bilinear = InterpolationMode.BILINEAR
    scaled = (V.affine(one, 0.0, [0, 0], float(f), [0.0, 0.0], bilinear) for one, f in zip(x, factor, strict=True))
    close(Scale().apply(images, factor), scaled, 1e-4)
    moved = (V.affine(one, 0.0, s.tolist(), 1.0, [0.0, 0.0], bilinear) for one, s in zip(x, shift, strict=True))
    close(Translate().apply(images, shift), moved, 1e-4)


def test_scale_rotate_translate_in_a_chain_are_one_affine_map():
    images = photos(8)
    chain = Chain((Scale((0.7, 1.4)), Rotate((-40.0, 40.0)), Translate(0.2)))
    drawn = chain.draw(images, Stream(2))
    theirs = (
        V.affine(one, -float(drawn[1][i]), drawn[2][i].tolist(), float(drawn[0][i]), [0.0, 0.0], MODES["bilinear"])
        for i, one in enumerate(as_float(images))
    )
    close(chain.apply(images, drawn), theirs, 2e-4)


def test_pad_rotate_crop_in_a_chain_is_torchvisions_sequence():
    """Whole-pixel moves around one rotation: sharing the grid changes nothing but the rounding of coordinates."""
    images = photos(8, height=16, width=16)
    chain = Chain((Pad(5), Rotate((-15.0, 15.0)), HFlip(), CentreCrop(18)))
    drawn = chain.draw(images, Stream(2))

    def theirs():
        for i, one in enumerate(as_float(images)):
            turned = V.rotate(V.pad(one, [5]), float(drawn[1][i]), MODES["bilinear"])
            turned = V.horizontal_flip(turned) if drawn[2][i] else turned
            yield V.center_crop(turned, [18, 18])

    close(chain.apply(images, drawn), theirs(), 1e-4)


def test_quarter_turns_share_a_grid_exactly():
    images = photos(8, height=15, width=15)
    turns = torch.arange(8) % 4
    angle = torch.zeros(8)
    ours = Chain((QuarterTurn(), Rotate())).apply(images, (turns, angle))
    torch.testing.assert_close(ours, QuarterTurn().apply(images, turns), atol=1e-4, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_flips_folded_into_a_crop_are_flips_after_it(interpolation):
    images = photos(32)
    ops = (ResizedCrop(13, interpolation=interpolation), HFlip(), VFlip(), HFlip())
    drawn = Chain(ops).draw(images, Stream(8))
    expected = images
    for op, own in zip(ops, drawn, strict=True):
        expected = op.apply(expected, own)
    torch.testing.assert_close(Chain(ops).apply(images, drawn), expected, atol=1e-6, rtol=0)


def test_elastic_field_is_scipys_gaussian_filter_to_1e5():
    op = Elastic(sigma=2.0, alpha=8.0)
    noise = op.draw(photos(2), Stream(0))
    assert float(noise.min()) < -0.99
    assert float(noise.max()) > 0.99
    theirs = (
        torch.from_numpy(
            np.stack([ndimage.gaussian_filter(axis, 2.0, mode="constant", truncate=4.0) * 8.0 for axis in one])
        )
        for one in noise.numpy()
    )
    close(op.displacement(noise), theirs, 1e-5)


def test_elastic_reads_the_image_where_the_field_points():
    images = photos(2, 1)
    op = Elastic(sigma=2.0, alpha=8.0)
    noise = op.draw(images, Stream(0))
    across, down = op.displacement(noise).unbind(1)
    rows, columns = np.mgrid[:24, :20].astype(np.float32)
    theirs = (
        torch.from_numpy(
            ndimage.map_coordinates(
                np.pad(one.numpy(), 1), [rows + dy.numpy() + 1, columns + dx.numpy() + 1], order=1, cval=0.0
            )
        )[None]
        for one, dx, dy in zip(as_float(images)[:, 0], across, down, strict=True)
    )
    close(op.apply(images, noise), theirs, 1e-4)


def test_the_size_of_the_elastic_field_is_the_stated_one():
    """alpha / (2 sigma sqrt(3 pi)): 1.38 pixels for sigma 4 and alpha 34."""
    op = Elastic()
    field = op.displacement(op.draw(torch.zeros(40, 1, 80, 80), Stream(0)))[..., 20:-20, 20:-20]
    assert abs(float(field.std()) - 34 / (2 * 4 * (3 * np.pi) ** 0.5)) < 0.05


def test_normalise_is_torchvisions():
    images = photos(2)
    op = Normalise((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    close(op.apply(images, ()), (V.normalize(one, list(op.mean), list(op.std)) for one in as_float(images)), 1e-6)


def test_jigsaw_lays_out_patches_of_cells():
    images = photos(5, 3, 27, 30)
    op = Jigsaw(grid=3, patch=7)
    drawn = op.draw(images, Stream(0))
    cut = patches(op.apply(images, drawn), 3).view(5, 9, 3, 7, 7)
    for i, one in enumerate(as_float(images)):
        assert sorted(drawn.order[i].tolist()) == list(range(9))
        for place, cell in enumerate(drawn.order[i].tolist()):
            top = cell // 3 * 9 + int(drawn.down[i, cell])
            left = cell % 3 * 10 + int(drawn.across[i, cell])
            assert torch.equal(cut[i, place], one[:, top : top + 7, left : left + 7])
    assert int(drawn.down.max()) == 2
    assert int(drawn.across.max()) == 3


def test_one_of_gives_every_sample_exactly_one():
    images = photos(64)
    op = OneOf((Greyscale(1.0), Solarize(p=1.0), Blur(3, p=1.0)))
    drawn = op.draw(images, Stream(1))
    assert set(drawn.which.tolist()) == {0, 1, 2}
    each = [part.apply(images, own) for part, own in zip(op.ops, drawn.drawn, strict=True)]
    expected = torch.stack([each[int(which)][i] for i, which in enumerate(drawn.which)])
    torch.testing.assert_close(op.apply(images, drawn), expected, atol=1e-6, rtol=0)


ONE_OF_EACH = [
    ResizedCrop(9),
    ResizedCrop(9, interpolation="bicubic"),
    Resize(11),
    CentreCrop(9),
    Pad(2),
    HFlip(),
    VFlip(),
    Brightness(),
    ColourJitter(0.8, 0.8, 0.8, 0.2),
    Greyscale(0.5),
    Solarize(p=0.5),
    Blur(3),
    Sobel(0.5),
    Noise(),
    Cutout(),
    Erase(),
    Rotate(),
    Translate(),
    Scale(),
    Elastic(1.0, 3.0),
    Jigsaw(2, 2),
    OneOf((Greyscale(1.0), Solarize(p=1.0))),
    Chain((ResizedCrop(9), HFlip(), ColourJitter(0.4, 0.4), Rotate(), Elastic(1.0, 3.0))),
    Merged((ResizedCrop(9), HFlip(), ColourJitter(0.4, 0.4, 0.4, 0.1), Greyscale())),
]


@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(0, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 17),
    width=st.integers(4, 17),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("op", ONE_OF_EACH, ids=lambda op: type(op).__name__)
def test_any_shape(op, batch, channels, height, width, seed):
    """uint8 in, float in [0, 1] out, of the size foretold; the input untouched; replayed and repeated alike."""
    images = photos(batch, channels, height, width, seed)
    before = images.clone()
    drawn = op.draw(images, Stream(seed))
    once = op.apply(images, drawn)
    assert once.dtype == torch.float32
    assert tuple(once.shape) == (batch, channels, *op.after(height, width))
    assert bool(((once >= 0) & (once <= 1)).all())
    assert torch.equal(images, before)
    assert torch.equal(op.apply(images, drawn), once)
    x = as_float(images)
    float_before = x.clone()
    torch.testing.assert_close(op.apply(x, op.draw(255 - images, Stream(seed))), once, atol=1e-6, rtol=0)
    assert torch.equal(x, float_before)


@pytest.mark.parametrize("op", ONE_OF_EACH, ids=lambda op: type(op).__name__)
def test_a_sample_does_not_depend_on_its_neighbours(op):
    images = photos(7, height=16, width=16)
    drawn = op.draw(images, Stream(1))
    alone = torch.cat([op.apply(images[i : i + 1], rows(drawn, slice(i, i + 1))) for i in range(7)])
    torch.testing.assert_close(op.apply(images, drawn), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: ResizedCrop(0), "size"),
        (lambda: ResizedCrop(8, scale=(0.5, 0.2)), "scale"),
        (lambda: ResizedCrop(8, interpolation="lanczos"), "interpolation"),
        (lambda: HFlip(1.5), "p"),
        (lambda: Blur(4), "kernel"),
        (lambda: Brightness((0.9, 0.0)), "factors"),
        (lambda: ColourJitter(hue=0.7), "hue"),
        (lambda: Elastic(sigma=0.0), "sigma"),
        (lambda: Erase(scale=(0.1, 2.0)), "scale"),
        (lambda: Normalise((0.5,), (0.0,)), "std"),
    ],
)
def test_impossible_settings_are_one_sentence(make, word):
    with pytest.raises(RecipeError, match=word):
        make()


@pytest.mark.parametrize(
    ("op", "images"),
    [
        (Blur(21), photos(2, 3, 8, 8)),
        (ColourJitter(0.4), photos(2, 4)),
        (Greyscale(), photos(2, 2)),
        (QuarterTurn(), photos(2)),
        (Jigsaw(3, 64), photos(2)),
        (HFlip(), photos(2).to(torch.int32)),
    ],
)
def test_images_that_do_not_fit_are_one_sentence(op, images):
    with pytest.raises(ShapeError, match=r"need|reflects"):
        op.apply(images, op.draw(images, Stream(0)))


def test_jitter_has_the_gradient_of_its_differences():
    images = 0.2 + 0.6 * torch.rand(5, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    op = ColourJitter(0.3, 0.3, 0.3, 0.2, p=0.8)
    drawn = op.draw(images, Stream(0))
    assert torch.autograd.gradcheck(lambda x: op.apply(x, drawn), images.requires_grad_(), eps=1e-6, atol=1e-5)
    turn = torch.linspace(-0.5, 0.5, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: shift_hue(x, turn), images, eps=1e-6, atol=1e-5)
