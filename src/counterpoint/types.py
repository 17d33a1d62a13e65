"""The values that pass between stages, and the protocols of the stages.

    sources → pairing → views → encode (encoders · heads · targets) → match (negatives · scores) → objectives

A stage is a frozen dataclass of numbers. One that owns tensors has `build(facts)`, which answers with a `State`. Stages
import this file and never one another.

Axes: view, batch, row (view-major: all rows of view 0, then of view 1, …), anchor, candidate, dim, class.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from counterpoint.errors import ShapeError
from counterpoint.random import Stream, Streams

__all__ = [
    "Batch",
    "Block",
    "Clock",
    "Columns",
    "Comm",
    "Context",
    "Dataset",
    "Divided",
    "Embeddings",
    "Encoded",
    "Encoder",
    "Facts",
    "Holding",
    "Images",
    "Loss",
    "Mapped",
    "Match",
    "Negatives",
    "Number",
    "Objective",
    "Pairing",
    "Policy",
    "Ranked",
    "Relation",
    "Rows",
    "Schedule",
    "Score",
    "Shuffling",
    "Skipped",
    "Source",
    "Split",
    "State",
    "Target",
    "Tempered",
    "Towers",
    "ends",
]


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    name: str
    reason: str


class Images(ABC):
    """Images that lie elsewhere than in one tensor: rows of a file, or files that are decoded when they are asked for.

    Stands where a uint8 tensor [image, channel, height, width] may: it has its length, shape, dtype, device and nbytes,
    and an index gives that tensor's rows, the same bits whenever it is asked.

    Args:
        shape: image, channel, height, width.
        where: the images lie, in words.
    """

    dtype = torch.uint8
    device = torch.device("cpu")

    def __init__(self, shape: torch.Size, where: str) -> None:
        self.shape, self.where = shape, where

    @property
    def nbytes(self) -> int:
        """Of all images, were they in memory."""
        return self.shape.numel()

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    @abstractmethod
    def __getitem__(self, index: Tensor | slice | int) -> UInt8[Tensor, "*image channel height width"]:
        """The pixels of these images."""
        ...

    @abstractmethod
    def rows(self, index: Tensor | slice) -> "Images":
        """These images, without reading them."""
        ...

    def prefetch(self, index: Tensor | slice) -> None:  # noqa: B027 - there may be nothing to gain
        """Begin to read what will be asked for next, by this very index."""

    def to(self, device: torch.device | str) -> UInt8[Tensor, "image channel height width"]:
        """All pixels, as a tensor on a device."""
        return self[:].to(device)


@dataclass(frozen=True, eq=False)
class Split:
    """Images, with what is known of them.

    Args:
        images: uint8, in memory or memory-mapped; or `Images`, where they are too many for that.
        labels: class index of each image, -1 where unknown; None where the source has no labels.
        names: what a person calls each image (a path, a row); None where it is just its position.
        groups: images of one group (a patient, a burst) never stand on both sides of a split.
        views: views that were made once, which training takes in place of the recipe's; empty where it makes its own.
    """

    images: UInt8[Tensor, "image channel height width"] | Images
    labels: Int64[Tensor, " image"] | None = None
    names: tuple[str, ...] | None = None
    groups: Int64[Tensor, " image"] | None = None
    views: tuple[UInt8[Tensor, "image channel tall wide"], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, index: Int64[Tensor, " row"], images: Tensor | Images | None = None) -> "Split":
        """The images at these positions, as a split of their own.

        Args:
            index: positions.
            images: those at the positions, where they are at hand.
        """
        if images is None:
            images = self.images.rows(index) if isinstance(self.images, Images) else self.images[index]
        return Split(
            images,
            None if self.labels is None else self.labels[index],
            None if self.names is None else tuple(self.names[int(i)] for i in index),
            None if self.groups is None else self.groups[index],
            tuple(view[index] for view in self.views),
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a source answers with.

    Args:
        name: as on the command line.
        kind: `glyphs` (digits, characters: a flip or a hue changes or says nothing), `objects` or `photos`; it selects
            the default views.
        train, test: disjoint; labels of both index `classes`.
        classes: names; empty where there are no labels.
        super_classes: names; empty where there is no hierarchy.
        super_of: for each class, the index of its super-class.
        unlabelled: further images for training without labels (STL-10).
        skipped: files that could not be used.
        split: how train and test came about, one sentence.
    """

    name: str
    kind: str
    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    super_classes: tuple[str, ...] = ()
    super_of: Int64[Tensor, " class"] | None = None
    unlabelled: Split | None = None
    skipped: tuple[Skipped, ...] = ()
    split: str = "the data set's own"


