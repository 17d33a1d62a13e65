"""Numbers of the study's results, the choice that the held-out images make, and rank correlations over settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from counterpoint.studies.alignment_uniformity.grid import NT_XENT, Setting
from counterpoint.studies.statistics import Correlation, estimate, spearman
from counterpoint.studies.study import Result, Results

__all__ = ["MEASURES", "Seeds", "answers", "best", "correlation", "mean_of", "objective_of", "of", "ranked", "settled"]

Seeds = dict[int, float]
MEASURES = {
    ("quality", "test", "probe"): "linear probe",
    ("quality", "test", "knn"): "kNN",
    ("quality", "test", "top5"): "linear probe, five best",
}


def of(results: Results, setting: Setting, *path: str) -> Seeds:
    """A number at a setting, for each seed."""
    return results.values(*path, **setting.axes)


def mean_of(values: Mapping[int, float]) -> float | None:
    """Over seeds; None without any."""
    found = estimate(values)
    return None if found is None else found.mean


def objective_of(every: Sequence[Setting], objective: str) -> list[Setting]:
    """The settings of an objective; of all where it is empty."""
    return [s for s in every if not objective or s.objective == objective]


def best(results: Results, every: Sequence[Setting], objective: str = NT_XENT) -> dict[int, Setting]:
    """For each seed at which all settings of an objective were read, the best by the images that were held out.

    Judged by the linear probe; of equals the first. Test images have no say.
    """
    own = objective_of(every, objective)
    held = {setting: of(results, setting, "quality", "held out", "probe") for setting in own}
    seeds = set[int].intersection(*(set(v) for v in held.values())) if held else set[int]()
    return {seed: max(own, key=lambda s, seed=seed: held[s][seed]) for seed in sorted(seeds)}


def settled(results: Results, chosen: Mapping[int, Setting], *path: str) -> Seeds:
    """A number of each seed's chosen setting."""
    found = {seed: of(results, setting, *path).get(seed) for seed, setting in chosen.items()}
    return {seed: value for seed, value in found.items() if value is not None}


def ranked(
    results: Results, every: Sequence[Setting], measure: Sequence[str], accuracy: Sequence[str]
) -> list[tuple[Setting, float, float]]:
    """Of each setting that has both: the measure and the accuracy, means over seeds."""
    found: list[tuple[Setting, float, float]] = []
    for setting in every:
        x, y = mean_of(of(results, setting, *measure)), mean_of(of(results, setting, *accuracy))
        if x is not None and y is not None:
            found.append((setting, x, y))
    return found


def correlation(
    results: Results, every: Sequence[Setting], measure: Sequence[str], accuracy: Sequence[str]
) -> Correlation | None:
    """Spearman's, over settings, of the negated measure: of a measure that is to be small, above 0 is agreement."""
    pairs = ranked(results, every, measure, accuracy)
    return spearman([-x for _, x, _ in pairs], [y for *_, y in pairs])


def answers(results: Results, setting: Setting, evaluator: str) -> list[Mapping[str, Any]]:
    """An evaluator's whole answers at a setting, by seed."""
    held: Sequence[Result] = results.at(**setting.axes)
    return [r.found[evaluator] for r in held if evaluator in r.found]
