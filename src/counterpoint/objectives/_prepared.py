"""A match made ready: checked, and each of its tensors prepared once for each score."""

from dataclasses import dataclass

import torch
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.types import Columns, Match, Number, ends

# Below every logit, yet a number: its exponential beside any other is exactly 0, and 0 times it is 0.
FLOOR = -1e30


@dataclass(frozen=True, eq=False)
class Group:
    """Columns of a match, with the places of its query and its rows among the prepared tensors."""

    columns: Columns
    query: int
    rows: int


def divides(temperature: Number) -> None:
    """Refuse a temperature that is not above 0, or a schedule of one that comes to it."""
    if not all(value > 0 for value in ends(temperature)):
        raise RecipeError(
            f"the temperature is {temperature}, but it divides the scores and must be above 0; 0.1 is usual"
        )


def check(match: Match, temperature: float = 1.0) -> None:
    """Refuse what cannot be compared."""
    divides(temperature)
    if not match.columns:
        raise ShapeError("the match has no candidates; give it at least one group of columns")
    anchors = len(match.query)
    for i, group in enumerate(match.columns):
        if group.query is not None and len(group.query) != anchors:
            raise ShapeError(
                f"the match has {anchors} anchors, but group {i} of its columns has a query of {len(group.query)} "
                "rows; both must describe the same anchors"
            )
        if group.rows.ndim not in (2, 3) or (group.rows.ndim == 3 and len(group.rows) != anchors):
            raise ShapeError(
                f"group {i} of the columns is {list(group.rows.shape)}; with {anchors} anchors it must be "
                f"[candidate, dim], or [{anchors}, candidate, dim] where candidates are private to an anchor"
            )


def settled(temperature: Number) -> float:
    """A temperature that no longer moves."""
    if not isinstance(temperature, (int, float)):
        raise RecipeError(
            f"the temperature is still the schedule {temperature!r}; resolve it first, with its value at a clock"
        )
    return float(temperature)


def prepare(match: Match) -> tuple[list[Tensor], list[Group]]:
    """Each distinct tensor once for each score, in the precision of the computation."""
    used = [match.query, *(t for group in match.columns for t in (group.query, group.rows) if t is not None)]
    precision = torch.float64 if any(t.dtype == torch.float64 for t in used) else torch.float32
    known: list[tuple[Tensor, object]] = []
    prepared: list[Tensor] = []

    def place(tensor: Tensor, group: Columns) -> int:
        for i, (other, score) in enumerate(known):
            if other is tensor and score == group.score:
                return i
        known.append((tensor, group.score))
        prepared.append(group.score.prepare(tensor.to(precision)))
        return len(prepared) - 1

    groups = [
        Group(group, place(match.query if group.query is None else group.query, group), place(group.rows, group))
        for group in match.columns
    ]
    return prepared, groups


def full_precision(like: Tensor) -> torch.autocast:
    """Whatever autocast says."""
    return torch.autocast(like.device.type, enabled=False)


def cut(length: int, tile: int) -> list[slice]:
    """Tiles of at most this many rows."""
    return [slice(start, min(start + tile, length)) for start in range(0, length, tile)]


@dataclass(eq=False)
class Sums:
    """For each anchor, the sum of 2^(logit - peak)."""

    peak: Tensor
    total: Tensor

    @classmethod
    def none(cls, zeros: Tensor, peak: float = FLOOR) -> "Sums":
        """Of no candidates."""
        return cls(torch.full_like(zeros, peak), zeros)

    def at(self, rows: slice) -> "Sums":
        """Of some anchors, in the same memory."""
        return Sums(self.peak[rows], self.total[rows])

    def add(self, logit: Tensor, *, spent: bool = False) -> None:
        """Take in a tile, in place; it may be used up where it is not needed again."""
        if not logit.shape[1]:
            return
        peak = torch.maximum(self.peak, logit.amax(1))
        more = logit.sub_(peak[:, None]) if spent else logit - peak[:, None]
        self.total.mul_(self.peak.sub_(peak).exp2_()).add_(more.exp2_().sum(1))
        self.peak.copy_(peak)

    def level(self) -> Tensor:
        """Their logarithm, base two."""
        return (self.peak + self.total.log2()).clamp_min_(FLOOR)
