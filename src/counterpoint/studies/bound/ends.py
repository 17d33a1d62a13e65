"""Where the theorem ends: another law of the classes, the hardest task, and classes that training never saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.embed import encode
from counterpoint.evaluation import Bound, bound, task_losses
from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.class_tuples import grouped
from counterpoint.evaluation.margin_losses import MarginLoss
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.studies.bound.evaluators import (
    BY_NAME,
    TASK_ROWS,
    TASKS,
    beyond,
    compared,
    law_of,
    rows_of,
    told,
)
from counterpoint.studies.held_out import whole_of
from counterpoint.studies.restricted import first_of_each
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset

__all__ = ["RATIOS", "Shift", "Unseen", "class_losses", "shifted"]

RATIOS = (0.01, 0.1, 1.0, 10.0, 100.0)  # how often the hardest class comes for one of the easiest


def class_losses(
    x: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], loss: MarginLoss
) -> Float64[Tensor, "class class"]:
    """What the mean classifier costs on images of one class against another, nan on the diagonal.

    As in `bound` it is of the same images, each left out of the mean that judges it. Half the sum of an entry and its
    mirror is the loss of the task of both.

    Args:
        x: is judged, and makes the means.
        labels: of these, all of 0 to the number of classes less 1, each two times or more.
        loss: of one margin.
    """
    means = grouped(x, labels).means()
    level = (x @ means.T).double()
    count = labels.bincount(minlength=len(means)).double()
    size = count[labels]
    own = (level.gather(1, labels[:, None])[:, 0] * size - x.double().square().sum(1)) / (size - 1)
    cost = loss((own[:, None] - level)[:, :, None])
    total = cost.new_zeros(len(means), len(means)).index_add_(0, labels, cost) / count[:, None]
    return total.fill_diagonal_(torch.nan)


def shifted(law: Float[Tensor, " class"], hardness: Float[Tensor, " class"], ratio: float) -> Float[Tensor, " class"]:
    """The law with the hardest class so many times as often beside the easiest as before, geometric in between.

    Args:
        law: weights.
        hardness: of each class; its order counts.
        ratio: > 0.

    Example:
        >>> shifted(torch.ones(3), torch.tensor([0.5, 0.1, 0.3]), 100.0).tolist()
        [100.0, 1.0, 10.0]
    """
    rank = hardness.argsort(stable=True).argsort(stable=True).to(law)
    return law * ratio ** (rank / max(1, len(law) - 1))


@dataclass(frozen=True)
class Shift:
    """The bound of training's law beside the mean classifier's loss under other laws of the classes; one negative.

    The run's own loss. How hard a class is, and which task is the hardest, is read off training images; all costs are
    of test images, by means of test images from which the judged one is left out. `limit` is that of training images
    under their own law. By ratio: `mean classifier`, its loss under the shifted law; `left`, the limit less it;
    `limit`, that of training images under the shifted law. `worst` is the hardest task: its loss, and what it has
    `above` the limit.

    Args:
        draws: as of `Promise`.
    """

    draws: int = 20_000

    name = "shift"

    def wanted(self, cell: Cell) -> bool:
        """Pairs of classes and one negative, without blocks, over all classes."""
        place = cell.place
        return (place["pairs"], place["negatives"], place["block"], place["classes"]) == ("classes", "1", "1", "all")

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no classes to compare."""
        cell, loss = trained.cell, BY_NAME[trained.cell.place["loss"]]
        (x, labels), (rows, truth) = (rows_of(value, cell) for value in (trained.train, trained.test))
        law = law_of(labels, truth)
        kept = torch.nonzero(law > 0)[:, 0]
        place = torch.full((len(law),), -1).index_copy(0, kept, torch.arange(len(kept)))
        (x, labels), (rows, truth) = (
            (r[place[y] >= 0], place[y][place[y] >= 0]) for r, y in ((x, labels), (rows, truth))
        )
        law = law[kept]
        seen, judged = (class_losses(*side, loss) for side in ((x, labels), (rows, truth)))
        hardness = seen.nanmean(1)
        pairs = [(each + each.T).div(2).nan_to_num(-torch.inf) for each in (seen, judged)]
        worst = int(pairs[0].flatten().argmax())

        def measured(which: tuple[Tensor, Tensor], weights: Tensor) -> Bound:
            return bound(*which, loss=loss, law=weights, sizes=(1,), draws=self.draws, seed=cell.seed)

        limit = measured((x, labels), law).first.limit
        answer: dict[str, Any] = {"limit": told(limit), "laws": {}}
        for ratio in RATIOS:
            other = shifted(law, hardness.float(), ratio)
            cost, again = measured((rows, truth), other).mean_classifier, measured((x, labels), other).first.limit
            answer["laws"][f"{ratio:g}"] = {
                "mean classifier": told(cost),
                "left": beyond(limit, cost),
                "limit": told(again),
            }
        cost = float(pairs[1].flatten()[worst])
        names = [trained.dataset.classes[int(kept[i])] for i in divmod(worst, len(law))]
        answer["worst"] = {"classes": names, "loss": cost, "above": cost - limit.value}
        return answer


