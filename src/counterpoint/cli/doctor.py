"""`counterpoint doctor`: what is wrong with a run, and what to try."""

import json
from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["doctor"]


@click.command(short_help="Say what is wrong with a run, and what to try.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def doctor(run: Path, as_json: bool) -> None:
    """Name what is wrong with RUN, since when, and by what it shows; what usually helps; and its last readings."""
    first_line(f"doctor {run}")

    from counterpoint import app

    found = app.doctor(run)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        app.show_checkup(found)
