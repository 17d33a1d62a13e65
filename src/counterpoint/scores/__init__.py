"""In what geometry are two rows compared?"""

from counterpoint.sphere import Cosine, Dot, Euclidean, GatedCosine

__all__ = ["Cosine", "Dot", "Euclidean", "GatedCosine"]
