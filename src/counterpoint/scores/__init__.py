"""In what geometry are two rows compared?"""

from counterpoint.scores.cosine import Cosine
from counterpoint.scores.dot import Dot

__all__ = ["Cosine", "Dot"]
