from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from counterpoint import sources
from counterpoint.app.assess import fresh
from counterpoint.embed import embed, pixels
from counterpoint.errors import CounterpointError, RecipeError, SourceError
from counterpoint.evaluation import knn_accuracy, linear_probe
from counterpoint.model import Model
from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.sources import Arrays, Cifar, Digits, Idx
from counterpoint.studies import transfer
from counterpoint.studies.cells import Shelf, composed
from counterpoint.studies.restricted import Restricted, first_of_each
from counterpoint.studies.simlap.judged import floors_of
from counterpoint.studies.simlap.looking import Looking
from counterpoint.studies.study import Cell, Evaluator, Only, Trained
from counterpoint.studies.transfer import Target, Transfer, targets_of
from counterpoint.studies.work import answer_of
from counterpoint.types import Dataset, Split


@dataclass(frozen=True)
class Planted:
    """Two classes of noisy pictures, dark and bright on the left; the test images are the training images again.

    Args:
        swapped: the test images have the label of the other class.
        channels: 1 or 3, of different values.
        size: in pixels.
    """

    swapped: bool = False
    channels: int = 1
    size: int = 8
    labelled: bool = True
    tested: bool = True

    def load(self) -> Dataset:
        noise = torch.Generator().manual_seed(0)
        label = torch.arange(60) % 2
        x = torch.randint(0, 60, (60, self.channels, self.size, self.size), generator=noise)
        x[..., : self.size // 2] += 150 * label[:, None, None, None]
        x = x.to(torch.uint8)
        other = 1 - label if self.swapped else label
        test = Split(x, other if self.labelled else None)
        test = test if self.tested else test.rows(torch.arange(0))
        return Dataset("planted", "glyphs", Split(x, label if self.labelled else None), test, ("dark", "bright"))


class Read(Trained):
    """A run of which the models alone are read."""

    dataset = recipe = train = test = model = untrained = None

    def __init__(self, cell: Cell, model: Model, untrained: Model) -> None:
        self.cell, self.model, self.untrained, self.folder = cell, model, untrained, Path("x")


def _trained(seed: int = 0, place: dict[str, str] | None = None) -> Trained:
    """An encoder with its first weights in the learned one's place, and another one as the untrained."""
    cell = Cell(place or {"method": "simclr"}, "simclr", Digits(), "mlp", seed=seed, dials={"batch_size": 64})
    facts = Shelf().facts(cell.source)
    recipe = composed(cell, facts)
    model, bare = (fresh(recipe, facts, number).eval() for number in (seed, 100 + seed))
    return Read(cell, model, bare)


GOOD, BAD = Target("good", Planted()), Target("bad", Planted(swapped=True))


# ---------------------------------------------------------------- what is measured


def test_known_answers() -> None:
    """What is separable is found in full, and what is labelled the other way round never; the mean is of both."""
    found = Transfer((GOOD, BAD), k=1, c=1.0)(_trained())
    assert found["learned"] == {
        "good": {"probe": 1.0, "knn": 1.0},
        "bad": {"probe": 0.0, "knn": 0.0},
        "mean": {"probe": 0.5, "knn": 0.5},
    }
    assert found["images"] == {"good": {"train": 60, "test": 60}, "bad": {"train": 60, "test": 60}}
    assert "untrained" not in found
    assert "pixels" not in found


def test_labels_that_say_nothing_are_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder cannot know labels that were drawn: an evaluator that let test labels in would."""
    drawn = torch.randint(0, 2, (120,), generator=torch.Generator().manual_seed(1))
    dataset = Planted().load()
    train, test = replace(dataset.train, labels=drawn[:60]), replace(dataset.test, labels=drawn[60:])
    noise = torch.randint(0, 255, (60, 1, 8, 8), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    shuffled = replace(dataset, train=train, test=replace(test, images=noise))
    monkeypatch.setattr(Planted, "load", lambda self: shuffled)
    found = Transfer((Target("chance", Planted(size=9)),), c=0.01)(_trained())["learned"]["chance"]
    assert 0.2 < found["probe"] < 0.8
    assert 0.2 < found["knn"] < 0.8


def test_images_are_brought_to_the_encoder() -> None:
    """As the library fits any image: grey by luma, smaller by antialiased averages."""
    trained = _trained()
    source = Planted(channels=3, size=13)
    data = source.load()

    def fitted(split: Split) -> Split:
        return replace(split, images=sources.fit_images(sources.in_channels(split.images[:], 1), 8))

    train, test = (embed(trained.model, fitted(split), data) for split in (data.train, data.test))
    found = Transfer((Target("colour", source),), k=3, c=0.1)(trained)["learned"]["colour"]
    assert found == {"probe": linear_probe(train, test, c=0.1).accuracy, "knn": knn_accuracy(train, test, k=3)}


def test_so_many_images_are_looked_at() -> None:
    found = Transfer((Target("few", Planted(), most=11, tested=7),), k=1, c=1.0)(_trained())
    assert found["images"]["few"] == {"train": 10, "test": 6}, "the first five and three of each class"
    again = Transfer((Target("all", Planted(), most=60),), k=1, c=1.0)(_trained())
    assert again["images"]["all"] == {"train": 60, "test": 60}
    with pytest.raises(RecipeError, match="most is 0"):
        Target("none", Planted(), most=0)


def test_first_of_each() -> None:
    labels = torch.tensor([2, 0, -1, 0, 2, 0, 2])
    assert first_of_each(labels, 4).tolist() == [0, 1, 3, 4]
    assert first_of_each(labels, 1).tolist() == [0, 1], "one of each at least"
    assert first_of_each(labels, 100).tolist() == [0, 1, 3, 4, 5, 6]
    part = Restricted(Planted(), per_class=3).load().train
    dataset = Planted().load()
    assert torch.equal(dataset.train.rows(first_of_each(labels=dataset.train.labels, most=6)).images, part.images)  # pyright: ignore[reportArgumentType]


def test_images_are_fitted_as_they_are_asked_for() -> None:
    images = Planted(channels=3, size=16).load().train.images
    whole = sources.fit_images(images, 8)
    fitted = transfer._fitted(Target("coloured", Planted(channels=3, size=16)), 8, None).train
    assert not isinstance(fitted.images, torch.Tensor), "none is there before"
    assert fitted.images.shape == (60, 3, 8, 8)
    assert torch.equal(fitted.images[:], whole)
    assert torch.equal(fitted.images[7:9], whole[7:9])
    grey = transfer._fitted(Target("grey", Planted(channels=3, size=16)), 8, 1).train.images
    assert torch.equal(
        grey[:], sources.fit_images(sources.in_channels(Planted(channels=3, size=16).load().train.images, 1), 8)
    )


# ---------------------------------------------------------------- what needs no training


def test_what_needs_no_training_is_asked_at_one_place() -> None:
    here, there = _trained(), _trained(place={"method": "supcon"})
    floor, bare = floors_of(partial(Transfer, (GOOD, BAD), k=1, c=1.0), {"method": "simclr"}, (3, 4))
    assert (floor.name, bare.name) == ("floor", "pixels")
    assert not floor.wanted(there.cell)
    cells = [replace(here.cell, seed=seed) for seed in (3, 4)]
    assert [[one.wanted(cell) for cell in cells] for one in (floor, bare)] == [[True, True], [True, False]]
    assert set(floor(here)) == {"untrained"}
    assert set(Transfer((GOOD, BAD), k=1, c=1.0)(here)) == {"learned", "images"}
    assert bare(here) == Transfer((GOOD, BAD), "pixels", k=1, c=1.0)(here)
    assert isinstance(floor, Evaluator)
    assert part_from_json(part_to_json(floor)) == floor


def test_an_answer_is_the_same_wherever_it_is_asked_for(tmp_path: Path) -> None:
    asked = Transfer((GOOD,), "untrained")
    places = [Only(asked, (("method", name),), seed) for name, seed in (("simclr", 0), ("simlap", None))]
    assert len({answer_of(tmp_path, one) for one in (asked, *places)}) == 1
    assert answer_of(tmp_path, asked) != answer_of(tmp_path, replace(asked, k=3))
    with_gates = Only(Looking(), (), None)
    assert not with_gates.wanted(_trained().cell), "as the evaluator wants"


def test_the_untrained_encoder_is_the_runs_own() -> None:
    """With another one than the learned: both are read, each under its name."""
    trained = _trained(seed=5)
    target = (Target("digits", Digits(10), most=200, tested=100),)
    swapped = Read(trained.cell, trained.untrained, trained.model)
    one, other = (
        [Transfer(target, of, c=0.1)(run)[of] for of in ("learned", "untrained")] for run in (trained, swapped)
    )
    assert one == other[::-1] != other


def test_pixels_are_of_the_datas_own_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def spied(split: Split, dataset: Dataset) -> Any:
        seen.append(tuple(split.images.shape[1:]))
        return pixels(split, dataset)

    monkeypatch.setattr(transfer, "pixels", spied)
    target = Target("colour once", Planted(channels=3, size=16))
    found = Transfer((target,), "pixels", k=1, c=1.0)(_trained(0))
    assert seen == [(3, 8, 8), (3, 8, 8)], "train and test"
    right = {"probe": 1.0, "knn": 1.0}
    assert found == {"pixels": {"colour once": right, "mean": right}}


@pytest.mark.parametrize("source", [Planted(labelled=False), Planted(tested=False)])
def test_without_labelled_test_images_nothing_is_judged(source: Planted) -> None:
    with pytest.raises(SourceError, match="no labelled test images"):
        Transfer((Target("none", source),))(_trained())


# ---------------------------------------------------------------- how they are named


def test_targets_of_the_command_line(tmp_path: Path) -> None:
    glyphs = tmp_path / "glyphs.npz"
    given = (
        f"cifar10={tmp_path}, emnist:letters={tmp_path / 'letters'},"
        f"arrays={glyphs};labels=alphabet/character;size=28, idx={tmp_path / 'signs'};label_offset=1;most=500;"
        "tested=70,"
    )
    first, second, third, fourth = targets_of(given)
    assert (first.label, first.source) == ("cifar10", Cifar("cifar10", str(tmp_path)))
    assert (second.label, second.most, second.tested) == ("emnist:letters", 10_000, None)
    assert isinstance(second.source, Idx)
    assert third == Target("glyphs", Arrays(str(glyphs), size=28, labels="alphabet/character"))
    assert (fourth.label, fourth.most, fourth.tested) == ("signs", 500, 70)
    assert cast(Idx, fourth.source).label_offset == 1


def test_targets_of_a_path_and_of_values(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (found,) = targets_of(str(tmp_path / "photos"))
    assert found.label == "photos"
    assert targets_of([GOOD, "digits", BAD]) == (GOOD, Target("digits", Digits()), BAD)
    assert targets_of("") == targets_of(()) == ()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("cifar11=x", "no source 'cifar11'"),
        ("digits;size", "write it as size=VALUE"),
        ("digits;colour=red", "takes no colour"),
        ("digits;most=many", "no number of images"),
        ("digits,digits;size=9", "each data set once"),
        ("arrays=mean.npz", "called mean"),
        ("arrays", "needs to know where"),
    ],
)
def test_what_is_no_target(given: str, match: str) -> None:
    with pytest.raises(CounterpointError, match=match):
        targets_of(given)
