"""What was published: the results sheet of the authors' repository, and what captions and text say."""

from typing import Literal

__all__ = [
    "ANIMALS",
    "BEST",
    "CIFAR10",
    "MEASURES",
    "NAMED",
    "PUBLISHED",
    "SCENARIOS",
    "SETS",
    "Measured",
    "Scenario",
    "published",
]

Scenario = tuple[str, str, str]
Measured = Literal["accuracy", "top3", "knn"]
MEASURES: tuple[Measured, ...] = ("accuracy", "top3", "knn")

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BEST = ("airplane", "automobile", "frog", "ship", "truck")
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
NAMED = {"none": "none", "fer": "pad, rotate, scale", "simclr": "SimCLR"}

PUBLISHED: dict[Scenario, tuple[float, float, float]] = {
    ("mnist", "pairwise", "none"): (0.659, 0.882, 0.685),
    ("mnist", "pairwise", "fer"): (0.783, 0.944, 0.811),
    ("mnist", "pairwise", "simclr"): (0.558, 0.819, 0.460),
    ("mnist", "triplet", "none"): (0.814, 0.955, 0.853),
    ("mnist", "triplet", "fer"): (0.920, 0.985, 0.920),
    ("mnist", "triplet", "simclr"): (0.928, 0.991, 0.932),
    ("cifar10", "pairwise", "none"): (0.265, 0.582, 0.243),
    ("cifar10", "pairwise", "fer"): (0.293, 0.585, 0.274),
    ("cifar10", "pairwise", "simclr"): (0.289, 0.631, 0.271),
    ("cifar10", "triplet", "none"): (0.331, 0.663, 0.326),
    ("cifar10", "triplet", "fer"): (0.334, 0.640, 0.337),
    ("cifar10", "triplet", "simclr"): (0.364, 0.691, 0.357),
}
"""Data, loss, policy: accuracy, top-3 and neighbours, from the authors' repository."""

SCENARIOS = tuple(PUBLISHED)


def published(scenario: Scenario, measure: Measured) -> float:
    """One figure of the results sheet.

    Example:
        >>> published(("mnist", "triplet", "simclr"), "accuracy")
        0.928
    """
    return PUBLISHED[scenario][MEASURES.index(measure)]