@dataclass(frozen=True)
class Unseen:
    """Tasks of two classes among those that some runs have not seen, and among those that all have.

    `seen` and `unseen`: loss (of the run's own kind) and share of right answers of the mean classifier, made of
    training images, judged on test images; `untrained` the same of the encoder as its weights were drawn. Under `bound`
    the limit on the classes that all have seen, and under `left` this less the loss on the unseen ones, of which the
    theory says nothing.

    Args:
        classes: the first ones, that all runs have seen.
        draws: as of `Promise`.
        tasks, rows: as of `Tasks`.
    """

    classes: int
    draws: int = 20_000
    tasks: int = TASKS
    rows: int = TASK_ROWS

    name = "unseen"

    def wanted(self, cell: Cell) -> bool:
        """Runs with half of the classes, and those with all that are else the same."""
        place = cell.place
        return (place["pairs"], place["negatives"], place["block"]) == ("classes", "1", "1")

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of the data from which classes were left out, a part of its training images."""
        whole: Dataset = whole_of(trained.cell.source)
        assert whole.train.labels is not None
        assert whole.test.labels is not None
        some = first_of_each(whole.train.labels, self.rows * len(whole.classes))
        parts = whole.train.rows(some), whole.test
        loss = BY_NAME[trained.cell.place["loss"]]
        answer = self._read(trained.model, parts, trained.cell, loss)
        answer["untrained"] = self._read(trained.untrained, parts, trained.cell, loss)
        sides = [rows_of(value, trained.cell) for value in (trained.train, trained.test)]
        (rows, labels), (_, truth) = ((r[y < self.classes], y[y < self.classes]) for r, y in sides)
        limit = bound(
            rows, labels, loss=loss, law=law_of(labels, truth), sizes=(1,), draws=self.draws, seed=trained.cell.seed
        ).first.limit
        answer["bound"] = limit.value
        answer["left"] = limit.value - answer["unseen"]["loss"]
        return answer

    def _read(self, model: Model, parts: Sequence[Any], cell: Cell, loss: MarginLoss) -> dict[str, Any]:
        sides: list[tuple[Tensor, Tensor]] = []
        for part in parts:
            _, z = encode(model, part.images)
            assert z is not None
            sides.append((compared(z, cell), part.labels))
        known = sides[0][1].unique()
        known = known[(known >= 0) & torch.isin(known, sides[1][1])]
        answer: dict[str, Any] = {}
        for name, which in (("seen", known[known < self.classes]), ("unseen", known[known >= self.classes])):
            (x, labels), (rows, truth) = (
                (r[torch.isin(y, which)], torch.searchsorted(which, y[torch.isin(y, which)])) for r, y in sides
            )
            tasks = torch.combinations(torch.arange(len(which)), 2)
            tasks = tasks[sampled(len(tasks), self.tasks, Streams(cell.seed).at("unseen tasks"))]
            found = task_losses(x, labels, tasks=tasks, loss=loss, test=rows, test_labels=truth)
            answer[name] = {
                "loss": float(found.mean_classifier.mean()),
                "accuracy": float(found.mean_accuracy.mean()),
                "linear": float(found.accuracy.mean()),
                "tasks": len(tasks),
            }
        return answer
