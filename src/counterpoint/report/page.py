"""Put the page together and write it in one piece."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.files import write_text
from counterpoint.report.answers import answers
from counterpoint.report.atlas import chart_out
from counterpoint.report.classes import DRAWN, LARGEST, confused, judge, matrix, per_class
from counterpoint.report.doctor import course, vitals
from counterpoint.report.figures import NAMES, few_labels, geometry, training
from counterpoint.report.numbers import duration, figure
from counterpoint.report.pictures import called, gather, payload
from counterpoint.report.render import drawn, render, safe
from counterpoint.report.rows import groups, hero
from counterpoint.report.run import ENCODERS, READINGS, Run, read
from counterpoint.report.settings import environment, flat
from counterpoint.report.sprites import sheet
from counterpoint.report.words import headlines, seconds, summary, trained
from counterpoint.types import Images

__all__ = ["write"]

VIEW_ROWS, VIEW_COLUMNS = 8, 9
CUT_OFF = "cut off: the file ends before the image does"
ENDS = re.compile(r"truncat|broken data|unexpected end|premature|cut off|end of file|\beof\b|not enough", re.IGNORECASE)
SKIPPED = 500  # names listed in full
SCRIPTS = ("common.js", "charts.js", "copy.js", "map.js", "page.js")


def write(
    folder: Path,
    *,
    images: UInt8[Tensor, "image channel height width"] | Images | None = None,
    names: Sequence[str] | None = None,
    views: UInt8[Tensor, "row column channel height width"] | None = None,
    title: str | None = None,
    absent: str = "",
) -> Path:
    """Write `report.html` of a run: one file that needs nothing else.

    Whatever the run folder does not hold yet (scores, embeddings, labels) is left out of the page.

    Args:
        folder: of the run.
        images: the test split, looked up by the `sample` of an embedding.
        names: what a person calls each of them.
        views: the first column the originals, the others augmented views of them.
        title: of the page; recipe and data where None.
        absent: why there are no images, one sentence for the page.

    Raises:
        RunError: the folder is not a run, is damaged, or cannot be written.
    """
    run = read(folder)
    page = render("page", SCRIPTS, _context(run, images, names, views, title, absent))
    target = folder / "report.html"
    try:
        write_text(target, page)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}); free some space, or write it elsewhere"
        ) from error
    return target


def _context(
    run: Run,
    images: Tensor | Images | None,
    names: Sequence[str] | None,
    views: Tensor | None,
    title: str | None,
    absent: str,
) -> dict[str, Any]:
    atlas = chart_out(run)
    pairs = confused(run)
    shown = [] if atlas is None else atlas.sample.tolist()
    pictures = gather(images, [*shown, *(s for pair in pairs for way in pair.examples for s in way)])
    strip = None if views is None or views.numel() == 0 else views[:VIEW_ROWS, :VIEW_COLUMNS]
    data = run.section("dataset")
    counts = run.details("learned").get("confusion") or []
    large = LARGEST < len(counts) <= DRAWN
    opened = {} if atlas is None else payload(atlas, pictures, run.classes, names)
    return {
        "title": title or f"{run.recipe.get('recipe', 'run')} on {data.get('name') or 'images'}",
        "subtitle": _subtitle(run),
        "summary": summary(run),
        "answers": answers(run, views=0 if strip is None else strip.shape[1] - 1),
        "hero": [hero(run, name) for name in headlines(run)],
        "atlas": atlas,
        "pictures": pictures,
        "absent": absent,
        "views": None if strip is None else sheet(strip.flatten(0, 1), side=96, columns=strip.shape[1]),
        "views_full": None if strip is None or max(strip.shape[-2:]) <= 96 else tuple(strip.shape[-2:]),
        "data_json": safe({**opened, "classes": list(run.classes), "matrix": counts if large else None}),
        "groups": groups(run),
        "matrix": matrix(run),
        "heat": large,
        "classes": run.classes,
        "pairs": pairs,
        "per_class": per_class(run),
        "geometry": drawn(geometry(run)),
        "training": drawn(training(run)),
        "vitals": drawn(vitals(run)),
        "held": [(f, course(f)) for f in run.log.held],
        "gone": [(f, course(f)) for f in run.log.findings if f.until is not None],
        "watched": run.log.watched,
        "judged": run.log.judged,
        "needed": READINGS,
        "called": partial(called, names=names),
        "few": drawn(few_labels(run)),
        "notes": _notes(run),
        "judge": judge(run),
        "dataset": dict.fromkeys(("name", "kind", "train", "test", "split")) | dict(data),
        "skipped": run.skipped[:SKIPPED],
        "reasons": _reasons(run),
        "skipped_count": max(len(run.skipped), int(data.get("skipped") or 0)),
        "command": str(run.recipe.get("command") or ""),
        "built": flat(run.section("facts")),
        "dials": flat(run.section("dials")),
        "parts": run.section("parts"),
        "settings": flat((run.scores or {}).get("settings") or {}),
        "environment": environment(run),
        "damaged": run.log.damaged,
        "names": NAMES,
        "figure": figure,
    }


def _reasons(run: Run) -> list[tuple[str, int]]:
    """Why files were left out, the commonest first; reasons that differ only in a number or a name count as one.

    Each decoder has words of its own for a file that ends too soon; they are one reason.
    """
    held: dict[str, list[str]] = {}
    for _, reason in run.skipped:
        kind = CUT_OFF if ENDS.search(reason) else re.sub(r"'[^']*'|\d[\d,.]*", "…", reason)
        held.setdefault(kind, []).append(reason)
    said = [(kind if len(set(all_)) > 1 else all_[0], len(all_)) for kind, all_ in held.items()]
    return sorted(said, key=lambda item: -item[1])


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


def _notes(run: Run) -> list[tuple[str, str]]:
    """What the evaluation had to say of each encoder; a note on all of them once."""
    found = [(encoder, str(note)) for encoder in ENCODERS for note in run.details(encoder).get("notes") or ()]
    whose = {note: [NAMES[e] for e, other in found if other == note] for _, note in found}
    measured = sum(bool(run.measures.get(encoder)) for encoder in ENCODERS)
    return [("" if len(who) == measured else ", ".join(who), note) for note, who in whose.items()]
