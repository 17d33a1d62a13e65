"""`counterpoint evaluate`: what a run's encoder knows, beside raw pixels and the untrained encoder."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["evaluate"]


@click.command(short_help="Score the encoder of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--theory", is_flag=True, help="Add what the theory says, and write RUN/theory.html.")
def evaluate(run: Path, theory: bool) -> None:
    """Compute every score that the data of RUN allows, print the table, and write RUN/scores.json.

    With --theory the learned encoder is also measured against the theory of contrastive learning: how far alignment
    and uniformity are from their minima, the contrastive loss with negatives without end, the information that two
    views share, the bound on classification among the classes, and what the representation ignores.
    """
    first_line(f"evaluate {run}")

    from counterpoint import app

    app.show_table(app.evaluate(run, theory=theory))
    if theory:
        click.echo(run / "theory.html")
