"""The rows of an anchor's other views, of the global batch."""

from dataclasses import dataclass

import torch

from counterpoint.errors import RecipeError
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["AcrossViews"]


@dataclass(frozen=True)
class AcrossViews:
    """Every row is an anchor, and is compared with the global batch's keys of other views than its own.

    One match for each view: no product is formed with keys of the anchor's own view.

    Source: Chen et al. 2021, algorithm 1 (MoCo v3): ctr(q1, k2) + ctr(q2, k1).

    See also: `InBatch`, where rows of the own view repel too; the same as this where the pairing has
    `only_other_view=True`, which forms twice the products; `OtherViews`, where the other images do not repel.
    """

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match for each view of the anchors."""
        matches: list[Match] = []
        ours, theirs = (torch.unique(rows.rows.view).tolist() for rows in (online, keys))
        # Gathered view by view, and every view once.
        candidates = {view: context.comm.gather(keys.z[keys.rows.view == view]) for view in theirs}
        them = {view: context.comm.gather_rows(keys.rows.where(keys.rows.view == view)) for view in theirs}
        for view in ours:
            others = [other for other in theirs if other != view]
            if not others:
                raise RecipeError(
                    "an image is compared with its other views, but there is one view only; take a policy of two "
                    "views, for example simclr"
                )
            here = online.rows.view == view
            us = online.rows.where(here)
            groups = tuple(Columns(candidates[other], pairing.relation(us, them[other]), score) for other in others)
            matches.append(Match(online.query[here], groups))
        return matches

    def seen(self, global_batch: int, views: int) -> int:
        """One view less of all other images."""
        return (global_batch - 1) * (views - 1)
