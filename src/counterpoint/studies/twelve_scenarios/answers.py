"""What was found of one protocol's twelve cells, by scenario and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from counterpoint.studies.statistics import apart
from counterpoint.studies.study import Results

__all__ = ["Answers", "Protocol", "Seeds"]

Protocol = Literal["faithful", "sound"]
Seeds = Mapping[int, float]


@dataclass(frozen=True, eq=False)
class Answers:
    """What was found of one protocol's twelve cells.

    Args:
        results: of the study.
        protocol: that cells were trained and scored by.
    """

    results: Results
    protocol: Protocol

    def of(self, data: str, loss: str, policy: str, *path: str) -> dict[int, float]:
        """One number of a scenario for each seed, by the protocol's own evaluation."""
        return self.results.values(self.protocol, *path, **self._place(data, loss, policy))

    def map(
        self, data: str, loss: str, policy: str, what: str, of: Literal["map", "volume"] = "map"
    ) -> dict[int, float]:
        """One number of a scenario's map for each seed."""
        name = f"{of}-batch" if self.protocol == "faithful" else of
        return self.results.values(name, what, **self._place(data, loss, policy))

    def gain(self, data: str, loss: str, policy: str, other: str, measure: str) -> dict[int, float]:
        """How much one policy is above another, in pairs over seeds."""
        return apart(self.of(data, loss, policy, measure), self.of(data, loss, other, measure))

    def listed(self, data: str, loss: str, policy: str, key: str) -> dict[int, Any]:
        """A list of a scenario's answer for each seed."""
        found = self.results.at(**self._place(data, loss, policy))
        return {r.cell.seed: r.found[self.protocol][key] for r in found if key in r.found.get(self.protocol, {})}

    def _place(self, data: str, loss: str, policy: str) -> dict[str, str]:
        return {"part": "table", "protocol": self.protocol, "data": data, "loss": loss, "policy": policy}