@runtime_checkable
class Source(Protocol):
    """Where images come from: a frozen dataclass of settings, which a recipe stores."""

    def load(self) -> Dataset:
        """Read, decode and split. Raises SourceError with one sentence."""
        ...


@dataclass(frozen=True)
class Facts:
    """What the data and the schedule decide, known before anything is built.

    Args:
        source, kind: of the data set.
        channels, size: of an image after the views; size is its side in pixels.
        images: rows trained on.
        classes: number of classes; 0 without labels.
        mean, std: of each channel over the training images, in [0, 1].
        total_steps, steps_per_epoch: of the whole run; 0 until the schedule is known.
        width: of the encoder's representation h; 0 until it is known.
        projection: of the projection z; 0 until it is known.
    """

    source: str
    kind: str
    channels: int
    size: int
    images: int
    classes: int = 0
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    total_steps: int = 0
    steps_per_epoch: int = 0
    width: int = 0
    projection: int = 0

    @classmethod
    def stored(cls, data: Mapping[str, Any]) -> "Facts":
        """From JSON, where tuples are lists."""
        tuples: dict[str, Any] = {"mean": tuple(data["mean"]), "std": tuple(data["std"])}
        return cls(**{**data, **tuples})


@dataclass(frozen=True, eq=False)
class Batch:
    """One rank's share of a global batch.

    Args:
        images: uint8.
        sample: position in the data set.
        position: position in the global batch, unique over ranks.
        label: class index, -1 where unknown.
        views: made once, in place of the recipe's; empty where they are made for each batch.
    """

    images: UInt8[Tensor, "batch channel height width"]
    sample: Int64[Tensor, " batch"]
    position: Int64[Tensor, " batch"]
    label: Int64[Tensor, " batch"]
    views: tuple[UInt8[Tensor, "batch channel tall wide"], ...] = ()


@dataclass(frozen=True, eq=False)
class Rows:
    """Who each row is.

    Args:
        sample: position of its image in the data set: the instance.
        position: of its image in the global batch.
        view: which view of the image.
        label: class, -1 where unknown.
        partner: what the pairing drew for it: whom it is asked about (PAL), the lot by which it gets a second label
            (SimLAP), else None.
        hidden: what the pairing keeps from the predictor, which has to find it (Selfie's masked patches), else None.
    """

    sample: Int64[Tensor, " row"]
    position: Int64[Tensor, " row"]
    view: Int64[Tensor, " row"]
    label: Int64[Tensor, " row"]
    partner: Int64[Tensor, " row"] | None = None
    hidden: Bool[Tensor, " row"] | None = None

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def of(cls, batch: Batch, views: int) -> "Rows":
        """View-major rows of a batch seen `views` times."""
        view = torch.arange(views, device=batch.sample.device).repeat_interleave(len(batch.sample))
        return cls(batch.sample.repeat(views), batch.position.repeat(views), view, batch.label.repeat(views))

    def where(self, keep: Bool[Tensor, " row"] | Int64[Tensor, " kept"]) -> "Rows":
        """The rows of a mask or an index."""
        partner = None if self.partner is None else self.partner[keep]
        hidden = None if self.hidden is None else self.hidden[keep]
        return replace(
            self,
            sample=self.sample[keep],
            position=self.position[keep],
            view=self.view[keep],
            label=self.label[keep],
            partner=partner,
            hidden=hidden,
        )


# ---------------------------------------------------------------- numbers that move


