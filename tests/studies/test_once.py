from dataclasses import dataclass

import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.studies.once import Once
from counterpoint.types import Dataset, Split


@dataclass(frozen=True)
class Shades:
    """Each image is of one shade of grey, and a class has its own range of them."""

    classes: int = 3

    def load(self) -> Dataset:
        label = torch.arange(30) % self.classes
        shade = (label * 60 + torch.arange(30)).to(torch.uint8)
        train = Split(shade[:, None, None, None].expand(-1, 1, 20, 20).contiguous(), label)
        return Dataset("shades", "glyphs", train, train, tuple("abc"[: self.classes]))


def test_anchors_are_the_first_of_each_class():
    made = Once(Shades(), "pami-none", per_class=4).load().train
    assert made.labels is not None
    assert made.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert made.images[:4, 0, 0, 0].tolist() == [0, 3, 6, 9]


def test_the_positive_is_the_anchor_and_the_negative_is_of_another_class():
    made = Once(Shades(), "pami-none", per_class=10).load().train
    anchor, positive, negative = made.views
    assert torch.equal(anchor, made.images)
    assert torch.equal(positive, made.images)
    assert made.labels is not None
    assert not (negative[:, 0, 0, 0] // 60 == made.labels).any()
    assert len(negative[made.labels == 0].unique()) == 10  # a shuffled list, no image twice


def test_draws_follow_the_seed_and_nothing_else():
    first, again, other = (Once(Shades(), "pami-simclr", per_class=5, seed=seed).load().train for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.views, again.views, strict=True))
    assert not torch.equal(first.views[2], other.views[2])
    assert torch.equal(first.views[0], other.views[0])


def test_rows_of_a_split_keep_their_views():
    made = Once(Shades(), "pami-none", per_class=5).load().train
    some = made.rows(torch.tensor([3, 1]))
    assert all(torch.equal(s, w[[3, 1]]) for s, w in zip(some.views, made.views, strict=True))


def test_one_class_is_refused():
    with pytest.raises(SourceError, match="at least two labelled classes"):
        Once(Shades(classes=1), "pami-none").load()
