from pathlib import Path

import numpy as np
import pytest
import torch
from made import noise, png, save

from counterpoint.errors import SourceError
from counterpoint.sources import Folder, lookup

X = noise(24, 10, 14, 3)


def fill(folder: Path, names: list[str]) -> None:
    for name, image in zip(names, X, strict=False):
        save(folder / name, image)


def by_name(data) -> dict[str, str | None]:
    """Each image's class by its name."""
    found = {}
    for split in (data.train, data.test):
        labels = [-1] * len(split) if split.labels is None else split.labels.tolist()
        found |= {n: data.classes[i] if i >= 0 else None for n, i in zip(split.names, labels, strict=True)}
    return found


def test_flat_folder_has_no_labels_and_sizes_may_differ(tmp_path: Path) -> None:
    for i in range(10):
        save(tmp_path / f"{i}.png", noise(1, 20 + i, 40 - i, 3, seed=i)[0])
    (tmp_path / "README.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("neither")
    data = lookup(str(tmp_path)).load()
    assert data.train.images.shape[1:] == (3, 64, 64)
    assert len(data.train) + len(data.test) == 10
    assert data.train.labels is None
    assert (data.classes, data.skipped, data.kind) == ((), (), "photos")
    assert data.name == f"folder:{tmp_path.name}"
    assert lookup("folder", root=tmp_path, size=16, channels=1).load().train.images.shape[1:] == (1, 16, 16)


def test_labels_from_sub_folders_at_any_depth(tmp_path: Path) -> None:
    names = [f"deep/er/{kind}/{i}/x.png" for kind in ("cat", "dog") for i in range(5)]
    fill(tmp_path, names)
    data = Folder(str(tmp_path)).load()
    assert data.classes == ("cat", "dog")
    assert by_name(data) == {name: name.split("/")[2] for name in names}
    assert Folder(str(tmp_path), labels="none").load().train.labels is None


def test_pixels_stay_with_their_names(tmp_path: Path) -> None:
    pictures = noise(12, 64, 64, 3)
    for i, picture in enumerate(pictures):
        save(tmp_path / f"{i:02}.png", picture)
    data = Folder(str(tmp_path)).load()
    for split in (data.train, data.test):
        for name, image in zip(split.names, split.images, strict=True):
            np.testing.assert_array_equal(image.permute(1, 2, 0), pictures[int(name[:2])])


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_folders_are_the_split(tmp_path: Path, held_out: str) -> None:
    train = [f"train/{kind}/{i}.png" for kind in "ab" for i in range(3)]
    test = [f"{held_out}/{kind}/{i}.png" for kind in "bc" for i in range(2)]
    fill(tmp_path, train + test)
    data = Folder(str(tmp_path)).load()
    assert data.train.names == tuple(train)
    assert data.test.names == tuple(test)
    assert data.classes == ("a", "b", "c")
    assert data.test.labels.tolist() == [1, 1, 2, 2]
    save(tmp_path / "odd" / "x.png", X[0])
    with pytest.raises(SourceError, match="also images in odd/"):
        Folder(str(tmp_path)).load()


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path, [f"{kind}/{i}.png" for kind in ("train", "plane") for i in range(4)])
    assert Folder(str(tmp_path)).load().classes == ("plane", "train")


