"""The views of an entry are its triplet: anchor, positive, negative."""

from dataclasses import dataclass

from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["ByView"]


@dataclass(frozen=True)
class ByView:
    """View 0 of an entry is the anchor, one further view its positive, another its negative.

    For comparisons that were fixed before training: whoever prepares the views puts another image there as the
    negative. The pairing is not asked.

    Args:
        positive, negative: numbers of views, from 1 on.

    See also: `Drawn`, which draws its negatives anew at each step.
    """

    positive: int = 1
    negative: int = 2

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        if self.positive == self.negative or min(self.positive, self.negative) < 1:
            raise RecipeError(
                f"ByView(positive={self.positive}, negative={self.negative}): give two different views, each 1 or "
                "more; view 0 is the anchor"
            )
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match, with one positive and one negative private to each anchor."""
        query = online.query[online.rows.view == 0]

        def of(view: int) -> Tensor:
            rows = keys.z[keys.rows.view == view]
            if len(rows) != len(query):
                raise RecipeError(
                    f"the comparison asks for view {view} of each entry, but the entries have "
                    f"{len(keys.z) // max(1, len(query))} views; prepare views 0, {self.positive} and {self.negative}"
                )
            return rows[:, None]

        near = Columns(of(self.positive), Related(query.device), score)
        return [Match(query, (near, Columns(of(self.negative), Unrelated(query.device), score)))]

    def seen(self, global_batch: int, views: int) -> int:
        """One."""
        return 1
