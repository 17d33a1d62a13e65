"""What the neighbours say: classification without training anything."""

from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, blocks, features, labelled
from counterpoint.sphere import unit

__all__ = ["Weights", "knn_accuracy", "knn_predict"]

Weights = Literal["softmax", "uniform"]


@torch.no_grad()
def _votes(
    train: Tensor, labels: Tensor, test: Tensor, k: int, temperature: float, weights: Weights, cells: int
) -> Float64[Tensor, "row class"]:
    if train.shape[1] != test.shape[1]:
        raise ShapeError(
            f"train rows have width {train.shape[1]}, test rows {test.shape[1]}; both must come from one encoder"
        )
    if k < 1 or temperature <= 0:
        raise ShapeError(f"k-nearest neighbours got k={k} and temperature={temperature}; expected k >= 1 and T > 0")
    k = min(k, len(train))
    train = unit(train)
    test = unit(test.to(train.dtype))
    votes = torch.zeros(len(test), int(labels.max()) + 1, dtype=torch.float64, device=test.device)
    parts = list(blocks(len(test), len(train), cells))
    # One block of memory for all: fresh pages for each cost as much as the search in it.
    tile = test.new_empty(max((part.stop - part.start for part in parts), default=0), len(train))
    for part in parts:
        similarities = torch.mm(test[part], train.T, out=tile[: part.stop - part.start])
        similarity, index = similarities.topk(k, dim=1)
        if weights == "softmax":
            weight = ((similarity.double() - similarity[:, :1].double()) / temperature).exp()
        else:
            weight = torch.ones_like(similarity, dtype=torch.float64)
        votes[part].scatter_add_(1, labels[index], weight)
    return votes


def knn_predict(
    train: Features,
    test: Features,
    train_labels: Labels | None = None,
    *,
    k: int = 200,
    temperature: float = 0.1,
    weights: Weights = "softmax",
    cells: int = CELLS,
) -> Int64[Tensor, " row"]:
    """The class that the k nearest train rows vote for.

    A vote of a neighbour at cosine similarity c weighs exp(c / T). Exact, in blocks of test rows; of equal votes the
    lowest class index wins.

    Source: Wu et al. 2018 (InstDisc), section 3.4.

    Args:
        train: rows with labels; those of label -1 are left out.
        test: rows to classify.
        train_labels: in place of the labels of Embeddings.
        k: neighbours, clamped to the number of train rows.
        temperature: T > 0, dimensionless; large is a majority vote, small the single nearest neighbour.
        weights: `softmax` as above, or `uniform`.
        cells: most similarities held at once.

    Raises:
        ShapeError: no labels, other widths, or numbers out of range.

    Example:
        >>> knn_predict(torch.eye(2), torch.eye(2), torch.tensor([1, 0]), k=1).tolist()
        [1, 0]
    """
    rows, known = labelled(train, train_labels, "train")
    return _votes(rows, known, features(test), k, temperature, weights, cells).argmax(1)


def knn_accuracy(
    train: Features,
    test: Features,
    train_labels: Labels | None = None,
    test_labels: Labels | None = None,
    *,
    k: int = 200,
    temperature: float = 0.1,
    weights: Weights = "softmax",
    cells: int = CELLS,
) -> float:
    """Share of test rows that their k nearest train rows classify correctly; the monitor during training.

    Args:
        train: as in `knn_predict`.
        test: rows with labels; those of label -1 are left out.
        train_labels: in place of the labels of Embeddings.
        test_labels: likewise.
        k: as in `knn_predict`.
        temperature: as in `knn_predict`.
        weights: as in `knn_predict`.
        cells: as in `knn_predict`.

    Raises:
        ShapeError: as in `knn_predict`.
    """
    rows, known = labelled(test, test_labels, "test")
    predicted = knn_predict(train, rows, train_labels, k=k, temperature=temperature, weights=weights, cells=cells)
    return float((predicted == known).double().mean())
