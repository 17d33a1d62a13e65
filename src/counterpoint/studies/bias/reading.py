"""Numbers of the study's results."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from counterpoint.studies.bias.grid import cue_place, uneven_place
from counterpoint.studies.negatives.reading import mean_of
from counterpoint.studies.statistics import apart, each
from counterpoint.studies.study import Results

__all__ = ["CEILING", "Seeds", "fall", "kept", "lost", "of_sets", "over", "trivial"]

CEILING = 0.98  # of an accuracy on a cue, above which it says nothing of an objective

Seeds = dict[int, float]


def kept(results: Results, method: str, cue: str, agreement: float, *path: str) -> Seeds:
    """A number of `Kept`, for each seed."""
    return results.values("kept", *path, **cue_place(cue, agreement), method=method)


def fall(results: Results, method: str, cue: str, agreements: tuple[float, float], *path: str) -> Seeds:
    """How much such a number falls from the first share of agreement to the second, for each seed."""
    return apart(*(kept(results, method, cue, share, *path) for share in agreements))


def trivial(measures: Iterable[Mapping[int, float]]) -> bool:
    """Whether all of some accuracies on a cue, means over seeds, are so high that nothing can raise them."""
    means = [mean for one in measures if (mean := mean_of(one)) is not None]
    return bool(means) and min(means) > CEILING


def of_sets(results: Results, method: str, images: str, key: str) -> Seeds:
    """A number of `Rare`, for each seed."""
    return results.values("rare", key, **uneven_place(images), method=method)


def lost(results: Results, method: str, sets: tuple[str, str], key: str) -> Seeds:
    """How much accuracy the second set of images costs against the first, for each seed."""
    return apart(*(of_sets(results, method, images, key) for images in sets))


def over(
    rule: Callable[[Sequence[float]], float], methods: Sequence[str], of: Callable[[str], Mapping[int, float]]
) -> Seeds:
    """One number of several methods, for each seed that all have."""
    return each(rule, [of(method) for method in methods])
