import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from made import noise, save

from counterpoint.errors import SourceError
from counterpoint.sources import Arrays, Cifar, Digits, Folder, Idx, Parquet, Stl10, lookup, names


def test_every_name_is_found() -> None:
    kinds = {
        "digits": Digits,
        "cifar10": Cifar,
        "cifar100": Cifar,
        "stl10": Stl10,
        "folder": Folder,
        "parquet": Parquet,
        "arrays": Arrays,
    }
    for name, said in names().items():
        assert said
        assert "\n" not in said
        if name != "emnist":
            assert isinstance(lookup(name, root=None if name == "digits" else "x"), kinds.get(name, Idx))
    assert lookup("emnist:letters").name == "emnist:letters"


def test_options_reach_the_source(tmp_path: Path) -> None:
    assert lookup("digits", size=12, test_share=0.1) == Digits(12, 0.1)
    root = str(tmp_path)
    assert lookup("folder", root=tmp_path, labels="none", bad_share=0.5) == Folder(root, labels="none", bad_share=0.5)
    assert lookup(f"folder:{tmp_path}", size=32) == Folder(root, 32)
    assert lookup("emnist:digits", root=tmp_path, transpose=False) == Idx("emnist:digits", root, transpose=False)
    with pytest.raises(FrozenInstanceError):
        lookup("digits").size = 3


def test_paths(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path / "photos" / "a.png", noise(1, 4, 4, 3)[0])
    monkeypatch.chdir(tmp_path)
    for word in ("photos/", "photos", str(tmp_path / "photos")):
        assert lookup(word) == Folder(str(tmp_path / "photos"))
    (tmp_path / "digits").mkdir()
    assert lookup("digits") == Digits()
    assert lookup("./digits") == Folder(str(tmp_path / "digits"))


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    for match, word, options in (
        ("no source 'mnst'; did you mean 'mnist'", "mnst", {}),
        ("photos/ does not exist", "photos/", {}),
        ("emnist needs the name of a split", "emnist", {}),
        ("emnist has no split 'leters'; did you mean 'letters'", "emnist:leters", {}),
        ("takes nothing after a colon", "mnist:a", {}),
        ("source 'digits' takes no root; it takes size, test_share", "digits", {"root": "x"}),
        ("source 'mnist' takes no group", "mnist", {"group": "x"}),
        ("source 'cifar10' takes no colour", "cifar10", {"colour": 1}),
        ("'folder' needs to know where", "folder", {}),
        ("is a file, but no Parquet file", str(tmp_path / "x.txt"), {}),
        ("is another; give one", str(tmp_path), {"root": "x"}),
        ("give one", "folder:a", {"root": "x"}),
    ):
        with pytest.raises(SourceError, match=match) as caught:
            lookup(word, **options)
        assert "\n" not in str(caught.value)


def test_digits_are_scaled_and_split() -> None:
    from sklearn.datasets import load_digits

    data = Digits().load()
    rows = [[int(name.split()[1]) for name in split.names] for split in (data.train, data.test)]
    assert sorted(rows[0] + rows[1]) == list(range(1797))
    truth = load_digits()
    for side, split in zip(rows, (data.train, data.test), strict=True):
        np.testing.assert_array_equal(split.labels, truth.target[side])
        np.testing.assert_array_equal(split.images[:, 0], np.rint(truth.images[side] * 255 / 16))
    assert data.train.images.max() == 255
    assert 0.16 < len(data.test) / 1797 < 0.24
    seen = {image.numpy().tobytes() for image in data.train.images}
    assert not any(image.numpy().tobytes() in seen for image in data.test.images)
    again = Digits(size=16).load()
    assert again.test.names == data.test.names
    assert again.train.images.shape[1:] == (1, 16, 16)
    assert again.train.images.dtype == torch.uint8
    with pytest.raises(SourceError, match="size=0"):
        Digits(size=0).load()


def test_names_need_nothing_heavy() -> None:
    code = (
        "import sys; from counterpoint.sources import lookup, names; names(); lookup('digits');"
        "print([m for m in ('sklearn', 'pyarrow', 'torchvision', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
