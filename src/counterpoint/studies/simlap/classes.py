"""The classes of a run: which are kin, pairs of them, their gates, and how alike they are in a space."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.auroc import auroc
from counterpoint.model import Model
from counterpoint.negatives import Gates
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit
from counterpoint.types import Dataset, Embeddings

__all__ = [
    "GATED",
    "KINDS",
    "by_kin",
    "class_cosines",
    "class_pairs",
    "gates_of",
    "halved",
    "kin_scores",
    "pairs_of_classes",
    "short",
    "super_of",
    "unrelated",
]

GATED = ("simlap", "simlap_moco")  # recipes whose runs have gates
KINDS = {"kin": "of one super-class", "unrelated": "of two super-classes"}  # pairs of classes


def super_of(data: Dataset | Embeddings) -> Int64[Tensor, " class"]:
    """The super-class of each class; where the data has none, each class has one of its own and no kin."""
    return torch.arange(len(data.classes)) if data.super_of is None else data.super_of.cpu()


def by_kin(above: Int64[Tensor, " class"]) -> list[int]:
    """The classes, those of one super-class side by side."""
    return above.argsort(stable=True).tolist()


def short(name: str) -> str:
    """The first of the names of a class: `koala` of `koala, koala bear`."""
    return name.split(", ")[0]


# ---------------------------------------------------------------- which classes, which images


def class_pairs(above: Int64[Tensor, " class"]) -> tuple[Int64[Tensor, "2 pair"], Bool[Tensor, " pair"]]:
    """All unordered pairs of different classes, and which of them are kin.

    Args:
        above: the super-class of each class.
    """
    pairs = torch.triu_indices(len(above), len(above), 1)
    return pairs, above[pairs[0]] == above[pairs[1]]


def pairs_of_classes(above: Int64[Tensor, " class"], kind: str, most: int, seed: int = 0) -> list[tuple[int, int]]:
    """Different pairs of classes: all of a kind where these are few, else so many, drawn.

    Args:
        above: the super-class of each class.
        kind: of `KINDS`.
        most: how many at most.
        seed: of the draw.
    """
    pairs, kin = class_pairs(above)
    own = pairs[:, kin if kind == "kin" else ~kin].T
    kept = sampled(len(own), most, Streams(seed).at(f"class pairs, {kind}"))
    return [(int(a), int(b)) for a, b in own[kept]]


def unrelated(above: Int64[Tensor, " class"], count: int, stream: Stream) -> list[int]:
    """Classes of different super-classes, at most one of each.

    Args:
        above: the super-class of each class.
        count: how many, as far as there are super-classes.
        stream: of the draw.
    """
    order = stream.permutation(len(above)).tolist()
    first = {int(above[label]): label for label in reversed(order)}
    return sorted([label for label in order if first[int(above[label])] == label][:count])


def halved(
    labels: Int64[Tensor, " row"], stream: Stream
) -> tuple[Int64[Tensor, " chosen"], Int64[Tensor, " measured"]]:
    """Rows in two halves, each class in both by equal parts; of an odd number the second has one more.

    Args:
        labels: of each row, at least 0.
        stream: of the draw.
    """
    order = stream.permutation(len(labels))
    order = order[labels[order].argsort(stable=True)]
    known = labels[order]
    place = torch.arange(len(order)) - torch.searchsorted(known, known)
    first = place < torch.bincount(known)[known] // 2
    return order[first].sort().values, order[~first].sort().values


# ---------------------------------------------------------------- gates and likeness


@torch.no_grad()
def gates_of(model: Model, pairs: Int64[Tensor, "2 pair"] | None = None) -> Float[Tensor, "pair dim"]:
    """The gates of pairs of classes; None: of each class, as a pair with itself.

    Raises:
        RunError: the run has learned none.
    """
    gates = model.negatives
    if not isinstance(gates, Gates):
        raise RunError("this run has learned no gates of classes; ask it of runs of simlap or simlap_moco")
    asked = torch.arange(gates.classes).expand(2, -1) if pairs is None else pairs
    first, second = asked.to(gates.table.device)
    training = gates.training
    found = gates.eval().gate(first, second).float().cpu()
    gates.train(training)
    return found


def class_cosines(
    rows: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], classes: Sequence[int]
) -> Float64[Tensor, "class class"]:
    """The mean cosine of an image of one class and one of another; of one class, of its different images.

    Exact, in time linear in the rows. nan where a class has no image, or but one for the diagonal.

    Args:
        rows: of any length.
        labels: of each row.
        classes: in the order of the matrix; rows of others are left out.
    """
    place = torch.full((max(int(labels.max()), *classes) + 1,), -1)
    place[list(classes)] = torch.arange(len(classes))
    where = place[labels]
    own = where >= 0
    directions, where = unit(rows[own]).double(), where[own]
    sums = torch.zeros(len(classes), rows.shape[1], dtype=torch.float64).index_add_(0, where, directions)
    lengths = torch.zeros(len(classes), dtype=torch.float64).index_add_(0, where, directions.square().sum(1))
    count = torch.bincount(where, minlength=len(classes)).double()
    found = (sums @ sums.T) / (count[:, None] * count)
    found[range(len(classes)), range(len(classes))] = (sums.square().sum(1) - lengths) / (count * (count - 1))
    return found


def kin_scores(alike: Float64[Tensor, "class class"], above: Int64[Tensor, " class"]) -> dict[str, float | None]:
    """Whether classes of one super-class are more alike than others, over pairs of different classes.

    `within` and `between` super-classes the mean likeness, `auroc` the chance that a pair of the first is more alike
    than one of the second. None where there are no such pairs.

    Args:
        alike: symmetric.
        above: the super-class of each class.
    """
    pairs, kin = class_pairs(above)
    value = alike[pairs[0], pairs[1]]
    there = ~value.isnan()
    value, kin = value[there], kin[there]
    both = bool(kin.any()) and not bool(kin.all())
    return {
        "within": float(value[kin].mean()) if kin.any() else None,
        "between": float(value[~kin].mean()) if not kin.all() else None,
        "auroc": auroc(value, kin) if both else None,
    }
