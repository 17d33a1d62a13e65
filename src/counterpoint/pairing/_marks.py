"""What keeps a row from being compared with itself."""

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.types import Rows

_VIEWS = 1 << 16


def marks(rows: Rows, only_other_view: bool) -> Int64[Tensor, " row"]:
    """Equal where two rows must not meet: the same position and view, or the same view.

    A row of an earlier batch (a queue's) has a negative position and is nobody's self.
    """
    if only_other_view:
        return rows.view
    return torch.where(rows.position < 0, -1, rows.position * _VIEWS + rows.view)
