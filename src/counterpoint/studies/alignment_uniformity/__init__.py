"""Alignment and uniformity: what each weight, temperature and batch buys of them, and what they say of accuracy."""

from counterpoint.studies.alignment_uniformity.make import alignment_uniformity

__all__ = ["alignment_uniformity"]
