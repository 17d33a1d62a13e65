"""What is asked of every net: how well super-classes are read from its layers, and by which classifier."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from counterpoint.errors import SourceError
from counterpoint.evaluation.linear_heads import Converged, Passes, Training, fit_classes, fit_heads
from counterpoint.evaluation.principal import principal
from counterpoint.evaluation.super_class import (
    SuperClassErrors,
    balanced_rows,
    every_subset,
    multi_class_error,
    random_subsets,
    subset_errors,
)
from counterpoint.heads import Identity
from counterpoint.model import Model
from counterpoint.studies.conjecture import NETS, PART
from counterpoint.studies.layers import layers
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset

__all__ = [
    "METHODS",
    "OPEN",
    "VARIANTS",
    "Layers",
    "MultiClass",
    "Sensitivity",
    "SuperClasses",
    "sets_of",
]

METHODS = ("contrastive", "supervised")
"""The cells' places: `part` is the conjecture's `NETS`, `method` one of these."""

OPEN = "left open"
"""In the place of nets that differ from the paper's in one choice: `part` is this, `change` says in which."""

EVERY = 10  # classes, up to which all subsets are asked

VARIANTS: Mapping[str, Training] = {
    "features as they come": Passes(standardise=False),
    "rate 0.0001": Passes(lr=1e-4),
    "rate 0.01": Passes(lr=1e-2),
    "batches of 64": Passes(batch_size=64),
    "batches of 1,000": Passes(batch_size=1000),
    "1 epoch": Passes(epochs=1),
    "30 epochs": Passes(epochs=30),
    "converged, C = 0.01": Converged(c=0.01),
}
"""What the paper leaves open, one at a time; the choice itself and C = 1 are evaluators of their own."""


def sets_of(classes: int, count: int, seed: int) -> Bool[Tensor, "class head"]:
    """Every subset of up to ten classes, the trivial ones among them; random ones of more.

    Args:
        classes: of the data.
        count: of random sets.
        seed: of their draw.
    """
    return every_subset(classes) if classes <= EVERY else random_subsets(classes, count, seed)


def _numbers(members: Tensor) -> list[int]:
    """Each set as an integer, class 0 the highest bit."""
    classes = len(members)
    places = 2 ** torch.arange(classes - 1, -1, -1)
    return (members.long() * places[:, None]).sum(0).tolist()


def _labels(dataset: Dataset) -> tuple[Int64[Tensor, " image"], Int64[Tensor, " test"]]:
    """Of the training and of the test images."""
    for side, split in (("training", dataset.train), ("test", dataset.test)):
        if split.labels is None or not bool((split.labels >= 0).any()):
            raise SourceError(
                f"super-classes are sets of classes, but the {side} images of {dataset.name!r} have no labels"
            )
    assert dataset.train.labels is not None
    assert dataset.test.labels is not None
    return dataset.train.labels, dataset.test.labels


