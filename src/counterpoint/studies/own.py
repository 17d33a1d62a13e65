"""A person's own study, from a TOML file: a grid of recipes and dials, seeds, and what to claim of them."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from counterpoint import encoders, sources
from counterpoint.errors import CounterpointError, RecipeError, nearest
from counterpoint.recipe import load_object
from counterpoint.studies.cells import dials_of
from counterpoint.studies.exhibit import averaged, sections_of
from counterpoint.studies.scores import Scores
from counterpoint.studies.statistics import greater
from counterpoint.studies.study import Cell, Claim, Decision, Evaluator, Results, Study
from counterpoint.types import Source

__all__ = ["read_own"]

_FIELDS = ("name", "title", "about", "source", "recipe", "encoder", "seeds", "measure", "evaluators", "precision")
_TABLES = ("grid", "fixed", "claim")
_CLAIM = ("statement", "measure", "better", "than", "lower")
_ENCODER = "conv"
_PRECISIONS = ("32-true", "bf16-mixed", "auto")

# What `scores` answers where a data set has labels; a claim or figure is about one of these.
_MEASURES = (
    *("knn_accuracy", "linear_probe", "linear_probe_top5", "linear_probe_balanced", "linear_probe_super"),
    *("recall_at_1", "recall_at_5", "recall_at_10", "map_at_r", "mrr", "auroc", "eer", "nmi", "ari"),
    *("overlap", "d_prime", "class_alignment", "uniformity", "effective_rank", "rank_me", "alpha_req"),
    *("dimensions", "participation"),
)


@dataclass(frozen=True)
class _Place:
    """Where a mistake stands, for its sentence."""

    file: Path

    def wrong(self, field: str, said: str) -> RecipeError:
        return RecipeError(f"{self.file}, {field}: {said}")


def _table(value: Any, field: str, at: _Place) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise at.wrong(field, f"got {value!r}, expected a table, [{field}]")
    return cast(dict[str, Any], value)


@dataclass(frozen=True, eq=False)
class _Sourced:
    """A source, and what to call it: in short, and as the file names it, where another one has the same short name."""

    source: Source
    short: str
    long: str


def _source(value: Any, field: str, at: _Place) -> _Sourced:
    """Paths are meant from the file's folder."""
    given: dict[str, Any] = {"name": value} if isinstance(value, str) else dict(_table(value, field, at))
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise at.wrong(field, f"got {value!r}, expected a name, a path, or {{name = ..., root = ...}}")
    long = ", ".join([name, *(f"{key} {_text(v)}" for key, v in given.items())])
    for key in ("root", "labels"):
        beside = at.file.parent / str(given.get(key, ""))
        if key in given and beside.exists():
            given[key] = str(beside)
    if (at.file.parent / name).exists() and ("/" in name or name not in sources.names()):
        name = str(at.file.parent / name)
    try:
        found = sources.lookup(name, **given)
    except CounterpointError as error:
        raise type(error)(f"{at.file}, {field}: {error}") from error
    short = Path(name).name if "/" in name else name
    if "root" in given and short in ("folder", "parquet"):
        short = f"{short}:{Path(given['root']).name}"
    return _Sourced(found, short, long)


def _sources(values: Sequence[Any], at: _Place) -> dict[str, tuple[str, Source]]:
    """The sources of the grid by their text, each with a name that no other one has."""
    made = {_text(value): _source(value, "grid.source", at) for value in values}
    shorts = [one.short for one in made.values()]
    named = {text: (one.short if shorts.count(one.short) == 1 else one.long) for text, one in made.items()}
    if len(set(named.values())) < len(named):
        raise at.wrong("grid.source", f"{list(values)!r} names a source twice")
    return {text: (named[text], one.source) for text, one in made.items()}