def test_csv_gives_labels_and_groups(tmp_path: Path) -> None:
    names = [f"in/{i}.png" for i in range(20)]
    fill(tmp_path, names)
    lines = ["File,Label,patient", *(f"in/{i}.png,{'xy'[i % 2]},p{i // 4}" for i in range(18)), "in/gone.png,x,p9"]
    (tmp_path / "notes.csv").write_text("\n".join(lines))
    data = Folder(str(tmp_path), labels="notes.csv", group="patient", test_share=0.3).load()
    assert by_name(data) == {f"in/{i}.png": "xy"[i % 2] if i < 18 else None for i in range(20)}
    assert [one.name for one in data.skipped] == ["in/gone.png"]
    sides = [{int(n[3:-4]) // 4 for n in split.names if int(n[3:-4]) < 18} for split in (data.train, data.test)]
    assert not sides[0] & sides[1]
    assert data.train.groups is not None
    assert Folder(str(tmp_path), labels=str(tmp_path / "notes.csv")).load().classes == ("x", "y")


def test_csv_beside_the_folder_and_without_labels(tmp_path: Path) -> None:
    fill(tmp_path / "images", [f"{i}.png" for i in range(6)])
    lines = ["filename,burst", *(f"images/{i}.png,b{i // 2}" for i in range(6))]
    (tmp_path / "t.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    data = Folder(str(tmp_path / "images"), labels=str(tmp_path / "t.csv"), group="burst").load()
    assert data.train.labels is None
    assert "3 groups" in data.split


def test_duplicates_under_other_names_and_formats_stay_together(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"{i}.png", X[i])
        save(tmp_path / "copies" / f"{i}.bmp", X[i])
    data = Folder(str(tmp_path), labels="none", test_share=0.5).load()
    stems = [{Path(name).stem for name in split.names} for split in (data.train, data.test)]
    assert not stems[0] & stems[1]
    assert "12 exact duplicates" in data.split


def test_names_do_not_decide_the_side(tmp_path: Path) -> None:
    fill(tmp_path / "a", [f"{i}.png" for i in range(20)])
    fill(tmp_path / "b", [f"z{99 - i}.png" for i in range(20)])
    one, two = Folder(str(tmp_path / "a")).load(), Folder(str(tmp_path / "b"), size=32).load()
    assert {int(n[:-4]) for n in one.test.names} == {99 - int(n[1:-4]) for n in two.test.names}


def test_damaged_files_are_skipped_until_they_are_too_many(tmp_path: Path) -> None:
    fill(tmp_path, [f"{i}.png" for i in range(10)])
    (tmp_path / "bad.jpg").write_bytes(b"")
    data = Folder(str(tmp_path)).load()
    assert [(one.name, one.reason) for one in data.skipped] == [("bad.jpg", "the file is empty")]
    (tmp_path / "worse.jpg").write_bytes(png(X[0])[:90])
    with pytest.raises(SourceError, match=r"2 of the 12 images .*bad\.jpg: the file is empty"):
        Folder(str(tmp_path)).load()
    assert len(Folder(str(tmp_path), bad_share=0.5).load().skipped) == 2


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    fill(tmp_path, ["a/0.png", "b/1.png", "b/2.png"])
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(by_name(Folder(str(tmp_path), labels="none").load())) == 3


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    def told(match: str, **options) -> None:
        with pytest.raises(SourceError, match=match) as caught:
            Folder(str(tmp_path), **options).load()
        assert "\n" not in str(caught.value)

    told("holds no image")
    save(tmp_path / "a.png", X[0])
    told("one image only")
    save(tmp_path / "b.png", X[0])
    told("same pixels")
    save(tmp_path / "b.png", X[1])
    told("needs images in two sub-folders", labels="folders")
    told("labels='no.csv' is no file", labels="no.csv")
    told("group='who' is a column of a CSV", group="who")
    told("size=0", size=0)
    told("channels=2", channels=2)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    told("no column 'file'; its first line is: a, b", labels="t.csv")
    (tmp_path / "t.csv").write_text("file,b\na.png,2\n")
    told("no column 'label'", labels="t.csv")
    told("group='c' is no column", labels="t.csv", group="c")
    (tmp_path / "t.csv").write_text("file,label\nq.png,2\n")
    told("none of the 1 files in", labels="t.csv")
    (tmp_path / "t.csv").write_text("file,label\na.png,2\na.png,3\n")
    told("two labels, '2' and '3'", labels="t.csv")
    save(tmp_path / "sub" / "c.png", X[2])
    told("is mixed up: 2 images lie loose and 1 in sub-folders")
    loose = Folder(str(tmp_path), labels="folders", test_share=0.0).load()
    assert by_name(loose) == {"a.png": None, "b.png": None, "sub/c.png": "sub"}
    with pytest.raises(SourceError, match="does not exist"):
        Folder(str(tmp_path / "no")).load()
    with pytest.raises(SourceError, match="is a file"):
        Folder(str(tmp_path / "a.png")).load()


def test_photos_of_the_real_world(data: Path) -> None:
    found = lookup("folder", root=data / "photos").load()
    assert len(found.train) + len(found.test) == 115
    assert not found.skipped
    assert torch.unique(found.train.images).numel() > 200
