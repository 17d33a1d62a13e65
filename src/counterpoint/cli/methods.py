"""`counterpoint methods`: which recipes there are, read from their files."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from counterpoint.cli._shell import first_line
from counterpoint.errors import RecipeError
from counterpoint.signature import Signature, recipes

if TYPE_CHECKING:
    from counterpoint.studies.league.kept import Kept

__all__ = ["composed", "markdown", "methods"]

STAGES = ("pairing", "target", "negatives", "objective")


@click.command(short_help="List the recipes.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As docs/methods.md, which is made by this command.")
@click.option(
    "--league",
    "leagues",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="With --markdown: what the league of this folder measured; may be repeated.",
)
def methods(as_markdown: bool, leagues: tuple[Path, ...]) -> None:
    """List the recipes: what each does, what data it needs, whose it is."""
    known = recipes().values()
    if leagues and not as_markdown:
        raise RecipeError("--league adds measured scores to the page of the methods; give --markdown too")
    if as_markdown:
        kept: list[Kept] = []
        if leagues:
            from counterpoint.studies.league.kept import read_kept

            kept = [read_kept(folder) for folder in leagues]
        click.echo(markdown(known, kept), nl=False)
        return
    first_line("methods")
    width = max((len(s.name) for s in known), default=0)
    for s in known:
        click.echo(f"\n{s.name:<{width}}  {s.title}: {s.summary}")
        for told in filter(None, (_composition(s), f"data: {_data(s)}", s.source)):
            click.echo(f"{'':<{width}}  {told}")


def markdown(known: Iterable[Signature], leagues: Sequence["Kept"] = ()) -> str:
    """The page of the methods: one row for each recipe, what leagues measured, and its dials."""
    told = "".join(f" --league docs/results/{league.name}" for league in leagues)
    lines = [
        "# Methods",
        "",
        f"Made from the recipes by `counterpoint methods --markdown{told}`; a test holds this page equal to what it",
        "prints.",
        "Accuracies of presets are those that their sources give: none of them was run here to its end.",
        "",
        "Parts are those of default dials, for 50,000 colour images of 32 px in 10 classes; `counterpoint show RECIPE`",
        "prints all of them, with the file and the paper of each.",
        "",
        "| recipe | method | what it does | data | pairing | target | negatives | objective | source |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for s in known:
        made = composed(s.name)
        cells = (
            f"[`{s.name}`](../src/counterpoint/recipes/{s.name}.py)",
            s.title,
            s.summary,
            _data(s),
            *(_code(made[stage]) for stage in STAGES),
            s.source,
        )
        lines.append(_row(cells))
    for league in leagues:
        lines += _measured(league)
    for s in known:
        lines += ["", f"## {s.name}", "", "| dial | type | default | meaning |", "|---|---|---|---|"]
        for dial in s.dials:
            cells = (_code(dial.flag), _code(dial.annotation), _code(str(dial.default)), dial.help)
            lines.append(_row(cells))
        if s.presets:
            lines += ["", "| preset | what it is | images | dials | source |", "|---|---|---|---|---|"]
            for p in s.presets:
                images = f"{p.size} px" if p.size else "any"
                lines.append(f"| `--preset {p.name}` | {p.summary} | {images} | {_code(p.flags)} | {p.source} |")
    return "\n".join(lines) + "\n"


def composed(recipe: str) -> dict[str, str]:
    """What a recipe is made of with default dials, for 50,000 colour images of 32 px in 10 classes: part by stage."""
    from counterpoint import encoders
    from counterpoint.recipe import compose
    from counterpoint.types import Facts

    usual = Facts("images", "photos", 3, 32, 50_000, classes=10)
    made = compose(recipe, usual, encoders.lookup(encoders.default(usual.kind, usual.size)))
    return {field.name: _told(getattr(made, field.name)) for field in dataclasses.fields(made)}


def _told(part: Any) -> str:
    """A part on one line, without what it leaves out: fields that are None or False."""
    if not dataclasses.is_dataclass(part):
        return repr(part)
    given = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    told = (f"{name}={_told(value)}" for name, value in given.items() if value is not None and value is not False)
    return f"{type(part).__name__}({', '.join(told)})"


def _measured(league: "Kept") -> list[str]:
    """What each recipe reached, at the small scale at which all were compared."""
    from counterpoint.report.numbers import per_cent, ranged

    beaten = ", ".join(f"{name} {per_cent(value)}" for name, value in league.baselines)
    lines = [
        "",
        f"## Measured on {league.data}{f', {league.budget}' if league.budget else ''}",
        "",
        f"[The league](results/{league.name}/index.html) trains all with one small encoder and one budget of views, "
        f"by `{league.command}`. Linear probe: mean over seeds, with the 95 % interval over seeds and test images. "
        f"Beside it: {beaten}.",
        "",
        "| recipe | group | rank | linear probe | kNN | seeds | learned? | doctor | dials | encoder |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for place in league.places:
        linear = "" if place.linear is None else per_cent(place.linear)
        if place.low is not None and place.high is not None:
            linear += f" ({ranged(place.low, place.high, 'share')})"
        cells = (
            f"[`{place.recipe}`](#{place.recipe})",
            place.group,
            str(place.rank or ""),
            linear,
            "" if place.knn is None else per_cent(place.knn),
            str(place.seeds or ""),
            *(place.learned, place.doctor, place.dials, place.encoder),
        )
        lines.append(_row(cells))
    return lines


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _composition(signature: Signature) -> str:
    parts = dict(signature.parts)
    return " · ".join(parts[stage] for stage in STAGES if parts.get(stage))


def _data(signature: Signature) -> str:
    return "images with labels" if signature.needs_labels else "any images"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
