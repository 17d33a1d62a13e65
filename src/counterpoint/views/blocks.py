"""A batch on a CPU, block by block: each block is small enough for the cache, and one thread computes all of it.

Small operations gain nothing from being split over threads, one by one; whole blocks do. What is computed for a sample
depends neither on the number of threads nor on who computes it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["BLOCK", "in_blocks"]

BLOCK = (
    3 * 2**18
)  # values of a block: 3 MiB of float32, in the shared cache; smaller ones leave threads waiting for Python


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads that compute alone. A forked process has none of its parent's, hence its number."""
    started = Barrier(threads)

    def start() -> None:
        torch.set_num_threads(1)
        started.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "views", initializer=start)
    for _ in range(threads):
        pool.submit(int)
    pool.submit(int).result()
    # The number is each thread's own, but threads that start later take the one that was set last.
    torch.set_num_threads(before)
    return pool


@lru_cache(maxsize=1)
def _keep_memory() -> None:
    """Freeing one large tensor teaches the allocator of the GNU C library to keep what is freed after it.

    Otherwise it returns the memory of every block's tensors to the system and gets it back page by page, which takes
    longer than the views. Elsewhere nothing happens.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


def in_blocks(
    images: Tensor,
    size: tuple[int, int],
    compute: Callable[[Tensor, slice | Int64[Tensor, " some"]], Tensor],
    order: Int64[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch channel tall wide"]:
    """What `compute` makes of each sample, in the order of the images.

    Args:
        images: on a CPU.
        size: height and width of what is made.
        compute: pure, from some images and which they are to as many images.
        order: in which samples are put together into blocks; none: as they come.
    """
    _keep_memory()
    (batch, channels), threads = images.shape[:2], torch.get_num_threads()
    values = channels * max(size[0] * size[1], images.shape[-2:].numel(), 1)
    block = max(1, min(BLOCK // values, -(-batch // threads)))
    if order is None:
        parts = [slice(first, first + block) for first in range(0, batch, block)]
    else:
        parts = list(order.split(block))
    if threads == 1 and len(parts) == 1:
        return compute(images, slice(None))
    out = torch.empty(batch, channels, *size, dtype=images.dtype if images.is_floating_point() else torch.float32)
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def one(part: slice | Tensor) -> None:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            if isinstance(part, slice):
                out[part] = compute(images[part], part)
            else:
                out.index_copy_(0, part, compute(images.index_select(0, part), part))

    for _ in map(one, parts) if threads == 1 else _pool(threads, os.getpid()).map(one, parts):
        pass
    return out
