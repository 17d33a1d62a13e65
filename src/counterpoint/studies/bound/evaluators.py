"""What is asked of every run: both sides of both theorems, on training and on test images, and tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.embed import embed
from counterpoint.errors import SourceError
from counterpoint.evaluation import Bound, Hinge, Logistic, bound, task_losses
from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.class_bound import FEWEST, Inequality
from counterpoint.evaluation.class_tuples import Classes, grouped
from counterpoint.evaluation.margin_losses import MarginLoss
from counterpoint.evaluation.resampling import Estimate
from counterpoint.evaluation.task_losses import pairs_of, tasks_of
from counterpoint.random import Streams
from counterpoint.sphere import unit
from counterpoint.studies.bound.grid import BLOCKS, NEGATIVES, TEMPERATURE
from counterpoint.studies.restricted import first_of_each
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Embeddings

__all__ = [
    "BY_NAME",
    "SIZES",
    "TASKS",
    "TASK_ROWS",
    "Promise",
    "Tasks",
    "beyond",
    "compared",
    "law_of",
    "rows_of",
    "told",
]

SIZES = (2, 5, 10)  # classes of a task
TASKS = 45  # of a size, every pair of ten classes
TASK_ROWS = 200  # training images of each class that a classifier is made of
BY_NAME: Mapping[str, MarginLoss] = {"hinge": Hinge(), "logistic": Logistic()}


# ---------------------------------------------------------------- what is compared


def compared(z: Float[Tensor, "row dim"], cell: Cell) -> Float[Tensor, "row dim"]:
    """f: the projection as the run's inner products had it; of SimCLR unit rows over the root of the temperature."""
    return unit(z) / sqrt(TEMPERATURE) if cell.place.get("pairs") == "augmentations" else z


def rows_of(value: Embeddings, cell: Cell) -> tuple[Tensor, Tensor]:
    """The labelled rows as they are compared, and their classes."""
    if value.labels is None or value.z is None or not len(value):
        raise SourceError("the bound is of classes, so that training and test images need labels")
    known = value.labelled()
    assert known.z is not None
    assert known.labels is not None
    return compared(known.z, cell), known.labels


def law_of(train: Int64[Tensor, " row"], test: Int64[Tensor, " other"]) -> Float[Tensor, " class"]:
    """How often training has each class that has images enough on both sides."""
    classes = int(max(train.max(), test.max())) + 1
    counts = [labels.bincount(minlength=classes) for labels in (train, test)]
    there = (counts[0] >= FEWEST) & (counts[1] >= FEWEST)
    if int(there.sum()) < 2:
        raise SourceError(f"the bound needs two classes of {FEWEST} training and {FEWEST} test images")
    return torch.where(there, counts[0], 0).float()


def told(one: Estimate | None) -> dict[str, float] | None:
    """As an answer has it."""
    return None if one is None else {"value": one.value, "low": one.low, "high": one.high}


def beyond(limit: Estimate, cost: Estimate) -> dict[str, float]:
    """The limit of one split less the cost on another: their images are different, so that variances add."""
    reach = sqrt((limit.high - limit.value) ** 2 + (cost.high - cost.value) ** 2)
    value = limit.value - cost.value
    return {"value": value, "low": value - reach, "high": value + reach}


def _sides(found: Bound) -> dict[str, Any]:
    def both(one: Inequality | None) -> dict[str, Any] | None:
        return None if one is None else {"limit": told(one.limit), "slack": told(one.slack)}

    return {
        "collision": found.collision,
        "at zero": found.at_zero,
        "guess": found.guess,
        "radius": found.radius,
        "unsupervised": told(found.unsupervised),
        "unequal": told(found.unequal),
        "equal": told(found.equal),
        "mean classifier": told(found.mean_classifier),
        "spread": told(found.spread),
        "beta": found.beta,
        "first": both(found.first),
        "second": both(found.second),
        "blocks": {
            str(b): {"loss": told(found.blocks[b]), "slack": told(found.by_block[b].slack)} for b in found.blocks
        },
    }


# ---------------------------------------------------------------- both theorems


