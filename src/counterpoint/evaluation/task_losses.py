"""Losses of classification tasks on frozen features: of the mean classifier, and of the best linear one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels
from counterpoint.evaluation.class_tuples import Classes, grouped
from counterpoint.evaluation.linear_heads import Converged, LinearHeads, fit_classes
from counterpoint.evaluation.margin_losses import HINGE, MarginLoss
from counterpoint.random import Streams

__all__ = ["TaskLosses", "pairs_of", "task_losses", "tasks_of"]


@dataclass(frozen=True, eq=False)
class TaskLosses:
    """What each task costs, its classes counting alike; the theory's L_sup(T, f) and L_sup^mu(T, f).

    Args:
        mean_classifier: rows of W are the classes' means.
        linear: of a fitted logistic regression or the mean classifier, whichever costs less on the rows that it was
            fitted to: where those are judged, at least the infimum over all W.
        mean_accuracy, accuracy: share of images whose class the mean classifier and that one name rightly.
    """

    mean_classifier: Float64[Tensor, " task"]
    linear: Float64[Tensor, " task"]
    mean_accuracy: Float64[Tensor, " task"]
    accuracy: Float64[Tensor, " task"]


def pairs_of(classes: Classes) -> tuple[Int64[Tensor, "task 2"], Float64[Tensor, " task"]]:
    """Every task of two classes, by label, and its probability in the theory of one negative: ~ rho(c) rho(c')."""
    first, second = torch.triu_indices(len(classes.label), len(classes.label), 1, device=classes.label.device)
    weight = classes.share[first] * classes.share[second]
    return torch.stack((classes.label[first], classes.label[second]), 1), weight / weight.sum()


def tasks_of(classes: Classes, size: int, tasks: int, *, seed: int = 0) -> Int64[Tensor, "task class"]:
    """Tasks of distinct classes, drawn one after another by the classes' law.

    Args:
        classes: with their law.
        size: of a task, in [2, classes].
        tasks: how many.
        seed: of the draws.

    Raises:
        ShapeError: more classes are asked for than there are.
    """
    if not 2 <= size <= len(classes.label):
        raise ShapeError(
            f"tasks of {size} classes were asked for; expected 2 to {len(classes.label)}, as many as occur"
        )
    stream = Streams(seed).at("tasks", size)
    share = classes.share.cpu().expand(tasks, -1)
    return classes.label[torch.multinomial(share, size, generator=stream.generator).to(classes.label.device)]


def task_losses(
    x: Features,
    labels: Labels | None = None,
    *,
    tasks: Int64[Tensor, "task class"] | Sequence[Sequence[int]],
    loss: MarginLoss = HINGE,
    test: Features | None = None,
    test_labels: Labels | None = None,
    c: float = 1.0,
) -> TaskLosses:
    """Each task's losses: l over margins W_y f(x) - W_y' f(x), the image's class y against the others of the task.

    Any classes make a task, also ones that the encoder or the bound has not met: the theory says nothing of those, and
    this measures what became of them.

    Source: Arora et al. 2019, section 2; the fitted classifier has an intercept and a penalty, which theirs has not.

    Args:
        x: features that make the means and that the classifier is fitted to.
        labels: in place of those of Embeddings.
        tasks: distinct class indices of each.
        loss: `Hinge()` or `Logistic()`.
        test: features that are judged; None: `x` itself, which flatters: each row is in the mean that judges it.
        test_labels: in place of those of Embeddings.
        c: inverse strength of the penalty; large to come near the infimum over W on `x` itself.

    Raises:
        ShapeError: a task of one class, or of a class without rows.
    """
    seen = grouped(x, labels)
    held = seen if test is None else grouped(test, test_labels)
    means = seen.means()
    found: list[Tensor] = []
    for task in torch.as_tensor(tasks).to(seen.label.device):
        if len(task) < 2 or len(task.unique()) < len(task):
            raise ShapeError(f"the task {task.tolist()} has to hold two classes or more, each once")
        here, truth, mass = _rows_of(seen, task)
        judged, asked, weight = _rows_of(held, task)
        heads = fit_classes(here, truth, len(task), Converged(c))
        mean = means[torch.searchsorted(seen.label, task)]

        def costs(
            rows: Tensor, truth: Tensor, weight: Tensor, heads: LinearHeads = heads, mean: Tensor = mean
        ) -> Tensor:
            """Cost and share of right answers of the mean classifier, then of the fitted one."""
            answers = (rows @ mean.T, heads.logits(rows))
            cost = [weight @ loss(_margins(each.double(), truth)) for each in answers]
            right = [weight @ (each.argmax(1) == truth).double() for each in answers]
            return torch.stack((*cost, *right)).view(2, 2).T

        better = int(costs(here, truth, mass)[:, 0].argmin())
        told = costs(judged, asked, weight)
        found.append(torch.stack((told[0, 0], told[better, 0], told[0, 1], told[better, 1])))
    return TaskLosses(*torch.stack(found).T)


def _rows_of(classes: Classes, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of a task, the place of each one's class in it, and weights of which every class has as much."""
    here = classes.label[:, None] == task
    missing = task[~here.any(0)]
    if len(missing):
        raise ShapeError(f"a task holds class {int(missing[0])}, which has no rows; leave it out of the tasks")
    kept = here.any(1)[classes.index]
    truth = here.int().argmax(1)[classes.index][kept]
    weight = 1 / (len(task) * torch.bincount(truth, minlength=len(task)).double())
    return classes.rows[kept], truth, weight[truth]


def _margins(level: Float[Tensor, "row class"], truth: Int64[Tensor, " row"]) -> Float[Tensor, "row other"]:
    own = torch.nn.functional.one_hot(truth, level.shape[1]).bool()
    return level[own][:, None] - level[~own].view(len(level), -1)
