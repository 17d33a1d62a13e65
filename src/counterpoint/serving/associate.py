"""What an image is associated with: its class and every attribute, each with a calibrated probability."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.files import whole
from counterpoint.serving.load import Loaded, load

__all__ = ["Association", "Associator", "encoder_digest", "load_attributes", "save_attributes"]

VERSION = 3
FILE = "attributes.safetensors"


@dataclass(frozen=True)
class Association:
    """What an image is associated with.

    Args:
        label: the likeliest class; None where the run's data have no labels.
        classes: the likeliest classes with their probabilities, at most five.
        attributes: probability of each attribute.
        sides: of planes that were found without labels, how far the image lies on the positive side, in deviations.
    """

    label: str | None
    classes: Mapping[str, float]
    attributes: Mapping[str, float]
    sides: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, eq=False)
class Associator:
    """A frozen encoder with linear heads for classes and attributes.

    Args:
        encoder: of the run.
        names: of the attributes.
        weight, bias: of the attributes' logits; sigmoid is the calibrated probability.
        classes: names, empty without labels.
        class_weight, class_bias: of the classes' logits; softmax is the calibrated probability.
        planes: names of the planes that were found without labels.
        plane_weight, plane_bias: of the distance from them, in deviations.
        about: what was measured, as it is stored.
    """

    encoder: Loaded
    names: tuple[str, ...]
    weight: Float[Tensor, "attribute width"]
    bias: Float[Tensor, " attribute"]
    classes: tuple[str, ...]
    class_weight: Float[Tensor, "class width"]
    class_bias: Float[Tensor, " class"]
    planes: tuple[str, ...]
    plane_weight: Float[Tensor, "plane width"]
    plane_bias: Float[Tensor, " plane"]
    about: Mapping[str, Any]

    def predict(self, images: Any, *, batch: int = 256) -> list[Association]:
        """What each image is associated with.

        Args:
            images: whatever `Loaded.embed` takes: arrays, tensors, PIL images, paths, a folder.
            batch: images of a forward pass.

        Raises:
            ShapeError: an array that is no batch of images.
            SourceError: a file that is no image.
        """
        return self.read(torch.from_numpy(self.encoder.embed(images, batch=batch)))

    def read(self, rows: Float[Tensor, "row width"]) -> list[Association]:
        """What each embedding is associated with."""
        attributes = (rows @ self.weight.T + self.bias).sigmoid().tolist()
        sides = (rows @ self.plane_weight.T + self.plane_bias).tolist()
        if self.classes:
            chance, order = torch.sort(
                (rows @ self.class_weight.T + self.class_bias).softmax(1), dim=1, descending=True
            )
            best = [
                {self.classes[i]: p for i, p in zip(index, share, strict=True)}
                for index, share in zip(order[:, :5].tolist(), chance[:, :5].tolist(), strict=True)
            ]
        else:
            best = [dict[str, float]() for _ in range(len(rows))]
        return [
            Association(
                next(iter(classes), None),
                classes,
                dict(zip(self.names, yes, strict=True)),
                dict(zip(self.planes, side, strict=True)),
            )
            for classes, yes, side in zip(best, attributes, sides, strict=True)
        ]


def encoder_digest(folder: Path) -> str:
    """A short hex digest of a run's encoder, by which its heads know it again."""
    return hashlib.blake2b((folder / "encoder.safetensors").read_bytes(), digest_size=16).hexdigest()


def save_attributes(folder: Path, found: Associator) -> Path:
    """Write heads and what was measured into the folder of their run, whole or not at all."""
    from safetensors.torch import save

    path = folder / FILE
    tensors = {
        "attributes.weight": found.weight,
        "attributes.bias": found.bias,
        "classes.weight": found.class_weight,
        "classes.bias": found.class_bias,
        "planes.weight": found.plane_weight,
        "planes.bias": found.plane_bias,
    }
    about = {
        **found.about,
        "version": VERSION,
        "encoder": encoder_digest(folder),
        "names": list(found.names),
        "classes": list(found.classes),
        "planes": list(found.planes),
    }
    packed = {name: value.float().contiguous() for name, value in tensors.items()}
    with whole(path) as temporary:
        temporary.write_bytes(save(packed, metadata={"counterpoint": json.dumps(about)}))
    return path


def load_attributes(run: str | Path, *, device: str = "cpu") -> Associator:
    """The attributes of a run, ready to be asked.

    Args:
        run: its folder.
        device: of the encoder.

    Raises:
        RunError: the run has no attributes, they are damaged, or its encoder is no longer theirs.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(run)
    model = load(folder, device=device)
    path = folder / FILE
    if not path.is_file():
        raise RunError(
            f"{folder} has no attributes yet; train some with `counterpoint associate {folder} --attributes FILE.toml`"
        )
    again = f"train them again with `counterpoint associate {folder} --attributes FILE.toml`"
    try:
        with safe_open(path, framework="pt") as opened:  # pyright: ignore[reportGeneralTypeIssues]
            about = json.loads((opened.metadata() or {})["counterpoint"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if about["version"] != VERSION:
            raise RunError(f"{path} is of another version of this library; {again}")
        if about["encoder"] != encoder_digest(folder):
            raise RunError(f"the encoder of {folder} has changed since its attributes were trained; {again}")
        return Associator(
            encoder=model,
            names=tuple(about["names"]),
            weight=tensors["attributes.weight"],
            bias=tensors["attributes.bias"],
            classes=tuple(about["classes"]),
            class_weight=tensors["classes.weight"],
            class_bias=tensors["classes.bias"],
            planes=tuple(about["planes"]),
            plane_weight=tensors["planes.weight"],
            plane_bias=tensors["planes.bias"],
            about=about,
        )
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise RunError(f"{path} is damaged, or holds no attributes ({error}); {again}") from error
