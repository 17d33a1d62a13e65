"""Decoding: images per second of a folder of photos and of CIFAR-10 in Parquet, on one core and on all.

    COUNTERPOINT_DATA=DATA python -m benchmarks.decode

The peer is what one writes without a library: `torchvision.io.decode_image`, antialiased resize, centre crop, in a
DataLoader with a worker for each core, kept between repeats (their start is not counted). Ours starts as many threads
anew each time, and also digests the pixels of photos, for the split by content.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import CenterCrop, Compose, Resize

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint.sources import Folder, Parquet, Storage, storing

COPIES = 4  # of each photo, under other names
CIFAR = 10_000  # its test images


class Encoded(Dataset[torch.Tensor]):
    """Files, or bytes, decoded one at a time."""

    def __init__(self, items: Sequence[Path | bytes], size: int | None) -> None:
        self.items = items
        self.fit = Compose([Resize(size, antialias=True), CenterCrop(size)]) if size else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> torch.Tensor:
        item = self.items[index]
        contents = item.read_bytes() if isinstance(item, Path) else item
        image = decode_image(torch.frombuffer(bytearray(contents), dtype=torch.uint8), ImageReadMode.RGB)
        return self.fit(image) if self.fit else image


@contextmanager
def one_core() -> Generator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compared(
    what: str, images: int, load: Callable[[], object], items: Sequence[Path | bytes], size: int | None
) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    loader = DataLoader(Encoded(items, size), batch_size=128, num_workers=cores, persistent_workers=True)

    def all_cores() -> None:
        with storing(Storage(memory=2**40)):
            load()

    def single() -> None:
        with one_core():
            all_cores()

    sides: dict[str, Callable[[], object]] = {
        "all": all_cores,
        "one": single,
        "peer": lambda: sum(len(batch) for batch in loader),
    }
    rate = {name: images / seconds for name, seconds in middle(interleaved(sides, repeats=5)).items()}
    peer = f"torchvision.io.decode_image, resize and crop, DataLoader with {cores} workers"
    return [
        Row(
            f"decode {what}, {cores} threads on {cores} cores",
            rate["all"],
            rate["peer"],
            "images/s",
            peer,
            rate["all"] / rate["peer"],
        ),
        Row(
            f"decode {what}, {cores} cores against one",
            rate["all"],
            rate["one"],
            "images/s",
            "ourselves on one core",
            rate["all"] / rate["one"],
        ),
    ]


def rows() -> list[Row]:
    import pyarrow.parquet as pq

    data = Path(os.environ["COUNTERPOINT_DATA"])
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        photos = [path for path in sorted((data / "photos").iterdir()) if path.suffix.lower() in (".jpeg", ".jpg")]
        for copy in range(COPIES):
            for path in photos:
                shutil.copy(path, Path(made) / f"{copy}-{path.name}")
        files = sorted(Path(made).iterdir())
        found += compared(
            f"{len(files)} photos to 64 px", len(files), Folder(made, size=64, labels="none").load, files, 64
        )
        shutil.copy(data / "cifar10" / "test.parquet", Path(made) / "cifar.parquet")
        column = pq.read_table(Path(made) / "cifar.parquet").column("image").to_pylist()
        items = [row["bytes"] if isinstance(row, dict) else row for row in column]
        source = Parquet(str(Path(made) / "cifar.parquet"))
        found += compared(f"{CIFAR:,} images of CIFAR-10 in Parquet", CIFAR, source.load, items, None)
    return found


if __name__ == "__main__":
    show(rows())
