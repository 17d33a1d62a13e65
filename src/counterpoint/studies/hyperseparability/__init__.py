"""Hyper-separability: any union of classes, read off a contrastive and a supervised net."""

from counterpoint.studies.hyperseparability.make import hyperseparability

__all__ = ["hyperseparability"]
