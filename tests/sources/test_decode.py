import io
import warnings

import numpy as np
import pytest
import torch
from made import noise, png
from PIL import Image
from torchvision.transforms.v2 import functional

from counterpoint.errors import SourceError
from counterpoint.sources.collect import check_skipped
from counterpoint.sources.decode import peek, to_array
from counterpoint.sources.parallel import decode
from counterpoint.types import Skipped


def encoded(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def rgb(data: bytes) -> np.ndarray:
    return to_array(data, None)[0]


def grey(data: bytes) -> np.ndarray:
    return to_array(data, None, 1)[0][..., 0]


PICTURE = noise(1, 6, 9, 3)[0]


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "PPM", "TGA"])
def test_lossless_formats_come_out_as_they_went_in(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(rgb(encoded(Image.fromarray(PICTURE), form, **options)), PICTURE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    # What a camera stores so that its orientation tag turns it into PICTURE, by hand (EXIF 2.3, tag 0x0112).
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: np.rot90(PICTURE, 1),
        7: PICTURE[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PICTURE, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif, **options)
    np.testing.assert_array_equal(rgb(data), PICTURE)


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    np.testing.assert_array_equal(rgb(encoded(image, "PNG")), [[[255, 0, 0], [0, 0, 255]]])
    np.testing.assert_array_equal(rgb(encoded(image, "PNG", transparency=0)), [[[255, 255, 255], [0, 0, 255]]])


def test_alpha_lies_on_white() -> None:
    image = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 51]]], np.uint8)
    np.testing.assert_array_equal(rgb(png(image)), [[[255, 255, 255], [255, 0, 0], [204, 204, 204]]])
    pale = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 0)])
    assert grey(encoded(pale, "PNG")).item() == 255
    keyed = encoded(Image.fromarray(PICTURE), "PNG", transparency=tuple(int(v) for v in PICTURE[0, 0]))
    assert (rgb(keyed)[0, 0] == 255).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight_by_the_full_range(form: str) -> None:
    values = np.array([[0, 257 * 7, 257 * 200, 65535]], np.uint16)
    data = encoded(Image.fromarray(values), form)
    np.testing.assert_array_equal(grey(data), [[0, 7, 200, 255]])
    np.testing.assert_array_equal(rgb(data)[..., 1], [[0, 7, 200, 255]])


def test_floats_and_integers_of_tiff() -> None:
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    np.testing.assert_array_equal(grey(encoded(unit, "TIFF")), [[0, 128, 255]])
    byte = Image.fromarray(np.array([[0.0, 3.0, 255.0]], np.float32))
    np.testing.assert_array_equal(grey(encoded(byte, "TIFF")), [[0, 3, 255]])
    whole = Image.fromarray(np.array([[0, 3, 255]], np.int32))
    np.testing.assert_array_equal(grey(encoded(whole, "TIFF")), [[0, 3, 255]])
    with pytest.raises(SourceError, match="-1"):
        grey(encoded(Image.fromarray(np.array([[-1.0, 3.0]], np.float32)), "TIFF"))
    with pytest.raises(SourceError, match="nan"):
        grey(encoded(Image.fromarray(np.array([[float("nan"), 3.0]], np.float32)), "TIFF"))


def test_cmyk_grey_and_one_bit() -> None:
    cyan = Image.new("CMYK", (1, 1), (255, 0, 0, 0))
    np.testing.assert_array_equal(rgb(encoded(cyan, "TIFF")), [[[0, 255, 255]]])
    red, green, blue = rgb(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"))[4, 4].astype(int)
    assert red < 10
    assert min(green, blue) > 245
    np.testing.assert_array_equal(rgb(encoded(Image.new("L", (1, 1), 77), "PNG")), [[[77, 77, 77]]])
    np.testing.assert_array_equal(grey(encoded(Image.new("1", (1, 1), 1), "PNG")), [[255]])


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_image(form: str) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(first, form, save_all=True, append_images=[second], **options)
    assert (rgb(data) == [255, 0, 0]).all()


def test_resize_and_crop_are_torchvisions() -> None:
    for height, width, size in ((40, 61, 16), (61, 40, 16), (10, 10, 24), (33, 100, 8)):
        picture = noise(1, height, width, 3)[0]
        image = Image.fromarray(picture)
        expected = functional.center_crop(functional.resize(image, [size]), [size])
        np.testing.assert_array_equal(to_array(png(picture), size)[0], np.asarray(expected))


def test_a_very_long_image_is_cut_not_blown_up() -> None:
    assert to_array(png(noise(1, 1, 30_000, 3)[0]), 32)[0].shape == (32, 32, 3)


def test_digest_is_of_pixels_not_of_files() -> None:
    a = to_array(png(PICTURE), 4, hashed=True)[1]
    b = to_array(encoded(Image.fromarray(PICTURE), "BMP"), 4, hashed=True)[1]
    other = PICTURE.copy()
    other[0, 0, 0] ^= 1
    assert a == b
    assert a != to_array(png(other), 4, hashed=True)[1]
    assert a != to_array(png(PICTURE.reshape(9, 6, 3)), 4, hashed=True)[1]


def test_what_cannot_be_used_is_skipped_with_its_reason(tmp_path) -> None:
    good = [png(one) for one in noise(5, 6, 6, 3)]
    cut = encoded(Image.fromarray(noise(1, 60, 60, 3)[0]), "JPEG")[:-900]
    bomb = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    items = [good[0], b"", b"no image at all", good[1], cut, None, good[2], tmp_path / "gone.png", bomb]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = decode([items[:4], items[4:]], [f"n{i}" for i in range(9)], 6, hashed=True)
    assert done.kept == (0, 3, 6)
    assert len(done.digests) == 3
    assert [one.name for one in done.skipped] == ["n1", "n2", "n4", "n5", "n7", "n8"]
    reasons = [one.reason for one in done.skipped]
    for reason, part in zip(reasons, ("empty", "Pillow", "damaged", "no image", "No such file", "pixels"), strict=True):
        assert part in reason
    for i, item in enumerate(good[:3]):
        np.testing.assert_array_equal(done.images[i].permute(1, 2, 0), rgb(item))


def test_order_is_that_of_the_input_whatever_the_threads_do() -> None:
    pictures = noise(300, 5, 5, 3)
    chunks = [[png(one) for one in pictures[i : i + 7]] for i in range(0, 300, 7)]
    done = decode(chunks, [str(i) for i in range(300)], 5)
    assert torch.equal(done.images, torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert done.images.is_contiguous()


def test_peek_tells_size_and_grey() -> None:
    assert peek([png(PICTURE), b"?", png(PICTURE[..., 0])]) == [(9, 6, 3), (9, 6, 1)]


def test_too_many_bad_images_are_refused() -> None:
    bad = [Skipped("a.png", "damaged")] * 2
    check_skipped(bad, 20, 0.1, "here")
    with pytest.raises(SourceError, match=r"2 of the 19 images of here.*a\.png: damaged"):
        check_skipped(bad, 19, 0.1, "here")
    with pytest.raises(SourceError, match="one image only"):
        check_skipped([], 1, 0.1, "here")
