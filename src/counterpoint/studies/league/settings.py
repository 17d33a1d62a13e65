"""The dials that tuning chose, kept beside this file in settings.toml, which `league.choose` writes."""

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
        how: the command that made it.
        dials: by method.
    """

    encoder: str = ""
    how: str = ""
    dials: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])

    def of(self, encoder: str) -> Mapping[str, Mapping[str, float]]:
        """Dials by method, for an encoder of this name; none for another one than they were chosen with."""
        return self.dials if encoder == self.encoder else {}


def read_settings(path: Path = FILE) -> Settings:
    """What is kept; nothing where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return Settings()
    try:
        kept: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        tuned: dict[str, str] = kept.pop("tuned")
        dials = {name: {dial: float(value) for dial, value in own.items()} for name, own in kept.items()}
        return Settings(tuned["encoder"], tuned["command"], dials)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{str(path)!r} cannot be read as settings ({error}); restore it, or tune again") from error
