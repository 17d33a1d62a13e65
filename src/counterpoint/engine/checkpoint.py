"""Checkpoints hold everything that an exact resume needs, appear whole or not at all, and the last few are kept."""

import pickle
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim import Optimizer

from counterpoint.errors import CheckpointError
from counterpoint.files import whole
from counterpoint.model import Model
from counterpoint.types import Comm

__all__ = ["Checkpoint", "clean", "newest", "restore", "save"]

_NAME = re.compile(r"step-(\d+)\.pt")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint read from disk."""

    path: Path
    step: int
    content: dict[str, Any]


def _files(folder: Path) -> list[tuple[int, Path]]:
    found = [(int(match[1]), p) for p in folder.glob("step-*.pt") if (match := _NAME.fullmatch(p.name))]
    return sorted(found)


def _own(model: Model) -> dict[str, torch.Tensor]:
    return {
        f"{i}.{name}": buffer
        for i, state in enumerate(model.states())
        if state.per_rank
        for name, buffer in state.named_buffers()
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    # By way of memory: torch's own writer turns a full disk into a RuntimeError without the reason.
    packed = BytesIO()
    torch.save(content, packed)
    with whole(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def clean(folder: Path) -> None:
    """Remove what a killed run left half-written; only for who goes on with the run."""
    for leftover in folder.glob(".*.part"):
        leftover.unlink(missing_ok=True)
    for beside in folder.glob("step-*.rank-*.pt"):
        if not beside.with_name(f"{beside.name.split('.')[0]}.pt").is_file():
            beside.unlink(missing_ok=True)


def save(folder: Path, *, step: int, model: Model, optimizer: Optimizer, comm: Comm, barrier: Any, keep: int) -> None:
    """Write the state after `step` steps, then drop all but the newest `keep`.

    What differs by rank is written by each rank beside it, before the file that makes the checkpoint one.
    """
    own = _own(model)
    if own:
        _write(folder / f"step-{step:08d}.rank-{comm.rank}.pt", own)
        barrier()
    if comm.rank == 0:
        content = {"version": 1, "step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        _write(folder / f"step-{step:08d}.pt", content)
        for old, path in _files(folder)[:-keep]:
            path.unlink(missing_ok=True)
            for beside in folder.glob(f"step-{old:08d}.rank-*.pt"):
                beside.unlink(missing_ok=True)


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; None where there is none.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    reasons: list[str] = []
    for step, path in reversed(_files(folder)):
        try:
            content = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reasons.append(f"{path.name}: {(str(error) or 'it is empty').splitlines()[0]}")
            continue
        return Checkpoint(path, step, content)
    if reasons:
        raise CheckpointError(
            f"no checkpoint in {str(folder)!r} can be read ({'; '.join(reasons)}); train again in a new folder"
        )
    return None


def restore(checkpoint: Checkpoint, *, model: Model, optimizer: Optimizer | None, comm: Comm) -> int:
    """Load it; the number of steps done.

    Raises:
        CheckpointError: it belongs to another recipe.
    """
    try:
        model.load_state_dict(checkpoint.content["model"])
        if optimizer is not None:
            optimizer.load_state_dict(checkpoint.content["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{str(checkpoint.path)!r} is a checkpoint of another recipe: {reason}") from error
    beside = checkpoint.path.with_name(f"{checkpoint.path.stem}.rank-{comm.rank}.pt")
    own = _own(model)
    if own:
        if not beside.is_file():
            raise CheckpointError(f"{str(beside)!r} is missing: the run was saved by another number of ranks than now")
        stored = torch.load(beside, map_location="cpu", weights_only=True)
        for name, buffer in own.items():
            buffer.copy_(stored[name])
    return int(checkpoint.content["step"])
