"""Against whom: forms the matches from what was encoded."""

from counterpoint.negatives.by_view import ByView
from counterpoint.negatives.centres import Centres
from counterpoint.negatives.drawn import Drawn
from counterpoint.negatives.in_batch import InBatch
from counterpoint.negatives.queue import Queue

__all__ = ["ByView", "Centres", "Drawn", "InBatch", "Queue"]
