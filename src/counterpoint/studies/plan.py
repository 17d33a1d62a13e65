"""Before a study starts: what cannot work, said at once for all cells, and what the others will cost."""

import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim import Optimizer

from counterpoint import sources
from counterpoint.app.asked import Asked
from counterpoint.app.assess import fresh
from counterpoint.app.cost import decide_numerics
from counterpoint.distributed import Comm
from counterpoint.engine import Machine, Numerics, batches, duration, launch, steps_per_epoch, train_step
from counterpoint.errors import CounterpointError, RecipeError, RunError
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.run import Run
from counterpoint.studies.cells import (
    Shelf,
    asked_for,
    composed,
    digest,
    finished,
    folder_of,
    foreseen,
    kept_of,
    layout_of,
    named_data,
    outdated,
    own_facts,
    same_data,
    seconds_of,
)
from counterpoint.studies.study import Cell, Evaluator
from counterpoint.studies.work import answer_of, held, lacking, read_answer
from counterpoint.types import Clock, Context, Facts, Split

__all__ = ["Built", "Cost", "check", "cost", "different", "first_step", "kind_of", "named", "runs_of", "settled"]

_MEASURING = 2.0  # seconds of steps for each kind of cell
_ALL_MEASURING = 90.0  # seconds for all kinds; the rest is estimated by the mean of those measured


def runs_of(cells: Iterable[Cell], evaluators: Sequence[Evaluator]) -> dict[Cell, tuple[Evaluator, ...]]:
    """The first of all cells that ask for the same run, in order, with the evaluators that any of them wants."""
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(digest(asked_for(cell)), []).append(cell)
    return {own[0]: tuple(e for e in evaluators if any(map(e.wanted, own))) for own in alike.values()}


