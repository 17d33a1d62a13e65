"""Encoded rows of a small batch, and a context, for the parts that form matches."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

from counterpoint.distributed import Comm
from counterpoint.random import Streams
from counterpoint.types import Batch, Clock, Context, Encoded, Rows


def context(step=0, comm=None, per_epoch=10):
    comm = comm or Comm.alone()
    return Context(Clock(step, 100, per_epoch), comm, Streams(0, "cpu", comm.rank, comm.world))


def rows_of(n=4, views=2, labels=None, first=0):
    image = torch.arange(n)
    label = torch.full((n,), -1) if labels is None else torch.tensor(labels)
    return Rows.of(Batch(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), image + first, image, label), views)


def encoded(seed, n=4, views=2, width=5, predicted=False, labels=None, first=0):
    generator = torch.Generator().manual_seed(seed)
    h, z, p = (torch.randn(n * views, width, generator=generator, dtype=torch.float64) for _ in range(3))
    return Encoded(h, z, rows_of(n, views, labels, first), p if predicted else None)


def take(encoded, keep):
    """The rows of a mask, which stay in their places in the graph."""
    p = None if encoded.p is None else encoded.p[keep]
    return Encoded(encoded.h[keep], encoded.z[keep], encoded.rows.where(keep), p)


def share(encoded, rank, world=2):
    """What a rank of two has of a joined batch."""
    n = int(encoded.rows.position.max()) + 1
    return take(encoded, encoded.rows.position * world // n == rank)


def two_ranks(work):
    """What work(comm) answers on each of two ranks, which are threads that wait for each other."""
    told, barrier = {}, Barrier(2, timeout=20)

    class Meeting(Comm):
        def _all(self, t):
            told[self.rank] = t.detach()
            barrier.wait()
            found = [told[0], told[1]]
            barrier.wait()
            return found

        def gather(self, t):
            return torch.cat(self._all(t))

        def sum(self, t):
            return torch.stack(self._all(t)).sum(0)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda rank: work(Meeting(rank, 2)), range(2)))


def cosines(one, other):
    """In plain loops."""
    return [[_cosine(a, b) for b in other.tolist()] for a in one.tolist()]


def _cosine(a, b):
    dot = lambda x, y: sum(i * j for i, j in zip(x, y, strict=True))  # noqa: E731
    return dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5
