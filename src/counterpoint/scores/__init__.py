"""In what geometry are two rows compared?"""

from counterpoint.sphere import Cosine, Dot, Euclidean

__all__ = ["Cosine", "Dot", "Euclidean"]
