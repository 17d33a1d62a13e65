"""What the doctor's readings cost, as a share of a step's time.

    COUNTERPOINT_DATA=DATA python -m benchmarks.health               DATA holds cifar10/

A reading is all that is done for it: the rows and the comparisons, the weights before and after the update, the line of
log.jsonl and what is made of it. Readings and steps are timed in turns, and medians taken. How many of 2,000 steps are
read, the engine's own `Budget` is asked, on a clock that moves by these medians.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks import faults
from benchmarks.harness import Row, interleaved, show
from counterpoint.app.asked import facts_of
from counterpoint.distributed import Comm
from counterpoint.engine import Numerics, batches, compare, train_step
from counterpoint.engine.health import Budget, Moved, Watch, read
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.run import Run
from counterpoint.types import Clock, Context

STEPS = 2000
EVERY = 10  # steps between lines of log.jsonl, by default


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        data: name of the data set.
        images: of it.
        encoder: by name.
        batch: images of a step.
        said: the same in words.
    """

    data: str
    images: int
    encoder: str
    batch: int
    said: str


CASES = (
    Case("cifar10", 512, "pami", 512, "batch 512 of 32 x 32 colour images"),
    Case("cifar10", 512, "conv", 512, "batch 512 of 32 x 32 colour images"),
    Case("digits", 1024, "mlp", 256, "batch 256 of 8 x 8 grey images"),
)


def sides(case: Case, root: Path | None, run: Run) -> dict[str, Callable[[], object]]:
    """A reading and a step without one."""
    data = replace(faults.data(case.data, root), images=case.images).load()
    facts = replace(facts_of(data, data.train), steps_per_epoch=1, total_steps=STEPS)
    recipe = compose(
        "simclr", facts, faults.encoder(faults.Plan("", ""), case.encoder), {"batch_size": case.batch, "epochs": STEPS}
    )
    clock, streams = Clock(STEPS // 2, STEPS, 1), Streams(0)
    with forked(0):
        model = Model(recipe, facts).train()
    optimizer = recipe.optim.build(model)
    recipe.optim.set_lr(optimizer, clock)
    start = Clock(0, STEPS, case.images // case.batch)
    batch = next(iter(batches(data.train, recipe, streams, start, torch.device("cpu"))))
    context = Context(clock, Comm.alone(), streams)
    compared = compare(recipe, model, batch, context)
    compared.loss.total.backward()
    watch = Watch(run, print)

    def reading() -> None:
        health = read(compared.online, compared.matches, recipe.objective) | Moved.before(optimizer).after()
        health["update"] = 1e-3  # nothing moved here, which would be a finding
        watch.log("step", step=clock.step, epoch=0.0, loss=1.0, lr=1e-3, images_per_second=1.0, terms={}, health=health)

    return {"reading": reading, "step": partial(train_step, recipe, model, optimizer, batch, context, Numerics())}


def spent(reading: float, step: float) -> Budget:
    """What a run of 2,000 steps pays for readings, from the seconds of one and of a step."""
    budget, elapsed = Budget(), 0.0
    for number in range(1, STEPS + 1):
        elapsed += step
        if number % EVERY == 0 and budget.allows(elapsed):
            budget.charge(reading)
            elapsed += reading
    return budget


def rows() -> list[Row]:
    """One for each encoder."""
    root = Path(os.environ["COUNTERPOINT_DATA"]) if "COUNTERPOINT_DATA" in os.environ else None
    found: list[Row] = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            times = interleaved(sides(case, root, Run(Path(folder))), repeats=15, warm_up=3)
        reading, step = median(times["reading"]), median(times["step"])
        budget = spent(reading, step)
        found.append(
            Row(
                f"the doctor's readings, {case.encoder}, {case.said}: share of a step's time over {STEPS:,} steps, %",
                1e3 * budget.spent / STEPS,
                1e3 * step,
                "ms",
                "a step",
                100 * budget.spent / STEPS / step,
                "at most",
                1.0,
                f"a reading takes {1e3 * reading:.3g} ms; {budget.taken} of {STEPS // EVERY} logged steps are read "
                f"(all of them would be {100 * reading / step / EVERY:.2g} %)",
            )
        )
    return found


if __name__ == "__main__":
    show(rows())
