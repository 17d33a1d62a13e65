"""What was read of a study's runs, without their weights: one small file, kept with the page that was made of it.

A run of a league is tens of megabytes, its recipe, log and answers are a few kilobytes. With these a page is made again
in seconds, and a study goes on with further seeds where the runs themselves are gone. Readings that were taken in lie
beside the runs, never in their place.
"""

import io
import json
import lzma
import re
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from counterpoint.errors import CounterpointError, RunError
from counterpoint.files import whole, write_json
from counterpoint.run import Run
from counterpoint.studies.cells import asked_for, difference, digest, folder_of, form_of, kept_of, lock_of, what
from counterpoint.studies.contents import by_contents, names_contents, unread
from counterpoint.studies.plan import runs_of
from counterpoint.studies.study import Cell, Evaluator, Study
from counterpoint.studies.work import answer_of, asked_of, held, lacking

__all__ = ["FILE", "pack", "unpack"]

FILE = "readings.tar.xz"

_MEMBER = re.compile(
    r"[A-Za-z0-9_-][A-Za-z0-9_.-]*/(recipe\.json|log\.jsonl|answers/[^/\\:\x00-\x1f.][^/\\:\x00-\x1f]*\.json)"
)
_ALWAYS = ("recipe.json", "log.jsonl")


def pack(folder: Path, study: Study, store: Path, say: Callable[[str], None] = lambda line: None) -> Path | None:
    """Write the recipe, the log and the answers of each run that is complete; the same runs give the same bytes.

    Runs of an earlier file that are not complete in the store stay in it, so that nothing is lost by a study that is
    asked for again in part. A run that nothing was asked of, or whose training diverged, is not in it; nor is one whose
    data can no longer be read at its place. Runs whose data has equal contents at two places are one run here.

    Args:
        folder: of the study's page.
        study: whose runs they are.
        store: of cells.
        say: is told which data could not be read.

    Returns:
        The file; None where no run is complete, and nothing is written.
    """
    members: dict[str, bytes] = {}
    ours = set[str]()
    lost = Counter[str]()
    for cell, evaluators in runs_of(study.cells, study.evaluators).items():
        run = held(cell, evaluators, store) if evaluators else None
        if run is None:
            continue
        try:
            if places := unread([asked_for(cell)["source"], *map(asked_of, evaluators)]):
                lost[places[0]] += 1
                continue
            own = _name(cell, store)
            if own not in ours:
                members |= {f"{own}/{name}": content for name, content in _read(run, evaluators).items()}
                ours |= {own, kept_of(cell, store).name}  # the second: as earlier files name it
        except (OSError, ValueError, KeyError):  # gone or damaged since: the page says so
            continue
    for place, count in lost.items():
        say(f"  the readings of {count} runs are not kept beside the page, as {place!r} cannot be read")
    if not members:
        return None
    try:
        earlier = _members(folder / FILE) if (folder / FILE).is_file() else {}
    except RunError:
        earlier = {}
    members |= {name: content for name, content in earlier.items() if name.partition("/")[0] not in ours}
    with whole(folder / FILE) as temporary, tarfile.open(temporary, "w:xz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(members.items()):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return folder / FILE


def _name(cell: Cell, store: Path) -> str:
    """Of a run's folder, the same wherever its data lies."""
    return f"{folder_of(cell, store).name.rpartition('-')[0]}-{digest(by_contents(asked_for(cell)))}"


def _answer(evaluator: Evaluator) -> str:
    """Of an answer's file, the same wherever the data lies that it speaks of."""
    return f"answers/{evaluator.name}-{digest(by_contents(asked_of(evaluator)))}.json"


def _read(run: Path, evaluators: Sequence[Evaluator]) -> dict[str, bytes]:
    """The files of a run, its recipe without where its data lies."""
    recipe: dict[str, Any] = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    plain = json.dumps({**recipe, "source": by_contents(what(recipe["source"]))}, indent=1) + "\n"
    found = {"recipe.json": plain.encode(), "log.jsonl": (run / "log.jsonl").read_bytes()}
    for evaluator in evaluators:
        answer: dict[str, Any] = json.loads(answer_of(run, evaluator).read_text(encoding="utf-8"))
        told = {**answer, "evaluator": by_contents(asked_of(evaluator))}
        found[_answer(evaluator)] = (json.dumps(told, indent=1, allow_nan=False) + "\n").encode()
    return found


def _settle(found: Path, cell: Cell, evaluators: Sequence[Evaluator]) -> None:
    """Give unpacked readings the place where their data lies for a cell; answers about data of no place here go."""
    recipe = Run.open(found).recipe()
    source = asked_for(cell)["source"]
    if names_contents(recipe["source"]) and form_of(recipe)["source"] == by_contents(source):
        write_json(found / "recipe.json", {**recipe, "source": source})
    for evaluator in evaluators:
        if (found / _answer(evaluator)).is_file():
            (found / _answer(evaluator)).rename(answer_of(found, evaluator))
    asked = {answer_of(found, evaluator) for evaluator in evaluators}
    for path in set(found.glob("answers/*")) - asked:
        if names_contents(json.loads(path.read_text(encoding="utf-8"))):
            path.unlink()


def unpack(file: Path, study: Study, store: Path) -> str:
    """Put readings where the cells of a study look for them; runs and readings that are there stay.

    Args:
        file: as `pack` has written it.
        study: whose cells ask for them.
        store: of cells.

    Returns:
        What became of them, for a person.

    Raises:
        RunError: it is no such file, or damaged; nothing was taken.
    """
    cells = {digest(asked_for(cell)): (cell, asked) for cell, asked in runs_of(study.cells, study.evaluators).items()}
    names: dict[str, list[str]] = {}
    for key, (cell, _) in cells.items():
        for name in {_name(cell, store), kept_of(cell, store).name}:
            names.setdefault(name, []).append(key)
    members = _members(file)
    became = Counter[str]()
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".readings-") as space:
        for name, content in members.items():
            path = Path(space) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for found in sorted(Path(space).iterdir()):
            try:
                keys = names.get(found.name) or [digest(form_of(Run.open(found).recipe()))]
            except CounterpointError as error:
                became[f"that cannot be read ({error})"] += 1
                continue
            for key in keys[1:]:
                shutil.copytree(found, Path(space) / f".{key}")
            for key, copy in zip(keys, [found, *(Path(space) / f".{key}" for key in keys[1:])], strict=True):
                became[_given(copy, *cells[key], store) if key in cells else "asked for by no cell of the study"] += 1
    return ", ".join(f"{count} {said}" for said, count in became.most_common()) or "no runs"


