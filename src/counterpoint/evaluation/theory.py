"""What the theory of contrastive learning says of one run: every measurement that applies to it, side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.evaluation.arrays import sampled
from counterpoint.evaluation.asymptotics import Asymptote, asymptote
from counterpoint.evaluation.class_bound import FEWEST, Bound, bound
from counterpoint.evaluation.class_tuples import grouped
from counterpoint.evaluation.invariances import Invariance, class_partners, invariance
from counterpoint.evaluation.margin_losses import Hinge, Logistic
from counterpoint.evaluation.minima import Gaps, gaps
from counterpoint.evaluation.mutual_information import SharedInformation, shared_information
from counterpoint.evaluation.resampling import Estimate, Measure
from counterpoint.evaluation.task_losses import TaskLosses, pairs_of, task_losses
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit
from counterpoint.types import Embeddings

__all__ = ["ANOTHER_OF_THE_CLASS", "Change", "Layer", "Tasks", "Theory", "theory"]

NEGATIVES = (1, 4)
DRAWS = 20_000
BOUND_ROWS = 10_000  # of each split
CLASS_ROWS = 10  # of each class at least, where it has them
BLOCKS = (1, 2, 5, 10)
CLASS_PAIRS = 2048  # images that are compared with another of their class
TASK_ROWS = 200  # train rows of each class that a task's classifier sees
TASKS = 45  # every pair of ten classes


@dataclass(frozen=True)
class Change:
    """One way in which images are changed.

    Args:
        kind: `occlusion`, `rotation`, `illumination` or `instance`.
        strength: in words.
    """

    kind: str
    strength: str


ANOTHER_OF_THE_CLASS = Change("instance", "another image of the class")


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks of two classes each, learned from training rows and judged on test rows.

    Args:
        losses: of the logistic loss.
        weight: probability of each task.
        count: how many, of `of` that there are.
        of: all pairs of classes.
    """

    losses: TaskLosses
    weight: Float[Tensor, " task"]
    count: int
    of: int

    def mean(self, values: Float[Tensor, " task"]) -> float:
        """By the tasks' probability."""
        return float(self.weight @ values)


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of one run: h as it is, or z with rows of length one.

    Args:
        name: `h` or `z`.
        width: of it.
        gaps, limit, shared: of two views of the same images; None where the run has none.
        bounds: of each loss and number of negatives; empty without labels.
        train_loss: unsupervised hinge loss of one negative on training rows, for the gap that generalisation leaves.
        tasks: None without labels on both sides.
        changes: what each change of the images does.
    """

    name: str
    width: int
    gaps: Gaps | None = None
    limit: Asymptote | None = None
    shared: SharedInformation | None = None
    bounds: tuple[Bound, ...] = ()
    train_loss: Estimate | None = None
    tasks: Tasks | None = None
    changes: Mapping[Change, Invariance] = field(default_factory=dict[Change, Invariance])


@dataclass(frozen=True, eq=False)
class Theory:
    """All layers, and what had to be left out.

    Args:
        layers: h, and z where there is a projector.
        temperature: at which the contrastive loss is split.
        notes: sentences.
    """

    layers: tuple[Layer, ...]
    temperature: float
    notes: tuple[str, ...]

    def measures(self) -> tuple[Measure, ...]:
        """The numbers that stand among a run's scores, those of z with a name that ends in `_z`."""
        return tuple(measure for layer in self.layers for measure in _measures(layer))


