"""From the representation to what is compared: projectors and predictors."""

from counterpoint.heads.heads import Head, Heads, Identity
from counterpoint.heads.mlp import MLPHead

__all__ = ["Head", "Heads", "Identity", "MLPHead"]
