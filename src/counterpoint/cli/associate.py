"""`counterpoint associate`: attributes of a run, and what an image is associated with."""

import json
from pathlib import Path

import click

from counterpoint.cli._shell import first_line

__all__ = ["associate"]


@click.command(short_help="Read attributes off the encoder of a run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="[IMAGES...]")
@click.option(
    "--attributes",
    "-a",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML or CSV that defines attributes; several files are taken together.",
)
@click.option("--discover", type=click.IntRange(min=1), metavar="N", help="Look for N attributes without labels.")
@click.option("--source", help="Data to train the heads on, by name or path.  [default: the run's own]")
@click.option("--root", type=click.Path(path_type=Path), help="Where that data is.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random draw.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def associate(
    run: Path,
    inputs: tuple[Path, ...],
    attributes: tuple[Path, ...],
    discover: int | None,
    source: str | None,
    root: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train attributes on the frozen encoder of RUN, or say what IMAGES are associated with.

    With --attributes or --discover, heads are trained on the run's own data; a table says which attributes can be
    read, and RUN/attributes.html shows them. With IMAGES, which are image files and folders of them, each is answered
    with its class and every attribute with a calibrated probability.

    \b
    A TOML names attributes:
      "has a closed loop" = ["0", "6", "8", "9"]               classes
      "round, not even" = { all = ["has a closed loop", { none = ["even"] }] }
      "slanted" = { examples = ["slanted/"], counter = ["upright.png"] }
    `all` is and, `any` is or, `none` is neither.
    A CSV has a column `file` or `row`, and one column for each attribute: 1, 0 or nothing.
    """
    if not attributes and discover is None and not inputs:
        raise click.UsageError("give --attributes FILE or --discover N to train attributes, or IMAGES to be answered")
    if not attributes and discover is None and (source or root):
        raise click.UsageError("--source and --root say what heads are trained on; give --attributes FILE too")
    doing = [*(str(path) for path in attributes), *([f"discover {discover}"] if discover else []), *map(str, inputs)]
    first_line(f"associate {run}", *doing[:3])

    from counterpoint import app

    told: dict[str, object] = {}
    if attributes or discover is not None:
        found = app.associate(run, attributes, discover=discover or 0, source=source, root=root, seed=seed)
        if as_json:
            told |= {"attributes": found.about["readings"], "planes": found.about["valleys"]}
        else:
            app.show_attributes(found)
            click.echo(run / "attributes.html")
    if inputs:
        said = app.answer(run, inputs)
        if as_json:
            told["images"] = [
                {"image": name, "label": one.label, "classes": one.classes, "attributes": one.attributes}
                | ({"planes": one.sides} if one.sides else {})
                for name, one in said
            ]
        else:
            app.show_associations(said)
    if as_json:
        click.echo(json.dumps(told, indent=1))
