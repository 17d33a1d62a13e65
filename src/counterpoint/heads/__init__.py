"""From the representation to what is compared: projectors and predictors."""

from counterpoint.heads.attention_pool import AttentionPool
from counterpoint.heads.causal_context import CausalContext
from counterpoint.heads.heads import Head, Heads, Identity, OfRows
from counterpoint.heads.mlp import MLPHead
from counterpoint.heads.patch_concat import PatchConcat
from counterpoint.heads.prototypes import PrototypeHead
from counterpoint.heads.truncated import Truncated

__all__ = [
    "AttentionPool",
    "CausalContext",
    "Head",
    "Heads",
    "Identity",
    "MLPHead",
    "OfRows",
    "PatchConcat",
    "PrototypeHead",
    "Truncated",
]
