"""A slowly moving copy of the network answers."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.schedules import value
from counterpoint.types import Context, Encoded, Facts, Number, Rows, State, Towers, ends

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
        momentum = value(self.momentum, context.clock)
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
        queries: how many of the first views the network itself encodes; the copy then encodes those that follow (MoCo:
            1, as a key is no query and a query no key). None: the network encodes all, and `views` says what the copy
            sees.
        shuffle: the copy encodes each view's images in a random order, of all ranks, and the keys are put back: an
            image's query and key then share no BatchNorm statistics with the same images. Of use where an encoder
            normalises a batch in parts (`encoders.SplitBatchNorm`).
    """

    momentum: Number = 0.99
    when: Literal["before", "after"] = "before"
    views: int | None = None
    queries: int | None = None
    shuffle: bool = False

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in ends(self.momentum)):
            raise RecipeError(f"MovingAverage(momentum={self.momentum}): give a number in [0, 1]")
        if self.when not in ("before", "after"):
            raise RecipeError(f"MovingAverage(when={self.when!r}): give 'before' or 'after'")
        if self.queries is not None and (self.queries < 1 or self.views is not None):
            raise RecipeError(
                f"MovingAverage(views={self.views}, queries={self.queries}): give queries of 1 or more, and no views "
                "beside them"
            )

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """The copy."""
        return _Average(cast(Towers, model), self.momentum, self.when)

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """What the copy makes of its views."""
        assert isinstance(state, _Average)
        first = self.queries or 0
        seen = views[first:] if self.views is None else views[: self.views]
        if not seen:
            raise RecipeError(
                f"MovingAverage(queries={self.queries}) leaves no view to the copy, for there are {len(views)}; take a "
                "policy of two views, for example moco-v2"
            )
        rows = _rows(online.rows, first, len(seen))
        with torch.no_grad():
            if self.shuffle:
                h, z = _shuffled(cast(Towers, model), state.towers, seen, context)
            else:
                h, z = cast(Towers, model).through(state.towers, seen, rows)
        return Encoded(h, z, rows)


def _rows(queries: Rows, first: int, count: int) -> Rows:
    """Who the keys of so many views are: the images of the queries; they are view-major, view 0 is among them."""
    if not first:
        return queries.where(queries.view < count)
    images = torch.nonzero(queries.view == 0)[:, 0]
    view = torch.arange(first, first + count, device=images.device).repeat_interleave(len(images))
    return replace(queries.where(images.repeat(count)), view=view)


def _shuffled(model: Towers, towers: nn.Module, views: Sequence[Tensor], context: Context) -> tuple[Tensor, Tensor]:
    """Each rank encodes the images that a permutation of the global batch brings it to, and gets its own rows back."""
    comm, stream = context.comm, context.streams.at("shuffle", context.clock.step)
    share = len(views[0])
    mine = slice(comm.rank * share, (comm.rank + 1) * share)
    orders = [stream.permutation(share * comm.world) for _ in views]
    mixed = [comm.gather(view)[order[mine]] for view, order in zip(views, orders, strict=True)]
    h, z = (
        torch.cat(
            [comm.gather(part)[order.argsort()[mine]] for part, order in zip(rows.split(share), orders, strict=True)]
        )
        for rows in model.through(towers, mixed)
    )
    return h, z
