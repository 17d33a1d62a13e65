"""Who is related to whom?"""

from counterpoint.pairing.arbitrary_pairs import ArbitraryPairs
from counterpoint.pairing.asked import Asked
from counterpoint.pairing.disjoint_pairs import DisjointPairs
from counterpoint.pairing.hidden_patches import HiddenPatches
from counterpoint.pairing.same_class import SameClass
from counterpoint.pairing.same_sample import SameSample
from counterpoint.pairing.similar_class import SimilarClass, similarities

__all__ = [
    "ArbitraryPairs",
    "Asked",
    "DisjointPairs",
    "HiddenPatches",
    "SameClass",
    "SameSample",
    "SimilarClass",
    "similarities",
]
