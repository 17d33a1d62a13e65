"""The paper's two nets compared attribute by attribute: does contrast keep what its views spare?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.studies.attributes import ATTRIBUTES
from counterpoint.studies.conjecture.grid import mean_over
from counterpoint.studies.conjecture.readability import NETS
from counterpoint.studies.statistics import Correlation, spearman
from counterpoint.studies.study import Results

__all__ = ["SPARED", "Reading", "favoured", "readings", "spared_mean"]

SPARED = 0.5  # intraclass correlation from which on an attribute counts as spared by the views


@dataclass(frozen=True)
class Reading:
    """One attribute, read from the h of both nets; means over seeds, nan where there is none.

    Args:
        name: of the attribute.
        invariance: intraclass correlation under the contrastive net's views.
        contrastive, supervised: R2.
        contrastive_within, supervised_within: R2 within classes.
    """

    name: str
    invariance: float
    contrastive: float
    supervised: float
    contrastive_within: float
    supervised_within: float


def _read(results: Results, method: str, evaluator: str, *path: str) -> Mapping[int, float]:
    return results.values(evaluator, "attributes", *path, part=NETS, method=method)


def readings(results: Results) -> tuple[Reading, ...]:
    """Every attribute that both nets were asked for."""
    every = (
        Reading(
            name,
            mean_over(_read(results, "contrastive", "invariance", name, "icc")),
            *(
                mean_over(_read(results, method, "readability", name, "h", what))
                for what in ("r2", "within class")
                for method in ("contrastive", "supervised")
            ),
        )
        for name in (attribute.name for attribute in ATTRIBUTES)
    )
    return tuple(one for one in every if math.isfinite(one.invariance + one.contrastive + one.supervised))


def spared_mean(results: Results, method: str) -> dict[int, float]:
    """For each seed the mean R2 within classes over the attributes that the contrastive net's views spare."""
    spared = [one.name for one in readings(results) if one.invariance >= SPARED]
    each = [_read(results, method, "readability", name, "h", "within class") for name in spared]
    seeds = set[int]().union(*each)
    return {seed: mean_over({i: values[seed] for i, values in enumerate(each) if seed in values}) for seed in seeds}


def favoured(results: Results) -> Correlation | None:
    """Over attributes: does invariance go with what the contrastive net reads better than the supervised one?"""
    found = readings(results)
    return spearman([one.invariance for one in found], [one.contrastive - one.supervised for one in found])
