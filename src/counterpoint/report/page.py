"""Put the page together and write it in one piece."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.files import write_text
from counterpoint.report.atlas import Atlas, chart_out
from counterpoint.report.charts import Chart, draw
from counterpoint.report.classes import LARGEST, Confused, confused, judge, matrix, per_class
from counterpoint.report.figures import NAMES, few_labels, geometry, training
from counterpoint.report.run import ENCODERS, Measure, Run, read
from counterpoint.report.sprites import Sheet, sheet
from counterpoint.report.verdict import comparable, difference, paired
from counterpoint.report.words import (
    answers,
    duration,
    figure,
    headlines,
    interval,
    is_count,
    is_share,
    points,
    seconds,
    summary,
    trained,
)

__all__ = ["write"]

VIEW_ROWS, VIEW_COLUMNS = 8, 9
SKIPPED = 500  # names listed in full
PROJECTED = " of the projection z"
WORDS = {
    "lr": "learning rate",
    "cpus": "processors",
    "std": "standard deviation",
    "measured_seconds": "seconds per step",
}


def write(
    folder: Path,
    *,
    images: UInt8[Tensor, "image channel height width"] | None = None,
    views: UInt8[Tensor, "row column channel height width"] | None = None,
    title: str | None = None,
) -> Path:
    """Write `report.html` of a run: one file that needs nothing else.

    Whatever the run folder does not hold yet (scores, embeddings, labels) is left out of the page.

    Args:
        folder: of the run.
        images: the test split, looked up by the `sample` of an embedding.
        views: the first column the originals, the others augmented views of them.
        title: of the page; recipe and data where None.

    Raises:
        RunError: the folder is not a run, is damaged, or cannot be written.
    """
    run = read(folder)
    page = _render(_context(run, images, views, title))
    target = folder / "report.html"
    try:
        write_text(target, page)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}); free some space, or write it elsewhere"
        ) from error
    return target


def _render(context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    here = files("counterpoint.report")
    source = {name: (here / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["parts"] = _parts
    template = environment.from_string(source["page.html"])
    return template.render(css=Markup(source["page.css"]), js=Markup(source["page.js"]), **context)


def _context(run: Run, images: Tensor | None, views: Tensor | None, title: str | None) -> dict[str, Any]:
    atlas = chart_out(run)
    pairs = confused(run)
    tiles, place = _pictures(images, atlas, pairs)
    shown = None if views is None or views.numel() == 0 else views[:VIEW_ROWS, :VIEW_COLUMNS]
    data = run.section("dataset")
    name = str(data.get("name") or "images")
    lead = headlines(run)
    groups = _groups(run)
    return {
        "title": title or f"{run.recipe.get('recipe', 'run')} on {name}",
        "subtitle": _subtitle(run),
        "summary": summary(run),
        "answers": answers(run, views=0 if shown is None else shown.shape[1] - 1),
        "hero": [_hero(run, measure) for measure in lead],
        "atlas": atlas,
        "sheet": tiles,
        "sizes": _sizes(tiles),
        "place": place,
        "views": None if shown is None else sheet(shown.flatten(0, 1), side=96, columns=shown.shape[1]),
        "data_json": _safe(_payload(run, atlas, tiles, place)),
        "groups": groups,
        "matrix": matrix(run),
        "largest": LARGEST,
        "classes": run.classes,
        "pairs": pairs,
        "per_class": per_class(run),
        "geometry": _drawn(geometry(run)),
        "training": _drawn(training(run)),
        "few": _drawn(few_labels(run)),
        "notes": _notes(run),
        "judge": judge(run),
        "dataset": dict.fromkeys(("name", "kind", "train", "test", "split")) | dict(data),
        "skipped": run.skipped[:SKIPPED],
        "skipped_count": max(len(run.skipped), int(data.get("skipped") or 0)),
        "command": str(run.recipe.get("command") or ""),
        "facts": _flat(run.section("facts")),
        "dials": _flat(run.section("dials")),
        "parts": run.section("parts"),
        "settings": _flat((run.scores or {}).get("settings") or {}),
        "environment": _environment(run),
        "damaged": run.log.damaged,
        "names": NAMES,
        "figure": figure,
    }


def _subtitle(run: Run) -> str:
    epochs, steps = trained(run)
    taken = seconds(run)
    facts = [
        f"{epochs:,.0f} epochs" if epochs and epochs >= 1 else f"{steps:,} steps" if steps else "",
        "" if taken is None else duration(taken),
        f"seed {run.recipe['seed']}" if "seed" in run.recipe else "",
        f"counterpoint {run.recipe['counterpoint']}" if "counterpoint" in run.recipe else "",
    ]
    return " · ".join(fact for fact in facts if fact)


# ---------------------------------------------------------------- pictures


def _pictures(images: Tensor | None, atlas: Atlas | None, pairs: list[Confused]) -> tuple[Sheet | None, dict[int, int]]:
    """One sheet of every image that the page shows, and where each sample stands in it."""
    if images is None or len(images) == 0:
        return None, {}
    wanted = ([] if atlas is None else atlas.sample.tolist()) + [
        s for pair in pairs for way in pair.examples for s in way
    ]
    samples = [s for s in dict.fromkeys(wanted) if 0 <= s < len(images)]
    if not samples:
        return None, {}
    return sheet(images[torch.tensor(samples)]), {sample: i for i, sample in enumerate(samples)}


def _sizes(tiles: Sheet | None) -> dict[str, int]:
    """Widths in pixels of a small, a middle and a large tile: whole multiples of the original where it is small."""
    if tiles is None:
        return {"small": 0, "middle": 0, "large": 0}
    edge = max(tiles.width, tiles.height)
    scale = {"small": 40, "middle": 64, "large": 112}
    if tiles.pixelated:
        return {word: tiles.width * max(1, round(size / edge)) for word, size in scale.items()}
    return {word: round(tiles.width * size / edge) for word, size in scale.items()}


def _payload(run: Run, atlas: Atlas | None, tiles: Sheet | None, place: Mapping[int, int]) -> dict[str, Any]:
    sprite = None
    if tiles is not None:
        sprite = {"columns": tiles.columns, "width": tiles.width, "height": tiles.height, "pixelated": tiles.pixelated}
    points_ = None if atlas is None else atlas.data()
    if points_ is not None:
        points_["tile"] = [place.get(s, -1) for s in points_["sample"]]
    return {
        "map": points_,
        "sheet": sprite,
        "sizes": _sizes(tiles),
        "classes": list(run.classes),
        "of": atlas.of if atlas else 0,
    }


def _safe(value: Any) -> Any:
    """JSON that may stand inside a script element: no character that could end it, no NaN."""
    from markupsafe import Markup

    text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value


def _drawn(charts: list[Chart]) -> list[dict[str, Any]]:
    from markupsafe import Markup

    drawn = [{"chart": chart, "svg": Markup(draw(chart))} for chart in charts]
    return [item for item in drawn if item["svg"]]


# ---------------------------------------------------------------- numbers in rows


def _row(measure: Measure, low: float, high: float) -> dict[str, Any]:
    """A number with its interval, as text and as a place on a track from low to high."""

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2) if high > low else 50.0

    held = measure.low is not None and measure.high is not None
    return {
        "text": figure(measure.value, is_share(measure), is_count(measure)),
        "interval": interval(measure),
        "at": place(measure.value),
        "from": place(measure.low) if held and measure.low is not None else None,
        "to": place(measure.high) if held and measure.high is not None else None,
    }


def _range(measures: list[Measure], pad: float) -> tuple[float, float]:
    ends = [v for m in measures for v in (m.value, m.low, m.high) if v is not None]
    low, high = min(ends), max(ends)
    room = (high - low) * pad or abs(high) * 0.05 or 0.05
    return low - room, high + room


def _hero(run: Run, name: str) -> dict[str, Any]:
    found = {encoder: m for encoder in ENCODERS if (m := run.measure(encoder, name)) is not None}
    low, high = _range(list(found.values()), 0.12)
    ours = found["learned"]
    if is_share(ours):
        low, high = max(0.0, low), min(1.0, high)
    gap = paired(run, name, "pixels")
    return {
        "label": ours.label,
        "rows": [{"encoder": encoder, **_row(m, low, high)} for encoder, m in found.items()],
        "gap": points(gap, is_share(ours)) if gap else "",
        "verdict": gap.verdict if gap else "",
        "ends": (figure(low, is_share(ours)), figure(high, is_share(ours))),
    }


def _groups(run: Run) -> list[dict[str, Any]]:
    """Measures under their headings, one row each, all encoders side by side."""
    order = dict.fromkeys(m.name for encoder in ENCODERS for m in run.measures.get(encoder, ()))
    groups: dict[str, list[dict[str, Any]]] = {}
    for name in order:
        found = {encoder: m for encoder in ENCODERS if (m := run.measure(encoder, name)) is not None}
        if not found:
            continue
        first = next(iter(found.values()))
        low, high = _range(list(found.values()), 0.08)
        best = _best(found)
        gap = paired(run, name, "pixels") if comparable(first) else None
        heading = f"{first.group}{PROJECTED}" if name.endswith("_z") else first.group
        groups.setdefault(heading, []).append(
            {
                "label": first.label,
                "note": _shared([m.note for m in found.values()]),
                "better": first.better if comparable(first) else "",
                "cells": {e: {**_row(m, low, high), "best": e in best, "note": m.note} for e, m in found.items()},
                "verdict": gap.verdict if gap else "",
                "gap": points(gap, is_share(first)) if gap else "",
            }
        )
    return [{"name": name, "rows": rows, "aside": name.endswith(PROJECTED)} for name, rows in groups.items()]


def _best(found: Mapping[str, Measure]) -> set[str]:
    """The encoders with the best value of a measure, and those that its intervals cannot tell from the best."""
    first = next(iter(found.values()))
    if len(found) < 2 or not comparable(first):
        return set()
    pick = max if first.better == "higher" else min
    leader = pick(found, key=lambda encoder: found[encoder].value)
    gaps = {encoder: difference(found[leader], m) for encoder, m in found.items() if encoder != leader}
    return {leader} | {encoder for encoder, gap in gaps.items() if gap is not None and gap.verdict == "alike"}


def _shared(notes: Sequence[str]) -> str:
    """What the notes of all encoders have in common, part by part; each cell has its own note in full."""
    split = [note.split("; ") for note in notes]
    return "; ".join(part for part in split[0] if all(part in other for other in split[1:]))


# ---------------------------------------------------------------- settings


def _notes(run: Run) -> list[tuple[str, str]]:
    """What the evaluation had to say of each encoder; a note on all of them once."""
    found = [(encoder, str(note)) for encoder in ENCODERS for note in run.details(encoder).get("notes") or ()]
    whose = {note: [NAMES[e] for e, other in found if other == note] for _, note in found}
    measured = sum(bool(run.measures.get(encoder)) for encoder in ENCODERS)
    return [("" if len(who) == measured else ", ".join(who), note) for note, who in whose.items()]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and "part" not in value and any(isinstance(v, Mapping) for v in value.values()):
            rows.extend(_flat(value, f"{prefix}{key} "))
        else:
            rows.append((prefix + WORDS.get(str(key), str(key).replace("_", " ")), _text(value)))
    return rows


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(_text(item) for item in value)
        case Mapping():
            named = str(value.get("part", "")).rpartition(":")[2]
            return named or "; ".join(f"{key} {_text(item)}" for key, item in value.items()) or "–"
        case _:
            return str(value)


def _parts(value: Any) -> list[tuple[str, str, Any]]:
    """The fields of a part: name, text, and the nested parts below it (None for a plain value)."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    rows: list[tuple[str, str, Any]] = []
    for key, item in items:
        if key == "part":
            continue
        nested = isinstance(item, Mapping) or (isinstance(item, list) and any(isinstance(i, Mapping) for i in item))
        name = str(key + 1) if isinstance(key, int) else str(key).replace("_", " ")
        if nested:
            head = str(item.get("part", "")).rpartition(":")[2] if isinstance(item, Mapping) else ""
            rows.append((name, head, item))
        else:
            rows.append((name, _text(item), None))
    return rows


def _environment(run: Run) -> list[tuple[str, str]]:
    end = run.log.end or {}
    rows = list((dict(_flat(run.section("environment"))) | dict(_flat(run.section("engine")))).items())
    if "seed" in run.recipe:
        rows.append(("seed", str(run.recipe["seed"])))
    if isinstance(end.get("seconds"), int | float):
        name = "time since taken up again" if run.log.resumed else "time of training"
        rows.append((name, duration(float(end["seconds"]))))
    rates = [float(r) for s in run.log.steps if isinstance(r := s.get("images_per_second"), int | float)]
    if rates:
        rows.append(("images per second", f"{sorted(rates)[len(rates) // 2]:,.0f}"))
    return rows
