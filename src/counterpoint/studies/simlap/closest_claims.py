"""What `simlap-closest` decides, by rules written before any run."""

from collections.abc import Mapping, Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.ruled import ruled
from counterpoint.studies.simlap.judged import KNN
from counterpoint.studies.statistics import above, apart, below, greater
from counterpoint.studies.study import Claim, Results

__all__ = ["FLAT", "PLAIN", "SIMLAP", "SUPCON", "at_count", "closest_claims"]

FLAT = 0.01  # of an accuracy: to lose less is to stay flat, to lose more is to degrade
SIMLAP = {"method": "simlap", "gate": "yes"}
SUPCON = {"method": "supcon", "gate": "no"}
PLAIN = {"method": "simlap", "gate": "no"}
WHERE = "Wu et al. 2024, the experiment on IN25"
MEASURED = "kNN (k = 10) of h, mean over the transfer sets"
BY = {"encoder": "by the frozen encoder", "hierarchy": "by the hierarchy"}


def at_count(
    results: Results, which: Mapping[str, str], count: int | None, by: str = "any", path: Sequence[str] = KNN
) -> dict[int, float]:
    """A measure for each seed.

    Args:
        results: of the study.
        which: method and gate.
        count: N; None: all classes.
        by: the distance; of no matter where N is 0 or all.
        path: evaluator, and keys of its answer.
    """
    drawn = {"positives": "all" if count is None else str(count), "by": "any" if count in (0, None) else by}
    return results.values(*path, **which, **drawn)


def _drop(results: Results, which: Mapping[str, str], fewer: int, more: int | None, by: str) -> dict[int, float]:
    """What is lost from fewer classes to more, for each seed."""
    return apart(*(at_count(results, which, count, by) for count in (fewer, more)))


def closest_claims(counts: Sequence[int], kinds: Sequence[str]) -> tuple[Claim, ...]:
    """All claims.

    Args:
        counts: N, beside none and all.
        kinds: of distances.
    """
    made = [
        _falls("supcon-degrades", "SupCon", SUPCON, 0, None, "any"),
        _flat("simlap-flat", "SimLAP", SIMLAP, 0, None, "any"),
        ruled(
            "gate-spares",
            "The gate spares loss: without it, the same method loses more by positives of any class.",
            WHERE,
            f"{MEASURED}: own class less any class; that of SimLAP without its gate less that of SimLAP.",
            "the difference is above 0",
            lambda results: greater(
                _drop(results, PLAIN, 0, None, "any"),
                _drop(results, SIMLAP, 0, None, "any"),
                unit="points",
                what="what is lost by positives of any class, without the gate less with it,",
            ),
        ),
        ruled(
            "supcon-loses-more",
            "SupCon loses more by positives of any class than SimLAP.",
            WHERE,
            f"{MEASURED}: own class less any class; that of SupCon less that of SimLAP.",
            "the difference is above 0",
            lambda results: greater(
                _drop(results, SUPCON, 0, None, "any"),
                _drop(results, SIMLAP, 0, None, "any"),
                unit="points",
                what="what is lost by positives of any class, SupCon less SimLAP,",
            ),
        ),
    ]
    first, last = counts[0], counts[-1]
    for by in kinds if first < last else ():
        made.append(_falls(f"supcon-degrades-{by}", "SupCon", SUPCON, first, last, by))
        made.append(_flat(f"simlap-flat-{by}", "SimLAP", SIMLAP, first, last, by))
    return tuple(made)


def _range(fewer: int, more: int | None, by: str) -> tuple[str, str]:
    """From how many classes to how many: in a sentence, and for a measure."""
    many = "all classes" if more is None else f"the {more} closest classes {BY[by]}"
    few = "the own class alone" if fewer == 0 else f"the closest {'class' if fewer == 1 else f'{fewer} classes'}"
    return f"from {few} to {many}", f"N = {fewer} less N = {'all' if more is None else more}"


def _falls(key: str, name: str, which: Mapping[str, str], fewer: int, more: int | None, by: str) -> Claim:
    words, told = _range(fewer, more, by)
    return ruled(
        key,
        f"{name} degrades with the number of classes that positives come from ({words}).",
        WHERE,
        f"{MEASURED}: {told}.",
        f"the difference is above {in_points(FLAT)}",
        lambda results: above(
            _drop(results, which, fewer, more, by), FLAT, unit="points", what=f"what {name} loses {words}"
        ),
    )


def _flat(key: str, name: str, which: Mapping[str, str], fewer: int, more: int | None, by: str) -> Claim:
    words, told = _range(fewer, more, by)
    return ruled(
        key,
        f"{name} stays flat, or rises ({words}).",
        WHERE,
        f"{MEASURED}: {told}.",
        f"the difference is below {in_points(FLAT)}",
        lambda results: below(
            _drop(results, which, fewer, more, by), FLAT, unit="points", what=f"what {name} loses {words}"
        ),
    )
