"""How many directions an encoder uses, at the end of a run and on its way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from counterpoint.evaluation import effective_rank, spectrum
from counterpoint.report.charts import thin
from counterpoint.run import Run
from counterpoint.studies.study import Cell, Trained

__all__ = ["Directions"]

READINGS = 60  # of a run's log, at most


@dataclass(frozen=True)
class Directions:
    """The spectrum of h and z on test images of the data that was trained on.

    For each of both `singular`, the singular values of the covariance of the unit rows as shares of the largest, in
    descending order; `rank`, the effective rank of the centred unit rows; `width`. Under `course` what the run itself
    read on the way: `step`, and the effective rank of h and z in a batch of views.

    Source: Jing et al. 2022, section 3; Roy and Vetterli 2007.
    """

    name = "directions"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """No `z` where there is no projector."""
        found: dict[str, Any] = {"course": _course(Run(trained.folder).history())}
        for name, rows in (("h", trained.test.h), ("z", trained.test.z)):
            if rows is None:
                continue
            values = spectrum(rows)
            rank = effective_rank(values.sqrt()) if float(values[0]) > 0 else 1.0
            shares = (values / values[0]).tolist() if float(values[0]) > 0 else [1.0]
            found[name] = {"rank": rank, "width": rows.shape[1], "singular": [float(f"{v:.4g}") for v in shares]}
        return found


def _course(history: list[dict[str, Any]]) -> dict[str, list[float]]:
    read = [line for line in history if line.get("event") == "step" and "rank_h" in (line.get("health") or {})]
    step, rank_h = thin((line["step"] for line in read), (line["health"]["rank_h"] for line in read), most=READINGS)
    _, rank_z = thin(
        (line["step"] for line in read),
        (line["health"].get("rank_z", float("nan")) for line in read),
        most=READINGS,
    )
    return {"step": list(step), "h": list(rank_h), "z": list(rank_z)}