def _seeds(value: Any, at: _Place) -> tuple[int, ...]:
    found = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    whole = isinstance(found, list) and all(isinstance(s, int) and s >= 0 for s in cast(list[Any], found))
    if not whole or not found or len(set(cast(list[int], found))) < len(cast(list[int], found)):
        raise at.wrong("seeds", f"got {value!r}, expected a number of seeds, or a list of different ones: [0, 1, 2]")
    return tuple(cast(list[int], found))


def _evaluators(value: Any, at: _Place) -> tuple[Evaluator, ...]:
    if not isinstance(value, list) or not value:
        raise at.wrong("evaluators", f'got {value!r}, expected a list: ["scores", "my_module:MyEvaluator"]')
    made: list[Evaluator] = []
    for name in cast(list[Any], value):
        if name == "scores":
            made.append(Scores())
            continue
        if not isinstance(name, str) or ":" not in name:
            raise at.wrong("evaluators", f"there is no evaluator {name!r}; {nearest(str(name), ['scores'])}")
        found: Any = load_object(name)
        one = found() if isinstance(found, type) else found
        if not isinstance(one, Evaluator):
            raise at.wrong("evaluators", f"{name!r} is no evaluator: it needs a name, wanted(cell), and a call")
        made.append(one)
    return tuple(made)


# ---------------------------------------------------------------- the grid


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _axis_values(axis: str, value: Any, at: _Place) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise at.wrong(f"grid.{axis}", f"got {value!r}, expected a list of values")
    values = cast(list[Any], value)
    if len({_text(v) for v in values}) < len(values):
        raise at.wrong(f"grid.{axis}", f"{values!r} names a value twice")
    return values


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Without quotation marks `set.optim.lr = 1` is a table in a table; it is taken as the path that it looks like."""
    for key, value in table.items():
        path = f"{before}{key}"
        if isinstance(value, dict) and (path == "set" or path.startswith("set.")):
            yield from _flat(cast(dict[str, Any], value), f"{path}.")
        else:
            yield path, value


def _check_dials(names: Sequence[str], recipes: Sequence[str], table: str, at: _Place) -> None:
    """Of the grid, every recipe has each dial; of what is fixed, one has."""
    has = {recipe: list(dials_of(recipe)) for recipe in recipes}
    for name in names:
        lacking = [recipe for recipe in recipes if name not in has[recipe]]
        if lacking and (table == "grid" or len(lacking) == len(recipes)):
            others = [recipe for recipe in recipes if name in has[recipe]]
            if others:
                said = f"{others[0]!r} has it, but all of the grid need it; use set.PATH, or split the study"
                raise at.wrong(f"{table}.{name}", f"recipe {lacking[0]!r} has no dial {name!r}: {said}")
            known = {dial for dials in has.values() for dial in dials} | {"recipe", "encoder", "source", "set.PATH"}
            raise at.wrong(f"{table}.{name}", f"recipe {lacking[0]!r} has no dial {name!r}; {nearest(name, known)}")


def _dial(value: Any) -> Any:
    """TOML has lists where dials have tuples."""
    if isinstance(value, list):
        return tuple(cast(list[Any], value))
    return value


def _cells(
    read: Mapping[str, Any], grid: Mapping[str, Any], fixed: Mapping[str, Any], source: Source | None, at: _Place
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Place and fields of each cell, without the seed."""
    axes = {axis: _axis_values(axis, value, at) for axis, value in grid.items()}
    for own in ("recipe", "encoder", "source"):
        if own in axes and (own in read or own in fixed):
            raise at.wrong(f"grid.{own}", f"{own!r} is given outside the grid too; give it in one place")
    everywhere = {**{k: read[k] for k in ("recipe", "encoder", "source") if k in read}, **fixed}
    if source is not None:
        if "source" in axes:
            raise at.wrong("grid.source", "the grid names the sources; leave --source out")
        everywhere.pop("source", None)
    recipes = [str(r) for r in axes.get("recipe", [everywhere.get("recipe")]) if r is not None]
    if not recipes:
        raise at.wrong("recipe", 'no recipe is named; give recipe = "simclr", or recipe = [...] in [grid]')
    for recipe in recipes:
        try:
            dials_of(recipe)
        except RecipeError as error:
            raise at.wrong("grid.recipe" if "recipe" in axes else "recipe", str(error)) from error
    for encoder in axes.get("encoder", [everywhere.get("encoder", _ENCODER)]):
        try:
            encoders.lookup(str(encoder))
        except CounterpointError as error:
            raise at.wrong("grid.encoder" if "encoder" in axes else "encoder", str(error)) from error

    def plain(table: Mapping[str, Any]) -> list[str]:
        return [k for k in table if k not in ("recipe", "encoder", "source") and not k.startswith("set.")]

    _check_dials(plain(axes), recipes, "grid", at)
    _check_dials(plain(fixed), recipes, "fixed", at)
    both = sorted(axes.keys() & fixed.keys())
    if both:
        raise at.wrong(f"grid.{both[0]}", f"{both[0]!r} stands in [fixed] too; give it in one place")
    of_grid = _sources(axes.get("source", []), at)
    alone = source
    if alone is None and "source" not in axes:
        alone = _source(everywhere.get("source", "digits"), "source", at).source

    for values in itertools.product(*axes.values()):
        at_place = dict(zip(axes, values, strict=True))
        asked = {**everywhere, **at_place}
        place = {axis: _text(value) for axis, value in at_place.items()}
        recipe = str(asked["recipe"])
        dials = dials_of(recipe)
        chosen = alone
        if "source" in at_place:
            place["source"], chosen = of_grid[_text(at_place["source"])]
        yield (
            place,
            {
                "recipe": recipe,
                "source": chosen,
                "encoder": str(asked.get("encoder", _ENCODER)),
                "dials": {k: _dial(v) for k, v in asked.items() if k in dials},
                "settings": {k.removeprefix("set."): _text(v) for k, v in asked.items() if k.startswith("set.")},
            },
        )


