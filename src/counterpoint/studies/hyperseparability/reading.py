"""The study's numbers, taken from the answers of its cells: one value for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.studies.conjecture import NETS
from counterpoint.studies.hyperseparability.evaluators import METHODS
from counterpoint.studies.statistics import each
from counterpoint.studies.study import Results

__all__ = ["PUBLISHED", "Published", "answers", "below_common", "below_own", "least", "of", "published_of"]

Seeds = dict[int, float]


@dataclass(frozen=True)
class Published:
    """The paper's figures for one data set, by method.

    Args:
        said: what the data set is there.
        error: of the 10-epoch multi-class classifier, on test images.
        below: share of the super-classes with a smaller error than that.
    """

    said: str
    error: Mapping[str, float]
    below: Mapping[str, float]


PUBLISHED = (
    Published(
        "MNIST",
        {"contrastive": 0.014, "supervised": 0.009},
        {"contrastive": 0.93, "supervised": 0.23},
    ),
    Published(
        "balanced EMNIST, 112,800 images of 47 classes",
        {"contrastive": 0.186, "supervised": 0.132},
        {"contrastive": 0.98, "supervised": 0.32},
    ),
)


def published_of(name: str, classes: int) -> Published | None:
    """What the paper gives for data of this name: MNIST, or EMNIST with 47 classes."""
    if name == "mnist" and classes == 10:
        return PUBLISHED[0]
    return PUBLISHED[1] if name.startswith("emnist") and classes == 47 else None


def of(results: Results, method: str, evaluator: str, *path: str) -> Seeds:
    """One number of one of the paper's nets."""
    return results.values(evaluator, *path, part=NETS, method=method)


def answers(results: Results, method: str, evaluator: str) -> dict[int, Mapping[str, Any]]:
    """What an evaluator found of one of the paper's nets, for each seed."""
    found = {result.cell.seed: result.found.get(evaluator) for result in results.at(part=NETS, method=method)}
    return {seed: answer for seed, answer in found.items() if answer is not None}


def least(*every: Seeds) -> Seeds:
    """The smallest of some values of each seed that all of them have."""
    return each(min, every)


def _share(errors: Sequence[float], threshold: float) -> float:
    return sum(error < threshold for error in errors) / len(errors)


def below_common(results: Results, evaluator: str = "super-classes") -> dict[str, Seeds]:
    """For each net the share of super-classes with a smaller error than both nets' multi-class errors."""
    both = {method: answers(results, method, evaluator) for method in METHODS}
    bar = least(*(of(results, method, evaluator, "multi-class") for method in METHODS))
    return {
        method: {seed: _share(both[method][seed]["each"]["error"], bar[seed]) for seed in bar if seed in both[method]}
        for method in METHODS
    }


def below_own(results: Results, method: str, layer: str) -> Seeds:
    """Share of super-classes that a layer reads with a smaller error than the multi-class error of the same net's h."""
    bar = of(results, method, "super-classes", "multi-class")
    found = answers(results, method, "layers")
    return {
        seed: _share(found[seed][layer]["each"], bar[seed]) for seed in bar if seed in found and layer in found[seed]
    }