def _given(found: Path, cell: Cell, evaluators: Sequence[Evaluator], store: Path) -> str:
    """Give unpacked readings to a cell, if they are what it asks for; in words."""
    try:
        _settle(found, cell, evaluators)
        why = difference(cell, found)
    except (CounterpointError, ValueError) as error:
        return f"that cannot be read ({error})"
    if why:
        return f"not what their cells ask for ({why})"
    try:
        with lock_of(cell, store).acquire(timeout=0):
            return _placed(found, cell, evaluators, store)
    except Timeout:
        return "left, as another process works on them"


def _members(file: Path) -> dict[str, bytes]:
    """The files of all runs, by name; all of them, or an error."""
    members: dict[str, bytes] = {}
    try:
        plain = io.BytesIO(lzma.decompress(file.read_bytes()))  # whole first, as its checksum is at the end
        with tarfile.open(fileobj=plain, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if _MEMBER.fullmatch(member.name) is None or content is None:
                    raise RunError(f"{str(file)!r} holds {member.name!r}, which belongs to no run; nothing was taken")
                members[member.name] = content.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise RunError(f"{str(file)!r} holds no readings of a study, or is damaged ({error})") from error
    for run in {name.partition("/")[0] for name in members}:
        if missing := [name for name in _ALWAYS if f"{run}/{name}" not in members]:
            raise RunError(f"{str(file)!r} lacks {missing[0]} of {run!r}, so it is damaged; nothing was taken")
    return members


def _placed(found: Path, cell: Cell, evaluators: Sequence[Evaluator], store: Path) -> str:
    """Put the readings of a run to its place, or what is new of them beside those of the same run; in words."""
    target = kept_of(cell, store)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        found.rename(target)
        return "taken in"
    if (target / "log.jsonl").read_bytes() == (found / "log.jsonl").read_bytes():
        new = [answer for answer in sorted(found.glob("answers/*")) if not (target / "answers" / answer.name).exists()]
        (target / "answers").mkdir(exist_ok=True)
        for answer in new:
            answer.rename(target / "answers" / answer.name)
        return "completed by answers" if new else "there already"
    if lacking(found, evaluators) or not lacking(target, evaluators):
        return "left, as readings of another training are there"
    old = found.with_name(f"{found.name}.old")
    target.rename(old)
    found.rename(target)
    shutil.rmtree(old)
    return "taken in for others that lack answers"
