import math
from dataclasses import FrozenInstanceError, dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError
from counterpoint.schedules import Constant, Cosine, Linear, MomentumToOne, Steps, resolve, value
from counterpoint.types import Clock, Number, Schedule


def at(step: int) -> Clock:
    """100 steps, 10 to an epoch."""
    return Clock(step, 100, 10)


@dataclass(frozen=True)
class Inner:
    temperature: Number = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    lr: Number = 0.1
    name: str = "outer"


@dataclass(frozen=True)
class Holder:
    parts: dict[str, Inner]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.3), {0: 0.3, 50: 0.3, 99: 0.3}),
        (Linear(1.0, 3.0), {0: 1.0, 50: 2.0, 75: 2.5, 99: 2.98, 100: 3.0}),
        (Linear(0.04, 0.07, epochs=3.0), {0: 0.04, 15: 0.055, 30: 0.07, 99: 0.07}),
        (Linear(0.04, 0.07, epochs=0.0), {0: 0.07}),
        (Cosine(2.0), {0: 2.0, 25: 1 + math.sqrt(0.5), 50: 1.0, 75: 1 - math.sqrt(0.5), 100: 0.0}),
        (Cosine(2.0), {99: 1 + math.cos(math.pi * 0.99)}),
        (Cosine(2.0, end=0.002), {0: 2.0, 50: 1.001, 100: 0.002, 130: 0.002}),
        (Cosine(1.0, warmup_epochs=2.0), {0: 0.0, 1: 0.05, 5: 0.25, 19: 0.95, 20: 1.0, 60: 0.5, 100: 0.0}),
        (Cosine(1.0, warmup_epochs=2.0, warmup_start=0.5), {0: 0.5, 10: 0.75, 20: 1.0}),
        (Cosine(1.0, warmup_epochs=0.5), {0: 0.0, 4: 0.8, 5: 1.0}),
        (Cosine(1.0, warmup_epochs=20.0), {0: 0.0, 50: 0.5, 99: 0.99, 100: 1.0}),
        (Steps(1.0, (6.0, 8.0)), {0: 1.0, 59: 1.0, 60: 0.1, 79: 0.1, 80: 0.01, 99: 0.01}),
        (Steps(1.0, (2.5,), gamma=0.2, warmup_epochs=1.0), {0: 0.0, 5: 0.5, 10: 1.0, 24: 1.0, 25: 0.2}),
        (MomentumToOne(0.99), {0: 0.99, 50: 0.995, 100: 1.0}),
        (MomentumToOne(0.996), {25: 1 - 0.004 * (1 + math.sqrt(0.5)) / 2}),
        (MomentumToOne(0.99, end=0.999), {0: 0.99, 100: 0.999}),
    ],
)
def test_values(schedule: Schedule, expected: dict[int, float]):
    assert isinstance(schedule, Schedule)
    assert {step: schedule.at(at(step)) for step in expected} == pytest.approx(expected, abs=1e-12)


def test_moves_with_every_step():
    rates = [Cosine(1.0, warmup_epochs=2.0).at(at(step)) for step in range(100)]
    assert all(before != after for before, after in pairwise(rates))
    assert rates.index(max(rates)) == 20


@given(st.integers(1, 500), st.integers(1, 50), st.floats(0, 20), st.floats(0, 1), st.floats(0, 1))
def test_a_cosine_stays_between_its_ends(total: int, per_epoch: int, warm_up: float, start: float, end: float):
    schedule = Cosine(start, end, warmup_epochs=warm_up, warmup_start=end)
    values = [schedule.at(Clock(step, total, per_epoch)) for step in range(total)]
    assert min(start, end) - 1e-12 <= min(values)
    assert max(values) <= max(start, end) + 1e-12


def test_a_clock_without_a_plan_gives_finite_numbers():
    clock = Clock(0, 0, 0)
    for schedule in (Linear(1.0, 2.0), Cosine(1.0, warmup_epochs=2.0), Steps(1.0, (3.0,)), MomentumToOne(0.9)):
        assert math.isfinite(schedule.at(clock))


def test_resolve_goes_through_parts():
    moving = Outer(Inner(Cosine(2.0)), (Inner(), Inner(Linear(0.0, 1.0))), lr=Constant(7.0))
    assert resolve(moving, at(50)) == Outer(Inner(1.0), (Inner(), Inner(0.5)), lr=7.0)
    assert resolve(moving, at(0)) == Outer(Inner(2.0), (Inner(), Inner(0.0)), lr=7.0)
    assert moving.lr == Constant(7.0)


def test_resolve_goes_through_dicts():
    moving = Holder({"a": Inner(Cosine(2.0)), "b": Inner()})
    assert resolve(moving, at(50)) == Holder({"a": Inner(1.0), "b": Inner()})


def test_resolve_gives_back_a_part_that_does_not_move():
    for still in (Outer(), Outer(parts=(Inner(),)), Holder({"a": Inner()}), 3.0, None, ("a", 1)):
        assert resolve(still, at(3)) is still


def test_value_of_a_number():
    assert value(0.25, at(50)) == 0.25
    assert value(Cosine(2.0), at(50)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Cosine(1.0, warmup_epochs=-1.0), "warmup_epochs=-1"),
        (lambda: Linear(0.0, 1.0, epochs=-2.0), "epochs=-2"),
        (lambda: Steps(1.0, (3.0, 2.0)), "ascending"),
        (lambda: MomentumToOne(1.5), "1.5"),
    ],
)
def test_mistakes_are_sentences(make, sentence: str):
    with pytest.raises(RecipeError, match=sentence):
        make()


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        Cosine(1.0).start = 2.0  # type: ignore[misc]
