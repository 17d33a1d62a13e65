"""Dimensional collapse: contrastive learning that leaves directions of its space unused, and why."""
