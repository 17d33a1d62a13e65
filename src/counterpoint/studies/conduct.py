"""Studies by name, by import path or from a file: found, run, and written down with their page, tables and claims."""

import importlib
import inspect
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from counterpoint import sources
from counterpoint._version import __version__
from counterpoint.errors import RecipeError, RunError, nearest
from counterpoint.files import write_json
from counterpoint.recipe import load_object, part_to_json
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.studies.cells import CELLS, adopt, asked_for, difference, digest, folder_of
from counterpoint.studies.claims import SCALES, decide, measured, record, tally
from counterpoint.studies.listing import named_studies, study_module
from counterpoint.studies.options import suited
from counterpoint.studies.own import read_own
from counterpoint.studies.plan import different
from counterpoint.studies.readings import FILE, pack, unpack
from counterpoint.studies.runner import run
from counterpoint.studies.study import Decision, Result, Results, Scale, Study
from counterpoint.types import Source

__all__ = ["Studied", "find_study", "show_claims", "study", "take_in"]

STUDIES = Path("runs/studies")

_FLAGS = ("source", "root", "scale", "seeds")  # of a study's arguments, those that every study may take


@dataclass(frozen=True, eq=False)
class Studied:
    """A study that was run.

    Args:
        study: as it was made.
        results: of its cells, those that failed or were not run among them.
        decisions: by the key of their claim.
        page: what was written; tables and claims lie beside it.
    """

    study: Study
    results: Results
    decisions: Mapping[str, Decision]
    page: Path


def _function(name: str) -> Callable[..., Study]:
    if ":" in name:
        return cast(Callable[..., Study], load_object(name))
    known = named_studies()
    wanted = name.replace("_", "-")
    if wanted not in known:
        raise RecipeError(
            f"there is no study {name!r}; {nearest(wanted, known)}; your own is a FILE.toml or module:function"
        )
    return getattr(importlib.import_module(study_module(wanted)), wanted.replace("-", "_"))


