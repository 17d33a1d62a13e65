"""`counterpoint embed`: a run's encoder applied to images."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["embed"]


@click.command(short_help="Embed images with the encoder of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGES...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("embeddings.parquet"),
    show_default=True,
    help="One row for each image, its name and its vector: .parquet, .csv or .npy.",
)
def embed(run: Path, inputs: tuple[Path, ...], out: Path) -> None:
    """Embed IMAGES, which are image files and folders of them, with the encoder of RUN."""
    first_line(f"embed {' '.join(map(str, inputs))} with {run}")

    from counterpoint import app

    click.echo(app.embed(run, list(inputs), out))
