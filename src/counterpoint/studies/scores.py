"""The library's own protocol as an evaluator: the learned encoder beside raw pixels and the untrained one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterpoint.embed import embed, pixels
from counterpoint.errors import SourceError
from counterpoint.evaluation import Budget, evaluate
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset

__all__ = ["ENCODERS", "Scores"]

ENCODERS = ("learned", "pixels", "untrained")


@dataclass(frozen=True)
class Scores:
    """Every score that the data allows: neighbours, probes, retrieval, clusters, geometry; no map.

    The answer is by encoder (`learned`, `pixels`, `untrained`) and measure; `measures` has the label of each, and which
    way is better.

    Args:
        few_label_draws: subsets for each few-label probe; 0 leaves these out, which saves most of the time.
        draws: bootstrap resamples.
    """

    few_label_draws: int = 0
    draws: int = 1000

    name = "scores"

    def wanted(self, cell: Cell) -> bool:
        """Of every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no test images."""
        dataset: Dataset = trained.dataset
        if not len(dataset.test):
            raise SourceError(f"source {dataset.name!r} has no test images; there is nothing to score on")
        parts = (dataset.train, dataset.test)
        found = evaluate(
            trained.train,
            trained.test,
            baselines={
                "pixels": (pixels(parts[0], dataset), pixels(parts[1], dataset)),
                "untrained": (
                    embed(trained.untrained, parts[0], dataset, encoder="untrained"),
                    embed(trained.untrained, parts[1], dataset, encoder="untrained"),
                ),
            },
            seed=trained.cell.seed,
            source=dataset.name,
            split=dataset.split,
            budget=Budget(few_label_draws=self.few_label_draws, draws=self.draws, map=None),
        )
        return {
            **{encoder: {m.name: m.value for m in every} for encoder, every in found.measures.items()},
            "measures": {m.name: {"label": m.label, "better": m.better} for m in found.measures["learned"]},
            "settings": dict(found.settings),
        }
