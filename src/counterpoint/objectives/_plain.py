"""What the plain functions share."""

import torch
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.relations import Keyed


def require_rows(function: str, name: str, rows: Tensor) -> None:
    """One row for each view: [row, dim]."""
    if rows.ndim != 2:
        raise ShapeError(
            f"{function} got {name} of shape {list(rows.shape)}, but it needs [row, dim]; "
            "stack the views along the first axis"
        )


def twins(function: str, z: Tensor) -> Keyed:
    """Rows i and i + n are the two views of image i, and of all rows only they attract each other."""
    require_rows(function, "z", z)
    if len(z) % 2:
        raise ShapeError(
            f"{function} got {len(z)} rows, but it needs two views of each image: rows i and i + n; "
            "stack them with torch.cat([view1, view2])"
        )
    row = torch.arange(len(z), device=z.device)
    image = row % max(1, len(z) // 2)
    return Keyed(image, image, row, row)


def require_pairs(function: str, **tensors: Tensor) -> None:
    """Rows [row, dim] of one shape, and with them perhaps one label for each row."""
    (first, rows), *others = tensors.items()
    for name, tensor in tensors.items():
        if tensor.ndim == 1 and len(tensor) == len(rows):
            continue
        require_rows(function, name, tensor)
    for name, tensor in others:
        if tensor.shape[: tensor.ndim] != rows.shape[: tensor.ndim]:
            raise ShapeError(
                f"{function} got {first} of shape {list(rows.shape)} and {name} of shape {list(tensor.shape)}; "
                "row i of both must belong together"
            )
    if not len(rows):
        raise ShapeError(f"{function} got no rows; give at least one")
