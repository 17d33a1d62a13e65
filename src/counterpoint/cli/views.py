"""`counterpoint views`: how a policy shows the images of a source, as a contact sheet."""

from pathlib import Path

import click

from counterpoint.cli._shell import first_line
from counterpoint.errors import CounterpointError

__all__ = ["views"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@click.command(short_help="Draw what the views look like.")
@click.argument("source")
@click.option("--policy", help="Name of the views, or several joined by +.  [default: what suits the source]")
@click.option("--root", type=click.Path(path_type=Path), help="Where the files of the source lie.")
@click.option("--size", type=click.IntRange(min=4), help="Side of the images, in pixels.")
@click.option("--download", is_flag=True, help="Fetch a public data set that is missing.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("views.png"), show_default=True, help="The sheet's file."
)
@click.option("--images", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows: one for each image.")
@click.option("--draws", type=click.IntRange(1, 100), default=8, show_default=True, help="Views of each image.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of images and draws.")
def views(
    source: str,
    policy: str | None,
    root: Path | None,
    size: int | None,
    download: bool,
    out: Path,
    images: int,
    draws: int,
    seed: int,
) -> None:
    """Draw a contact sheet of SOURCE: each row an image, then views of it."""
    if out.suffix.lower() not in FORMATS:
        raise CounterpointError(f"--out {out} is no image file; expected a name that ends in {', '.join(FORMATS)}")
    first_line(f"views of {source}" + (f" by {policy}" if policy else ""))

    from PIL import Image

    from counterpoint import sources
    from counterpoint import views as stage
    from counterpoint.files import whole
    from counterpoint.random import Streams

    data = sources.lookup(source, root=root, size=size, download=download or None).load()
    streams = Streams(seed)
    picked = data.train.images[streams.at("order").permutation(len(data.train))[:images]]
    channels, side = picked.shape[1], picked.shape[-1]
    chosen = policy or stage.default(data.kind, size=side, channels=channels)
    sheet = stage.contact_sheet(
        picked, stage.named(chosen, size=side, channels=channels), streams.at("views"), draws=draws
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as temporary:
        Image.fromarray(sheet.numpy()).save(temporary, format=FORMATS[out.suffix.lower()])
    click.echo(f"{chosen}: {len(picked)} images, {draws} draws of each → {out}")
