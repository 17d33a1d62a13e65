"""Derivatives that are made by hand are constants: the first is right, a second is refused."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from counterpoint.errors import RecipeError

__all__ = ["first_order"]


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass of a torch.autograd.Function that cannot be differentiated again, and says so when it is asked.

    torch's `once_differentiable` alone gives a constant where the first derivative's own derivative is wanted.

    Raises:
        RecipeError: the call has create_graph=True.
    """
    once = once_differentiable(backward)

    @wraps(backward)
    def checked(ctx: Any, *upstream: Any) -> Any:
        # Autograd keeps a graph of a backward pass only where create_graph asks for it.
        if torch.is_grad_enabled():
            raise RecipeError(
                "a second derivative was asked for (create_graph=True) of what is differentiated once, by hand; take "
                "contrast_dense of rows that plain torch has normalised, or leave create_graph out"
            )
        return once(ctx, *upstream)

    return checked
