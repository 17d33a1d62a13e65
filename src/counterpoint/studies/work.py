"""The work on one cell: train it, ask the evaluators, keep every answer; what fails is written down and left behind."""

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from filelock import Timeout

from counterpoint.app.doctor import doctor
from counterpoint.app.train import train
from counterpoint.errors import CounterpointError, DivergenceError, RunError
from counterpoint.files import write_json, write_text
from counterpoint.recipe import part_to_json
from counterpoint.run import Run
from counterpoint.studies.cells import (
    Opened,
    Shelf,
    difference,
    digest,
    finished,
    folder_of,
    kept_of,
    layout_of,
    lock_of,
    outdated,
    placed,
    seconds_of,
    what,
)
from counterpoint.studies.study import Cell, Evaluator, Only, Result, Results, Study

__all__ = [
    "Answer",
    "Busy",
    "Done",
    "answer_of",
    "asked_of",
    "gather",
    "held",
    "lacking",
    "note",
    "perform",
    "read_answer",
]


class Busy(Exception):
    """Another process works on the cell."""


@dataclass(frozen=True)
class Done:
    """What was done now.

    Args:
        trained, evaluated: seconds; 0 where there was nothing to do.
        complete: trained to the end, every evaluator asked.
        errors: one sentence for each failure.
    """

    trained: float = 0.0
    evaluated: float = 0.0
    complete: bool = True
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """What an evaluator found of a cell.

    Args:
        found: plain numbers, texts, lists and dictionaries.
        seconds: that it took.
    """

    found: Mapping[str, Any]
    seconds: float


def answer_of(folder: Path, evaluator: Evaluator) -> Path:
    """The file of an evaluator's answer about a cell; another one for other numbers of the evaluator."""
    return folder / "answers" / f"{evaluator.name}-{digest(asked_of(evaluator))}.json"


def asked_of(evaluator: Evaluator) -> Any:
    """What answers, in one normal form: without of which cells it is asked, and where its data lies."""
    return what(_stored(evaluator))


def _stored(evaluator: Evaluator) -> Any:
    return part_to_json(evaluator.evaluator if isinstance(evaluator, Only) else evaluator)


