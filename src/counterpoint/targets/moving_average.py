"""A slowly moving copy of the network answers."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.types import Context, Encoded, Facts, Number, Schedule, State, Towers

__all__ = ["MovingAverage"]


class _Average(State):
    def __init__(self, model: Towers, momentum: Number, when: str) -> None:
        super().__init__()
        self.towers = deepcopy(model.towers)
        for parameter in self.towers.parameters():
            parameter.requires_grad = False
        self.momentum, self.when = momentum, when

    @torch.no_grad()
    def _move(self, model: nn.Module, context: Context) -> None:
        momentum = self.momentum.at(context.clock) if isinstance(self.momentum, Schedule) else self.momentum
        theirs = cast(Towers, model).towers.parameters()
        for mine, new in zip(self.towers.parameters(), theirs, strict=True):
            mine.lerp_(new, 1.0 - momentum)

    def before_forward(self, model: nn.Module, context: Context) -> None:
        if self.when == "before":
            self._move(model, context)

    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        if self.when == "after":
            self._move(model, context)


@dataclass(frozen=True)
class MovingAverage:
    """A copy of encoder and projector encodes the keys without gradient; theta_t <- m theta_t + (1 - m) theta.

    BatchNorm statistics are not averaged: the copy runs in training mode and keeps its own. There is no copy of the
    predictor.

    Source: He et al. 2020, equation 2 (MoCo, moved before the keys are encoded); Grill et al. 2020, equation 1 (BYOL,
    moved after the optimizer's step).

    Args:
        momentum: m in [0, 1], or its schedule.
        when: `before` the keys are encoded, or `after` the optimizer's step.
        views: how many of the first views the copy sees (DINO: the global crops); None: all.
    """

    momentum: Number = 0.99
    when: Literal["before", "after"] = "before"
    views: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.momentum, Schedule) and not 0 <= self.momentum <= 1:
            raise RecipeError(f"MovingAverage(momentum={self.momentum}): give a number in [0, 1]")
        if self.when not in ("before", "after"):
            raise RecipeError(f"MovingAverage(when={self.when!r}): give 'before' or 'after'")

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """The copy."""
        return _Average(cast(Towers, model), self.momentum, self.when)

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """What the copy makes of the same views."""
        assert isinstance(state, _Average)
        seen = views if self.views is None else views[: self.views]
        with torch.no_grad():
            h, z = cast(Towers, model).through(state.towers, seen)
        return Encoded(h, z, online.rows.where(online.rows.view < len(seen)))
