"""Neighbours against the bare matrix product, and the linear probe against scikit-learn's.

    COUNTERPOINT_DATA=DATA python -m benchmarks.evaluation

The features are those of CIFAR-10 under 128 random patches of its own images as filters, rectified and pooled to
2 x 2 (Coates et al. 2011, there with 3,200 filters): 512 numbers that are correlated and overlap between classes, as
learned ones are, and that take seconds to make.
"""

import os
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, cross_entropy, normalize

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint import sources
from counterpoint.evaluation import knn_predict
from counterpoint.evaluation.probe import fit_logistic
from counterpoint.random import Streams

__all__ = ["cifar_features", "neighbours", "probe", "rows"]

FILTERS, SIDE = 128, 7
C = 1e-3
WITHIN = 1e-4


@torch.no_grad()
def cifar_features(root: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the 50,000 training images with their labels, and of the 10,000 test images."""
    dataset = sources.lookup("cifar10", root=root).load()
    stream = Streams(0).at("patches")
    some = dataset.train.images[stream.permutation(len(dataset.train))[:4096]].float() / 255
    mean, std = some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True)
    windows = ((some[:FILTERS] - mean) / std).unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    top, left = stream.integers(0, windows.shape[2], FILTERS), stream.integers(0, windows.shape[3], FILTERS)
    filters = windows[torch.arange(FILTERS), :, top, left]
    filters = filters - filters.mean((1, 2, 3), keepdim=True)
    filters /= filters.flatten(1).norm(dim=1)[:, None, None, None]

    def seen(images: Tensor) -> Tensor:
        parts = [conv2d((part.float() / 255 - mean) / std, filters, stride=2).relu_() for part in images.split(1000)]
        return torch.cat([adaptive_avg_pool2d(part, 2).flatten(1) for part in parts])

    assert dataset.train.labels is not None
    return seen(dataset.train.images), dataset.train.labels, seen(dataset.test.images)


def neighbours(train: Tensor, labels: Tensor, test: Tensor, *, k: int, repeats: int = 5) -> Row:
    """The classifier, normalisation and votes included, against one product of the matrices of unit rows."""
    bank, queries = normalize(train, dim=1), normalize(test, dim=1)
    out = torch.empty(min(len(queries), 1000), len(bank))

    def product() -> None:
        for part in queries.split(len(out)):
            torch.mm(part, bank.T, out=out[: len(part)])

    taken = middle(
        interleaved({"ours": lambda: knn_predict(train, test, labels, k=k), "theirs": product}, repeats=repeats)
    )
    return Row(
        f"kNN, {len(train):,} x {len(test):,} rows of width {train.shape[1]}, k = {k}",
        taken["ours"],
        taken["theirs"],
        "s",
        "the float32 matrix product alone, 1,000 queries at a time into memory that is there",
        taken["ours"] / taken["theirs"],
        "at most",
        1.5,
    )


def objective(rows: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, c: float) -> float:
    """What both sides minimise, in float64."""
    total = sum(
        float(cross_entropy(part.double() @ weight.double().T + bias.double(), truth, reduction="sum"))
        for part, truth in zip(rows.split(10_000), labels.split(10_000), strict=True)
    )
    return total / len(rows) + float(weight.double().square().sum()) / (2 * c * len(rows))


def probe(train: Tensor, labels: Tensor, *, c: float = C) -> Row:
    """Until the solvers' own ends; the objectives they reach are in the note. Once each: they take long enough."""
    from sklearn.linear_model import LogisticRegression

    rows = (train - train.mean(0)) / train.std(0, correction=0)
    classes = int(labels.max()) + 1
    fit_logistic(rows[:100], labels[:100], classes, c=c)  # what it imports at its first use
    begun = time.perf_counter()
    weight, bias = fit_logistic(rows, labels, classes, c=c)
    ours = time.perf_counter() - begun
    x, y = rows.numpy(), labels.numpy()
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops at its 100 iterations and says so
        fitted = LogisticRegression(C=c).fit(x, y)
    theirs = time.perf_counter() - begun
    reached = objective(rows, labels, weight, bias, c)
    aimed = objective(rows, labels, torch.as_tensor(fitted.coef_), torch.as_tensor(fitted.intercept_), c)
    if reached > aimed * (1 + WITHIN):
        raise AssertionError(f"the probe ends at {reached:.8f}, scikit-learn at {aimed:.8f}: the times do not compare")
    return Row(
        f"linear probe, {len(rows):,} x {rows.shape[1]}, {classes} classes, C = {c:g}",
        ours,
        theirs,
        "s",
        f"scikit-learn LogisticRegression, defaults (lbfgs, tol 1e-4, {int(fitted.n_iter_[0])} iterations)",
        theirs / ours,
        "at least",
        1.0,
        f"objective: ours {reached:.7f}, theirs {aimed:.7f}; float32 features, standardised, on both sides",
    )


def rows() -> list[Row]:
    """All figures of this file."""
    train, labels, test = cifar_features(Path(os.environ.get("COUNTERPOINT_DATA", "data")) / "cifar10")
    return [
        neighbours(train, labels, test, k=20),
        neighbours(train, labels, test, k=200, repeats=3),
        probe(train, labels),
    ]


if __name__ == "__main__":
    show(rows())
