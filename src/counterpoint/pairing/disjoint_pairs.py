"""The images of a batch two by two."""

from dataclasses import dataclass, replace

import torch

from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Mated, meetings
from counterpoint.types import Rows

__all__ = ["DisjointPairs"]


@dataclass(frozen=True)
class DisjointPairs:
    """Images 2k - 1 and 2k of a batch attract each other, whatever their classes; all rows repel.

    The order of a batch is random, so the pairs are. Of an odd batch the last image has no mate: it is no anchor, but a
    candidate, in the form of members as it is, under no gate. Nothing of the classes
    is asked but which two they are: rows of the anchor's class and of its mate's repel like all others, and so does the
    anchor itself.

    Source: Wu et al. 2024 (SimLAP), algorithm 1 as printed, whose denominator has all 2N rows.

    See also: `ArbitraryPairs`, the form of the paper's equation 2.
    """

    needs_labels = True

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Nothing is drawn."""
        return rows

    def relation(self, anchors: Rows, candidates: Rows) -> Mated:
        """The one column of the mate; none for a row of unknown label, or whose mate's is unknown."""
        mates = replace(anchors, position=torch.where(anchors.position < 0, -1, anchors.position ^ 1))
        left, right = meetings(marks(mates, False), marks(candidates, False))
        both = (anchors.label[left] >= 0) & (candidates.label[right] >= 0)
        left, right = left[both], right[both]
        index = torch.full_like(anchors.label, -1)
        partner = index.index_copy(0, left, candidates.label[right])
        return Mated(index.index_copy(0, left, right), anchors.label, partner)
