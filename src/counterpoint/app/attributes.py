"""Attributes as a person writes them down: sets of classes, combinations, columns of a CSV, examples.

A TOML file names attributes, each in one of four ways:

    "has a closed loop" = ["0", "6", "8", "9"]                    # classes
    "even"              = ["0", "2", "4", "6", "8"]
    "round and even"    = { all = ["has a closed loop", "even"] }   # and; `any` is or, `none` is neither
    "even, not round"   = { all = ["even", { none = ["has a closed loop"] }] }
    "slanted"           = { examples = ["slanted/"], counter = ["upright.png"] }

A CSV has one column that says which image (`file`, as the data set names it, or `row`: training images from 0, then
test images), and one column for each attribute: 1 has it, 0 has it not, empty is unknown.
"""

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.types import Dataset

__all__ = ["ByExample", "Combined", "OfClasses", "OfImages", "Resolved", "Rule", "read_rules", "resolve", "spoken"]

WAYS = ("all", "any", "none")
_FILE = ("file", "filename", "file_name", "path", "image", "name")
_ANSWERS = {"1": 1, "0": 0, "": -1}


@dataclass(frozen=True)
class OfClasses:
    """The images of some classes.

    Args:
        classes: names of classes or super-classes.
        where: it was written, for messages.
    """

    classes: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Combined:
    """And, or, nor of other attributes.

    Args:
        how: `all` of the parts, `any` or `none` of them.
        parts: names of attributes, or combinations.
        where: it was written, for messages.
    """

    how: Literal["all", "any", "none"]
    parts: tuple["str | Combined", ...]
    where: str


@dataclass(frozen=True)
class OfImages:
    """What a column of a CSV says.

    Args:
        answers: (image, 1 or 0), unknown ones left out; the image is a name or, where `by_row`, a number.
        by_row: images are numbers.
        where: it was written, for messages.
    """

    answers: tuple[tuple[str, int], ...]
    by_row: bool
    where: str


@dataclass(frozen=True)
class ByExample:
    """Images that have it, and images that have it not.

    Args:
        having: image files.
        lacking: likewise; empty where training images drawn at random stand for them.
        where: it was written, for messages.
    """

    having: tuple[Path, ...]
    lacking: tuple[Path, ...]
    where: str


Rule = OfClasses | Combined | OfImages | ByExample
"""How an attribute is defined."""


@dataclass(frozen=True, eq=False)
class Resolved:
    """Attributes of a data set's images.

    Args:
        names: in the order in which they were written.
        targets: 1 has it, 0 has it not, -1 unknown; training images first, then test images.
        members: the classes of which an attribute consists, None where it is no set of classes.
        examples: attributes known by examples alone, whose columns of targets are all -1.
        told: how each is defined, in words.
    """

    names: tuple[str, ...]
    targets: Int64[Tensor, "image attribute"]
    members: tuple[frozenset[int] | None, ...]
    examples: Mapping[str, ByExample]
    told: Mapping[str, str]


def read_rules(paths: Sequence[Path]) -> dict[str, Rule]:
    """The attributes of TOML and CSV files together; a combination may name attributes of any of them.

    Raises:
        SourceError: a file that cannot be read, an attribute written in no known way or twice, an unknown name in a
            combination, or combinations that go round in a circle.
    """
    rules: dict[str, Rule] = {}
    for path in paths:
        if path.suffix.lower() not in (".toml", ".csv"):
            raise SourceError(f"{path}: attributes are read from .toml and .csv files; the ending says which")
        found = _csv(path) if path.suffix.lower() == ".csv" else _toml(path)
        for name, rule in found.items():
            if name in rules:
                raise SourceError(f"the attribute {name!r} of {path} is also in {rules[name].where}; name it once")
            rules[name] = rule
    if not rules:
        raise SourceError(f"{' and '.join(map(str, paths)) or 'no file'} names no attribute; expected at least one")
    done: set[str] = set()
    for name in rules:
        _walk(name, rules, (), done)
    return rules