def read_answer(path: Path) -> Answer | None:
    """An answer that was kept; None where there is none, or the file is damaged, so that it is asked for again."""
    try:
        kept: Any = json.loads(path.read_text(encoding="utf-8"))
        found, seconds = kept["answer"], float(kept["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Answer(cast(Mapping[str, Any], found), seconds) if isinstance(found, dict) else None


def _failure(path: Path) -> Path:
    """Where the failure of a run (its folder) or of an answer (its file) is written down."""
    return path / "failure.txt" if path.is_dir() else path.with_suffix(".failure.txt")


def _sentence(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, CounterpointError) else f"{type(error).__name__}: {said}"


def note(path: Path, error: BaseException) -> str:
    """Write down why; the sentence."""
    said = _sentence(error)
    path.parent.mkdir(parents=True, exist_ok=True)
    _failure(path).unlink(missing_ok=True)
    write_text(_failure(path), f"{said}\n\n{''.join(traceback.format_exception(error))}")
    return said


def _noted(path: Path) -> str:
    """The sentence of a failure; empty where there was none."""
    try:
        return _failure(path).read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""


def _diverged(folder: Path) -> bool:
    """Whether the last attempt ended because the loss was no longer a number."""
    return DivergenceError.__name__ in _failure(folder).read_text(encoding="utf-8")


def lacking(folder: Path, evaluators: Sequence[Evaluator]) -> tuple[Evaluator, ...]:
    """The evaluators that have not answered about a run."""
    return tuple(e for e in evaluators if read_answer(answer_of(folder, e)) is None)


def held(cell: Cell, evaluators: Sequence[Evaluator], store: Path) -> Path | None:
    """Where a run is of which nothing is left to do; None where something is.

    A run that is only to be read may do without its weights: then it is its readings, if they have every answer.

    Args:
        cell: that asks for it.
        evaluators: that must have answered; none: the run itself is needed.
        store: folder of cells.
    """
    folder, readings = folder_of(cell, store), kept_of(cell, store)
    if finished(folder) and not lacking(folder, evaluators):
        return folder
    if evaluators and (readings / "recipe.json").is_file() and not lacking(readings, evaluators):
        return readings
    return None


def perform(
    cell: Cell,
    evaluators: Sequence[Evaluator],
    store: Path,
    *,
    shelf: Shelf | None = None,
    deadline: float | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Done:
    """Train a cell to its end, going on where it was, and ask each evaluator that has not answered.

    Args:
        cell: to work on.
        evaluators: to ask; whether they want the cell is for the caller to know.
        store: folder of cells.
        shelf: of data sets.
        deadline: `time.time()` after which nothing is begun, and training stops.
        quiet: whether training says nothing.
        say: is told what begins.

    Raises:
        Busy: another process works on the cell now.
        KeyboardInterrupt: after what is done was kept.
    """
    folder = folder_of(cell, store)
    if held(cell, evaluators, store) is not None:
        return Done()
    if cell.after is not None and not finished(folder):
        first = replace(cell.after, precision=cell.precision)
        done = perform(first, (), store, shelf=shelf, deadline=deadline, quiet=quiet, say=say)
        why = outdated(first, folder_of(first, store)) if done.complete else "; ".join(done.errors)
        if why:
            folder.mkdir(parents=True, exist_ok=True)
            said = note(folder, RunError(f"the run that its labels come from cannot be used: {why}"))
            return replace(done, complete=False, errors=(said,))
        if not done.complete:
            return done
    cell = placed(cell, store)
    lock = lock_of(cell, store)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy from None
    try:
        trained = 0.0
        if not finished(folder):
            say("training")
            began = time.perf_counter()
            try:
                _train(cell, folder, deadline, quiet)
            except Exception as error:
                folder.mkdir(parents=True, exist_ok=True)
                return Done(time.perf_counter() - began, complete=False, errors=(note(folder, error),))
            trained = time.perf_counter() - began
            if not finished(folder):
                return Done(trained, complete=False)
        began = time.perf_counter()
        complete, errors = _ask(cell, folder, evaluators, shelf or Shelf(), deadline, say)
        return Done(trained, time.perf_counter() - began, complete, errors)
    finally:
        lock.release()


def _train(cell: Cell, folder: Path, deadline: float | None, quiet: bool) -> None:
    begun = (folder / "recipe.json").is_file()
    if folder.is_dir():
        _failure(folder).unlink(missing_ok=True)
    if begun:
        if why := difference(cell, folder):
            raise RunError(f"{str(folder)!r} holds another run than its name says: {why}; move it away")
        run, source = Run(folder), json.loads(json.dumps(part_to_json(cell.source)))
        if run.recipe()["source"] != source:  # the same data, which lies elsewhere now
            run.write_recipe({**run.recipe(), "source": source})
    fresh: dict[str, Any] = {
        "recipe": cell.recipe,
        "source": cell.source,
        "encoder": cell.encoder,
        "seed": cell.seed,
        "dials": dict(cell.dials),
        "settings": {path: str(cell.settings[path]) for path in sorted(cell.settings)},
        "precision": cell.precision,
        "channels_last": layout_of(cell),
    }
    asked: dict[str, Any] = {"resume": True} if begun else fresh
    train(
        **asked,
        out=folder,
        evaluate=False,
        report=False,
        max_time=None if deadline is None else max(3.0, deadline - time.time()),
        quiet=quiet,
    )


def _ask(
    cell: Cell,
    folder: Path,
    evaluators: Sequence[Evaluator],
    shelf: Shelf,
    deadline: float | None,
    say: Callable[[str], None],
) -> tuple[bool, tuple[str, ...]]:
    """Whether all were asked, and why some failed."""
    opened: Opened | None = None
    errors: list[str] = []
    for evaluator in lacking(folder, evaluators):
        if deadline is not None and time.time() > deadline:
            return False, tuple(errors)
        path = answer_of(folder, evaluator)
        say(evaluator.name)
        began = time.perf_counter()
        try:
            opened = opened or Opened(cell, folder, shelf)
            found = _json(evaluator(opened))
            path.parent.mkdir(exist_ok=True)
            seconds = round(time.perf_counter() - began, 3)
            write_json(path, {"evaluator": _stored(evaluator), "seconds": seconds, "answer": found})
            _failure(path).unlink(missing_ok=True)
        except Exception as error:
            errors.append(f"{evaluator.name}: {note(path, error)}")
    return not errors, tuple(errors)


def _json(value: Any) -> Any:
    """As JSON has it: arrays become lists, and what is no finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json(v) for v in value]
    if hasattr(value, "tolist"):
        return _json(value.tolist())
    if isinstance(value, float):
        # NaN is not equal to itself.
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise RunError(f"an evaluator answered with {type(value).__name__}; expected numbers, texts, lists, dictionaries")


# ---------------------------------------------------------------- what came out


def gather(study: Study, store: Path) -> Results:
    """What is there of all cells of a study, read from the store: whoever ran them, and when."""
    return Results(tuple(_result(cell, study.evaluators, store) for cell in study.cells))


def _result(cell: Cell, evaluators: Sequence[Evaluator], store: Path) -> Result:
    wanted = [evaluator for evaluator in evaluators if evaluator.wanted(cell)]
    place = held(cell, wanted, store)
    folder = place or folder_of(cell, store)
    try:
        if place is None and not finished(folder):
            begun = (folder / "recipe.json").is_file()
            plain = "training has begun and not ended" if begun else "it has not been run"
            why = _noted(folder) if folder.is_dir() else ""
            gone = bool(why) and _diverged(folder)
            said = doctor(folder).to_json() if gone else {}
            return Result(cell, None, {}, why or plain, failed=bool(why), diverged=gone, checkup=said)
        if why := outdated(cell, folder):
            return Result(cell, None, {}, why)
        found: dict[str, Mapping[str, Any]] = {}
        errors: list[str] = []
        failed = False
        for evaluator in wanted:
            path = answer_of(folder, evaluator)
            if (answer := read_answer(path)) is not None:
                found[evaluator.name] = answer.found
                continue
            plain = "its answer is damaged and will be asked for again" if path.is_file() else "not asked yet"
            why = _noted(path)
            failed |= bool(why)
            errors.append(f"{evaluator.name}: {why or plain}")
        stored = Run(folder).recipe()
    except CounterpointError as error:
        return Result(cell, None, {}, str(error))
    machine = {**stored["environment"], **{k: stored["engine"][k] for k in ("precision", "threads", "device")}}
    return Result(cell, folder, found, "; ".join(errors), seconds_of(folder)[0], machine, failed)
