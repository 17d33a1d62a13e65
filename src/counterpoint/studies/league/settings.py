"""The dials that tuning chose, kept beside this file in settings.toml, which `league.choose` writes."""

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.errors import RunError

__all__ = ["FILE", "Settings", "read_settings"]

FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Settings:
    """What tuning chose.

    Args:
        encoder: that it was chosen with; empty where nothing was tuned.
        commands: that made it, the last one last.
        dials: by method.
        epochs: that a trial had, of a method of two views.
    """

    encoder: str = ""
    commands: tuple[str, ...] = ()
    dials: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    epochs: float = 0.0

    def of(self, encoder: str) -> Mapping[str, Mapping[str, float]]:
        """Dials by method, for an encoder of this name; none for another one than they were chosen with."""
        return self.dials if encoder == self.encoder else {}

    @property
    def how(self) -> str:
        """The commands, to be read in a sentence; empty where nothing was tuned."""
        return " and ".join(f"`{command}`" for command in self.commands)

    @property
    def data(self) -> tuple[str, ...]:
        """The sources on whose held-out images it was chosen, as the commands name them."""
        words = [shlex.split(command) for command in self.commands]
        return tuple(dict.fromkeys(own[own.index("--source") + 1] for own in words if "--source" in own[:-1]))


def read_settings(path: Path = FILE) -> Settings:
    """What is kept; nothing where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return Settings()
    try:
        kept: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        tuned: dict[str, Any] = kept.pop("tuned")
        dials = {name: {dial: float(value) for dial, value in own.items()} for name, own in kept.items()}
        return Settings(tuned["encoder"], tuple(tuned["commands"]), dials, float(tuned["epochs"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{str(path)!r} cannot be read as settings ({error}); restore it, or tune again") from error