def different(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Cells that ask for different runs, in order; the first of those that ask for the same."""
    return tuple(runs_of(cells, ()))


def named(cell: Cell) -> str:
    """A cell as a person knows it: `method contrastive, policy elastic, seed 0`."""
    return ", ".join([*(f"{axis} {value}" for axis, value in cell.place.items()), f"seed {cell.seed}"])


def _seedless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _seedless(v) for k, v in cast(dict[str, Any], value).items() if k != "seed"}
    return value


def kind_of(cell: Cell) -> str:
    """The same digest for cells that differ in their seed only.

    Raises:
        RecipeError: an unknown recipe.
    """
    return digest(_seedless(asked_for(cell)))


# ---------------------------------------------------------------- what cannot work


@dataclass(frozen=True, eq=False)
class Built:
    """What a cell is made of, on its real data."""

    recipe: Recipe
    facts: Facts


def _build(cell: Cell, shelf: Shelf) -> Built:
    """The composition, built and tried on a first batch."""
    learned, facts = foreseen(cell, shelf)
    recipe = composed(cell, facts)
    if recipe.pairing.needs_labels and learned.labels is None:
        raise RecipeError(f"{cell.recipe} needs labels, but source {facts.source!r} has none")
    per_epoch = steps_per_epoch(recipe, len(learned))
    facts = replace(facts, steps_per_epoch=per_epoch, total_steps=per_epoch * recipe.epochs)
    model = fresh(recipe, facts, cell.seed).eval()
    try:
        with torch.no_grad():
            for view in recipe.views(learned.images[:4], Streams(cell.seed).at("views", 0)):
                model.represent(view)
    except (RuntimeError, ValueError) as error:
        raise RecipeError(
            f"encoder {cell.encoder!r} does not fit images of {facts.channels} x {facts.size} x {facts.size}: "
            f"{' '.join(str(error).split())[:160]}"
        ) from error
    first_step(recipe, model.train(), learned, cell.seed)
    return Built(recipe, model.facts)


def first_step(recipe: Recipe, model: Model, learned: Split, seed: int) -> Optimizer:
    """A training step of a fresh model on the first batch, in full precision, without ranks; its optimizer.

    Args:
        recipe: of the model.
        model: in training mode; changed.
        learned: what is trained on.
        seed: of the run.
    """
    clock, streams = Clock(0, model.facts.total_steps, model.facts.steps_per_epoch), Streams(seed)
    batch = next(iter(batches(learned, recipe, streams, clock, torch.device("cpu"))))
    optimizer = recipe.optim.build(model)
    train_step(recipe, model, optimizer, batch, Context(clock, Comm.alone(), streams), Numerics())
    return optimizer


def _check_data(cell: Cell, folder: Path, shelf: Shelf, *, complete: bool) -> None:
    """What was trained, was trained on the data that is here; what is complete may do without it."""
    then = Facts.stored(Run(folder).recipe()["facts"])
    try:
        now = own_facts(cell, shelf)
    except CounterpointError:
        if complete:
            return
        raise
    if why := same_data(now, then):
        raise RecipeError(
            f"{str(folder)!r} was trained on other data ({why}); restore the data, move the folder away, or use "
            "another folder with --cells"
        )


def check(cells: Sequence[Cell], evaluators: Sequence[Evaluator], shelf: Shelf, store: Path) -> dict[str, Built]:
    """Compose every cell on its real data and take a first step, before hours are spent on some of them.

    Cells that are trained are held against what is asked for today, and against their data. Of those that have all
    their answers the data may be gone; it is not read where its name alone says what it is.

    Args:
        cells: all that will be run.
        evaluators: to ask of them.
        shelf: of data sets.
        store: of cells.

    Returns:
        What each kind of cell that is to be trained is made of, by `kind_of`.

    Raises:
        CounterpointError: what cannot work, of all cells, in one sentence.
    """
    made: dict[str, Built] = {}
    failed: dict[str, CounterpointError] = {}
    errors: list[CounterpointError] = []
    wrong: dict[str, list[Cell]] = {}
    for cell in cells:
        try:
            kind = kind_of(cell)
            wanted = [e for e in evaluators if e.wanted(cell)]
            place = held(cell, wanted, store)
            folder = place or folder_of(cell, store)
            if why := _other_precision(cell, folder):
                raise RunError(why)
            trained = place is not None or finished(folder)
            if trained and (why := outdated(cell, folder)):
                raise RunError(why)
            if kind in failed:
                raise failed[kind]
            try:
                if trained:
                    complete = place is not None
                    if not (complete and named_data(cell.source)):
                        _check_data(cell, folder, shelf, complete=complete)
                elif kind not in made:
                    made[kind] = _build(cell, shelf)
            except CounterpointError as error:
                failed[kind] = error
                raise
        except CounterpointError as error:
            errors.append(error)
            wrong.setdefault(str(error), []).append(cell)
    if not wrong:
        return made
    told: list[str] = []
    for why, alike in list(wrong.items())[:5]:
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        told.append(f"{why} ({named(alike[0])}{others})")
    more = f"; and {len(wrong) - 5} more reasons" if len(wrong) > 5 else ""
    count = sum(map(len, wrong.values()))
    raise type(errors[0])(f"{count} of {len(cells)} cells cannot work, so nothing was started: {'; '.join(told)}{more}")


def _other_precision(cell: Cell, folder: Path) -> str:
    """Why a run that is there cannot stand among those of a precision that was asked for by name."""
    if cell.precision == "auto" or not (folder / "recipe.json").is_file():
        return ""
    theirs = Run(folder).recipe()["engine"]["precision"]
    if theirs == cell.precision:
        return ""
    return (
        f"{str(folder)!r} was trained in {theirs}, and {cell.precision} is asked for; move the folder away to have it "
        f"trained again, or leave --precision out"
    )


# ---------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class Cost:
    """What is to do, and what it takes.

    Args:
        cells: different runs.
        finished: trained already.
        complete: trained, and every evaluator has answered.
        training: seconds for each cell that is to be trained, by its folder's name.
        evaluating: seconds for each cell that lacks answers, of those evaluators whose time is known.
        unknown: evaluators whose time is not known yet.
        jobs: cells at a time.
        threads: of each.
        memory: bytes of this process at its largest, after it loaded the data and tried steps of each kind; 0 unknown.
    """

    cells: int
    finished: int
    complete: int
    training: Mapping[str, float]
    evaluating: Mapping[str, float]
    unknown: tuple[str, ...]
    jobs: int
    threads: int
    memory: int

    @property
    def seconds(self) -> float:
        """Until all is done, as far as it is known."""
        return (sum(self.training.values()) + sum(self.evaluating.values())) / self.jobs

    def told(self) -> str:
        """Lines for a person."""
        begun = f"{self.finished} trained already" if self.finished else "none trained yet"
        lines = [f"  cells    {self.cells} runs: {begun}, {self.complete} complete"]
        if not self.training and not self.evaluating:
            return lines[0]
        how = f"{self.jobs} at a time, {self.threads} {'thread' if self.threads == 1 else 'threads'} each"
        training = f"{len(self.training)} to train, about {duration(sum(self.training.values()) / self.jobs)}"
        asking = f"{len(self.evaluating)} to evaluate"
        known = sum(self.evaluating.values()) / self.jobs
        if self.unknown:
            asking += f", {f'about {duration(known)} and ' if known else ''}a time not known yet: "
            asking += ", ".join(self.unknown)
        else:
            asking += f", about {duration(known)}"
        lines.append(f"  time     {training} ({how}); {asking}")
        if self.memory:
            each = f" for each of {self.jobs}" if self.jobs > 1 else ""
            lines.append(f"  memory   about {sources.told(self.memory)}{each}, evaluation not counted")
        return "\n".join(lines)


def _peak() -> int:
    """Bytes of this process at its largest; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def _threads(count: int) -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _numerics(cell: Cell, built: Built, learned: Split, machine: Machine) -> tuple[Numerics, Model]:
    """How a cell would be computed, and its model with the weights that it begins with."""
    model = fresh(built.recipe, built.facts, cell.seed).to(machine.device)
    asked = Asked(cell.recipe, cell.source, cell.encoder, {}, {}, cell.seed, None)
    return decide_numerics(built.recipe, model, learned, asked, machine, cell.precision, layout_of(cell))[0], model


def settled(
    cells: Sequence[Cell],
    every: Sequence[Cell],
    made: Mapping[str, Built],
    shelf: Shelf,
    store: Path,
    *,
    threads: int,
) -> tuple[tuple[Cell, ...], str]:
    """The same cells, those without a precision of their own with one for all, so that they can be compared.

    It is that of most of the study's runs that are there, else the fastest of the first cell that is to be trained. A
    run that was begun goes on as it was begun.

    Args:
        cells: that are to be run.
        every: cells of the study, those too that are not to be run now.
        made: by `check`.
        shelf: of data sets.
        store: of cells.
        threads: of each cell.

    Returns:
        The cells, and the precision with where it comes from, in words; empty where none is left to settle.
    """
    todo = [
        cell
        for cell in cells
        if cell.precision == "auto" and kind_of(cell) in made and not finished(folder_of(cell, store))
    ]
    if not todo:
        return tuple(cells), ""
    own = [cell for cell in every if cell.precision == "auto"]
    folders = {where(cell, store) for cell in own for where in (folder_of, kept_of)}
    begun = Counter(Run(f).recipe()["engine"]["precision"] for f in folders if (f / "recipe.json").is_file())
    if begun:
        (precision, count) = begun.most_common(1)[0]
        why = f"as {count} of the study's {begun.total()} runs that are there"
    else:
        learned, _ = foreseen(todo[0], shelf)
        with _threads(threads):
            numerics, _ = _numerics(todo[0], made[kind_of(todo[0])], learned, launch())
        precision, why = numerics.precision, "the fastest here"
    chosen = tuple(replace(cell, precision=precision) if cell.precision == "auto" else cell for cell in cells)
    return chosen, f"{precision} for all cells still to be begun, {why}"


def _measured(cell: Cell, built: Built, shelf: Shelf) -> float:
    """Seconds of a training step, of the first few but one."""
    recipe, facts = built.recipe, built.facts
    learned, _ = foreseen(cell, shelf)
    machine = launch()
    numerics, model = _numerics(cell, built, learned, machine)
    numerics.arrange(model)
    optimizer = recipe.optim.build(model)
    streams, times = Streams(cell.seed, machine.device), list[float]()
    clock = Clock(0, facts.total_steps, facts.steps_per_epoch)
    model.train()
    mark = began = time.perf_counter()
    for batch in batches(learned, recipe, streams, clock, machine.device):
        train_step(recipe, model, optimizer, batch, Context(clock, Comm.alone(), streams), numerics)
        if machine.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - mark)
        mark = time.perf_counter()
        if mark - began > _MEASURING or len(times) == 20:
            break
    later = times[1:] or times
    return sum(later) / len(later)


