"""Rows that are written round and round: the newest in place of the oldest."""

from jaxtyping import Int64
from torch import Tensor, arange

__all__ = ["taken"]


def taken(head: Int64[Tensor, ""], count: int, size: int) -> Int64[Tensor, " count"]:
    """The next places, and the head behind the last of them.

    Args:
        head: the next place; moved.
        count: of new rows, at most `size`.
        size: of the ring.

    Example:
        >>> import torch
        >>> head = torch.tensor(3)
        >>> taken(head, 2, 4), head
        (tensor([3, 0]), tensor(1))
    """
    places = (head + arange(count, device=head.device)) % size
    head.copy_((head + count) % size)
    return places
