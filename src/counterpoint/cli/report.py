"""`counterpoint report`: the page of a run, written again."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["report"]


@click.command(short_help="Write the page of a run.")
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write RUN/report.html from what the run folder holds, and say where it is."""
    first_line(f"report {run}")

    from counterpoint import app

    click.echo(app.write_report(run))
