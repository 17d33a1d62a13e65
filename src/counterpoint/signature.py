"""What a recipe's file says about it, read without running it.

A recipe is a function; its keyword-only parameters are its dials, each with a default and a comment that explains it.
The command line makes its flags from them, and the table of methods its rows, in milliseconds: the file is parsed, not
imported, and neither is torch.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from counterpoint.composition import Literal, Plain, composition
from counterpoint.errors import RecipeError, nearest

__all__ = ["Dial", "Literal", "Plain", "Preset", "Signature", "find", "locate", "read", "recipes"]


FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Dial:
    """One of the few numbers that a paper turns.

    Args:
        name: of the keyword-only parameter.
        annotation: its type, as written.
        default: the paper's value, or the marked deviation from it.
        help: the comment on its line; empty without one.
    """

    name: str
    annotation: str
    default: Literal
    help: str

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Preset:
    """Settings of a recipe that were published together, as its file declares them.

    Args:
        name: of the function that is decorated with @preset.
        summary: the first line of its docstring.
        encoder: the name of the encoder that they are for; None: any.
        dials: their values in place of the defaults.
        source: where they were published, from the docstring's `Source:`.
        size: of the images that they are for, in pixels; None: any.
    """

    name: str
    summary: str
    encoder: str | None
    dials: Mapping[str, Literal]
    source: str = ""
    size: int | None = None

    def note(self, size: int) -> str:
        """A sentence where it is for images of another size than these; empty where it is for these."""
        if self.size in (None, size):
            return ""
        return (
            f"preset {self.name} was published for images of {self.size} px, these have {size}: encoder, views and "
            "memory will differ"
        )

    @property
    def flags(self) -> str:
        """What it stands for, as it would be typed; what else it changes, its function says."""
        named = {"encoder": self.encoder} if self.encoder else {}
        return " ".join(_typed(name.replace("_", "-"), value) for name, value in {**named, **self.dials}.items())


def _typed(flag: str, value: Literal) -> str:
    """A flag with its value, a switch without one."""
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


@dataclass(frozen=True)
class Signature:
    """A recipe as its file declares it.

    Args:
        name: on the command line: the function's name, or `module:function` for one outside the package.
        path: the file.
        title: what the first line of the docstring calls it.
        summary: what that line says of it.
        source: the paper, from the docstring's `Source:`.
        needs_labels: as the pairing in its `Recipe(...)` says.
        dials: in the order of the file.
        parts: the classes that its `Recipe(...)` is made of, with default dials; empty where it is not one call.
        presets: in the order of the file.
    """

    name: str
    path: Path
    title: str
    summary: str
    source: str
    needs_labels: bool
    dials: tuple[Dial, ...]
    parts: tuple[tuple[str, str], ...] = ()
    presets: tuple[Preset, ...] = ()

    def preset(self, name: str) -> Preset:
        """The preset of a name.

        Raises:
            RecipeError: there is none; the nearest name is given.
        """
        found = next((preset for preset in self.presets if preset.name == name), None)
        if found is None:
            raise RecipeError(
                f"{self.name} has no preset {name!r}; {nearest(name, [preset.name for preset in self.presets])}"
            )
        return found


def recipes() -> dict[str, Signature]:
    """The package's own recipes by name: each file of counterpoint/recipes that holds a @recipe of its own name.

    The files are read once in a process.
    """
    return dict(_own())


@cache
def _own() -> Mapping[str, Signature]:
    found: dict[str, Signature] = {}
    for path in sorted(FOLDER.glob("*.py")):
        if not path.stem.startswith("_") and path.stem in _decorated(_parse(path)):
            found[path.stem] = read(path, path.stem)
    return found


def find(name: str) -> Signature:
    """The signature of `simclr`, `my_module:my_recipe` or `path/to/file.py:my_recipe`.

    Raises:
        RecipeError: there is no such recipe, with the nearest name.
    """
    if ":" in name:
        path, function = locate(name)
        return read(path, function, called=name)
    known = recipes()
    if name not in known:
        raise RecipeError(f"unknown recipe {name!r}: {nearest(name, known)}; your own is named module:function")
    return known[name]


def locate(name: str) -> tuple[Path, str]:
    """File and function of `my_module:my_recipe` or `path/to/file.py:my_recipe`, without importing anything.

    Modules are looked up where Python looks, then in the current folder.

    Raises:
        RecipeError: there is no such file or module.
    """
    where, _, function = name.rpartition(":")
    if not where or not function.isidentifier():
        raise RecipeError(f"{name!r} names no recipe; expected module:function or path/to/file.py:function")
    if where.endswith(".py"):
        path = Path(where).expanduser()
        if not path.is_file():
            raise RecipeError(f"there is no file {where}, in which {name!r} would be")
        return path, function
    search = [*sys.path, str(Path.cwd())]
    walked: list[str] = []
    for part in where.split("."):
        walked.append(part)
        full = ".".join(walked)
        spec = PathFinder.find_spec(full, search)
        if spec is None:
            raise RecipeError(
                f"there is no module {full!r} on Python's path or in the current folder, in which {name!r} would be"
            )
        if len(walked) == where.count(".") + 1:
            if spec.origin is None or not spec.origin.endswith(".py"):
                raise RecipeError(f"{where!r} is no Python file, so that the recipe {name!r} cannot be read")
            return Path(spec.origin), function
        search = list(spec.submodule_search_locations or ())
    raise AssertionError("unreachable: the last part of a module's name returns or raises")


def read(path: Path, name: str, *, called: str | None = None) -> Signature:
    """The signature of the recipe `name` in a file.

    Args:
        path: a Python file.
        name: of a function in it, decorated with @recipe.
        called: the name to give it, where that is not the function's.

    Raises:
        RecipeError: the file is no Python, has no such recipe, a dial without a literal default, or a preset that sets
            what is no dial.
    """
    tree = _parse(path)
    functions = _decorated(tree)
    if name not in functions:
        raise RecipeError(f"{path} has no function {name!r} decorated with @recipe; {nearest(name, functions)}")
    function = functions[name]
    told = [ast.get_docstring(tree), ast.get_docstring(function)]  # a file of one recipe is introduced by its module
    lines = next(filter(None, told if path.stem == name else told[::-1]), "").splitlines()
    title, summary = _titled(lines[0] if lines else "", name)
    parts = dict(composition(function))
    dials = tuple(_dials(path, function))
    return Signature(
        name=called or name,
        path=path,
        title=title,
        summary=summary,
        source=_entry(lines, "Source:"),
        needs_labels=_needs_labels(parts.get("pairing", "")),
        dials=dials,
        parts=tuple(parts.items()),
        presets=tuple(_presets(path, tree, name, dials)),
    )


def _text(path: Path) -> str:
    with tokenize.open(path) as file:
        return file.read()


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(_text(path), filename=str(path))
    except SyntaxError as error:
        raise RecipeError(f"{path}, line {error.lineno}: this is not valid Python ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not a text file, so that no recipe can be read from it") from error


def _decorated(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The functions of a module that are decorated with @recipe, by name."""

    def is_recipe(node: ast.expr) -> bool:
        node = node.func if isinstance(node, ast.Call) else node
        return (isinstance(node, ast.Name) and node.id == "recipe") or (
            isinstance(node, ast.Attribute) and node.attr == "recipe"
        )

    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(map(is_recipe, node.decorator_list))
    }


