"""What a recipe is made of: each part with its numbers, its file, and the paper that it comes from."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from counterpoint import encoders, sources
from counterpoint.app.asked import facts_of
from counterpoint.recipe import Recipe, compose, find
from counterpoint.signature import find as declared
from counterpoint.types import Schedule

__all__ = ["describe"]

_ROOT = Path(__file__).parents[1]


def _file(kind: type) -> str:
    path = Path(inspect.getsourcefile(kind) or "?").resolve()
    return f"counterpoint/{path.relative_to(_ROOT).as_posix()}" if path.is_relative_to(_ROOT) else str(path)


def _source(documented: Any) -> str:
    """The `Source:` paragraph of a docstring, on one line."""
    match = re.search(r"^Source: (.+?)(?:\n\s*\n|\Z)", inspect.getdoc(documented) or "", re.MULTILINE | re.DOTALL)
    return " ".join(match[1].split()) if match else ""


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_plain(v) for v in cast(tuple[Any, ...], value))
    return not dataclasses.is_dataclass(value) or isinstance(value, Schedule)


def _lines(name: str, part: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(part, tuple) and not _plain(part):
        items = cast(tuple[Any, ...], part)
        if len(items) > 1 and all(item == items[0] for item in items):
            yield from _lines(f"{name}, each of {len(items)}", items[0], depth)
            return
        for i, item in enumerate(items):
            yield from _lines(f"{name}.{i}", item, depth)
        return
    if not dataclasses.is_dataclass(part):
        yield f"{indent}{name}: {part!r}"
        return
    fields = [f.name for f in dataclasses.fields(part) if f.init]
    plain = ", ".join(f"{f}={getattr(part, f)!r}" for f in fields if _plain(getattr(part, f)))
    yield f"{indent}{name}: {type(part).__name__}({plain})  [{_file(type(part))}]"
    if source := _source(type(part)):
        yield f"{indent}    source: {source}"
    for field in fields:
        if not _plain(getattr(part, field)):
            yield from _lines(field, getattr(part, field), depth + 1)


def describe(
    recipe: str,
    *,
    source: str | None = None,
    root: str | Path | None = None,
    size: int | None = None,
    encoder: str | None = None,
    preset: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """A recipe composed for a source, part by part, and its presets.

    Raises:
        CounterpointError: an unknown recipe, source, encoder, preset or field.
    """
    presets = declared(recipe).presets
    published = None if preset is None else declared(recipe).preset(preset)
    function = find(recipe)
    dataset = sources.lookup(source or "digits", root=None if root is None else str(root), size=size).load()
    facts = facts_of(dataset, dataset.train)
    chosen = encoders.lookup(encoder or (published and published.encoder) or encoders.default(facts.kind, facts.size))
    made = compose(recipe, facts, chosen, {}, settings, preset)
    head = (inspect.getmodule(getattr(function, "__wrapped__", function)) or function).__doc__ or ""
    lines = [" ".join(head.strip().split("\n\n")[0].split())]
    if paper := _source(inspect.getmodule(getattr(function, "__wrapped__", function))):
        lines.append(f"source: {paper}")
    if said := inspect.getdoc(function):
        lines += ["", said]
    if published and (other := published.note(facts.size)):
        lines += ["", f"note: {other}"]
    lines.append("")
    for field in dataclasses.fields(Recipe):
        if field.name not in ("name", "dials"):
            lines += _lines(field.name, getattr(made, field.name), 0)
    lines += ["", *(f"preset {p.name}: {p.summary} {p.flags}" for p in presets)] if presets else []
    return "\n".join(lines)
