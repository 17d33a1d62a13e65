"""How alike classes are by their gates, their images and their embeddings, and inside a few dimensions of a gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.embed import embed
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.negatives import Gates
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit
from counterpoint.studies.simlap.classes import (
    GATED,
    class_cosines,
    class_pairs,
    gates_of,
    kin_scores,
    pairs_of_classes,
    super_of,
    unrelated,
)
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Embeddings

__all__ = ["MEASURES", "SETS", "SPACES", "Inside", "Likeness", "gap", "threshold_cosines", "top_dimensions"]

MEASURES = {
    "gates": "gates above .5, cosine",
    "features": "images, mean cosine of h",
    "embeddings": "label embeddings, cosine",
}
SPACES = {
    "whole": "all dimensions of z",
    "own": "those most open for the classes",
    "other": "those most open for other classes",
    "random": "random dimensions",
}
SETS = {
    "supers": "super-classes",
    "drawn": "as many unrelated classes",
    "kin": "pairs of one super-class",
    "unrelated": "pairs of two super-classes",
}
MATRICES = 3  # super-classes whose matrices are kept


@dataclass(frozen=True)
class Likeness:
    """How alike each two classes are, by three measures, and whether these know the super-classes.

        matrices   by measure, in thousandths; classes in the data's order
        kin        by measure: mean likeness within and between super-classes, and AUROC as a sign of one super-class
        agreement  rank correlation of each two measures, over pairs of classes
        dot        the same as `kin`, of the count of dimensions above .5 that two gates share

    Gates and label embeddings where there are any; images are test images, of which none is compared with itself.
    Under `untrained` the same, but the matrices, of the weights that the run began with.

    Source: Wu et al. 2024 (SimLAP), similarity of classes.
    """

    name = "likeness"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Plain numbers."""
        dataset = trained.dataset
        bare = embed(trained.untrained, dataset.test, dataset, encoder="untrained")
        first = self.read(trained.untrained, bare)
        return {**self.read(trained.model, trained.test), "untrained": {k: first[k] for k in ("kin", "agreement")}}

    def read(self, model: Model, test: Embeddings) -> dict[str, Any]:
        """Of a model and what it makes of test images.

        Args:
            model: with or without gates.
            test: with labels.
        """
        test = test.labelled()
        assert test.labels is not None
        above = super_of(test)
        alike = {"features": class_cosines(test.h, test.labels, range(len(above)))}
        found: dict[str, Any] = {}
        if isinstance(model.negatives, Gates):
            gates, table = gates_of(model), unit(model.negatives.table.detach().cpu()).double()
            alike = {"gates": threshold_cosines(gates), **alike, "embeddings": table @ table.T}
            opened = (gates > 0.5).double()
            found["dot"] = kin_scores(opened @ opened.T, above)
        return {
            **found,
            "matrices": {name: _thousandths(values) for name, values in alike.items()},
            "kin": {name: kin_scores(values, above) for name, values in alike.items()},
            "agreement": _agreement(alike, above),
        }


def threshold_cosines(gates: Float[Tensor, "class dim"], least: float = 0.5) -> Float64[Tensor, "class class"]:
    """The cosine of which dimensions are open for each two classes; 0 where a class has none.

    Args:
        gates: of the classes.
        least: above which a dimension is open.
    """
    opened = unit((gates > least).double())
    return opened @ opened.T


def _thousandths(values: Float64[Tensor, "class class"]) -> list[list[int | None]]:
    """None where there is no number."""
    return [[None if v != v else round(1000 * v) for v in row] for row in values.tolist()]


def _agreement(alike: Mapping[str, Tensor], above: Int64[Tensor, " class"]) -> dict[str, float | None]:
    from scipy.stats import spearmanr

    pairs, _ = class_pairs(above)
    listed = {name: values[pairs[0], pairs[1]] for name, values in alike.items()}
    found: dict[str, float | None] = {}
    names = list(listed)
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            a, b = listed[one], listed[two]
            there = ~(a.isnan() | b.isnan())
            a, b = a[there], b[there]
            flat = len(a) < 4 or bool((a == a[0]).all()) or bool((b == b[0]).all())
            told: Any = None if flat else spearmanr(a.numpy(), b.numpy())
            found[f"{one} and {two}"] = None if told is None else float(told.statistic)
    return found


# ---------------------------------------------------------------- inside a few dimensions


