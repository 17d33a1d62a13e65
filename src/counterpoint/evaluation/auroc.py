"""AUROC: the chance that a row with something scores above a row without it; ties count half, 0.5 is guessing."""

import math

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

__all__ = ["auroc", "auroc_influence"]


def auroc(scores: Float[Tensor, " row"], truth: Bool[Tensor, " row"]) -> float:
    """The area under the ROC curve; nan where every row has it, or none.

    Args:
        scores: higher where a row is likelier to have it.
        truth: whether a row has it.

    Example:
        Of the four pairs of a row with and one without, three are in order:

        >>> auroc(torch.tensor([0.1, 0.4, 0.3, 0.9]), torch.tensor([False, False, True, True]))
        0.75
    """
    yes, no = scores[truth].double(), scores[~truth].double()
    return float(_placed(yes, no).mean()) if len(yes) and len(no) else math.nan


def auroc_influence(
    scores: Float[Tensor, " row"], truth: Bool[Tensor, " row"]
) -> tuple[float, Float64[Tensor, " row"]]:
    """AUROC, and what each row moves it by: the sum of their squares over n^2 is its variance.

    Source: DeLong et al. 1988, "Comparing the areas under two or more correlated ROC curves", by ranks as in
        Sun & Xu 2014.

    Args:
        scores: higher where a row is likelier to have it.
        truth: whether a row has it; both must occur.
    """
    yes, no = scores[truth].double(), scores[~truth].double()
    ours = _placed(yes, no)
    area = float(ours.mean())
    influence = torch.empty_like(scores, dtype=torch.float64)
    influence[truth] = (ours - area) * (len(scores) / len(yes))
    influence[~truth] = (1 - _placed(no, yes) - area) * (len(scores) / len(no))
    return area, influence


def _placed(rows: Tensor, among: Tensor) -> Tensor:
    """The share of the others that lie below each row; equal ones count half."""
    ordered = among.sort().values
    below = torch.searchsorted(ordered, rows) + torch.searchsorted(ordered, rows, right=True)
    return below.double() / (2 * len(among))
