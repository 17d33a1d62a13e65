"""Both protocols of classification: as the practicum scored, and as one scores today."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.embed import embed
from counterpoint.evaluation import confusion_matrix, linear_probe, top_k_accuracy
from counterpoint.evaluation.arrays import blocks
from counterpoint.random import Streams
from counterpoint.studies.study import Cell, Trained
from counterpoint.studies.twelve_scenarios.features import Statistics, features, labels_of
from counterpoint.types import Dataset

__all__ = ["Faithful", "Sound"]


def _recalls(confusion: Tensor) -> list[float | None]:
    """Per-class accuracy; None for a class without rows."""
    rows = confusion.sum(1)
    return [float(hit) / int(n) if n else None for hit, n in zip(confusion.diagonal(), rows, strict=True)]


def _neighbours(
    train: Tensor, labels: Tensor, test: Tensor, truth: Tensor, counts: tuple[int, ...]
) -> dict[str, float]:
    """Accuracy of a majority vote of the Euclidean nearest, for several numbers of them; ties to the lower class."""
    most = min(max(counts), len(train))
    near = torch.cat(
        [torch.cdist(test[part], train).topk(most, largest=False).indices for part in blocks(len(test), len(train))]
    )
    votes = torch.nn.functional.one_hot(labels[near], int(max(labels.max(), truth.max())) + 1).cumsum(1)
    return {str(k): float((votes[:, min(k, most) - 1].argmax(1) == truth).double().mean()) for k in counts}


@dataclass(frozen=True)
class Faithful:
    """The practicum's own evaluation: the classifier is fitted on most of the test images and scored on the rest.

    Features of the test images, in their order and in batches, BatchNorm in training mode; a random split that no class
    balances; multinomial logistic regression on features as they are, L2 with C = 1, at most 1,000 iterations. Top-3
    has a fit and a split of its own. Neighbours vote on the first split. A few more splits say how far the accuracy
    moves by the split alone.

    Source: the practicum's code.

    Args:
        statistics: of BatchNorm; `batch` is the practicum's, `running` shows what that alone changes.
        batch: images of a forward pass.
        share: of the test images that the classifier is fitted on, in (0, 1).
        neighbours: how many vote; the first is the one that is reported.
        splits: how many splits, for the spread; the first is reported.
        seed: of the splits, together with the cell's.
    """

    statistics: Statistics = "batch"
    batch: int = 1024
    share: float = 0.8
    neighbours: tuple[int, ...] = (30, 20, 50, 100)
    splits: int = 5
    seed: int = 0

    @property
    def name(self) -> str:
        """`faithful`, or `faithful-running` in evaluation mode."""
        return "faithful" if self.statistics == "batch" else "faithful-running"

    def wanted(self, cell: Cell) -> bool:
        """The cells of the published table."""
        return cell.place.get("part") == "table"

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Accuracy, top-3, neighbours, confusion matrix and per-class accuracy, all of the held-out fifth."""
        dataset: Dataset = trained.dataset
        y = labels_of(dataset)
        x = features(trained.model, dataset.test.images, self.statistics, self.batch)
        classes = len(dataset.classes)
        found: list[tuple[float, float, Tensor, bool]] = []
        knn: dict[str, float] = {}
        for number in range(self.splits + 1):  # one more, for top-3
            order = Streams(self.seed).at("split", trained.cell.seed, number).permutation(len(x))
            fit, score = order.split((round(self.share * len(x)), len(x) - round(self.share * len(x))))
            chances, converged = _fitted(x[fit], y[fit], x[score], classes)
            confusion = confusion_matrix(y[score], chances.argmax(1), classes)
            found.append(
                (top_k_accuracy(chances, y[score]), top_k_accuracy(chances, y[score], 3), confusion, converged)
            )
            if number == 0:
                knn = _neighbours(x[fit], y[fit], x[score], y[score], self.neighbours)
        accuracies = [one[0] for one in found[: self.splits]]
        return {
            "accuracy": accuracies[0],
            "top3": found[-1][1],
            "knn": knn[str(self.neighbours[0])],
            "knn_by_k": knn,
            "accuracy_by_split": accuracies,
            "confusion": found[0][2].tolist(),
            "per_class": _recalls(found[0][2]),
            "classes": list(dataset.classes),
            "fitted_on": round(self.share * len(x)),
            "scored_on": len(x) - round(self.share * len(x)),
            "converged": all(one[3] for one in found),
        }


def _fitted(x: Tensor, y: Tensor, test: Tensor, classes: int) -> tuple[Float[Tensor, "row class"], bool]:
    """Probabilities of scikit-learn's logistic regression for all classes, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=1.0, max_iter=1000).fit(x.double().numpy(), y.numpy())
    chances = torch.zeros(len(test), classes, dtype=torch.float64)
    chances[:, torch.as_tensor(model.classes_)] = torch.as_tensor(model.predict_proba(test.double().numpy()))
    return chances, bool(model.n_iter_.max() < 1000)


@dataclass(frozen=True)
class Sound:
    """The same questions as they are usually asked: fitted on training images, scored on test images.

    BatchNorm in evaluation mode; a linear probe on standardised features whose C is chosen on training images;
    neighbours among the training images, Euclidean and uniform as in the practicum.

    Args:
        neighbours: how many vote; the first is the one that is reported.
        seed: of the probe's validation split.
    """

    neighbours: tuple[int, ...] = (30, 20, 50, 100)
    seed: int = 0

    @property
    def name(self) -> str:
        """`sound`."""
        return "sound"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Accuracy, top-3, neighbours, confusion matrix and per-class accuracy on the whole test set.

        Beside them the accuracy of the net as its weights were drawn: what has to be beaten.
        """
        dataset: Dataset = trained.dataset
        y = labels_of(dataset)
        classes = len(dataset.classes)
        train = trained.train.labelled()
        probe = linear_probe(train, trained.test, seed=self.seed)
        before = linear_probe(
            embed(trained.untrained, dataset.train, dataset),
            embed(trained.untrained, dataset.test, dataset),
            seed=self.seed,
        )
        confusion = confusion_matrix(y, probe.prediction, classes)
        knn = _neighbours(train.h, train.labels, trained.test.h, y, self.neighbours)
        return {
            "accuracy": probe.accuracy,
            "top3": top_k_accuracy(probe.logits, y, 3),
            "knn": knn[str(self.neighbours[0])],
            "knn_by_k": knn,
            "confusion": confusion.tolist(),
            "per_class": _recalls(confusion),
            "classes": list(dataset.classes),
            "c": probe.c,
            "untrained": before.accuracy,
            "fitted_on": len(train),
            "scored_on": len(y),
        }
