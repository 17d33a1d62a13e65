"""Cells on disk: what a cell asks for is its name, so that a result is shared by every study that needs it."""

import dataclasses
import hashlib
import json
import math
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout

from counterpoint.app.asked import Asked, compose_asked, facts_of
from counterpoint.app.assess import fresh, restored
from counterpoint.app.train import with_unlabelled
from counterpoint.embed import embed
from counterpoint.errors import RecipeError, RunError
from counterpoint.model import Model
from counterpoint.recipe import Recipe, load_object, part_from_json, part_to_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, own_source
from counterpoint.signature import find
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings, Facts, Source, Split

__all__ = [
    "CELLS",
    "Opened",
    "Shelf",
    "adopt",
    "asked_for",
    "composed",
    "dials_of",
    "difference",
    "digest",
    "finished",
    "folder_of",
    "foreseen",
    "form_of",
    "kept_of",
    "layout_of",
    "lock_of",
    "named_data",
    "outdated",
    "own_facts",
    "placed",
    "same_data",
    "seconds_of",
    "what",
]

CELLS = Path("runs/cells")

# Where data lies and how it comes there says nothing about what it is.
_PLACES = {"root", "download", "memory", "cache", "store"}


# ---------------------------------------------------------------- what a cell is


def _number(value: Any) -> Any:
    """One way to write a number: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """As JSON gives it back, numbers written in one way."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in cast(list[Any], value)]
    return _number(value)