# ---------------------------------------------------------------- claims


def _measure(value: Any, field: str, evaluators: Sequence[Evaluator], at: _Place) -> tuple[str, ...]:
    """The path of a measure: a score's name, or EVALUATOR.KEY.KEY."""
    names = {e.name for e in evaluators}
    if isinstance(value, str) and value in _MEASURES and "scores" in names:
        return ("scores", "learned", value)
    path = tuple(str(value).split("."))
    if len(path) < 2 or path[0] not in names:
        known = _MEASURES if "scores" in names else [f"{name}.KEY" for name in names]
        raise at.wrong(field, f"{value!r} is no measure; {nearest(str(value), known)}")
    return path


def _side(value: Any, field: str, cells: Sequence[Cell], at: _Place) -> dict[str, str]:
    """The place that one side of a claim names."""
    place = {axis: _text(v) for axis, v in _table(value, field, at).items()}
    axes = list(cells[0].place)
    for axis, wanted in place.items():
        if axis not in axes:
            raise at.wrong(field, f"the grid has no axis {axis!r}; {nearest(axis, axes)}")
        values = dict.fromkeys(cell.place[axis] for cell in cells)
        if wanted not in values:
            raise at.wrong(field, f"the axis {axis!r} has no {wanted!r}; {nearest(wanted, values)}")
    if not place:
        raise at.wrong(field, 'it names no place; expected for example {recipe = "simclr"}')
    return place


