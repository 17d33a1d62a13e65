"""The fastest numerics are found, whatever else the machine does meanwhile."""

import time

import pytest
import torch
from torch import nn

from counterpoint.engine import machine
from counterpoint.engine.machine import measured

COSTS = {("32-true", False): 4.0, ("32-true", True): 3.9, ("bf16-mixed", False): 2.0, ("bf16-mixed", True): 9.0}


@pytest.fixture
def work(monkeypatch):
    """Steps of a known cost, on a clock of their own; the calls of `slow` take ten times as long."""

    def made(slow=()):
        now, calls = [0.0], []

        def step(model, numerics):
            calls.append((numerics.precision, numerics.channels_last))
            now[0] += COSTS[calls[-1]] * (10 if len(calls) in slow else 1)

        monkeypatch.setattr(machine.time, "perf_counter", lambda: now[0])
        return step, calls

    assert machine.time is time
    return made


@pytest.mark.parametrize("slow", [(), range(5, 9), range(9, 13)], ids=["alone", "second round", "third round"])
def test_the_fastest_is_chosen_among_other_work(work, slow):
    step, _ = work(slow)
    chosen, seconds = measured(step, nn.Linear(2, 2), ("auto", "auto"), torch.device("cpu"))
    assert (chosen.precision, chosen.channels_last) == ("bf16-mixed", False)
    assert set(seconds) == {f"{p} {'channels-last' if c else 'contiguous'}" for p, c in COSTS}


def test_a_little_faster_is_not_worth_it_and_the_hopeless_are_dropped(work):
    step, calls = work()
    chosen, _ = measured(step, nn.Linear(2, 2), ("32-true", "auto"), torch.device("cpu"))
    assert (chosen.precision, chosen.channels_last) == ("32-true", False)
    step, calls = work()
    measured(step, nn.Linear(2, 2), ("auto", "auto"), torch.device("cpu"))
    assert calls.count(("bf16-mixed", True)) == 2
    assert calls.count(("bf16-mixed", False)) == 4


def test_what_is_asked_for_is_not_measured(work):
    step, calls = work()
    chosen, seconds = measured(step, nn.Linear(2, 2), ("bf16-mixed", "no"), torch.device("cpu"))
    assert (chosen.precision, chosen.channels_last, seconds, calls) == ("bf16-mixed", False, {}, [])
