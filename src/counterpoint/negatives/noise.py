"""Random targets, one for each image, dealt out anew within every batch."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.relations import Related
from counterpoint.sphere import unit
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Noise"]


class _Noise(State):
    per_image = True
    targets: Tensor
    assigned: Tensor

    def __init__(self, images: int, width: int) -> None:
        super().__init__()
        self.register_buffer("targets", unit(torch.randn(images, width)))
        self.register_buffer("assigned", torch.arange(images))
        # What the step has dealt out: images and targets. It counts from the next step on.
        self.dealt: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        if self.dealt is not None:
            self.assigned[self.dealt[0]] = self.dealt[1]
        self.dealt = None


@dataclass(frozen=True)
class Noise:
    """An image's target is a fixed random direction; which, is decided by who in the batch is nearest to it.

    Directions are drawn evenly from the sphere, as many as there are images, and never change, so that nothing can
    collapse. In each step the targets of a batch are dealt out anew among its images: the permutation with the largest
    sum of cosines, before the loss is computed (the Hungarian algorithm, over all ranks). The permutation over all
    images is kept.

    Source: Bojanowski and Joulin 2017, arXiv:1704.05310, section 3 and algorithm 1.

    Args:
        every: epochs from one in which targets are dealt out to the next, from the first on; 0: never, each image
            keeps the target that it was given by chance.
    """

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 0:
            raise RecipeError(f"Noise(every={self.every}): give 0 or more epochs")

    def build(self, facts: Facts) -> State | None:
        """A direction for each training image."""
        return _Noise(facts.images, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match; each anchor has one candidate, its target."""
        own = cast(_Noise, state)
        mine = online.rows.sample[online.rows.view == 0]
        chosen = own.assigned[mine]
        own.dealt = None
        if self.every and int(context.clock.epoch) % self.every == 0:
            comm = context.comm
            # The cosines of an image's views add up, so that their sum stands for all.
            whole = unit(online.query.detach()).unflatten(0, (-1, len(mine))).sum(0)
            images, rows = comm.gather(mine), comm.gather(whole)
            targets = own.assigned[images]
            targets = targets[_nearest(rows @ own.targets[targets].to(rows.dtype).mT)]
            own.dealt = images, targets
            chosen = targets[comm.rank * len(mine) : (comm.rank + 1) * len(mine)]
        rows = own.targets[chosen.repeat(len(online.query) // len(mine))]
        return [Match(online.query, (Columns(rows[:, None], Related(rows.device), score),))]

    def seen(self, global_batch: int, views: int) -> int:
        """None: other images only compete for targets."""
        return 0


def _nearest(cosine: Tensor) -> Int64[Tensor, " image"]:
    """For each row the column that it gets where all together get the largest sum."""
    from scipy.optimize import linear_sum_assignment

    cosine = cosine.double()
    # What a column has in all of its rows changes no choice, but costs the search most of its time: the rows of a young
    # network all lie one way, nearer to some targets than to others (512 images: 65 ms, without it 8).
    loss = cosine.amax(0) - cosine
    _, columns = linear_sum_assignment(loss.cpu().numpy())
    return torch.as_tensor(columns, dtype=torch.int64).to(cosine.device)
