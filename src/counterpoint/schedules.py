"""Numbers that move while a run goes on: a learning rate, a weight decay, a moving average's momentum, a temperature.

A schedule is a frozen dataclass with one method, `at(clock)`. It moves with each step, never in jumps at epochs, and is
a pure function of the clock, so that a resumed run continues it exactly. Any number of a part may be one; `resolve`
turns a part with schedules into the same part with floats.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar, cast

from counterpoint.errors import RecipeError
from counterpoint.types import Clock, Number, Schedule

__all__ = ["Constant", "Cosine", "Linear", "MomentumToOne", "Steps", "resolve", "value"]

Part = TypeVar("Part")


def _warm_up(clock: Clock, epochs: float) -> float:
    """Steps that a warm-up of so many epochs takes; at most the whole run."""
    return min(epochs * clock.steps_per_epoch, float(clock.total_steps))


def _check(name: str, **not_negative: float) -> None:
    for field, number in not_negative.items():
        if number < 0:
            raise RecipeError(f"{name}({field}={number:g}) is negative; give 0 or more epochs")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same number at every step.

    Args:
        number: the value.
    """

    number: float

    def at(self, clock: Clock) -> float:
        """The number."""
        return self.number

    @property
    def ends(self) -> tuple[float, ...]:
        """The number."""
        return (self.number,)


