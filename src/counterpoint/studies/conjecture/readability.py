"""How far views leave an attribute alone, and how well it can be read from a frozen net."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from counterpoint.evaluation.auroc import auroc
from counterpoint.evaluation.ridge import fit_ridge, r_squared
from counterpoint.random import Streams
from counterpoint.studies.attributes import ATTRIBUTES, measure
from counterpoint.studies.layers import layers
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Images, Split

__all__ = ["NETS", "PART", "Invariance", "Readability", "intraclass", "scores"]

PART = "policies"
"""In the place of the grid's cells: `part` is this, `images` is grey or tinted, `policy` is its name."""

NETS = "paper"
"""In the place of the paper's two nets: `part` is this, `method` is contrastive or supervised."""


BINARY = frozenset(attribute.name for attribute in ATTRIBUTES if attribute.kind == "binary")


def intraclass(values: Float64[Tensor, "image view part"], labels: Int64[Tensor, " image"] | None = None) -> float:
    """Agreement of the views of an image: the share of all variance that lies between images; 1 is invariant.

    ICC(1) = (B - W) / (B + (k - 1) W), with B and W the mean squares between the images and within them, k views.
    Views that agree no better than those of two images do give 0, and chance may give a little less.

    Source: Shrout & Fleiss 1979, ICC(1, 1); of an attribute of several parts the squares are summed.

    Args:
        values: of an attribute; at least two views of two images.
        labels: where given, the means of the classes are taken off first.

    Returns:
        nan where nothing varies.

    Example:
        >>> intraclass(torch.tensor([[[1.0], [1.0]], [[5.0], [5.0]]]).double())
        1.0
    """
    n, k, _ = values.shape
    image = values.mean(1)
    if labels is None:
        between, groups = image - image.mean(0), 1
    else:
        means, present = _class_means(image, labels)
        between, groups = image - means[labels], int(present.sum())
    within = ((values - image[:, None]) ** 2).sum() / (n * (k - 1))
    spread = k * (between**2).sum() / max(1, n - groups)
    whole = float(spread + (k - 1) * within)
    return float(spread - within) / whole if whole > 1e-18 else math.nan


def _class_means(
    values: Float64[Tensor, "row part"], labels: Int64[Tensor, " row"]
) -> tuple[Float64[Tensor, "class part"], Bool[Tensor, " class"]]:
    count = torch.bincount(labels)
    sums = values.new_zeros(len(count), values.shape[1]).index_add_(0, labels, values)
    return sums / count.clamp(min=1)[:, None], count > 0


def _some(split: Split, most: int, seed: int) -> tuple[Tensor, Int64[Tensor, " image"] | None]:
    """So many images of a split, drawn by the seed, and their labels where all are known."""
    index = Streams(seed).at("attributes", len(split)).permutation(len(split))[:most].sort().values
    images = split.images[index]
    assert isinstance(images, Tensor)
    labels = None if split.labels is None else split.labels[index]
    return images, None if labels is None or bool((labels < 0).any()) else labels


_measured: WeakKeyDictionary[Split, dict[tuple[int, int], dict[str, Tensor]]] = WeakKeyDictionary()


def _originals(split: Split, images: Tensor, seed: int) -> Mapping[str, Tensor]:
    """Attributes of so many images that `_some` drew of a split: measured once, and kept as long as the split is."""
    known = _measured.setdefault(split, {})
    asked = len(images), seed
    if asked not in known:
        known[asked] = measure(images)
    return known[asked]


def _number(value: float) -> float | None:
    """JSON knows no nan."""
    return None if math.isnan(value) else value


@dataclass(frozen=True)
class Invariance:
    """How well the views that a cell is trained with agree on each attribute.

    For each attribute: `icc` over several views of an image, each drawn by the cell's own policy (`intraclass`), the
    same `within class`, and `original`, the correlation of a view with its original.

    Args:
        cells: the parts of the study that are evaluated.
        views: of each image, at least 2.
        images: of the training split, drawn by the seed.
        seed: of images and views.
    """

    cells: tuple[str, ...] = (PART, NETS)
    views: int = 4
    images: int = 2000
    seed: int = 0

    @property
    def name(self) -> str:
        """In answers."""
        return "invariance"

    def wanted(self, cell: Cell) -> bool:
        """Cells of these parts."""
        return cell.place.get("part") in self.cells

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`attributes`: for each the three agreements; None where nothing varies."""
        images, labels = _some(trained.dataset.train, self.images, self.seed)
        before = _originals(trained.dataset.train, images, self.seed)
        seen = [measure(view) for view in self._views(trained.recipe.views, images)]
        found: dict[str, dict[str, float | None]] = {}
        for name, original in before.items():
            values = torch.stack([view[name] for view in seen], 1)
            found[name] = {
                "icc": _number(intraclass(values)),
                "within class": None if labels is None else _number(intraclass(values, labels)),
                "original": _number(_correlation(original[:, None].expand_as(values), values)),
            }
        return {"images": len(images), "views": self.views, "attributes": found}

    def _views(self, policies: Any, images: Tensor) -> Iterator[Tensor]:
        made = 0
        for draw in range(self.views):
            for view in policies(images, Streams(self.seed).at("invariance", draw)):
                if made < self.views:
                    made += 1
                    yield view


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, the parts of a vector taken together."""
    one, other = (x - x.mean((0, 1)) for x in (one, other))
    norm = float(one.norm() * other.norm())
    return float((one * other).sum()) / norm if norm > 1e-9 else math.nan


