"""Where a run works: device and ranks by Lightning Fabric, precision and layout by measuring."""

import os
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.engine.allocator import keep_freed_memory
from counterpoint.errors import RecipeError

__all__ = ["Machine", "Numerics", "launch", "measured"]


@dataclass(frozen=True)
class Numerics:
    """What was decided about precision and memory layout; stored with the run, so that a resumed run is the same run.

    Args:
        precision: `32-true`, or `bf16-mixed` (bfloat16 autocast; losses stay in float32).
        channels_last: layout of images and convolution weights.
    """

    precision: str = "32-true"
    channels_last: bool = False

    @contextmanager
    def autocast(self, device: torch.device) -> Generator[None]:
        """Bfloat16 where it was chosen."""
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            yield

    def arrange(self, model: nn.Module) -> nn.Module:
        """The module in the chosen layout."""
        if self.channels_last:
            return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return model


@dataclass(frozen=True, eq=False)
class Machine:
    """Devices and ranks.

    Args:
        fabric: started.
        device: of this rank.
        comm: the ranks.
    """

    fabric: Any
    device: torch.device
    comm: Comm

    @property
    def leads(self) -> bool:
        """Whether this rank writes and speaks."""
        return self.comm.rank == 0


def launch(accelerator: str = "auto", devices: int = 1, num_nodes: int = 1) -> Machine:
    """Start Fabric, by its own launcher or inside torchrun's processes; on a CPU, freed memory is kept from here on.

    Raises:
        RecipeError: the accelerator or the devices are not there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightning_fabric import Fabric

    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        num_nodes = int(os.environ["WORLD_SIZE"]) // devices
    if accelerator in ("cuda", "gpu") and not torch.cuda.is_available():
        raise RecipeError("--accelerator cuda was asked for, but torch sees no CUDA device here; use --accelerator cpu")
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu":
        keep_freed_memory()
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise RecipeError(f"--devices {devices} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = devices * num_nodes > 1
        fabric: Any = Fabric(
            accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy="ddp" if many else "auto"
        )
        fabric.launch()
    return Machine(fabric, fabric.device, Comm.current() if many else Comm.alone())


def measured(
    work: Callable[[nn.Module, Numerics], None], model: nn.Module, asked: tuple[str, str], device: torch.device
) -> tuple[Numerics, dict[str, float]]:
    """The fastest numerics for a training step on this machine, among those that were not asked for by name.

    Args:
        work: a step, forward and backward, on a copy of the model.
        model: left as it is.
        asked: precision (`auto` or a name) and channels_last (`auto`, `yes`, `no`).
        device: for synchronisation.

    Returns:
        The choice, and the seconds of every candidate by name. Float32 in contiguous layout stays unless another is at
        least 5 % faster.
    """
    precisions = ["32-true", "bf16-mixed"] if asked[0] == "auto" else [asked[0]]
    layouts = [False, True] if asked[1] == "auto" else [asked[1] == "yes"]
    candidates = [Numerics(p, layout) for p in precisions for layout in layouts]
    if len(candidates) == 1:
        return candidates[0], {}
    arranged = {layout: Numerics(channels_last=layout).arrange(deepcopy(model)) for layout in layouts}
    times: list[list[float]] = [[] for _ in candidates]
    # In turns, so that whatever else the machine does slows all of them alike.
    for repeat in range(4):
        quickest = min((one[-1] for one in times if one), default=float("inf"))
        for candidate, taken in zip(candidates, times, strict=True):
            if repeat > 1 and taken[-1] > 2 * quickest:
                continue
            start = time.perf_counter()
            work(arranged[candidate.channels_last], candidate)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - start)
    best, best_time = candidates[0], float("inf")
    seconds: dict[str, float] = {}
    for candidate, taken in zip(candidates, times, strict=True):
        least = min(taken[1:])
        layout = "channels-last" if candidate.channels_last else "contiguous"
        seconds[f"{candidate.precision} {layout}"] = round(least, 6)
        if least < (best_time if candidate is candidates[0] else 0.95 * best_time):
            best, best_time = candidate, least
    return replace(best), seconds
