"""Who is related to whom?"""

from counterpoint.pairing.same_class import SameClass
from counterpoint.pairing.same_sample import SameSample

__all__ = ["SameClass", "SameSample"]
