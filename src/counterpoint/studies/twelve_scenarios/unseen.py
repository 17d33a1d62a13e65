"""Verification and one-shot naming of classes that were never trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from counterpoint.embed import encode, pixels
from counterpoint.errors import SourceError
from counterpoint.evaluation.one_shot import Metric, one_shot
from counterpoint.evaluation.pairs import Separation, sample_pairs, separation
from counterpoint.evaluation.resampling import Estimate
from counterpoint.random import Stream, Streams
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Source

__all__ = ["Unseen"]


@dataclass(frozen=True)
class Unseen:
    """What a siamese network promises: same or different, and naming from one example, of classes never trained on.

    Beside the learned features stand raw pixels and the untrained net. Similarity is the cosine, and minus the
    Euclidean distance, because the two losses train different geometries.

    Args:
        of: what the images are, in one word; of the answer's name.
        source: of the images, whose test side is used, or its only side; of the size and channels of the training
            images. None: the cell's own test images, whose classes were trained on, for comparison.
        ways: classes of an episode; those beyond the classes at hand are left out.
        episodes: one-shot episodes.
        pairs: of each kind, for verification.
        rows: at most so many images, drawn without replacement.
        draws: of the bootstrap of the equal error rate.
        seed: of all draws: the same images, pairs and episodes for every cell.
    """

    of: str
    source: Source | None = None
    ways: tuple[int, ...] = (5, 20)
    episodes: int = 10_000
    pairs: int = 50_000
    rows: int = 10_000
    draws: int = 50
    seed: int = 0

    @property
    def name(self) -> str:
        """`unseen-` and what it is of."""
        return f"unseen-{self.of}"

    def wanted(self, cell: Cell) -> bool:
        """The sound cells of the published table that learned from digits."""
        return (
            cell.place.get("part") == "table"
            and cell.place.get("protocol") == "sound"
            and cell.place.get("data") == "mnist"
        )

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """For each encoder and each geometry: area under the ROC curve, equal error rate, the curve, and one-shot."""
        dataset: Dataset = trained.dataset if self.source is None else self.source.load()
        side = dataset.test if len(dataset.test) else dataset.train
        if side.labels is None:
            raise SourceError(f"verification needs labels, but source {dataset.name!r} has none")
        known = torch.nonzero(side.labels >= 0)[:, 0]
        order = Streams(self.seed).at("unseen").permutation(len(known))[: self.rows].sort().values
        side = side.rows(known[order])
        assert side.labels is not None
        rows = {
            "learned": encode(trained.model, side.images)[0],
            "untrained": encode(trained.untrained, side.images)[0],
            "pixels": pixels(side, replace(dataset, train=side)).h,
        }
        classes = len(side.labels.unique())
        answer: dict[str, Any] = {"images": len(side), "classes": classes, "source": dataset.name}
        for encoder, h in rows.items():
            answer[encoder] = {
                metric: self._asked(h, side.labels, metric, classes) for metric in ("cosine", "euclidean")
            }
        return answer

    def _asked(self, h: Tensor, labels: Tensor, metric: Metric, classes: int) -> dict[str, Any]:
        said = _verified(h, labels, metric, self.pairs, self.draws, Streams(self.seed).at("pairs"))
        shots = {
            str(ways): one_shot(h, labels, ways=ways, episodes=self.episodes, metric=metric, seed=self.seed).accuracy
            for ways in self.ways
            if ways <= classes
        }
        return {
            "auroc": _triple(said.auroc),
            "equal_error_rate": _triple(said.equal_error_rate),
            "fpr": [round(float(v), 5) for v in said.curve.fpr],
            "tpr": [round(float(v), 5) for v in said.curve.tpr],
            "one_shot": {ways: _triple(accuracy) for ways, accuracy in shots.items()},
        }


def _triple(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _verified(
    h: Tensor, labels: Tensor, metric: Literal["cosine", "euclidean"], pairs: int, draws: int, stream: Stream
) -> Separation:
    drawn = sample_pairs(h, labels, pairs=pairs, stream=stream)
    if drawn is None:
        raise SourceError("verification needs two classes and a class with two images, but these images lack one")
    if metric == "euclidean":
        # Order is all that ROC asks for, so distances may be brought to [-1, 1].
        distance = torch.cat(
            [(h[a] - h[b]).norm(dim=1) for a, b in zip(drawn.first.split(4096), drawn.second.split(4096), strict=True)]
        )
        drawn = replace(drawn, similarity=1 - 2 * distance / distance.max().clamp(min=1e-12))
    return separation(drawn, len(h), draws=draws, points=60)