def find_study(
    name: str | Path,
    *,
    source: str | Path | Source | None = None,
    root: str | Path | None = None,
    size: int | None = None,
    scale: Scale = "full",
    seeds: int | Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Study:
    """A study by its name, by an import path, or from a TOML file.

    A study's function takes keyword arguments: of `source` (a Source), `root` (a folder, where no source was named),
    `scale` and `seeds` (a tuple) those that it names, and options of its own.

    Raises:
        CounterpointError: there is none, or it does not take what was given.
    """
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    if chosen is not None and not len(chosen):
        raise RecipeError("a study needs at least one seed; give --seeds 3, or --seeds 0,1,2")
    given: dict[str, Any] = {} if chosen is None else {"seeds": tuple(chosen)}
    if isinstance(source, str | Path):
        place = None if root is None else str(root)
        given["source"] = sources.lookup(str(source), root=place, size=size)
    elif source is not None:
        given["source"] = source
    elif root is not None:
        given["root"] = Path(root).expanduser().absolute()
    if Path(name).suffix == ".toml":
        if scale != "full" or options or "root" in given:
            raise RecipeError(f"{name}: a study from a file takes no --scale, --option, or --root without --source")
        return read_own(Path(name), **given)
    function = _function(str(name))
    parameters = inspect.signature(function).parameters
    known = [p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
    if "scale" in known or scale != "full":
        given["scale"] = scale
    for key in given:
        if key not in known:
            raise RecipeError(f"study {str(name)!r} takes no {key}; {nearest(key, known)}")
    own = [key for key in known if key not in _FLAGS]
    for key, value in (options or {}).items():
        if key not in own:
            flag = f"; it is given as --{key}" if key in known else ""
            raise RecipeError(f"study {str(name)!r} has no option {key!r}{flag}; {nearest(key, own)}")
        given[key] = suited(str(name), key, value, parameters[key].annotation)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    for key in needed:
        if key not in given:
            flag = f"--{key}" if key in _FLAGS else f"--option {key}=VALUE"
            raise RecipeError(f"study {str(name)!r} needs to know its {key}; give {flag}")
    made: Any = function(**given)
    if not isinstance(made, Study):
        raise RecipeError(f"{str(name)!r} answered with {type(made).__name__}, expected a counterpoint Study")
    return made


def take_in(folders: Sequence[Path], study: Study, store: Path) -> dict[Path, str]:
    """Move runs that were trained elsewhere to where the cells of a study have them, and copy what was read of others.

    Args:
        folders: runs, folders of runs, or pages of studies with the readings of their runs.
        study: whose cells they may be.
        store: of cells.

    Returns:
        What became of each run: where it is now, or why it stays; and of the runs of each file of readings.

    Raises:
        RunError: a file of readings is damaged.
    """
    runs = [
        p.parent for folder in folders for p in sorted([*folder.glob("recipe.json"), *folder.glob("*/recipe.json")])
    ]
    files = [folder / FILE for folder in folders if (folder / FILE).is_file()]
    found: dict[Path, str] = {file: unpack(file, study, store) for file in files}
    for run_folder in runs:
        for cell in different(study.cells):
            if not difference(cell, run_folder):
                try:
                    found[run_folder] = f"moved to {adopt(run_folder, cell, store)}"
                except RunError as error:
                    found[run_folder] = str(error)
                break
        else:
            found[run_folder] = "no cell of the study asks for it; it stays"
    return found


def study(
    name: str | Path | Study,
    *,
    source: str | Path | Source | None = None,
    root: str | Path | None = None,
    size: int | None = None,
    scale: Scale = "full",
    seeds: int | Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    cells: str | Path = CELLS,
    jobs: int = 1,
    only: Mapping[str, str] | None = None,
    max_time: float | None = None,
    precision: str = "auto",
    adopted: Sequence[Path] = (),
    command: str | None = None,
    quiet: bool = False,
) -> Studied:
    """Run a study, or what is not done yet of it; write its page, its tables, and what it decided.

    Args:
        name: of a study, an import path `module:function`, a TOML file, or a Study.
        source: a name, a path to images, or a Source.
        root: of the source; without one, the folder of all the data that the study needs.
        size: of the images, in pixels.
        scale: `smoke` (seconds, for tests), `small` (a laptop) or `full` (as published).
        seeds: how many, or which.
        options: the study's own.
        out: folder of the page; None: runs/studies/NAME-SOURCE-SCALE.
        cells: folder of the runs, shared by all studies.
        jobs: cells at a time, each in a process of its own with its share of the cores.
        only: run the cells at this place of the grid only.
        max_time: seconds after which nothing is begun and training stops, all kept.
        precision: `32-true` or `bf16-mixed` for all cells that are to be trained, or `auto`: what the study says, where
            it says nothing that of its runs that are there, else the fastest.
        adopted: folders with runs that were trained elsewhere, to be moved to their cells first, or with the readings
            of such runs.
        command: what to type to have this study again, for the record.
        quiet: say nothing.

    Raises:
        CounterpointError: what cannot work, in one sentence, before anything is started.
    """
    made = (
        name
        if isinstance(name, Study)
        else find_study(name, source=source, root=root, size=size, scale=scale, seeds=seeds, options=options)
    )
    if precision != "auto":
        made = replace(made, cells=tuple(replace(cell, precision=precision) for cell in made.cells))
    store = Path(cells).absolute()
    scaled = "" if not isinstance(name, Study) and Path(name).suffix == ".toml" else str(scale)
    data = ", ".join(dict.fromkeys(_data(cell.source) for cell in made.cells))
    folder = STUDIES / _folder(made.name, data, scaled) if out is None else Path(out)
    _check_out(folder)
    if adopted:
        for run_folder, became in take_in(adopted, made, store).items():
            print(f"  {run_folder}: {became}")
    if scaled not in ("", "full"):
        warning = f"Scale {scaled}: {SCALES[scaled]}. No figure of this page belongs into a text."
        made = replace(made, title=f"{made.title} ({scaled} scale)", about=(warning, *made.about))
    asked = {
        "study": made.name,
        "command": command
        or f"counterpoint study {shlex.quote(str(name if not isinstance(name, Study) else made.name))}",
        "scale": scaled,
        "data": data,
        "options": part_to_json(dict(options or {})),
        "jobs": jobs,
    }
    written: list[Studied] = []

    def write(results: Results) -> None:
        written[:] = [_write(folder, made, results, asked, store)]

    try:
        run(made, store=store, jobs=jobs, only=only, max_time=max_time, quiet=quiet, after=write)
    finally:
        if written:
            pack(folder, made, store, (lambda line: None) if quiet else print)
    return written[0]


def _data(source: Any) -> str:
    """What the data is called: a source's name, or its kind and the last part of where it lies."""
    inner = getattr(source, "source", None)
    if inner is not None:
        return _data(inner)
    kind, root = type(source).__name__.lower(), getattr(source, "root", None)
    return str(getattr(source, "name", None) or (f"{kind}:{Path(root).expanduser().absolute().name}" if root else kind))


def _folder(name: str, data: str, scale: str) -> str:
    plain = "".join(c if c.isalnum() else "-" for c in f"{name}-{data}")
    while "--" in plain:
        plain = plain.replace("--", "-")
    return plain[:80].strip("-") + (f"-{scale}" if scale not in ("", "full") else "")


def _check_out(folder: Path) -> None:
    if folder.is_file():
        raise RunError(f"{str(folder)!r} is a file, expected a folder for the study; give another with --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "study.json").is_file():
        raise RunError(f"{str(folder)!r} holds other files, expected a study's folder or a new one; give another --out")
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:  # whether it can be written to, before hours are spent; a new one stays only with something in it
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for one in missing:
            one.rmdir()
    except OSError as error:
        raise RunError(f"{str(folder)!r} cannot be written to ({error.strerror}); give another with --out") from error


def _state(result: Result) -> str:
    if result.folder is None:
        return "not finished"
    return "lacks answers" if result.error else "complete"


def _versions(results: Results) -> dict[str, str]:
    """Of the machine and the libraries that the cells were trained with; several where they differ."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        for key, value in result.machine.items():
            if value is not None:
                found.setdefault(key, {})[str(value)] = None
    return {key: ", ".join(values) for key, values in found.items()}


def _write(folder: Path, made: Study, results: Results, asked: Mapping[str, Any], store: Path) -> Studied:
    seeds = sorted({cell.seed for cell in made.cells})
    decisions = decide(made, results)
    cells = [
        {
            "place": dict(r.cell.place),
            "seed": r.cell.seed,
            "recipe": r.cell.recipe,
            "digest": digest(asked_for(r.cell)),
            "folder": folder_of(r.cell, store).name,
            "state": _state(r),
            "seconds": round(r.seconds, 1),
            "error": r.error,
        }
        for r in results.every
    ]
    machine = _versions(results)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"counterpoint": __version__, **asked, "seeds": seeds, "machine": machine, "cells": cells}
    write_json(folder / "study.json", json.loads(json.dumps(about)))
    record(
        folder,
        made,
        decisions,
        scale=asked["scale"],
        data=asked["data"],
        seeds=len(seeds),
        command=asked["command"],
    )
    sections = tuple(made.sections(results))
    write_tables(folder, sections)
    facts = {
        "data": asked["data"],
        "scale": asked["scale"],
        "seeds": ", ".join(map(str, seeds)),
        "runs": f"{len(different(made.cells))} in {os.path.relpath(store)}",
        "training": f"{sum({r.folder: r.seconds for r in results}.values()) / 3600:.2f} hours in all",
        **machine,
    }
    facts = {key: value for key, value in facts.items() if value}

    page = write_study(
        folder / "index.html", made, results, decisions, command=asked["command"], facts=facts, sections=sections
    )
    return Studied(made, results, decisions, page)


def show_claims(studied: Studied) -> None:
    """Print what was decided, and which cells lack something."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if console.width < 110:
        console = Console(width=110)
    if studied.study.claims:
        table = Table(box=None, pad_edge=False)
        for heading in ("claim", "published", "measured", "verdict"):
            table.add_column(heading, justify="left")
        for claim in studied.study.claims:
            decision = studied.decisions[claim.key]
            found = measured(asdict(decision))
            table.add_row(claim.statement, claim.published or "–", found, decision.verdict)
        console.print(table)
        console.print(tally([decision.verdict for decision in studied.decisions.values()]))
    missing = studied.results.missing
    if missing:
        console.print(f"{len(missing)} of {len(studied.results.every)} cells lack something; the page names them")
