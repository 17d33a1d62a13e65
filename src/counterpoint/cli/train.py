"""`counterpoint train`: images in, an encoder, its scores and its page out."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from counterpoint.cli._shell import (
    DialType,
    Duration,
    Option,
    Setting,
    allow_own_modules,
    first_line,
    write_sections,
)
from counterpoint.errors import RecipeError, RunError
from counterpoint.signature import Dial, Signature, find, recipes

__all__ = ["train"]

SIGNATURE = "counterpoint.signature"
ARGUMENTS = "counterpoint.arguments"
PREFIX = "dial_"


class _Train(click.Command):
    """A command whose flags are its own and the dials of the recipe that its arguments name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the recipe first: its dials decide what the other arguments mean."""
        ctx.meta[ARGUMENTS] = tuple(args)
        allow_own_modules()
        name = self._recipe_in(args)
        if name is not None:
            signature = find(name)
            taken = {option for p in self.params for option in p.opts}
            for dial in signature.dials:
                if dial.flag in taken:
                    raise RecipeError(
                        f"the dial {dial.name!r} of {name} has the name of the flag {dial.flag} of `train`; "
                        f"rename it in {signature.path}"
                    )
            ctx.meta[SIGNATURE] = signature
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The dials of the recipe stand first."""
        own = super().get_params(ctx)
        signature: Signature | None = ctx.meta.get(SIGNATURE)
        if signature is None:
            return own
        heading = f"Dials of {signature.name}"
        return [own[0], *(_option(dial, heading) for dial in signature.dials), *own[1:]]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """With a recipe: what it is; without one: which there are."""
        signature: Signature | None = ctx.meta.get(SIGNATURE)
        if signature is None:
            super().format_help_text(ctx, formatter)
            with formatter.section("Recipes (their dials: counterpoint train RECIPE --help)"):
                formatter.write_dl([(s.name, s.summary) for s in recipes().values()])
            return
        for text in filter(None, (f"{signature.title}: {signature.summary}", signature.source)):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(text if text != signature.source else f"Source: {text}")
        if signature.presets:
            with formatter.section(f"Presets of {signature.name}"):
                formatter.write_dl([(f"--preset {p.name}", f"{p.summary} {p.flags}") for p in signature.presets])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Under headings."""
        write_sections(self.get_params(ctx), ctx, formatter)

    def _recipe_in(self, args: Sequence[str]) -> str | None:
        """The recipe that the arguments name: as the first word that is no option's value, or in a run's file."""
        flags = {
            o for p in self.params if isinstance(p, click.Option) and p.is_flag for o in (*p.opts, *p.secondary_opts)
        }
        flags |= {"-h", "--help"}
        values: dict[str, str] = {}
        rest = iter(args)
        for word in rest:
            if not word.startswith("-"):
                return word
            name, equals, value = word.partition("=")
            if not equals and name not in flags and not _is_switch(name):
                value = next(rest, "")
            values[name] = value
        if "--config" in values:
            return _recipe_of(Path(values["--config"]))
        if "--resume" in values and values.get("--out"):
            return _recipe_of(Path(values["--out"]) / "recipe.json")
        return None


def _is_switch(flag: str) -> bool:
    """Whether some recipe has a yes-or-no dial of this name, which takes no value."""
    switches = {dial.name for recipe in recipes().values() for dial in recipe.dials if dial.annotation == "bool"}
    return flag.removeprefix("--").removeprefix("no-").replace("-", "_") in switches


def _recipe_of(path: Path) -> str | None:
    """The name in a run's recipe.json, which may be named by its folder."""
    path = path / "recipe.json" if path.is_dir() else path
    try:
        stored: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"there is no {path}; expected the recipe.json of a run folder") from error
    except NotADirectoryError as error:
        raise RunError(f"{path} lies in no folder; expected a run's file, RUN/recipe.json") from error
    except ValueError as error:
        raise RunError(f"{path} cannot be read as JSON ({error}); expected the recipe.json of a run folder") from error
    name: Any = cast(dict[str, Any], stored).get("recipe") if isinstance(stored, dict) else None
    if not isinstance(name, str) or not name:
        raise RunError(f"{path} names no recipe; expected the recipe.json that a run has written")
    return name


