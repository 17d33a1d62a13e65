"""`counterpoint methods`: which recipes there are, read from their files."""

from collections.abc import Iterable

import click

from counterpoint.cli._shell import first_line
from counterpoint.signature import Signature, recipes

__all__ = ["markdown", "methods"]

STAGES = ("pairing", "negatives", "objective")


@click.command(short_help="List the recipes.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As docs/methods.md, which is made by this command.")
def methods(as_markdown: bool) -> None:
    """List the recipes: what each does, what data it needs, whose it is."""
    known = recipes().values()
    if as_markdown:
        click.echo(markdown(known), nl=False)
        return
    first_line("methods")
    width = max((len(s.name) for s in known), default=0)
    for s in known:
        click.echo(f"\n{s.name:<{width}}  {s.title}: {s.summary}")
        for told in filter(None, (_composition(s), f"data: {_data(s)}", s.source)):
            click.echo(f"{'':<{width}}  {told}")


def markdown(known: Iterable[Signature]) -> str:
    """The page of the methods: one row for each recipe, and its dials."""
    lines = [
        "# Methods",
        "",
        "Made from the recipes by `counterpoint methods --markdown`; a test holds this page equal to what it prints.",
        "Accuracies of presets are those that their sources give: none of them was run here to its end.",
        "",
        "| recipe | method | what it does | data | pairing | negatives | objective | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in known:
        parts = dict(s.parts)
        cells = (
            f"[`{s.name}`](../src/counterpoint/recipes/{s.name}.py)",
            s.title,
            s.summary,
            _data(s),
            *(_code(parts.get(stage, "")) for stage in STAGES),
            s.source,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    for s in known:
        lines += ["", f"## {s.name}", "", "| dial | type | default | meaning |", "|---|---|---|---|"]
        for dial in s.dials:
            cells = (_code(dial.flag), _code(dial.annotation), _code(str(dial.default)), dial.help)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        if s.presets:
            lines += ["", "| preset | what it is | dials | source |", "|---|---|---|---|"]
            lines += [f"| `--preset {p.name}` | {p.summary} | {_code(p.flags)} | {p.source} |" for p in s.presets]
    return "\n".join(lines) + "\n"


def _composition(signature: Signature) -> str:
    parts = dict(signature.parts)
    return " · ".join(parts[stage] for stage in STAGES if stage in parts)


def _data(signature: Signature) -> str:
    return "images with labels" if signature.needs_labels else "any images"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
