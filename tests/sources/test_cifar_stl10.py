import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made import noise, png

from counterpoint.errors import SourceError
from counterpoint.sources import lookup

X = noise(60, 3, 1024).reshape(60, 3072)


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))


def cifar10(root: Path) -> None:
    for i in range(5):
        rows = slice(10 * i, 10 * i + 10)
        dump(root / "cifar-10-batches-py" / f"data_batch_{i + 1}", {"data": X[rows], "labels": list(range(10))})
    dump(root / "cifar-10-batches-py" / "test_batch", {"data": X[50:], "labels": list(range(10))[::-1]})


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py"])
def test_cifar10_batches(tmp_path: Path, inside: str) -> None:
    cifar10(tmp_path)
    data = lookup("cifar10", root=tmp_path / inside).load()
    assert torch.equal(data.train.images, torch.from_numpy(X[:50]).view(-1, 3, 32, 32))
    assert data.test.labels.tolist() == list(range(10))[::-1]
    assert data.classes[3] == "cat"
    assert data.kind == "photos"
    assert lookup("cifar10", root=tmp_path, size=16).load().test.images.shape == (10, 3, 16, 16)


def test_cifar100_has_super_classes(tmp_path: Path) -> None:
    names = [f"fine{i}" for i in range(100)]
    fine = np.arange(100)
    for file in ("train", "test"):
        values = {
            "data": noise(100, 3072, 1)[..., 0],
            "fine_labels": fine.tolist(),
            "coarse_labels": (fine % 20).tolist(),
        }
        dump(tmp_path / "cifar-100-python" / file, values)
    meta = {"fine_label_names": names, "coarse_label_names": [f"coarse{i}" for i in range(20)]}
    dump(tmp_path / "cifar-100-python" / "meta", meta)
    data = lookup("cifar100", root=tmp_path).load()
    assert (len(data.classes), len(data.super_classes)) == (100, 20)
    assert data.super_of.tolist() == (fine % 20).tolist()


def test_cifar10_from_parquet(tmp_path: Path) -> None:
    images = X.reshape(60, 3, 32, 32).transpose(0, 2, 3, 1)
    for name, rows in {"train": slice(0, 50), "test": slice(50, 60)}.items():
        table = pa.table({"image": [png(one) for one in images[rows]], "label": np.arange(60)[rows] % 10})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    data = lookup("cifar10", root=tmp_path).load()
    assert torch.equal(data.train.images, torch.from_numpy(X[:50]).view(-1, 3, 32, 32))
    assert (data.name, data.classes[9]) == ("cifar10", "truck")
    with pytest.raises(SourceError, match="have 10 classes, where cifar100 has 100"):
        lookup("cifar100", root=tmp_path).load()


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def test_damaged_and_hostile_batches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    for value, match in (
        ({"data": X[:2]}, "one label for each of its 2"),
        ({"data": X[:2, :9], "labels": [1, 2]}, "image x 3072"),
        ([1], "holds a list"),
        ({"data": Attack(), "labels": []}, "no data file needs"),
    ):
        dump(folder / "data_batch_2", value)
        with pytest.raises(SourceError, match=match):
            lookup("cifar10", root=tmp_path).load()
    assert not (tmp_path / "attacked").exists()
    (folder / "data_batch_2").write_bytes(b"\x80")
    with pytest.raises(SourceError, match="is damaged"):
        lookup("cifar10", root=tmp_path).load()
    (folder / "data_batch_2").unlink()
    with pytest.raises(SourceError, match="data_batch_2 is missing"):
        lookup("cifar10", root=tmp_path).load()
    (folder / "test_batch").unlink()
    with pytest.raises(SourceError, match="holds neither cifar-10-batches-py nor"):
        lookup("cifar10", root=tmp_path).load()


def test_stl10_with_its_unlabelled_part(tmp_path: Path) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = noise(6, 96, 96, 3)
    for side, rows in {"train": slice(0, 2), "test": slice(2, 4), "unlabeled": slice(4, 6)}.items():
        images[rows].transpose(0, 3, 2, 1).tofile(folder / f"{side}_X.bin")
        np.array([10, 1], np.uint8).tofile(folder / f"{side}_y.bin")
    data = lookup("stl10", root=tmp_path).load()
    expected = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.equal(data.train.images, expected[:2])
    assert torch.equal(data.unlabelled.images, expected[4:])
    assert data.train.labels.tolist() == [9, 0]
    assert data.classes[9] == "truck"
    assert lookup("stl10", root=folder, size=48).load().unlabelled.images.shape == (2, 3, 48, 48)
    (folder / "train_y.bin").write_bytes(b"\x00\x01")
    with pytest.raises(SourceError, match="a label from 1 to 10 for each of 2 images"):
        lookup("stl10", root=tmp_path).load()
    (folder / "train_X.bin").write_bytes(b"12345")
    with pytest.raises(SourceError, match="multiple of 27,648"):
        lookup("stl10", root=tmp_path).load()


def test_real_cifar10(data: Path) -> None:
    found = lookup("cifar10", root=data / "cifar10").load()
    assert found.train.images.shape == (50_000, 3, 32, 32)
    assert found.test.labels.bincount().tolist() == [1000] * 10
