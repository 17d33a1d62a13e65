"""`counterpoint compare`: runs side by side on one page."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["compare"]


@click.command(short_help="Put runs side by side on one page.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("compare.html"),
    show_default=True,
    help="The page; an earlier comparison is replaced, any other file is not.",
)
@click.option(
    "--reference", type=click.Path(path_type=Path), help="Run that the others are compared with.  [default: the first]"
)
def compare(runs: tuple[Path, ...], out: Path, reference: Path | None) -> None:
    """Compare runs: settings that differ, scores and their differences with intervals, curves, classes, maps.

    Prints the scores, and writes one page that opens offline.
    """
    first_line(f"compare {' '.join(map(str, runs))}")

    from counterpoint import app

    page, together = app.compare(runs, out=out, reference=reference)
    app.show_comparison(together)
    click.echo(page)
