"""Labels that nobody gave: the clusters of another run's embeddings."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from counterpoint.errors import CheckpointError, SourceError
from counterpoint.evaluation.clusters import k_means
from counterpoint.files import whole
from counterpoint.serving.load import load
from counterpoint.types import Dataset, Images, Source, Split

__all__ = ["PseudoLabelled", "cluster_labels", "keep_labels", "kept_labels", "own_source"]

# Images embedded at a time, of those that lie elsewhere than in memory.
_ROWS = 4096
# Images whose pixels are compared when labels are read again, beside all names.
_LOOKED_AT = 256


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
        store: folder in which that folder is; empty: it says it itself.
    """

    source: Source
    run: str
    clusters: int = 1000
    seed: int = 0
    store: str = ""

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise SourceError(f"PseudoLabelled(clusters={self.clusters}): give 2 or more")

    def load(self) -> Dataset:
        """The data as training sees it: test images have no label."""
        data = self.source.load()
        return replace(
            data,
            train=replace(data.train, labels=self.labels(data.train)),
            test=replace(data.test, labels=None),
            classes=self.classes,
            super_classes=(),
            super_of=None,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the clusters."""
        return tuple(f"cluster {number}" for number in range(self.clusters))

    def labels(self, split: Split) -> Int64[Tensor, " image"]:
        """The clusters of these images, made now."""
        return cluster_labels(Path(self.store) / self.run, split.images, self.clusters, seed=self.seed)


def own_source(source: Source) -> Source:
    """A source with the labels that somebody gave, by which runs are judged whatever they were trained on."""
    return source.source if isinstance(source, PseudoLabelled) else source


def keep_labels(path: Path, split: Split) -> None:
    """Write a split's labels, with a mark of its images; the file appears whole."""
    assert split.labels is not None
    with whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, labels=split.labels.cpu().numpy(), images=np.array(_mark(split)))


def kept_labels(path: Path, split: Split) -> Int64[Tensor, " image"]:
    """The labels that were kept for these images.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it is of other images.
    """
    try:
        with path.open("rb") as file, np.load(file) as kept:
            labels, images = torch.from_numpy(kept["labels"]), str(kept["images"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise CheckpointError(
            f"the labels that this run learned from, {str(path)!r}, cannot be read ({error}); train in a new folder "
            "with --out"
        ) from error
    if len(labels) != len(split) or images != _mark(split):
        raise CheckpointError(
            f"the labels in {str(path)!r} were made for other images, or for these in another order; restore the data, "
            "or train in a new folder with --out"
        )
    return labels


def _mark(split: Split) -> str:
    """Of how many images, all names, and the pixels of some."""
    found = sha256(repr((tuple(split.images.shape), split.names)).encode())
    some = torch.linspace(0, len(split) - 1, min(len(split), _LOOKED_AT), dtype=torch.float64).long()
    found.update(split.images[some].contiguous().numpy().tobytes())
    return found.hexdigest()
