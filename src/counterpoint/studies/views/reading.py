"""Numbers of the study's results."""

from collections.abc import Mapping, Sequence

from counterpoint.studies.negatives.reading import ACCURACY, Seeds, mean_of
from counterpoint.studies.statistics import each
from counterpoint.studies.study import Results
from counterpoint.studies.views.grid import BITS, Chances, Grid

__all__ = ["accuracy", "moved", "nats", "of_bits", "over_others", "thirds"]

Some = Mapping[int, float]


def accuracy(results: Results, grid: Grid, views: str) -> Seeds:
    """Linear probe of h on test images, for each seed."""
    return results.values(*ACCURACY, **grid.place(views))


def nats(results: Results, grid: Grid, views: str) -> Seeds:
    """What two such views share, for each seed."""
    return results.values("shared", "nats", **grid.place(views))


def moved(results: Results, grid: Grid, views: str, kind: str) -> Seeds:
    """How far a change moves an image of another's distance, for each seed."""
    return results.values("invariances", kind, "moved", **grid.place(views))


def of_bits(results: Results, chances: Chances, *path: str) -> Seeds:
    """A number of the runs on made-up bits, for each seed."""
    return results.values(*path, part=BITS, views=chances.name)


def over_others(one: Some, others: Sequence[Some]) -> Seeds:
    """One measure less the greatest of others, for each seed that all have."""
    return each(lambda v: v[0] - max(v[1:]), [one, *others])


def thirds(results: Results, grid: Grid, views: Sequence[str]) -> Seeds:
    """Accuracy in the middle third of views, by what they share, less that of the better outer third; for each seed.

    Views that lack a number are left out; nothing where fewer than six have one.
    """
    held: dict[int, list[tuple[float, float]]] = {}
    for name in dict.fromkeys(views):
        shared, right = nats(results, grid, name), accuracy(results, grid, name)
        for seed in shared.keys() & right.keys():
            held.setdefault(seed, []).append((shared[seed], right[seed]))
    found: Seeds = {}
    for seed, pairs in sorted(held.items()):
        third = len(pairs) // 3
        if third >= 2:
            ordered = [right for _, right in sorted(pairs)]
            low, middle, high = ordered[:third], ordered[third:-third], ordered[-third:]
            means = [mean_of(dict(enumerate(part))) or 0.0 for part in (low, middle, high)]
            found[seed] = means[1] - max(means[0], means[2])
    return found