@dataclass(frozen=True)
class Clock:
    """Where a run stands: steps done before this one, of how many."""

    step: int
    total_steps: int
    steps_per_epoch: int

    @property
    def epoch(self) -> float:
        """Epochs done, fractional."""
        return self.step / max(1, self.steps_per_epoch)

    @property
    def share(self) -> float:
        """Share of the run done, in [0, 1]."""
        return min(1.0, self.step / max(1, self.total_steps))


class Schedule(ABC):
    """A number that the engine resolves at each step."""

    @abstractmethod
    def at(self, clock: Clock) -> float:
        """Its value at this step."""

    @property
    def ends(self) -> tuple[float, ...]:
        """What it moves between, so that a part can check a range before training; empty where that is not known."""
        return ()


Number = float | Schedule


def ends(number: Number) -> tuple[float, ...]:
    """The number, or what a schedule moves between."""
    return number.ends if isinstance(number, Schedule) else (number,)


# ---------------------------------------------------------------- the comparison


@dataclass(frozen=True)
class Block:
    """A relation's answer for some anchors and candidates."""

    target: Float[Tensor, "anchor candidate"]  # weight >= 0 with which a candidate attracts its anchor
    log_prior: Float[Tensor, "anchor candidate"]  # log weight in the denominator; -inf takes no part


@runtime_checkable
class Relation(Protocol):
    """Who attracts whom: a row is an anchor, a column a candidate.

    A rule, asked block by block, so that no anchor x candidate matrix has to exist.
    """

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        ...


@runtime_checkable
class Score(Protocol):
    """In what geometry two rows are compared.

    Whatever is learned or belongs to one anchor (a matrix per step, a gate, a scale) is folded into the rows by who
    makes the match, so that a score is numbers only and a tile of it is a pure function of two row blocks.
    """

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """Once for each row, before tiles are formed (normalisation)."""
        ...

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidate"]:
        """Scores of prepared rows; candidates are shared [candidate, dim] or private [anchor, candidate, dim]."""
        ...


@dataclass(frozen=True, eq=False)
class Columns:
    """A group of candidates.

    Args:
        rows: shared by all anchors [candidate, dim], or private to each [anchor, candidate, dim].
        relation: of the match's anchors to these rows.
        score: how they are compared.
        query: in place of the match's query where this group is scored against another feature of the same anchors
            (PaCo's centres against h, its features against z).
    """

    rows: Float[Tensor, "*candidate dim"]
    relation: Relation
    score: Score
    query: Float[Tensor, "anchor width"] | None = None


@dataclass(frozen=True, eq=False)
class Match:
    """One comparison: anchors, and the groups of candidates that share one denominator.

    Args:
        query: the anchors.
        columns: at least one group.
        weight: of this match in the objective.
        gates: of each class alone, in [0, 1], where they are learned and asked for (SimLAP): an objective may have a
            term in them. All matches of a step have the same.
        left_out: anchors that nobody attracts, which are not among the rows of `query`.
    """

    query: Float[Tensor, "anchor dim"]
    columns: tuple[Columns, ...]
    weight: float = 1.0
    gates: Float[Tensor, "class width"] | None = None
    left_out: int = 0

    def __post_init__(self) -> None:
        for group in self.columns:
            query = self.query if group.query is None else group.query
            if group.rows.shape[-1] != query.shape[-1]:
                raise ShapeError(
                    f"the anchors have width {query.shape[-1]}, but the candidates they are scored against have "
                    f"{group.rows.shape[-1]}; both must come from heads of one width"
                )


@dataclass(frozen=True, eq=False)
class Loss:
    """What an objective answers.

    Args:
        total: the mean over `anchors`; what is differentiated.
        terms: its parts by name, detached or not, for curves.
        anchors: how many anchors this rank's mean is over, each counted with the weight of its match: ranks are
            weighted by it.
    """

    total: Float[Tensor, ""]
    terms: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    anchors: float = 1.0


