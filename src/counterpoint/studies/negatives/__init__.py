"""Negatives: where they come from, how many, how cold; which of them teach, and which are no negatives at all."""

from counterpoint.studies.negatives.make import negatives

__all__ = ["negatives"]
