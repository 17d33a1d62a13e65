"""Patches further down, predicted step by step, among the patches of all images."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.relations import Aligned
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Ahead"]


class _Steps(State):
    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.randn(steps, width, width) / width**0.5)


@dataclass(frozen=True)
class Ahead:
    """The context c of a patch has to find the patch k rows below it; one match for each k.

    The score is z^T W_k c, with one matrix a step, folded into the query. Candidates are all patches of the global
    batch that are k rows or more from the top: of the same image and of others. Over ranks they are gathered with
    gradient. The views are the patches of a grid, row by row; the pairing is not asked.

    Source: van den Oord et al. 2018, arXiv:1807.03748, equations 3 and 4, and section 3.2 (up to five rows of a 7 x 7
    grid).

    Args:
        grid: patches along a side.
        steps: the furthest k.
        nearest: the first k; 2 leaves out the row that overlaps with the context's own patch.

    See also: `counterpoint.heads.CausalContext`, which makes c.
    """

    grid: int = 7
    steps: int = 5
    nearest: int = 1

    def build(self, facts: Facts) -> State | None:
        """One matrix for each step."""
        if not 1 <= self.nearest <= self.steps < self.grid:
            raise RecipeError(
                f"Ahead(grid={self.grid}, steps={self.steps}, nearest={self.nearest}): give 1 <= nearest <= steps < "
                "grid, or no patch is that far below another"
            )
        return _Steps(self.steps - self.nearest + 1, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """A match for each step."""
        line, rest = divmod(len(keys.z), self.grid)
        if rest or line % self.grid or len(online.query) != len(keys.z):
            raise ShapeError(
                f"Ahead(grid={self.grid}) needs the views of {self.grid} x {self.grid} patches, but got "
                f"{len(keys.z)} rows in {int(keys.rows.view.max()) + 1} views"
            )
        matches: list[Match] = []
        for k, matrix in enumerate(cast(_Steps, state).matrices, self.nearest):
            # Rows are view-major and views go from top to bottom: an image's patches of one line stand together.
            query = online.query[: (self.grid - k) * line] @ matrix.T
            rows = context.comm.gather(keys.z[k * line :])
            relation = Aligned(context.comm.rank * len(query), device=query.device)
            matches.append(Match(query, (Columns(rows, relation, score),)))
        return matches

    def seen(self, global_batch: int, views: int) -> int:
        """All patches but one, at the nearest step."""
        return (self.grid - self.nearest) * self.grid * global_batch - 1
