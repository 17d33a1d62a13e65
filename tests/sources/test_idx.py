import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from made import noise, write_idx, write_pair

from counterpoint.errors import SourceError
from counterpoint.sources import Idx, lookup

X, Y = noise(30, 28, 28), np.arange(30, dtype=np.uint8) % 10


def both(folder: Path, test: str = "t10k", end: str = "", prefix: str = "") -> None:
    write_pair(folder, f"{prefix}train", X[:20], Y[:20], end)
    write_pair(folder, f"{prefix}{test}", X[20:], Y[20:], end)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("inside", [".", "raw", "MNIST/raw", "MNIST"])
def test_mnist_in_the_usual_places(tmp_path: Path, end: str, inside: str) -> None:
    both(tmp_path / inside, end=end)
    data = lookup("mnist", root=tmp_path).load()
    assert torch.equal(data.train.images, torch.from_numpy(X[:20])[:, None])
    assert torch.equal(data.test.images, torch.from_numpy(X[20:])[:, None])
    assert data.train.labels.tolist() == Y[:20].tolist()
    assert (data.name, data.kind, len(data.classes)) == ("mnist", "glyphs", 10)


def test_kinds_and_other_names(tmp_path: Path) -> None:
    both(tmp_path, test="test", end=".gz")
    assert Idx("fashion_mnist", str(tmp_path)).load().kind == "objects"
    assert Idx("kmnist", str(tmp_path)).load().kind == "glyphs"
    assert Idx("mnist", str(tmp_path), size=14).load().train.images.shape == (20, 1, 14, 14)
    assert lookup(str(tmp_path)).load().classes == tuple(str(i) for i in range(10))


