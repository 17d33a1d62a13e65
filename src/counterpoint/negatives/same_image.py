"""The other hidden patches of the same image."""

from dataclasses import dataclass

import torch

from counterpoint.errors import RecipeError
from counterpoint.relations import Related, Unrelated
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["SameImage"]


@dataclass(frozen=True)
class SameImage:
    """What was predicted for a hidden patch has to choose it among the hidden patches of its image.

    Nothing of another image takes part, so that nothing is exchanged among ranks.

    Source: Trinh et al. 2019, arXiv:1906.02940, section 2 (Selfie).

    Args:
        hidden: patches of an image, the pairing's number.
    """

    hidden: int = 4

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match, with one positive and the other hidden patches private to each anchor."""
        mask = online.rows.hidden
        batch = int((online.rows.view == online.rows.view[0]).sum())
        if mask is None or int(mask.sum()) != batch * self.hidden:
            raise RecipeError(
                f"SameImage(hidden={self.hidden}) found another number of hidden patches; give the pairing "
                f"HiddenPatches(count={self.hidden})"
            )
        patch = mask.unflatten(0, (-1, batch)).T.nonzero()[:, 1].unflatten(0, (batch, self.hidden))
        at = patch * batch + torch.arange(batch, device=patch.device)[:, None]
        query, chosen = online.query[at.flatten()], keys.z[at]
        slot = torch.arange(self.hidden, device=at.device)
        others = (slot[:, None] + slot[1:]) % self.hidden
        near = Columns(chosen.flatten(0, 1)[:, None], Related(query.device), score)
        return [Match(query, (near, Columns(chosen[:, others].flatten(0, 1), Unrelated(query.device), score)))]

    def seen(self, global_batch: int, views: int) -> int:
        """The others that are hidden."""
        return self.hidden - 1