@dataclass(frozen=True)
class Inside:
    """Whether images of one class and of two lie farther apart in the dimensions that a gate opens most.

    For a set of classes the dimensions of z with the largest gates, mean over its classes, are taken; gates come from
    training, cosines are of test images. The gap of a set is the mean cosine of two images of one class less that of
    two images of two of its classes. By kind of set and by space, means over sets; under `sets` the gaps of each
    super-class, and under `matrices` the classes of the largest ones.

    Source: Wu et al. 2024 (SimLAP), subspaces of super-classes; controls are ours.

    Args:
        top: dimensions that are kept.
        pairs: of classes, of each kind.
    """

    top: int = 10
    pairs: int = 60

    name = "inside"

    def __post_init__(self) -> None:
        if min(self.top, self.pairs) < 1:
            raise RecipeError(f"inside: top={self.top}, pairs={self.pairs}; give numbers of 1 or more")

    def wanted(self, cell: Cell) -> bool:
        """Runs that have gates."""
        return cell.recipe in GATED

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of the learned gates and of those that the run began with, on the learned z both."""
        test, seed = trained.test, trained.cell.seed
        found = self.read(gates_of(trained.model), test, seed)
        first = self.read(gates_of(trained.untrained), test, seed)
        return {**found, "untrained": {kind: first[kind] for kind in SETS}}

    def read(self, gates: Float[Tensor, "class dim"], test: Embeddings, seed: int) -> dict[str, Any]:
        """Of gates and test images.

        Args:
            gates: of all classes.
            test: with labels and z.
            seed: of the sets, the other sets and the random dimensions.
        """
        test = test.labelled()
        assert test.labels is not None
        assert test.z is not None
        above, streams = super_of(test), Streams(seed)
        if test.super_of is None:
            families: list[list[int]] = []
        else:
            families = [torch.nonzero(above == one)[:, 0].tolist() for one in range(len(test.super_classes))]
        families = [one for one in families if len(one) > 1]
        sets = {
            "supers": families,
            "drawn": [unrelated(above, len(one), streams.at("drawn", i)) for i, one in enumerate(families)],
            "kin": [list(pair) for pair in pairs_of_classes(above, "kin", self.pairs)],
            "unrelated": [list(pair) for pair in pairs_of_classes(above, "unrelated", self.pairs)],
        }
        found: dict[str, Any] = {"top": min(self.top, gates.shape[1]), "of": gates.shape[1]}
        for kind, every in sets.items():
            rest = [self._others(own, above, kind, streams.at(f"others, {kind}", i)) for i, own in enumerate(every)]
            gaps = [
                {
                    space: gap(test.z[:, dims], test.labels, own)
                    for space, dims in self._spaces(gates, own, other, streams.at(f"random, {kind}", i)).items()
                }
                for i, (own, other) in enumerate(zip(every, rest, strict=True))
            ]
            # A set some of whose classes have one test image or none has no gap.
            known = [one for one in gaps if all(value == value for value in one.values())]
            found[kind] = {"count": len(known)}
            if known:
                found[kind] |= {space: sum(one[space] for one in known) / len(known) for space in SPACES}
            if kind == "supers":
                found["sets"] = [
                    {"name": test.super_classes[int(above[own[0]])], "classes": len(own), **one}
                    for own, one in zip(every, gaps, strict=True)
                    if one in known
                ]
        largest = sorted(families, key=lambda own: (-len(own), own))[:MATRICES]
        found["matrices"] = [
            {
                "name": test.super_classes[int(above[own[0]])],
                "classes": own,
                "whole": _thousandths(class_cosines(test.z, test.labels, own)),
                "own": _thousandths(class_cosines(test.z[:, top_dimensions(gates, own, self.top)], test.labels, own)),
            }
            for own in largest
        ]
        return found

    def _others(self, own: Sequence[int], above: Int64[Tensor, " class"], kind: str, stream: Stream) -> list[int]:
        """As many classes of another kind of set that has none of these: of one super-class where these are.

        One that has as many goes before one that has fewer, over which means of gates would be sharper.
        """
        rest = [label for label in stream.permutation(len(above)).tolist() if label not in own]
        if kind in ("supers", "kin"):
            families = [one for one in (int(above[label]) for label in rest) if one != int(above[own[0]])]
            enough = [one for one in families if families.count(one) >= len(own)]
            chosen = next(iter(enough), max(families, key=families.count, default=None))
            kin = [label for label in rest if int(above[label]) == chosen]
            rest = kin or rest
        return rest[: len(own)] or list(own)

    def _spaces(
        self, gates: Float[Tensor, "class dim"], own: Sequence[int], other: Sequence[int], stream: Stream
    ) -> dict[str, Int64[Tensor, " kept"]]:
        width = gates.shape[1]
        return {
            "whole": torch.arange(width),
            "own": top_dimensions(gates, own, self.top),
            "other": top_dimensions(gates, other, self.top),
            "random": stream.permutation(width)[: self.top],
        }


def top_dimensions(gates: Float[Tensor, "class dim"], classes: Sequence[int], top: int) -> Int64[Tensor, " kept"]:
    """The dimensions whose gates are largest, mean over some classes; at most all.

    Args:
        gates: of all classes.
        classes: some of them.
        top: how many dimensions.
    """
    return gates[list(classes)].mean(0).argsort(descending=True, stable=True)[:top]


def gap(rows: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], classes: Sequence[int]) -> float:
    """The mean cosine of two rows of one class, less that of two rows of two classes; each class counts alike.

    nan where a class has fewer than two rows.

    Args:
        rows: of any classes.
        labels: of each row.
        classes: at least two; rows of others are left out.
    """
    found = class_cosines(rows, labels, classes)
    off = ~torch.eye(len(classes), dtype=torch.bool)
    return float(found.diagonal().mean() - found[off].mean())
