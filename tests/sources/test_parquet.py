import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made import noise, png, save

from counterpoint.errors import SourceError
from counterpoint.sources import Parquet, lookup

X = noise(40, 12, 12, 3)
Y = np.arange(40) % 4


def put(path: Path, columns: dict, metadata: dict | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path, row_group_size=7)
    return path


def encoded(images: np.ndarray = X) -> list[bytes]:
    return [png(image) for image in images]


def pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_train_and_test_files(tmp_path: Path) -> None:
    put(tmp_path / "train.parquet", {"image": encoded(X[:30]), "label": Y[:30]})
    put(tmp_path / "test.parquet", {"image": encoded(X[30:]), "label": Y[30:]})
    put(tmp_path / "validation.parquet", {"image": encoded(X[:3]), "label": Y[:3]})
    data = lookup(str(tmp_path)).load()
    assert torch.equal(data.train.images, pixels(X[:30]))
    assert torch.equal(data.test.images, pixels(X[30:]))
    assert data.test.labels.tolist() == Y[30:].tolist()
    assert data.classes == ("0", "1", "2", "3")
    assert data.train.names[29] == "train.parquet:29"
    assert "validation is left out" in data.split
    assert lookup(str(tmp_path), size=6).load().train.images.shape == (30, 3, 6, 6)
    assert lookup(str(tmp_path), labels="none").load().train.labels is None