@dataclass(frozen=True)
class Promise:
    """Both theorems, of both losses and several numbers of negatives, whatever the run was trained with.

    Under `train` and `test` the parts by loss and number: on one split, where the first theorem's inequality of one
    negative cannot fail, so that its slack says how loose it is. Under `across` the limit of the training images less
    the mean classifier's loss on test images, which includes what generalisation costs and can fail: `first`, and of
    one negative `second`. Expectations are over the classes as often as training has them.

    Args:
        draws: tuples with a collision, and without.
        negatives: k.
        sizes: of blocks, for one negative.
    """

    draws: int = 20_000
    negatives: tuple[int, ...] = NEGATIVES
    sizes: tuple[int, ...] = BLOCKS

    name = "promise"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no classes to compare."""
        splits = {name: rows_of(getattr(trained, name), trained.cell) for name in ("train", "test")}
        law = law_of(splits["train"][1], splits["test"][1])
        smallest = min(int(labels.bincount(minlength=len(law))[law > 0].min()) for _, labels in splits.values())
        sizes = tuple(b for b in self.sizes if b == 1 or 2 * b < smallest)
        answer: dict[str, Any] = {"classes": int((law > 0).sum())}
        for name, loss in BY_NAME.items():
            for k in self.negatives:
                found = {
                    split: bound(
                        rows, labels, loss=loss, negatives=k, law=law, sizes=sizes if k == 1 else (1,),
                        draws=self.draws, seed=trained.cell.seed,
                    )
                    for split, (rows, labels) in splits.items()
                }  # fmt: skip
                for split, each in found.items():
                    answer.setdefault(split, {}).setdefault(name, {})[str(k)] = _sides(each)
                train, test = found["train"], found["test"]
                across = {"first": beyond(train.first.limit, test.mean_classifier)}
                if train.second is not None:
                    across["second"] = beyond(train.second.limit, test.mean_classifier)
                answer.setdefault("across", {}).setdefault(name, {})[str(k)] = across
        return answer


@dataclass(frozen=True)
class Tasks:
    """Tasks of 2, 5 and 10 classes, learned from training images and judged on test images; by size, means over tasks.

    Loss and share of right answers of the mean classifier and of a logistic regression; the logistic loss. At one place
    under `untrained` the same of the encoder as its weights were drawn.

    Args:
        at: that place, in pairs of axis and value.
        tasks: of a size, at most.
        rows: training images of each class that a classifier is made of.
    """

    at: tuple[tuple[str, str], ...] = ()
    tasks: int = TASKS
    rows: int = TASK_ROWS

    name = "tasks"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no classes."""
        cell, dataset = trained.cell, trained.dataset
        found = self._read(trained.train, trained.test, cell)
        if self.at and all(cell.place.get(axis) == value for axis, value in self.at):
            bare = [
                embed(trained.untrained, part, dataset, encoder="untrained") for part in (dataset.train, dataset.test)
            ]
            found["untrained"] = self._read(bare[0], bare[1], cell)
        return found

    def _read(self, train: Embeddings, test: Embeddings, cell: Cell) -> dict[str, Any]:
        x, labels = rows_of(train, cell)
        rows, truth = rows_of(test, cell)
        law = law_of(labels, truth)
        some = first_of_each(labels, self.rows * len(labels.unique()))
        classes = grouped(rows, truth, law)
        answer: dict[str, Any] = {}
        for size in SIZES:
            if size > len(classes.label):
                continue
            tasks = _of_size(classes, size, self.tasks, cell.seed)
            losses = task_losses(x[some], labels[some], tasks=tasks, loss=Logistic(), test=rows, test_labels=truth)
            answer[str(size)] = {name: float(values.mean()) for name, values in vars(losses).items()} | {
                "tasks": len(tasks)
            }
        return answer


def _of_size(classes: Classes, size: int, most: int, seed: int) -> Int64[Tensor, "task class"]:
    if size == len(classes.label):
        return classes.label[None]
    if size == 2:
        every, _ = pairs_of(classes)
        return every[sampled(len(every), most, Streams(seed).at("tasks"))]
    return tasks_of(classes, size, max(2, most // size), seed=seed)
