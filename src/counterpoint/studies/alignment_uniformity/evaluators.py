"""What is asked of every run: its accuracy, its place on the plane, and how it came there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Any, cast

import torch
from torch import Tensor

from counterpoint.embed import embed, encode
from counterpoint.evaluation import (
    asymptote,
    gaps,
    knn_accuracy,
    linear_probe,
    uniform_uniformity,
    usual_neighbours,
)
from counterpoint.evaluation.classification import top_k_accuracy
from counterpoint.evaluation.resampling import Estimate
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.run import Run
from counterpoint.sphere import unit
from counterpoint.studies.held_out import whole_of
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings, Source
from counterpoint.views import default, named

__all__ = ["Gap", "Plane", "Quality"]

MANY = 10  # classes, above which the five best answers say something
NEGATIVES = (16, 64, 256, 1024, 4096)
TEMPERATURE = 0.5  # at which the limit is read of a run that has none


@dataclass(frozen=True)
class Quality:
    """Linear probe and neighbours of h, on the training images that were held out and on the test images.

    The answer has `held out`, by which settings are chosen, and `test`, by which nothing is: each with `probe`, `knn`
    and, of more than ten classes, `top5`. Under `untrained` the same of the encoder as its weights were drawn.

    Args:
        at: the place at which the untrained encoder is read too, in pairs of axis and value; none: nowhere.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    at: tuple[tuple[str, str], ...] = ()
    c: float | None = None

    name = "quality"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The run's data has the images that were held out in the test images' place."""
        seed, whole = trained.cell.seed, whole_of(trained.cell.source)
        dataset: Dataset = trained.dataset
        test = embed(trained.model, whole.test, whole)
        found = self._read(trained.train, trained.test, test, seed)
        place = trained.cell.place
        if self.at and all(place.get(axis) == value for axis, value in self.at):
            parts = (dataset.train, dataset.test, whole.test)
            before = [embed(trained.untrained, part, dataset, encoder="untrained") for part in parts]
            found["untrained"] = self._read(before[0], before[1], before[2], seed)
        return found

    def _read(self, train: Embeddings, held: Embeddings, test: Embeddings, seed: int) -> dict[str, Any]:
        """One probe, fitted once, judges both."""
        train, held, test = (part.labelled() for part in (train, held, test))
        assert held.labels is not None
        assert test.labels is not None
        rows, labels = torch.cat((held.h, test.h)), torch.cat((held.labels, test.labels))
        probe = linear_probe(train, rows, test_labels=labels, c=self.c, seed=seed)
        k, found = usual_neighbours(len(train)), dict[str, Any]()
        for name, part, logits in (
            ("held out", held, probe.logits[: len(held)]),
            ("test", test, probe.logits[len(held) :]),
        ):
            assert part.labels is not None
            found[name] = {
                "probe": float((logits.argmax(1) == part.labels).double().mean()),
                "knn": knn_accuracy(train, part, k=k),
                **({"top5": top_k_accuracy(logits, part.labels, 5)} if len(part.classes) > MANY else {}),
                "images": len(part),
            }
        return found


@dataclass(frozen=True)
class Plane:
    """Alignment and uniformity of two views of test images, how far both are from their minima, and the limit.

    Views are drawn by the policy that suits the source, the same for all runs. Of `z` and `h` on the unit sphere:
    `alignment` (mean squared distance), `uniformity` (t = 2), `gap` to that of a uniform spread, their `sum`. Under
    `limit`, of z: attraction, spread, their sum, and by number of negatives what the contrastive loss less the
    logarithm of this number is above the sum, and how fast that falls; at the run's own temperature, or at .5.

    Args:
        images: of the test, at most.
    """

    images: int = 2048

    name = "plane"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Draws are the seed's."""
        seed = trained.cell.seed
        model: Model = trained.model
        views = _views(trained.cell.source, self.images, seed)
        pairs = [encode(model, view) for view in views]
        found: dict[str, Any] = {}
        layers: tuple[tuple[str, Tensor | None, Tensor | None], ...] = (
            ("z", pairs[0][1], pairs[1][1]),
            ("h", pairs[0][0], pairs[1][0]),
        )
        for name, x, y in layers:
            if x is None or y is None:
                continue
            x, y = unit(x), unit(y)
            near = gaps(x, y, seed=seed)
            found[name] = {
                "alignment": near.alignment.value,
                "uniformity": near.uniformity.value,
                "gap": near.gap.value,
                "uniform": near.uniform,
                "sum": near.alignment.value + near.uniformity.value,
            }
            if name == "z":
                found["limit"] = _limit(x, y, _temperature(trained.cell), seed)
        return found


