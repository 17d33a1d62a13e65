"""Where data sets lie, and how they get there."""

import os
from collections.abc import Callable
from pathlib import Path

from counterpoint.errors import SourceError

__all__ = ["default_root", "fetch", "folder_of"]


def default_root() -> Path:
    """Where downloads go and are found again: `counterpoint` in XDG_CACHE_HOME, else in ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "counterpoint"


def folder_of(root: str, where: str) -> Path:
    """An existing folder.

    Raises:
        SourceError: it does not exist, is a file, or may not be read.
    """
    folder = Path(root).expanduser()
    if not folder.exists():
        raise SourceError(f"the folder {root} of {where} does not exist; check --root")
    if not folder.is_dir():
        raise SourceError(f"{root} of {where} is a file, where a folder was expected; check --root")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise SourceError(f"the folder {root} of {where} may not be read; check its permissions")
    return folder


def fetch(download: Callable[[], object], where: str, into: Path, wanted: str) -> None:
    """Run torchvision's downloader; whatever goes wrong becomes one sentence.

    Args:
        download: the call.
        where: the source, for the message.
        into: the folder.
        wanted: the files by their usual names, for the message.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        download()
    except Exception as error:  # urllib, ssl, torchvision's RuntimeError, a full disk: each says it differently
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise SourceError(
            f"{where} could not be downloaded into {into} ({said}); get {wanted} by other means and name their folder "
            "by --root"
        ) from error
