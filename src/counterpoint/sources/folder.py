"""Any folder of images."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.collect import check_skipped, collect
from counterpoint.sources.content import divide
from counterpoint.sources.decode import Encoded
from counterpoint.sources.labels import group_names, group_numbers, index_labels
from counterpoint.sources.parallel import Shelf
from counterpoint.sources.places import folder_of
from counterpoint.types import Dataset, Images, Skipped, Split

__all__ = ["Folder", "walk"]

_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "gif", "bmp", "dib", "webp", "avif", "tif", "tiff"),
        *("jp2", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm", "tga", "ico", "icns", "pcx", "sgi", "qoi", "xbm", "dds"),
    )
)
_HELD_OUT = ("test", "val", "valid", "validation")
_FILE = ("file", "filename", "file_name", "path", "image", "name")
_LABEL = ("label", "class", "category", "target")
_TOGETHER = 16  # files of one task


def _looks_like_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _SUFFIXES


def _search(root: Path) -> tuple[list[str], list[Skipped]]:
    """Images below a folder, and what looks like one, or might hold some, but cannot be used; POSIX paths, sorted."""
    found: list[str] = []
    lost: list[Skipped] = []
    seen: set[str] = set()

    def relative(path: str) -> str:
        return Path(path).relative_to(root).as_posix()

    def refused(error: OSError) -> None:
        name = os.fsdecode(error.filename or root)
        lost.append(Skipped(relative(name), f"a folder that cannot be read ({error.strerror or error})"))

    for folder, below, files in os.walk(root, onerror=refused, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        if not below and not files and folder != str(root) and _looks_like_image(os.path.basename(folder)):
            lost.append(Skipped(relative(folder), "an empty folder, not an image"))
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        found += [relative(os.path.join(folder, name)) for name in files if _looks_like_image(name)]
    return sorted(found), lost


def walk(root: Path) -> list[str]:
    """Images below a folder, as sorted POSIX paths; links are followed, what is hidden is not."""
    return _search(root)[0]


def _shelf(root: Path, names: Sequence[str]) -> Shelf:
    """Image files of a folder, as `collect` reads them."""

    def pick(positions: Sequence[int]) -> Sequence[Encoded]:
        return [root / names[i] for i in positions]

    def chunks() -> Iterator[Sequence[Encoded]]:
        for start in range(0, len(names), _TOGETHER):
            yield pick(range(start, min(start + _TOGETHER, len(names))))

    def identity() -> Iterator[str]:
        """The folder; of each file its name, size, time of change, owner and permissions."""
        yield str(root.resolve())
        for name in names:
            try:
                found = (root / name).stat()
                yield f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_uid}\0{found.st_mode}"
            except OSError as error:
                yield f"{name}\0{error.strerror}"

    return Shelf(str(root), names, chunks, pick, identity)


def _split_folders(files: Sequence[str], root: str) -> str | None:
    """The name of the held-out folder where images are divided into train/ and it."""
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in files}
    held = [top for top in _HELD_OUT if top in tops]
    if "train" not in tops or not held:
        return None
    others = sorted(tops - {"train", *_HELD_OUT})
    if others:
        what = f"in {others[0]}/" if others[0] else "beside them"
        raise SourceError(
            f"{root} holds train/ and {held[0]}/, but also images {what}; move those, or give train/ as --root"
        )
    return held[0]


def _class_folders(files: Sequence[str], root: str, *, asked: bool) -> list[str | None] | None:
    """The label of each file: the first folder below what all have in common; None where that says nothing."""
    parents = [PurePosixPath(name).parent.parts for name in files]
    shared = 0
    while len({parts[: shared + 1] for parts in parents}) == 1 and len(parents[0]) > shared:
        shared += 1
    below = [parts[shared] if len(parts) > shared else None for parts in parents]
    loose = sum(label is None for label in below)
    if 0 < loose < len(below) and not asked:
        example = next(label for label in below if label is not None)
        raise SourceError(
            f"{root} is mixed up: {loose:,} images lie loose and {len(below) - loose:,} in sub-folders ({example}/, "
            "…); use "
            "labels='folders' to take the loose ones as unlabelled, or labels='none'"
        )
    if loose == len(below):
        if asked:
            raise SourceError(
                f"labels='folders' needs images in two sub-folders at least; all of {root} lie in one folder"
            )
        return None
    return list(below)


@dataclass(frozen=True)
class Folder:
    """Images in a folder and below, of any format and size.

    Labels come from sub-folders (the first level at which they part), from a CSV, or there are none; loose images in
    one folder have none. `train/` beside `test/` (or `val/`) is the split; otherwise one is made by content. Files
    that are no images by their suffix are passed over without a word; images that cannot be decoded are in
    `Dataset.skipped`.

    Images become RGB squares: the shorter side is resized to `size` (antialiased bilinear) and the centre is cut out.

    Args:
        root: the folder.
        size: in pixels; None is 64.
        labels: None finds them in sub-folders; `folders` insists; `none` uses none; else a CSV file whose first line
            names its columns: `file` (relative to the folder or to the CSV), `label` if there are labels, and any
            others.
        group: column of that CSV whose equal values stay on one side of a split that is made.
        channels: 3, or 1 for grey.
        kind: `photos`, `objects` or `glyphs`; it selects the default views.
        test_share: of a split that is made, in [0, 1).
        bad_share: of images that may be unusable before the source is refused, in [0, 1].
    """

    root: str
    size: int | None = None
    labels: str | None = None
    group: str | None = None
    channels: int = 3
    kind: str = "photos"
    test_share: float = 0.2
    bad_share: float = 0.1

    def load(self) -> Dataset:
        """Find, decode and split."""
        size = 64 if self.size is None else self.size
        if size < 1:
            raise SourceError(f"size={size} is no size in pixels; give at least 1")
        if self.channels not in (1, 3):
            raise SourceError(f"channels={self.channels} of folder must be 3, or 1 for grey")
        root = folder_of(self.root, "folder")
        files, lost = _search(root)
        if not files and lost:
            raise SourceError(f"{self.root} holds no image that can be used; {lost[0].name} is {lost[0].reason}")
        if not files:
            raise SourceError(
                f"{self.root} holds no image; check --root (jpg, png, webp, tif, … are looked for, also below)"
            )
        held_out = _split_folders(files, self.root)
        if held_out is not None:
            keep = ("train/", f"{held_out}/")
            left_out = len(files)
            files = [name for name in files if name.startswith(keep)]
            left_out -= len(files)
        else:
            left_out = 0
        labels, groups, absent, said_labels = self._notes(root, files, held_out)
        lost += absent
        decoded = collect(_shelf(root, files), size, self.channels, hashed=held_out is None)
        check_skipped((*decoded.skipped, *lost), len(files) + len(lost), self.bad_share, self.root)
        names = tuple(files[i] for i in decoded.kept)
        index, classes = None, ()
        if labels is not None:
            (index,), classes = index_labels([[labels[i] for i in decoded.kept]], self.root)
        of = None if groups is None else [groups[i] for i in decoded.kept]
        whole = Split(decoded.images, index, names)
        if held_out is None:
            train, test, said = divide(whole, decoded.digests, self.test_share, self.root, of, reorder=True)
        else:
            said = f"the folder's own: train/ and {held_out}/"
            if left_out:
                said += f" ({left_out:,} images for validation are left out)"
            if of is not None:
                (numbers,), _ = group_numbers([of])
                whole = Split(whole.images, whole.labels, whole.names, numbers)
                on = [
                    {g for g, name in zip(of, names, strict=True) if name.startswith(side)}
                    for side in ("train/", held_out)
                ]
                shared = len((on[0] & on[1]) - {None})
                said += f"; groups on both sides: {shared:,}"
            train, test = self._own_sides(whole, names)
        name = f"folder:{root.resolve().name}"
        skipped = (*decoded.skipped, *lost)
        return Dataset(name, self.kind, train, test, classes, skipped=skipped, split=f"{said}; {said_labels}")

    def _own_sides(self, whole: Split, names: Sequence[str]) -> tuple[Split, Split]:
        """Train and test, each a run of the sorted names, so that no image is copied."""
        sides: list[Split] = []
        for train in (True, False):
            index = [i for i, name in enumerate(names) if name.startswith("train/") == train]
            if not index:
                raise SourceError(f"no image in {self.root}/{'train' if train else 'test'} can be used")
            run = slice(index[0], index[-1] + 1)
            images = whole.images.rows(run) if isinstance(whole.images, Images) else whole.images[run]
            sides.append(whole.rows(torch.tensor(index), images))
        return sides[0], sides[1]

    def _notes(
        self, root: Path, files: Sequence[str], held_out: str | None
    ) -> tuple[list[str | None] | None, list[str | None] | None, list[Skipped], str]:
        """(labels, groups, files that the CSV names in vain, where labels come from)."""
        if self.group is not None and self.labels in (None, "none", "folders"):
            raise SourceError(f"group={self.group!r} is a column of a CSV file; name the file by --labels")
        if self.labels == "none":
            return None, None, [], "labels are not used"
        if self.labels in (None, "folders"):
            inside = [name.split("/", 1)[1] for name in files] if held_out is not None else files
            found = _class_folders(inside, self.root, asked=self.labels == "folders")
            count = len(set(found or []) - {None})
            return found, None, [], f"labels from {count} sub-folders" if found else "no labels"
        return self._csv(root, files, self.labels)

    def _csv(
        self, root: Path, files: Sequence[str], table: str
    ) -> tuple[list[str | None] | None, list[str | None] | None, list[Skipped], str]:
        path = Path(table).expanduser()
        path = path if path.is_file() else root / table
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, restkey="")
                rows = list(reader)
                columns = list(reader.fieldnames or [])
        except OSError as error:
            raise SourceError(
                f"labels={table!r} is no file that can be read ({error.strerror}); give a CSV, 'folders' or 'none'"
            ) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{path} is no CSV in UTF-8: {error}") from error

        def column(names: Sequence[str]) -> str | None:
            lowered = {name.strip().lower(): name for name in reversed(columns)}
            return next((lowered[name] for name in names if name in lowered), None)

        file_column, label_column = column(_FILE), column(_LABEL)
        if file_column is None:
            raise SourceError(f"{path} has no column 'file'; its first line is: {', '.join(columns) or 'empty'}")
        if label_column is None and self.group is None:
            raise SourceError(f"{path} has no column 'label'; its first line is: {', '.join(columns)}")
        if self.group is not None and self.group not in columns:
            raise SourceError(f"group={self.group!r} is no column of {path}; {nearest(self.group, columns)}")
        position = {name: i for i, name in enumerate(files)}
        labels: list[str | None] = [None] * len(files)
        groups: list[str | None] = [None] * len(files)
        lost: list[Skipped] = []
        named: dict[int, dict[str, str]] = {}
        for row in rows:
            said = (row[file_column] or "").strip()
            found = self._place(said, root, path.parent, position)
            if found is None:
                lost.append(Skipped(said, f"named in {path.name}, but no image is there"))
                continue
            before = named.setdefault(found, row)
            if before is not row and label_column is not None and before[label_column] != row[label_column]:
                one, other = before[label_column], row[label_column]
                raise SourceError(f"{path} gives {said} two labels, {one!r} and {other!r}; keep one line for each file")
            if label_column is not None:
                labels[found] = (row[label_column] or "").strip() or None
            if self.group is not None:
                groups[found] = row[self.group]
        if not named:
            raise SourceError(
                f"none of the {len(rows):,} files in {path} is an image of {self.root}; its names must be relative to "
                "that "
                f"folder (the first line says {(rows[0][file_column] if rows else 'nothing')!r})"
            )
        told = f"labels of {sum(label is not None for label in labels):,} images from {path.name}"
        return (
            labels if label_column is not None else None,
            group_names(groups) if self.group is not None else None,
            lost,
            told if label_column is not None else "no labels",
        )

    def _place(self, said: str, root: Path, beside: Path, position: dict[str, int]) -> int | None:
        """The position of the image that a line of the CSV means."""
        if not said:
            return None
        plain = PurePosixPath(said.replace("\\", "/")).as_posix()
        if plain in position:
            return position[plain]
        for base in (root, beside):
            try:
                inside = Path(os.path.normpath(base.absolute() / plain)).relative_to(os.path.normpath(root.absolute()))
            except ValueError:
                continue
            if inside.as_posix() in position:
                return position[inside.as_posix()]
        return None
