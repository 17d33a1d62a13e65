"""Images attract each other by how alike their classes are."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.class_rows import class_rows
from counterpoint.errors import RecipeError
from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Graph
from counterpoint.types import Rows

__all__ = ["SimilarClass", "similarities"]


def similarities(file: str, classes: int) -> Float[Tensor, "class other"]:
    """How alike classes are, read from a file that has one line or row for each, in their order.

    `.txt` holds descriptions, which are as alike as the words that they share: the cosine of their tf-idf vectors.
    `.npy` and `.csv` hold numbers: vectors, made of the classes' names by any text encoder, which are compared by their
    cosine; or the similarities themselves, where the table is square, symmetric and 1 on its diagonal.

    Args:
        file: its path.
        classes: how many there are.

    Raises:
        RecipeError: no such file, another number of classes, or what cannot be read as this.
    """
    rows = class_rows(file, classes)
    if (
        len(rows) == rows.shape[1]
        and torch.allclose(rows, rows.mT)
        and torch.allclose(rows.diagonal(), rows.new_ones(()))
    ):
        return rows.float()
    return _cosines(rows)


def _cosines(rows: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(rows, dim=1)
    return (unit @ unit.mT).fill_diagonal_(1.0).float()


@lru_cache(maxsize=8)
def _edges(file: str | None, written: int, classes: int, temperature: float, device: torch.device) -> Tensor:
    """exp(G / temperature), but for a factor, which cancels; `written`: when, so that a file that changed is read."""
    alike = torch.eye(classes) if file is None else similarities(file, classes)
    return ((alike - alike.max()) / temperature).exp().to(device)


@dataclass(frozen=True)
class SimilarClass:
    """Every image attracts every other by w = exp(G / temperature), G in [-1, 1] being how alike their classes are.

    Within a class G is 1: between its images, and between the views of one. A row of unknown label attracts nobody.

    Source: Sobal et al. 2024 (X-CLR), arXiv:2407.18134: the target is the softmax of G / temperature over all others.

    Args:
        classes: how many.
        similarity: a file that `similarities` reads; None: a class is like itself alone.
        temperature: > 0, tau_s: towards 0 only images of one class attract (SupCon), towards infinity all do alike.
        only_other_view: candidates of the anchor's own view take no part; else only the row itself.
    """

    classes: int
    similarity: str | None = None
    temperature: float = 0.1
    only_other_view: bool = False
    needs_labels = True

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise RecipeError(
                f"SimilarClass(temperature={self.temperature}): give a number above 0; 0.1 is the paper's"
            )

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Nothing is drawn."""
        return rows

    def relation(self, anchors: Rows, candidates: Rows) -> Graph:
        """The edges of the graph of classes."""
        file = self.similarity
        written = Path(file).stat().st_mtime_ns if file and Path(file).is_file() else 0
        edges = _edges(file, written, self.classes, self.temperature, anchors.label.device)
        own = marks(anchors, self.only_other_view), marks(candidates, self.only_other_view)
        return Graph(edges, anchors.label, candidates.label, *own)
