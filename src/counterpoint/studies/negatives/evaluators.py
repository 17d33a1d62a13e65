"""What is asked of every run beside its accuracy: which negatives its gradient is made of, and which are false."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterpoint.app.train import with_unlabelled
from counterpoint.distributed import Comm
from counterpoint.embed import embed, pixels
from counterpoint.engine import batches
from counterpoint.engine.step import compare
from counterpoint.evaluation import Forces, by_hardness, forces, knn_accuracy, linear_probe, usual_neighbours
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.schedules import resolve
from counterpoint.studies.held_out import whole_of
from counterpoint.studies.negatives.grid import MIXING, PART
from counterpoint.studies.negatives.owners import owners_of
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Clock, Context, Dataset, Embeddings

__all__ = ["Accuracy", "Hardness", "Tally", "Trial", "chance_of", "tallied"]

TENTHS = 10


@dataclass(frozen=True)
class Hardness:
    """The steps that would follow the last one, as the objective sees them, with weights that stay as they are.

    Batches, views, queue, bank and moving average go on as in training, BatchNorm takes the statistics of the batch;
    all in full precision. For each anchor its negatives are ranked by their score; what follows is pooled over anchors,
    each tenth the hardest first:

        gradient            share of each tenth in the repulsion, the derivatives of the loss by the negatives' scores
        false               share of a tenth's negatives that are of their anchor's class, an image with itself among
                            them; of those whose class is known
        false overall       the same of all negatives
        gradient on false   share of the repulsion that these receive, of all whose class is known
        mixtures            share of the negatives that are no image
        gradient on mixtures  share of the repulsion that these receive
        negatives           of an anchor, on average
        chance              that two training images are of one class
        anchors             that were looked at

    Null: what is not known, without labels or without any repulsion.

    Args:
        steps: that are looked at.
    """

    steps: int = 4

    name = "hardness"

    def wanted(self, cell: Cell) -> bool:
        """Every cell of the grid."""
        return cell.place.get("part") == PART

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of a copy of the model, which training mode changes."""
        dataset: Dataset = trained.dataset
        recipe: Recipe = trained.recipe
        model: Model = deepcopy(trained.model).train()
        learned, seed = with_unlabelled(dataset.train, dataset), trained.cell.seed
        done, per_epoch = model.facts.total_steps, model.facts.steps_per_epoch
        owners = owners_of(recipe, model, done, len(learned), seed)
        unknown = torch.full((len(learned),), -1)
        label = unknown if learned.labels is None else learned.labels
        label = torch.cat([label, torch.tensor([-1])])  # nobody's
        streams, total = Streams(seed), Tally()
        upcoming = batches(learned, recipe, streams, Clock(done, done, per_epoch), torch.device("cpu"))
        for step, batch in zip(range(done, done + self.steps), upcoming, strict=False):
            context = Context(Clock(step, done, per_epoch), Comm.alone(), streams)
            settled = resolve(recipe, context.clock)
            with torch.no_grad():
                for state in model.states():
                    state.before_forward(model, context)
                found = compare(settled, model, batch, context)
                keys, online = found.keys.detached(), found.online.detached()
                who = owners and owners.of(found.matches, online, keys, settled.pairing, settled.score, context)
            for i, each in enumerate(forces(found.matches, settled.objective)):
                if who is None:
                    total = total + tallied(each, torch.zeros_like(each.negative), torch.zeros_like(each.negative))
                    continue
                anchor, candidate = label[who[i][0]], label[who[i][1]]
                known = (anchor >= 0)[:, None] & (candidate >= 0)
                same = known & (anchor[:, None] == candidate)
                total = total + tallied(each, same, known, who[i][1] < 0)
            with torch.no_grad():
                for state in model.states():
                    state.after_step(model, context, online, keys)
                if owners is not None:
                    owners.after_step(model, online, keys, context)
        return {**total.told(), "chance": chance_of(label)}