def _walk(name: str, rules: Mapping[str, Rule], above: tuple[str, ...], done: set[str]) -> None:
    """Every name that a combination mentions is known, and none leads back to itself."""
    if name in above:
        circle = " → ".join(repr(each) for each in (*above[above.index(name) :], name))
        raise SourceError(f"the attributes of {rules[name].where} go round in a circle: {circle}; define one otherwise")
    rule = rules[name]
    if name in done or not isinstance(rule, Combined):
        return
    for part in _mentioned(rule):
        if part not in rules:
            raise SourceError(
                f"{name!r} of {rule.where} combines {part!r}, which is no attribute; {nearest(part, rules)}"
            )
        _walk(part, rules, (*above, name), done)
    done.add(name)


def _mentioned(rule: Combined) -> list[str]:
    return [name for part in rule.parts for name in ([part] if isinstance(part, str) else _mentioned(part))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"the attributes file {path} cannot be read ({error.strerror}); check --attributes"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error


def _toml(path: Path) -> dict[str, Rule]:
    try:
        table = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path} is no TOML: {error}; quote names that hold spaces") from error
    return {name: _rule(name, value, path) for name, value in table.items()}


def _rule(name: str, value: Any, path: Path) -> Rule:
    if isinstance(value, list):
        classes = cast(list[Any], value)
        if not classes or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in classes):
            raise SourceError(f'{name!r} of {path} must list at least one class by its name, as in ["0", "6"]')
        return OfClasses(tuple(str(one) for one in classes), str(path))
    if isinstance(value, dict):
        keys = set(cast(dict[str, Any], value))
        if keys and keys <= {"examples", "counter"} and "examples" in keys:
            return _examples(name, cast(dict[str, Any], value), path)
        if len(keys) == 1 and keys <= set(WAYS):
            return _combined(name, cast(dict[str, Any], value), path)
    raise SourceError(
        f"{name!r} of {path} is written in no known way; expected a list of classes, {{all = [...]}}, {{any = [...]}}, "
        "{none = [...]} with names of attributes, or {examples = [...], counter = [...]} with images"
    )


def _combined(name: str, value: Mapping[str, Any], path: Path) -> Combined:
    how, given = next(iter(value.items()))
    wanted = f"{name!r} of {path}: {how} needs a list of names of attributes, at least one"
    if not isinstance(given, list) or not given:
        raise SourceError(wanted)
    parts: list[str | Combined] = []
    for part in cast(list[Any], given):
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, dict) and len(cast(dict[str, Any], part)) == 1 and next(iter(part)) in WAYS:
            parts.append(_combined(name, cast(dict[str, Any], part), path))
        else:
            raise SourceError(f"{wanted}; it holds {part!r}")
    return Combined(cast(Any, how), tuple(parts), str(path))


def _examples(name: str, value: Mapping[str, Any], path: Path) -> ByExample:
    from counterpoint.sources import image_files

    sides: list[tuple[Path, ...]] = []
    for key in ("examples", "counter"):
        given = value.get(key, [])
        items = [given] if isinstance(given, str) else given
        if not isinstance(items, list) or not all(isinstance(item, str) for item in cast(list[Any], items)):
            raise SourceError(f"{name!r} of {path}: {key} must be a list of images and folders")
        files: list[Path] = []
        for item in cast(list[str], items):
            try:
                files += image_files(path.parent / Path(item).expanduser())
            except SourceError as error:
                raise SourceError(f"{name!r} of {path}, {key}: {error}") from error
        sides.append(tuple(files))
    if not sides[0]:
        raise SourceError(f"{name!r} of {path} has no example; name at least one image that has it")
    both = set(sides[0]) & set(sides[1])
    if both:
        raise SourceError(f"{name!r} of {path}: {min(both)} is an example and a counter-example; it can be one of them")
    return ByExample(sides[0], sides[1], str(path))


