"""From a word of the command line to a source."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from counterpoint.errors import SourceError, nearest
from counterpoint.sources.arrays import Arrays
from counterpoint.sources.cifar import Cifar
from counterpoint.sources.digits import Digits
from counterpoint.sources.folder import Folder
from counterpoint.sources.idx import EMNIST_SPLITS, Idx, looks_like_idx
from counterpoint.sources.parquet import Parquet, holds_parquet
from counterpoint.sources.stl10 import Stl10
from counterpoint.types import Source

__all__ = ["lookup", "names"]

_KINDS: dict[str, tuple[Any, str]] = {
    "digits": (Digits, "1,797 handwritten digits of 8 x 8, embedded: no download"),
    "mnist": (Idx, "70,000 handwritten digits of 28 x 28"),
    "fashion_mnist": (Idx, "70,000 grey pictures of clothes of 28 x 28, 10 classes"),
    "kmnist": (Idx, "70,000 handwritten Japanese characters of 28 x 28, 10 classes"),
    "emnist": (Idx, f"handwritten characters of 28 x 28; say which: emnist:{', emnist:'.join(EMNIST_SPLITS)}"),
    "idx": (Idx, "any images in IDX files: --root FOLDER"),
    "cifar10": (Cifar, "60,000 photos of 32 x 32, 10 classes"),
    "cifar100": (Cifar, "60,000 photos of 32 x 32, 100 classes in 20 super-classes"),
    "stl10": (Stl10, "13,000 labelled and 100,000 unlabelled photos of 96 x 96, 10 classes"),
    "parquet": (Parquet, "an image column in Parquet files: --root FILE or FOLDER"),
    "arrays": (Arrays, "images in a NumPy file, .npz or .npy: --root FILE"),
    "folder": (Folder, "any folder of images, with or without labels: --root FOLDER"),
}
_PATHS = ("folder", "parquet", "idx", "arrays")


def names() -> dict[str, str]:
    """Every source by name, each with one line about it."""
    return {name: said for name, (_, said) in _KINDS.items()}


def _of_path(path: Path) -> str:
    """Which source reads what lies at a path."""
    if path.is_file():
        if path.suffix.lower() == ".parquet":
            return "parquet"
        if path.suffix.lower() in (".npz", ".npy"):
            return "arrays"
        raise SourceError(
            f"{path} is a file, but no Parquet file and no NumPy file; give a folder of images, or a .parquet, .npz or "
            ".npy file"
        )
    if looks_like_idx(path):
        return "idx"
    return "parquet" if holds_parquet(path) else "folder"


def lookup(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    size: int | None = None,
    labels: str | None = None,
    group: str | None = None,
    test_share: float | None = None,
    download: bool | None = None,
    **more: Any,
) -> Source:
    """A source by its name, or by the path of what it should read.

    `digits`, `mnist`, `emnist:letters`, `folder` with a root, `folder:PATH`, or the path of a folder of images, of IDX
    or of Parquet files, or of one Parquet or NumPy file. Nothing is read before `load`. A root is kept as an absolute
    path, so that a stored recipe can be run from anywhere.

    Args:
        name: of the source, or a path.
        root: where its files are.
        size: of an image, in pixels.
        labels: a column, a CSV, `folders` or `none`; see `Folder` and `Parquet`.
        group: column whose equal values stay on one side of a split.
        test_share: of a split that is made, in [0, 1).
        download: get the files by torchvision; None does so only without a root.
        **more: other fields of that source.

    Raises:
        SourceError: unknown name, missing path, or an option that the source does not take.

    Example:
        >>> lookup("digits", size=16)
        Digits(size=16, test_share=0.2)
    """
    given: dict[str, Any] = {"root": root, "size": size, "labels": labels, "group": group}
    given |= {"test_share": test_share, "download": download, **more}
    given = {option: value for option, value in given.items() if value is not None}
    if isinstance(labels, str) and os.path.isfile(labels):
        given["labels"] = os.path.abspath(labels)
    word = os.fspath(name)
    kind, colon, rest = word.partition(":")
    if kind in _PATHS and colon:
        if root is not None:
            raise SourceError(f"{word!r} and root={os.fspath(root)!r} both say where the data is; give one")
        given["root"], word = rest, kind
    elif kind not in _KINDS:
        path = Path(word).expanduser()
        if not path.exists():
            if "/" in word or os.sep in word or path.suffix:
                raise SourceError(f"{word} does not exist, and is no source's name; {nearest(word, _KINDS)}")
            raise SourceError(
                f"there is no source {word!r}; {nearest(word, _KINDS)}; or give the path of a folder of images"
            )
        if root is not None:
            raise SourceError(f"{word!r} is a path, and root={os.fspath(root)!r} is another; give one")
        given["root"], word = os.fspath(path), _of_path(path)
    elif kind == "emnist":
        if not colon:
            raise SourceError(f"emnist needs the name of a split: emnist:letters; known: {', '.join(EMNIST_SPLITS)}")
        if rest not in EMNIST_SPLITS:
            raise SourceError(f"emnist has no split {rest!r}; {nearest(rest, EMNIST_SPLITS)}")
    elif colon:
        raise SourceError(f"source {kind!r} takes nothing after a colon; say {kind}")

    cls = _KINDS[word.partition(":")[0]][0]
    known = [one.name for one in fields(cls)]
    takes = [one for one in known if one != "name"]
    for option in given:
        if option not in takes:
            raise SourceError(f"source {word!r} takes no {option}; it takes {', '.join(takes)}")
    if word in _PATHS and "root" not in given:
        raise SourceError(f"source {word!r} needs to know where the images are: give --root PATH")
    if "root" in given:
        given["root"] = os.path.abspath(os.path.expanduser(os.fspath(given["root"])))
    if "name" in known:
        given["name"] = word
    return cls(**given)
