"""`counterpoint show`: what a recipe is made of, to be read beside its paper."""

from pathlib import Path

import click

from counterpoint.cli._shell import Setting, allow_own_modules, first_line
from counterpoint.signature import find

__all__ = ["show"]


@click.command(short_help="Print what a recipe is made of.")
@click.argument("recipe")
@click.option("--source", help="Data set, or a folder of images, that it is composed for.  [default: digits]")
@click.option("--root", type=click.Path(path_type=Path), help="Where its files lie.")
@click.option("--size", type=click.IntRange(min=4), help="Side of the images, in pixels.")
@click.option("--encoder", help="Name of the encoder, or module:Class.")
@click.option("--preset", metavar="NAME", help="As in `train`.")
@click.option(
    "--set", "settings", type=Setting(), multiple=True, metavar="PATH=VALUE", help="As in `train`; may be repeated."
)
def show(
    recipe: str,
    source: str | None,
    root: Path | None,
    size: int | None,
    encoder: str | None,
    preset: str | None,
    settings: tuple[tuple[str, str], ...],
) -> None:
    """Print the parts of RECIPE with the file and the paper of each, composed for a source."""
    allow_own_modules()
    signature = find(recipe)
    published = "" if preset is None else f" with its preset {signature.preset(preset).name}"
    first_line(f"show {recipe}{published} on {source or 'digits'}")

    from counterpoint import app

    told = app.describe(
        recipe, source=source, root=root, size=size, encoder=encoder, preset=preset, settings=dict(settings)
    )
    click.echo(told)
