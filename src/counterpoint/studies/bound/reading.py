"""Numbers of the study's results."""

from collections.abc import Mapping, Sequence

from counterpoint.studies.bound.grid import Place, of_classes
from counterpoint.studies.statistics import Correlation, estimate, spearman
from counterpoint.studies.study import Results

__all__ = ["ACCURACY", "Seeds", "bound_against_errors", "mean_of", "of", "own", "share_of_guess", "slack_left"]

Seeds = dict[int, float]
ACCURACY = ("tasks", "2", "mean_accuracy")  # of the mean classifier, tasks of two classes


def of(results: Results, place: Place, *path: str) -> Seeds:
    """A number at a place, for each seed."""
    return results.values(*path, **place.axes)


def own(place: Place, split: str, *path: str) -> tuple[str, ...]:
    """Where an answer has a number of the place's own loss and number of negatives."""
    return ("promise", split, place.loss, str(place.negatives), *path)


def mean_of(values: Mapping[int, float]) -> float | None:
    """Over seeds; None without any."""
    found = estimate(values)
    return None if found is None else found.mean


def slack_left(results: Results, place: Place, block: int) -> Seeds:
    """The slack with blocks of so many as a share of that without, on training images, for each seed."""
    with_blocks = of(results, place, "promise", "train", place.loss, "1", "blocks", str(block), "slack", "value")
    without = of(results, place, "promise", "train", place.loss, "1", "first", "slack", "value")
    return {seed: value / without[seed] for seed, value in with_blocks.items() if without.get(seed, 0.0) > 0}


def share_of_guess(results: Results, place: Place, negatives: int) -> Seeds:
    """The limit on training images with so many negatives, over what guessing costs."""
    path = ("promise", "train", place.loss, str(negatives))
    limit = of(results, place, *path, "first", "limit", "value")
    guess = of(results, place, *path, "guess")
    return {seed: value / guess[seed] for seed, value in limit.items() if guess.get(seed, 0.0) > 0}


def bound_against_errors(
    results: Results, every: Sequence[Place]
) -> tuple[list[tuple[Place, float, float]], Correlation | None]:
    """Of each place of class-sampled pairs, means over seeds, and their rank correlation.

    The limit of the hinge with one negative on training images, and the share of wrong answers on test images.
    """
    found: list[tuple[Place, float, float]] = []
    for place in of_classes(every):
        limit = mean_of(of(results, place, "promise", "train", "hinge", "1", "first", "limit", "value"))
        right = mean_of(of(results, place, *ACCURACY))
        if limit is not None and right is not None:
            found.append((place, limit, 1 - right))
    return found, spearman([a for _, a, _ in found], [b for *_, b in found])
