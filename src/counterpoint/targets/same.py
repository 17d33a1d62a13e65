"""The same network answers, with or without a gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from counterpoint.types import Context, Encoded, Facts, State

__all__ = ["Same", "StopGradient"]


@dataclass(frozen=True)
class Same:
    """Anchors are compared with what the same network made of all views, and both sides learn.

    Source: Chen et al. 2020, algorithm 1.
    """

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """It owns nothing."""
        return None

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """What the network made."""
        return online


@dataclass(frozen=True)
class StopGradient:
    """The same network answers, but only the anchor's side learns.

    Source: Chen and He 2021, equation 4 (SimSiam).
    """

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """It owns nothing."""
        return None

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """What the network made, out of the graph."""
        return online.detached()
