"""Runs side by side: their page, and the table of their scores."""

import sys
from collections.abc import Sequence
from pathlib import Path

from counterpoint import report
from counterpoint.app.assess import changed, dataset_of
from counterpoint.errors import CounterpointError
from counterpoint.report import Together, apart, gaps
from counterpoint.report.comparison.words import UNPAIRED
from counterpoint.report.numbers import figure, interval, is_count, is_share, points
from counterpoint.report.run import Run
from counterpoint.types import Split

__all__ = ["compare", "show_comparison"]


def compare(
    runs: Sequence[str | Path], *, out: str | Path = "compare.html", reference: str | Path | None = None
) -> tuple[Path, Together]:
    """Write one page of several runs; without images where their data set is not at hand, or no longer what was scored.

    Args:
        runs: run folders, at least two.
        out: the page; an earlier comparison is replaced, any other file is not.
        reference: the run that the others are compared with; the first where None.

    Raises:
        RunError: fewer than two runs, a folder that is no run, or a target that is something else.
    """
    target = Path(out)
    report.check_target(target)
    together = report.gather_runs([Path(run) for run in runs], None if reference is None else Path(reference))
    tests: dict[int, Split] = {}
    errors: dict[int, str] = {}
    for run, group in zip(together.runs, together.group, strict=True):
        if group in tests or not run.scores:
            continue
        try:
            dataset = dataset_of(run.recipe)
        except (CounterpointError, KeyError) as error:
            errors.setdefault(group, f"they were not at hand when this page was written: {error}")
            continue
        # The runs of a group have one digest, where they have any.
        members = (other for other, at in zip(together.runs, together.group, strict=True) if at == group)
        scored = next((other.digest for other in members if other.digest), "")
        why = changed(dataset, scored, run.folder)
        if why:
            errors.setdefault(group, why)
        else:
            tests[group] = dataset.test
    missing = [said for group, said in errors.items() if group not in tests]
    absent = ""
    if missing:
        absent = f"Images are not shown where {missing[0]}."
        print(f"  the page shows no images: {missing[0]}", file=sys.stderr)
    images = {group: test.images for group, test in tests.items()}
    names = {group: test.names for group, test in tests.items() if test.names is not None}
    return report.write_comparison(together, target, images=images, names=names, absent=absent), together


def show_comparison(together: Together) -> None:
    """Print the scores in columns, with intervals and the differences from the reference."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    held = {(gap.name, gap.run): gap for gap in gaps(together)}
    table = Table("", *(Column(Text(name)) for name in together.names))
    order = {m.name: m for run in together.runs for m in run.measures.get("learned", ()) if not m.name.endswith("_z")}
    for name, measure in order.items():
        row = [Text(f"{measure.label}{' (lower is better)' if measure.better == 'lower' else ''}")]
        for i, run in enumerate(together.runs):
            gap = held.get((name, i))
            mark = {"better": " ▲", "worse": " ▼"}.get(gap.verdict, "") if gap else ""
            mark += "" if gap is None or gap.difference.paired else " °"
            told = f"\n{points(gap.difference, is_share(measure)).replace(' points', '')}{mark}" if gap else ""
            row.append(Text(f"{_cell(run, name)}{told}"))
        table.add_row(*row)
    console = Console()
    left_out = [f"{name} {why}" for name, why in apart(together)]
    if not order:
        console.print(Text(f"Not compared: {'; '.join(left_out)}."))
        return
    wanted = 34 + 32 * len(together.runs)
    if console.width < wanted:
        console = Console(width=wanted)
    console.print(table)
    if held:
        console.print(Text(f"Second lines: the difference from {together.names[0]}, of percentages in points."))
    counted = sum(not gap.repeats for gap in held.values())
    if counted > 1:
        rule = f"▲ better, ▼ worse: holds among all {counted} differences together (Holm's rule, 5 %)."
        console.print(Text(f"Each interval holds for 95 % by itself. {rule}"))
    if any(not gap.difference.paired for gap in held.values()):
        console.print(Text(f"° {UNPAIRED}"))
    if left_out:
        console.print(Text(f"Not compared: {'; '.join(left_out)}."))


def _cell(run: Run, name: str) -> str:
    measure = run.measure("learned", name)
    if measure is None:
        return "–"
    bounds = interval(measure)
    return figure(measure.value, is_share(measure), is_count(measure)) + (f" ({bounds})" if bounds else "")
