"""What evaluators accept, and the few things that all of them do to it."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.random import Stream
from counterpoint.types import Embeddings

__all__ = ["CELLS", "Features", "Labels", "Values", "blocks", "features", "labelled", "sampled", "values"]

Features = Embeddings | Float[Tensor, "_ _"] | Float[np.ndarray, "_ _"]
"""Rows to evaluate: `h` of Embeddings, or a matrix of one row for each image."""

Labels = Int[Tensor, " _"] | Int[np.ndarray, " _"]
"""Class index of each row, -1 where unknown."""

Values = Float[Tensor, " _"] | Float[np.ndarray, " _"]
"""Plain numbers in a row."""

CELLS = 1 << 25
"""Most elements that a block of similarities may have: 128 MiB in float32, whatever the number of rows."""


def features(x: Features) -> Float[Tensor, "row width"]:
    """The matrix, in float32 or float64."""
    rows = x.h if isinstance(x, Embeddings) else torch.as_tensor(x)
    if rows.ndim != 2:
        raise ShapeError(f"features have shape {tuple(rows.shape)}; expected two axes, [row, width]")
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()


def values(x: Values) -> Float[Tensor, " row"]:
    """A vector, in float64."""
    return torch.as_tensor(x).double()


def labelled(x: Features, labels: Labels | None, of: str) -> tuple[Float[Tensor, "row width"], Int64[Tensor, " row"]]:
    """The rows whose class is known, and their classes; labels given win over those of Embeddings.

    Raises:
        ShapeError: no labels, none known, or not one for each row.
    """
    rows = features(x)
    if labels is None and isinstance(x, Embeddings):
        labels = x.labels
    if labels is None:
        raise ShapeError(f"the {of} rows have no labels, and this score needs them; pass Embeddings with labels")
    known = torch.as_tensor(labels).to(rows.device, torch.int64)
    if len(known) != len(rows):
        raise ShapeError(f"{len(known)} labels arrived for {len(rows)} {of} rows; expected one for each row")
    keep = known >= 0
    if not keep.any():
        raise ShapeError(f"none of the {len(rows)} {of} rows has a known label, and this score needs some")
    return (rows, known) if bool(keep.all()) else (rows[keep], known[keep])


def blocks(rows: int, columns: int, cells: int = CELLS) -> Iterator[slice]:
    """Consecutive slices of `rows`, so that a slice times `columns` has at most `cells` elements."""
    step = max(1, cells // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def sampled(rows: int, most: int, stream: Stream) -> Int64[Tensor, " kept"]:
    """At most `most` of range(rows), in order: all where they fit, else drawn without replacement."""
    if rows <= most:
        return torch.arange(rows)
    return stream.permutation(rows)[:most].sort().values
