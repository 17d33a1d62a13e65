"""A batch on a CPU, block by block: each block is small enough for the cache, and one thread computes all of it.

Small operations gain nothing from being split over threads, one by one; whole blocks do. What is computed for a sample
depends neither on the number of threads nor on who computes it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from threading import Barrier, BrokenBarrierError, Lock

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["BLOCK", "in_blocks"]

BLOCK = (
    3 * 2**18
)  # values of a block: 3 MiB of float32, in the shared cache; smaller ones leave threads waiting for Python
PATIENCE = 10.0  # seconds for all threads to start


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor | None:
    """Threads that compute alone; none if the system does not start so many.

    A forked process has none of its parent's, hence its number.
    """
    started = Barrier(threads, timeout=PATIENCE)

    def start() -> None:
        torch.set_num_threads(1)
        with suppress(BrokenBarrierError):
            started.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "views", initializer=start)
    try:
        for _ in range(threads):
            pool.submit(int)
        pool.submit(int).result()
    except RuntimeError:  # a thread cannot be started: those that were need not wait for it
        started.abort()
    # The number is each thread's own, but threads that start later take the one that was set last.
    torch.set_num_threads(before)
    if started.broken:
        pool.shutdown(wait=False)
        return None
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
    """What `compute` makes of each sample, in the order of the images; autocast has no say, on any thread.

    Every block is written into its place in the result, unless it carries a gradient: those are joined at the end.

    Args:
        images: on a CPU.
        size: height and width of what is made.
        compute: pure, from some images and which they are to as many images, of any number of channels.
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
    grad, inference, lock = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), Lock()
    whole: list[Tensor] = []

    def one(part: slice | Tensor) -> Tensor | None:
        by_slice = isinstance(part, slice)
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            made = compute(images[part] if by_slice else images.index_select(0, part), part)
            if made.requires_grad:
                return made
            with lock:
                if not whole:
                    whole.append(made.new_empty(batch, *made.shape[1:]))
            if by_slice:
                whole[0][part] = made
            else:
                whole[0].index_copy_(0, part, made)
        return None

    with torch.autocast("cpu", enabled=False):
        if threads == 1 and len(parts) == 1:
            return compute(images, slice(None))
        pool = None if threads == 1 else _pool(threads, os.getpid())
        carrying = list(map(one, parts) if pool is None else pool.map(one, parts))
    if all(made is None for made in carrying):
        return whole[0]
    # A part that no gradient reaches is in its place already.
    joined = torch.cat([whole[0][part] if made is None else made for made, part in zip(carrying, parts, strict=True)])
    return joined if order is None else joined.index_select(0, order.argsort())
