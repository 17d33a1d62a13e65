"""Matches whose rows belong together, as the losses of two views are given them."""

from counterpoint.relations import Aligned
from counterpoint.scores import Cosine
from counterpoint.types import Columns, Match


def views(query, rows, weight=1.0, offset=0, score=None):
    """One match: row i of the query with row i + offset of the columns."""
    return Match(query, (Columns(rows, Aligned(offset), score or Cosine()),), weight)


def columns(rows):
    """The dimensions of a tensor, as lists of floats."""
    return rows.T.tolist()


def covariance(one, other, lost=1):
    """Of two lists, divided by their length less what is lost."""
    mean, far = sum(one) / len(one), sum(other) / len(other)
    return sum((a - mean) * (b - far) for a, b in zip(one, other, strict=True)) / (len(one) - lost)
