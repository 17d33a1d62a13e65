"""Claims whose rule is an interval, over seeds where nothing else is said."""

from collections.abc import Callable
from typing import Literal

from counterpoint.studies.statistics import OVER_SEEDS
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["BLIND", "ruled"]

BLIND = "Blind: the rules of the claims were written before any run."


def ruled(
    key: str,
    statement: str,
    where: str,
    measured: str,
    rule: str,
    decide: Callable[[Results], Decision],
    *,
    published: str = "",
    origin: Literal["paper", "repository", ""] = "",
    by: str = OVER_SEEDS,
) -> Claim:
    """A claim that is held if its rule is.

    Args:
        key: as of `Claim`, and all others but the rule.
        statement: of the paper.
        where: it stands.
        measured: how.
        rule: what must be so, in words that follow `Held if`.
        decide: the rule.
        published: the figure.
        origin: of the figure.
        by: what decides it.
    """
    return Claim(key, statement, where, published, origin, measured, f"Held if {rule}, {by}.", decide)
