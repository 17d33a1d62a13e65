"""What the commands share: their first line, the kinds of values that people type, options in sections."""

import ast
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from counterpoint._version import __version__
from counterpoint.signature import Dial

__all__ = ["DialType", "Duration", "Option", "Setting", "allow_own_modules", "first_line", "write_sections"]

SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}


def first_line(*said: str) -> None:
    """`counterpoint 0.1.0 · train simclr on digits`, before anything heavy is imported; said by the first rank only.

    On stderr, as all that is said along the way: stdout is for what was asked for.
    """
    if all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        click.echo(" · ".join((f"counterpoint {__version__}", *said)), err=True)


def allow_own_modules() -> None:
    """Let `my_module:my_recipe` be found in the current folder, as `python` itself would."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


class Duration(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """Seconds from `90s`, `30m`, `2h`, `1h30m` or a plain number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises a usage error on anything else."""
        text = str(value).strip().lower()
        parts = re.findall(r"(\d+(?:\.\d+)?)([dhms]|$)", text)
        total = sum(float(number) * SECONDS[unit] for number, unit in parts)
        if not parts or "".join(number + unit for number, unit in parts) != text or total <= 0:
            self.fail(f"{value!r} is no duration; expected for example 90s, 30m, 2h or 1h30m", param, ctx)
        return total


class Setting(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """`PATH=VALUE` as a pair.

    Args:
        form: as the message names it.
        example: as the message has it.
    """

    name = "path=value"

    def __init__(self, form: str = "PATH=VALUE", example: str = "objective.temperature=0.2") -> None:
        self.form, self.example = form, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Raises a usage error without `=`."""
        if isinstance(value, tuple):
            return value  # pyright: ignore[reportUnknownVariableType]
        path, equals, text = str(value).partition("=")
        if not equals or not path:
            self.fail(f"{value!r} is no {self.form}; expected for example {self.example}", param, ctx)
        return path, text


class DialType(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """A value of the type that a recipe's dial is annotated with."""

    def __init__(self, dial: Dial) -> None:
        self.dial = dial
        options = [option.strip() for option in dial.annotation.split("|")]
        self.optional = "None" in options
        self.plain = next((option for option in options if option != "None"), "str")
        names = {"float": "number", "Number": "number", "int": "integer", "str": "text"}
        self.name = names.get(self.plain, "value")
        words = self.plain.removeprefix("Literal").strip("[]") if self.plain.startswith("Literal[") else ""
        self.choices: tuple[str, ...] = ast.literal_eval(f"({words},)") if words else ()

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """The words to choose from, where there are some."""
        return f"[{'|'.join(self.choices)}]" if self.choices else None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises a usage error that says what was expected."""
        if not isinstance(value, str):
            return value
        if self.optional and value.lower() == "none":
            return None
        if self.choices:
            if value not in self.choices:
                self.fail(f"{value!r} is not one of {', '.join(self.choices)}", param, ctx)
            return value
        kind = {"float": float, "Number": float, "int": int, "str": str}.get(self.plain)
        try:
            if kind is not None:
                return kind(value)
            if self.plain.startswith("tuple"):
                return tuple(ast.literal_eval(f"({value.strip('()')},)"))
            return ast.literal_eval(value)
        except (ValueError, SyntaxError):
            told = {"float": "a number", "Number": "a number", "int": "a whole number"}.get(self.plain, self.plain)
            self.fail(f"{value!r} is not {told}{' or none' if self.optional else ''}", param, ctx)


class Option(click.Option):
    """An option that says under which heading of the help it stands."""

    def __init__(self, *names: Any, section: str = "Options", **rest: Any) -> None:
        super().__init__(*names, **rest)
        self.section = section


def write_sections(parameters: Iterable[click.Parameter], ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Options under their headings, in the order in which the headings first come up; click's own last."""
    sections: dict[str, list[tuple[str, str]]] = {}
    last: list[tuple[str, str]] = []
    for parameter in parameters:
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            own = sections.setdefault(parameter.section, []) if isinstance(parameter, Option) else last
            own.append(record)
    for heading, records in {**sections, "Options": [*sections.pop("Options", []), *last]}.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)
