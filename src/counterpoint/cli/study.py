"""`counterpoint study`: a paper's claims, or a grid of one's own, run and written down."""

import ast
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli._shell import Duration, Option, Setting, allow_own_modules, first_line, write_sections

__all__ = ["study"]

WHAT, HOW = "What", "How"


class _Study(click.Command):
    """Options under headings, and below them the studies that there are."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Under headings."""
        from counterpoint.studies.listing import named_studies

        write_sections(self.get_params(ctx), ctx, formatter)
        with formatter.section("Studies"):
            formatter.write_dl(list(named_studies().items()))


class _Seeds(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """`3` for three seeds, `0,4,7` for these, `4,` for this one."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | tuple[int, ...]:
        """Raises a usage error on anything else."""
        if isinstance(value, int | tuple):
            return value  # pyright: ignore[reportUnknownVariableType]
        listed, parts = "," in str(value), str(value).removesuffix(",").split(",")
        seeds = [int(part) for part in parts if part.strip().isdecimal()]
        if len(seeds) < len(parts) or len(set(seeds)) < len(seeds) or (not listed and not seeds[0]):
            self.fail(f"{value!r} is no number of seeds; expected 3, or different ones: 0,1,2 (one: 2,)", param, ctx)
        return tuple(seeds) if listed else seeds[0]


def _value(text: str) -> Any:
    """A Python value where it reads as one, else the text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


@click.command(cls=_Study, short_help="Run a study: a grid of runs, its page, and what it decides.")
@click.argument("name", required=False, metavar="NAME|FILE.toml")
@click.option("--list", "listed", cls=Option, section=WHAT, is_flag=True, help="Say which studies there are.")
@click.option("--source", cls=Option, section=WHAT, help="Data set, or a folder of images.")
@click.option(
    "--root",
    cls=Option,
    section=WHAT,
    type=click.Path(path_type=Path),
    help="Where its files lie; without --source, the folder of all data that the study needs.",
)
@click.option("--size", cls=Option, section=WHAT, type=click.IntRange(min=4), help="Side of the images, in pixels.")
@click.option(
    "--scale",
    cls=Option,
    section=WHAT,
    type=click.Choice(["smoke", "small", "full"]),
    default="full",
    help="smoke: under a minute; small: for a laptop; full: as published.  [default: full]",
)
@click.option(
    "--seeds", cls=Option, section=WHAT, type=_Seeds(), metavar="N|S,S,...", help="How many, or which; 2, is one alone."
)
@click.option(
    "--option",
    "options",
    cls=Option,
    section=WHAT,
    type=Setting("KEY=VALUE", "grids=false"),
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the study's own; may be repeated.",
)
@click.option(
    "--only",
    cls=Option,
    section=WHAT,
    type=Setting("AXIS=VALUE", "policy=elastic"),
    multiple=True,
    metavar="AXIS=VALUE",
    help="Run the cells at this place of the grid only; may be repeated.",
)
@click.option(
    "--jobs", cls=Option, section=HOW, type=click.IntRange(min=1), default=1, help="Cells at a time.  [default: 1]"
)
@click.option(
    "--cells",
    cls=Option,
    section=HOW,
    type=click.Path(path_type=Path),
    default=Path("runs/cells"),
    help="Folder of the runs, shared by all studies.  [default: runs/cells]",
)
@click.option(
    "--out",
    cls=Option,
    section=HOW,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of page, tables and claims.  [default: runs/studies/NAME-SOURCE-SCALE]",
)
@click.option(
    "--adopt",
    "adopted",
    cls=Option,
    section=HOW,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Take runs from here that are what cells ask for: they are moved; or readings of runs beside a study's page.",
)
@click.option(
    "--precision",
    cls=Option,
    section=HOW,
    type=click.Choice(["auto", "32-true", "bf16-mixed"]),
    default="auto",
    help="auto: one for all cells, as of the runs that are there, else the fastest.  [default: auto]",
)
@click.option(
    "--max-time", cls=Option, section=HOW, type=Duration(), metavar="90s|30m|2h", help="Stop in time, all kept."
)
@click.option("--quiet", cls=Option, section=HOW, is_flag=True, help="Say nothing but errors and what was decided.")
def study(
    name: str | None,
    listed: bool,
    options: tuple[tuple[str, str], ...],
    only: tuple[tuple[str, str], ...],
    quiet: bool,
    **flags: Any,
) -> None:
    """Run the study NAME, or the one of FILE.toml; what is finished is not run again.

    Every cell of its grid is a run in --cells; when all are there, or as far as they are, the study's folder has its
    page, its tables as CSV and Parquet, and what became of its claims.

    \b
    counterpoint study hyperseparability --source mnist --root data/mnist --seeds 3
    counterpoint study my_study.toml --jobs 2
    """
    if listed or name is None:
        from counterpoint.studies.listing import named_studies

        for each, said in named_studies().items():
            click.echo(f"{each}  {said}")
        return
    allow_own_modules()
    if not quiet:
        first_line(f"study {name}{' on ' + flags['source'] if flags['source'] else ''}")

    from counterpoint.studies.conduct import show_claims
    from counterpoint.studies.conduct import study as run_study

    done = run_study(
        name,
        options={key: _value(text) for key, text in options},
        only=dict(only),
        command=shlex.join(["counterpoint", *_typed(sys.argv)]),
        quiet=quiet,
        **flags,
    )
    show_claims(done)
    click.echo(done.page)
    if any(result.failed for result in done.results.every):
        raise click.exceptions.Exit(1)


def _typed(arguments: list[str]) -> list[str]:
    """The words of the command line from `study` on, without those that say how it was run this time."""
    once = ("--adopt", "--max-time", "--jobs")
    words = iter(arguments[arguments.index("study") :] if "study" in arguments else ["study"])
    kept: list[str] = []
    for word in words:
        if word in once:
            next(words, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in once)):
            kept.append(word)
    return kept
