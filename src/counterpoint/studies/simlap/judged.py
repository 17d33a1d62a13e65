"""What the encoders of these studies are judged by: data sets that they never saw, and their own test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterpoint.embed import embed, pixels
from counterpoint.errors import SourceError
from counterpoint.evaluation import knn_accuracy, linear_probe
from counterpoint.sources import Digits
from counterpoint.studies.study import Cell, Evaluator, Only, Scale, Trained
from counterpoint.studies.transfer import NEIGHBOURS, Judged, Target, targets_of
from counterpoint.types import Dataset

__all__ = ["FLOOR", "KNN", "PROBE", "SOURCE_FLOOR", "OnSource", "floors_of", "judged_on"]

KNN = ("transfer", "learned", "mean", "knn")  # of an answer of `Transfer`
PROBE = ("transfer", "learned", "mean", "probe")
FLOOR = {"untrained": ("floor", "untrained"), "pixels": ("pixels", "pixels")}  # where their answers are
SOURCE_FLOOR = {"untrained": ("source-floor", "untrained"), "pixels": ("source-pixels", "pixels")}


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
        of: what is judged: the encoder, the same with the weights that it began with, or raw pixels.
        k: neighbours.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    of: Judged = "learned"
    k: int = NEIGHBOURS
    c: float | None = None

    @property
    def name(self) -> str:
        """`source`, `source-floor` or `source-pixels`."""
        return {"learned": "source", "untrained": "source-floor", "pixels": "source-pixels"}[self.of]

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`probe` and `knn`."""
        dataset: Dataset = trained.dataset
        parts = (dataset.train, dataset.test)
        if self.of == "learned":
            train, test = trained.train, trained.test
        elif self.of == "untrained":
            train, test = (embed(trained.untrained, part, dataset, encoder=self.of) for part in parts)
        else:
            train, test = (pixels(part, dataset) for part in parts)
        seed = 0 if self.of == "pixels" else trained.cell.seed
        knn = knn_accuracy(train.labelled(), test, k=self.k)
        return {self.of: {"probe": linear_probe(train, test, c=self.c, seed=seed).accuracy, "knn": knn}}


def floors_of(
    judge: Callable[[Judged], Evaluator], at: Mapping[str, str], seeds: Sequence[int]
) -> tuple[Evaluator, Evaluator]:
    """What needs no training, to be judged in the same way: the untrained encoder of each seed, and raw pixels once.

    Args:
        judge: makes the evaluator of it.
        at: the place whose cells are asked; where it is that of SimLAP's usual runs, studies share the answers.
        seeds: of the study.
    """
    place = tuple(at.items())
    return Only(judge("untrained"), place), Only(judge("pixels"), place, seeds[0])