def theory(
    test: Embeddings,
    *,
    train: Embeddings | None = None,
    views: tuple[Embeddings, Embeddings] | None = None,
    changed: Mapping[Change, Embeddings] | None = None,
    temperature: float = 0.5,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Theory:
    """Measure what applies: `gaps`, `asymptote`, `shared_information`, `bound`, `task_losses` and `invariance`.

    The bound is measured on pairs drawn from classes, whatever the run was trained on: of pairs that are two
    augmentations of one image the theory says nothing, so nothing is claimed of them. What cannot be measured is left
    out, with a note that says why.

    Args:
        test: of the learned encoder.
        train: likewise; None: tasks and the gap of generalisation are left out.
        views: two views of the same images.
        changed: by change, some of the test images after it; `sample` says which.
        temperature: of the contrastive loss.
        seed: of every draw.
        progress: told what is being computed.
    """
    tell = progress or _silent
    notes: list[str] = []
    count = _count(test)
    classes, enough = int((count > 0).sum()), int((count >= FEWEST).sum())
    if classes == 0:
        notes.append(
            "There are no labels: the bound is of classes and of pairs drawn from them, so it is left out, and so is "
            "the invariance to another image of the class."
        )
    elif classes < 2:
        notes.append("The test images have one class: the bound is of tasks between classes, so it is left out.")
    elif enough < 2:
        notes.append(f"Fewer than two classes have {FEWEST} test images or more: the bound is left out.")
    elif enough < classes:
        notes.append(
            f"{classes - enough:,} of the {classes:,} classes have fewer than {FEWEST} test images: the bound leaves "
            "them out."
        )
    if views is None:
        notes.append("The run makes no two whole views of an image: what is measured on pairs of views is left out.")
    elif len(views[0]) < 2:
        notes.append("There is one test image: what is measured on pairs of views is left out.")
        views = None
    layers: list[Layer] = []
    for name in ("h", "z"):
        rows = _rows(test, name)
        if rows is None:
            continue
        tell(f"theory of {name}")
        pair = None if views is None else tuple(_rows(view, name) for view in views)
        both = None if pair is None or pair[0] is None or pair[1] is None else (pair[0], pair[1])
        seen = None if train is None else _rows(train, name)
        after = {
            change: other for change, value in (changed or {}).items() if (other := _rows(value, name)) is not None
        }
        if not all(
            bool(each.isfinite().all()) for each in (rows, seen, *(both or ()), *after.values()) if each is not None
        ):
            notes.append(f"{name} holds numbers that are not finite: nothing is measured of it.")
            continue
        width = rows.shape[1]
        if both is not None and width < 2:
            notes.append(f"{name} has one dimension, whose sphere is two points: nothing on it is spread uniformly.")
        sphere = both if width > 1 else None
        layers.append(
            Layer(
                name,
                width,
                None if sphere is None else gaps(*sphere, seed=seed),
                None if sphere is None else asymptote(*sphere, temperature=temperature, seed=seed),
                None if both is None or len(both[0]) < 4 else shared_information(*both, seed=seed),
                *_of_classes(rows, test, seen, train, seed, enough=enough > 1),
                changes=_changes(rows, test, after, changed or {}, seed),
            )
        )
    return Theory(tuple(layers), temperature, tuple(notes))


def _silent(_: str) -> None:
    pass


def _count(value: Embeddings) -> Int64[Tensor, " class"]:
    """Rows of each class."""
    return torch.zeros(0, dtype=torch.int64) if value.labels is None else value.labels[value.labels >= 0].bincount()


def _rows(value: Embeddings, name: str) -> Tensor | None:
    """The layer's rows: h as it is, z on the sphere, where objectives compare it."""
    return value.h if name == "h" else None if value.z is None else unit(value.z)


def _of_classes(
    rows: Tensor, test: Embeddings, seen: Tensor | None, train: Embeddings | None, seed: int, *, enough: bool
) -> tuple[tuple[Bound, ...], Estimate | None, Tasks | None]:
    if not enough or test.labels is None:
        return (), None, None
    some, law = _for_bound(test, seed)
    smallest = int(test.labels[some].bincount(minlength=len(law))[law > 0].min())
    sizes = tuple(b for b in BLOCKS if b == 1 or 2 * b < smallest)
    bounds = tuple(
        bound(
            rows[some], test.labels[some], loss=loss, negatives=k, law=law, sizes=sizes if k == 1 else (1,),
            draws=DRAWS, seed=seed,
        )
        for k in NEGATIVES
        for loss in (Hinge(), Logistic())
    )  # fmt: skip
    if train is None or seen is None or train.labels is None:
        return bounds, None, None
    some, law = _for_bound(train, seed)
    train_loss = None
    if int((law > 0).sum()) > 1:
        train_loss = bound(seen[some], train.labels[some], law=law, sizes=(1,), draws=DRAWS, seed=seed).unsupervised
    return bounds, train_loss, _tasks(rows, test, seen, train.labels, seed)


def _for_bound(value: Embeddings, seed: int) -> tuple[Int64[Tensor, " kept"], Float[Tensor, " class"]]:
    """Rows of the classes that have enough, in parts as they are, and how often each class has them."""
    assert value.labels is not None
    count = _count(value)
    law = torch.where(count >= FEWEST, count, 0)
    most = (law * BOUND_ROWS / max(1, int(law.sum()))).ceil().long().clamp_min(CLASS_ROWS)
    most = torch.where(law > 0, torch.where(law.sum() > BOUND_ROWS, most, law), 0)
    return _of_each(value.labels, most, Streams(seed).at("bound rows")), law.float()


def _of_each(labels: Tensor, most: Tensor, stream: Stream) -> Int64[Tensor, " kept"]:
    """Places of at most so many rows of each class, drawn without replacement."""
    order = stream.permutation(len(labels))
    order = order[labels[order] >= 0]
    order = order[labels[order].argsort(stable=True)]
    classes = labels[order]
    rank = torch.arange(len(order)) - torch.searchsorted(classes, classes)
    return order[rank < most[classes]].sort().values


def _tasks(rows: Tensor, test: Embeddings, seen: Tensor, known: Tensor, seed: int) -> Tasks | None:
    """Pairs of classes that both splits have; a sample of them where there are many."""
    assert test.labels is not None
    shared = known[known >= 0].unique()
    held = torch.where(torch.isin(test.labels, shared), test.labels, -1)
    if len(held[held >= 0].unique()) < 2:
        return None
    most = torch.full((int(known.max()) + 1,), TASK_ROWS)
    few = _of_each(known, most, Streams(seed).at("task rows"))
    tasks, weight = pairs_of(grouped(rows, held))
    some = sampled(len(tasks), TASKS, Streams(seed).at("tasks"))
    losses = task_losses(seen[few], known[few], tasks=tasks[some], loss=Logistic(), test=rows, test_labels=held)
    return Tasks(losses, weight[some] / weight[some].sum(), len(some), len(tasks))


def _changes(
    rows: Tensor, test: Embeddings, after: Mapping[Change, Tensor], changed: Mapping[Change, Embeddings], seed: int
) -> Mapping[Change, Invariance]:
    place = torch.full((int(test.sample.max()) + 1,), -1)
    place[test.sample] = torch.arange(len(test))
    found: dict[Change, Invariance] = {}
    for change, other in after.items():
        if len(other) > 1:
            found[change] = invariance(rows[place[changed[change].sample]], other, seed=seed)
    if test.labels is not None:
        row, partner = class_partners(test.labels, seed=seed)
        some = sampled(len(row), CLASS_PAIRS, Streams(seed).at("class pairs"))
        if len(some) > 1:
            found[ANOTHER_OF_THE_CLASS] = invariance(rows[row[some]], rows[partner[some]], seed=seed)
    return found


def _measures(layer: Layer) -> list[Measure]:
    tail = "" if layer.name == "h" else "_z"
    found: list[Measure] = []

    def add(name: str, label: str, estimate: Estimate | None, note: str) -> None:
        if estimate is not None and all(map(isfinite, (estimate.value, estimate.low, estimate.high))):
            value, low, high = estimate.value, estimate.low, estimate.high
            found.append(Measure(f"{name}{tail}", f"{label} of {layer.name}", value, low, high, "", "theory", note))

    if layer.gaps is not None:
        add("gap_to_uniform", "gap to a uniform spread", layer.gaps.gap, "t = 2, one view; influence of each row")
    if layer.shared is not None:
        note = f"at most log {layer.shared.batch} = {layer.shared.ceiling:.2f} nats; influence of each pair"
        add("shared_information", "information two views share", layer.shared.nats, note)
    if layer.bounds:
        first = layer.bounds[0]
        note = "hinge, one negative, pairs drawn from classes; influence of each row"
        add("mean_classifier_loss", "mean classifier's loss", first.mean_classifier, note)
        add("bound", "bound on that loss", first.first.limit, note)
        add("bound_slack", "slack of the bound", first.first.slack, note)
    last = {change.kind: (change, value) for change, value in layer.changes.items()}
    for kind, (change, value) in last.items():
        label = "movement by " + {"instance": "another image of the class"}.get(kind, f"{kind}, {change.strength}")
        add(f"moved_{kind}", label, value.moved, "0 unmoved, 1 as far as another image; bootstrap over images")
    return found
