"""Options of a study as they arrive from the command line, brought to what its function says that it takes."""

import types
from inspect import Parameter
from typing import Any, Union, get_args, get_origin

from counterpoint.errors import RecipeError

__all__ = ["suited"]

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "none"}


def suited(study: str, key: str, value: Any, hint: Any) -> Any:
    """The value, as text where text is taken and a number arrived: a class may be called 3.

    Args:
        study: its name, for the message.
        key: of the option.
        value: a text, a number, true, false or None, or a list of these; anything else is left as it is.
        hint: the parameter's annotation; its plain types are looked at; none where it is a text or empty.

    Raises:
        RecipeError: a value of another type than the study takes.

    Example:
        >>> suited("x", "classes", 3, str | None), suited("x", "classes", (0, 1), str | tuple[str, ...])
        ('3', ('0', '1'))
    """
    if hint is Any or hint is Parameter.empty or isinstance(hint, str):
        return value
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    plain = [member for member in members if member in _NAMES]
    others = [member for member in members if member not in _NAMES]
    if type(value) in _NAMES:
        if type(value) in plain or (type(value) is int and float in plain):
            return value
        if str in plain and isinstance(value, int | float):
            return str(value)
    elif isinstance(value, list | tuple):
        if others:
            inner = [each for member in others for each in get_args(member) if each in _NAMES]
            return tuple(suited(study, key, each, Union[tuple(inner)]) for each in value) if inner else value  # noqa: UP007
    else:
        return value
    wanted = [_NAMES[member] for member in plain] + (["several, apart by commas"] if others else [])
    raise RecipeError(
        f"study {study!r}: {key} is {value!r}; give {' or '.join(dict.fromkeys(wanted)) or 'another value'}"
    )
