"""`counterpoint evaluate`: what a run's encoder knows, beside raw pixels and the untrained encoder."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["evaluate"]


@click.command(short_help="Score the encoder of a run.")
@click.argument("run", type=click.Path(path_type=Path))
def evaluate(run: Path) -> None:
    """Compute every score that the data of RUN allows, print the table, and write RUN/scores.json."""
    first_line(f"evaluate {run}")

    from counterpoint import app

    app.show_table(app.evaluate(run))
