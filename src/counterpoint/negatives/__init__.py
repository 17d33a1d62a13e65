"""Against whom: forms the matches from what was encoded."""

from counterpoint.negatives.centres import Centres
from counterpoint.negatives.in_batch import InBatch
from counterpoint.negatives.queue import Queue

__all__ = ["Centres", "InBatch", "Queue"]
