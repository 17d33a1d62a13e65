"""`counterpoint claims`: what all studies decided, as one table."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["claims"]


@click.command(short_help="Collect what studies decided into one table.")
@click.option(
    "--studies",
    type=click.Path(path_type=Path),
    default=Path("runs/studies"),
    show_default=True,
    help="Folder below which studies lie.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("docs/claims.md"), show_default=True, help="Markdown file."
)
def claims(studies: Path, out: Path) -> None:
    """Write every claim of every study that was run: where it stands, what was published and measured, the verdict."""
    first_line(f"claims {studies}")

    from counterpoint.studies.claims import write_claims

    click.echo(write_claims(studies, out))