def _csv(path: Path) -> dict[str, Rule]:
    try:
        reader = csv.DictReader(_read(path).splitlines(), restkey="")
        lines = list(reader)
        columns = [str(one) for one in reader.fieldnames or []]
    except csv.Error as error:
        raise SourceError(f"{path} is no CSV: {error}") from error
    lowered = {one.strip().lower(): one for one in reversed(columns)}
    key = next((lowered[one] for one in (*_FILE, "row") if one in lowered), None)
    if key is None:
        said = ", ".join(columns) or "empty"
        raise SourceError(f"{path} has no column 'file' or 'row' that says which image; its first line is: {said}")
    by_row = key.strip().lower() == "row"
    attributes = [one for one in columns if one != key and one.strip()]
    if not attributes or len(set(attributes)) < len(attributes):
        raise SourceError(f"{path} must have one column for each attribute, all of other names, beside {key!r}")
    answers: dict[str, list[tuple[str, int]]] = {one: [] for one in attributes}
    for number, line in enumerate(lines, start=2):
        image = (line[key] or "").strip()
        if by_row and not image.isdigit():
            raise SourceError(f"{path}, line {number}: {image!r} is no row; expected a number from 0")
        for one in attributes:
            said = (line[one] or "").strip()
            if said not in _ANSWERS:
                raise SourceError(f"{path}, line {number}: {one!r} says {said!r}; expected 1, 0, or nothing (unknown)")
            if said:
                answers[one].append((image, _ANSWERS[said]))
    return {one.strip(): OfImages(tuple(found), by_row, str(path)) for one, found in answers.items()}


def resolve(rules: Mapping[str, Rule], dataset: Dataset) -> Resolved:
    """What the rules say of each image of a data set.

    And, or and nor are those of three values: `all` is 0 where one part is 0, whatever is unknown. Of sets of classes
    they are exact set algebra, and the result is a set of classes.

    Args:
        rules: of `read_rules`.
        dataset: whose images they speak of.

    Raises:
        SourceError: a class, file or row that the data set lacks; classes where there are no labels; a combination with
            an attribute that is known by examples alone; an attribute that every image has, or none.
    """
    columns: dict[str, Tensor] = {}
    members: dict[str, frozenset[int] | None] = {}
    place = _Places(dataset)

    def of(name: str) -> Tensor:
        if name not in columns:
            rule = rules[name]
            if isinstance(rule, Combined):
                columns[name], members[name] = combined(name, rule)
            elif isinstance(rule, OfClasses):
                columns[name], members[name] = _by_class(name, rule, dataset)
            elif isinstance(rule, OfImages):
                columns[name], members[name] = place.column(name, rule), None
            else:
                columns[name], members[name] = torch.full((place.count,), -1), None
        return columns[name]

    def combined(name: str, rule: Combined) -> tuple[Tensor, frozenset[int] | None]:
        values: list[Tensor] = []
        sets: list[frozenset[int] | None] = []
        for part in rule.parts:
            if isinstance(part, Combined):
                column, own = combined(name, part)
            else:
                if isinstance(rules[part], ByExample):
                    raise SourceError(
                        f"{name!r} of {rule.where} combines {part!r}, which is known by examples alone, not for the "
                        "images of the data; give the combination examples of its own"
                    )
                column, own = of(part), members[part]
            values.append(torch.where(column < 0, 0.5, column.float()))
            sets.append(own)
        stacked = torch.stack(values)
        value = stacked.amin(0) if rule.how == "all" else stacked.amax(0)
        value = 1 - value if rule.how == "none" else value
        column = torch.where(value == 0.5, -1.0, value).long()
        known = [one for one in sets if one is not None]
        if len(known) < len(sets):
            return column, None
        joined = frozenset.intersection(*known) if rule.how == "all" else frozenset.union(*known)
        return column, frozenset(range(len(dataset.classes))) - joined if rule.how == "none" else joined

    for name, rule in rules.items():
        column = of(name)
        if not isinstance(rule, ByExample):
            _two_sided(name, rule, column, dataset)
    return Resolved(
        tuple(rules),
        torch.stack([columns[name] for name in rules], 1),
        tuple(members[name] for name in rules),
        {name: rule for name, rule in rules.items() if isinstance(rule, ByExample)},
        {name: spoken(rule) for name, rule in rules.items()},
    )


def _two_sided(name: str, rule: Rule, column: Tensor, dataset: Dataset) -> None:
    yes, no = int((column == 1).sum()), int((column == 0).sum())
    if not yes or not no:
        side = "no image" if not yes else "every image"
        of = f"the {yes + no:,} images of {dataset.name} whose answer is known" if yes + no else dataset.name
        raise SourceError(
            f"{name!r} of {rule.where} is empty on one side: {side} of {of} has it; it needs images with and without"
        )
    train = column[: len(dataset.train)]
    if not bool((train == 1).any()) or not bool((train == 0).any()):
        side = "with" if not bool((train == 1).any()) else "without"
        raise SourceError(
            f"{name!r} of {rule.where} has no training image {side} it in {dataset.name}; heads are trained on those"
        )


