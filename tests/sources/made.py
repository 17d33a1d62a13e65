"""Data sets that the tests make."""

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def noise(n: int, height: int, width: int, channels: int | None = None, seed: int = 0) -> np.ndarray:
    shape = (n, height, width) if channels is None else (n, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_pair(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray | None, end: str = "") -> None:
    write_idx(folder / f"{stem}-images-idx3-ubyte{end}", images)
    if labels is not None:
        write_idx(folder / f"{stem}-labels-idx1-ubyte{end}", labels)


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path