def _claims(
    every: Any, measure: tuple[str, ...], evaluators: Sequence[Evaluator], cells: Sequence[Cell], at: _Place
) -> Iterator[Claim]:
    if not isinstance(every, list):
        raise at.wrong("claim", "expected tables [[claim]], with two brackets")
    for number, raw in enumerate(cast(list[Any], every), 1):
        field = f"claim {number}"
        given = _table(raw, field, at)
        for key in given:
            if key not in _CLAIM:
                raise at.wrong(field, f"unknown field {key!r}; {nearest(key, _CLAIM)}")
        for key in ("better", "than"):
            if key not in given:
                raise at.wrong(field, f"it lacks {key!r}; a claim says which cells are better than which")
        path = _measure(given["measure"], f"{field}, measure", evaluators, at) if "measure" in given else measure
        better = _side(given["better"], f"{field}, better", cells, at)
        than = _side(given["than"], f"{field}, than", cells, at)
        lower = bool(given.get("lower", False))
        said = str(given.get("statement") or f"{_words(better)} is better than {_words(than)} by {path[-1]}")
        yield Claim(
            key=f"claim-{number}",
            statement=said,
            where=at.file.name,
            published="",
            origin="",
            measured=f"{path[-1]} of {_words(better)} less that of {_words(than)}, in pairs over seeds",
            rule=f"95 % interval of the mean difference {'below' if lower else 'above'} zero; two seeds at least",
            decide=_rule(path, better, than, lower=lower),
        )


def _rule(path: tuple[str, ...], better: Mapping[str, str], than: Mapping[str, str], *, lower: bool) -> Any:
    def decide(results: Results) -> Decision:
        first, second = averaged(results, path, better), averaged(results, path, than)
        what = f"the difference in {path[-1]}"
        return greater(second, first, what=what) if lower else greater(first, second, what=what)

    return decide


def _words(place: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in place.items())


# ---------------------------------------------------------------- the study


def read_own(path: Path, *, source: Source | None = None, seeds: Sequence[int] | None = None) -> Study:
    """The study of a TOML file.

    `name`, `title`, `about`, `source` (a name, a path, or a table with root, size, labels …; paths are meant from the
    file's folder), `recipe`, `encoder`, `seeds` (how many, or which), `measure` (of the figure), `evaluators`,
    `precision` (32-true, so that the same study has the same table again; `auto` is what is fastest here); a table
    `[grid]` of axes (`recipe`, `encoder`, `source`, any dial, `set.PATH`), each a list; a table `[fixed]` of dials and
    settings; tables `[[claim]]` with `statement`, `measure`, `better`, `than`, and `lower = true` where less is better.

    Args:
        path: of the file.
        source: in place of the file's.
        seeds: in place of the file's.

    Raises:
        RecipeError: a field, an axis or a value that cannot be: file, field, what was expected, what is nearest.
        SourceError: data that is missing.
    """
    at = _Place(path)
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"there is no file {path}; give the path of a study's TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is no valid TOML: {error}") from error
    for key in read:
        if key not in (*_FIELDS, *_TABLES):
            raise at.wrong(key, f"unknown field; {nearest(key, (*_FIELDS, *_TABLES))}")
    grid = dict(_flat(_table(read.get("grid", {}), "grid", at)))
    fixed = dict(_flat(_table(read.get("fixed", {}), "fixed", at)))
    chosen = tuple(seeds) if seeds is not None else _seeds(read.get("seeds", 1), at)
    kinds = list(_cells(read, grid, fixed, source, at))
    precision = read.get("precision", _PRECISIONS[0])
    if precision not in _PRECISIONS:
        raise at.wrong("precision", f"got {precision!r}, expected one of {', '.join(_PRECISIONS)}")
    cells = tuple(Cell(place, seed=seed, precision=precision, **asked) for seed in chosen for place, asked in kinds)
    evaluators = _evaluators(read.get("evaluators", ["scores"]), at)
    named = "knn_accuracy" if any(e.name == "scores" for e in evaluators) else None
    measure = _measure(read.get("measure", named), "measure", evaluators, at)
    about = read.get("about", ())
    claims = tuple(_claims(read.get("claim", []), measure, evaluators, cells, at))

    def sections(results: Results) -> Any:
        return sections_of(results, measure, list(grid))

    return Study(
        name=str(read.get("name", path.stem)),
        title=str(read.get("title", read.get("name", path.stem))),
        about=(about,) if isinstance(about, str) else tuple(about),
        source="",
        cells=cells,
        evaluators=evaluators,
        claims=claims,
        sections=sections,
    )
