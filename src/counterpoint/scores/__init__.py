"""In what geometry are two rows compared?"""

from counterpoint.sphere import Cosine, Dot

__all__ = ["Cosine", "Dot"]
