"""A colour for each glyph, which says nothing about its class."""

import math
from dataclasses import dataclass

import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.sources import Digits
from counterpoint.studies.attributes import hue_of
from counterpoint.studies.once import Once
from counterpoint.studies.tinted import Tinted, tints
from counterpoint.types import Dataset, Split


@pytest.fixture(scope="module")
def tinted():
    return Tinted(Digits()).load()


def test_the_largest_channel_is_the_grey_image(tinted):
    grey = Digits().load()
    for side in ("train", "test"):
        made, given = getattr(tinted, side), getattr(grey, side)
        assert made.images.dtype == torch.uint8
        assert made.images.shape == (len(given), 3, 8, 8)
        assert torch.equal(made.images.amax(1), given.images[:, 0])
        assert torch.equal(made.labels, given.labels)
    assert tinted.classes == grey.classes
    assert tinted.name == "tinted digits"


def test_the_hue_of_every_image_can_be_known_again(tinted):
    for side in ("train", "test"):
        images = getattr(tinted, side).images
        angle = tints(len(images), 0, side).double()
        torch.testing.assert_close(hue_of(images), torch.stack((angle.sin(), angle.cos()), 1), atol=0.02, rtol=0)


def test_the_hue_is_any_hue_and_says_nothing_about_the_class(tinted):
    angle, labels = tints(len(tinted.train)), tinted.train.labels
    assert 0 <= float(angle.min()) < float(angle.max()) < 2 * math.pi + 1e-6
    counts = torch.histc(angle, 8, 0, 2 * math.pi)
    assert counts.min() > 0.7 * len(angle) / 8
    vectors = torch.stack((angle.sin(), angle.cos()), 1)
    means = torch.stack([vectors[labels == digit].mean(0) for digit in range(10)])
    # The mean of 140 unit vectors is as long as 140^-1/2 on average; 3.5 times that is beyond chance.
    assert means.norm(dim=1).max() < 3.5 / math.sqrt(140)


def test_draws_are_the_seeds(tinted):
    again, other = Tinted(Digits()).load(), Tinted(Digits(), seed=1).load()
    assert torch.equal(again.train.images, tinted.train.images)
    assert not torch.equal(other.train.images, tinted.train.images)
    assert not torch.equal(tints(100, 0, "train"), tints(100, 0, "test"))


def test_it_is_stored_with_what_it_tints():
    source = Tinted(Digits(size=12), seed=3)
    assert part_from_json(part_to_json(source)) == source


@dataclass(frozen=True)
class Colours:
    def load(self):
        split = Split(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
        return Dataset("colours", "photos", split, split, ("a", "b"))


def test_views_that_were_made_once_are_refused():
    with pytest.raises(SourceError, match="tint the source inside"):
        Tinted(Once(Digits(), "pami-none", per_class=2)).load()
    inside = Once(Tinted(Digits()), "pami-none", per_class=2).load()
    assert inside.train.images.shape[1:] == (3, 8, 8)


def test_images_in_colour_are_refused():
    with pytest.raises(SourceError, match="'colours' has 3"):
        Tinted(Colours()).load()
