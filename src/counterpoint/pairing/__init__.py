"""Who is related to whom?"""

from counterpoint.pairing.asked import Asked
from counterpoint.pairing.hidden_patches import HiddenPatches
from counterpoint.pairing.same_class import SameClass
from counterpoint.pairing.same_sample import SameSample
from counterpoint.pairing.similar_class import SimilarClass, similarities

__all__ = ["Asked", "HiddenPatches", "SameClass", "SameSample", "SimilarClass", "similarities"]