def _titled(line: str, name: str) -> tuple[str, str]:
    """`SimCLR` and what it does, from `SimCLR: what it does.` or `SimCLR — what it does.`"""
    for dash in (" — ", ": "):
        title, found, summary = line.partition(dash)
        if found:
            return title.strip(), summary.strip()
    return name, line.strip()


def _needs_labels(pairing: str) -> bool:
    """Whether this class says so, in the folder of the pairings."""
    return pairing in _labelled()


@cache
def _labelled() -> frozenset[str]:
    """The package's pairings that need labels."""
    return frozenset(
        node.name
        for path in (FOLDER.parent / "pairing").glob("*.py")
        for node in _parse(path).body
        if isinstance(node, ast.ClassDef)
        and any(
            isinstance(line, ast.Assign | ast.AnnAssign)
            and "needs_labels" in ast.unparse(line).split("=")[0]
            and isinstance(line.value, ast.Constant)
            and line.value.value is True
            for line in node.body
        )
    )


def _entry(lines: Sequence[str], heading: str) -> str:
    """What follows a heading in a docstring, up to the next empty line."""
    for start, line in enumerate(lines):
        if line.startswith(heading):
            told = [line.removeprefix(heading)]
            for more in lines[start + 1 :]:
                if not more.strip():
                    break
                told.append(more)
            return " ".join(map(str.strip, told)).strip()
    return ""


