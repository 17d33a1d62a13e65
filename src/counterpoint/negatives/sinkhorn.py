"""Codes that share all prototypes evenly among the samples of a batch."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.types import Comm

__all__ = ["balances", "sinkhorn"]

# 2 / epsilon is the most by which logits of cosines differ: float32 holds exp(-80), float64 exp(-700).
_SINGLE, _DOUBLE = 2 / 80, 2 / 700


def balances(epsilon: float, iterations: int) -> None:
    """Refuse numbers with which nothing can be balanced.

    Raises:
        RecipeError: an epsilon that is too small, or a negative number of iterations.
    """
    if not epsilon >= _DOUBLE or iterations < 0:
        raise RecipeError(
            f"sinkhorn got epsilon {epsilon:g} and {iterations} iterations; epsilon is at least 0.003 (0.05 is usual), "
            "and there are 0 iterations or more"
        )


@torch.no_grad()
def sinkhorn(
    scores: Float[Tensor, "sample prototype"], *, epsilon: float, iterations: int, comm: Comm | None = None
) -> Float[Tensor, "sample prototype"]:
    r"""Soft assignments of samples to prototypes, so that all prototypes are used about equally.

    From Q = exp(scores / epsilon), each iteration divides the numbers of a prototype by their sum over samples, then
    those of a sample by their sum over prototypes. At the fixed point Q / n maximises <Q, scores> + epsilon H(Q) where
    every sample has the mass 1 / n and every prototype 1 / p; three iterations come near it. A sample's code sums to 1
    exactly.

    Computed as two vectors of factors around one matrix, whose largest number for each prototype is 1: nothing
    overflows. No gradient.

    Source: Caron et al. 2020 (SwAV), equations 3 to 5 and its released code; Cuturi 2013 for the algorithm.

    Args:
        scores: cosines, in [-1, 1]: this rank's samples.
        epsilon: smoothness, from 0.003 on, in units of a cosine; the smaller, the nearer codes are to one-hot.
        iterations: >= 0; 0: nothing is balanced, a code is the softmax of scores / epsilon.
        comm: the ranks whose samples are balanced together; None: these samples are all.

    Raises:
        RecipeError: an epsilon that is too small, or a negative number of iterations.

    Example:
        Three samples prefer the first prototype; the third has to give in.

        >>> scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
        >>> sinkhorn(scores, epsilon=0.05, iterations=100)[:, 0].sum().round(decimals=3)
        tensor(2.)
    """
    balances(epsilon, iterations)
    with torch.autocast(scores.device.type, enabled=False):
        least = torch.float32 if epsilon >= _SINGLE else torch.float64
        logits = scores.to(torch.promote_types(scores.dtype, least)) / epsilon
        if not iterations:
            return logits.softmax(1).to(scores.dtype)
        peak = logits.amax(0) if len(logits) else logits.new_full(logits.shape[1:], -torch.inf)
        if comm is not None:
            peak = comm.gather(peak[None]).amax(0)
        power = logits.sub_(peak).exp_()
        sample = power.new_ones(len(power))
        prototype = power.new_ones(power.shape[1])
        for _ in range(iterations):
            mass = sample @ power
            prototype = 1 / (mass if comm is None else comm.sum(mass))
            sample = 1 / (power @ prototype)
        return power.mul_(prototype).mul_(sample[:, None]).to(scores.dtype)
