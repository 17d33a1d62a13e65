"""The library's own protocol as an evaluator: the learned encoder beside raw pixels and the untrained one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.embed import embed, encode, pixels
from counterpoint.errors import SourceError
from counterpoint.evaluation import Budget, Evaluation, evaluate
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings
from counterpoint.views import named

__all__ = ["ENCODERS", "Baselines", "Scores", "unpacked"]

ENCODERS = ("learned", "pixels", "untrained")
_VIEWED = 2048  # test images of which two views are drawn
_PREDICTED = {"linear_probe": "prediction", "knn_accuracy": "nearest"}


@dataclass(frozen=True)
class Scores:
    """Every score that the data allows: neighbours, probes, retrieval, clusters, geometry; no map.

    The answer is by encoder (`learned`, `pixels`, `untrained`) and measure; `measures` has the label of each, and which
    way is better. `right` says, by encoder and measure, which of the labelled test images were named rightly, for
    `unpacked`.

    Args:
        few_label_draws: subsets for each few-label probe; 0 leaves these out, which saves most of the time.
        draws: bootstrap resamples.
        views: the policy by which two views of test images are drawn, for the alignment of views: the same for all
            cells, whatever they were trained with; None: it is left out.
        baselines: whether raw pixels and the untrained encoder are scored too; `Baselines` does it once for all cells
            that share them.
    """

    few_label_draws: int = 0
    draws: int = 1000
    views: str | None = None
    baselines: bool = True

    name = "scores"

    def wanted(self, cell: Cell) -> bool:
        """Of every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no test images."""
        dataset = _tested(trained)
        parts = (dataset.train, dataset.test)
        baselines: dict[str, tuple[Embeddings, Embeddings]] = {}
        if self.baselines:
            baselines["pixels"] = (pixels(parts[0], dataset), pixels(parts[1], dataset))
            baselines["untrained"] = (
                embed(trained.untrained, parts[0], dataset, encoder="untrained"),
                embed(trained.untrained, parts[1], dataset, encoder="untrained"),
            )
        views = None if self.views is None else _seen(trained.model, _views(dataset, self.views, trained.cell.seed))
        found = evaluate(
            trained.train,
            trained.test,
            baselines=baselines,
            seed=trained.cell.seed,
            test_views=views,
            source=dataset.name,
            split=dataset.split,
            budget=Budget(few_label_draws=self.few_label_draws, draws=self.draws, map=None),
        )
        return _answer(dict.fromkeys(found.measures, found))


@dataclass(frozen=True)
class Baselines:
    """Raw pixels and the untrained encoder, once for all cells of a seed, which share their encoder and their data.

    The answer is that of `Scores` without `learned`; the alignment of views is there for both.

    Args:
        at: the value of the axis `method` at whose cells it is asked.
        few_label_draws, draws, views: as in `Scores`.
    """

    at: str
    few_label_draws: int = 0
    draws: int = 1000
    views: str | None = None

    name = "baselines"

    def wanted(self, cell: Cell) -> bool:
        """One cell of each seed."""
        return cell.place.get("method") == self.at

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where there are no test images."""
        dataset = _tested(trained)
        parts = (dataset.train, dataset.test)
        views = None if self.views is None else _views(dataset, self.views, trained.cell.seed)
        found: dict[str, Evaluation] = {}
        for name in ENCODERS[1:]:
            if name == "pixels":
                train, test = (pixels(part, dataset) for part in parts)
                pair = None if views is None else _paired(*((view.flatten(1), None) for view in views))
            else:
                train, test = (embed(trained.untrained, part, dataset, encoder=name) for part in parts)
                pair = None if views is None else _seen(trained.untrained, views)
            found[name] = evaluate(
                train,
                test,
                seed=trained.cell.seed,
                test_views=pair,
                source=dataset.name,
                split=dataset.split,
                budget=Budget(few_label_draws=self.few_label_draws, draws=self.draws, map=None),
            )
        return _answer(found)


def _tested(trained: Trained) -> Dataset:
    dataset: Dataset = trained.dataset
    if not len(dataset.test):
        raise SourceError(f"source {dataset.name!r} has no test images; there is nothing to score on")
    return dataset


def _views(dataset: Dataset, policy: str, seed: int) -> tuple[Tensor, Tensor]:
    """Two views of the first test images, by a policy of the images' own size and channels."""
    _, channels, size, _ = dataset.test.images.shape
    some = dataset.test.images[: min(_VIEWED, len(dataset.test))]
    first, second = named(policy, size=size, channels=channels)(some, Streams(seed).at("evaluation"))[:2]
    return first, second


def _seen(model: Model, views: tuple[Tensor, Tensor]) -> tuple[Embeddings, Embeddings]:
    return _paired(*(encode(model, view) for view in views))


def _paired(first: tuple[Tensor, Tensor | None], second: tuple[Tensor, Tensor | None]) -> tuple[Embeddings, Embeddings]:
    rows = torch.arange(len(first[0]))
    return Embeddings(first[0], rows, first[1]), Embeddings(second[0], rows, second[1])


# ---------------------------------------------------------------- what is kept


def _answer(found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Of each encoder, which stands under its name in its own evaluation, or alone and as the learned one."""
    answer: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for encoder, evaluation in found.items():
        key = encoder if encoder in evaluation.measures else "learned"
        answer[encoder] = {m.name: m.value for m in evaluation.measures[key]}
        right[encoder] = _right(evaluation.details[key].get("predicted"))
    main = next(iter(found.values()))
    answer["measures"] = {m.name: {"label": m.label, "better": m.better} for m in main.measures["learned"]}
    return {**answer, "right": right, "settings": dict(main.settings)}


def _right(predicted: Mapping[str, Any] | None) -> dict[str, Any]:
    if predicted is None:
        return {}
    truth = np.asarray(predicted["label"])
    bits = {name: np.packbits(np.asarray(predicted[column]) == truth) for name, column in _PREDICTED.items()}
    return {"images": len(truth), **{name: packed.tobytes().hex() for name, packed in bits.items()}}


def unpacked(right: Mapping[str, Any], measure: str) -> Float[np.ndarray, " image"] | None:
    """1 for each labelled test image that was named rightly, 0 for the others; None where nobody kept it.

    Args:
        right: of an encoder, from an answer of `Scores` or `Baselines`.
        measure: `linear_probe` or `knn_accuracy`.
    """
    if measure not in right:
        return None
    bits = np.frombuffer(bytes.fromhex(right[measure]), np.uint8)
    return np.unpackbits(bits, count=int(right["images"])).astype(np.float64)
