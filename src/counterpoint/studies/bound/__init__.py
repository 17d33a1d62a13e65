"""The bound: what a contrastive loss over class-sampled pairs promises for classification, and when it does not."""

from counterpoint.studies.bound.make import bound

__all__ = ["bound"]
