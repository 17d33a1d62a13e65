"""Every view of an image against the image's other views, row by row."""

from dataclasses import dataclass

from counterpoint.errors import RecipeError
from counterpoint.negatives._views import by_view
from counterpoint.relations import Aligned
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["OtherViews"]


@dataclass(frozen=True)
class OtherViews:
    """One match for every two views: row i of one is the anchor, row i of the other what it shall equal.

    For objectives that ask for no negatives: regressions of one view on another, losses of dimensions, of distances.
    The other images' rows stand in the match's one group of columns for who reads it; the pairing is asked for nothing.

    Source: Grill et al. 2020, equation 2, with both directions; Zbontar et al. 2021 for one.

    Args:
        both_ways: each view is the anchor of all others; else of later ones only, for an objective that takes both
            sides alike.
        gathered: a match holds the rows of all ranks, on every rank and with gradient, for an objective that is no
            mean over anchors; else those of this rank.

    See also: `InBatch`, where the other images repel.
    """

    both_ways: bool = True
    gathered: bool = False

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """The anchors are predictions where there is a predictor; the columns are the target's projections."""
        queries, answers = by_view(online.query, online.rows), by_view(keys.z, keys.rows)
        pairs = [
            (one, other) for one in queries for other in answers if (one != other if self.both_ways else one < other)
        ]
        if not pairs:
            raise RecipeError(
                "an image's views are compared with one another, but there is one view only; take a policy of two "
                "views, for example simclr"
            )
        if self.gathered:
            gather = context.comm.gather
            queries = {one: gather(queries[one]) for one in sorted({one for one, _ in pairs})}
            answers = {other: gather(answers[other]) for other in sorted({other for _, other in pairs})}
        relation = Aligned(device=online.z.device)
        return [Match(queries[one], (Columns(answers[other], relation, score),)) for one, other in pairs]

    def seen(self, global_batch: int, views: int) -> int:
        """None: an anchor is compared with its own image."""
        return 0
