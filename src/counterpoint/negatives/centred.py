"""A teacher's distribution over learned dimensions, centred and sharpened, is predicted from other views."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.negatives._views import by_view, swapped
from counterpoint.relations import Explicit
from counterpoint.schedules import value
from counterpoint.sphere import Dot
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Number, Pairing, Score, State, ends

__all__ = ["Centred"]


class _Centre(State):
    centre: Tensor

    def __init__(self, part: "Centred", width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.part = part

    def after_backward(self, model: nn.Module, context: Context) -> None:
        if context.clock.epoch >= self.part.frozen_epochs:
            return
        try:
            layer = model.get_submodule(f"towers.projector.{self.part.frozen}")
        except AttributeError as error:
            raise RecipeError(
                f"the projector has no layer {self.part.frozen!r} to keep still for {self.part.frozen_epochs:g} "
                "epochs; take heads.projector=counterpoint.heads:PrototypeHead, or set negatives.frozen_epochs=0"
            ) from error
        for parameter in layer.parameters():
            parameter.grad = None

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        mean = context.comm.sum(keys.z.to(self.centre.dtype).mean(0)) / context.comm.world
        self.centre.lerp_(mean, 1.0 - value(self.part.momentum, context.clock))


@dataclass(frozen=True)
class Centred:
    r"""The projection is a row of logits; a view is to predict the target's distribution for another view.

    With the target's logits t of the views that it sees, and the centre c,

        P = softmax((t - c) / temperature),        L = mean over pairs u != v of -sum_k P_uk log softmax(s_v / T)_k
        c <- m c + (1 - m) mean(t)                 after the step, over all its views and ranks

    where T is the objective's temperature. The centre keeps one dimension from winning everywhere, the low temperature
    keeps the distribution from becoming even; either alone collapses. P is computed with the centre of before the step.

    Source: Caron et al. 2021, arXiv:2104.14294, equations 1 to 4 and algorithm 1.

    Args:
        temperature: of the target, > 0, below the objective's: sharpening. Equal to the objective's: none.
        momentum: m of the centre, in [0, 1]; 1: it stays 0, nothing is centred.
        frozen: a layer of the projector that gets no gradient before `frozen_epochs`.
        frozen_epochs: how long; 0: not at all.
    """

    temperature: Number = 0.04
    momentum: Number = 0.9
    frozen: str = "prototypes"
    frozen_epochs: float = 1.0

    def __post_init__(self) -> None:
        if not all(value > 0 for value in ends(self.temperature)):
            raise RecipeError(f"Centred(temperature={self.temperature}): it divides logits and must be above 0")
        if not all(0 <= value <= 1 for value in ends(self.momentum)):
            raise RecipeError(f"Centred(momentum={self.momentum}): give a number in [0, 1]")

    def build(self, facts: Facts) -> State | None:
        """A centre of 0."""
        return _Centre(self, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match for each view; its logits are candidates of width one, private to each anchor."""
        if type(score) is not Dot or score.scale != 1.0:
            raise RecipeError("logits are compared as they are; set score=counterpoint.scores:Dot")
        centre = cast(_Centre, state).centre
        temperature = value(self.temperature, context.clock)
        with torch.no_grad():
            answers = [((logits - centre) / temperature).softmax(1) for logits in by_view(keys.z, keys.rows).values()]
        queries = by_view(online.query, online.rows)
        one = torch.ones_like(queries[0][:, :1])
        return [
            Match(one, (Columns(queries[view][:, :, None], Explicit(target), score),), weight)
            for view, target, weight in swapped(answers, len(queries))
        ]

    def seen(self, global_batch: int, views: int) -> int:
        """None of the batch."""
        return 0
