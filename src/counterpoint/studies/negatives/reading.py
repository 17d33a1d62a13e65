"""Numbers of the study's results, and the choice of MoCHi's dials that they make."""

from collections.abc import Mapping, Sequence

from counterpoint.studies.exhibit import averaged
from counterpoint.studies.negatives.grid import MIXING, Mixing, Place
from counterpoint.studies.statistics import each
from counterpoint.studies.study import Results

__all__ = ["ACCURACY", "Seeds", "at", "carried", "chosen", "mean_of", "of", "over", "regret", "trial"]

ACCURACY = ("accuracy", "learned", "probe")
Seeds = dict[int, float]


def at(every: Sequence[Place], source: str) -> list[Place]:
    """The places of a source, the fewest negatives first."""
    return sorted((p for p in every if p.source == source), key=lambda p: (p.number, p.temperature))


def of(results: Results, place: Place, *path: str) -> Seeds:
    """A number at a place, for each seed."""
    return results.values(*path, **place.axes)


def over(results: Results, row: Mapping[str, str], *path: str) -> Seeds:
    """The mean over temperatures, for each seed that has all of them.

    Args:
        results: of the study.
        row: of a place.
        path: evaluator, and keys of its answer.
    """
    return averaged(results, path, row)


def mean_of(values: Mapping[int, float]) -> float | None:
    """Over seeds; None without any."""
    return sum(values.values()) / len(values) if values else None


# ---------------------------------------------------------------- MoCHi's dials


def trial(results: Results, data: str, mixing: Mixing, measure: str) -> Seeds:
    """Accuracy by neighbours for each seed: `held out` or `test`."""
    return results.values("trial", measure, part=MIXING, data=data, mixing=mixing.name)


def chosen(results: Results, data: str, mixings: Sequence[Mixing]) -> dict[int, Mixing]:
    """For each seed at which all were tried the best one by the images that were held out; of equals the first."""
    return {
        seed: mixings[int(place)]
        for seed, place in each(
            lambda values: float(max(range(len(values)), key=lambda i: values[i])),
            [trial(results, data, mixing, "held out") for mixing in mixings],
        ).items()
    }


def regret(results: Results, tuned: str, used: str, mixings: Sequence[Mixing]) -> Seeds:
    """Test accuracy that is lost on some data by dials tuned on other data, against its own tuned ones, for each seed.

    Args:
        results: of the study.
        tuned: data of the dials.
        used: data of the accuracy.
        mixings: that were tried.
    """
    theirs, own = chosen(results, tuned, mixings), chosen(results, used, mixings)
    test = {mixing.name: trial(results, used, mixing, "test") for mixing in mixings}
    return {
        seed: test[own[seed].name][seed] - test[theirs[seed].name][seed]
        for seed in sorted(theirs.keys() & own.keys())
        if seed in test[own[seed].name] and seed in test[theirs[seed].name]
    }


def carried(results: Results, tuned: str, used: str, mixings: Sequence[Mixing]) -> Seeds:
    """Test accuracy on some data with the dials that were tuned on other data, for each seed."""
    found: Seeds = {}
    for seed, mixing in chosen(results, tuned, mixings).items():
        value = trial(results, used, mixing, "test").get(seed)
        if value is not None:
            found[seed] = value
    return found
