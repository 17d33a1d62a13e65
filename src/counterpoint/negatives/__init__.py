"""Against whom: forms the matches from what was encoded."""

from counterpoint.negatives.across_views import AcrossViews
from counterpoint.negatives.ahead import Ahead
from counterpoint.negatives.asking import Asking
from counterpoint.negatives.bank import Bank
from counterpoint.negatives.branches import Branches
from counterpoint.negatives.by_view import ByView
from counterpoint.negatives.centred import Centred
from counterpoint.negatives.centres import Centres
from counterpoint.negatives.class_blocks import ClassBlocks
from counterpoint.negatives.drawn import Drawn
from counterpoint.negatives.exemplars import Exemplars
from counterpoint.negatives.gated import Gated, Gates
from counterpoint.negatives.in_batch import InBatch
from counterpoint.negatives.in_parts import InParts
from counterpoint.negatives.mixed import Mixed, between, hardest
from counterpoint.negatives.noise import Noise
from counterpoint.negatives.other_views import OtherViews
from counterpoint.negatives.parametric import Parametric
from counterpoint.negatives.prototypes import Prototypes
from counterpoint.negatives.queue import Queue
from counterpoint.negatives.same_image import SameImage
from counterpoint.negatives.sinkhorn import sinkhorn

__all__ = [
    "AcrossViews",
    "Ahead",
    "Asking",
    "Bank",
    "Branches",
    "ByView",
    "Centred",
    "Centres",
    "ClassBlocks",
    "Drawn",
    "Exemplars",
    "Gated",
    "Gates",
    "InBatch",
    "InParts",
    "Mixed",
    "Noise",
    "OtherViews",
    "Parametric",
    "Prototypes",
    "Queue",
    "SameImage",
    "between",
    "hardest",
    "sinkhorn",
]