def _asking(runs: Mapping[Cell, Sequence[Evaluator]], store: Path) -> dict[str, float]:
    """Mean seconds of each evaluator, of the answers that are there."""
    spent: dict[str, list[float]] = {}
    for cell, evaluators in runs.items():
        for evaluator in evaluators:
            answer = read_answer(answer_of(folder_of(cell, store), evaluator))
            if answer is not None:
                spent.setdefault(evaluator.name, []).append(answer.seconds)
    return {name: sum(times) / len(times) for name, times in spent.items()}


def cost(
    runs: Mapping[Cell, Sequence[Evaluator]],
    made: Mapping[str, Built],
    shelf: Shelf,
    store: Path,
    *,
    jobs: int,
    threads: int,
) -> Cost:
    """What is to do: from the logs of cells of the same kind, or else by a few steps of one.

    Args:
        runs: cells, each with what is asked of it, as `runs_of` has them.
        made: by `check`.
        shelf: of data sets.
        store: of cells.
        jobs: cells at a time.
        threads: of each.
    """
    step: dict[str, float] = {}
    for cell in runs:
        folder = folder_of(cell, store)
        if (folder / "recipe.json").is_file():
            seconds, steps = seconds_of(folder)
            if steps:
                step[kind_of(cell)] = seconds / steps
    left = {cell: evaluators for cell, evaluators in runs.items() if held(cell, evaluators, store) is None}
    training: dict[str, float] = {}
    began = time.perf_counter()
    with _threads(threads):
        for cell in left:
            folder, kind = folder_of(cell, store), kind_of(cell)
            if finished(folder):
                continue
            if kind not in step:
                late = time.perf_counter() - began > _ALL_MEASURING
                step[kind] = sum(step.values()) / len(step) if late and step else _measured(cell, made[kind], shelf)
            done = seconds_of(folder)[1] if (folder / "recipe.json").is_file() else 0
            training[folder.name] = step[kind] * max(0, made[kind].facts.total_steps - done)
    known = _asking(runs, store)
    evaluating: dict[str, float] = {}
    unknown: dict[str, None] = {}
    for cell, evaluators in left.items():
        folder = folder_of(cell, store)
        asked = [e.name for e in lacking(folder, evaluators)]
        if asked:
            evaluating[folder.name] = sum(known.get(name, 0.0) for name in asked)
            unknown |= dict.fromkeys(name for name in asked if name not in known)
    trained = len(runs) - len(training)
    complete = sum(folder_of(c, store).name not in training | evaluating for c in runs)
    return Cost(len(runs), trained, complete, training, evaluating, tuple(unknown), jobs, threads, _peak())
