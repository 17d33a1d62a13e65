"""Which image a candidate is: the comparisons of a step, asked once more with images' numbers in place of rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.distributed import Comm
from counterpoint.engine import batches, steps_per_epoch
from counterpoint.model import Model
from counterpoint.negatives import Bank, Mixed, Queue
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.types import Clock, Context, Encoded, Match, Negatives, Pairing, Rows, Score, Split, State

__all__ = ["Owners", "owners_of"]

NOBODY = -1  # a candidate that is no image of the data: a random row, a mixture


@dataclass(frozen=True, eq=False)
class Owners:
    """Who stands in the comparisons of a run.

    Args:
        part: the recipe's negatives, or those of which they are made.
        state: that part's own, which holds numbers of images where a run's holds rows.
    """

    part: Negatives
    state: State | None

    def of(
        self,
        matches: Sequence[Match],
        online: Encoded,
        keys: Encoded,
        pairing: Pairing,
        score: Score,
        context: Context,
    ) -> list[tuple[Int64[Tensor, " anchor"], Int64[Tensor, "anchor candidate"]]]:
        """For each match the images of its anchors, and of their candidates; NOBODY where there is none.

        Candidates beyond those of the part, mixtures, are nobody's.

        Args:
            matches: of the step.
            online: its anchors.
            keys: what they were compared with.
            pairing: of the recipe.
            score: likewise.
            context: of the step.
        """
        asked = self.part.match(_numbered(online), _numbered(keys), pairing, score, self.state, context)
        found: list[tuple[Tensor, Tensor]] = []
        for match, own in zip(matches, asked, strict=True):
            count = len(match.query)
            groups = [group.rows[..., 0].expand(count, -1).long() for group in own.columns]
            more = [
                torch.full((count, group.rows.shape[-2]), NOBODY, device=match.query.device)
                for group in match.columns[len(groups) :]
            ]
            found.append((own.query[:, 0].long(), torch.cat([*groups, *more], 1)))
        return found

    def after_step(self, model: Model, online: Encoded, keys: Encoded, context: Context) -> None:
        """The state moves on as the run's does; a bank's numbers stay where they are."""
        if self.state is not None and isinstance(self.part, Queue):
            self.state.after_step(model, context, _numbered(online), _numbered(keys))


def _numbered(encoded: Encoded) -> Encoded:
    """The number of its image in place of a row; exact, as float64."""
    number = encoded.rows.sample.double()[:, None]
    return replace(encoded, z=number, p=None)


def owners_of(recipe: Recipe, model: Model, steps: int, images: int, seed: int) -> Owners | None:
    """Who stands in the comparisons of a run after so many steps; None for negatives that are no images.

    A bank has a row for each image. What a queue holds is found by filling one with the numbers of the images in the
    order in which the run saw them, which follows from its seed.

    Args:
        recipe: of the run.
        model: of the run.
        steps: taken.
        images: trained on.
        seed: of the run.
    """
    part = recipe.negatives.queue if isinstance(recipe.negatives, Mixed) else recipe.negatives
    state = part.build(replace(model.facts, projection=1))
    if state is None:
        return Owners(part, None)
    state = state.double()
    rows = cast(Tensor, cast(Any, state).rows) if isinstance(part, Bank | Queue) else None
    if isinstance(part, Bank) and rows is not None:
        rows.copy_(torch.arange(images)[:, None])
        return Owners(part, state)
    if isinstance(part, Queue) and rows is not None:
        rows.fill_(NOBODY)
        found = Owners(part, state)
        _replay(found, recipe, model, steps, images, seed)
        return found
    return None


def _replay(owners: Owners, recipe: Recipe, model: Model, steps: int, images: int, seed: int) -> None:
    blank, streams = Split(torch.zeros(images, 1, 1, 1, dtype=torch.uint8)), Streams(seed)
    per_epoch = steps_per_epoch(recipe, images)
    for start in range(0, steps, per_epoch):
        begun = Clock(start, steps, per_epoch)
        epoch = batches(blank, recipe, streams, begun, torch.device("cpu"))
        for step, batch in zip(range(start, steps), epoch, strict=False):
            rows = Rows.of(batch, 2)
            seen = Encoded(torch.empty(len(rows), 0), torch.empty(len(rows), 1), rows)
            owners.after_step(model, seen, seen, Context(Clock(step, steps, per_epoch), Comm.alone(), streams))
