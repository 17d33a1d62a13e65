"""All other rows of the global batch."""

from dataclasses import dataclass

from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["InBatch"]


@dataclass(frozen=True)
class InBatch:
    """Every row is an anchor, and is compared with all rows of the global batch but itself.

    Over ranks the rows are gathered with gradient: an anchor repels rows of other ranks, and they feel it.

    Source: Chen et al. 2020, section 2.1.
    """

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match."""
        candidates = context.comm.gather(keys.z)
        relation = pairing.relation(online.rows, context.comm.gather_rows(keys.rows))
        return [Match(online.query, (Columns(candidates, relation, score),))]

    def seen(self, global_batch: int, views: int) -> int:
        """All views of all other images."""
        return (global_batch - 1) * views
