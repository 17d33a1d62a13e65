from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import noise

from counterpoint.errors import SourceError
from counterpoint.sources import Arrays, lookup

X = noise(40, 6, 5)
COLOUR = noise(40, 6, 5, 3)
Y = np.arange(40) % 4


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_one_array_is_split_by_content(tmp_path: Path) -> None:
    data = Arrays(str(npz(tmp_path / "set.npz", images=X, labels=Y)), test_share=0.3).load()
    assert (data.name, data.kind, data.classes) == ("arrays:set", "glyphs", ("0", "1", "2", "3"))
    assert data.train.images.shape[1:] == (1, 5, 5)
    assert len(data.train) + len(data.test) == 40
    assert len(data.test)
    assert data.split.startswith("made by a hash of content")
    plain = Arrays(str(tmp_path / "set.npz"), test_share=0.0).load().train
    assert torch.equal(plain.images, torch.from_numpy(X)[:, None, :5])
    assert torch.equal(plain.labels, torch.from_numpy(Y))


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images", "labels", "images-test", "labels-test"),
    ],
)
def test_the_files_own_split_is_found_by_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    square = noise(40, 5, 5)
    arrays = dict(zip(names, (square[:30], Y[:30], square[30:], Y[30:, None]), strict=True))
    data = Arrays(str(npz(tmp_path / "a.npz", val_images=square[:2], **arrays))).load()
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(square[:30]))
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(square[30:]))
    assert data.test.labels.tolist() == Y[30:].tolist()
    assert data.split == "the file's own"
    made = Arrays(str(tmp_path / "a.npz"), images=names[0], labels=names[1], test_images="none").load()
    assert len(made.train) + len(made.test) == 30


def test_classes_within_super_classes(tmp_path: Path) -> None:
    alphabet = np.array(["Greek", "Latin"])[np.arange(40) % 2]
    character = 1 + np.arange(40) % 12 // 2
    path = npz(tmp_path / "glyphs.npz", images=X, alphabet=alphabet, character=character)
    data = lookup(str(path), labels="alphabet/character", test_share=0.0).load()
    assert len(data.classes) == 12
    assert data.super_classes == ("Greek", "Latin")
    assert data.classes[0] == "Greek 001"
    assert data.super_of.tolist() == [0] * 6 + [1] * 6
    said = [(data.classes[i], data.super_classes[data.super_of[i]]) for i in data.train.labels]
    assert said[3] == ("Latin 002", "Latin")


def test_numbers_of_every_kind_become_bytes(tmp_path: Path) -> None:
    for name, array in {
        "int": X.astype(np.int32),
        "unit": X.astype(np.float32) / 255,
        "float": X.astype(np.float64),
        "colour": COLOUR,
        "channel": X[..., None],
    }.items():
        data = Arrays(str(npz(tmp_path / f"{name}.npz", x=array)), test_share=0.0, size=5).load()
        expected = torch.from_numpy(COLOUR if name == "colour" else X[..., None]).permute(0, 3, 1, 2)
        # The centre of the longer side is cut out.
        assert torch.equal(data.train.images, expected[:, :, :5]), name
        assert data.train.labels is None
        assert data.kind == ("photos" if name == "colour" else "glyphs")
    ink = Arrays(str(npz(tmp_path / "bool.npz", images=X[:, :5] > 100)), test_share=0.0).load()
    assert set(ink.train.images.unique().tolist()) == {0, 255}
    assert torch.equal(ink.train.images[:, 0] == 255, torch.from_numpy(X[:, :5] > 100))


def test_inverted_ink_and_a_plain_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X[:, :5])
    data = lookup(str(tmp_path / "a.npy"), invert=True, test_share=0.0, kind="objects").load()
    assert torch.equal(data.train.images[:, 0], 255 - torch.from_numpy(X[:, :5]))
    assert data.kind == "objects"


def test_groups_stay_together(tmp_path: Path) -> None:
    drawer = np.arange(40) // 5
    data = Arrays(str(npz(tmp_path / "a.npz", images=X, drawer=drawer)), group="drawer", test_share=0.4).load()
    assert "whole groups together" in data.split
    assert not set(data.train.groups.tolist()) & set(data.test.groups.tolist())
    assert len(data.test) % 5 == 0


@pytest.mark.parametrize(
    ("arrays", "options", "match"),
    [
        ({"a": X}, {}, "no array that looks like images; name one by images=NAME; known: a"),
        ({"images": X}, {"images": "imagse"}, "images='imagse' is no array .* did you mean 'images'"),
        ({"images": X, "labels": Y[:3]}, {}, r"40 images, but its labels or groups have shape \[3\]"),
        ({"images": X, "g": Y[:3]}, {"group": "g"}, r"have shape \[3\]"),
        ({"images": X[0]}, {}, r"has shape \[6, 5\]; expected"),
        ({"images": noise(4, 3, 3, 2)}, {}, "with 1 or 3 channels"),
        ({"images": X[:0]}, {}, "holds no image"),
        ({"images": X.astype(float) * np.nan}, {}, "numbers from nan"),
        ({"images": X.astype(int) - 300}, {}, "expected 0 to 255"),
        ({"images": X.astype(str)}, {}, "expected integers, booleans or floats"),
        ({"x_train": X, "x_test": COLOUR}, {}, "differ in channels"),
        ({"x_train": X, "x_test": X, "y_train": Y}, {}, "labels for one of x_train and x_test only"),
        ({"images": X, "labels": Y}, {"labels": "a/b/c"}, "names 3 arrays; expected one, or SUPER/CLASS"),
        ({"images": X}, {"size": 0}, "size=0"),
        ({"images": np.array([object()] * 3)}, {}, "Python objects, which could run code"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], match: str) -> None:
    path = npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(SourceError, match=match) as caught:
        Arrays(str(path), **options).load()
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays here")
    (tmp_path / "empty.npy").write_bytes(b"")
    whole = npz(tmp_path / "whole.npz", images=noise(400, 20, 20)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name, match in {
        "text.npz": "cannot be read",
        "empty.npy": "cannot be read",
        "cut.npz": "cannot be read",
        "flipped.npz": "cannot be read",
        "gone.npz": "does not exist",
        ".": "is a folder, where a file was expected",
    }.items():
        with pytest.raises(SourceError, match=match):
            Arrays(str(tmp_path / name)).load()


def test_real_omniglot(data: Path) -> None:
    path = data / "omniglot_small1" / "omniglot.npz"
    found = lookup(str(path), size=28, labels="alphabet/character", test_share=0.0).load()
    assert found.train.images.shape == (2720, 1, 28, 28)
    assert (len(found.classes), len(found.super_classes)) == (136, 5)
    assert found.train.labels.bincount().tolist() == [20] * 136
    assert found.train.images.float().mean() < 64, "bright ink on dark, as MNIST has it"
