"""Attributes as they are written: TOML and CSV, combinations, and every way in which they cannot be meant."""

import pytest
import torch

from counterpoint.app.attributes import read_rules, resolve
from counterpoint.errors import SourceError
from counterpoint.types import Dataset, Skipped, Split

CLASSES = ("cat", "dog", "owl", "eel")


def data(labels=(0, 1, 2, 3, 0, -1), test=(1, 2), *, classes=CLASSES, **more):
    def split(values, first):
        known = torch.tensor(values) if classes else None
        names = tuple(f"{first}/{i}.png" for i in range(len(values)))
        return Split(torch.zeros(len(values), 1, 4, 4, dtype=torch.uint8), known, names)

    return Dataset("made", "photos", split(labels, "a"), split(test, "b"), classes, **more)


def written(folder, text, name="attributes.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def resolved(folder, text, dataset=None, **files):
    paths = [written(folder, text)] + [written(folder, content, f"{name}.csv") for name, content in files.items()]
    return resolve(read_rules(paths), dataset or data())


def test_a_set_of_classes(tmp_path):
    found = resolved(tmp_path, 'furry = ["cat", "dog"]')
    assert found.targets[:, 0].tolist() == [1, 1, 0, 0, 1, -1, 1, 0]
    assert found.members == (frozenset({0, 1}),)
    assert found.told["furry"] == "classes cat, dog"


def test_a_super_class_stands_for_its_classes(tmp_path):
    above = {"super_classes": ("land", "other"), "super_of": torch.tensor([0, 0, 1, 1])}
    assert resolved(tmp_path, 'x = ["land"]', data(**above)).members == (frozenset({0, 1}),)


def test_and_or_not_are_set_algebra(tmp_path):
    found = resolved(
        tmp_path,
        """
        furry = ["cat", "dog"]
        flies = ["owl"]
        loud = ["dog", "owl"]
        "furry and loud" = { all = ["furry", "loud"] }
        "furry or flies" = { any = ["furry", "flies"] }
        "neither" = { none = ["furry", "flies"] }
        "loud, not furry" = { all = ["loud", { none = ["furry"] }] }
        "of a combination" = { none = ["furry or flies"] }
        """,
    )
    sets = dict(zip(found.names, found.members, strict=True))
    assert sets["furry and loud"] == {1}
    assert sets["furry or flies"] == {0, 1, 2}
    assert sets["neither"] == sets["of a combination"] == {3}
    assert sets["loud, not furry"] == {2}
    labels = torch.tensor([0, 1, 2, 3, 0, -1, 1, 2])
    for name, own in sets.items():
        column = found.targets[:, found.names.index(name)]
        assert column.tolist() == [-1 if label < 0 else int(label in own) for label in labels.tolist()]
    assert found.told["loud, not furry"] == "loud and (not furry)"
    assert found.told["neither"] == "neither furry nor flies"


def test_a_csv_and_three_valued_logic(tmp_path):
    table = "file,wet,big\na/0.png,1,\na/1.png,0,1\na/2.png,,0\nb/0.png,1,0\na/3.png,,1\na/4.png,1,1\na/5.png,0,0\n"
    found = resolved(tmp_path, 'both = {all = ["wet", "big"]}\nany = {any = ["wet", "big"]}', more=table)
    columns = dict(zip(found.names, found.targets.T.tolist(), strict=True))
    assert columns["wet"] == [1, 0, -1, -1, 1, 0, 1, -1]
    assert columns["big"] == [-1, 1, 0, 1, 1, 0, 0, -1]
    assert columns["both"] == [-1, 0, 0, -1, 1, 0, 0, -1]  # 0 where one part is 0, whatever the other
    assert columns["any"] == [1, 1, -1, 1, 1, 0, 1, -1]
    assert found.members == (None,) * 4


def test_a_csv_alone_and_rows(tmp_path):
    path = written(tmp_path, "row,wet\n0,1\n1,0\n6,1\n7,0\n", "a.csv")
    found = resolve(read_rules([path]), data(classes=()))
    assert found.targets[:, 0].tolist() == [1, 0, -1, -1, -1, -1, 1, 0]


def test_files_that_the_data_could_not_use_are_left_out(tmp_path):
    path = written(tmp_path, "file,wet\na/0.png,1\na/1.png,0\nbroken.png,1\n", "a.csv")
    found = resolve(read_rules([path]), data(skipped=(Skipped("broken.png", "damaged"),)))
    assert int((found.targets >= 0).sum()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('x = ["cow"]', "names the class 'cow', which made lacks"),
        ('x = ["cta"]', "did you mean 'cat'"),
        ("x = []", "at least one class"),
        ("x = 3", "written in no known way"),
        ('x = {both = ["y"]}', "written in no known way"),
        ("x = {all = []}", "at least one"),
        ("x = {all = [3]}", "it holds 3"),
        ('x = {all = ["y"]}', "combines 'y', which is no attribute"),
        ('x = {all = ["y"]}\ny = {none = ["x"]}', "in a circle: 'x' → 'y' → 'x'"),
        ('x = {none = ["x"]}', "in a circle: 'x' → 'x'"),
        ('x = ["cat", "dog", "owl", "eel"]', "empty on one side: every image"),
        ('y = ["cat"]\nz = ["dog"]\nx = {all = ["y", "z"]}', "'x' .* empty on one side: no image"),
        ("has it = [1]", "is no TOML"),
        ("x = {examples = []}", "has no example"),
        ('x = {examples = ["none.png"]}', "there is no"),
        ("", "names no attribute"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tmp_path, text, said):
    with pytest.raises(SourceError, match=said) as found:
        resolved(tmp_path, text)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column 'file' or 'row'"),
        ("file\na/0.png\n", "one column for each attribute"),
        ("file,x,x\na/0.png,1,1\n", "all of other names"),
        ("file,x\na/0.png,2\n", "line 2: 'x' says '2'; expected 1, 0, or nothing"),
        ("file,x\nz.png,1\na/1.png,0\n", "names 'z.png', which is none of the 8 images of made"),
        ("row,x\n0,1\n8,0\n", "names row 8, but made has 8 images"),
        ("row,x\n-1,1\n", "'-1' is no row"),
        ("file,x\na/0.png,1\na/0.png,0\n", "has and has not 'x'"),
        ("file,x\na/0.png,1\na/1.png,1\n", "empty on one side: every image"),
        ("file,x\nb/0.png,1\na/1.png,0\n", "no training image with it"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_one_sentence(tmp_path, text, said):
    with pytest.raises(SourceError, match=said) as found:
        resolve(read_rules([written(tmp_path, text, "a.csv")]), data())
    assert "\n" not in str(found.value)


def test_classes_need_labels(tmp_path):
    with pytest.raises(SourceError, match="made has no labels; give a CSV, or examples"):
        resolved(tmp_path, 'x = ["cat"]', data(classes=()))


def test_files_need_names(tmp_path):
    whole = data()
    nameless = Dataset("made", "photos", Split(whole.train.images), Split(whole.test.images))
    with pytest.raises(SourceError, match="have no names; give a column 'row'"):
        resolve(read_rules([written(tmp_path, "file,x\na,1\n", "a.csv")]), nameless)


def test_examples_cannot_be_combined_nor_be_both(tmp_path):
    from PIL import Image

    for name in ("0", "1"):
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")
    with pytest.raises(SourceError, match="known by examples alone"):
        resolved(tmp_path, 'x = {examples = ["0.png"]}\ny = {none = ["x"]}')
    with pytest.raises(SourceError, match="an example and a counter-example"):
        resolved(tmp_path, 'x = {examples = ["0.png"], counter = ["."]}')
    found = resolved(tmp_path, 'x = {examples = ["0.png"], counter = ["1.png"]}')
    assert int(found.targets.max()) == -1
    assert list(found.examples) == ["x"]


def test_one_name_in_two_files_and_other_endings(tmp_path):
    first, second = written(tmp_path, 'x = ["cat"]'), written(tmp_path, "row,x\n0,1\n", "b.csv")
    with pytest.raises(SourceError, match="is also in"):
        read_rules([first, second])
    with pytest.raises(SourceError, match=r"\.toml and \.csv"):
        read_rules([tmp_path / "a.json"])
    with pytest.raises(SourceError, match="cannot be read"):
        read_rules([tmp_path / "none.toml"])