@dataclass(frozen=True)
class Readability:
    """How well a linear map reads each attribute from each layer, and from the net before training.

    For each attribute and layer: `r2`, the share of its variance on test images that ridge regression reads;
    `within class`, the same with the class means of the training images taken off features and attribute, since what
    follows from the class alone can be read wherever the class can; of binary ones also `auroc`.

    Args:
        cells: the parts of the study that are evaluated.
        train: images that the regression is fitted on, drawn by the seed.
        test: images that it is scored on, drawn by the seed.
        seed: of the images, and of those that choose the penalty.
    """

    cells: tuple[str, ...] = (PART, NETS)
    train: int = 10_000
    test: int = 5_000
    seed: int = 0

    @property
    def name(self) -> str:
        """In answers."""
        return "readability"

    def wanted(self, cell: Cell) -> bool:
        """Cells of these parts."""
        return cell.place.get("part") in self.cells

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`layers` in order, and `attributes`: for each and each layer the scores; None where nothing varies."""
        (fit, fit_labels), (held, held_labels) = (
            _some(split, most, self.seed)
            for split, most in ((trained.dataset.train, self.train), (trained.dataset.test, self.test))
        )
        known = (fit_labels, held_labels) if fit_labels is not None and held_labels is not None else None
        told = _originals(trained.dataset.train, fit, self.seed)
        truth = _originals(trained.dataset.test, held, self.seed)
        found: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in told}
        names: list[str] = []
        for layer, rows, test_rows in _features(trained, fit, held):
            names.append(layer)
            for name, read in scores(rows, test_rows, told, truth, known, self.seed).items():
                found[name][layer] = read
        return {"train": len(fit), "test": len(held), "layers": names, "attributes": found}


def scores(
    rows: Float[Tensor, "row width"],
    test_rows: Float[Tensor, "test width"],
    told: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    classes: tuple[Int64[Tensor, " row"], Int64[Tensor, " test"]] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float | None]]:
    """How well each attribute is read: `r2`, `within class` where classes are known, `auroc` where it is binary.

    Args:
        rows: features to fit on.
        test_rows: features to score on.
        told: attributes of the rows, each with one column or more.
        truth: those of the test rows.
        classes: of the rows and of the test rows; test rows of a class without rows are left out within classes.
        seed: of the rows that choose the penalty.
    """
    numbers, test_numbers = torch.cat(list(told.values()), 1), torch.cat(list(truth.values()), 1)
    read = fit_ridge(rows, numbers, seed=seed).read(test_rows)
    inner = None
    if classes is not None:
        labels, test_labels = classes
        means, present = _class_means(rows.double(), labels)
        centres, _ = _class_means(numbers, labels)
        kept = test_labels < len(present)
        kept &= present[test_labels.clamp(max=len(present) - 1)]
        ridge = fit_ridge(rows.double() - means[labels], numbers - centres[labels], seed=seed)
        test_labels = test_labels[kept]
        inner = ridge.read(test_rows[kept].double() - means[test_labels]), test_numbers[kept] - centres[test_labels]
    found: dict[str, dict[str, float | None]] = {}
    first = 0
    for name, values in truth.items():
        columns = slice(first, first := first + values.shape[1])
        found[name] = {"r2": _number(r_squared(read[:, columns], values))}
        if inner is not None:
            zero = values.new_zeros(values.shape[1])
            found[name]["within class"] = _number(r_squared(inner[0][:, columns], inner[1][:, columns], zero))
        if name in BINARY:
            found[name]["auroc"] = _number(auroc(read[:, columns][:, 0], values[:, 0] > 0.5))
    return found


def _features(trained: Trained, fit: Tensor | Images, held: Tensor | Images) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Layer by layer: its name, and what it makes of both; of the untrained net what lies above the pixels."""
    for prefix, model in (("", trained.model), ("untrained ", trained.untrained)):
        train, test = layers(model, fit), layers(model, held)
        for layer in train:
            if not prefix or layer not in ("pixels", "z"):
                yield prefix + layer, train[layer], test[layer]
