"""`counterpoint saliency`: which part of two images makes them alike, or says what a probe reads."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["saliency"]


@click.command(short_help="Show what makes two images alike to a run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="A B [A B]...")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="CLASS[,CLASS]",
    help="Also in the subspace of this class, or of these two (runs of simlap); may be repeated.",
)
@click.option(
    "--probe",
    metavar="NAME[,NAME]",
    help="In place of pairs: what in each image says this? An attribute of the run, a class, a super-class, or "
    "several classes. Needs no crops.",
)
@click.option(
    "--feature",
    type=click.Choice(["h", "z"]),
    help="What is compared, representation or projection.  [default: h; z with --gate]",
)
@click.option(
    "--crops", type=click.IntRange(1, 512), default=16, show_default=True, help="Of A, with which B is compared."
)
@click.option("--detach", is_flag=True, help="Gradient through B alone: A has no map.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the crops.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("saliency.png"),
    show_default=True,
    help="The panel: .png, .jpg, .webp, or .html for a page.",
)
def saliency(
    run: Path,
    images: tuple[str, ...],
    gates: tuple[str, ...],
    probe: str | None,
    feature: str | None,
    crops: int,
    detach: bool,
    seed: int,
    out: Path,
) -> None:
    """Show which part of A and B makes them alike to the encoder of RUN.

    An image is a file, or a number: its position in the test split. Several pairs may be given, one after the other. A
    class is a name or an index; a name may hold commas.

    \b
    counterpoint saliency runs/first tom.jpg rex.jpg
    counterpoint saliency runs/simlap 12 40 --gate cat --gate cat,dog --out alike.html
    counterpoint saliency runs/digits 3 7 9 --probe "has a closed loop"
    """
    if probe is not None and (gates or feature or detach):
        raise click.UsageError("--probe reads single images by h; leave out --gate, --feature and --detach")
    first_line(f"saliency {run}", *([f"what says {probe}"] if probe is not None else []))

    from counterpoint import app

    seen = app.write_saliency(
        run, images, out, gates=gates, probe=probe, feature=feature, crops=crops, detach=detach, seed=seed
    )
    app.show_saliency(seen, images)
    click.echo(out)
