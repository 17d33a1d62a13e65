"""A process that works on cells, one after another, as the one that started it tells it.

`python -m counterpoint.studies.worker`.
A task is a line of JSON on stdin, its answer a line on stdout. When stdin ends, whoever started this is gone: the work
at hand is stopped as by Ctrl-C, so that what is done is kept.
"""

import _thread
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, cast

from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.studies.cells import Shelf, folder_of
from counterpoint.studies.study import Cell, Evaluator
from counterpoint.studies.work import Busy, Done, perform

__all__ = ["PATIENCE", "done_of", "main", "task_of"]

PATIENCE = 120.0  # seconds in which the work at hand must stop


def task_of(cell: Cell, evaluators: Sequence[Evaluator], store: Path, deadline: float | None) -> str:
    """A task as a line.

    Args:
        cell: to work on.
        evaluators: to ask.
        store: of cells.
        deadline: `time.time()` after which nothing is begun.
    """
    return json.dumps(
        {
            "cell": part_to_json(_asked(cell)),
            "evaluators": part_to_json(tuple(evaluators)),
            "store": str(store),
            "deadline": deadline,
        }
    )


def _asked(cell: Cell) -> dict[str, Any]:
    return {
        "place": list(cell.place.items()),  # as pairs: an axis may be called `part`, which JSON keeps for classes
        "recipe": cell.recipe,
        "source": cell.source,
        "encoder": cell.encoder,
        "seed": cell.seed,
        "dials": dict(cell.dials),
        "settings": dict(cell.settings),
        "precision": cell.precision,
        "after": None if cell.after is None else _asked(cell.after),
    }


def _cell(given: dict[str, Any]) -> Cell:
    after: Any = given["after"]
    return Cell(
        **{k: v for k, v in given.items() if k not in ("place", "after")},
        place=dict(given["place"]),
        after=None if after is None else _cell(after),
    )


def done_of(answer: str) -> Done:
    """What was done, from the line of an answer.

    Raises:
        Busy: another process works on the cell.
    """
    found: dict[str, Any] = json.loads(answer)
    if found["busy"]:
        raise Busy
    return Done(found["trained"], found["evaluated"], found["complete"], tuple(found["errors"]))


def _do(task: dict[str, Any], shelf: Shelf) -> dict[str, Any]:
    cell, store = _cell(cast(dict[str, Any], part_from_json(task["cell"]))), Path(task["store"])
    folder = folder_of(cell, store)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".output.txt").open("a", encoding="utf-8") as output:  # hidden: a run begins in an empty folder
        os.dup2(output.fileno(), sys.stderr.fileno())
    try:
        evaluators = cast(Sequence[Evaluator], part_from_json(task["evaluators"]))
        done = perform(cell, evaluators, store, shelf=shelf, deadline=task["deadline"], quiet=False)
    except Busy:
        return {"busy": True, **asdict(Done())}
    return {"busy": False, **asdict(done)}


def _listen(tasks: "queue.Queue[str | None]") -> None:
    """Lines of stdin, and at its end an interruption."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put(None)
    _thread.interrupt_main()
    time.sleep(PATIENCE)
    os._exit(1)


def main() -> None:
    """Work until stdin ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    tasks: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    shelf = Shelf()
    try:
        while (line := tasks.get()) is not None:
            print(json.dumps(_do(json.loads(line), shelf)), file=answers, flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