# ---------------------------------------------------------------- what came out


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the towers made of some rows.

    Args:
        h: the representation (what is evaluated).
        z: the projection (what is compared).
        p: the prediction, where there is a predictor.
        rows: who they are.
    """

    h: Float[Tensor, "row width"]
    z: Float[Tensor, "row dim"]
    rows: Rows
    p: Float[Tensor, "row dim"] | None = None

    @property
    def query(self) -> Float[Tensor, "row dim"]:
        """The prediction where there is one, else the projection."""
        return self.z if self.p is None else self.p

    def full(self) -> "Encoded":
        """The same in float32 where autocast made it less; itself where it did not."""
        half = torch.float16, torch.bfloat16
        if not any(t is not None and t.dtype in half for t in (self.h, self.z, self.p)):
            return self
        h, z, p = (t.float() if t is not None and t.dtype in half else t for t in (self.h, self.z, self.p))
        assert h is not None
        assert z is not None
        return Encoded(h, z, self.rows, p)

    def detached(self) -> "Encoded":
        """The same values, out of the graph."""
        return Encoded(self.h.detach(), self.z.detach(), self.rows, None if self.p is None else self.p.detach())


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What a frozen encoder makes of a split: the value that evaluation, report, index and map read.

    Args:
        h: representation, float32.
        z: projection, float32, or None (raw pixels have none).
        sample: position in the split.
        labels: class, -1 unknown, or None.
        classes: names of the classes.
        super_of: for each class its super-class, or None.
        super_classes: names.
        encoder: what made them, in words: `learned`, `pixels`, `untrained`.
    """

    h: Float[Tensor, "row width"]
    sample: Int64[Tensor, " row"]
    z: Float[Tensor, "row dim"] | None = None
    labels: Int64[Tensor, " row"] | None = None
    classes: tuple[str, ...] = ()
    super_of: Int64[Tensor, " class"] | None = None
    super_classes: tuple[str, ...] = ()
    encoder: str = "learned"

    def __len__(self) -> int:
        return len(self.h)

    def labelled(self) -> "Embeddings":
        """The rows whose label is known."""
        if self.labels is None:
            raise ShapeError("these embeddings have no labels")
        return self.take(torch.nonzero(self.labels >= 0)[:, 0])

    def take(self, index: Int64[Tensor, " kept"]) -> "Embeddings":
        """The rows of an index."""
        return replace(
            self,
            h=self.h[index],
            sample=self.sample[index],
            z=None if self.z is None else self.z[index],
            labels=None if self.labels is None else self.labels[index],
        )


# ---------------------------------------------------------------- the stages


@runtime_checkable
class Comm(Protocol):
    """The ranks that share the work; `counterpoint.distributed` hands it out."""

    @property
    def rank(self) -> int:
        """Of this process."""
        ...

    @property
    def world(self) -> int:
        """How many processes."""
        ...

    def gather(self, t: Tensor) -> Tensor:
        """All ranks' rows, in rank order; differentiable: a rank's rows get the gradients of all ranks."""
        ...

    def gather_rows(self, rows: Rows) -> Rows:
        """Who the rows of all ranks are."""
        ...

    def sum(self, t: Tensor) -> Tensor:
        """The sum over ranks, without gradient."""
        ...

    def weight(self, loss: Loss) -> Tensor:
        """The total, weighted so that the mean of the ranks' gradients is the joined batch's."""
        ...

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over ranks."""
        ...


@dataclass(frozen=True)
class Context:
    """What a step gives to every stage that asks.

    Args:
        clock: where the run stands.
        comm: the ranks.
        streams: for what is drawn: `context.streams.at("negatives", context.clock.step)`.
    """

    clock: Clock
    comm: Comm
    streams: Streams


@runtime_checkable
class Towers(Protocol):
    """What a target may ask of the model: its towers, and a pass of views through a set of them."""

    towers: nn.Module

    def through(self, towers: nn.Module, views: Sequence[Tensor], rows: "Rows | None" = None) -> tuple[Tensor, Tensor]:
        """Views (float in [0, 1]) through normalisation, encoder and projector: h and z, rows view-major.

        A projector that puts rows together is told who they are.
        """
        ...


class State(nn.Module):
    """Tensors that a stage owns: a queue, a bank, a centre, a moving average, learned centres.

    Saved and moved with the model. Parameters are trained; buffers are not. `per_rank` buffers differ by rank and are
    saved for each. Rows that are `per_image` stand for single images of the data set: what they say of one is what was
    learned when it last came. Three moments exist for whoever needs them.
    """

    per_rank: bool = False
    per_image: bool = False

    def before_forward(self, model: nn.Module, context: Context) -> None:
        """MoCo moves its average here; SwAV renormalises its prototypes."""

    def after_backward(self, model: nn.Module, context: Context) -> None:
        """Gradients are there, averaged over ranks, not yet applied: frozen prototypes drop theirs."""

    def after_step(self, model: nn.Module, context: Context, online: Encoded, keys: Encoded) -> None:
        """BYOL and DINO move their average here; a queue takes the keys of the step. Encoded values are detached."""


@runtime_checkable
class Encoder(Protocol):
    """Images to a representation."""

    @property
    def width(self) -> int:
        """Of the representation."""
        ...

    def build(self, facts: Facts) -> nn.Module:
        """A module from float [row, channel, size, size], normalised, to [row, width]."""
        ...


@runtime_checkable
class Mapped(Protocol):
    """A built encoder that names the layer of its last map, where that is not the last that all of h goes through.

    The output is a map [row, channel, tall, wide] or [row, tall, wide, channel], tokens [row, token, width] whose last
    ones are a square of patches, or one row for each tile of a square.
    """

    @property
    def map_layer(self) -> str:
        """As `named_modules` calls it."""
        ...


@runtime_checkable
class Policy(Protocol):
    """One way to see an image: operations in order. Draws are per sample; apply is pure."""

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what it leaves, so that a following operation can be drawn before this one is applied."""
        ...

    def draw(self, images: Tensor, stream: Stream) -> Any:
        """Parameters for each image, leading batch axis; they can be stored and applied again."""
        ...

    def apply(self, images: Tensor, drawn: Any) -> Float[Tensor, "batch channel height width"]:
        """Float in [0, 1] from uint8 or float in [0, 1]."""
        ...


