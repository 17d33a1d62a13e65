"""Which classes the representation confuses."""

from dataclasses import dataclass

from counterpoint.evaluation.resampling import wilson
from counterpoint.report.run import Run

__all__ = ["DRAWN", "LARGEST", "Cell", "Confused", "PerClass", "confused", "judge", "matrix", "merging", "per_class"]

PAIRS, EXAMPLES = 6, 6
FEW = 5  # mistakes below which two classes are not said to merge
CLASSIFIERS = {"linear_probe": "linear probe", "knn_accuracy": "nearest neighbours"}
LARGEST = 50  # classes of a matrix that is written as a table
DRAWN = 400  # classes of one that is drawn as a picture


@dataclass(frozen=True)
class Cell:
    """How often a class was taken for another.

    Args:
        count: test images.
        share: of the row's images, in [0, 1].
        level: 0 to 9, for the shade; 0 only where the count is zero.
        right: on the diagonal.
    """

    count: int
    share: float
    level: int
    right: bool


@dataclass(frozen=True)
class Confused:
    """Two classes that are mistaken for one another.

    Args:
        first, second: indices of the classes; `forward` images of the first were taken for the second.
        forward, backward: counts.
        share: of both classes' images, in [0, 1].
        low: lower end of Wilson's 95 % interval of it.
        examples: samples of the first taken for the second, then of the second taken for the first.
    """

    first: int
    second: int
    forward: int
    backward: int
    share: float
    low: float
    examples: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class PerClass:
    """The accuracy of one class, in [0, 1], with its 95 % interval and its number of test images."""

    name: str
    accuracy: float
    low: float | None
    high: float | None
    n: int


def matrix(run: Run) -> list[list[Cell]]:
    """The confusion matrix, rows are what it was; empty without labels or with more than 50 classes."""
    counts: list[list[int]] = run.details("learned").get("confusion") or []
    if not 2 <= len(counts) <= LARGEST:
        return []
    cells: list[list[Cell]] = []
    for i, row in enumerate(counts):
        total = max(1, sum(row))
        shares = [count / total for count in row]
        # Mistakes are rare, so the shade follows the root of the share.
        levels = [0 if count == 0 else max(1, round(9 * share**0.5)) for count, share in zip(row, shares, strict=True)]
        cells.append([Cell(int(row[j]), shares[j], levels[j], i == j) for j in range(len(row))])
    return cells


def confused(run: Run) -> list[Confused]:
    """The pairs of classes with the most mistakes between them, with images that show them."""
    details = run.details("learned")
    counts: list[list[int]] = details.get("confusion") or []
    predicted = details.get("predicted") or {"sample": [], "label": [], "prediction": []}
    errors: dict[tuple[int, int], list[int]] = {}
    for sample, label, guess in zip(predicted["sample"], predicted["label"], predicted["prediction"], strict=True):
        if label != guess and label >= 0:
            errors.setdefault((int(label), int(guess)), []).append(int(sample))
    pairs: list[Confused] = []
    for i in range(len(counts)):
        for j in range(i):
            there, back = int(counts[i][j]), int(counts[j][i])
            if there + back == 0:
                continue
            first, second, forward, backward = (i, j, there, back) if there >= back else (j, i, back, there)
            share = wilson(there + back, sum(counts[i]) + sum(counts[j]))
            one, other = errors.get((first, second), []), errors.get((second, first), [])
            fewer = other[: max(EXAMPLES // 2, EXAMPLES - len(one))]
            examples = (tuple(one[: EXAMPLES - len(fewer)]), tuple(fewer))
            pairs.append(Confused(first, second, forward, backward, share.value, share.low, examples))
    return sorted(pairs, key=lambda pair: (-pair.forward - pair.backward, pair.first, pair.second))[:PAIRS]


def merging(run: Run, share: float = 0.01) -> list[Confused]:
    """The pairs that share more images than a few slips would: at least five, and beyond doubt more than this share."""
    return [pair for pair in confused(run) if pair.forward + pair.backward >= FEW and pair.low >= share]


def judge(run: Run) -> str:
    """What took one class for another: the classifier whose accuracy the confusion matrix gives; empty if unknown."""
    counts: list[list[int]] = run.details("learned").get("confusion") or []
    total = sum(map(sum, counts))
    right = sum(counts[i][i] for i in range(len(counts)))
    for measure in run.measures.get("learned", ()):
        fits = measure.group == "classification" and total and abs(measure.value - right / total) < 1e-6
        if fits and measure.name in CLASSIFIERS:
            return CLASSIFIERS[measure.name]
    return ""


def per_class(run: Run) -> list[PerClass]:
    """Accuracy of each class, the worst first."""
    rows = run.details("learned").get("per_class") or []
    found = [
        PerClass(
            str(row["class"]),
            float(row["accuracy"]),
            None if row.get("low") is None else float(row["low"]),
            None if row.get("high") is None else float(row["high"]),
            int(row.get("n") or 0),
        )
        for row in rows
        if row.get("accuracy") is not None
    ]
    return sorted(found, key=lambda row: row.accuracy)