def what(value: Any) -> Any:
    """A stored value with its sources as what they are, not where they lie.

    The place stays where only that says what the data is: a folder, Parquet files, IDX files of no known name.
    """
    if isinstance(value, list):
        return [what(v) for v in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    part = cast(dict[str, Any], value)
    dropped: set[str] = set()
    if "part" in part and hasattr(kind := load_object(part["part"]), "load"):
        defaults = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
        dropped = _PLACES & (defaults - {"root"} if part.get("name") == "idx" else defaults)
    return {k: what(v) for k, v in part.items() if k not in dropped}


def _roots(value: Any) -> int:
    """How many places a stored value names."""
    if isinstance(value, list):
        return sum(map(_roots, cast(list[Any], value)))
    if not isinstance(value, dict):
        return 0
    part = cast(dict[str, Any], value)
    return ("root" in part) + sum(map(_roots, part.values()))


def named_data(source: Source) -> bool:
    """Whether a source's name alone says what its data is, wherever it lies: MNIST is, a folder of photos is not."""
    stored = part_to_json(source)
    return _roots(what(stored)) < _roots(stored)


@cache
def dials_of(recipe: str) -> dict[str, Any]:
    """The dials of a recipe with their defaults, as JSON has them; read once, as a recipe's file says.

    Raises:
        RecipeError: there is no such recipe.
    """
    return {dial.name: part_to_json(dial.default) for dial in find(recipe).dials}


def _form(
    recipe: str, source: Any, encoder: str | None, seed: int, dials: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "encoder": encoder,
        "dials": _plain({**dials_of(recipe), **dials}),
        "settings": {path: str(settings[path]) for path in sorted(settings)},
        "source": _plain(what(source)),
        "seed": seed,
    }


def asked_for(cell: Cell) -> dict[str, Any]:
    """What a cell asks for, in one normal form: defaults filled in, without where its data lies.

    Raises:
        RecipeError: an unknown recipe, or a value that cannot be stored.
    """
    dials = cast(dict[str, Any], part_to_json(dict(cell.dials)))
    return _form(cell.recipe, part_to_json(cell.source), cell.encoder, cell.seed, dials, cell.settings)


def digest(value: Any) -> str:
    """Ten hex digits that stand for a plain value: equal values have equal ones, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _label(source: Any) -> str:
    """A short name of a source."""
    if name := getattr(source, "name", None):
        return str(name)
    inner = getattr(source, "source", None)
    return type(source).__name__.lower() + (f"-{_label(inner)}" if inner is not None else "")


def folder_of(cell: Cell, store: Path = CELLS) -> Path:
    """Where the run of a cell is: STORE/RECIPE-SOURCE-SEED-DIGEST."""
    named = f"{cell.recipe.split(':')[-1]}-{_label(cell.source)}-{cell.seed}-{digest(asked_for(cell))}"
    return store / re.sub(r"[^A-Za-z0-9_.-]+", "-", named)


def kept_of(cell: Cell, store: Path = CELLS) -> Path:
    """Where the readings of a run of a cell are that were taken in without its weights."""
    return store / ".readings" / folder_of(cell, store).name


# ---------------------------------------------------------------- what became of it


def finished(folder: Path) -> bool:
    """Whether a run was trained to its last step, and its encoder is there."""
    run = Run(folder)
    if not (folder / "recipe.json").is_file() or not run.encoder.is_file():
        return False
    ends = [line for line in run.history() if line.get("event") == "end"]
    total = run.recipe()["facts"]["total_steps"]
    return bool(ends) and ends[-1].get("reason") == "finished" and ends[-1].get("step") == total


def lock_of(cell: Cell, store: Path) -> FileLock:
    """Held by whoever works on a cell."""
    locks = store / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{folder_of(cell, store).name}.lock")


def seconds_of(folder: Path) -> tuple[float, int]:
    """Seconds that the logged steps of a run took, and how many steps these are; as the rates in its log say."""
    run = Run(folder)
    batch = run.recipe()["parts"]["batch_size"]
    seconds, before = 0.0, 0
    for line in run.history():
        if line.get("event") == "step":
            seconds += (line["step"] - before) * batch / max(line["images_per_second"], 1e-9)
            before = line["step"]
        elif line.get("event") == "resume":
            before = line["step"]
    return seconds, before


def form_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was asked for, in the normal form of `asked_for`; dials that are new since have their defaults.

    Args:
        stored: its recipe.json.

    Raises:
        RecipeError: there is no such recipe.
    """
    return _form(
        stored["recipe"], stored["source"], stored["encoder"], stored["seed"], stored["dials"], stored["settings"]
    )


def difference(cell: Cell, folder: Path) -> str:
    """In what a run is not what a cell asks for, one sentence; empty where it is.

    Raises:
        RunError: there is no run in the folder.
    """
    stored = Run.open(folder).recipe()
    try:
        theirs = form_of(stored)
    except RecipeError as error:
        return str(error)
    ours = asked_for(cell)
    if "batch_size" not in cell.dials and "batch_size" in theirs["dials"]:
        # A default that is too large for the data is halved; whether it was this is seen in the composition.
        ours["dials"]["batch_size"] = theirs["dials"]["batch_size"]
    ours |= {"from": None, "held out for validation": 0}
    theirs |= {"from": stored.get("from"), "held out for validation": stored.get("validation", 0)}
    for field, wanted in ours.items():
        if wanted != theirs[field]:
            return _apart(field, theirs[field], wanted)
    known = replace(Facts.stored(stored["facts"]), total_steps=0, steps_per_epoch=0, width=0, projection=0)
    made = composed(cell, known)
    kept = cast(Recipe, part_from_json(stored["parts"]))
    if replace(made, dials={}) != replace(kept, dials={}):
        fields = ["batch_size", "epochs", *(f.name for f in dataclasses.fields(Recipe) if f.name != "dials")]
        odd = next(name for name in fields if getattr(made, name) != getattr(kept, name))
        return f"its {odd} is {getattr(kept, odd)}, but the cell's is {getattr(made, odd)}"
    return ""


@lru_cache(maxsize=4096)
def _difference_of(cell: Cell, folder: Path, written: int) -> str:
    """Kept while the run's file is as it was: a page is written every minute, and composing a recipe takes 10 ms."""
    return difference(cell, folder)


def outdated(cell: Cell, folder: Path) -> str:
    """Why a finished run is no longer what its cell asks for, and what to do; empty where it is.

    The digest in a folder's name stands for what was asked for, not for what a recipe made of it: that may change.
    """
    why = _difference_of(cell, folder, (folder / "recipe.json").stat().st_mtime_ns)
    return why and (
        f"{str(folder)!r} is not what the cell asks for today ({why}); move the folder away to have it trained again, "
        "or use another folder with --cells"
    )


def _apart(field: str, found: Any, wanted: Any) -> str:
    """`its dials.policy is 'none', not 'elastic'`: the first key in which two mappings differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        theirs, ours = cast(dict[str, Any], found), cast(dict[str, Any], wanted)
        key = next(key for key in sorted(theirs.keys() | ours.keys()) if theirs.get(key) != ours.get(key))
        return _apart(f"{field}.{key}", theirs.get(key), ours.get(key))
    return f"its {field} is {found!r}, not {wanted!r}"


def composed(cell: Cell, facts: Facts) -> Recipe:
    """The recipe of a cell for such data.

    Raises:
        RecipeError: it cannot be made: an unknown recipe, dial, path or encoder, or a wrong value.
    """
    settings = {path: str(cell.settings[path]) for path in sorted(cell.settings)}
    asked = Asked(cell.recipe, cell.source, cell.encoder, dict(cell.dials), settings, cell.seed, None)
    return compose_asked(asked, facts, None, None)


def layout_of(cell: Cell) -> str:
    """Memory layout of a cell's training: fixed in full precision, so that it is the same again; else the fastest."""
    return "no" if cell.precision == "32-true" else "auto"


def adopt(folder: Path, cell: Cell, store: Path = CELLS) -> Path:
    """Move a run that was trained elsewhere to where a cell has it, if it is what the cell asks for.

    Raises:
        RunError: it is another run, or not trained to its end; the cell has one already, or is being worked on.
    """
    if why := difference(cell, folder):
        raise RunError(f"{str(folder)!r} is not the run that the cell asks for: {why}")
    if not finished(folder):
        raise RunError(f"{str(folder)!r} is not trained to its end, so it stays; adopt it when it is")
    target = folder_of(cell, store)
    try:
        with lock_of(cell, store).acquire(timeout=0):
            if target.exists():
                raise RunError(f"{str(target)!r} exists already; the run in {str(folder)!r} is left where it is")
            os.rename(folder, target)
    except Timeout:
        raise RunError(f"another process works on {str(target)!r}; {str(folder)!r} is left where it is") from None
    return target


# ---------------------------------------------------------------- its data and its embeddings


class Shelf:
    """Data sets that cells share, the last few in memory.

    Args:
        room: data sets that stay.
    """

    def __init__(self, room: int = 2) -> None:
        self.room = room
        self._held: OrderedDict[str, Dataset] = OrderedDict()
        self._facts: dict[str, Facts] = {}

    def load(self, source: Source) -> Dataset:
        """The data of a source, loaded once while it stays."""
        key = digest(part_to_json(source))
        if key not in self._held:
            while len(self._held) >= self.room:
                self._held.popitem(last=False)
            self._held[key] = source.load()
        self._held.move_to_end(key)
        return self._held[key]

    def facts(self, source: Source) -> Facts:
        """What the data of a source decides, kept also when the images have gone."""
        key = digest(part_to_json(source))
        if key not in self._facts:
            dataset = self.load(source)
            self._facts[key] = facts_of(dataset, with_unlabelled(dataset.train, dataset))
        return self._facts[key]


def own_facts(cell: Cell, shelf: Shelf) -> Facts:
    """What the data of a cell decides; of labels that another run gives, only how many there are."""
    facts = shelf.facts(own_source(cell.source))
    return replace(facts, classes=cell.source.clusters) if isinstance(cell.source, PseudoLabelled) else facts


def foreseen(cell: Cell, shelf: Shelf) -> tuple[Split, Facts]:
    """What a cell is trained on, to try steps on: labels that another run gives later are as many numbers in turn."""
    dataset = shelf.load(own_source(cell.source))
    learned = with_unlabelled(dataset.train, dataset)
    if isinstance(cell.source, PseudoLabelled):
        learned = replace(learned, labels=torch.arange(len(learned)) % cell.source.clusters)
    return learned, own_facts(cell, shelf)


def placed(cell: Cell, store: Path) -> Cell:
    """The same cell, its source told where the run is that it needs."""
    if cell.after is None or not isinstance(cell.source, PseudoLabelled):
        return cell
    return replace(cell, source=replace(cell.source, store=str(store)))


def same_data(now: Facts, then: Facts) -> str:
    """In what data differ, in words; empty where they do not."""
    for field in ("channels", "size", "images", "classes"):
        if getattr(now, field) != getattr(then, field):
            return f"{field}: {getattr(then, field)} then, {getattr(now, field)} now"
    for field in ("mean", "std"):
        pairs = zip(getattr(now, field), getattr(then, field), strict=True)
        if not all(math.isclose(a, b, rel_tol=1e-6) for a, b in pairs):
            return f"{field} of the pixels: {getattr(then, field)} then, {getattr(now, field)} now"
    return ""


class Opened(Trained):
    """A finished cell. What is read or computed is kept as long as this value is.

    Args:
        cell: that was asked for.
        folder: of its run.
        shelf: of data sets that cells share.
    """

    def __init__(self, cell: Cell, folder: Path, shelf: Shelf | None = None) -> None:
        self.cell, self.folder = cell, folder
        self.shelf = shelf or Shelf()
        stored = Run.open(folder).recipe()
        self._facts = Facts.stored(stored["facts"])
        self._parts: Any = stored["parts"]

    @cached_property
    def dataset(self) -> Dataset:
        """The cell's data, with the labels that somebody gave.

        Raises:
            RunError: it is not what the run was trained on.
        """
        if why := same_data(own_facts(self.cell, self.shelf), self._facts):
            raise RunError(
                f"the data of {str(self.folder)!r} has changed since it was trained ({why}); "
                "restore it, or use another folder with --cells"
            )
        return self.shelf.load(own_source(self.cell.source))

    @cached_property
    def recipe(self) -> Recipe:
        """As it is stored with the run."""
        return cast(Recipe, part_from_json(self._parts))

    @cached_property
    def model(self) -> Model:
        """Of the newest checkpoint, in evaluation mode."""
        return restored(Run(self.folder), self.recipe, self._facts, self.cell.seed).eval()

    @cached_property
    def untrained(self) -> Model:
        """With the weights that the run began with, in evaluation mode."""
        return fresh(self.recipe, self._facts, self.cell.seed).eval()

    @cached_property
    def train(self) -> Embeddings:
        """Of the training images."""
        return embed(self.model, self.dataset.train, self.dataset)

    @cached_property
    def test(self) -> Embeddings:
        """Of the test images."""
        return embed(self.model, self.dataset.test, self.dataset)
