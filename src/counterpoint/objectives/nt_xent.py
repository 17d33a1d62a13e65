"""NT-Xent: each view finds its twin among all other views of the batch."""

from jaxtyping import Float
from torch import Tensor

from counterpoint.objectives._plain import twins
from counterpoint.objectives.contrast import contrast
from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Match

__all__ = ["nt_xent"]


def nt_xent(z: Float[Tensor, "row dim"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean over rows of -log softmax of the cosine to the twin, among all rows but the row itself.

    Source: Chen et al. 2020, eq. 1 and algorithm 1. The authors' code sums two halves: twice this mean.

    Args:
        z: rows i and i + n are the two views of image i; their lengths do not matter.
        temperature: > 0, divides a cosine.

    Raises:
        ShapeError: an odd number of rows.

    See also: `sup_con`, with labels; `info_nce`, with keys of another network.

    Example:
        Two identical views of two orthogonal images: log(1 + 2/e).

        >>> import torch
        >>> z = torch.eye(2).repeat(2, 1)
        >>> round(nt_xent(z, temperature=1.0).item(), 6)
        0.551445
    """
    match = Match(z, (Columns(z, twins("nt_xent", z), Cosine()),))
    return contrast(match, temperature=temperature)
