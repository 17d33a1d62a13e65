"""Encoder and preprocessing in one safetensors file, and the way back."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from counterpoint.encoders import bare, untrained
from counterpoint.errors import CheckpointError, ShapeError, SourceError
from counterpoint.files import whole
from counterpoint.model import Model, Normalise
from counterpoint.random import forked
from counterpoint.recipe import Recipe, part_from_json, part_to_json
from counterpoint.run import Run
from counterpoint.types import Encoder, Facts
from counterpoint.views import as_float

__all__ = ["Loaded", "load", "save_encoder"]


def save_encoder(path: Path, model: Model, recipe: Recipe, classes: Sequence[str]) -> None:
    """Write encoder, normalisation, and how they were made, into one file."""
    from safetensors.torch import save

    tensors = {f"encoder.{k}": v.contiguous().cpu() for k, v in model.towers.encoder.state_dict().items()}
    tensors |= {f"normalise.{k}": v.contiguous().cpu() for k, v in model.normalise.state_dict().items()}
    about = {
        "encoder": part_to_json(bare(recipe.encoder)),
        "facts": asdict(model.facts),
        "recipe": recipe.name,
        "classes": list(classes),
    }
    with whole(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"counterpoint": json.dumps(about)}))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A trained encoder with its preprocessing, frozen and ready.

    Args:
        encoder: from normalised images to h.
        normalise: per channel.
        facts: of the data that it was trained on.
        part: how the encoder is composed.
        classes: names, where the source had labels.
    """

    encoder: nn.Module
    normalise: Normalise
    facts: Facts
    part: Encoder
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """Of an embedding."""
        return self.part.width

    @torch.no_grad()
    def embed(self, images: Any, *, batch: int = 256) -> NDArray[np.float32]:
        """Embeddings of images, one row each.

        Args:
            images: a torch tensor [n, channel, h, w]; a NumPy array [n, h, w, channel] or [n, h, w], uint8 or float in
                [0, 1]; a PIL image; a path of an image or a folder; or a sequence of images and paths. Larger and
                smaller images are resized and cropped as in training.
            batch: images of a forward pass.

        Raises:
            ShapeError: an array that is no batch of images.
            SourceError: a file that is no image.
        """
        pixels = self.prepare(images)
        device = self.normalise.mean.device
        parts: list[Tensor] = []
        for start in range(0, len(pixels), batch):
            x = as_float(pixels[start : start + batch].to(device))
            parts.append(self.encoder(self.normalise(x)).float().cpu())
        return torch.cat(parts).numpy()

    def prepare(self, images: Any) -> Tensor:
        """Whatever `embed` takes, as uint8 or float [n, channel, size, size]."""
        from counterpoint import sources

        if isinstance(images, str | Path):
            images = sources.image_files(Path(images))
        if isinstance(images, Tensor):
            if images.ndim != 4 or images.shape[1] not in (1, 3):
                raise ShapeError(
                    f"got a tensor of shape {list(images.shape)}, expected [n, channel, height, width], channel 1 or 3"
                )
            return self._fit(images)
        if isinstance(images, np.ndarray):
            array = cast(NDArray[Any], images)
            if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3)):
                raise ShapeError(
                    f"got an array of shape {list(array.shape)}, expected [n, height, width] or "
                    "[n, height, width, channel] with 1 or 3 channels; give one image as a list of one array"
                )
            array = array[..., None] if array.ndim == 3 else array
            return self._fit(torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1))))
        given = cast(Sequence[Any], images if isinstance(images, list | tuple) else [images])
        if not given:
            raise SourceError("there is no image to embed; give at least one")
        return sources.read_images(given, size=self.facts.size, channels=self.facts.channels)

    def _fit(self, images: Tensor) -> Tensor:
        from counterpoint import sources

        if not len(images):
            raise SourceError("there is no image to embed; give at least one")
        if images.is_floating_point():
            # Written so that a NaN is refused too.
            if not (images.min() >= 0 and images.max() <= 1):
                raise ShapeError("got numbers outside [0, 1]; expected uint8, or float in [0, 1]")
            images = images.float()
        elif images.dtype != torch.uint8:
            raise ShapeError(f"got {str(images.dtype).removeprefix('torch.')}, expected uint8, or float in [0, 1]")
        return sources.fit_images(sources.in_channels(images, self.facts.channels), self.facts.size)


def load(path: str | Path, *, device: str = "cpu") -> Loaded:
    """The encoder of a run folder or of an encoder.safetensors file, in evaluation mode.

    Raises:
        RunError: there is no run in the folder.
        CheckpointError: the run has no encoder yet, or its file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if (file / "encoder.safetensors").is_file():
        file = file / "encoder.safetensors"
    elif file.suffix != ".safetensors":
        file = Run.open(file).encoder
    if not file.is_file():
        raise CheckpointError(f"{str(file)!r} does not exist: the run has not finished; go on with it by --resume")
    try:
        with safe_open(file, framework="pt") as opened:  # pyright: ignore[reportGeneralTypeIssues]
            about = json.loads((opened.metadata() or {})["counterpoint"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(f"{str(file)!r} is damaged, or no encoder of this library: {error}") from error
    facts = Facts.stored(about["facts"])
    part = cast(Encoder, part_from_json(about["encoder"]))
    with forked(0):
        encoder, normalise = untrained(part).build(facts), Normalise(facts.mean, facts.std)
    for name, module in (("encoder", encoder), ("normalise", normalise)):
        module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")})
        module.to(device).eval().requires_grad_(requires_grad=False)
    return Loaded(encoder, normalise, facts, part, tuple(about["classes"]))
