"""What a person knows of the classes, from a file with a line or a row for each."""

from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from counterpoint.errors import RecipeError

__all__ = ["class_rows"]


def class_rows(file: str, classes: int) -> Float64[Tensor, "class dim"]:
    """A vector for each class, read from a file that has one line or row for each, in their order.

    `.txt` holds descriptions, which become tf-idf vectors of their words; `.npy` and `.csv` hold numbers: attributes,
    or vectors made of the classes' names by any text encoder.

    Args:
        file: its path.
        classes: how many there are.

    Raises:
        RecipeError: no such file, another number of classes, or what cannot be read as this.
    """
    import numpy as np

    path = Path(file)
    kind = path.suffix.lower()
    if kind not in (".txt", ".npy", ".csv"):
        raise RecipeError(f"{file}: what is known of classes comes from a .txt, .npy or .csv file, not from {kind!r}")
    try:
        if kind == ".txt":
            return _of_texts([line for line in path.read_text("utf-8").splitlines() if line.strip()], file, classes)
        table = np.load(path, allow_pickle=False) if kind == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
        rows = torch.from_numpy(np.asarray(table, dtype=np.float64))
    except OSError as error:
        raise RecipeError(f"{file} cannot be read ({error.strerror or error}); expected a file of classes") from error
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{file} is no table of numbers ({error}); expected one row for each class") from error
    if rows.ndim != 2 or len(rows) != classes:
        raise RecipeError(f"{file} is {list(rows.shape)}, expected one row for each of the {classes} classes")
    if not bool(rows.isfinite().all()):
        raise RecipeError(f"{file} holds numbers that are not finite; expected one row of plain numbers for each class")
    return rows


def _of_texts(lines: list[str], file: str, classes: int) -> Tensor:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(lines) != classes:
        raise RecipeError(f"{file} has {len(lines)} lines, expected one for each of the {classes} classes")
    return torch.from_numpy(TfidfVectorizer().fit_transform(lines).toarray())
