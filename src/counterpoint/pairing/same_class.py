"""Images of one class attract each other."""

from dataclasses import dataclass

from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Keyed
from counterpoint.types import Rows

__all__ = ["SameClass"]


@dataclass(frozen=True)
class SameClass:
    """Every view of every image of the anchor's class attracts it. A row of unknown label attracts nobody.

    Source: Khosla et al. 2020 (SupCon).

    Args:
        only_other_view: candidates of the anchor's own view take no part; else only the row itself.
    """

    only_other_view: bool = False
    needs_labels = True

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Nothing is drawn."""
        return rows

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """Equal `label`."""
        own = marks(anchors, self.only_other_view), marks(candidates, self.only_other_view)
        return Keyed(anchors.label, candidates.label, *own)
