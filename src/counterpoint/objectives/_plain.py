"""What the plain functions share."""

from torch import Tensor

from counterpoint.errors import ShapeError


def require_rows(function: str, name: str, rows: Tensor) -> None:
    """One row for each view: [row, dim]."""
    if rows.ndim != 2:
        raise ShapeError(
            f"{function} got {name} of shape {list(rows.shape)}, but it needs [row, dim]; "
            "stack the views along the first axis"
        )
