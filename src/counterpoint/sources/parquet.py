"""Parquet files with an image column."""

import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.collect import check_skipped, collect
from counterpoint.sources.content import digests_of, divide
from counterpoint.sources.decode import Encoded, peek
from counterpoint.sources.labels import group_names, group_numbers, hierarchy, index_labels
from counterpoint.sources.parallel import Shelf
from counterpoint.sources.pixels import fit_images
from counterpoint.types import Dataset, Images, Skipped, Split

__all__ = ["Parquet", "holds_parquet"]

_SIDES = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "unlabelled": "unlabelled", "unlabeled": "unlabelled", "unsupervised": "unlabelled",
}  # fmt: skip
_WORD = re.compile(rf"(?:^|[-_. ])({'|'.join(_SIDES)})(?=$|[-_. ])")
_SHARD = re.compile(r"-(\d+)-of-(\d+)$")
_IMAGE = ("image", "img", "images", "picture", "photo", "pixels", "jpg", "jpeg", "png", "bytes")
_LABEL = ("label", "labels", "fine_label", "class", "target", "category", "y")
_SUPER = ("superclass", "super_class", "superlabel", "super_label", "coarse_label", "supercategory")
_ROWS = 256  # decoded together
_LARGEST_NATIVE, _DEFAULT_SIZE = 128, 64