def _dials(path: Path, function: ast.FunctionDef) -> Iterator[Dial]:
    comments = _comments(path)
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        where = f"{path}, line {argument.lineno}: the dial {argument.arg!r} of {function.name}"
        if default is None:
            raise RecipeError(f"{where} has no default; every dial needs one")
        try:
            value = ast.literal_eval(default)
        except ValueError as error:
            raise RecipeError(f"{where} must have a literal default, got {ast.unparse(default)}") from error
        if not isinstance(value, bool | int | float | str | tuple | None):
            raise RecipeError(f"{where} must be a number, a word, a tuple or None, got {ast.unparse(default)}")
        annotation = "str" if argument.annotation is None else ast.unparse(argument.annotation)
        last = default.end_lineno or default.lineno
        told = [comments[last][1]] if last in comments else []
        while (last := last + 1) in comments and comments[last][0]:
            told.append(comments[last][1])
        yield Dial(argument.arg, annotation, value, " ".join(told))


def _presets(path: Path, tree: ast.Module, recipe: str, dials: Sequence[Dial]) -> Iterator[Preset]:
    """The functions that are decorated with `@preset(recipe, dial=value, ...)`."""
    known = [dial.name for dial in dials]
    for node in tree.body:
        for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if not (isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "preset"):
                continue
            assert isinstance(node, ast.FunctionDef)
            if [ast.unparse(argument) for argument in call.args] != [recipe]:
                continue
            values: dict[str, Literal] = {}
            for keyword in call.keywords:
                where = f"{path}, line {keyword.lineno}: the preset {node.name!r} of {recipe}"
                if keyword.arg not in (*known, "encoder", "size"):
                    raise RecipeError(
                        f"{where} sets {keyword.arg!r}, which is no dial; {nearest(str(keyword.arg), known)}"
                    )
                try:
                    values[keyword.arg] = ast.literal_eval(keyword.value)
                except ValueError as error:
                    raise RecipeError(f"{where} must give literals, got {ast.unparse(keyword.value)}") from error
            encoder, size = values.pop("encoder", None), values.pop("size", None)
            if not isinstance(size, int | None):
                raise RecipeError(
                    f"{path}: the preset {node.name!r} of {recipe} has the size {size!r}, expected pixels"
                )
            told = (ast.get_docstring(node) or "").splitlines()
            named = None if encoder is None else str(encoder)
            yield Preset(node.name, told[0] if told else "", named, values, _entry(told, "Source:"), size)


def _comments(path: Path) -> dict[int, tuple[bool, str]]:
    """For each line with a comment: whether it stands alone, and its text; notes to tools are left out."""
    comments: dict[int, tuple[bool, str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(_text(path)).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#").strip()
            if not text.startswith(("noqa", "type:", "pyright:", "fmt:")):
                comments[token.start[0]] = (not token.line[: token.start[1]].strip(), text)
    return comments
