"""What the encoders of these studies are judged by: data sets that they never saw, and their own test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.embed import embed, pixels
from counterpoint.errors import SourceError
from counterpoint.evaluation import knn_accuracy, linear_probe
from counterpoint.sources import Digits
from counterpoint.studies.study import Cell, Scale, Trained
from counterpoint.studies.transfer import NEIGHBOURS, Target, targets_of
from counterpoint.types import Dataset, Embeddings

__all__ = ["KNN", "PROBE", "OnSource", "judged_on"]

KNN = ("transfer", "learned", "mean", "knn")  # of an answer of `Transfer`
PROBE = ("transfer", "learned", "mean", "probe")


def judged_on(study: str, given: str | Sequence[str | Target], scale: Scale) -> tuple[Target, ...]:
    """The data sets that are transferred to; at smoke scale larger digits where none is given.

    Args:
        study: its name, for the person.
        given: as `targets_of` takes them.
        scale: of the study.

    Raises:
        CounterpointError: none is given, or one of them is none.
    """
    found = targets_of(given)
    if not found and scale == "smoke":
        return (Target("digits, 10 px", Digits(10), most=400),)
    if not found:
        raise SourceError(
            f"{study} judges encoders on data that they were not trained on; give --option "
            "targets=cifar10=FOLDER,emnist:letters=FOLDER"
        )
    return found


@dataclass(frozen=True)
class OnSource:
    """Linear probe and k nearest neighbours of h on the test images of the data that was trained on, as in `Transfer`.

    Args:
        at: the place at which raw pixels and the untrained encoder are judged too, in pairs of axis and value; none:
            nowhere.
        k: neighbours.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    at: tuple[tuple[str, str], ...] = ()
    k: int = NEIGHBOURS
    c: float | None = None

    name = "source"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`probe` and `knn` of each encoder."""
        dataset: Dataset = trained.dataset
        parts = (dataset.train, dataset.test)
        found = {"learned": self._read(trained.train, trained.test, trained.cell.seed)}
        if self.at and all(trained.cell.place.get(axis) == value for axis, value in self.at):
            first, second = (embed(trained.untrained, part, dataset, encoder="untrained") for part in parts)
            found["untrained"] = self._read(first, second, trained.cell.seed)
            first, second = (pixels(part, dataset) for part in parts)
            found["pixels"] = self._read(first, second, trained.cell.seed)
        return found

    def _read(self, train: Embeddings, test: Embeddings, seed: int) -> dict[str, float]:
        knn = knn_accuracy(train.labelled(), test, k=self.k)
        return {"probe": linear_probe(train, test, c=self.c, seed=seed).accuracy, "knn": knn}
