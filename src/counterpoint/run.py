"""A run is a folder that explains itself.

recipe.json, log.jsonl, scores.json, embeddings.parquet, encoder.safetensors, checkpoints/, report.html, skipped.json,
and labels.npz where they were made by another run.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from counterpoint.errors import RunError
from counterpoint.files import whole, write_json

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """The files of a run.

    Args:
        folder: that holds them.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Run":
        """A new, empty run folder.

        Raises:
            RunError: the folder holds something already, or cannot be made or written.
        """
        cls.check_free(folder)
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"the run folder {str(folder)!r} cannot be made: {error.strerror}; give another with --out"
            ) from error
        if not os.access(folder, os.W_OK):
            raise RunError(f"the run folder {str(folder)!r} cannot be written; give another with --out")
        return cls(folder)

    @staticmethod
    def check_free(folder: Path) -> None:
        """Nothing is overwritten: an existing file, run or folder with other files is refused."""
        if folder.is_file():
            raise RunError(f"{str(folder)!r} is a file, expected a new folder for the run; give another with --out")
        if (folder / "recipe.json").is_file():
            raise RunError(
                f"{str(folder)!r} already holds a run; go on with it by --resume, or give another folder with --out"
            )
        if folder.is_dir() and any(
            p for p in folder.iterdir() if not p.name.startswith(".") and p.name != "checkpoints"
        ):
            raise RunError(f"{str(folder)!r} is a folder with other files, expected a new one; give another with --out")

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run.

        Raises:
            RunError: there is no run in the folder, or its recipe is damaged.
        """
        path = Path(folder)
        if not (path / "recipe.json").is_file():
            found = "no such folder" if not path.exists() else "it has no recipe.json"
            raise RunError(
                f"{str(folder)!r} is not a run: {found}; expected a folder that `counterpoint train` has written"
            )
        run = cls(path)
        run.recipe()
        return run

    @property
    def checkpoints(self) -> Path:
        """Everything that an exact resume needs."""
        return self.folder / "checkpoints"

    @property
    def encoder(self) -> Path:
        """Encoder and preprocessing."""
        return self.folder / "encoder.safetensors"

    @property
    def labels(self) -> Path:
        """What it learned from, where that was made by another run."""
        return self.folder / "labels.npz"

    @property
    def scores(self) -> Path:
        """What evaluation found."""
        return self.folder / "scores.json"

    @property
    def embeddings(self) -> Path:
        """What the encoder makes of the data."""
        return self.folder / "embeddings.parquet"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    def recipe(self) -> dict[str, Any]:
        """The content of recipe.json."""
        try:
            data = json.loads((self.folder / "recipe.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise RunError(
                f"{str(self.folder / 'recipe.json')!r} cannot be read ({error}); the run must be made again"
            ) from error
        if not isinstance(data, dict) or "parts" not in data or "source" not in data:
            raise RunError(f"{str(self.folder / 'recipe.json')!r} is no recipe of a run: it lacks 'parts' or 'source'")
        return cast(dict[str, Any], data)

    def write_recipe(self, data: dict[str, Any]) -> None:
        """Store the whole composition."""
        write_json(self.folder / "recipe.json", data)

    def log(self, event: str, **fields: Any) -> None:
        """Append one line to log.jsonl."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; a last line cut off by a kill is left out."""
        path = self.folder / "log.jsonl"
        lines: list[dict[str, Any]] = []
        if not path.is_file():
            return lines
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
        return lines

    def rewind(self, step: int) -> None:
        """Drop the lines of steps after `step`, which a resumed run does again."""
        kept = [line for line in self.history() if line.get("step", 0) <= step]
        with whole(self.folder / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
