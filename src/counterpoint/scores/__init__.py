"""In what geometry are two rows compared?"""

from counterpoint.scores.dot import Dot
from counterpoint.sphere import Cosine

__all__ = ["Cosine", "Dot"]