@dataclass(frozen=True)
class Linear(Schedule):
    """From `start` to `end` in a straight line over `epochs`, then `end`.

    Step 0 has `start`; the step that follows `epochs` epochs has `end`. DINO's teacher temperature is
    `Linear(0.04, 0.07, epochs=30)`.

    Args:
        start, end: values.
        epochs: how long it moves, >= 0; None: the whole run, so that `end` is what the step after the last would have.
    """

    start: float
    end: float
    epochs: float | None = None

    def __post_init__(self) -> None:
        _check("Linear", epochs=self.epochs or 0.0)

    def at(self, clock: Clock) -> float:
        """The value at this step."""
        length = clock.total_steps if self.epochs is None else self.epochs * clock.steps_per_epoch
        share = min(1.0, clock.step / length) if length > 0 else 1.0
        return self.start + (self.end - self.start) * share

    @property
    def ends(self) -> tuple[float, ...]:
        """Start and end."""
        return self.start, self.end


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""A linear warm-up, then half a cosine without restarts.

    With W steps of warm-up and K in all, `warmup_start + (start - warmup_start) k / W` for k < W, then
    `end + (start - end) (1 + cos(pi (k - W) / (K - W))) / 2`. Step W has `start`; `end` is what step K would have, so
    that the last step, K - 1, still moves a little.

    Source: Loshchilov and Hutter 2017, eq. 5, one period; the warm-up of Goyal et al. 2017, section 2.2.

    Args:
        start: the value at the top.
        end: the value that the run ends at.
        warmup_epochs: length of the warm-up, >= 0, may be fractional; longer than the run: the run is all warm-up.
        warmup_start: the value of step 0 where there is a warm-up.
    """

    start: float
    end: float = 0.0
    warmup_epochs: float = 0.0
    warmup_start: float = 0.0

    def __post_init__(self) -> None:
        _check("Cosine", warmup_epochs=self.warmup_epochs)

    def at(self, clock: Clock) -> float:
        """The value at this step."""
        warm_up = _warm_up(clock, self.warmup_epochs)
        if clock.step < warm_up:
            return self.warmup_start + (self.start - self.warmup_start) * clock.step / warm_up
        rest = clock.total_steps - warm_up
        share = min(1.0, (clock.step - warm_up) / rest) if rest > 0 else 0.0
        return self.end + (self.start - self.end) * (1.0 + math.cos(math.pi * share)) / 2.0

    @property
    def ends(self) -> tuple[float, ...]:
        """Where the warm-up starts, if there is one, top and end."""
        return (*((self.warmup_start,) if self.warmup_epochs else ()), self.start, self.end)


@dataclass(frozen=True)
class Steps(Schedule):
    """A linear warm-up, then `start`, multiplied by `gamma` at each milestone.

    Args:
        start: the value before the first milestone.
        milestones: in epochs, ascending, may be fractional; a milestone's own step has the new value.
        gamma: factor at each milestone.
        warmup_epochs: length of the warm-up from 0, >= 0.
    """

    start: float
    milestones: tuple[float, ...]
    gamma: float = 0.1
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        _check("Steps", warmup_epochs=self.warmup_epochs)
        if list(self.milestones) != sorted(self.milestones):
            raise RecipeError(f"Steps has milestones {self.milestones}, which are not in ascending order; sort them")

    def at(self, clock: Clock) -> float:
        """The value at this step."""
        passed = sum(clock.step >= milestone * clock.steps_per_epoch for milestone in self.milestones)
        warm_up = _warm_up(clock, self.warmup_epochs)
        share = clock.step / warm_up if clock.step < warm_up else 1.0
        return self.start * self.gamma**passed * share

    @property
    def ends(self) -> tuple[float, ...]:
        """0, if there is a warm-up, the value before the first milestone and that after the last."""
        return (*((0.0,) if self.warmup_epochs else ()), self.start, self.start * self.gamma ** len(self.milestones))


@dataclass(frozen=True)
class MomentumToOne(Schedule):
    r"""A moving average's momentum: half a cosine from `start` to 1.

    `1 - (1 - start) (1 + cos(pi k / K)) / 2` at step k of K.

    Source: Grill et al. 2020 (BYOL), section 3.2; also DINO, and MoCo v3 by fractional epoch.

    Args:
        start: momentum of step 0, in [0, 1].
        end: what step K would have, in [0, 1]; the sources use 1, some CIFAR recipes 0.999.
    """

    start: float
    end: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.start <= 1.0 and 0.0 <= self.end <= 1.0):
            raise RecipeError(f"MomentumToOne goes from {self.start:g} to {self.end:g}; a momentum lies in [0, 1]")

    def at(self, clock: Clock) -> float:
        """The value at this step."""
        return self.end - (self.end - self.start) * (1.0 + math.cos(math.pi * clock.share)) / 2.0

    @property
    def ends(self) -> tuple[float, ...]:
        """Start and end."""
        return self.start, self.end


def value(number: Number, clock: Clock) -> float:
    """A number at this step, whether it is scheduled or not."""
    return number.at(clock) if isinstance(number, Schedule) else number


Resolver = Callable[[Any, Clock], Any]


def _resolver(part: Any) -> Resolver | None:
    """How to resolve this value, or None where it holds no schedule."""
    if isinstance(part, type):
        return None
    if isinstance(part, Schedule):
        return lambda part, clock: part.at(clock)
    if isinstance(part, tuple):
        items = [_resolver(item) for item in cast("tuple[Any, ...]", part)]
        if not any(items):
            return None
        return lambda part, clock: tuple(
            item if of is None else of(item, clock) for item, of in zip(part, items, strict=True)
        )
    if isinstance(part, dict):
        values = {key: of for key, item in cast("dict[str, Any]", part).items() if (of := _resolver(item))}
        if not values:
            return None
        return lambda part, clock: {**part, **{key: of(part[key], clock) for key, of in values.items()}}
    if is_dataclass(part):
        moving = {
            field.name: of for field in fields(part) if field.init and (of := _resolver(getattr(part, field.name)))
        }
        if not moving:
            return None
        return lambda part, clock: replace(
            part, **{name: of(getattr(part, name), clock) for name, of in moving.items()}
        )
    return None


@lru_cache(maxsize=256)
def _remembered(part: Any) -> Resolver | None:
    return _resolver(part)


def resolve(part: Part, clock: Clock) -> Part:
    """The same part, with every schedule in it replaced by its number at this step.

    Goes through frozen dataclasses, tuples and dicts. Where nothing moves, the part itself comes back, and finding that
    out is remembered for hashable parts, so that the call costs about a microsecond in a training loop.

    Example:
        >>> from counterpoint.optim import SGD
        >>> resolve(SGD(lr=Cosine(0.1)), Clock(step=50, total_steps=100, steps_per_epoch=10)).lr
        0.05
    """
    try:
        resolver = _remembered(part)
    except TypeError:  # a dict inside: not hashable
        resolver = _resolver(part)
    return part if resolver is None else cast("Part", resolver(part, clock))
