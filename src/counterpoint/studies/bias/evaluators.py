"""What is asked of the runs: what they keep of a cue, whom it misleads, and what becomes of rare classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.embed import encode
from counterpoint.evaluation import linear_probe
from counterpoint.random import Streams
from counterpoint.studies.bias.grid import CUE, UNEVEN
from counterpoint.studies.planted import Planted
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Source, Split

__all__ = ["Kept", "Rare", "sides"]

MOST = 10_000  # training images that a probe is fitted on


def sides(
    prediction: Int64[Tensor, " image"], label: Int64[Tensor, " image"], cue: Int64[Tensor, " image"]
) -> dict[str, float | None]:
    """Accuracy on all images, on those whose cue agrees with their class, and on those in which both conflict.

    `cued` is the share of the conflicting images that are named after their cue. None: there are no such images.

    Args:
        prediction: class of each image, as it was named.
        label: as it is.
        cue: class that its cue says.

    Example:
        >>> one = torch.tensor
        >>> sides(one([0, 1, 1, 0]), one([0, 1, 0, 1]), one([0, 1, 1, 1]))
        {'all': 0.5, 'agree': 0.6666666865348816, 'conflict': 0.0, 'cued': 1.0}
    """
    right, agree = (prediction == label).float(), cue == label

    def mean(values: Tensor) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "all": mean(right),
        "agree": mean(right[agree]),
        "conflict": mean(right[~agree]),
        "cued": mean((prediction == cue).float()[~agree]),
    }


@dataclass(frozen=True)
class Kept:
    """What h keeps of a planted cue, on test images that carry it whatever their class.

        tied      `sides` of a probe for the class, fitted on training images as they are
        fair      the same, fitted on these images with the cue drawn anew, tied to nothing
        cue       accuracy of a probe for the cue, fitted on the latter

    At one method all of it also of the untrained encoder, under `untrained`.

    Args:
        at: that method.
        c: inverse penalty of the probes; None: chosen on a part of the training images, as the protocol does.
    """

    at: str
    c: float | None = None

    name = "kept"

    def wanted(self, cell: Cell) -> bool:
        """Cells with a cue."""
        return cell.place.get("part") == CUE

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Probes are fitted on at most 10,000 images."""
        found = self._read(trained, trained.model)
        if trained.cell.place.get("method") == self.at:
            found["untrained"] = self._read(trained, trained.untrained)
        return found

    def _read(self, trained: Trained, model: Any) -> dict[str, Any]:
        source = trained.cell.source
        assert isinstance(source, Planted)
        dataset, untied, seed = trained.dataset, replace(source, agreement=None), trained.cell.seed
        free: Dataset = _loaded(untied)
        values = source.values or len(dataset.classes)
        some = Streams(seed).at("probed").permutation(len(dataset.train))[:MOST]
        tied, fair = dataset.train.rows(some), free.train.rows(some)
        cue = untied.of(free.train, values, "train")[some]
        asked = untied.of(dataset.test, values, "test")
        test = encode(model, dataset.test.images)[0]
        first, second = (encode(model, part.images)[0] for part in (tied, fair))
        return {
            "tied": self._sides(first, tied, test, dataset.test, asked, seed),
            "fair": self._sides(second, fair, test, dataset.test, asked, seed),
            "cue": linear_probe(second, test, cue, asked, c=self.c, seed=seed).accuracy,
            "chance": 1 / values,
        }

    def _sides(
        self,
        h: Float[Tensor, "image dim"],
        train: Split,
        other: Float[Tensor, "asked dim"],
        test: Split,
        cue: Int64[Tensor, " asked"],
        seed: int,
    ) -> dict[str, float | None]:
        assert train.labels is not None
        assert test.labels is not None
        known = test.labels >= 0
        probe = linear_probe(h, other[known], train.labels, test.labels[known], c=self.c, seed=seed)
        return sides(probe.prediction, test.labels[known], cue[known])


@dataclass(frozen=True)
class Rare:
    """Accuracy on all classes of an encoder that has seen few images of some, or none, by a probe that has seen all.

    `each` is by class, in the order of the classes; `all` is their mean, `first` and `last` are the means of the first
    and of the second half of the classes, of which the second is the rare or the missing one. The probe is fitted on at
    most 10,000 images of the whole training set.

    Args:
        whole: the source that the images are a part of.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    whole: Source
    c: float | None = None

    name = "rare"

    def wanted(self, cell: Cell) -> bool:
        """Cells on a part of the images."""
        return cell.place.get("part") == UNEVEN

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Classes without test images are left out of the means."""
        dataset, seed = _loaded(self.whole), trained.cell.seed
        some = Streams(seed).at("probed").permutation(len(dataset.train))[:MOST]
        train, test = dataset.train.rows(some), dataset.test
        first, second = (encode(trained.model, split.images)[0] for split in (train, test))
        assert train.labels is not None
        assert test.labels is not None
        known = test.labels >= 0
        probe = linear_probe(first, second[known], train.labels, test.labels[known], c=self.c, seed=seed)
        right, label = probe.prediction == test.labels[known], test.labels[known]
        count = len(dataset.classes)
        each = [float(right[label == i].float().mean()) if bool((label == i).any()) else None for i in range(count)]
        half = count // 2
        return {"each": each, "all": _mean(each), "first": _mean(each[:half]), "last": _mean(each[half:])}


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


@lru_cache(maxsize=2)
def _loaded(source: Source) -> Dataset:
    return source.load()
