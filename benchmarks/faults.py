"""Ways to spoil a run, each a part or a few settings, for the doctor to name; and runs that it must leave alone."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from counterpoint import encoders, sources
from counterpoint.pairing import SameClass, SameSample
from counterpoint.random import Stream
from counterpoint.relations import Keyed
from counterpoint.sphere import unit
from counterpoint.types import Dataset, Encoder, Facts, Loss, Match, Rows, Split

COLLAPSE = ("complete-collapse", "dimensional-collapse")
ONCE = "counterpoint.views:named(name='none', size={size}, channels={channels})"
HERE = "benchmarks.faults"
MOCO = {
    "target": "counterpoint.targets:MovingAverage(momentum=0.99)",
    "negatives": "counterpoint.negatives:Queue(size=512)",
}


@dataclass(frozen=True)
class Some:
    """The first images of a data set, loaded once in a process.

    Args:
        name: of the source.
        root: where its files lie.
        images: to train on.
    """

    name: str
    root: str | None = None
    images: int = 1024

    def load(self) -> Dataset:
        """A drawn part of the training split; a few test images, which nothing looks at."""
        return _some(self)


@lru_cache(maxsize=8)
def _some(some: Some) -> Dataset:
    found = sources.lookup(some.name, root=some.root).load()
    kept = torch.randperm(len(found.train), generator=torch.Generator().manual_seed(0))[: some.images]
    images = found.train.images[kept]
    labels = None if found.train.labels is None else found.train.labels[kept]
    return Dataset(found.name, found.kind, Split(images, labels), found.test.rows(torch.arange(16)), found.classes)


@dataclass(frozen=True)
class Attract:
    """Positives agree, and nothing holds the others apart: minus the mean cosine of positive pairs."""

    def __call__(self, matches: Any) -> Loss:
        """Over all matches."""
        return Loss(torch.stack([-_agreement(match) for match in matches]).mean(), {}, float(len(matches[0].query)))


def _agreement(match: Match) -> torch.Tensor:
    group = match.columns[0]
    cosine = unit(match.query) @ unit(group.rows).T
    target = group.relation.block(slice(0, len(cosine)), slice(0, cosine.shape[1])).target
    return (cosine * target).sum() / target.sum()


@dataclass(frozen=True)
class Narrow:
    """An encoder with a bottleneck behind it.

    Args:
        encoder: whose representation passes.
        hidden: how wide the bottleneck is.
        width: of what comes out.
    """

    encoder: Encoder
    hidden: int = 2
    width: int = 64

    def build(self, facts: Facts) -> nn.Module:
        """The encoder, then two linear layers."""
        layers = nn.Linear(self.encoder.width, self.hidden), nn.Linear(self.hidden, self.width)
        return nn.Sequential(self.encoder.build(facts), *layers)


@dataclass(frozen=True)
class Strangers:
    """The first view of an image is paired with the second view of the next one."""

    needs_labels = False

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Nothing is drawn."""
        return rows

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """Equal keys, shifted by the view."""
        own = SameSample().relation(anchors, candidates)
        count = int(anchors.position.max()) + 1
        left, right = ((rows.position + rows.view) % count for rows in (anchors, candidates))
        return Keyed(left, right, own.anchor_self, own.candidate_self)