def chance_of(label: Tensor) -> float | None:
    """The chance that two images are of one class: the sum of the squared shares of the classes; None without labels.

    Source: Arora et al. 2019, the collision probability of positive and negative class.

    Example:
        >>> chance_of(torch.tensor([0, 0, 1, -1]))
        0.5555555820465088
    """
    known = label[label >= 0]
    return float((known.bincount() / len(known)).square().sum()) if len(known) else None


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over anchors: of tenths, then of all negatives."""

    push: Tensor = field(default_factory=lambda: torch.zeros(TENTHS, dtype=torch.float64))
    same: Tensor = field(default_factory=lambda: torch.zeros(TENTHS, dtype=torch.float64))
    known: Tensor = field(default_factory=lambda: torch.zeros(TENTHS, dtype=torch.float64))
    push_known: float = 0.0
    push_same: float = 0.0
    push_mixed: float = 0.0
    mixed: float = 0.0
    count: float = 0.0
    anchors: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def told(self) -> dict[str, Any]:
        """Shares; None where nothing is shared out."""
        push, same, known = (float(t.sum()) for t in (self.push, self.same, self.known))
        return {
            "gradient": [_share(v, push) for v in self.push.tolist()],
            "false": [_share(a, b) for a, b in zip(self.same.tolist(), self.known.tolist(), strict=True)],
            "hardest": _share(float(self.push[0]), push),
            "false overall": _share(same, known),
            "false hardest": _share(float(self.same[0]), float(self.known[0])),
            "gradient on false": _share(self.push_same, self.push_known),
            "mixtures": _share(self.mixed, self.count),
            "gradient on mixtures": _share(self.push_mixed, push),
            "negatives": _share(self.count, self.anchors),
            "anchors": self.anchors,
        }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def tallied(
    each: Forces,
    same: Bool[Tensor, "anchor candidate"],
    known: Bool[Tensor, "anchor candidate"],
    nobody: Bool[Tensor, "anchor candidate"] | None = None,
) -> Tally:
    """The sums of a match.

    Args:
        each: its pairs.
        same: candidates of the anchor's class.
        known: those of which it is known whether they are.
        nobody: candidates that are no image.
    """
    negative, push = each.negative, each.force.abs().double()
    nobody = torch.zeros_like(negative) if nobody is None else nobody

    def tenths(amount: Float[Tensor, "anchor candidate"]) -> Float[Tensor, " tenth"]:
        return by_hardness(each.score, negative, amount, parts=TENTHS).sum(0)

    def pushed(where: Bool[Tensor, "anchor candidate"]) -> float:
        return float(push[negative & where].sum())

    return Tally(
        tenths(push),
        tenths(same.float()),
        tenths(known.float()),
        pushed(known),
        pushed(same),
        pushed(nobody),
        float((negative & nobody).sum()),
        float(negative.sum()),
        len(negative),
    )


@dataclass(frozen=True)
class Accuracy:
    """Linear probe and neighbours of h on the test images; at one place of the grid also of what needs no training.

    Args:
        bare: the place at which raw pixels and the untrained encoder are read too, in pairs of axis and value.
        c: inverse penalty of the probe; None: chosen on a part of the training images, as the protocol does.
    """

    bare: tuple[tuple[str, str], ...]
    c: float | None = None

    name = "accuracy"

    def wanted(self, cell: Cell) -> bool:
        """Every cell of the grid."""
        return cell.place.get("part") == PART

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Both as the protocol has them."""
        dataset: Dataset = trained.dataset
        seed = trained.cell.seed
        parts = (dataset.train, dataset.test)
        found = {"learned": self._read(trained.train, trained.test, seed)}
        if all(trained.cell.place.get(axis) == value for axis, value in self.bare):
            first, second = (embed(trained.untrained, part, dataset, encoder="untrained") for part in parts)
            found["untrained"] = self._read(first, second, seed)
            first, second = (pixels(part, dataset) for part in parts)
            found["pixels"] = self._read(first, second, seed)
        return found

    def _read(self, train: Embeddings, test: Embeddings, seed: int) -> dict[str, float]:
        known = train.labelled()
        knn = knn_accuracy(known, test, k=usual_neighbours(len(known)))
        return {"probe": linear_probe(train, test, c=self.c, seed=seed).accuracy, "knn": knn}


@dataclass(frozen=True)
class Trial:
    """Accuracy of h by its neighbours: on training images that were held out, which judge, and on test images.

    `test` is of the same run, and no choice is made by it: it says what a choice made on another data set is worth.
    """

    name = "trial"

    def wanted(self, cell: Cell) -> bool:
        """Cells of the mixtures."""
        return cell.place.get("part") == MIXING

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The run's data has the images that were held out in the test images' place."""
        train = trained.train.labelled()
        k = usual_neighbours(len(train))
        dataset = whole_of(trained.cell.source)
        test = embed(trained.model, dataset.test, dataset)
        return {
            "held out": knn_accuracy(train, trained.test, k=k),
            "test": knn_accuracy(train, test, k=k),
            "k": k,
            "images": {"held out": len(trained.test), "test": len(test)},
        }
