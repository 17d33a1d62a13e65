"""The page of a study: its verdicts, what they rest on, how it was run, and how to run it again."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.errors import RunError
from counterpoint.files import write_text
from counterpoint.report.charts import Chart, draw
from counterpoint.report.drawings import Drawing, Key, draw_bars, draw_heat, draw_histogram, draw_points
from counterpoint.report.exhibits import Bars, Exhibit, Heat, Histogram, Pictures, Points, Section, Table
from counterpoint.report.numbers import UNITS, Unit, duration, figure
from counterpoint.report.render import render, safe
from counterpoint.report.sprites import sheet
from counterpoint.report.tables import FOLDER, columns

if TYPE_CHECKING:
    import counterpoint.studies.study  # below the studies: only their types are known here

__all__ = ["write_sections", "write_study"]

SCRIPTS = ("common.js", "charts.js", "copy.js", "study.js")
OWN = ("verdicts", "how-it-was-run", "do-it-again", "data-json")
TONES = {"held": ("good", "✓"), "not held": ("bad", "✗"), "undecided": ("open", "?")}
LONG = 16  # rows beyond which a table scrolls within its frame
SIDE = 64  # pixels of a picture that are kept, at most
SHOWN = 48  # its side on the page, about: whole multiples, so that small ones stay crisp


def write_study(
    target: Path,
    study: "counterpoint.studies.study.Study",
    results: "counterpoint.studies.study.Results",
    decisions: Mapping[str, "counterpoint.studies.study.Decision"],
    *,
    command: str,
    facts: Mapping[str, str],
    sections: Sequence[Section] | None = None,
) -> Path:
    """Write the page of a study: one file that needs nothing else.

    A table whose CSV already lies in `tables` beside the page is linked, so `write_tables` comes first.

    Args:
        target: the file; an earlier one is replaced.
        study: title, claims and sections.
        results: what became of its cells; those that failed are named.
        decisions: by the key of their claim; a claim without one is undecided.
        command: that runs the study again.
        facts: how it was run, by name: data, machine, versions, seeds, precision.
        sections: the study's, where they have been made already.

    Raises:
        RunError: the page cannot be written.
    """
    made = study.sections(results) if sections is None else sections
    page = render("study", SCRIPTS, _context(study, results, decisions, made, command, facts, target.parent))
    return _written(target, page)


def write_sections(
    target: Path,
    *,
    title: str,
    about: Sequence[str],
    sections: Sequence[Section],
    command: str,
    facts: Mapping[str, str],
) -> Path:
    """Write a page of sections that belongs to no study: without claims and cells, one file that needs nothing else.

    Args:
        target: the file; an earlier one is replaced.
        title: of the page.
        about: paragraphs at its head.
        sections: in order.
        command: that makes the page again.
        facts: how it was made, by name.

    Raises:
        RunError: the page cannot be written.
    """
    tips: dict[str, Any] = {}
    shown = _shown(sections, _anchors(section.key for section in sections), target.parent, tips)
    context = {
        "title": title, "about": about, "source": "", "claims": None, "sections": shown, "facts": list(facts.items()),
        "cells": None, "missing": (), "command": command, "long": LONG, "data_json": safe(tips),
    }  # fmt: skip
    return _written(target, render("study", SCRIPTS, context))


def _written(target: Path, page: str) -> Path:
    try:
        write_text(target, page)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}); free some space, or give another folder"
        ) from error
    return target


def _context(
    study: "counterpoint.studies.study.Study",
    results: "counterpoint.studies.study.Results",
    decisions: Mapping[str, "counterpoint.studies.study.Decision"],
    sections: Sequence[Section],
    command: str,
    facts: Mapping[str, str],
    folder: Path,
) -> dict[str, Any]:
    tips: dict[str, Any] = {}
    claims = [_claim(claim, decisions.get(claim.key)) for claim in study.claims]
    names = _anchors([*(f"claim-{claim.key}" for claim in study.claims), *(section.key for section in sections)])
    for claim, anchor in zip(claims, names, strict=False):
        claim["anchor"] = anchor
    axes = list(dict.fromkeys(axis for result in results.every for axis in result.cell.place))
    return {
        "title": study.title,
        "about": study.about,
        "source": study.source,
        "claims": claims,
        "counts": [
            (verdict, tone, mark, sum(claim["verdict"] == verdict for claim in claims))
            for verdict, (tone, mark) in TONES.items()
        ],
        "sections": _shown(sections, names[len(claims) :], folder, tips),
        "facts": list(facts.items()),
        "axes": axes,
        "cells": [_cell(result, axes) for result in results.every],
        "missing": _missing(results.missing),
        "command": command,
        "long": LONG,
        "data_json": safe(tips),
    }


def _shown(
    sections: Sequence[Section], anchors: Sequence[str], folder: Path, tips: dict[str, Any]
) -> list[dict[str, Any]]:
    return [
        {"key": anchor, "title": section.title, "words": section.words, "groups": _groups(section, i, folder, tips)}
        for i, (section, anchor) in enumerate(zip(sections, anchors, strict=True))
    ]


def _anchors(keys: Iterable[str]) -> list[str]:
    """Anchors of the page, none of them twice."""
    taken, found = set[str](OWN), list[str]()
    for key in keys:
        name = plain = re.sub(r"[^A-Za-z0-9_-]+", "-", key).strip("-") or "part"
        number = 2
        while name in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name)
        found.append(name)
    return found


# ------------------------------------------------------------------------------------------------- verdicts


def _claim(
    claim: "counterpoint.studies.study.Claim", decision: "counterpoint.studies.study.Decision | None"
) -> dict[str, Any]:
    verdict = "undecided" if decision is None else decision.verdict
    tone, mark = TONES[verdict]
    return {
        "statement": claim.statement,
        "where": claim.where,
        "published": claim.published,
        "origin": {"paper": "in the paper", "repository": "in its repository"}.get(claim.origin, ""),
        "measured": claim.measured,
        "rule": claim.rule,
        "verdict": verdict,
        "tone": tone,
        "mark": mark,
        "said": "Nothing was decided: its rule has not been applied." if decision is None else decision.said,
        "effect": "" if decision is None else decision.effect,
        **_measured(decision),
    }


def _measured(decision: "counterpoint.studies.study.Decision | None") -> dict[str, str]:
    if decision is None or decision.value is None:
        return {"value": "–", "interval": "", "seeds": "no seed" if decision is None or not decision.seeds else ""}
    low, high, spread = decision.low, decision.high, decision.spread
    told = [v for v in (decision.value, low, high) if v is not None and math.isfinite(v)]
    digits = 2 if max(map(abs, told), default=1.0) < 0.1 else 1  # of small shares, errors and differences, more
    unit = decision.unit
    interval = [] if low is None or high is None else [_told(v, unit, digits) for v in (low, high)]
    deviation = "" if spread is None else f"spread {_told(spread, unit, digits).removesuffix(UNITS[unit])}"
    seeds = f"{decision.seeds} seed{'' if decision.seeds == 1 else 's'}" if decision.seeds else ""
    return {
        "value": _told(decision.value, unit, digits),
        "interval": " to ".join([*(end.removesuffix(UNITS[unit]) for end in interval[:1]), *interval[1:]]),
        "seeds": ", ".join(filter(None, [seeds, deviation])),
    }


def _told(value: float, unit: Unit, digits: int) -> str:
    if unit == "number" or not math.isfinite(value):
        return figure(value, share=False)
    return f"{value * 100:.{digits}f}{UNITS[unit]}".replace("-", "−")


# ------------------------------------------------------------------------------------------------- cells


def _cell(result: "counterpoint.studies.study.Result", axes: Sequence[str]) -> dict[str, Any]:
    state = "failed" if result.error else "finished" if result.folder is not None else "not run"
    if result.folder is not None and result.error:
        state = "trained, not evaluated in full"
    return {
        "place": [result.cell.place.get(axis, "–") for axis in axes],
        "seed": result.cell.seed,
        "state": state,
        "good": state == "finished",
        "seconds": duration(result.seconds) if result.seconds > 0 else "–",
        "folder": "–" if result.folder is None else result.folder.name,
    }


def _missing(results: Iterable["counterpoint.studies.study.Result"]) -> list[tuple[str, list[str]]]:
    """Why cells are missing, with the cells of each reason."""
    held: dict[str, list[str]] = {}
    for result in results:
        name = " · ".join([*map(str, result.cell.place.values()), f"seed {result.cell.seed}"])
        held.setdefault(result.error or "It has not been run.", []).append(name)
    return list(held.items())


# ------------------------------------------------------------------------------------------------- exhibits


def _groups(section: Section, index: int, folder: Path, tips: dict[str, Any]) -> list[dict[str, Any]]:
    """Exhibits of one kind that follow each other lie in one grid; those too fine for it stand alone."""
    made = [_figure(exhibit, f"figure-{index}-{i}", folder, tips) for i, exhibit in enumerate(section.exhibits)]
    groups: list[dict[str, Any]] = []
    for (kind, alone, _), run in groupby(made, key=_alike):
        items = list(run)
        groups += [_group(kind, figures) for figures in ([[item] for item in items] if alone else [items])]
    return groups


def _alike(item: dict[str, Any]) -> tuple[str, bool, tuple[str, ...]]:
    """Figures for which this is the same share a grid; maps only where they share their legend, too."""
    legend = tuple(key.label for key in item["legend"]) if item["kind"] == "Map" else ()
    return item["kind"], item["alone"], legend


def _group(kind: str, figures: list[dict[str, Any]]) -> dict[str, Any]:
    several, units = len(figures) > 1, {item["unit"] for item in figures}
    most = 2 if kind == "Bars" or len(figures) == 4 else 3
    return {
        "kind": kind,
        "figures": figures,
        "shared": figures[0]["legend"] if several and kind == "Map" else (),
        "unit": figures[0]["unit"] if several and kind == "Heat" and len(units) == 1 else "",
        "columns": min(most, len(figures)),
    }


def _figure(exhibit: Exhibit, name: str, folder: Path, tips: dict[str, Any]) -> dict[str, Any]:
    mapped = isinstance(exhibit, Points) and (exhibit.x is None or exhibit.y is None)
    kind = "Map" if mapped else type(exhibit).__name__
    item: dict[str, Any] = {
        "kind": kind, "name": name, "title": exhibit.title, "note": exhibit.note, "svg": "",
        "legend": (), "unit": "", "chosen": False, "alone": False, "large": False, "pictures": None, "table": None,
    }  # fmt: skip
    if isinstance(exhibit, Table):
        return {**item, "alone": True, "table": _table(exhibit, folder)}
    if isinstance(exhibit, Pictures):
        return {**item, "alone": True, "pictures": _pictures(exhibit)}
    if isinstance(exhibit, Chart):
        return {**item, **_curves(exhibit)}
    drawing = _drawn(exhibit)
    if drawing is None:
        return item
    if drawing.tips:
        tips[name] = drawing.tips
    return {
        **item, "svg": _markup(drawing.svg), "legend": _marked(drawing.keys), "unit": drawing.unit,
        "chosen": drawing.chosen, "alone": drawing.large, "large": drawing.large,
    }  # fmt: skip


def _drawn(exhibit: Histogram | Points | Heat | Bars) -> Drawing | None:
    if isinstance(exhibit, Histogram):
        return draw_histogram(exhibit)
    if isinstance(exhibit, Points):
        return draw_points(exhibit)
    return draw_heat(exhibit) if isinstance(exhibit, Heat) else draw_bars(exhibit)


def _curves(chart: Chart) -> dict[str, Any]:
    named = {line.label: line.style for line in chart.lines if line.label}
    keys = [Key(label, f'<i class="swatch {style}"></i>') for label, style in named.items()]
    return {"svg": _markup(draw(chart)), "legend": _marked(keys) if len(keys) > 1 else (), "unit": chart.y.label}


def _marked(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(Key(key.label, _markup(key.mark)) for key in keys)


def _markup(text: str) -> Any:
    """SVG that this package drew, whose texts are already escaped."""
    from markupsafe import Markup

    return Markup(text)


def _table(table: Table, folder: Path) -> dict[str, Any]:
    files = [f"{FOLDER}/{table.name}.{kind}" for kind in ("csv", "parquet")]
    shown = columns(table)
    return {
        "columns": shown,
        "rows": list(zip(*(column.cells for column in shown), strict=True)) if shown else [],
        "folded": table.folded,
        "files": [(file.rpartition(".")[2], file) for file in files if (folder / file).is_file()],
    }


def _pictures(pictures: Pictures) -> dict[str, Any] | None:
    rows, across = pictures.images.shape[:2]
    if pictures.images.numel() == 0:
        return None
    held = sheet(pictures.images.flatten(0, 1), side=SIDE, columns=across)
    return {
        "sheet": held,
        "wide": held.width * max(1, round(SHOWN / max(held.width, held.height))),
        "rows": [pictures.rows[i] if i < len(pictures.rows) else "" for i in range(rows)],
        "columns": [pictures.columns[j] if j < len(pictures.columns) else "" for j in range(across)],
        "named": bool(pictures.rows),
        "headed": bool(pictures.columns),
    }