@dataclass(frozen=True)
class Lottery:
    """Labels are dealt anew in every batch, view by view."""

    needs_labels = True

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Every view gets the label of another."""
        return replace(rows, label=rows.label[stream.permutation(len(rows))])

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """As with classes."""
        return SameClass().relation(anchors, candidates)


@dataclass(frozen=True)
class Unlabelled:
    """Most labels are forgotten.

    Args:
        share: of images that keep theirs.
    """

    share: float = 0.25
    needs_labels = True

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """The label of a few images stays."""
        images = int(rows.position.max()) + 1
        kept = stream.uniform(images)[rows.position] < self.share
        return replace(rows, label=torch.where(kept, rows.label, -1))

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """As with classes."""
        return SameClass().relation(anchors, candidates)


@dataclass(frozen=True)
class Plan:
    """One run to be judged.

    Args:
        name: what is done to it.
        truth: the finding that it is made for, or several of which each is right; `healthy` for none.
        recipe, dials, settings: as `counterpoint.train` takes them.
        narrow: a bottleneck behind the encoder.
        new: not among the kinds on which thresholds were set.
    """

    name: str
    truth: str | tuple[str, ...]
    recipe: str = "simclr"
    dials: dict[str, Any] = field(default_factory=dict[str, Any])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    narrow: int = 0
    new: bool = False


def plans() -> list[Plan]:
    """Healthy runs first, then faults; at least two kinds of each fault."""
    return [
        Plan("simclr", "healthy"),
        Plan("supcon", "healthy", "supcon"),
        Plan("supervised", "healthy", "supervised"),
        Plan("temperature .07", "healthy", dials={"temperature": 0.07}),
        Plan("temperature 1", "healthy", dials={"temperature": 1.0}),
        Plan("batch 32", "healthy", dials={"batch_size": 32, "epochs": 4}),
        Plan("SGD", "healthy", settings={"optim": "counterpoint.optim:SGD(lr=0.05)"}),
        Plan("LARS", "healthy", settings={"optim": "counterpoint.optim:LARS(lr=1.0)"}),
        Plan("MoCo", "healthy", dials={"temperature": 0.2}, settings=MOCO),
        Plan("supervised, SGD", "healthy", "supervised", settings={"optim": "counterpoint.optim:SGD(lr=0.05)"}),
        Plan("only attraction", "complete-collapse", settings={"objective": f"{HERE}:Attract"}),
        Plan("decay of 1,000", COLLAPSE, settings={"optim.weight_decay": 1000.0}),
        Plan("only attraction, SGD", "complete-collapse", new=True,
             settings={"objective": f"{HERE}:Attract", "optim": "counterpoint.optim:SGD(lr=0.05)"}),
        Plan("projector of 2", "dimensional-collapse",
             settings={"heads.projector.hidden": "(2,)", "heads.projector.batch_norm": True}),
        Plan("encoder of 2", "dimensional-collapse", narrow=2),
        Plan("encoder of 1, supcon", "dimensional-collapse", "supcon", narrow=1, new=True),
        Plan("pairs of strangers", "loss-at-ceiling", settings={"pairing": f"{HERE}:Strangers"}),
        Plan("dealt labels", "loss-at-ceiling", "supcon", settings={"pairing": f"{HERE}:Lottery"}),
        Plan("dealt labels, supervised", "loss-at-ceiling", "supervised", new=True,
             settings={"pairing": f"{HERE}:Lottery"}),
        Plan("temperature .001", "saturated-temperature", dials={"temperature": 0.001}),
        Plan("temperature 50", "saturated-temperature", dials={"temperature": 50.0}),
        Plan("temperature .002, supcon", "saturated-temperature", "supcon", dials={"temperature": 0.002}, new=True),
        Plan("temperature 20, supcon", "saturated-temperature", "supcon", dials={"temperature": 20.0}, new=True),
        Plan("one view", "no-positives", settings={"views": ONCE}),
        Plan("few labels, one view", "no-positives", "supcon",
             settings={"views": ONCE, "pairing": f"{HERE}:Unlabelled"}),
        Plan("few labels, two views", "no-positives", "supcon", settings={"pairing": f"{HERE}:Unlabelled"}, new=True),
        Plan("SGD, lr 100", "exploding-updates", settings={"optim": "counterpoint.optim:SGD(lr=100.0)"}),
        Plan("AdamW, lr 1", "exploding-updates", dials={"lr": 1.0}),
        Plan("supervised, SGD, lr 100", "exploding-updates", "supervised", new=True,
             settings={"optim": "counterpoint.optim:SGD(lr=100.0)"}),
        Plan("AdamW, lr 1e-9", "vanishing-updates", dials={"lr": 1e-9}),
        Plan("SGD, clipped to 1e-9", "vanishing-updates",
             settings={"optim": "counterpoint.optim:SGD(lr=0.05, clip_norm=1e-9)"}),
        Plan("supervised, lr 1e-9", "vanishing-updates", "supervised", dials={"lr": 1e-9}, new=True),
    ]  # fmt: skip


def encoder(plan: Plan, name: str) -> Encoder:
    """As it is asked for, with the plan's bottleneck."""
    made = encoders.lookup(name)
    return Narrow(made, plan.narrow) if plan.narrow else made


def settings(plan: Plan, some: Some) -> dict[str, Any]:
    """The plan's, with the size and the channels of the images where they are asked for."""
    _, channels, size, _ = some.load().train.images.shape
    return {
        path: value.format(size=size, channels=channels) if value == ONCE else value
        for path, value in plan.settings.items()
    }


def data(name: str, folder: Path | None) -> Some:
    """A data set of the data folder, or scikit-learn's digits."""
    return Some(name) if name == "digits" else Some(name, str((folder or Path()) / name))