def test_hugging_face_layout(tmp_path: Path) -> None:
    features = {
        "img": {"_type": "Image"},
        "fine_label": {"names": list("wxyz"), "_type": "ClassLabel"},
        "coarse_label": {"names": ["early", "late"], "_type": "ClassLabel"},
    }
    meta = {"huggingface": json.dumps({"info": {"features": features}})}
    rows = [{"bytes": b, "path": f"{i}.png"} for i, b in enumerate(encoded())]
    for name, part in {
        "train-00000-of-00002": slice(0, 15),
        "train-00001-of-00002": slice(15, 30),
        "test-00000-of-00001": slice(30, 40),
    }.items():
        columns = {"img": rows[part], "fine_label": Y[part], "coarse_label": Y[part] // 2}
        put(tmp_path / "data" / f"{name}.parquet", columns, meta)
    data = lookup("parquet", root=tmp_path).load()
    assert torch.equal(data.train.images, pixels(X[:30]))
    assert data.classes == ("w", "x", "y", "z")
    assert data.super_classes == ("early", "late")
    assert data.super_of.tolist() == [0, 0, 1, 1]
    assert data.train.names[16] == "16.png"
    assert lookup("parquet", root=tmp_path, labels="coarse_label", super_labels="none").load().classes == (
        "early",
        "late",
    )
    (tmp_path / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(SourceError, match="lacks shard 0 of 2 of its train files"):
        lookup("parquet", root=tmp_path).load()


def test_hugging_face_paths_and_folders_of_splits(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a.png", X[0])
    put(
        tmp_path / "train" / "0000.parquet",
        {"image": [{"bytes": None, "path": "a.png"}, {"bytes": png(X[1]), "path": None}]},
    )
    put(
        tmp_path / "test" / "0000.parquet",
        {"image": [{"bytes": png(X[2]), "path": ""}, {"bytes": png(X[3]), "path": None}]},
    )
    data = Parquet(str(tmp_path)).load()
    assert torch.equal(data.train.images, pixels(X[:2]))
    assert data.train.names == ("a.png", "0000.parquet:1")
    assert data.train.labels is None


def test_one_file_gets_a_split_with_groups_and_duplicates(tmp_path: Path) -> None:
    twice = np.concatenate([X, X[:5]])
    patients = [f"p{i // 4}" for i in range(40)] + [None] * 5
    path = put(tmp_path / "all.parquet", {"image": encoded(twice), "label": np.arange(45) % 4, "patient": patients})
    data = lookup(str(path), group="patient", test_share=0.4).load()
    rows = [[int(name.split(":")[1]) for name in split.names] for split in (data.train, data.test)]
    assert sorted(rows[0] + rows[1]) == list(range(45))
    assert not {patients[i] for i in rows[0] if i < 40} & {patients[i] for i in rows[1] if i < 40}
    for i in range(5):
        assert (i in rows[1]) == (40 + i in rows[1])
    assert "5 exact duplicates" in data.split
    assert "whole groups together (10 groups)" in data.split
    for side, split in zip(rows, (data.train, data.test), strict=True):
        assert torch.equal(split.images, pixels(twice[side]))
        assert split.labels.tolist() == [i % 4 for i in side]
    sizes = lookup(str(path), group="patient", test_share=0.4, size=5).load()
    assert sizes.test.names == data.test.names


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("layout", ["hwc", "chw", "hw"])
def test_raw_arrays_as_nested_lists(tmp_path: Path, dtype: str, layout: str) -> None:
    arrays = {"hwc": X, "chw": X.transpose(0, 3, 1, 2), "hw": X[..., 0]}[layout]
    values = (arrays / 255).astype(dtype) if dtype == "float32" else arrays.astype(dtype)
    put(tmp_path / "train.parquet", {"image": values[:30].tolist()})
    put(tmp_path / "test.parquet", {"image": values[30:].tolist()})
    data = Parquet(str(tmp_path)).load()
    expected = pixels(X[:30]) if layout != "hw" else torch.from_numpy(X[:30, None, :, :, 0])
    assert torch.equal(data.train.images, expected)
    assert data.kind == ("objects" if layout == "hw" else "photos")


def test_flat_arrays_need_a_shape(tmp_path: Path) -> None:
    rows = [image.tobytes() for image in X]
    path = put(tmp_path / "a.parquet", {"pixels": pa.array(rows, pa.binary(432)), "label": Y})
    with pytest.raises(SourceError, match="432 numbers; say their shape"):
        Parquet(str(path)).load()
    with pytest.raises(SourceError, match=r"shape=10 x 10 x 3 needs 300"):
        Parquet(str(path), shape=(10, 10, 3)).load()
    data = Parquet(str(path), shape=(12, 12, 3), test_share=0.0).load()
    assert torch.equal(data.train.images, pixels(X))
    path = put(tmp_path / "b.parquet", {"pixels": pa.array(rows, pa.binary()), "label": Y})
    assert torch.equal(Parquet(str(path), shape=(12, 12, 3), test_share=0.0).load().train.images, pixels(X))
    path = put(tmp_path / "c.parquet", {"pixels": X[..., 0].reshape(40, -1).tolist()})
    data = Parquet(str(path), kind="glyphs", test_share=0.0).load()
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(X[..., 0]))
    assert data.kind == "glyphs"


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    def told(values: list, match: str) -> None:
        path = put(tmp_path / "x.parquet", {"image": values})
        with pytest.raises(SourceError, match=match) as caught:
            Parquet(str(path)).load()
        assert "\n" not in str(caught.value)

    told([X[0].tolist(), X[1, :11].tolist()], "different sizes")
    told([X[0, :, :, :2].tolist()] * 2, "12 x 12 x 2")
    told([[[300, 1], [2, 3]]] * 2, "from 1 to 300")
    told([[[-0.5, 1.0], [2.0, 3.0]]] * 2, "from -0.5 to 3")
    told([[["a"]]] * 2, "is no image")


def test_raw_arrays_of_two_files_must_be_alike(tmp_path: Path) -> None:
    put(tmp_path / "train.parquet", {"image": X[:5].tolist()})
    put(tmp_path / "test.parquet", {"image": X[:5, :8, :8].tolist()})
    with pytest.raises(SourceError, match="3x12x12 and 3x8x8"):
        Parquet(str(tmp_path)).load()


def test_empty_rows_are_skipped_with_labels_in_step(tmp_path: Path) -> None:
    for values in (encoded(), X.tolist()):
        values[3] = None
        path = put(tmp_path / "x.parquet", {"image": values, "label": np.arange(40)})
        data = Parquet(str(path), test_share=0.0).load()
        assert [one.name for one in data.skipped] == ["x.parquet:3"]
        left = [i for i in range(40) if i != 3]
        assert [data.classes[i] for i in data.train.labels] == [str(i) for i in left]
        assert torch.equal(data.train.images, pixels(X[left]))


def test_labels_of_all_kinds(tmp_path: Path) -> None:
    def classes(labels: list, **options) -> tuple[list[int], tuple[str, ...]]:
        path = put(tmp_path / "x.parquet", {"image": encoded(X[: len(labels)]), "label": labels})
        data = Parquet(str(path), test_share=0.0, **options).load()
        return data.train.labels.tolist(), data.classes

    assert classes(["b", "a", None, "b"]) == ([1, 0, -1, 1], ("a", "b"))
    assert classes(["10", "9", "9"]) == ([1, 0, 0], ("9", "10"))
    assert classes([5, -1, 7, 5]) == ([0, -1, 1, 0], ("5", "7"))
    assert classes([1.0, None, 2.0]) == ([0, -1, 1], ("1", "2"))
    assert classes([2, 0, 2], class_names=("x", "y", "z")) == ([2, 0, 2], ("x", "y", "z"))
    with pytest.raises(SourceError, match=r"label 3 .* has no name"):
        classes([3, 0], class_names=("x", "y", "z"))
    with pytest.raises(SourceError, match=r"'q' .* is not among"):
        classes(["q", "x"], class_names=("x", "y", "z"))
    with pytest.raises(SourceError, match=r"no image of .* has a label"):
        classes([-1, -1])


def test_classes_json_and_super_classes(tmp_path: Path) -> None:
    put(tmp_path / "train.parquet", {"image": encoded(X[:30]), "label": Y[:30], "superclass": Y[:30] // 2})
    put(tmp_path / "val.parquet", {"image": encoded(X[30:]), "label": Y[30:], "superclass": Y[30:] // 2})
    rows = [{"label": i, "name": n, "superclass": s} for i, (n, s) in enumerate(zip("abcd", "qqzz", strict=True))]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows[::-1], "superclasses": ["q", "z"]}))
    data = Parquet(str(tmp_path)).load()
    assert (data.classes, data.super_classes, data.super_of.tolist()) == (tuple("abcd"), ("q", "z"), [0, 0, 1, 1])
    (tmp_path / "classes.json").write_text("[1, {")
    with pytest.raises(SourceError, match=r"classes\.json is not understood"):
        Parquet(str(tmp_path)).load()
    (tmp_path / "classes.json").unlink()
    put(tmp_path / "train.parquet", {"image": encoded(X[:30]), "label": Y[:30], "superclass": np.arange(30) % 3})
    with pytest.raises(SourceError, match="has two super-classes"):
        Parquet(str(tmp_path)).load()


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    path = put(tmp_path / "x.parquet", {"image": encoded(X[..., 0])})
    data = Parquet(str(path), test_share=0.0).load()
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(X[..., 0]))
    mixed = put(tmp_path / "y.parquet", {"image": [*encoded(X[:3, ..., 0]), *encoded(X[3:])]})
    assert Parquet(str(mixed)).load().train.images.shape[1] == 3


def test_sizes_that_differ_become_64(tmp_path: Path) -> None:
    path = put(tmp_path / "x.parquet", {"image": [png(noise(1, 20 + i, 30, 3)[0]) for i in range(5)]})
    assert Parquet(str(path)).load().train.images.shape[1:] == (3, 64, 64)


def test_unlabelled_files(tmp_path: Path) -> None:
    put(tmp_path / "train.parquet", {"image": encoded(X[:10]), "label": Y[:10]})
    put(tmp_path / "test.parquet", {"image": encoded(X[10:20]), "label": Y[10:20]})
    put(tmp_path / "unlabelled.parquet", {"image": encoded(X[20:]), "label": Y[20:]})
    data = Parquet(str(tmp_path)).load()
    assert torch.equal(data.unlabelled.images, pixels(X[20:]))
    assert data.unlabelled.labels is None


def test_groups_on_both_sides_of_a_given_split_are_told(tmp_path: Path) -> None:
    put(tmp_path / "train.parquet", {"image": encoded(X[:3]), "who": ["a", "b", "b"]})
    put(tmp_path / "test.parquet", {"image": encoded(X[3:6]), "who": ["b", "c", "c"]})
    data = Parquet(str(tmp_path), group="who").load()
    assert "groups on both sides: 1" in data.split
    assert data.train.groups[1] == data.train.groups[2] == data.test.groups[0] != data.train.groups[0]


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    def told(match: str, **options) -> None:
        with pytest.raises(SourceError, match=match) as caught:
            Parquet(str(tmp_path), **options).load()
        assert "\n" not in str(caught.value)

    told("holds no .parquet file")
    put(tmp_path / "a.parquet", {"text": ["x", "y"], "n": [1, 2]})
    told("no column that looks like images; .*known: text, n")
    put(tmp_path / "a.parquet", {"image": encoded(), "label": Y})
    told("image='imag' is no column of .*did you mean 'image'", image="imag")
    told("group='who' is no column", group="who")
    told("labels='lable' is no column .*did you mean 'label'", labels="lable")
    put(tmp_path / "train.parquet", {"image": encoded()})
    told("mixes files for train")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 is not all there is to it")
    told("mixes files")
    (tmp_path / "train.parquet").unlink()
    told("cannot be read as Parquet")
    put(tmp_path / "a.parquet", {"image": [b"x"] * 5 + encoded()[:5]})
    told("5 of the 10 images of .* cannot be used, more than the 10%")
    put(tmp_path / "a.parquet", {"image": encoded()[:1]})
    told("one image only")
    (tmp_path / "a.parquet").unlink()
    put(tmp_path / "one" / "train.parquet", {"image": encoded()})
    put(tmp_path / "two" / "train.parquet", {"image": encoded()})
    told("several data sets, in one and in two")
    with pytest.raises(SourceError, match="does not exist"):
        Parquet(str(tmp_path / "no")).load()