def _known(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose class is known, and their classes."""
    return rows[labels >= 0], labels[labels >= 0]


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


def summary(found: SuperClassErrors, threshold: float) -> dict[str, float | None]:
    """The study's numbers. The share `below` counts the trivial sets, as the paper does; means leave them out.

    Args:
        found: of all sets.
        threshold: the multi-class error that they are held against.
    """
    proper = ~found.trivial
    classes, heads = found.members.shape
    # Of a set and its complement the one without class 0, where all sets are there.
    single = proper & ~found.members[0] & (heads == 2**classes)

    def share(kept: Tensor) -> float | None:
        return float((found.error[kept] < threshold).double().mean()) if bool(kept.any()) else None

    def mean(values: Tensor) -> float | None:
        return float(values[proper].mean()) if bool(proper.any()) else None

    return {
        "multi-class": threshold,
        "below": found.better_than(threshold),
        "below, proper": share(proper),
        "below, dichotomies": share(single),
        "error": mean(found.error),
        "worst": float(found.error.max()),
        "balanced error": mean(found.balanced_error),
        "mcc": mean(found.mcc),
        "loss": float(found.loss.mean()),
        "gradient": float(found.gradient.max()),
    }


def _asked(
    train: Tensor, test: Tensor, labels: tuple[Tensor, Tensor], members: Tensor, training: Training, seed: int
) -> tuple[SuperClassErrors, float]:
    """The super-class errors of some features and their multi-class error, both by the same training."""
    (x, y), (seen, truth) = _known(train, labels[0]), _known(test, labels[1])
    threshold = multi_class_error(x, seen, y, truth, training=training, seed=seed)
    heads = fit_heads(x, y, members, training, seed=seed)
    return subset_errors(heads, seen, truth, members), threshold


# ---------------------------------------------------------------- the paper's question


@dataclass(frozen=True)
class SuperClasses:
    """Every super-class, read from the representation h of a net of the paper's.

    The answer holds the study's numbers, and in `each` one entry for each set: `error`, `balanced error`, `mcc`, `size`
    (classes), `share` (of the test images) and `set`, its number, with class 0 as the highest bit.

    Args:
        training: of the heads and of the multi-class classifier that they are held against.
        balanced: on equally many images of each class, as many as the rarest has.
        count: of random sets, for data of more than ten classes.
        seed: of these.
    """

    training: Training = field(default_factory=Passes)
    balanced: bool = False
    count: int = 1000
    seed: int = 0

    @property
    def name(self) -> str:
        """`super-classes`, and what differs from the paper's protocol."""
        converged = "-converged" if isinstance(self.training, Converged) else ""
        return f"super-classes{converged}{'-balanced' if self.balanced else ''}"

    def wanted(self, cell: Cell) -> bool:
        """The nets of the paper; by its own protocol also those of what it leaves open, and the one they start from."""
        place = cell.place
        if place.get("part") == NETS:
            return True
        chosen = place.get("part") == PART and (place["images"], place["policy"]) == ("grey", "elastic")
        return (chosen or place.get("part") == OPEN) and self.name == "super-classes"

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no labels."""
        return self.read(trained.train.h, trained.test.h, trained.dataset, seed=trained.cell.seed)

    def read(
        self, train: Float[Tensor, "row width"], test: Float[Tensor, "other width"], dataset: Dataset, *, seed: int
    ) -> dict[str, Any]:
        """The same of any features of the training and of the test images.

        Args:
            train: features of the training images.
            test: of the test images, as wide.
            dataset: of the images, with labels.
            seed: of the classifiers.

        Raises:
            SourceError: there are no labels.
        """
        labels = _labels(dataset)
        rows = train, test
        if self.balanced:
            kept = [balanced_rows(own, seed=self.seed) for own in labels]
            labels = labels[0][kept[0]], labels[1][kept[1]]
            rows = rows[0][kept[0]], rows[1][kept[1]]
        members = sets_of(len(dataset.classes), self.count, self.seed)
        found, threshold = _asked(*rows, labels, members, self.training, seed)
        return {
            **summary(found, threshold),
            "steps": found.steps,
            "train images": len(labels[0]),
            "test images": len(labels[1]),
            "classes": list(dataset.classes),
            "source": dataset.name,
            "each": {
                "set": _numbers(members),
                "size": found.classes.tolist(),
                "share": _rounded(found.share),
                "error": found.error.tolist(),
                "balanced error": _rounded(found.balanced_error),
                "mcc": _rounded(found.mcc),
            },
        }


# ---------------------------------------------------------------- where, and by which classifier


def _output(model: Model, named: Mapping[str, Tensor]) -> Tensor | None:
    """z, or the logits of learned centres; None where there is neither."""
    if "z" in named:
        return named["z"]
    centres = getattr(model.negatives, "layer", None)
    if not isinstance(centres, nn.Linear):
        return None
    with torch.no_grad():
        return centres(named["h"])


@dataclass(frozen=True)
class Layers:
    """The paper's classifiers on the layers beside h, on pixels, on their principal components, and on random weights.

    There are as many principal components as h has numbers, where pixels allow it. What training does not change is
    read once for each seed: for nets that have a projector.

    Args:
        training: of the heads and of the multi-class classifier.
        count, seed: as in `SuperClasses`.
    """

    training: Training = field(default_factory=Passes)
    count: int = 1000
    seed: int = 0

    name = "layers"

    def wanted(self, cell: Cell) -> bool:
        """The nets of the paper."""
        return cell.place.get("part") == NETS

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The study's numbers for each layer, and under `each` the error of every set."""
        dataset: Dataset = trained.dataset
        labels = _labels(dataset)
        members = sets_of(len(dataset.classes), self.count, self.seed)
        answer: dict[str, Any] = {}
        for layer, train, test in self._rows(trained):
            found, threshold = _asked(train, test, labels, members, self.training, trained.cell.seed)
            answer[layer] = {**summary(found, threshold), "width": train.shape[1], "each": found.error.tolist()}
        return answer

    def _rows(self, trained: Trained) -> Iterator[tuple[str, Float[Tensor, "row width"], Float[Tensor, "row width"]]]:
        dataset: Dataset = trained.dataset
        images = dataset.train.images, dataset.test.images
        train, test = (layers(trained.model, side) for side in images)
        for layer in (name for name in train if name.startswith("hidden")):
            yield layer, train[layer], test[layer]
        output = _output(trained.model, train), _output(trained.model, test)
        if output[0] is not None and output[1] is not None:
            yield "output", output[0], output[1]
        if isinstance(trained.recipe.heads.projector, Identity):
            return
        yield "pixels", train["pixels"], test["pixels"]
        yield "PCA", *principal(train["pixels"], test["pixels"], train["h"].shape[1])
        del train, test
        before, after = (layers(trained.untrained, side) for side in images)
        for layer in (name for name in before if name.startswith("hidden") or name == "h"):
            yield f"untrained {layer}", before[layer], after[layer]


@dataclass(frozen=True)
class Sensitivity:
    """The same question of h by other classifiers: what the paper leaves open, one change at a time.

    Args:
        variants: names of `VARIANTS`.
        count, seed: as in `SuperClasses`.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    count: int = 1000
    seed: int = 0

    name = "sensitivity"

    def wanted(self, cell: Cell) -> bool:
        """The nets of the paper."""
        return cell.place.get("part") == NETS

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The study's numbers for each variant."""
        dataset: Dataset = trained.dataset
        labels = _labels(dataset)
        members = sets_of(len(dataset.classes), self.count, self.seed)
        answer: dict[str, Any] = {}
        for variant in self.variants:
            rows = trained.train.h, trained.test.h
            found, threshold = _asked(*rows, labels, members, VARIANTS[variant], trained.cell.seed)
            answer[variant] = summary(found, threshold)
        return answer


@dataclass(frozen=True)
class MultiClass:
    """The paper's multi-class classifier on h, and which test images it gets wrong.

    Args:
        of: the part of the grid whose cells are asked.
        training: of the classifier.
    """

    of: str
    training: Training = field(default_factory=Passes)

    name = "multi-class"

    def wanted(self, cell: Cell) -> bool:
        """Nets of grey images, each trained under a policy of its own."""
        return cell.place.get("part") == self.of and cell.place.get("images", "grey") == "grey"

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The error, and the positions of the wrong answers among the labelled test images."""
        dataset: Dataset = trained.dataset
        labels = _labels(dataset)
        (x, y), (seen, truth) = _known(trained.train.h, labels[0]), _known(trained.test.h, labels[1])
        heads = fit_classes(x, y, len(dataset.classes), self.training, seed=trained.cell.seed)
        wrong = heads.logits(seen).argmax(1) != truth
        return {"error": float(wrong.double().mean()), "images": len(truth), "wrong": wrong.nonzero()[:, 0].tolist()}