def test_dots_in_names_and_gzip_without_its_suffix(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", X)
    (tmp_path / "a.gz").rename(tmp_path / "train-images.idx3-ubyte")
    data = Idx(root=str(tmp_path)).load()
    assert data.train.labels is None
    assert len(data.train) + len(data.test) == 30
    assert "hash of content" in data.split


def test_any_pair_gets_a_split(tmp_path: Path) -> None:
    write_pair(tmp_path, "cells", X, Y)
    data = Idx(root=str(tmp_path), test_share=0.5).load()
    assert len(data.test) > 5
    for split in (data.train, data.test):
        for i, name in enumerate(split.names):
            row = int(name.split()[1])
            assert split.labels[i] == Y[row]
            assert torch.equal(split.images[i, 0], torch.from_numpy(X[row]))


def strokes(n: int, classes: str) -> tuple[np.ndarray, np.ndarray]:
    """Upright characters in the rough: a tall bar, or for M and W a wide one."""
    labels = np.arange(n) % len(classes)
    images = np.zeros((n, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        if classes[label] in "MW":
            image[12:16, 3:25] = 200
        else:
            image[3:25, 12:16] = 200
    return images, labels


def emnist(folder: Path, *, turned: bool, first: int, mapping: bool = True) -> np.ndarray:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    images, labels = strokes(520, letters)
    stored = images.transpose(0, 2, 1) if turned else images
    for side in ("train", "test"):
        write_pair(folder, f"emnist-letters-{side}", stored, labels + first, ".gz")
    if mapping:
        lines = [f"{i + first} {ord(c)} {ord(c.lower())}" for i, c in enumerate(letters)]
        (folder / "mapping.txt").write_text("\n".join(lines))
    return images


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_emnist_is_turned_upright_and_counted_from_zero(
    tmp_path: Path, turned: bool, mapping: bool, first: int
) -> None:
    images = emnist(tmp_path, turned=turned, first=first, mapping=mapping)
    data = lookup("emnist:letters", root=tmp_path).load()
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(images))
    assert data.classes[:2] == ("A/a", "B/b")
    assert len(data.classes) == 26
    assert data.train.labels[:3].tolist() == [0, 1, 2]
    assert ("stored transposed" if turned else "stored upright") in data.split
    assert f"labels start at {first}" in data.split


def test_emnist_options_are_checked(tmp_path: Path) -> None:
    emnist(tmp_path, turned=True, first=1)
    assert "transposed" in lookup("emnist:letters", root=tmp_path, transpose=True, label_offset=1).load().split
    with pytest.raises(SourceError, match="transpose=False contradicts"):
        lookup("emnist:letters", root=tmp_path, transpose=False).load()
    with pytest.raises(SourceError, match="label_offset=0 contradicts"):
        lookup("emnist:letters", root=tmp_path, label_offset=0).load()
    (tmp_path / "mapping.txt").unlink()
    with pytest.raises(SourceError, match="label 26 and label offset 0"):
        lookup("emnist:letters", root=tmp_path, label_offset=0).load()
    with pytest.raises(SourceError, match="above the smallest label"):
        lookup("emnist:letters", root=tmp_path, label_offset=2).load()


def test_emnist_that_says_nothing_asks(tmp_path: Path) -> None:
    for side in ("train", "test"):
        write_pair(tmp_path, f"emnist-digits-{side}", X, Y)
    with pytest.raises(SourceError, match="cannot be told"):
        lookup("emnist:digits", root=tmp_path).load()
    kept = lookup("emnist:digits", root=tmp_path, transpose=False).load()
    turned = lookup("emnist:digits", root=tmp_path, transpose=True).load()
    assert torch.equal(kept.train.images.transpose(2, 3), turned.train.images)
    for side in ("train", "test"):
        write_idx(tmp_path / f"emnist-digits-{side}-labels-idx1-ubyte", Y + 5)
    with pytest.raises(SourceError, match="labels of emnist:digits start at 5"):
        lookup("emnist:digits", root=tmp_path, transpose=False).load()


def test_emnist_takes_its_own_split_from_the_shared_folder(tmp_path: Path) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    emnist(raw, turned=True, first=1, mapping=False)
    both(raw, test="test", prefix="emnist-digits-")
    assert len(lookup("emnist:letters", root=tmp_path).load().classes) == 26
    with pytest.raises(SourceError, match="emnist-balanced-train"):
        lookup("emnist:balanced", root=tmp_path).load()


def test_damage_is_told_in_a_sentence(tmp_path: Path) -> None:
    both(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    zipped = gzip.compress(whole)
    cases = {
        "is cut short": whole[:-5],
        "header is not complete": whole[:9],
        "goes on after": whole + b"x",
        "is no IDX file": b"<html>not found</html>",
        "starts with nothing": b"",
        "is damaged": zipped[:-200],
        "damaged: ": zipped[:300] + bytes(50) + zipped[350:],
        "images must be uint8": bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2]),
        "holds no image": bytes([0, 0, 8, 3]) + bytes(12),
    }
    for said, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(SourceError, match=said) as caught:
            Idx("mnist", str(tmp_path)).load()
        assert "\n" not in str(caught.value)


def test_parts_that_do_not_fit_together(tmp_path: Path) -> None:
    both(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", Y[:7])
    with pytest.raises(SourceError, match="7 labels for 20 images"):
        Idx("mnist", str(tmp_path)).load()
    write_idx(tmp_path / "train-labels-idx1-ubyte", Y[:20] + 20)
    with pytest.raises(SourceError, match="label 29"):
        Idx("mnist", str(tmp_path)).load()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(SourceError, match="not its labels"):
        Idx("mnist", str(tmp_path)).load()
    with pytest.raises(SourceError, match="not its labels"):
        Idx(root=str(tmp_path)).load()
    both(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", noise(10, 20, 20))
    with pytest.raises(SourceError, match=r"differ in shape: 28x28 and 20x20"):
        Idx("mnist", str(tmp_path)).load()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        Idx("mnist", str(tmp_path / "no")).load()
    with pytest.raises(SourceError, match="train-images-idx3-ubyte"):
        Idx("mnist", str(tmp_path)).load()


def test_a_download_that_fails_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    from torchvision import datasets

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no\nnetwork")

    monkeypatch.setattr(datasets, "MNIST", fail)
    with pytest.raises(SourceError, match=r"could not be downloaded .*\(no network\)"):
        Idx("mnist", str(tmp_path), download=True).load()


def test_a_download_is_found_where_torchvision_puts_it(tmp_path: Path, monkeypatch) -> None:
    from torchvision import datasets

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(datasets, "KMNIST", lambda root, download: both(Path(root) / "KMNIST" / "raw"))
    assert len(Idx("kmnist").load().train) == 20
    monkeypatch.delattr(datasets, "KMNIST")
    assert len(Idx("kmnist").load().train) == 20


def test_real_emnist_is_upright(data: Path) -> None:
    said = lookup("emnist:letters", root=data / "emnist_letters").load()
    assert "stored upright" in said.split
    assert len(said.train) == 124_800
