"""What an encoder is worth on data that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from counterpoint import sources
from counterpoint.embed import embed, pixels
from counterpoint.errors import RecipeError, SourceError
from counterpoint.evaluation import knn_accuracy, linear_probe
from counterpoint.model import Model
from counterpoint.sources.ondemand import OnDemand
from counterpoint.studies.restricted import first_of_each
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings, Source, Split

__all__ = ["Judged", "Target", "Transfer", "targets_of"]

Judged = Literal["learned", "untrained", "pixels"]
MOST = 10_000  # training images of a target, equally many of each class
NEIGHBOURS = 10


@dataclass(frozen=True)
class Target:
    """A data set that encoders are judged on.

    Args:
        label: on pages.
        source: of its images, which are brought to the encoder's size and channels.
        most: of its training images, the first of each class, as near as whole classes allow.
        tested: of its test images, likewise; None: all.
    """

    label: str
    source: Source
    most: int = MOST
    tested: int | None = None

    def __post_init__(self) -> None:
        if self.most < 1 or (self.tested is not None and self.tested < 1):
            raise RecipeError(f"target {self.label!r}: most is {self.most} and tested {self.tested}; give 1 or more")


@dataclass(frozen=True)
class Transfer:
    """Linear probe and k nearest neighbours of h, on data sets that the encoder was not trained on.

    The answer has, under the word for what is judged, `probe` and `knn` of each target, shares of the test images, and
    under `mean` their mean over the targets; of a learned encoder also, under `images`, the images of each.

    Raw pixels are those of the encoder's size in the data's own channels. No run has a part in them, so that one is
    asked for all.

    Source: Wu et al. 2024 for the two measures and k = 10, whose votes are not printed: here weighted by similarity, as
    in the protocol.

    Args:
        targets: in the order of the page.
        of: what is judged: the encoder, the same with the weights that it began with, or raw pixels.
        k: neighbours.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    targets: tuple[Target, ...]
    of: Judged = "learned"
    k: int = NEIGHBOURS
    c: float | None = None

    @property
    def name(self) -> str:
        """`transfer`, `floor` or `pixels`."""
        return {"learned": "transfer", "untrained": "floor", "pixels": "pixels"}[self.of]

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where a target has no labels or no test images."""
        facts, seed = trained.model.facts, trained.cell.seed
        if self.of == "pixels":
            found = {target.label: _of_pixels(target, facts.size, self.k, self.c) for target in self.targets}
            return {self.of: _with_mean(found)}
        model = trained.model if self.of == "learned" else trained.untrained
        answer: dict[str, Any] = {self.of: _of_model(model, self.of, self.targets, self.k, self.c, seed)}
        if self.of == "learned":
            every = {target.label: _first(target) for target in self.targets}
            answer["images"] = {label: {"train": len(d.train), "test": len(d.test)} for label, d in every.items()}
        return answer


def _of_model(
    model: Model, name: str, targets: Sequence[Target], k: int, c: float | None, seed: int
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for target in targets:
        data = _fitted(target, model.facts.size, model.facts.channels)
        train, test = (embed(model, split, data, encoder=name) for split in (data.train, data.test))
        found[target.label] = _judged(train, test, k, c, seed)
    return _with_mean(found)


def _with_mean(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    every = list(found.values())
    return {**found, "mean": {key: sum(one[key] for one in every) / len(every) for key in ("probe", "knn")}}


def _judged(train: Embeddings, test: Embeddings, k: int, c: float | None, seed: int) -> dict[str, float]:
    return {
        "probe": linear_probe(train, test, c=c, seed=seed).accuracy,
        "knn": knn_accuracy(train.labelled(), test, k=k),
    }


def _of_pixels(target: Target, size: int, k: int, c: float | None) -> dict[str, float]:
    data = _fitted(target, size, None)
    train, test = (pixels(split, data) for split in (data.train, data.test))
    return _judged(train, test, k, c, 0)


def _fitted(target: Target, size: int, channels: int | None) -> Dataset:
    """A target's data as an encoder of that size and those channels takes it; None: in its own.

    Images are brought to it as they are asked for, since several sets of photos at that size would fill the memory.
    """
    whole = _first(target)

    def fit(split: Split) -> Split:
        images = split.images

        def read(rows: Tensor) -> Tensor:
            some = images[rows]
            return sources.fit_images(some if channels is None else sources.in_channels(some, channels), size)

        side = (channels or images.shape[1], size, size)
        fitted = OnDemand(read, torch.arange(len(split)), side, f"{whole.name} at {size} px")
        return replace(split, images=fitted, views=())

    return replace(whole, train=fit(whole.train), test=fit(whole.test), unlabelled=None)


@lru_cache(maxsize=8)
def _first(target: Target) -> Dataset:
    """A target's data, as many of its images as are looked at."""
    whole = target.source.load()
    if whole.train.labels is None or whole.test.labels is None or not len(whole.test):
        raise SourceError(f"transfer is judged by labels, but {whole.name!r} has no labelled test images")
    train, test = (
        split if most is None or len(split) <= most else split.rows(first_of_each(split.labels, most))
        for split, most in ((whole.train, target.most), (whole.test, target.tested))
        if split.labels is not None
    )
    return replace(whole, train=train, test=test, unlabelled=None)


def targets_of(given: str | Sequence[str | Target]) -> tuple[Target, ...]:
    """Targets from `cifar10=DATA/cifar10, emnist:letters=DATA/letters, arrays=DATA/glyphs.npz;labels=character`.

    Args:
        given: words separated by commas: a source's name or a path, `=` and where its files are, and after `;` further
            fields of the source, or `most` and `tested`; or several words or targets.

    Raises:
        CounterpointError: no such source, a field that it does not take, or two of one label.

    Example:
        >>> targets_of("digits=;size=16;most=500")
        (Target(label='digits', source=Digits(size=16, test_share=0.2), most=500, tested=None),)
    """
    words = given.split(",") if isinstance(given, str) else given
    found: list[Target] = []
    for word in words:
        if isinstance(word, Target):
            found.append(word)
        elif word.strip():
            found.append(_target(word.strip()))
    labels = [*(target.label for target in found), "mean"]
    if len(set(labels)) < len(labels):
        told = ", ".join(labels[:-1])
        raise RecipeError(f"targets: {told} are not all different, or one is called mean; give each data set once")
    return tuple(found)


def _target(word: str) -> Target:
    first, *more = word.split(";")
    name, _, root = (part.strip() for part in first.partition("="))
    fields: dict[str, Any] = {}
    for field in more:
        key, equals, value = (part.strip() for part in field.partition("="))
        if not equals:
            raise RecipeError(f"targets: {field!r} of {word!r} is no field; write it as {key}=VALUE")
        fields[key] = int(value) if value.isdigit() else value
    own = {key: fields.pop(key) for key in ("most", "tested") if key in fields}
    for key, value in own.items():
        if not isinstance(value, int):
            raise RecipeError(f"targets: {key}={value} of {word!r} is no number of images")
    source = sources.lookup(name, root=root or None, **fields)
    label = Path(root).stem if name in ("arrays", "parquet", "folder", "idx") and root else Path(name).stem
    return Target(label, source, **own)
