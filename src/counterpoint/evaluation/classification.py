"""What a classifier's answers on the test set are worth."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.resampling import Estimate, percentiles, resamples

__all__ = ["balanced_accuracy", "confusion_matrix", "top_k_accuracy", "top_k_hits"]


def confusion_matrix(
    labels: Int64[Tensor, " row"], predictions: Int64[Tensor, " row"], classes: int
) -> Int64[Tensor, "class class"]:
    """Counts; rows are the true class, columns the predicted one.

    Args:
        labels: the true class of each row, in [0, classes).
        predictions: the class that was said, in [0, classes).
        classes: how many there are.

    Example:
        >>> confusion_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    return torch.bincount(labels * classes + predictions, minlength=classes * classes).view(classes, classes)


def top_k_hits(scores: Float[Tensor, "row class"], labels: Int64[Tensor, " row"], k: int) -> Bool[Tensor, " row"]:
    """Whether the true class is among the k best; of equal scores the lower class index comes first."""
    own = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    return ((scores > own) | ((scores == own) & before)).sum(1) < k


def top_k_accuracy(scores: Float[Tensor, "row class"], labels: Int64[Tensor, " row"], k: int = 1) -> float:
    """Share of rows whose true class is among the k best scores; ties by class index.

    Args:
        scores: higher is more likely.
        labels: in [0, class).
        k: at least 1.

    Raises:
        ShapeError: no rows, or k is no rank.
    """
    if k < 1 or len(scores) == 0:
        raise ShapeError(f"top-{k} accuracy of {len(scores)} rows is undefined; it needs k >= 1 and at least one row")
    return float(top_k_hits(scores, labels, k).double().mean())


def balanced_accuracy(
    labels: Int64[Tensor, " row"], predictions: Int64[Tensor, " row"], *, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Mean recall over the classes that have rows, with its bootstrap interval."""
    present, dense = labels.unique(return_inverse=True)
    member = torch.zeros(len(labels), len(present), dtype=torch.float64)
    member[torch.arange(len(labels)), dense] = 1.0
    hit = member * (labels == predictions)[:, None]
    recall = torch.cat([(w.double() @ hit) / (w.double() @ member) for w in resamples(len(labels), draws, seed)])
    low, high = percentiles(recall.nanmean(1, keepdim=True))[:, 0].tolist()
    return Estimate(float((hit.sum(0) / member.sum(0)).mean()), low, high)
