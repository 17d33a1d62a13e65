"""Several runs on one page: what differs between them, and what that changed."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.files import write_text
from counterpoint.report.atlas import Atlas, chart_out
from counterpoint.report.comparison.figures import geometry, training, vitals
from counterpoint.report.comparison.scores import class_rows, forest, scores
from counterpoint.report.comparison.together import Together, class_gaps, gaps, settings, swaps
from counterpoint.report.comparison.words import answers, card, rule, summary
from counterpoint.report.doctor import course
from counterpoint.report.pictures import Pictures, called, gather, payload
from counterpoint.report.render import drawn, render, safe
from counterpoint.report.run import Run
from counterpoint.report.sprites import BUDGET
from counterpoint.types import Images

__all__ = ["check_target", "write_comparison"]

SCRIPTS = ("common.js", "charts.js", "map.js", "compare.js")
MARK = '<meta name="generator" content="counterpoint comparison">'
POINTS = 6000  # of all maps together
CLASSES = 24  # rows of the table of classes that are not folded away


def write_comparison(
    together: Together,
    target: Path,
    *,
    images: Mapping[int, UInt8[Tensor, "image channel height width"] | Images] | None = None,
    names: Mapping[int, Sequence[str]] | None = None,
    absent: str = "",
) -> Path:
    """Write the page of a comparison: one file that needs nothing else.

    Args:
        together: the runs, from `gather_runs`.
        target: the file; an earlier comparison page is replaced, any other file is not.
        images: the test images of each group of runs that share them.
        names: what a person calls each of them, where they have names.
        absent: why images are missing, one sentence for the page.

    Raises:
        RunError: the target is something else than a comparison page, or cannot be written.
    """
    check_target(target)
    page = render("compare", SCRIPTS, _context(together, images or {}, names or {}, absent))
    try:
        write_text(target, page)
    except OSError as error:
        raise RunError(
            f"{target} cannot be written ({error.strerror or error}); free some space, or give another --out"
        ) from error
    return target


def check_target(target: Path) -> None:
    """Whether a comparison may be written there.

    Raises:
        RunError: something else stands there, or its folder does not exist.
    """
    if target.is_dir():
        raise RunError(f"{target} is a folder, expected a file for the comparison page; give another --out")
    if not target.parent.is_dir():
        raise RunError(f"the folder {target.parent} of {target} does not exist; make it, or give another --out")
    if target.exists():
        with target.open("rb") as file:
            if MARK.encode() not in file.read(4096):
                raise RunError(f"{target} exists and is no comparison page, so it is not replaced; give another --out")


def _context(
    together: Together,
    images: Mapping[int, UInt8[Tensor, "image channel height width"] | Images],
    known: Mapping[int, Sequence[str]],
    absent: str,
) -> dict[str, Any]:
    found, different, classes, swapped = gaps(together), settings(together), class_gaps(together), swaps(together)
    atlases = [chart_out(run, max(500, POINTS // len(together.runs))) for run in together.runs]
    wanted: dict[int, list[int]] = {}
    for group, atlas in zip(together.group, atlases, strict=True):
        wanted.setdefault(group, []).extend([] if atlas is None else atlas.sample.tolist())
    for swap in swapped:
        wanted[0].extend(sample for sample, _, _ in (*swap.gains, *swap.losses))
    sheets = {
        group: gather(images.get(group), samples, name=f"sheet-{group}", budget=BUDGET // len(wanted))
        for group, samples in wanted.items()
    }
    names = together.names
    return {
        "title": f"{names[0]} and {names[1]}" if len(names) == 2 else f"{len(names)} runs compared",
        "names": names,
        "runs": [card(together, i) for i in range(len(names))],
        "summary": summary(together, different),
        "answers": answers(together, found, different),
        "rule": rule(together, found),
        "different": different,
        "forest": forest(together, found),
        "scores": scores(together, found),
        "classes": class_rows(classes, together),
        "shown_classes": CLASSES,
        "swaps": swapped,
        "labels": together.runs[0].classes,
        "called": partial(called, names=known.get(0)),
        "maps": [_map(together, i, atlas, sheets[together.group[i]]) for i, atlas in enumerate(atlases) if atlas],
        "labelled": any(atlas is not None and atlas.label is not None for atlas in atlases),
        "clustered": any(atlas is not None and atlas.cluster is not None for atlas in atlases),
        "sheets": [pictures for pictures in sheets.values() if pictures is not None],
        "reference_sheet": sheets[0],
        "absent": absent,
        "geometry": drawn(geometry(together)),
        "training": drawn(training(together)),
        "vitals": drawn(vitals(together)),
        "doctor": [_findings(name, run) for name, run in zip(names, together.runs, strict=True)],
        "losses_differ": any(path.startswith(("objective", "batch_size", "negatives")) for path, _ in different),
        "data_json": safe(
            {
                "maps": [
                    None if atlas is None else _payload(together, i, atlas, sheets[together.group[i]], known)
                    for i, atlas in enumerate(atlases)
                ],
                "groups": together.group,
            }
        ),
    }


def _payload(
    together: Together, i: int, atlas: Atlas, pictures: Pictures | None, known: Mapping[int, Sequence[str]]
) -> dict[str, Any]:
    return payload(atlas, pictures, together.runs[i].classes, known.get(together.group[i]))


def _findings(name: str, run: Run) -> dict[str, Any]:
    gone = [(f, course(f)) for f in run.log.findings if f.until is not None]
    return {
        "name": name,
        "watched": run.log.watched,
        "judged": run.log.judged,
        "held": [(f, course(f)) for f in run.log.held],
        "gone": gone,
    }


def _map(together: Together, i: int, atlas: Atlas, pictures: Pictures | None) -> dict[str, Any]:
    return {"name": together.names[i], "style": f"s-{i}", "atlas": atlas, "index": i, "pictures": pictures}
