"""Dimensional collapse: contrastive learning that leaves directions of its space unused, why, and who notices."""

from counterpoint.studies.dimensional_collapse.make import dimensional_collapse

__all__ = ["dimensional_collapse"]