@runtime_checkable
class Pairing(Protocol):
    """Who is related to whom."""

    needs_labels: bool

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Add what is drawn for a batch (a partner label); most pairings add nothing."""
        ...

    def relation(self, anchors: Rows, candidates: Rows) -> Relation:
        """The rule for these rows; a row never attracts itself and takes no part in its own denominator."""
        ...


@runtime_checkable
class Target(Protocol):
    """Who gives the answer to match."""

    def build(self, facts: Facts, model: nn.Module) -> State | None:
        """What it owns."""
        ...

    def keys(
        self, model: nn.Module, state: State | None, views: Sequence[Tensor], online: Encoded, context: Context
    ) -> Encoded:
        """The encoded rows that anchors are compared with."""
        ...


@runtime_checkable
class Divided(Protocol):
    """A target that shares the views out: the network encodes the first of them, the target those that follow."""

    @property
    def queries(self) -> int | None:
        """How many views the network encodes; None: all, and the target sees all as well."""
        ...


@runtime_checkable
class Shuffling(Protocol):
    """A target that may encode its keys in a random order of the whole batch."""

    @property
    def shuffle(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class Ranked(Protocol):
    """A layer that computes by itself on each rank, but has something to exchange with the others."""

    def among(self, comm: Comm) -> None:
        """Meet the ranks, before training."""
        ...


@runtime_checkable
class Negatives(Protocol):
    """Against whom: forms the matches from what was encoded."""

    def build(self, facts: Facts) -> State | None:
        """What it owns."""
        ...

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """The comparisons of a step."""
        ...

    def seen(self, global_batch: int, views: int) -> int | None:
        """How many negatives each anchor sees, at most; None: one for each other image of the data set."""
        ...


@runtime_checkable
class Objective(Protocol):
    """How good is the match?"""

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The mean over matches and anchors."""
        ...


@runtime_checkable
class Holding(Protocol):
    """An objective that says what in it keeps different images apart, so that the doctor can name what is missing."""

    @property
    def holds(self) -> str:
        """`negatives`: it repels them; the name of a weight: that term of it does; `itself`: as it stands.

        Whoever says nothing only attracts.
        """
        ...


@runtime_checkable
class Tempered(Protocol):
    """An objective that divides scores by a temperature and says which, so that it can be watched."""

    @property
    def temperature(self) -> Number:
        """Above 0."""
        ...
