"""Pairs and triplets that are drawn once, before training, and never again."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.random import Streams
from counterpoint.types import Dataset, Source, Split
from counterpoint.views import as_float, named

__all__ = ["Once"]

_ROWS = 512


@dataclass(frozen=True)
class Once:
    """The first images of each class as anchors, each with one fixed positive and one fixed negative.

    The positive is the anchor as the policy's last view shows it, in 8 bits as an image file has them. The negative of
    the j-th anchor of a class is the j-th image of a shuffled list of all images of other classes. Labels are used, so
    no negative is a false one. Views of the training split: anchor, positive, negative.

    Source: the practicum's code, which draws both before training and keeps them for all epochs.

    Args:
        source: of the images, with labels.
        policy: of the positive, by name.
        per_class: anchors of each class, in the order of the data; fewer where a class has fewer.
        seed: of the draws.
    """

    source: Source
    policy: str
    per_class: int = 5000
    seed: int = 0

    def load(self) -> Dataset:
        """The data set of the anchors; the test images stay as they are.

        Raises:
            SourceError: fewer than two classes.
        """
        dataset = self.source.load()
        labels = dataset.train.labels
        present = [] if labels is None else labels[labels >= 0].unique().tolist()
        if labels is None or len(present) < 2:
            raise SourceError(
                f"negatives of another class need at least two labelled classes, but {dataset.name!r} has "
                f"{len(present)}; name a source with labels"
            )
        pictures = dataset.train.images[:]
        anchors: list[Tensor] = []
        negatives: list[Tensor] = []
        for label in present:
            own = torch.nonzero(labels == label)[: self.per_class, 0]
            others = torch.nonzero((labels != label) & (labels >= 0))[:, 0]
            shuffled = others[Streams(self.seed).at("negatives", label).permutation(len(others))]
            anchors.append(own)
            negatives.append(shuffled.repeat(-(-len(own) // len(shuffled)))[: len(own)])
        order = torch.cat(anchors)
        kept = pictures[order]
        views = (kept, self._positives(kept), pictures[torch.cat(negatives)])
        names = None if dataset.train.names is None else tuple(dataset.train.names[int(i)] for i in order)
        train = Split(kept, labels[order], names, views=views)
        said = f"{dataset.split}; the first {self.per_class:,} training images of each class, drawn once"
        return replace(dataset, train=train, unlabelled=None, split=said)

    def _positives(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        policy = named(self.policy, size=side, channels=images.shape[1]).policies[-1]
        made: list[Tensor] = []
        for block, rows in enumerate(images.split(_ROWS)):
            view = as_float(policy.apply(rows, policy.draw(rows, Streams(self.seed).at("positives", block))))
            made.append((view * 255).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(made)
