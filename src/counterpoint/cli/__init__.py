"""The command line: one file per command, loaded when it is called; this one says what went wrong.

A command prints its first line before it imports anything heavy, and its help imports nothing heavy at all.
"""

import errno
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from counterpoint._version import __version__
from counterpoint.errors import CounterpointError, nearest

__all__ = ["main"]

DISK = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder with --out",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder with --out",
    errno.EFBIG: "the file would be larger than is allowed here; choose another folder with --out",
    errno.EROFS: "the file system is read-only; choose another folder with --out",
    errno.EACCES: "permission denied; choose a folder that you may read and write",
    errno.EPERM: "operation not permitted; choose a folder that you may read and write",
}


class _Commands(click.Group):
    """The commands are the files of this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In alphabetical order."""
        return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name in the file of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is told the nearest."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.list_commands(ctx):
            raise CounterpointError(f"there is no command {name!r}; {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "--version", message="counterpoint %(version)s")
def counterpoint() -> None:
    """Learn representations by contrast, and know what they know.

    \b
    counterpoint train simclr --source digits --out runs/first
    counterpoint report runs/first
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave: 0 done, 1 a run that failed, 2 a user's mistake in one sentence, 130 interrupted.

    What is none of these is a defect of this package, and shows its traceback.

    Args:
        arguments: in place of those that the process was started with.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        answer = counterpoint.main(args=given, prog_name="counterpoint", standalone_mode=False)
    except CounterpointError as error:
        _leave(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "counterpoint"
        _leave(f"{_sentence(error)} (see {where} --help)", 2)
    except click.ClickException as error:
        _leave(_sentence(error), 2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        _leave(f"{where}{DISK[error.errno]}", 2)
    sys.exit(answer if isinstance(answer, int) else 0)


def _sentence(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"{click.style('error:', fg='red')} {message}", err=True)
    sys.exit(code)
