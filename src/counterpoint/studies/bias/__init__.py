"""Bias: a planted cue that agrees with the class too often, long tails and missing classes; who is misled by them."""

from counterpoint.studies.bias.make import bias

__all__ = ["bias"]
