"""Can any union of classes be read off a representation by one hyperplane?

A super-class is a set of classes; its head answers whether the class of an image belongs to it. Nissani's study asks
this of all 1,024 sets of ten classes: a representation that separates nearly all of them is called hyper-separable.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import Features, Labels, features, labelled
from counterpoint.evaluation.linear_heads import BLOCK, LinearHeads, Passes, Training, fit_classes, fit_heads
from counterpoint.random import Streams

__all__ = [
    "SuperClassErrors",
    "balanced_rows",
    "dichotomies",
    "every_subset",
    "multi_class_error",
    "random_subsets",
    "subset_errors",
    "super_class_errors",
]

MOST_CLASSES = 20  # of which every subset is listed
WIDEST = 62  # classes whose sets are numbered by an int64


@dataclass(frozen=True, eq=False)
class SuperClassErrors:
    """What each super-class head does on the test rows.

    Args:
        members: whether a class belongs to the set of a head.
        error: share of test rows answered wrongly.
        balanced_error: mean of the shares of members and of others answered wrongly; of one of them where the other
            has no rows. A constant answer has 0.5.
        mcc: Matthews correlation coefficient, 0 where the head or the truth is constant.
        classes: size of the set.
        share: of the test rows that belong to it.
        loss: mean over the training rows at the end, without a penalty.
        gradient: largest component of the gradient at the end.
        steps: of the optimiser.
    """

    members: Bool[Tensor, "class head"]
    error: Float64[Tensor, " head"]
    balanced_error: Float64[Tensor, " head"]
    mcc: Float64[Tensor, " head"]
    classes: Int64[Tensor, " head"]
    share: Float64[Tensor, " head"]
    loss: Float64[Tensor, " head"]
    gradient: Float64[Tensor, " head"]
    steps: int

    @property
    def trivial(self) -> Bool[Tensor, " head"]:
        """Sets of no class and of all classes, which a constant answers without error."""
        return (self.classes == 0) | (self.classes == len(self.members))

    def better_than(self, threshold: float) -> float:
        """Share of the heads whose error is below a threshold; trivial ones count, as in the paper."""
        return float((self.error < threshold).double().mean())


# ---------------------------------------------------------------- which super-classes


def _bits(numbers: Tensor, classes: int) -> Bool[Tensor, "class head"]:
    places = torch.arange(classes - 1, -1, -1)
    return (numbers >> places[:, None] & 1).bool()


def every_subset(classes: int) -> Bool[Tensor, "class head"]:
    """All 2^classes sets, the empty and the full one among them, in the order of their numbers.

    Class 0 is the highest bit: head 1 is the set of the last class alone. The paper writes a set of digits as bits in
    the order 1, 2, …, 9, 0; it has the same sets in another order, which changes no statistic over all of them.

    Args:
        classes: 1 to 20.

    Raises:
        ShapeError: so many classes that the list would not fit.

    Example:
        >>> every_subset(2).int().tolist()
        [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    if not 1 <= classes <= MOST_CLASSES:
        raise ShapeError(
            f"{classes} classes have 2^{classes} subsets; all are listed for 1 to {MOST_CLASSES} classes, "
            "take random_subsets for more"
        )
    return _bits(torch.arange(2**classes), classes)


def dichotomies(classes: int) -> Bool[Tensor, "class head"]:
    """The distinct ways to split the classes into two sets, neither empty: 2^(classes - 1) - 1.

    A set and its complement are one dichotomy; the set without class 0 stands for both.

    Args:
        classes: 2 to 20.

    Example:
        >>> dichotomies(10).shape[1]
        511
    """
    return every_subset(classes)[:, 1 : 2 ** (classes - 1)]


def random_subsets(classes: int, count: int, seed: int = 0) -> Bool[Tensor, "class head"]:
    """Sets drawn with replacement: integers uniform in [0, 2^classes - 1], bits as in `every_subset`.

    Args:
        classes: 1 to 62.
        count: of sets.
        seed: of the draw.

    Raises:
        ShapeError: no classes, or so many that their sets have no int64 number.
    """
    if not 1 <= classes <= WIDEST or count < 1:
        raise ShapeError(
            f"{count} random sets of {classes} classes were asked for; expected at least one set, 1 to {WIDEST} classes"
        )
    return _bits(Streams(seed).at("super-classes", classes).integers(0, 2**classes, count), classes)


def balanced_rows(labels: Int64[Tensor, " row"], *, each: int | None = None, seed: int = 0) -> Int64[Tensor, " kept"]:
    """Positions of equally many rows of each class, drawn without replacement, in order.

    Args:
        labels: class of each row; rows of -1 are never taken.
        each: rows of a class; as many as the rarest has where None. A class with fewer gives all it has.
        seed: of the draw.

    Raises:
        ShapeError: no row has a label.
    """
    known = torch.nonzero(labels >= 0)[:, 0]
    if len(known) == 0:
        raise ShapeError(f"none of the {len(labels)} rows has a known label; a balanced draw needs some")
    shuffled = known[Streams(seed).at("balanced").permutation(len(known)).to(known.device)]
    shuffled = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.bincount(labels[known])
    rank = torch.arange(len(known), device=known.device) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    most = int(sizes[sizes > 0].min()) if each is None else each
    return shuffled[rank < most].sort().values


# ---------------------------------------------------------------- how well they are read


def _pair(
    train: Features, test: Features, train_labels: Labels | None, test_labels: Labels | None
) -> tuple[Tensor, ...]:
    x, y = labelled(train, train_labels, "train")
    seen, truth = labelled(test, test_labels, "test")
    if x.shape[1] != seen.shape[1]:
        raise ShapeError(
            f"train rows have width {x.shape[1]}, test rows {seen.shape[1]}; both must come from one encoder"
        )
    return x, y, seen, truth


def subset_errors(
    heads: LinearHeads, test: Features, test_labels: Labels | None, members: Bool[Tensor, "class head"]
) -> SuperClassErrors:
    """What trained heads do on test rows.

    All follows from how many rows of each class every head says yes to.

    Args:
        heads: one column for each set.
        test: features.
        test_labels: in place of the labels of Embeddings.
        members: the sets that the heads were trained for.
    """
    seen, truth = labelled(test, test_labels, "test")
    said = torch.zeros(members.shape, dtype=torch.float64, device=seen.device)
    for part, label in zip(seen.split(BLOCK), truth.split(BLOCK), strict=True):
        said.index_add_(0, label, (heads.logits(part) > 0).double())
    rows = torch.bincount(truth, minlength=len(members)).double()[:, None]
    inside, total = members.double(), float(len(truth))
    positive = (rows * inside).sum(0)
    hit, false = (said * inside).sum(0), (said * (1 - inside)).sum(0)
    negative = total - positive
    missed = positive - hit
    recalls = torch.stack((hit / positive, 1 - false / negative))
    yes = hit + false
    root = (positive * negative * yes * (total - yes)).sqrt()
    mcc = torch.where(root > 0, (hit * total - positive * yes) / root, 0.0)
    return SuperClassErrors(
        members=members,
        error=(missed + false) / total,
        balanced_error=1 - recalls.nanmean(0),
        mcc=mcc,
        classes=members.sum(0),
        share=positive / total,
        loss=heads.loss.double(),
        gradient=heads.gradient.double(),
        steps=heads.steps,
    )


def super_class_errors(
    train: Features,
    test: Features,
    members: Bool[Tensor, "class head"],
    train_labels: Labels | None = None,
    test_labels: Labels | None = None,
    *,
    training: Training | None = None,
    seed: int = 0,
) -> SuperClassErrors:
    """Train one linear head for each set of classes and score it on the test rows.

    All heads are columns of one matrix, so that a pass over the rows costs two matrix products; a set and its
    complement are one column.

    Source: Nissani's hyper-separability study; balanced error and MCC are added, for sets of few classes are rare.

    Args:
        train: frozen features; rows of label -1 are left out.
        test: likewise, of the same width.
        members: whether a class belongs to the set of a head.
        train_labels: in place of the labels of Embeddings.
        test_labels: likewise.
        training: `Passes()`, ten passes of Adam, where None; or `Converged()`.
        seed: of the order of batches.

    Raises:
        ShapeError: no labels, a label that `members` has no class for, or other widths.
    """
    x, y, seen, truth = _pair(train, test, train_labels, test_labels)
    if int(truth.max()) >= len(members):
        raise ShapeError(f"a test label is {int(truth.max())}; the sets are of {len(members)} classes")
    heads = fit_heads(x, y, members, training or Passes(), seed=seed)
    return subset_errors(heads, seen, truth, members)


def multi_class_error(
    train: Features,
    test: Features,
    train_labels: Labels | None = None,
    test_labels: Labels | None = None,
    *,
    training: Training | None = None,
    seed: int = 0,
) -> float:
    """Test error of one softmax over all classes, trained as the heads are: what they are compared with.

    Args:
        train: frozen features; rows of label -1 are left out.
        test: likewise, of the same width.
        train_labels: in place of the labels of Embeddings.
        test_labels: likewise.
        training: `Passes()` where None; or `Converged()`.
        seed: of the order of batches.

    Raises:
        ShapeError: no labels, or other widths.
    """
    x, y, seen, truth = _pair(train, test, train_labels, test_labels)
    classes = int(max(y.max(), truth.max())) + 1
    heads = fit_classes(x, y, classes, training or Passes(), seed=seed)
    wrong = [
        (heads.logits(part).argmax(1) != label)
        for part, label in zip(features(seen).split(BLOCK), truth.split(BLOCK), strict=True)
    ]
    return float(torch.cat(wrong).double().mean())
