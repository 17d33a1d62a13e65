"""Every error that a person can meet, in one tree.

    CounterpointError
    ├── RecipeError         a composition that cannot work
    │   ├── ShapeError      a tensor of the wrong shape
    │   └── NoPositives     a batch in which nothing attracts anything
    ├── SourceError         data missing, damaged, or too small
    ├── RunError            a run folder that cannot be read or written
    │   └── CheckpointError a checkpoint of another recipe, or damaged
    ├── DivergenceError     the loss is no longer a number
    └── MissingExtra        an optional package is not installed

A message says what arrived, what was expected, where, and what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CheckpointError",
    "CounterpointError",
    "DivergenceError",
    "MissingExtra",
    "NoPositives",
    "RecipeError",
    "RunError",
    "ShapeError",
    "SourceError",
    "nearest",
]

_TOLD = 60  # names in one message


class CounterpointError(Exception):
    """The root: whatever the library says to a person. Its exit code on the command line is 2, a user's mistake."""

    exit_code = 2


class RecipeError(CounterpointError):
    """A composition that cannot work."""


class ShapeError(RecipeError):
    """A tensor of the wrong shape."""


class NoPositives(RecipeError):
    """A batch in which no anchor has a positive."""


class SourceError(CounterpointError):
    """Data missing, damaged, or too small."""


class RunError(CounterpointError):
    """A run folder that cannot be read or written."""


class CheckpointError(RunError):
    """A checkpoint of another recipe, or damaged."""


class DivergenceError(CounterpointError):
    """The loss is no longer a number; the last good checkpoint stands."""

    exit_code = 1


class MissingExtra(CounterpointError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed: pip install 'counterpoint[{extra}]'"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest known one where there is one, and all, or some of many.

    Example:
        >>> nearest("simclear", ["simclr", "supcon"])
        "did you mean 'simclr'? known: simclr, supcon"
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    told = names if len(names) <= _TOLD else [*names[: _TOLD // 4], f"and {len(names) - _TOLD // 4} more"]
    return f"{guess}known: {', '.join(told) if told else 'none'}"
