"""What an encoder is worth on data that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from counterpoint import sources
from counterpoint.embed import embed, pixels
from counterpoint.errors import RecipeError, SourceError
from counterpoint.evaluation import knn_accuracy, linear_probe
from counterpoint.model import Model
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings, Source, Split

__all__ = ["Target", "Transfer", "targets_of"]

MOST = 10_000  # training images of a target, equally many of each class
NEIGHBOURS = 10


@dataclass(frozen=True)
class Target:
    """A data set that encoders are judged on.

    Args:
        label: on pages.
        source: of its images, which are brought to the encoder's size and channels.
        most: of its training images, as near as whole classes allow.
    """

    label: str
    source: Source
    most: int = MOST


@dataclass(frozen=True)
class Transfer:
    """Linear probe and k nearest neighbours of h, on data sets that the encoder was not trained on.

    The answer has, for each encoder and each target, `probe` and `knn`, shares of the test images; under `mean` their
    mean over the targets; under `images` the images of each.

    Source: Wu et al. 2024 for the two measures and k = 10, whose votes are not printed: here weighted by similarity, as
    in the protocol.

    Args:
        targets: in the order of the page.
        at: the place at which raw pixels and the untrained encoder are judged too, in pairs of axis and value; none:
            nowhere.
        k: neighbours.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    targets: tuple[Target, ...]
    at: tuple[tuple[str, str], ...] = ()
    k: int = NEIGHBOURS
    c: float | None = None

    name = "transfer"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where a target has no labels or no test images."""
        facts, seed = trained.model.facts, trained.cell.seed
        place = trained.cell.place
        bare = bool(self.at) and all(place.get(axis) == value for axis, value in self.at)
        answer: dict[str, Any] = {"images": {}}
        encoders: list[tuple[str, Model | None]] = [("learned", trained.model)]
        encoders += [("untrained", trained.untrained), ("pixels", None)] if bare else []
        for target in self.targets:
            data = _fitted(target, facts.size, facts.channels)
            answer["images"][target.label] = {"train": len(data.train), "test": len(data.test)}
            for name, model in encoders:
                train, test = (_rows(model, split, data) for split in (data.train, data.test))
                answer.setdefault(name, {})[target.label] = {
                    "probe": linear_probe(train, test, c=self.c, seed=seed).accuracy,
                    "knn": knn_accuracy(train, test, k=self.k),
                }
        for name, _ in encoders:
            every = list(answer[name].values())
            answer[name]["mean"] = {key: sum(one[key] for one in every) / len(every) for key in ("probe", "knn")}
        return answer


def _rows(model: Model | None, split: Split, data: Dataset) -> Embeddings:
    return pixels(split, data) if model is None else embed(model, split, data)


@lru_cache(maxsize=8)
def _fitted(target: Target, size: int, channels: int) -> Dataset:
    """A target's data as an encoder of that size and those channels takes it."""
    source = target.source
    whole = source.load()
    if whole.train.labels is None or whole.test.labels is None or not len(whole.test):
        raise SourceError(f"transfer is judged by labels, but {whole.name!r} has no labelled test images")
    if len(whole.train) > target.most:
        whole = Restricted(source, per_class=max(1, target.most // len(whole.classes))).load()

    def fit(split: Split) -> Split:
        images = sources.fit_images(sources.in_channels(split.images[:], channels), size)
        return replace(split, images=images, views=())

    return replace(whole, train=fit(whole.train), test=fit(whole.test), unlabelled=None)


def targets_of(given: str | Sequence[Target]) -> tuple[Target, ...]:
    """Targets from `cifar10=DATA/cifar10, emnist:letters=DATA/letters, arrays=DATA/glyphs.npz;labels=character`.

    Args:
        given: words separated by commas: a source's name or a path, `=` and where its files are, and after `;` further
            fields of the source.

    Raises:
        CounterpointError: no such source, or a field that it does not take.
    """
    if not isinstance(given, str):
        return tuple(given)
    found: list[Target] = []
    for word in filter(None, (part.strip() for part in given.split(","))):
        first, *more = word.split(";")
        name, _, root = first.partition("=")
        fields: dict[str, Any] = {}
        for field in more:
            key, equals, value = field.partition("=")
            if not equals:
                raise RecipeError(f"targets: {field!r} of {word!r} is no field; write it as {key}=VALUE")
            fields[key] = int(value) if value.isdigit() else value
        source = sources.lookup(name.strip(), root=root or None, **fields)
        label = name if name not in ("arrays", "parquet", "folder", "idx") else Path(root).stem
        found.append(Target(label.strip(), source))
    labels = [target.label for target in found]
    if len(set(labels)) < len(labels):
        raise RecipeError(f"targets: {', '.join(labels)} are not all different; give each data set once")
    return tuple(found)
