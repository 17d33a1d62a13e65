"""A frozen encoder's view of a split, and how it is stored."""

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from counterpoint.errors import RunError
from counterpoint.files import whole
from counterpoint.model import Model
from counterpoint.types import Dataset, Embeddings, Images, Split
from counterpoint.views import as_float

__all__ = ["embed", "encode", "fingerprint", "in_rows", "pixels", "read_representation", "write_embeddings"]

_PIXEL_NUMBERS = 2**29  # of all training images as rows


def _of(split: Split, h: Tensor, z: Tensor | None, dataset: Dataset, encoder: str) -> Embeddings:
    return Embeddings(
        h=h,
        sample=torch.arange(len(split)),
        z=z,
        labels=split.labels,
        classes=dataset.classes,
        super_of=dataset.super_of,
        super_classes=dataset.super_classes,
        encoder=encoder,
    )


@torch.no_grad()
def encode(
    model: Model, images: Shaped[Tensor, "image channel height width"] | Images, *, batch: int = 512
) -> tuple[Float[Tensor, "image dim"], Float[Tensor, "image projected"] | None]:
    """Representation and projection of images, in evaluation mode, in float32 on the CPU.

    Args:
        model: its mode is restored afterwards.
        images: uint8, or float in [0, 1].
        batch: images of a forward pass.

    Returns:
        h and z; no z where there is no projector.
    """
    device = model.normalise.mean.device
    training = model.training
    model.eval()
    identity = not any(True for _ in model.towers.projector.parameters())
    hs: list[Tensor] = []
    zs: list[Tensor] = []
    for start in range(0, len(images), batch):
        h = model.represent(as_float(images[start : start + batch].to(device)))
        hs.append(h.float().cpu())
        if not identity:
            zs.append(model.towers.projector(h).float().cpu())
    model.train(training)
    return torch.cat(hs), torch.cat(zs) if zs else None


def embed(model: Model, split: Split, dataset: Dataset, *, encoder: str = "learned") -> Embeddings:
    """What a model makes of every image of a split, without views.

    Args:
        model: its mode is restored afterwards.
        split: images to embed.
        dataset: for the names of classes.
        encoder: what to call the result.
    """
    h, z = encode(model, split.images)
    return _of(split, h, z, dataset, encoder)


def pixels(split: Split, dataset: Dataset) -> Embeddings:
    """The images themselves, flattened, in [0, 1]: the baseline that every encoder has to beat.

    Where all training images would be more than 2^29 numbers (2 GiB), each is first averaged down to the largest side
    at which they are not, but at least 8: whatever the machine, so that the score is the same everywhere.
    """
    _, channels, height, width = dataset.train.images.shape
    side = max(8, math.isqrt(_PIXEL_NUMBERS // max(1, channels * len(dataset.train))))
    rows = in_rows(split.images, side if side < min(height, width) else None)
    return _of(split, rows, None, dataset, "pixels")


def in_rows(
    images: UInt8[Tensor, "image channel height width"] | Images, side: int | None = None
) -> Float[Tensor, "image number"]:
    """Each image as one row of its pixels, in [0, 1].

    Args:
        images: uint8.
        side: to which each is first averaged down; None: as it is.
    """
    _, channels, height, width = images.shape
    rows = torch.empty(len(images), channels * (height * width if side is None else side * side))
    for start in range(0, len(images), 512):
        part = images[start : start + 512].float() / 255
        part = part if side is None else torch.nn.functional.adaptive_avg_pool2d(part, side)
        rows[start : start + len(part)] = part.flatten(1)
    return rows


def fingerprint(images: UInt8[Tensor, "image channel height width"] | Images, *, most: int = 512) -> str:
    """A short hex digest by which images are known again: number, shape, and the pixels of some, evenly spaced.

    Args:
        images: of a split, in its order.
        most: so many are read; a change between them goes unseen unless the number changes too.
    """
    count = len(images)
    some = torch.arange(min(most, count)) * count // max(1, min(most, count))
    digest = hashlib.blake2b(repr(tuple(images.shape)).encode(), digest_size=16)
    for rows in some.split(64):
        digest.update(images[rows].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_embeddings(path: Path, parts: dict[str, Embeddings]) -> None:
    """Parquet with sample, split, label (-1 unknown), h, and z where there is one.

    Args:
        path: of the file.
        parts: embeddings by name of their split.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows(matrix: Tensor) -> Any:
        flat = pa.array(matrix.contiguous().reshape(-1).numpy())
        return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])

    tables: list[Any] = []
    for name, part in parts.items():
        labels = torch.full((len(part),), -1) if part.labels is None else part.labels
        columns: dict[str, Any] = {
            "sample": pa.array(part.sample.numpy()),
            "split": pa.array([name] * len(part)).dictionary_encode(),
            "label": pa.array(labels.numpy()),
            "h": rows(part.h),
        }
        if part.z is not None:
            columns["z"] = rows(part.z)
        tables.append(pa.table(columns))
    with whole(path) as temporary:
        pq.write_table(pa.concat_tables(tables, promote_options="default"), temporary)


def read_representation(path: Path) -> dict[str, Float[Tensor, "row width"]]:
    """The representation of each split that `write_embeddings` has stored.

    Args:
        path: of the file.

    Raises:
        RunError: the file is damaged, or holds something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names: list[str] = pq.read_table(path, columns=["split"])["split"].unique().to_pylist()
        found: dict[str, Tensor] = {}
        for name in names:
            h = pq.read_table(path, columns=["h"], filters=[("split", "==", name)])["h"].combine_chunks()
            found[name] = torch.from_numpy(h.flatten().to_numpy(zero_copy_only=False).copy()).view(len(h), -1)
    except (pa.ArrowException, OSError, KeyError, AttributeError, RuntimeError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); `counterpoint evaluate {path.parent}` writes it again"
        ) from error
    return found