def _option(dial: Dial, heading: str) -> Option:
    told = "none" if dial.default is None else str(dial.default).lower() if dial.annotation == "bool" else dial.default
    shown = f"{dial.help}  [default: {told}]" if dial.help else f"[default: {told}]"
    declared = f"{PREFIX}{dial.name}"
    if dial.annotation == "bool":
        negated = f"--no-{dial.flag.removeprefix('--')}"
        return Option([f"{dial.flag}/{negated}", declared], section=heading, default=None, help=shown)
    return Option([dial.flag, declared], section=heading, type=DialType(dial), default=None, help=shown)


def _command(arguments: Sequence[str]) -> str:
    """What to type to have this run again, from its beginning."""
    return shlex.join(["counterpoint", "train", *(word for word in arguments if word != "--resume")])


DATA, RUN, CHECK, MACHINE = "Data", "Run", "Evaluation and checkpoints", "Machine"


@click.command(cls=_Train, short_help="Train an encoder, evaluate it, write its page.")
@click.argument("recipe", required=False)
@click.option("--source", cls=Option, section=DATA, help="Data set, or a folder of images.  [default: digits]")
@click.option("--root", cls=Option, section=DATA, type=click.Path(path_type=Path), help="Where its files lie.")
@click.option("--size", cls=Option, section=DATA, type=click.IntRange(min=4), help="Side of the images, in pixels.")
@click.option(
    "--labels", cls=Option, section=DATA, metavar="CSV|COLUMN", help="Where the labels are; `folders` or `none` too."
)
@click.option(
    "--labels-from",
    cls=Option,
    section=DATA,
    metavar="RUN",
    help="Train on clusters of this run's embeddings in place of labels; the source's own score the result.",
)
@click.option(
    "--clusters", cls=Option, section=DATA, type=click.IntRange(min=2), help="Of --labels-from.  [default: 1000]"
)
@click.option(
    "--group",
    cls=Option,
    section=DATA,
    metavar="COLUMN",
    help="Images that agree in this column (a patient, a burst) stay on one side of a split.",
)
@click.option("--test-share", cls=Option, section=DATA, type=float, help="Of a split that is made.  [default: 0.2]")
@click.option(
    "--bad-share", cls=Option, section=DATA, type=float, help="Stop where more files are unusable.  [default: 0.1]"
)
@click.option(
    "--memory", cls=Option, section=DATA, metavar="4GiB", help="For decoded images.  [default: half of what is free]"
)
@click.option(
    "--cache",
    cls=Option,
    section=DATA,
    metavar="auto|none|DIR",
    help="Images beyond it go to the user's cache folder; none: are decoded for each batch; or keep all in DIR.",
)
@click.option("--download", cls=Option, section=DATA, is_flag=True, help="Fetch a public data set that is missing.")
@click.option("--encoder", cls=Option, section=RUN, help="Name of the encoder, or module:Class.")
@click.option(
    "--out", cls=Option, section=RUN, type=click.Path(path_type=Path), metavar="FOLDER", help="The run's folder."
)
@click.option("--seed", cls=Option, section=RUN, type=click.IntRange(min=0), help="Of every draw.  [default: 0]")
@click.option(
    "--set",
    "settings",
    cls=Option,
    section=RUN,
    type=Setting(),
    multiple=True,
    metavar="PATH=VALUE",
    help="Any other field, after the dials; may be repeated: --set objective.temperature=0.2",
)
@click.option(
    "--preset",
    cls=Option,
    section=RUN,
    metavar="NAME",
    help="Settings that were published together (RECIPE --help lists them); flags given beside it win.",
)
@click.option(
    "--config",
    cls=Option,
    section=RUN,
    type=click.Path(path_type=Path),
    metavar="RUN/recipe.json",
    help="Run a stored recipe again; flags given beside it win.",
)
@click.option(
    "--from",
    "warm_from",
    cls=Option,
    section=RUN,
    metavar="RUN|timm:NAME",
    help="Start from the encoder of a run, or from a pretrained one.",
)
@click.option("--resume", cls=Option, section=RUN, is_flag=True, help="Go on with the run in --out, exactly.")
@click.option(
    "--max-time", cls=Option, section=RUN, type=Duration(), metavar="90s|30m|2h", help="Stop in time, all written."
)
@click.option(
    "--dry-run", cls=Option, section=RUN, is_flag=True, help="Say what would be built, its memory and time; train not."
)
@click.option("--quiet", cls=Option, section=RUN, is_flag=True, help="Say nothing but errors.")
@click.option(
    "--evaluate-every",
    cls=Option,
    section=CHECK,
    type=click.FloatRange(min=0, min_open=True),
    metavar="EPOCHS",
    help="Follow kNN on a validation split while training.",
)
@click.option(
    "--evaluate/--no-evaluate", cls=Option, section=CHECK, default=True, help="Score it at the end.  [default: yes]"
)
@click.option(
    "--report/--no-report", cls=Option, section=CHECK, default=True, help="Write report.html.  [default: yes]"
)
@click.option(
    "--checkpoint-every", cls=Option, section=CHECK, type=click.IntRange(min=1), metavar="EPOCHS", help="How often."
)
@click.option("--keep", cls=Option, section=CHECK, type=click.IntRange(min=1), help="How many checkpoints stay.")
@click.option("--tensorboard", cls=Option, section=CHECK, is_flag=True, help="Write curves for TensorBoard too.")
@click.option("--accelerator", cls=Option, section=MACHINE, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--devices", cls=Option, section=MACHINE, type=click.IntRange(min=1), help="Processes on each machine.")
@click.option("--num-nodes", cls=Option, section=MACHINE, type=click.IntRange(min=1), help="Machines.")
@click.option("--precision", cls=Option, section=MACHINE, type=click.Choice(["auto", "32-true", "bf16-mixed"]))
@click.option(
    "--channels-last",
    cls=Option,
    section=MACHINE,
    type=click.Choice(["auto", "yes", "no"]),
    help="Memory layout; auto: measured on this machine and written into the recipe.",
)
@click.option(
    "--micro-batch",
    cls=Option,
    section=MACHINE,
    type=click.IntRange(min=1),
    metavar="IMAGES",
    help="Encode so many images at a time, with the gradient of the whole batch: where it does not fit in memory.",
)
@click.pass_context
def train(ctx: click.Context, /, recipe: str | None, settings: tuple[tuple[str, str], ...], **flags: Any) -> None:
    """Train RECIPE on images; leave a folder with the encoder, its scores and a page.

    \b
    counterpoint train simclr --source digits
    counterpoint train simclr --source folder --root photos/ --size 64
    counterpoint train supcon --source cifar10 --root data/cifar10 --epochs 20
    counterpoint train simclr --preset cifar --source cifar10 --root data/cifar10
    counterpoint train --config runs/first/recipe.json --out runs/again
    """
    signature: Signature | None = ctx.meta.get(SIGNATURE)
    if signature is None:
        raise click.UsageError(f"name a RECIPE ({', '.join(recipes())}) or give --config RUN/recipe.json", ctx)
    dials = {
        dial.name: flags[f"{PREFIX}{dial.name}"]
        for dial in signature.dials
        if ctx.get_parameter_source(f"{PREFIX}{dial.name}") is ParameterSource.COMMANDLINE
    }
    if flags["preset"] is not None:
        signature.preset(flags["preset"])
    if not flags["quiet"]:
        _greet(signature, recipe, flags)

    from counterpoint import app

    app.train(
        recipe,
        dials=dials,
        settings=dict(settings),
        command=_command(ctx.meta[ARGUMENTS]),
        **{name: value for name, value in flags.items() if not name.startswith(PREFIX)},
    )


def _greet(signature: Signature, recipe: str | None, flags: dict[str, Any]) -> None:
    doing = "resume" if flags["resume"] else "train"
    where = f" on {flags['source'] or 'digits'}" if recipe is not None and not flags["resume"] else ""
    again = f" from {flags['config']}" if flags["config"] else ""
    published = f" with its preset {flags['preset']}" if flags["preset"] else ""
    first_line(f"{doing} {signature.name}{published}{where}{again}")
