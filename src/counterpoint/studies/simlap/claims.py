"""How claims about SimLAP are written: where a sentence stands, or that it is asked here."""

from collections.abc import Callable
from typing import Literal

from counterpoint.studies.ruled import ruled
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["ASKED", "PAPER", "claim"]

PAPER = "Wu et al. 2024 (SimLAP)"
ASKED = "asked here"


def claim(
    key: str,
    statement: str,
    measured: str,
    rule: str,
    decide: Callable[[Results], Decision],
    *,
    where: str = ASKED,
    published: str = "",
    origin: Literal["paper", "repository", ""] = "",
) -> Claim:
    """`ruled`, of what is asked here where no place is given.

    Args:
        key: unique in the study.
        statement: the sentence, in our words.
        measured: how.
        rule: what holds, to stand after "Held if".
        decide: the rule.
        where: the sentence stands.
        published: the figure; empty where there is none.
        origin: of the figure.
    """
    return ruled(key, statement, where, measured, rule, decide, published=published, origin=origin)
