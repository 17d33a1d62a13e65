"""What the net makes of test images, in the two modes of BatchNorm, and what they are."""

from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.embed import encode
from counterpoint.errors import SourceError
from counterpoint.model import Model
from counterpoint.types import Dataset, Images
from counterpoint.views import as_float

__all__ = ["Statistics", "features", "labels_of"]

Statistics = Literal["batch", "running"]


@torch.no_grad()
def features(
    model: Model, images: Tensor | Images, statistics: Statistics, batch: int = 1024
) -> Float[Tensor, "image width"]:
    """The representation of images in their order, float32 on the CPU; the model stays as it is.

    Args:
        model: trained.
        images: uint8.
        statistics: of BatchNorm: those of the batch that an image is in (training mode), or those kept from training.
        batch: images of a forward pass; with batch statistics the answer depends on it.
    """
    if statistics == "running":
        return encode(model, images, batch=batch)[0]
    seen = deepcopy(model).train()
    device = seen.normalise.mean.device
    parts = (images[start : start + batch].to(device) for start in range(0, len(images), batch))
    return torch.cat([seen.represent(as_float(part)).float().cpu() for part in parts])


def labels_of(dataset: Dataset) -> Int64[Tensor, " image"]:
    """The class of each test image.

    Raises:
        SourceError: some have none.
    """
    labels = dataset.test.labels
    if labels is None or not len(labels) or int(labels.min()) < 0:
        raise SourceError(f"the twelve scenarios score on labelled test images, but {dataset.name!r} lacks labels")
    return labels
