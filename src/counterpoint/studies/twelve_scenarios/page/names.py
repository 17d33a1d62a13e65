"""How things are called on the page, and the answers that it is made of."""

from collections.abc import Mapping
from typing import Any

from counterpoint.report.charts import Axis
from counterpoint.studies.study import Results
from counterpoint.studies.twelve_scenarios.answers import Answers, Protocol
from counterpoint.studies.twelve_scenarios.published import NAMED, SETS

__all__ = ["ACCURACY", "PROTOCOLS", "SAID", "first", "percent", "title_of", "trained"]

SAID = {"accuracy": "accuracy", "top3": "top-3", "knn": "neighbours"}
PROTOCOLS: tuple[Protocol, ...] = ("faithful", "sound")
ACCURACY = Axis("accuracy", low=0.0, high=1.0, percent=True)


def title_of(data: str, loss: str, policy: str) -> str:
    """`MNIST, triplet, SimCLR`."""
    return f"{SETS[data]}, {loss}, {NAMED[policy]}"


def percent(value: float) -> str:
    """A share for a person."""
    return f"{100 * value:.1f} %"


def trained(results: Results, protocol: Protocol) -> bool:
    """Whether any cell of a protocol has finished."""
    return bool(results.at(part="table", protocol=protocol))


def first(answers: Answers, cell: tuple[str, str, str], name: str) -> Mapping[str, Any] | None:
    """An answer of the first seed that has it."""
    data, loss, policy = cell
    place = {"part": "table", "protocol": answers.protocol, "data": data, "loss": loss, "policy": policy}
    return next((r.found[name] for r in answers.results.at(**place) if name in r.found), None)
