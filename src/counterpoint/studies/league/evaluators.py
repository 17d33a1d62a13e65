"""What is asked of every run beside the protocol's scores: super-classes, the course of training, a step's memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from counterpoint.app.assess import fresh
from counterpoint.app.doctor import doctor
from counterpoint.app.train import with_unlabelled
from counterpoint.embed import embed
from counterpoint.evaluation import knn_accuracy, usual_neighbours
from counterpoint.model import Model
from counterpoint.recipe import Recipe
from counterpoint.studies.cells import seconds_of
from counterpoint.studies.hyperseparability.evaluators import SuperClasses
from counterpoint.studies.plan import first_step
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset

__all__ = ["Course", "Memory", "Neighbours", "SuperErrors"]


@dataclass(frozen=True)
class SuperErrors:
    """Super-class errors of every method, and once for each seed those of the untrained encoder.

    The answer is that of `SuperClasses` with the errors of the sets alone under `each`, and under `untrained` the same
    of the encoder as its weights were drawn.

    Args:
        asked: how.
        at: the method at whose cells the untrained encoder is asked too.
    """

    asked: SuperClasses = field(default_factory=SuperClasses)
    at: str = ""

    name = "super-classes"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no labels."""
        dataset: Dataset = trained.dataset
        seed = trained.cell.seed
        found = _told(self.asked.read(trained.train.h, trained.test.h, dataset, seed=seed))
        if trained.cell.place.get("method") == self.at:
            before, after = (embed(trained.untrained, part, dataset).h for part in (dataset.train, dataset.test))
            found["untrained"] = _told(self.asked.read(before, after, dataset, seed=seed))
        return found


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "each": answer["each"]["error"]}


@dataclass(frozen=True)
class Course:
    """How training went: its seconds and steps, and the doctor's word."""

    name = "course"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`healthy` is null where the run is too short to judge; `read` is the last step that the doctor saw."""
        checkup = doctor(trained.folder)
        seconds, steps = seconds_of(trained.folder)
        return {
            "seconds": seconds,
            "steps": steps,
            "read": checkup.step,
            "healthy": checkup.healthy,
            "verdict": checkup.verdict,
            "findings": [finding.name for finding in checkup.findings],
            "passed": [name for name, *_ in checkup.passed],
            "loss": checkup.loss,
        }


@dataclass(frozen=True)
class Memory:
    """What a training step holds, counted and not measured, so that it is the same on every machine; in full precision.

    `kept` are the activations that the backward pass waits for, each tensor once; `weights` are those of all networks
    with their gradients and the optimizer's moments; `states` are buffers: queues, banks, centres. Bytes.
    """

    name = "memory"

    def wanted(self, cell: Cell) -> bool:
        """Every cell; it takes a second."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """The first step of a fresh model."""
        dataset: Dataset = trained.dataset
        recipe: Recipe = trained.recipe
        facts, seed = trained.model.facts, trained.cell.seed
        model: Model = fresh(recipe, facts, seed).train()
        learned = with_unlabelled(dataset.train, dataset)
        lasting = {t.untyped_storage().data_ptr() for t in chain(model.parameters(), model.buffers())}
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in lasting:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            optimizer = first_step(recipe, model, learned, seed)
        moments = [t for held in optimizer.state.values() for t in held.values() if isinstance(t, Tensor)]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        weights = sum(t.nbytes for t in chain(model.parameters(), gradients, moments))
        states = sum(t.nbytes for t in model.buffers())
        found = {"kept": sum(kept.values()), "weights": weights, "states": states}
        return {**found, "all": sum(found.values())}


@dataclass(frozen=True)
class Neighbours:
    """kNN accuracy of h on the images that were held out: what a trial is judged by."""

    name = "neighbours"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Cosine, votes as in the protocol."""
        train = trained.train.labelled()
        k = usual_neighbours(len(train))
        return {"knn": knn_accuracy(train, trained.test, k=k), "k": k, "images": len(trained.test)}