def _parquet_files(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*.parquet")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def holds_parquet(root: Path) -> bool:
    """Whether Parquet files lie in a folder or below."""
    return any(True for _ in root.rglob("*.parquet"))


def _side_of(relative: Path) -> str:
    """Train, test, validation, unlabelled, or whole: by the file's name, else by its folder's."""
    if match := _WORD.search(relative.stem.lower()):
        return _SIDES[match[1]]
    named = (_SIDES[part.lower()] for part in reversed(relative.parts[:-1]) if part.lower() in _SIDES)
    return next(named, "whole")


def _find(root: str) -> tuple[Path, dict[str, list[Path]]]:
    """The folder, and the files of each side in order."""
    place = Path(root).expanduser()
    if not place.exists():
        raise SourceError(f"{root}, the root of parquet, does not exist; check --root")
    if place.is_file():
        return place.parent, {"whole": [place]}
    files = _parquet_files(place)
    if not files:
        raise SourceError(f"{root} holds no .parquet file; check --root, or use folder for a folder of images")
    sides: dict[str, list[Path]] = {}
    for path in files:
        sides.setdefault(_side_of(path.relative_to(place)), []).append(path)
    for side, paths in sides.items():
        bases = {path.parent for path in paths}
        if len(bases) > 1:
            one, two = sorted(str(base.relative_to(place)) for base in bases)[:2]
            raise SourceError(
                f"{root} holds several data sets, in {one} and in {two}; give one of the folders as --root"
            )
        shards = [match for path in paths if (match := _SHARD.search(path.stem))]
        if shards and len(shards) < int(shards[0][2]):
            have = {int(match[1]) for match in shards}
            lost = next(n for n in range(int(shards[0][2])) if n not in have)
            raise SourceError(f"{root} lacks shard {lost} of {int(shards[0][2])} of its {side} files; get it again")
    if "whole" in sides and len(sides) > 1:
        other = next(side for side in sides if side != "whole")
        raise SourceError(
            f"{root} mixes files for {other} ({sides[other][0].name}) with {sides['whole'][0].name}, which says no "
            "split; "
            "move it away"
        )
    return place, sides


@contextmanager
def _reading(path: Path) -> Generator[None, None, None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:160]
        raise SourceError(f"{path} cannot be read as Parquet: {said}; get it again") from error


@dataclass(frozen=True, eq=False)
class _Columns:
    """Which column is what, and what its names are."""

    image: str
    label: str | None
    above: str | None
    group: str | None
    names: Mapping[str, tuple[str, ...]]  # of the values of a column, where the file says them

    @property
    def others(self) -> list[str]:
        return list(dict.fromkeys(name for name in (self.label, self.above, self.group) if name is not None))


@dataclass(eq=False)
class _Part:
    """What was read of one side."""

    images: UInt8[Tensor, "image channel height width"] | Images
    digests: list[bytes]
    names: list[str]
    values: dict[str, list[Any]]
    total: int
    skipped: list[Skipped] = field(default_factory=list[Skipped])


@dataclass(frozen=True)
class Parquet:
    """Images in a column of Parquet files, with labels and super-classes where there are any.

    An image is encoded bytes, a struct `{bytes, path}` (Hugging Face), or a raw array: nested lists, a flat list or
    binary of a `shape`. Files named or foldered train, test, validation (val, dev) are the split, in any number of
    shards; test goes before validation; without both a split is made by content. Class names come from `class_names`,
    from a `classes.json` beside the files, or from Hugging Face's ClassLabel in the schema.

    Encoded images become squares (shorter side resized, antialiased bilinear; the centre cut out), RGB unless the first
    ones are all grey.

    Args:
        root: a file, or a folder with files in it or below.
        size: in pixels. None keeps the size that the first images share if they are square and at most 128, else 64;
            raw arrays keep theirs.
        image: column of images; None finds it.
        labels: column of labels; None finds one by its name or type; `none` uses none.
        super_labels: column of super-classes, likewise.
        group: column whose equal values stay on one side of a split that is made.
        shape: of flat arrays: (height, width), (height, width, channel) or (channel, height, width).
        class_names: of the labels 0, 1, ….
        kind: `photos`, `objects` or `glyphs`. None: photos, or objects where images are grey.
        test_share: of a split that is made, in [0, 1).
        bad_share: of images that may be unusable before the source is refused, in [0, 1].
    """

    root: str
    size: int | None = None
    image: str | None = None
    labels: str | None = None
    super_labels: str | None = None
    group: str | None = None
    shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    kind: str | None = None
    test_share: float = 0.2
    bad_share: float = 0.1

    def load(self) -> Dataset:
        """Read, decode and split."""
        if self.size is not None and self.size < 1:
            raise SourceError(f"size={self.size} is no size in pixels; give at least 1")
        folder, sides = _find(self.root)
        test = next((side for side in ("test", "validation") if side in sides), None)
        own = "train" in sides and test is not None
        main = ["train", test] if own and test is not None else [side for side in sides if side != "unlabelled"]
        if len(main) != 1 and not own:
            raise SourceError(f"{self.root} has files for {' and '.join(main)}, but none for train; add one")
        if not main:
            raise SourceError(f"{self.root} has unlabelled images only; name the files train")
        read = [*main, "unlabelled"] if "unlabelled" in sides else main
        columns = self._columns(sides[main[0]][0])
        encoding = self._encoding(sides[main[0]][0], columns.image)
        rows = sum(_rows(path) for side in read for path in sides[side])
        parts = [
            self._read(sides[side], columns, encoding, rows, hashed=not own and side != "unlabelled") for side in read
        ]
        skipped = tuple(one for part in parts for one in part.skipped)
        check_skipped(skipped, sum(part.total for part in parts), self.bad_share, self.root)
        empty = next((side for side, part in zip(read, parts, strict=True) if not len(part.images)), None)
        if empty is not None:
            raise SourceError(f"{self.root} has no image that can be used in its {empty} files")
        if len({part.images.shape[1:] for part in parts}) > 1:
            found = " and ".join("x".join(map(str, part.images.shape[1:])) for part in parts)
            raise SourceError(f"the arrays for {' and '.join(read)} in {self.root} differ in shape: {found}")
        unlabelled = parts.pop() if "unlabelled" in read else None
        return self._assemble(folder, main, parts, unlabelled, columns, skipped, list(sides))

    def _assemble(
        self,
        folder: Path,
        main: Sequence[str],
        parts: Sequence[_Part],
        unlabelled: _Part | None,
        columns: _Columns,
        skipped: tuple[Skipped, ...],
        sides: Sequence[str],
    ) -> Dataset:
        listed = _classes_json(folder)
        labels, classes = None, ()
        supers, super_classes, super_of = None, (), None
        if columns.label is not None:
            names = self.class_names or listed.names or columns.names.get(columns.label)
            labels, classes = index_labels([part.values[columns.label] for part in parts], self.root, names)
        if labels is not None and columns.above is not None:
            above = [part.values[columns.above] for part in parts]
            names = listed.super_names or columns.names.get(columns.above)
            supers, super_classes = index_labels(above, self.root, names)
            super_of = hierarchy(labels, supers, classes, super_classes, self.root)
        elif labels is not None and listed.super_of and self.super_labels is None:
            super_classes = listed.super_names or tuple(sorted(set(listed.super_of)))
            super_of = torch.tensor([super_classes.index(name) for name in listed.super_of], dtype=torch.int64)

        groups = None if columns.group is None else [group_names(part.values[columns.group]) for part in parts]
        splits = [
            Split(part.images, None if labels is None else labels[i], tuple(part.names)) for i, part in enumerate(parts)
        ]
        if len(parts) == 2:
            train, test = splits
            said = f"the files' own: {main[0]} and {main[1]}"
            if "validation" in sides and main[1] == "test":
                said += " (validation is left out)"
            if groups is not None:
                numbers, shared = group_numbers(groups)
                train, test = (
                    Split(part.images, part.labels, part.names, number)
                    for part, number in zip(splits, numbers, strict=True)
                )
                said += f"; groups on both sides: {shared:,}"
        else:
            train, test, said = divide(
                splits[0],
                parts[0].digests,
                self.test_share,
                self.root,
                None if groups is None else groups[0],
                reorder=True,
            )
        kind = self.kind or ("photos" if train.images.shape[1] == 3 else "objects")
        return Dataset(
            f"parquet:{Path(self.root).name}",
            kind,
            train,
            test,
            classes,
            super_classes,
            super_of,
            None if unlabelled is None else Split(unlabelled.images, None, tuple(unlabelled.names)),
            skipped,
            said,
        )

    def _columns(self, path: Path) -> _Columns:
        """Find the columns by option, by Hugging Face's types, by name."""
        import pyarrow.parquet as pq

        with _reading(path):
            schema = pq.read_schema(path)
        known: list[str] = schema.names
        features = _features(schema.metadata)

        def column(option: str, given: str | None, guesses: Sequence[str]) -> str | None:
            if given == "none":
                return None
            if given is not None and given not in known:
                raise SourceError(f"{option}={given!r} is no column of {path}; {nearest(given, known)}")
            return given or next((name for name in guesses if name in known), None)

        typed = [name for name, of in features.items() if _type_of(of) == "Image"]
        bytes_like = [name for name in known if _holds_bytes(schema.field(name).type)]
        image = column("image", self.image, [*typed, *_IMAGE, *(bytes_like if len(bytes_like) == 1 else [])])
        if image is None:
            raise SourceError(
                f"{path} has no column that looks like images; name one by image=COLUMN; known: {', '.join(known)}"
            )
        typed = [name for name, of in features.items() if _type_of(of) == "ClassLabel" and name not in _SUPER]
        label = column("labels", self.labels, [*(name for name in _LABEL if name in typed), *_LABEL, *typed])
        above = column("super_labels", self.super_labels, _SUPER)
        if above is not None and label is None and self.super_labels is not None and self.labels != "none":
            raise SourceError(f"super_labels={above!r} needs labels, but {path} has none; name the column by --labels")
        group = column("group", None if self.group == "none" else self.group, ())
        names = {name: tuple(of["names"]) for name, of in features.items() if isinstance(of, dict) and of.get("names")}
        return _Columns(image, label, above if label is not None else None, group, names)

    def _encoding(self, path: Path, image: str) -> "_Encoding":
        """How the first images are stored, and what they become."""
        import pyarrow.parquet as pq

        with _reading(path):
            kind = pq.read_schema(path).field(image).type
            if not _holds_bytes(kind) or self.shape is not None:
                return _Encoding(None, 0)
            batch = next(pq.ParquetFile(path).iter_batches(_ROWS, columns=[image]), None)
        items = [] if batch is None else _items(batch.column(0), path.parent)
        found = peek(items[:: max(1, len(items) // 64)])
        channels = 1 if found and all(one[2] == 1 for one in found) else 3
        size = self.size
        if size is None:
            shapes = {one[:2] for one in found}
            width, height = next(iter(shapes)) if len(shapes) == 1 else (0, 1)
            size = width if width == height and width <= _LARGEST_NATIVE else _DEFAULT_SIZE
        return _Encoding(size, channels)

    def _read(
        self, paths: Sequence[Path], columns: _Columns, encoding: "_Encoding", together: int, *, hashed: bool
    ) -> _Part:
        import pyarrow.parquet as pq

        total = 0
        for path in paths:
            with _reading(path):
                file = pq.ParquetFile(path)
                lost = [name for name in (columns.image, *columns.others) if name not in file.schema_arrow.names]
                total += file.metadata.num_rows
            if lost:
                raise SourceError(f"{path} lacks the column {lost[0]!r} that {paths[0].name} has")
        if encoding.size is None:
            return self._read_arrays(paths, columns, hashed=hashed)
        values = _values(paths, columns.others)
        shelf = _shelf(paths, columns.image)
        decoded = collect(shelf, encoding.size, encoding.channels, hashed=hashed, together=together)
        kept = decoded.kept
        return _Part(
            decoded.images,
            list(decoded.digests),
            [shelf.names[i] for i in kept],
            {name: [column[i] for i in kept] for name, column in values.items()} if decoded.skipped else values,
            total,
            list(decoded.skipped),
        )

    def _read_arrays(self, paths: Sequence[Path], columns: _Columns, *, hashed: bool) -> _Part:
        """Arrays of numbers; they lie in memory, whatever the budget."""
        where = f"column {columns.image!r} of {self.root}"
        names: list[str] = []
        parts: list[Tensor] = []
        kept: list[int] = []
        skipped: list[Skipped] = []
        high = 0.0
        row = 0
        for path, start, column in _batches(paths, columns.image, 4096):
            if column.null_count:
                gone = column.is_null().to_pylist()
                skipped += [Skipped(f"{path.name}:{start + i}", "no image is there") for i, no in enumerate(gone) if no]
            else:
                gone = [False] * len(column)
            kept += [row + i for i, no in enumerate(gone) if not no]
            names += [f"{path.name}:{start + i}" for i, no in enumerate(gone) if not no]
            row += len(column)
            array = _as_array(column.drop_null(), self.shape, where)
            if not len(array):
                continue
            if array.dtype.kind == "f":
                low = float(array.min())
                high = max(high, float(array.max()))
                if not (low >= 0 and high <= 255):
                    raise SourceError(
                        f"{where} has numbers from {low:g} to {high:g}; floats must be in [0, 1] or [0, 255]"
                    )
                array = array.astype(np.float32)
            elif int(array.min()) < 0 or int(array.max()) > 255:
                raise SourceError(
                    f"{where} has numbers from {array.min()} to {array.max()}; integers must be in 0 to 255"
                )
            else:
                array = array.astype(np.uint8)
            images = torch.from_numpy(np.ascontiguousarray(array))
            if parts and images.shape[1:] != parts[0].shape[1:]:
                one, other = ("x".join(map(str, part.shape[1:])) for part in (parts[0], images))
                raise SourceError(
                    f"{where} holds arrays of {one} and of {other} (near {path.name}:{start}); all must be alike"
                )
            parts.append(images)
        if not parts:
            raise SourceError(f"{where} holds no image")
        if parts[0].dtype == torch.float32:
            parts = [(part * (255 if high <= 1 else 1)).round().to(torch.uint8) for part in parts]
        images = torch.cat(parts)
        digests = digests_of(images) if hashed else []
        values = _values(paths, columns.others)
        picked = {name: [column[i] for i in kept] for name, column in values.items()} if skipped else values
        return _Part(fit_images(images, self.size), digests, names, picked, row, skipped)


@dataclass(frozen=True)
class _Encoding:
    """The size that encoded images get, and their channels; size is None for raw arrays."""

    size: int | None
    channels: int


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    with _reading(path):
        return pq.read_metadata(path).num_rows


def _batches(paths: Sequence[Path], column: str, rows: int) -> Iterator[tuple[Path, int, Any]]:
    """(file, its first row, values) of a column, some rows at a time."""
    import pyarrow.parquet as pq

    for path in paths:
        row = 0
        with _reading(path):
            for batch in pq.ParquetFile(path).iter_batches(rows, columns=[column]):
                yield path, row, batch.column(0)
                row += len(batch)


def _values(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, list[Any]]:
    """Whole columns, by name."""
    return {name: [v for _, _, some in _batches(paths, name, 65536) for v in some.to_pylist()] for name in columns}


def _shelf(paths: Sequence[Path], column: str) -> Shelf:
    """A column of encoded images, as `collect` reads it."""

    def chunks() -> Iterator[Sequence[Encoded]]:
        for path, _, some in _batches(paths, column, _ROWS):
            yield _items(some, path.parent)

    @cache
    def all_items() -> list[Encoded]:
        return [item for some in chunks() for item in some]

    def pick(positions: Sequence[int]) -> Sequence[Encoded]:
        items = all_items()
        return [items[i] for i in positions]

    names = _names(paths, column)

    def identity() -> Iterator[str]:
        """The column; of each file, and of each image file that a row may name, its path, size and time of change."""
        yield column
        for path in (*paths, *(paths[0].parent / name for name in names)):
            with suppress(OSError, ValueError):
                found = path.stat()
                yield f"{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}"

    where = str(paths[0] if len(paths) == 1 else paths[0].parent / paths[0].stem)
    return Shelf(where, names, chunks, pick, identity, held=_encoded_bytes(paths, column))


def _names(paths: Sequence[Path], column: str) -> list[str]:
    """Of each image: what the column says, or the file and the row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: list[str] = []
    for path in paths:
        with _reading(path):
            kind = pq.read_schema(path).field(column).type
        said: list[str | None] = [None] * _rows(path)
        if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
            rows = (row for _, _, some in _batches([path], f"{column}.path", 65536) for row in some.to_pylist())
            said = [(row or {}).get("path") for row in rows]
        names += [one or f"{path.name}:{i}" for i, one in enumerate(said)]
    return names


def _encoded_bytes(paths: Sequence[Path], column: str) -> int:
    """What a column takes in memory: rows of a Parquet file cannot be read one by one."""
    import pyarrow.parquet as pq

    total = 0
    for path in paths:
        about: Any = pq.read_metadata(path)
        for i in range(about.num_row_groups):
            group = about.row_group(i)
            chunks = (group.column(j) for j in range(group.num_columns))
            total += sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == column)
    return total


@dataclass(frozen=True)
class _Listed:
    """What classes.json says."""

    names: tuple[str, ...] | None = None
    super_of: tuple[str, ...] | None = None
    super_names: tuple[str, ...] | None = None


def _classes_json(folder: Path) -> _Listed:
    """Names beside the files: a list of names, {"0": name, …}, or {"classes": [{"label", "name", "superclass"}, …]}."""
    path = folder / "classes.json"
    if not path.is_file():
        return _Listed()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        super_names = None
        if isinstance(found, dict) and "classes" in found:
            if isinstance(found.get("superclasses"), list):
                super_names = tuple(str(name) for name in found["superclasses"])
            found = found["classes"]
        if isinstance(found, dict):
            found = [found[str(i)] for i in range(len(found))]
        if all(isinstance(one, dict) for one in found):
            order = {int(one.get("label", i)): one for i, one in enumerate(found)}
            rows = [order[i] for i in range(len(order))]
            above = tuple(str(one["superclass"]) for one in rows if "superclass" in one)
            names = tuple(str(one.get("name", one.get("wnid", i))) for i, one in enumerate(rows))
            if above and (len(above) < len(rows) or (super_names is not None and not set(above) <= set(super_names))):
                raise ValueError("not every class has a known superclass")
            return _Listed(names, above or None, super_names or (tuple(sorted(set(above))) if above else None))
        return _Listed(tuple(str(one) for one in found))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path} is not understood ({error}); it must be a list of names, or "
            f"{{'classes': [{{'label', 'name'}}, …]}}"
        ) from error


def _features(metadata: Any) -> dict[str, Any]:
    """What Hugging Face says of each column in the schema's metadata."""
    try:
        return json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}


def _type_of(feature: Any) -> str | None:
    return feature.get("_type") if isinstance(feature, dict) else None


def _holds_bytes(kind: Any) -> bool:
    """Whether a column is of encoded bytes: binary, or a struct with bytes."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _items(column: Any, folder: Path) -> list[Encoded]:
    """Encoded images of a column: bytes, or else the file that a path beside them names."""
    import pyarrow as pa

    if not pa.types.is_struct(column.type):
        return column.to_pylist()
    items: list[Encoded] = []
    for row in column.to_pylist():
        contents, path = (row or {}).get("bytes"), (row or {}).get("path")
        items.append(contents if contents is not None else (folder / path if path else None))
    return items


def _as_array(column: Any, shape: tuple[int, ...] | None, where: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Raw arrays as [image, channel, height, width], of whatever number they are."""
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute

    n = len(column)
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    kind = column.type
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        rows = column.to_pylist()
        odd = next((row for row in rows if len(row) != len(rows[0])), None)
        if odd is not None:
            raise SourceError(
                f"{where} holds arrays of {len(rows[0]):,} and of {len(odd):,} bytes; all must be of one size"
            )
        flat = np.frombuffer(b"".join(rows), np.uint8)
        dims: tuple[int, ...] = (len(rows[0]) if rows else 0,)
    else:
        dims = ()
        while (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            lengths = pc.unique(pc.list_value_length(column)).to_pylist()
            if len(lengths) > 1:
                one, other = lengths[:2]
                raise SourceError(
                    f"{where} holds arrays of different sizes (a side of {one}, another of {other}); all must be alike"
                )
            dims += (int(lengths[0] or 0) if lengths else 0,)
            column = column.flatten()
        if not dims or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise SourceError(f"{where} is of type {kind}, which is no image; name another by image=COLUMN")
        if column.null_count:
            raise SourceError(f"{where} holds arrays with empty numbers; fill them")
        flat = column.to_numpy(zero_copy_only=False)
    if not n:
        return np.empty((0, 1, 1, 1), np.uint8)
    length = int(np.prod(dims))
    if shape is None and len(dims) == 1:
        side = int(length**0.5)
        if side * side != length or not side:
            raise SourceError(f"{where} holds flat arrays of {length:,} numbers; say their shape, as in shape=32,32,3")
        dims = (side, side)
    if shape is not None:
        if int(np.prod(shape)) != length:
            said = " x ".join(map(str, shape))
            raise SourceError(
                f"{where} holds arrays of {length:,} numbers, but shape={said} needs {int(np.prod(shape)):,}"
            )
        dims = shape
    if len(dims) == 2:
        return flat.reshape(n, 1, *dims)
    if len(dims) == 3 and dims[2] in (1, 3) and (shape is not None or dims[0] not in (1, 3)):
        return flat.reshape(n, *dims).transpose(0, 3, 1, 2)
    if len(dims) == 3 and dims[0] in (1, 3) and dims[2] not in (1, 3):
        return flat.reshape(n, *dims)
    raise SourceError(
        f"{where} holds arrays of {' x '.join(map(str, dims))}; images are height x width, with 1 or 3 channels last "
        "or first"
    )
