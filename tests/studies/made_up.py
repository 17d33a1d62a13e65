"""A study's results as somebody made them up: what its rules and its page do is seen without any training."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterpoint.report.exhibits import Section
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.studies.claims import decide
from counterpoint.studies.study import Cell, Result, Results, Study

Found = Callable[[Cell], Mapping[str, Any]]


def results_of(made: Study, found: Found) -> Results:
    """Every cell finished, with these answers."""
    return Results(tuple(Result(cell, Path("x"), found(cell)) for cell in made.cells))


def verdicts(made: Study, found: Found) -> dict[str, str]:
    """Of each claim."""
    decided = {key: decision.verdict for key, decision in decide(made, results_of(made, found)).items()}
    assert len(decided) == len(made.claims), "each claim has its own key"
    return decided


def page(made: Study, results: Results, folder: Path) -> tuple[str, list[Section]]:
    """Text of the page, and its sections; a page never shows nan."""
    sections = list(made.sections(results))
    write_tables(folder, sections)
    path = write_study(folder / "index.html", made, results, decide(made, results), command="x", facts={})
    text = path.read_text("utf-8")
    assert "nan" not in text.partition("<script")[0].lower().replace("finance", "")
    return text, sections


def copes(made: Study, found: Found, folder: Path) -> None:
    """Pages of parts of the results: some cells, none, unfinished ones, and unread ones."""
    every = results_of(made, found).every
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    unread = tuple(replace(result, found={}) for result in every)
    names = {name for result in every for name in result.found}
    without = [
        tuple(replace(r, found={k: v for k, v in r.found.items() if k != name}) for r in every) for name in names
    ]
    for part in ((), every[:1], every[-1:], every[3:5], every[::2], empty, unread, *without):
        page(made, Results(part), folder)
