"""Run a study: what is not done yet, one cell or several at a time; one that fails does not stop the others."""

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from counterpoint.engine import duration
from counterpoint.errors import RecipeError, RunError, nearest
from counterpoint.studies.cells import CELLS, Shelf, folder_of
from counterpoint.studies.plan import Cost, check, cost, different, named, runs_of, settled
from counterpoint.studies.study import Cell, Evaluator, Results, Study
from counterpoint.studies.work import Busy, Done, gather, note, perform
from counterpoint.studies.worker import PATIENCE, done_of, task_of

__all__ = ["chosen", "run"]

Say = Callable[[str], None]

_BETWEEN = 60.0  # seconds between results that are handed on, on the way
_WAIT = 1.0  # seconds before a cell that another process works on is tried again


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    pass


def _hang_up(process: subprocess.Popen[str]) -> None:
    """Close a process's input, on which it stops as by Ctrl-C and leaves."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _dismiss(process: subprocess.Popen[str]) -> int:
    """Let a process leave; its exit code."""
    _hang_up(process)
    code = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return code


def chosen(cells: Sequence[Cell], only: Mapping[str, str]) -> tuple[Cell, ...]:
    """The cells at a place of the grid.

    Raises:
        RecipeError: no cell is there.
    """
    for axis, value in only.items():
        axes = {each for cell in cells for each in cell.place}
        if axis not in axes:
            raise RecipeError(f"--only {axis}={value}: the study has no axis {axis!r}; {nearest(axis, axes)}")
        values = {cell.place[axis] for cell in cells if axis in cell.place}
        if value not in values:
            raise RecipeError(f"--only {axis}={value}: the axis has no {value!r}; {nearest(value, values)}")
    kept = tuple(c for c in cells if all(c.place.get(axis) == value for axis, value in only.items()))
    if not kept:
        raise RecipeError(f"--only {' '.join(f'{k}={v}' for k, v in only.items())}: no cell is at all of these")
    return kept


class _Progress:
    """How far a study is, in lines; and when results are due."""

    def __init__(self, total: int, expected: Cost, say: Say, after: Callable[[], object] | None) -> None:
        self.total, self.expected, self.say, self.after = total, expected, say, after
        self.done, self.failed = 0, 0
        self.began = self.handed = time.monotonic()
        self.left = {n: expected.training.get(n, 0.0) + expected.evaluating.get(n, 0.0) for n in self._names()}
        self.all = sum(self.left.values())

    def _names(self) -> set[str]:
        return {*self.expected.training, *self.expected.evaluating}

    def begin(self, cell: Cell, doing: str) -> None:
        self.say(f"  {self.done + 1} of {self.total}  {named(cell)}: {doing}")

    def end(self, cell: Cell, folder: Path, done: Done) -> None:
        self.done += 1
        self.failed += bool(done.errors)
        self.left.pop(folder.name, None)
        parts = [f"trained in {duration(done.trained)}"] if done.trained else []
        parts += [f"evaluated in {duration(done.evaluated)}"] if done.evaluated >= 0.5 else []
        parts += [f"failed: {error}" for error in done.errors]
        if self.left:
            parts.append(f"{self._remaining()} left")
        self.say(f"  {self.done} of {self.total}  {named(cell)}: {', '.join(parts) or 'done'}")
        if self.after is not None and time.monotonic() - self.handed > _BETWEEN:
            try:
                self.after()
            except Exception as error:  # hours of training must not end because half of a page cannot be drawn
                self.say(f"  the page could not be written on the way: {type(error).__name__}: {error}")
            self.handed = time.monotonic()

    def _remaining(self) -> str:
        """By the plan, corrected by how long the cells before took against it."""
        spent = time.monotonic() - self.began
        planned = (self.all - sum(self.left.values())) / self.expected.jobs
        pace = spent / planned if planned > 0 else 1.0
        return f"about {duration(pace * sum(self.left.values()) / self.expected.jobs)}"


def run(
    study: Study,
    *,
    store: Path = CELLS,
    jobs: int = 1,
    only: Mapping[str, str] | None = None,
    max_time: float | None = None,
    quiet: bool = False,
    after: Callable[[Results], None] | None = None,
) -> Results:
    """Do what is not done yet of a study, and answer with all that is there.

    Args:
        study: to run.
        store: folder of cells.
        jobs: cells at a time, each in a process of its own with its share of the cores.
        only: run the cells at this place of the grid; the others stay as they are.
        max_time: seconds after which nothing is begun and training stops, all kept.
        quiet: say nothing.
        after: is given the results every minute or so, and at the end, also of an interrupted study.

    Raises:
        CounterpointError: a cell cannot work; nothing was started.
        KeyboardInterrupt: after what is done was kept and handed on.
    """
    say: Say = _silent if quiet else _tell
    deadline = None if max_time is None else time.time() + max_time
    store = store.absolute()
    asked, shelf = chosen(study.cells, only or {}), Shelf()
    made = check(asked, study.evaluators, shelf, store)
    jobs = max(1, min(jobs, len(different(asked))))
    threads = max(1, _cores() // jobs)
    asked, numerics = settled(asked, study.cells, made, shelf, store, threads=_own(threads, jobs))
    runs = runs_of(asked, study.evaluators)
    expected = cost(runs, made, shelf, store, jobs=jobs, threads=_own(threads, jobs))
    say(expected.told())
    if numerics:
        say(f"  numbers  {numerics}")
    names = {*expected.training, *expected.evaluating}
    todo = {cell: evaluators for cell, evaluators in runs.items() if folder_of(cell, store).name in names}

    def hand() -> Results:
        results = gather(study, store)
        if after is not None:
            after(results)
        return results

    progress = _Progress(len(todo), expected, say, None if after is None else hand)
    try:
        if todo and jobs == 1:
            _in_turn(todo, store, shelf, deadline, progress, quiet)
        elif todo:
            del shelf
            _Crew(todo, store, deadline, progress, jobs, threads).work()
    finally:
        results = hand()
    if progress.done < len(todo):
        say(f"  out of time: {progress.done} of {len(todo)} done; the same command goes on")
    if progress.failed:
        say(f"  {progress.failed} of {len(todo)} failed; the reasons are in failure.txt of their folders in {store}")
    return results


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _own(threads: int, jobs: int) -> int:
    """Threads of a job: one alone works in this process, with the threads that it has."""
    import torch

    return torch.get_num_threads() if jobs == 1 else threads


def _in_turn(
    runs: Mapping[Cell, Sequence[Evaluator]],
    store: Path,
    shelf: Shelf,
    deadline: float | None,
    progress: _Progress,
    quiet: bool,
) -> None:
    """One after another, in this process; those that another process works on last."""
    waiting, since = deque(runs), 0
    while waiting and (deadline is None or time.time() < deadline):
        cell = waiting.popleft()

        def begin(doing: str, cell: Cell = cell) -> None:
            progress.begin(cell, doing)

        try:
            done = perform(
                cell,
                runs[cell],
                store,
                shelf=shelf,
                deadline=deadline,
                quiet=quiet or not sys.stderr.isatty(),
                say=begin,
            )
        except Busy:
            waiting.append(cell)
            since += 1
            if since >= len(waiting):
                time.sleep(_WAIT)
                since = 0
            continue
        since = 0
        if done.complete or done.errors:
            progress.end(cell, folder_of(cell, store), done)


class _Crew:
    """Several processes at work, each told what to do by a thread of this one."""

    def __init__(
        self,
        runs: Mapping[Cell, Sequence[Evaluator]],
        store: Path,
        deadline: float | None,
        progress: _Progress,
        jobs: int,
        threads: int,
    ) -> None:
        self.runs, self.waiting = runs, deque(runs)
        self.store, self.deadline = store, deadline
        self.progress, self.jobs, self.threads = progress, jobs, threads
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.crew: set[subprocess.Popen[str]] = set()
        self.broken: list[BaseException] = []

    def work(self) -> None:
        """Until no cell is left, or Ctrl-C."""
        hands = [threading.Thread(target=self._hand, daemon=True) for _ in range(self.jobs)]
        for hand in hands:
            hand.start()
        try:
            while any(hand.is_alive() for hand in hands):
                for hand in hands:
                    hand.join(0.2)
        except KeyboardInterrupt:
            self.stop.set()
            self._stop()
            raise
        if self.broken:
            raise self.broken[0]

    def _stop(self) -> None:
        """Let every process stop as by Ctrl-C, with what is done kept."""
        with self.lock:
            crew = set(self.crew)
        for process in crew:
            _hang_up(process)
        for process in crew:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()

    def _hire(self) -> subprocess.Popen[str]:
        share = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads))
        process = subprocess.Popen(
            [sys.executable, "-m", "counterpoint.studies.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **share},
            start_new_session=True,  # Ctrl-C reaches this process only, which then lets them stop
        )
        with self.lock:
            self.crew.add(process)
        return process

    def _hand(self) -> None:
        process: subprocess.Popen[str] | None = None
        try:
            while not self.stop.is_set() and (self.deadline is None or time.time() < self.deadline):
                with self.lock:
                    if not self.waiting:
                        break
                    cell = self.waiting.popleft()
                process = process or self._hire()
                try:
                    done = self._asked(process, cell)
                except Busy:
                    with self.lock:
                        self.waiting.append(cell)
                    time.sleep(_WAIT)
                    continue
                if self.stop.is_set():
                    break
                if done is None:
                    why = self._ended(process)
                    note(folder_of(cell, self.store), RunError(why))
                    done = Done(complete=False, errors=(why,))
                    process = None
                if done.complete or done.errors:
                    with self.lock:
                        self.progress.end(cell, folder_of(cell, self.store), done)
        except BaseException as error:
            self.broken.append(error)
            self.stop.set()
        finally:
            if process is not None:
                _dismiss(process)

    def _ended(self, process: subprocess.Popen[str]) -> str:
        """Why a process is no more."""
        code = _dismiss(process)
        with self.lock:
            self.crew.discard(process)
        memory = "; memory may have run out" if code == -9 else ""
        return f"its process was ended by signal {-code}{memory}" if code < 0 else f"its process ended with code {code}"

    def _asked(self, process: subprocess.Popen[str], cell: Cell) -> Done | None:
        """A process's answer; None where it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(task_of(cell, self.runs[cell], self.store, self.deadline) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            return None
        return done_of(line) if line else None