def _limit(x: Tensor, y: Tensor, temperature: float, seed: int) -> dict[str, Any]:
    told = asymptote(x, y, temperature=temperature, negatives=NEGATIVES, rows=len(x), seed=seed)
    remainder = {str(count): each.value for count, each in told.remainder.items()}
    return {
        "temperature": temperature,
        "attraction": told.attraction.value,
        "spread": told.spread.value,
        "sum": told.limit.value,
        "uniform": told.uniform,
        "remainder": remainder,
        "slope": _slope(told.remainder),
        "left": abs(remainder[str(NEGATIVES[-1])]),
    }


def _slope(remainder: Mapping[int, Estimate]) -> float | None:
    """Of the logarithm of what is left by that of the number of negatives, by least squares.

    Only over numbers at which the draws of negatives leave no doubt that something is left; None where these are fewer
    than three, or where what is left changes its sign: the positive in the denominator adds, few negatives take away.
    """
    sure = {count: one.value for count, one in remainder.items() if one.low > 0 or one.high < 0}
    if len(sure) < 3 or min(sure.values()) < 0 < max(sure.values()):
        return None
    points = [(log(count), log(abs(value))) for count, value in sure.items()]
    x, y = (torch.tensor(values, dtype=torch.float64) for values in zip(*points, strict=True))
    x = x - x.mean()
    return float((x @ y) / (x @ x))


def _temperature(cell: Cell) -> float:
    return float(cell.dials.get("temperature", TEMPERATURE))


@lru_cache(maxsize=2)
def _views(source: Source, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two views of the first test images, the same for all runs of a seed."""
    whole = whole_of(source)
    _, channels, size, _ = whole.test.images.shape
    policy = default(whole.kind, size=size, channels=channels)
    some = whole.test.images[: min(most, len(whole.test))]
    first, second = named(policy, size=size, channels=channels)(some, Streams(seed).at("evaluation"))[:2]
    return first, second


@dataclass(frozen=True)
class Gap:
    """Alignment and uniformity of z over training, as they were read at logged steps, beside their minima.

    They are of a batch in training: of at most 256 images, of the views that are trained on, and BatchNorm takes the
    statistics of the batch. `steps`, `alignment` and `uniformity` are lists; `uniform` is the minimum of the latter,
    and `first` and `last` are both gaps at the first reading and at the last one, of two or more.
    """

    name = "gap"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """From the run's log."""
        width = cast(Model, trained.model).facts.projection
        uniform = uniform_uniformity(width)
        read = [
            (int(line["step"]), float(line["health"]["alignment"]), float(line["health"]["uniformity"]))
            for line in Run(trained.folder).history()
            if line.get("event") == "step" and {"alignment", "uniformity"} <= set(line.get("health") or ())
        ]
        ends = {
            name: {"alignment": read[at][1], "uniformity": read[at][2] - uniform}
            for name, at in (("first", 0), ("last", -1))
            if len(read) > 1
        }
        steps, alignment, uniformity = map(list, zip(*read, strict=True)) if read else ([], [], [])
        return {"steps": steps, "alignment": alignment, "uniformity": uniformity, "uniform": uniform, **ends}