def _by_class(name: str, rule: OfClasses, dataset: Dataset) -> tuple[Tensor, frozenset[int]]:
    train, test = dataset.train.labels, dataset.test.labels
    if not dataset.classes or (train is None and test is None):
        raise SourceError(
            f"{name!r} of {rule.where} is a set of classes, but {dataset.name} has no labels; give a CSV, or examples"
        )
    chosen: set[int] = set()
    for each in rule.classes:
        if each in dataset.classes:
            chosen.add(dataset.classes.index(each))
        elif each in dataset.super_classes and dataset.super_of is not None:
            above = dataset.super_classes.index(each)
            chosen |= set(torch.nonzero(dataset.super_of == above)[:, 0].tolist())
        else:
            raise SourceError(
                f"{name!r} of {rule.where} names the class {each!r}, which {dataset.name} lacks; "
                f"{nearest(each, dataset.classes)}"
            )
    belongs = torch.zeros(len(dataset.classes) + 1, dtype=torch.int64)
    belongs[sorted(chosen)] = 1
    belongs[-1] = -1  # an unknown label is -1 as an index too
    parts = [
        torch.full((len(split),), -1) if split.labels is None else split.labels
        for split in (dataset.train, dataset.test)
    ]
    return belongs[torch.cat(parts)], frozenset(chosen)


class _Places:
    """Where the images stand that a CSV names."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.count = len(dataset.train) + len(dataset.test)
        self.names: dict[str, int] | None = None

    def column(self, name: str, rule: OfImages) -> Tensor:
        column = torch.full((self.count,), -1)
        said: dict[int, int] = {}
        for image, answer in rule.answers:
            at = self.row(image, rule) if rule.by_row else self.file(image, rule)
            if at is None:
                continue
            if said.setdefault(at, answer) != answer:
                raise SourceError(f"{rule.where} says of {image} that it has and has not {name!r}; keep one line")
        if said:
            column[list(said)] = torch.tensor(list(said.values()))
        return column

    def row(self, image: str, rule: OfImages) -> int:
        if int(image) >= self.count:
            train, test = len(self.dataset.train), len(self.dataset.test)
            raise SourceError(
                f"{rule.where} names row {image}, but {self.dataset.name} has {self.count:,} images: training images "
                f"are 0 to {train - 1}, test images {train} to {train + test - 1}"
            )
        return int(image)

    def file(self, image: str, rule: OfImages) -> int | None:
        """Its position; None for a file that the data set could not use."""
        if self.names is None:
            sides = [split.names for split in (self.dataset.train, self.dataset.test) if len(split)]
            if any(side is None for side in sides):
                raise SourceError(
                    f"{rule.where} names images by file, but those of {self.dataset.name} have no names; give a column "
                    "'row' in place of 'file'"
                )
            every = [each for side in sides for each in side or ()]
            self.names = {each: i for i, each in enumerate(every)}
        plain = PurePosixPath(image.replace("\\", "/")).as_posix()
        if plain in self.names:
            return self.names[plain]
        if plain in {skipped.name for skipped in self.dataset.skipped}:
            return None
        raise SourceError(
            f"{rule.where} names {image!r}, which is none of the {self.count:,} images of {self.dataset.name}; names "
            f"are relative to its folder, as in {next(iter(self.names), 'a.png')!r}"
        )


def spoken(rule: "Rule | str") -> str:
    """A rule in words."""
    if isinstance(rule, str):
        return rule
    if isinstance(rule, OfClasses):
        return f"classes {', '.join(rule.classes)}"
    if isinstance(rule, OfImages):
        return f"{len(rule.answers):,} answers of {Path(rule.where).name}"
    if isinstance(rule, ByExample):
        lacking = f"{len(rule.lacking):,} without" if rule.lacking else "training images drawn at random"
        return f"{len(rule.having):,} examples, against {lacking}"
    parts = [f"({spoken(part)})" if isinstance(part, Combined) else part for part in rule.parts]
    if rule.how == "none":
        return f"neither {' nor '.join(parts)}" if len(parts) > 1 else f"not {parts[0]}"
    return (" and " if rule.how == "all" else " or ").join(parts)
