"""Data known by what lies there: moved, changed, gone; and readings of a folder's runs taken in beside another path."""

import json
import tarfile

import numpy as np
import pytest
from tests.studies import toy

from counterpoint import sources
from counterpoint.recipe import part_to_json
from counterpoint.studies.cells import asked_for, what
from counterpoint.studies.conduct import study
from counterpoint.studies.contents import by_contents, by_place, contents_of, places_in
from counterpoint.studies.readings import FILE, pack, unpack
from counterpoint.studies.transfer import Transfer, targets_of


def filled(folder, content=b"abc"):
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.bin").write_bytes(content)
    (folder / "two.bin").write_bytes(b"")
    return str(folder)


def arrays(file, images=300):
    drawn = np.random.default_rng(0)
    file.parent.mkdir()
    pixels = drawn.integers(0, 256, (images, 8, 8), dtype=np.uint8)
    np.savez(file, images=pixels, labels=np.arange(images) % 4)
    return sources.lookup("arrays", root=str(file))


def test_a_copy_has_the_same_name_wherever_it_lies(tmp_path):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "elsewhere" / "other")
    assert contents_of(one) == contents_of(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "two.bin").write_bytes(b"x"),
        lambda folder: (folder / "deep" / "one.bin").write_bytes(b"abd"),
        lambda folder: (folder / "deep" / "one.bin").rename(folder / "one.bin"),
        lambda folder: (folder / "three.bin").write_bytes(b""),
    ],
    ids=["size", "content", "name", "another file"],
)
def test_other_contents_have_another_name(tmp_path, change):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
    change(tmp_path / "other")
    assert contents_of(one) != contents_of(other)


def test_a_file_is_known_by_its_contents_whatever_its_name(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert contents_of(str(tmp_path / "a")) == contents_of(str(tmp_path / "b"))


def test_many_files_are_named_in_full_and_looked_at_in_part(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        for number in range(2500):
            (tmp_path / folder / f"{number:04}").write_bytes(b"1")
    (tmp_path / "other" / "0001").write_bytes(b"2")
    assert contents_of(str(tmp_path / "one")) == contents_of(str(tmp_path / "other"))
    (tmp_path / "other" / "2499").rename(tmp_path / "other" / "2500")
    contents_of.cache_clear()
    assert contents_of(str(tmp_path / "one")) != contents_of(str(tmp_path / "other"))


def test_nothing_has_no_name_and_keeps_its_place(tmp_path):
    assert contents_of(str(tmp_path / "gone")) is None
    value = {"part": "x", "root": str(tmp_path / "gone"), "size": [1, 2]}
    assert by_contents(value) == value


def test_there_and_back(tmp_path):
    source = arrays(tmp_path / "data" / "glyphs.npz")
    transfer = Transfer(targets_of(f"digits=,arrays={tmp_path / 'data' / 'glyphs.npz'}"))
    for stored in (what(part_to_json(source)), what(part_to_json(transfer))):
        assert places_in(stored) == {str(tmp_path / "data" / "glyphs.npz")}
        named = by_contents(stored)
        assert str(tmp_path) not in json.dumps(named)
        assert by_place(named, places_in(stored)) == stored
        assert by_place(named, ()) == named


def test_readings_of_a_folders_runs_are_taken_in_where_it_lies_elsewhere(tmp_path, monkeypatch):
    def asked(place):
        cell = toy.cell(source=arrays(tmp_path / place / "glyphs.npz"))
        target = tmp_path / place / "glyphs.npz"
        return toy.study((cell,), evaluators=(toy.Spread(), Transfer(targets_of(f"arrays={target}"))))

    first, second = asked("here"), asked("there")
    assert asked_for(first.cells[0]) != asked_for(second.cells[0])
    study(first, out=tmp_path / "first", cells=tmp_path / "cells", quiet=True)
    with tarfile.open(tmp_path / "first" / FILE) as archive:
        assert not [m.name for m in archive if str(tmp_path).encode() in archive.extractfile(m).read()]
    monkeypatch.setattr("counterpoint.studies.work.train", lambda **asked: pytest.fail("nothing is left to train"))
    store = tmp_path / "others"
    done = study(second, out=tmp_path / "second", cells=store, adopted=[tmp_path / "first"], quiet=True)
    assert not done.results.missing
    assert (tmp_path / "second" / FILE).read_bytes() == (tmp_path / "first" / FILE).read_bytes()
    assert json.loads((tmp_path / "second" / "study.json").read_text())["data"] == "arrays:glyphs.npz"


def test_readings_of_other_contents_are_not_taken_in(tmp_path):
    one = toy.cell(source=arrays(tmp_path / "one" / "glyphs.npz"))
    other = toy.cell(source=arrays(tmp_path / "other" / "glyphs.npz", images=240))
    study(toy.study((one,)), out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    said = unpack(tmp_path / "out" / FILE, toy.study((other,)), tmp_path / "others")
    assert said == "1 asked for by no cell of the study"


def test_where_the_data_is_gone_no_path_is_packed_and_earlier_readings_stay(tmp_path):
    cell = toy.cell(source=arrays(tmp_path / "data" / "glyphs.npz"))
    asked = toy.study((cell,))
    study(asked, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    before = (tmp_path / "out" / FILE).read_bytes()
    (tmp_path / "data" / "glyphs.npz").unlink()
    contents_of.cache_clear()
    assert pack(tmp_path / "out", asked, tmp_path / "cells") is None
    assert (tmp_path / "out" / FILE).read_bytes() == before
    assert pack(tmp_path / "new", asked, tmp_path / "cells") is None
    assert not (tmp_path / "new").exists()
