"""Numbers of the study's results."""

from collections.abc import Mapping, Sequence

from counterpoint.studies.negatives.reading import ACCURACY, Seeds, mean_of
from counterpoint.studies.statistics import each
from counterpoint.studies.study import Results
from counterpoint.studies.views.grid import BITS, Chances, Grid

__all__ = ["NEAR", "accuracy", "at_ceiling", "moved", "nats", "of_bits", "over_others", "thirds"]

NEAR = 0.1  # nats below the most that InfoNCE can tell, within which it does not tell views apart

Some = Mapping[int, float]


def accuracy(results: Results, grid: Grid, views: str) -> Seeds:
    """Linear probe of h on test images, for each seed."""
    return results.values(*ACCURACY, **grid.place(views))


def nats(results: Results, grid: Grid, views: str) -> Seeds:
    """What two such views share, for each seed."""
    return results.values("shared", "nats", **grid.place(views))


def at_ceiling(results: Results, grid: Grid, views: str) -> dict[int, bool]:
    """Whether two such views share about as much as InfoNCE can tell of them, for each seed."""
    most = results.values("shared", "ceiling", **grid.place(views))
    return {seed: value > most[seed] - NEAR for seed, value in nats(results, grid, views).items() if seed in most}


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

    Views that lack a number are left out; nothing where fewer than six have one, or where more than a third are at the
    ceiling of what InfoNCE tells: then noise says which of them are in the upper third.
    """
    held: dict[int, list[tuple[float, float]]] = {}
    full: dict[int, int] = {}
    for name in dict.fromkeys(views):
        shared, right = nats(results, grid, name), accuracy(results, grid, name)
        top = at_ceiling(results, grid, name)
        for seed in shared.keys() & right.keys():
            held.setdefault(seed, []).append((shared[seed], right[seed]))
            full[seed] = full.get(seed, 0) + top.get(seed, False)
    found: Seeds = {}
    for seed, pairs in sorted(held.items()):
        third = len(pairs) // 3
        if third >= 2 and full[seed] <= third:
            ordered = [right for _, right in sorted(pairs)]
            low, middle, high = ordered[:third], ordered[third:-third], ordered[-third:]
            means = [mean_of(dict(enumerate(part))) or 0.0 for part in (low, middle, high)]
            found[seed] = means[1] - max(means[0], means[2])
    return found
