"""Parts of a data set, by number and by name."""

from dataclasses import dataclass, replace

import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.subsets import SUBSETS
from counterpoint.types import Dataset, Split

NAMES = ("tabby, tabby cat", "goose", "tiger cat", "Siamese, Siamese cat", "hen")
ABOVE = torch.tensor([1, 0, 1, 1, 0])  # birds, cats


@dataclass(frozen=True)
class Zoo:
    """Six images of each of five classes for training, two for testing; a pixel says which class it is."""

    names: tuple[str, ...] = NAMES
    flat: bool = False

    def load(self) -> Dataset:
        def split(each: int) -> Split:
            labels = torch.arange(len(self.names)).repeat(each)
            return Split(labels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).clone(), labels)

        made = Dataset("zoo", "photos", split(6), split(2), self.names)
        return made if self.flat else replace(made, super_classes=("bird", "cat"), super_of=ABOVE)


def shown(split: Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("asked", [("Siamese", "goose"), ("goose", "Siamese cat"), ("Siamese, Siamese cat", "goose")])
def test_classes_are_found_by_any_of_their_names_and_numbered_anew(asked):
    part = Restricted(Zoo(), asked, per_class=4).load()
    assert part.classes == ("goose", "Siamese, Siamese cat")
    assert part.super_classes == ("bird", "cat")
    assert part.super_of is not None
    assert part.super_of.tolist() == [0, 1]
    assert shown(part.train) == [1, 3] * 4
    assert part.train.labels is not None
    assert part.train.labels.tolist() == [0, 1] * 4
    assert len(part.test) == 4


def test_a_super_class_stands_for_its_classes_and_alone_remains():
    part = Restricted(Zoo(), ("cat",)).load()
    assert part.classes == (NAMES[0], NAMES[2], NAMES[3])
    assert part.super_classes == ("cat",)
    assert part.super_of is not None
    assert part.super_of.tolist() == [0, 0, 0]
    assert set(shown(part.test)) == {0, 2, 3}
    assert "cat" in part.split


def test_a_subset_of_imagenet_is_found_by_its_folders():
    folders = (*SUBSETS["IN1P"], "n00000000")
    part = Restricted(Zoo(folders, flat=True), ("IN1P",)).load()
    assert part.classes == SUBSETS["IN1P"]
    assert [len(SUBSETS[name]) for name in ("IN1P", "IN25")] == [10, 25]
    assert all(len(set(names)) == len(names) for names in SUBSETS.values())
    with pytest.raises(SourceError, match=r"no class 'n02814533' \(of IN25\)"):
        Restricted(Zoo(folders, flat=True), ("IN25",)).load()


def test_what_is_left_keeps_its_super_classes():
    part = Restricted(Zoo(), 2).load()
    assert (part.classes, part.super_classes) == (NAMES[:2], ("bird", "cat"))
    assert len(part.train) == 12
    assert part.super_of is not None
    assert part.super_of.tolist() == [1, 0]
    fewer = Restricted(Zoo(), per_class=2).load()
    assert fewer.super_of is not None
    assert fewer.super_of.tolist() == ABOVE.tolist()
    assert Restricted(Zoo(flat=True), 3).load().super_of is None


@pytest.mark.parametrize(
    ("asked", "said"), [(("gose",), "did you mean 'goose'"), (("hen",), "1 classes were asked"), (6, "6 classes were")]
)
def test_what_is_none_is_said(asked, said):
    with pytest.raises(SourceError, match=said):
        Restricted(Zoo(), asked).load()


def test_a_name_of_several_classes_is_no_choice():
    names = ("crane, bird", "crane, machine", "maillot", "maillot, tank suit", "cat")
    zoo = Zoo(names, flat=True)
    with pytest.raises(SourceError, match=r"'crane' is the name of several classes of 'zoo' .crane, bird; crane, mach"):
        Restricted(zoo, ("crane", "cat")).load()
    assert Restricted(zoo, ("machine", "cat")).load().classes == ("crane, machine", "cat")
    assert Restricted(zoo, ("maillot", "cat")).load().classes == ("maillot", "cat"), "it is the whole name of one"
    with pytest.raises(SourceError, match="several classes"):
        Restricted(Zoo(("crane", "crane", "cat"), flat=True), ("crane", "cat")).load()
    above = Restricted(Zoo(("cat, tabby", "goose", "cat, tiger", "Siamese", "hen")), ("cat",)).load()
    assert len(above.classes) == 3, "a super-class of that name"
