"""Views of one image attract each other."""

from dataclasses import dataclass

from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Keyed
from counterpoint.types import Rows

__all__ = ["SameSample"]


@dataclass(frozen=True)
class SameSample:
    """An image's views attract each other; everything else repels. No labels are needed.

    Source: Dosovitskiy et al. 2014; Chen et al. 2020 (SimCLR).

    Args:
        only_other_view: candidates of the anchor's own view take no part (MoCo v3); else only the row itself.
    """

    only_other_view: bool = False
    needs_labels = False

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Nothing is drawn."""
        return rows

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """Equal `sample`."""
        own = marks(anchors, self.only_other_view), marks(candidates, self.only_other_view)
        return Keyed(anchors.sample, candidates.sample, *own)
