"""What was read of a study's runs, without their weights: one small file, kept with the page that was made of it.

A run of a league is tens of megabytes, its recipe, log and answers are a few kilobytes. With these a page is made again
in seconds, and a study goes on with further seeds where the runs themselves are gone.
"""

import io
import json
import lzma
import re
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from counterpoint.errors import CounterpointError, RunError
from counterpoint.files import whole
from counterpoint.studies.cells import difference, finished, folder_of, kept, lock_of, what, without_weights
from counterpoint.studies.plan import runs_of
from counterpoint.studies.study import Study
from counterpoint.studies.work import answer_of, lacking

__all__ = ["FILE", "pack", "unpack"]

FILE = "readings.tar.xz"

_MEMBER = re.compile(r"(?P<run>[A-Za-z0-9_.-]+)/(?P<file>recipe\.json|log\.jsonl|answers/[A-Za-z0-9_.-]+\.json)")


def pack(folder: Path, study: Study, store: Path) -> Path | None:
    """Write the recipe, the log and the answers of each run that is complete; the same runs give the same bytes.

    Args:
        folder: of the study's page.
        study: whose runs they are.
        store: of cells.

    Returns:
        The file; None where no run is complete, and nothing is written.
    """
    members: dict[str, bytes] = {}
    for cell, evaluators in runs_of(study.cells, study.evaluators).items():
        run = folder_of(cell, store)
        if not (finished(run) or kept(run)) or lacking(run, evaluators):
            continue
        recipe: dict[str, Any] = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        plain = json.dumps({**recipe, "source": what(recipe["source"])}, indent=1) + "\n"
        members[f"{run.name}/recipe.json"] = plain.encode()
        for path in (run / "log.jsonl", *(answer_of(run, evaluator) for evaluator in evaluators)):
            members[path.relative_to(store).as_posix()] = path.read_bytes()
    if not members:
        return None
    with whole(folder / FILE) as temporary, tarfile.open(temporary, "w:xz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(members.items()):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return folder / FILE


def unpack(file: Path, study: Study, store: Path) -> str:
    """Put runs without their weights where the cells of a study have them; a run that is there gets what it lacks.

    Args:
        file: as `pack` has written it.
        study: whose cells ask for them.
        store: of cells.

    Returns:
        What became of them, for a person.

    Raises:
        RunError: it is no such file, or damaged; nothing was taken.
    """
    cells = {folder_of(cell, store).name: cell for cell in runs_of(study.cells, ())}
    became = Counter[str]()
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".readings-") as space:
        for held in _extracted(file, Path(space)):
            cell = cells.get(held.name)
            if cell is None:
                became["asked for by no cell of the study"] += 1
                continue
            try:
                why = difference(cell, held)
            except CounterpointError as error:
                why = str(error)
            if why:
                became[f"not what their cells ask for ({why})"] += 1
                continue
            try:
                with lock_of(cell, store).acquire(timeout=0):
                    became[_placed(held, folder_of(cell, store))] += 1
            except Timeout:
                became["left, as another process works on them"] += 1
    return ", ".join(f"{count} {said}" for said, count in became.most_common()) or "no runs"


def _extracted(file: Path, space: Path) -> Sequence[Path]:
    """The runs of a file, each in a folder of its own."""
    try:
        with tarfile.open(file, "r:xz") as archive:
            for member in archive:
                found = _MEMBER.fullmatch(member.name)
                content = archive.extractfile(member) if member.isfile() else None
                if found is None or found["run"].startswith(".") or content is None:
                    raise RunError(f"{str(file)!r} holds {member.name!r}, which belongs to no run; nothing was taken")
                path = space / found["run"] / found["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise RunError(f"{str(file)!r} holds no readings of a study, or is damaged ({error})") from error
    return sorted(space.iterdir())


def _placed(held: Path, target: Path) -> str:
    """Move a run to its place, or what it has to the same run there; what became of it, in words."""
    if not (finished(target) or kept(target)):
        if (target / "recipe.json").is_file():
            return "left, as their training has begun here"
        without_weights(held)
        shutil.rmtree(target, ignore_errors=True)
        held.rename(target)
        return "taken in without weights"
    if (target / "log.jsonl").read_bytes() != (held / "log.jsonl").read_bytes():
        return "left, as they were trained here too"
    new = [answer for answer in sorted(held.glob("answers/*")) if not (target / "answers" / answer.name).exists()]
    (target / "answers").mkdir(exist_ok=True)
    for answer in new:
        answer.rename(target / "answers" / answer.name)
    return "completed by answers" if new else "there already"
