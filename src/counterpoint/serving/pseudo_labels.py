"""Labels that nobody gave: the clusters of another run's embeddings."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import SourceError
from counterpoint.evaluation.clusters import k_means
from counterpoint.serving.load import load
from counterpoint.types import Dataset, Images, Source, Split

__all__ = ["PseudoLabelled", "cluster_labels"]

# Images embedded at a time, of those that lie elsewhere than in memory.
_ROWS = 4096


def cluster_labels(
    run: str | Path, images: Tensor | Images, clusters: int, *, seed: int = 0
) -> Int64[Tensor, " image"]:
    """The k-means cluster of each image, by the unit rows of a run's representation.

    Source: Wu et al. 2024 (SimLAP), whose pseudo-labels are 1,000 clusters of SimCLR's features.

    Args:
        run: its folder, or an encoder.safetensors.
        images: uint8.
        clusters: at least 2, at most as many as images.
        seed: of the starts.

    Raises:
        SourceError: fewer images than clusters.
        RunError: there is no run.
    """
    if not 2 <= clusters <= len(images):
        raise SourceError(
            f"{clusters:,} clusters of {len(images):,} images cannot be labels; give --clusters from 2 up to the "
            "number of images"
        )
    loaded = load(run)
    h = [torch.from_numpy(loaded.embed(images[at : at + _ROWS])) for at in range(0, len(images), _ROWS)]
    return k_means(torch.cat(h), clusters, seed=seed)


@dataclass(frozen=True)
class PseudoLabelled:
    """A source whose training images are labelled by the clusters of another run's embeddings.

    Training takes these labels, evaluation the source's own, where it has them.

    Args:
        source: of the images; its labels are not used to train.
        run: folder of the run that embeds them.
        clusters: labels made, at least 2.
        seed: of k-means.
    """

    source: Source
    run: str
    clusters: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise SourceError(f"PseudoLabelled(clusters={self.clusters}): give 2 or more")

    def load(self) -> Dataset:
        """The data as training sees it: test images have no label."""
        whole = self.source.load()
        return replace(
            whole,
            train=self.labelled(whole.train),
            test=replace(whole.test, labels=None),
            classes=tuple(f"cluster {number}" for number in range(self.clusters)),
            super_classes=(),
            super_of=None,
        )

    def labelled(self, split: Split) -> Split:
        """The images with other labels."""
        return replace(split, labels=cluster_labels(self.run, split.images, self.clusters, seed=self.seed))
