"""Two ways to see an image, each compared by itself with the same candidates."""

from dataclasses import dataclass, replace

import torch

from counterpoint.errors import RecipeError
from counterpoint.types import Context, Encoded, Facts, Match, Negatives, Pairing, Score, State

__all__ = ["Branches"]


@dataclass(frozen=True)
class Branches:
    """View 0, the image, and view 1, what a pretext task made of it, each stand as an image's first view.

    L = (1 - share) L(view 0) + share L(view 1): both are compared by one inner part with what it keeps, a bank of what
    was made of view 0 (PIRL). Without a share it is that part alone.

    Source: Misra & van der Maaten 2020, arXiv:1912.01991, equation 5, whose lambda is the share.

    Args:
        inner: compares first views, and keeps those.
        share: of view 1, in [0, 1].
    """

    inner: Negatives
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError(f"Branches(share={self.share}): give a share in [0, 1]")

    def build(self, facts: Facts) -> State | None:
        """What the inner part owns."""
        return self.inner.build(facts)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """The inner part's matches, once for each view that has a share."""
        matches: list[Match] = []
        for view, weight in enumerate((1 - self.share, self.share)):
            if weight:
                one = _alone(online, view)
                made = self.inner.match(one, keys, pairing, score, state, context)
                matches += [replace(match, weight=match.weight * weight) for match in made]
        return matches

    def seen(self, global_batch: int, views: int) -> int | None:
        """The inner part's."""
        return self.inner.seen(global_batch, 1)


def _alone(encoded: Encoded, view: int) -> Encoded:
    """The rows of one view, as if they were an image's first."""
    keep = encoded.rows.view == view
    rows = encoded.rows.where(keep)
    if not len(rows):
        raise RecipeError(f"there is no view {view} of the images; give an image and what a pretext task makes of it")
    first = replace(rows, view=torch.zeros_like(rows.view))
    return Encoded(encoded.h[keep], encoded.z[keep], first, None if encoded.p is None else encoded.p[keep])
