"""Principal components found on one set of rows and applied to another."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["principal"]


def principal(
    train: Float[Tensor, "row width"], test: Float[Tensor, "seen width"], most: int
) -> tuple[Float[Tensor, "row part"], Float[Tensor, "seen part"]]:
    """The leading principal components of the training rows, and the same directions of the test rows.

    Args:
        train: rows that the directions are found on.
        test: rows that they are applied to.
        most: directions; as many as there are columns where these are fewer.
    """
    mean = train.mean(0)
    covariance = torch.zeros(train.shape[1], train.shape[1], dtype=torch.float64)
    for part in train.split(8192):
        covariance += ((part - mean).T @ (part - mean)).double()
    axes = torch.linalg.eigh(covariance).eigenvectors[:, -most:].to(train.dtype)
    return (train - mean) @ axes, (test - mean) @ axes
