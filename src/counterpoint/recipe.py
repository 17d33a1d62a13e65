"""A recipe is a frozen value of parts: it prints, compares, is stored as JSON, and any field can be set by its path."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from counterpoint.errors import RecipeError, nearest
from counterpoint.heads import Heads
from counterpoint.optim import Optim
from counterpoint.scores import Cosine
from counterpoint.signature import find as declared
from counterpoint.targets import Same
from counterpoint.types import Encoder, Facts, Negatives, Objective, Pairing, Score, Target
from counterpoint.views import Views

__all__ = [
    "Recipe",
    "compose",
    "find",
    "from_json",
    "load_object",
    "part_from_json",
    "part_to_json",
    "preset",
    "recipe",
    "set_path",
]

Compose = Callable[..., "Recipe"]
Change = Callable[["Recipe"], "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A method: one answer to each of the seven questions, and how long and how fast to learn.

    Args:
        pairing: who is related to whom.
        views: how each is seen.
        encoder, heads: what it is mapped to.
        negatives: against whom.
        objective: how good is the match.
        optim: the optimizer, its learning rate a number or a schedule.
        batch_size: images of a global batch, over all ranks.
        epochs: passes over the training images.
        score: in what geometry.
        target: who gives the answer to match.
        name: of the function that made it.
        dials: what that function was given, for the record.
    """

    pairing: Pairing
    views: Views
    encoder: Encoder
    heads: Heads
    negatives: Negatives
    objective: Objective
    optim: Optim
    batch_size: int
    epochs: int
    score: Score = field(default_factory=Cosine)
    target: Target = field(default_factory=Same)
    name: str = ""
    # Out of the hash, because a dictionary has none: `resolve` looks recipes up by it.
    dials: dict[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise RecipeError(f"batch_size is {self.batch_size}, but a contrast needs at least 2 images in a batch")
        if self.epochs < 1:
            raise RecipeError(f"epochs is {self.epochs}, expected at least 1")

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries; `part` names the class by its import path."""
        return cast(dict[str, Any], part_to_json(self))


def recipe(function: Compose) -> Compose:
    """Mark a function that composes a recipe: its name becomes the recipe's, its keyword arguments the dials."""
    signature = inspect.signature(function)

    def composed(facts: Facts, encoder: Encoder, **dials: Any) -> Recipe:
        known = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        hints = get_type_hints(function)
        for name in dials:
            if name not in known:
                raise RecipeError(f"{function.__name__} has no dial {name!r}; {nearest(name, known)}")
            expected = hints.get(name, Any)
            if not _fits(dials[name], expected):
                raise RecipeError(f"{function.__name__}: {name} is {dials[name]!r}, expected {_kind(expected)}")
        try:
            made = function(facts, encoder, **dials)
        except RecipeError as error:
            raise _of_a_dial(function, facts, encoder, dials, error) from error
        given = {p: dials.get(p, signature.parameters[p].default) for p in known}
        return dataclasses.replace(made, name=function.__name__, dials=given)

    composed.__name__ = function.__name__
    composed.__doc__ = function.__doc__
    composed.__wrapped__ = function  # type: ignore[attr-defined]
    composed.__module__ = function.__module__
    composed.presets = {}  # type: ignore[attr-defined]
    return composed


def _of_a_dial(
    function: Compose, facts: Facts, encoder: Encoder, dials: Mapping[str, Any], error: RecipeError
) -> RecipeError:
    """A part's complaint about its own field, with the dial that was given: the one without which it is content."""
    for name, value in dials.items():
        try:
            function(facts, encoder, **{other: v for other, v in dials.items() if other != name})
        except RecipeError:
            continue
        named = re.search(rf"\b{name}\b", str(error))
        return error if named else type(error)(f"{function.__name__} cannot take {name}={value!r}: {error}")
    return error


def preset(
    of: Compose, /, encoder: str | None = None, size: int | None = None, **dials: Any
) -> Callable[[Change], Change]:
    """Mark a function that finishes a recipe as it was published: its name becomes the preset's.

    The recipe is composed with the preset's dials, but for those that a person gives; then the function puts in place
    what no dial reaches, such as the optimizer. It reads `made.dials`, so that a learning rate that follows from the
    size of the batch follows from the one that is used.

    Args:
        of: the recipe.
        encoder: the name of the encoder that the settings are for; whoever composes looks it up.
        size: of the images that they are for, in pixels; others are trained on with a note. None: any.
        dials: literals, in place of the defaults; the command line reads them from the file.
    """

    def register(change: Change) -> Change:
        cast(dict[str, Change], getattr(of, "presets"))[change.__name__] = change  # noqa: B009
        return change

    return register


def load_object(path: str) -> Any:
    """The object of an import path `package.module:Name` or of a file `folder/file.py:Name`.

    Raises:
        RecipeError: no such module or name.
    """
    module_name, _, name = path.partition(":")
    if not name:
        raise RecipeError(f"{path!r} is no import path; expected 'package.module:Name' or 'file.py:Name'")
    try:
        if module_name.endswith(".py"):
            file = Path(module_name).resolve()
            if not file.is_file():
                raise RecipeError(f"{path!r} names the file {module_name!r}, which does not exist")
            label = f"counterpoint_user_{file.stem}_{abs(hash(file))}"
            if label not in sys.modules:
                spec = importlib.util.spec_from_file_location(label, file)
                assert spec is not None
                assert spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                sys.modules[label] = module
                spec.loader.exec_module(module)
            module = sys.modules[label]
        else:
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise RecipeError(f"{path!r} names the module {error.name!r}, which cannot be imported from here") from error
    found: Any = module
    for step in name.split("."):
        if not hasattr(found, step):
            public = [n for n in dir(found) if not n.startswith("_")]
            raise RecipeError(f"module {module_name!r} has no {step!r}; {nearest(step, public)}")
        found = getattr(found, step)
    return found


def find(name: str) -> Compose:
    """The composing function of a recipe's name, or of an import path to one outside the package.

    Raises:
        RecipeError: unknown; the nearest name is given.
    """
    if ":" in name:
        return cast(Compose, load_object(name))
    known = [p.stem for p in (Path(__file__).parent / "recipes").glob("*.py") if not p.stem.startswith("_")]
    if name not in known:
        raise RecipeError(f"no recipe is called {name!r}; {nearest(name, known)}")
    return cast(Compose, getattr(importlib.import_module(f"counterpoint.recipes.{name}"), name))


def compose(
    name: str,
    facts: Facts,
    encoder: Encoder,
    dials: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Recipe:
    """A recipe by name: dials first, so that what derives from them is computed again, then settings by path.

    A preset stands between them: dials that are given win over its own, and settings over all of it.

    Raises:
        RecipeError: an unknown recipe, dial, preset or path, or a value of the wrong type.
    """
    function = find(name)
    before = {} if preset is None else dict(declared(name).preset(preset).dials)
    made = function(facts, encoder, **{**before, **(dials or {})})
    if preset is not None:
        made = cast(dict[str, Change], getattr(function, "presets"))[preset](made)  # noqa: B009
    if ":" in name:
        made = dataclasses.replace(made, name=name)
    for path, value in (settings or {}).items():
        made = set_path(made, path, value)
    if made.heads.predictor is None and any(group.name == "predictor" for group in made.optim.groups):
        raise RecipeError(
            f"{made.name} has no predictor now, but its optimizer has a group for one; also give "
            '--set "optim.groups=()"'
        )
    return made


# ---------------------------------------------------------------- set by path


def _parse(text: str) -> Any:
    lowered = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in lowered:
        return lowered[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _call(text: str) -> Any:
    """`module:Class` or `module:Class(field=value, …)` as a part."""
    path, _, arguments = text.partition("(")
    made = load_object(path)
    arguments = arguments or ")"
    try:
        call = ast.parse(f"f({arguments}", mode="eval").body
        assert isinstance(call, ast.Call)
        given = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        positional = [ast.literal_eval(a) for a in call.args]
    except (SyntaxError, ValueError, AssertionError) as error:
        raise RecipeError(
            f"{text!r} cannot be read; expected 'module:Class(field=value, …)' with plain values"
        ) from error
    try:
        return made(*positional, **given)
    except TypeError as error:
        raise RecipeError(f"{text!r} cannot be made: {error}") from error


def _fits(value: Any, expected: Any) -> bool:
    origin = get_origin(expected)
    if expected is Any or isinstance(expected, str):
        return True
    if origin is Literal:
        return value in get_args(expected)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(expected))
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected is None or expected is type(None):
        return value is None
    if origin is tuple:
        options = get_args(expected)
        if not isinstance(value, tuple):
            return False
        if len(options) == 2 and options[1] is Ellipsis:
            return all(_fits(v, options[0]) for v in value)
        return len(value) == len(options) and all(_fits(v, o) for v, o in zip(value, options, strict=True))
    plain = origin or expected
    if isinstance(plain, type) and plain in (bool, str, dict, list):
        return isinstance(value, plain)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return False
    # Parts of one stage take one another's place; only what a protocol can be asked of is checked.
    return not getattr(plain, "_is_runtime_protocol", isinstance(plain, type)) or isinstance(value, plain)


def _kind(expected: Any) -> str:
    return getattr(expected, "__name__", str(expected)) if get_origin(expected) is None else str(expected)


def set_path(part: Any, path: str, value: Any, *, _whole: str | None = None) -> Any:
    """The same part with one field, however deep, replaced.

    Args:
        part: a frozen dataclass.
        path: fields joined by dots; an element of a tuple by its position: `views.policies.0.ops.1.p`.
        value: text is read as a Python value; `module:Class(field=value)` puts another part in a part's place.

    Raises:
        RecipeError: no such field, or a value of the wrong type.

    Example:
        >>> from counterpoint.optim import SGD
        >>> set_path(SGD(lr=0.1), "lr", "0.5").lr
        0.5
    """
    whole = _whole or path
    name, _, rest = path.partition(".")
    if isinstance(part, tuple):
        items = cast(tuple[Any, ...], part)
        if not name.isdigit() or int(name) >= len(items):
            raise RecipeError(
                f"--set {whole}: {name!r} is no position in a tuple of {len(items)}, expected 0 to {len(items) - 1}"
            )
        at = int(name)
        new = set_path(items[at], rest, value, _whole=whole) if rest else _value(items[at], value, Any, whole)
        return (*items[:at], new, *items[at + 1 :])
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        raise RecipeError(f"--set {whole}: there is nothing below {_before(whole, name)!r}, which is {part!r}")
    known = [f.name for f in dataclasses.fields(part) if f.init]
    if name not in known:
        raise RecipeError(f"--set {whole}: {type(part).__name__} has no field {name!r}; {nearest(name, known)}")
    current = getattr(part, name)
    if rest:
        new = set_path(current, rest, value, _whole=whole)
    else:
        new = _value(current, value, get_type_hints(type(part)).get(name, Any), whole)
    return dataclasses.replace(part, **{name: new})


def _before(whole: str, name: str) -> str:
    return whole[: whole.rfind(name)].rstrip(".") or whole


def _value(current: Any, value: Any, expected: Any, whole: str) -> Any:
    if isinstance(value, str):
        if re.fullmatch(r"[\w./-]+:[\w.]+(\(.*\))?", value) and not isinstance(current, str):
            value = _call(value)
        elif not isinstance(current, str) or value.lower() == "none":
            value = _parse(value)
    if isinstance(value, list):
        value = tuple(cast(list[Any], value))
    if not _fits(value, expected):
        raise RecipeError(f"--set {whole}: got {value!r}, expected {_kind(expected)} (it is {current!r} now)")
    return (
        float(value) if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool) else value
    )


# ---------------------------------------------------------------- JSON


def _home(kind: type) -> str:
    """Where a part is imported from: the outermost package that offers it, or the file of one outside any package."""
    module = kind.__module__
    if module.startswith("counterpoint_user_") or module == "__main__":
        source = inspect.getsourcefile(kind)
        return str(Path(source).resolve()) if source else module
    steps = module.split(".")
    outer = [".".join(steps[:n]) for n in range(2, len(steps))]
    return next((name for name in outer if getattr(sys.modules.get(name), kind.__name__, None) is kind), module)


def part_to_json(value: Any) -> Any:
    """Parts become dictionaries with their import path under `part`; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        module = _home(kind)
        fields = {f.name: part_to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"part": f"{module}:{kind.__qualname__}", **fields}
    if isinstance(value, tuple | list):
        return [part_to_json(v) for v in cast(tuple[Any, ...], value)]
    if isinstance(value, dict):
        return {str(k): part_to_json(v) for k, v in cast(dict[Any, Any], value).items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise RecipeError(f"{value!r} cannot be stored in a recipe; parts hold numbers, texts, tuples and other parts only")


def part_from_json(data: Any) -> Any:
    """The inverse of `part_to_json`.

    Raises:
        RecipeError: an unknown class or field.
    """
    if isinstance(data, list):
        return tuple(part_from_json(v) for v in cast(list[Any], data))
    if not isinstance(data, dict):
        return data
    entries = cast(dict[str, Any], data)
    if "part" not in entries:
        return {k: part_from_json(v) for k, v in entries.items()}
    kind = load_object(entries["part"])
    if not dataclasses.is_dataclass(kind) or not isinstance(kind, type):
        raise RecipeError(f"{entries['part']!r} is no part: expected a frozen dataclass")
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    for name in entries:
        if name != "part" and name not in known:
            raise RecipeError(f"{entries['part']} has no field {name!r}; {nearest(name, known)}")
    return kind(**{k: part_from_json(v) for k, v in entries.items() if k != "part"})


def from_json(data: Mapping[str, Any] | str) -> Recipe:
    """A recipe from its JSON text or dictionary."""
    parsed = json.loads(data) if isinstance(data, str) else dict(data)
    made = part_from_json(parsed)
    if not isinstance(made, Recipe):
        raise RecipeError(f"the JSON holds {type(made).__name__}, expected a Recipe")
    return made
