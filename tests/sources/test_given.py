import numpy as np
import pytest
import torch
from PIL import Image

from counterpoint import sources
from counterpoint.errors import SourceError
from counterpoint.types import Split


def test_what_is_held_out_is_a_tenth_also_after_a_split_by_content():
    digits = sources.lookup("digits").load()
    kept, held = sources.hold_out(digits.train, 0.1, "digits")
    assert len(kept) + len(held) == len(digits.train)
    assert 0.06 < len(held) / len(digits.train) < 0.14
    seen = {image.numpy().tobytes() for image in kept.images}
    assert not any(image.numpy().tobytes() in seen for image in held.images)


def test_groups_and_duplicates_are_held_out_whole():
    images = torch.randint(0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[30] = images[2]
    groups = torch.arange(60) // 3
    kept, held = sources.hold_out(Split(images, torch.arange(60), groups=groups), 0.3, "made")
    assert set((kept.labels // 3).tolist()).isdisjoint((held.labels // 3).tolist())
    assert (2 in kept.labels) == (30 in kept.labels)


def test_a_pil_image_is_read_as_its_file_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    opened = Image.open(tmp_path / "a.png")
    from_file, from_image = (sources.read_images([x], size=8, channels=3) for x in (tmp_path / "a.png", opened))
    assert torch.equal(from_file, from_image)


def test_arrays_of_floats_are_taken_in_zero_to_one():
    bytes_ = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    whole, shares = (sources.read_images([x], size=8, channels=3) for x in (bytes_, (bytes_ / 255).astype(np.float32)))
    assert torch.equal(whole, shares)
    with pytest.raises(SourceError, match=r"in \[0, 1\]"):
        sources.read_images([bytes_.astype(np.float32)], size=8, channels=3)
    with pytest.raises(SourceError, match="expected a path"):
        sources.read_images([3], size=8, channels=3)
