"""SupCon: every view of an anchor's class is a positive."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.objectives._plain import require_rows
from counterpoint.objectives.contrast import contrast
from counterpoint.relations import Keyed
from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Match

__all__ = ["sup_con"]


def sup_con(z: Float[Tensor, "row dim"], labels: Int[Tensor, " label"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean over anchors of the mean over positives of -log softmax of their cosine, among all rows but the anchor.

    An anchor without a positive is left out of the mean. The mean over positives is outside the logarithm.

    Source: Khosla et al. 2020, eq. 2 (L_out), without the factor temperature / 0.07 of the authors' code.

    Args:
        z: all views of all images, in any order; their lengths do not matter.
        labels: the class of each row; -1 is unknown: such a row attracts nobody, but repels.
        temperature: > 0, divides a cosine.

    Raises:
        ShapeError: not one label for each row.
        RecipeError: no class has two rows.

    See also: `nt_xent`, the same where every image is its own class.

    Example:
        Two orthogonal classes of four identical rows: log(3 + 4/e).

        >>> z = torch.eye(2).repeat_interleave(4, 0)
        >>> round(sup_con(z, torch.arange(2).repeat_interleave(4), temperature=1.0).item(), 6)
        1.497728
    """
    require_rows("sup_con", "z", z)
    if labels.shape != z.shape[:1]:
        raise ShapeError(
            f"sup_con got {len(z)} rows and labels of shape {list(labels.shape)}; give one label for each row, "
            "repeated for each view"
        )
    row, key = torch.arange(len(z), device=z.device), labels.to(z.device, torch.int64)
    return contrast(Match(z, (Columns(z, Keyed(key, key, row, row), Cosine()),)), temperature=temperature)
