"""Random numbers are passed: named streams, each a pure function of the run's seed, a name and a step.

Nothing has to be saved for an exact resume, a draw added to one stream leaves the others as they were, and the caller's
global generator is never touched. On many ranks every rank draws for the global batch and keeps its own rows, so that
the views of a sample do not depend on how many processes share the work.
"""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Stream", "Streams", "forked"]


def _seed(*parts: object) -> int:
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Stream:
    """Draws whose first axis is the batch.

    Args:
        seed: any integer.
        device: where the draws are made, and where they live.
        rank, world: with a world of W, a draw of n rows makes W * n and keeps the rank's n.
    """

    def __init__(self, seed: int, *, device: torch.device | str = "cpu", rank: int = 0, world: int = 1) -> None:
        self.device = torch.device(device)
        self.rank, self.world = rank, world
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(seed)

    def _own(self, drawn: Tensor) -> Tensor:
        rows = len(drawn) // self.world
        return drawn[self.rank * rows : (self.rank + 1) * rows]

    def _global(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (shape[0] * self.world, *shape[1:])

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 in [low, high), of the given shape."""
        drawn = torch.rand(self._global(shape), generator=self.generator, device=self.device)
        return self._own(drawn).mul_(high - low).add_(low)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32 of the given shape."""
        return self._own(torch.randn(self._global(shape), generator=self.generator, device=self.device))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 in [low, high), of the given shape."""
        drawn = torch.randint(low, high, self._global(shape), generator=self.generator, device=self.device)
        return self._own(drawn)

    def permutation(self, n: int) -> Tensor:
        """One permutation of range(n), the same on every rank."""
        return torch.randperm(n, generator=self.generator, device=self.device)


@dataclass(frozen=True)
class Streams:
    """All streams of a run.

    Args:
        seed: the run's seed.
        device: where the draws are made.
        rank, world: as in `Stream`.

    Example:
        >>> views = Streams(0).at("views", 7)
        >>> bool((views.uniform(3) == Streams(0).at("views", 7).uniform(3)).all())
        True
    """

    seed: int
    device: torch.device | str = "cpu"
    rank: int = 0
    world: int = 1

    def at(self, name: str, *when: int) -> Stream:
        """The stream of a name (`init`, `order`, `views`, `negatives`, `pairing`) at an epoch or step."""
        return Stream(_seed(self.seed, name, *when), device=self.device, rank=self.rank, world=self.world)

    def number(self, name: str, *when: int) -> int:
        """One integer in [0, 2**63), for a library that takes a seed."""
        return _seed(self.seed, name, *when)


@contextmanager
def forked(seed: int, device: torch.device | str = "cpu") -> Generator[None]:
    """Seed torch's global generators inside, for layers that draw from them (dropout, initialisation); then restore."""
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Not torch.manual_seed, which would seed the devices that are not restored.
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
