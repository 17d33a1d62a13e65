"""Data known by what lies there: moved, changed, gone; and readings of a folder's runs taken in beside another path."""

import io
import json
import os
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from tests.studies import toy

from counterpoint import sources
from counterpoint.recipe import part_to_json
from counterpoint.studies.cells import asked_for, kept_of, what
from counterpoint.studies.conduct import study
from counterpoint.studies.contents import by_contents, contents_of, names_contents, unread
from counterpoint.studies.readings import FILE, pack, unpack
from counterpoint.studies.transfer import Transfer, targets_of
from counterpoint.studies.work import answer_of


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


def test_what_is_hidden_or_left_behind_is_no_content(tmp_path):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
    (tmp_path / "other" / ".cache").mkdir()
    for clutter in (".cache/x", ".DS_Store", "deep/Thumbs.db"):
        (tmp_path / "other" / clutter).write_bytes(b"x")
    assert contents_of(one) == contents_of(other)


def test_links_are_followed_and_a_circle_ends(tmp_path):
    one = filled(tmp_path / "one")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "deep").symlink_to(tmp_path / "one" / "deep")
    (tmp_path / "other" / "two.bin").symlink_to(tmp_path / "one" / "two.bin")
    assert contents_of(one) == contents_of(str(tmp_path / "other"))
    (tmp_path / "one" / "deep" / "round").symlink_to(tmp_path / "one")
    contents_of.cache_clear()
    assert contents_of(one) is not None


def test_a_name_in_no_encoding_and_a_home_are_read(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"1")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert contents_of("~/photos") == contents_of(str(tmp_path / "photos")) is not None


def test_labels_changed_in_place_behind_the_images_are_seen(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 32, 32), dtype=np.uint8)
    for name, labels in (("one", np.arange(300) % 4), ("other", np.arange(300) % 4 + 1)):
        np.savez(tmp_path / f"{name}.npz", images=pixels, labels=labels)
    one, other = (tmp_path / f"{name}.npz" for name in ("one", "other"))
    assert one.stat().st_size == other.stat().st_size
    assert contents_of(str(one)) != contents_of(str(other))


def test_of_a_large_place_some_files_are_looked_at_and_both_their_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoint.studies.contents._WHOLE", 1000)
    plain = bytes(200_000)
    for folder, content in (
        ("plain", plain),
        ("end", plain[:-1] + b"1"),
        ("middle", plain[:100_000] + b"1" + plain[100_001:]),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one").write_bytes(content)
    names = {folder: contents_of(str(tmp_path / folder)) for folder in ("plain", "end", "middle")}
    assert names["plain"] == names["middle"] != names["end"]
    for number in range(2500):
        (tmp_path / "plain" / f"{number:04}").write_bytes(b"1")
    contents_of.cache_clear()
    before = contents_of(str(tmp_path / "plain"))
    (tmp_path / "plain" / "0001").write_bytes(b"2")
    contents_of.cache_clear()
    assert contents_of(str(tmp_path / "plain")) == before
    (tmp_path / "plain" / "2499").rename(tmp_path / "plain" / "2500")
    contents_of.cache_clear()
    assert contents_of(str(tmp_path / "plain")) != before


def test_nothing_has_no_name_and_keeps_its_place(tmp_path):
    assert contents_of(str(tmp_path / "gone")) is None
    value = {"part": "x", "root": str(tmp_path / "gone"), "size": [1, 2]}
    assert by_contents(value) == value


def test_no_place_is_left_in_a_stored_value(tmp_path):
    arrays(tmp_path / "data" / "glyphs.npz")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n", encoding="utf-8")
    here = str(tmp_path / "data")
    of_csv = sources.lookup("folder", root=here, labels=str(table))
    transfer = Transfer(targets_of(f"digits=,arrays={tmp_path / 'data' / 'glyphs.npz'}"))
    for part in (arrays(tmp_path / "more" / "glyphs.npz"), transfer, of_csv):
        stored = what(part_to_json(part))
        assert not unread(stored)
        assert str(tmp_path) not in json.dumps(by_contents(stored))
        assert names_contents(by_contents(stored))
        assert not names_contents(stored)
    by_name = what(part_to_json(sources.lookup("folder", root=here, labels="none")))
    assert by_contents(by_name)["labels"] == "none"
    table.unlink()
    contents_of.cache_clear()
    assert unread(what(part_to_json(of_csv))) == [str(tmp_path / "data" / str(table))]


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


def test_a_target_of_the_same_contents_as_the_source_takes_nothing_from_it(tmp_path, monkeypatch):
    cell = toy.cell(source=arrays(tmp_path / "data" / "glyphs.npz"))
    copy = tmp_path / "copy" / "glyphs.npz"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "data" / "glyphs.npz", copy)
    asked = toy.study((cell,), evaluators=(toy.Spread(), Transfer(targets_of(f"arrays={copy}"))))
    study(asked, out=tmp_path / "first", cells=tmp_path / "cells", quiet=True)
    monkeypatch.setattr("counterpoint.studies.work.train", lambda **asked: pytest.fail("nothing is left to train"))
    done = study(asked, out=tmp_path / "out", cells=tmp_path / "others", adopted=[tmp_path / "first"], quiet=True)
    assert not done.results.missing


def test_readings_are_given_to_each_cell_whose_data_is_the_same(tmp_path, monkeypatch):
    one = toy.cell(source=arrays(tmp_path / "one" / "glyphs.npz"))
    other = replace(toy.cell(source=arrays(tmp_path / "other" / "glyphs.npz")), place={"copy": "yes"})
    both = toy.study((one, other))
    study(both, out=tmp_path / "first", cells=tmp_path / "cells", quiet=True)
    monkeypatch.setattr("counterpoint.studies.work.train", lambda **asked: pytest.fail("nothing is left to train"))
    done = study(both, out=tmp_path / "out", cells=tmp_path / "others", adopted=[tmp_path / "first"], quiet=True)
    assert not done.results.missing
    assert (tmp_path / "out" / FILE).read_bytes() == (tmp_path / "first" / FILE).read_bytes()


def older(file, run, name, change):
    """An archive that names a run otherwise, and other files of it too."""
    with tarfile.open(file) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    with tarfile.open(file, "w:xz", format=tarfile.PAX_FORMAT) as archive:
        for own, content in members.items():
            about = tarfile.TarInfo(own.replace(run, name))
            content = change(own, content)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))


def test_an_earlier_file_that_names_a_run_by_its_place_is_read_and_replaced(tmp_path):
    cell = toy.cell(source=arrays(tmp_path / "data" / "glyphs.npz"))
    asked = toy.study((cell,))
    study(asked, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    before = (tmp_path / "out" / FILE).read_bytes()
    place = kept_of(cell, tmp_path).name
    source = json.dumps(asked_for(cell)["source"]).encode()

    def with_place(own, content):
        if own.endswith("recipe.json"):
            stored = json.loads(content)
            return json.dumps({**stored, "source": json.loads(source)}).encode()
        return content

    with tarfile.open(tmp_path / "out" / FILE) as archive:
        run = archive.getnames()[0].partition("/")[0]
    older(tmp_path / "out" / FILE, run, place, with_place)
    assert unpack(tmp_path / "out" / FILE, asked, tmp_path / "others") == "1 taken in"
    pack(tmp_path / "out", asked, tmp_path / "cells")
    assert (tmp_path / "out" / FILE).read_bytes() == before


def test_answers_about_data_that_lies_nowhere_here_are_not_left_in_the_store(tmp_path):
    cell = toy.cell(source=arrays(tmp_path / "data" / "glyphs.npz"))
    spread, transfer = toy.Spread(), Transfer(targets_of(f"arrays={tmp_path / 'data' / 'glyphs.npz'}"))
    study(toy.study((cell,), evaluators=(spread, transfer)), out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    less = toy.study((cell,), evaluators=(spread,))
    assert unpack(tmp_path / "out" / FILE, less, tmp_path / "others") == "1 taken in"
    kept = kept_of(cell, tmp_path / "others")
    assert [path.name for path in kept.glob("answers/*")] == [answer_of(kept, spread).name]


def test_a_person_is_told_what_could_not_be_packed(tmp_path, capsys):
    cell = toy.cell(source=arrays(tmp_path / "data" / "glyphs.npz"))
    study(toy.study((cell,)), out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    (tmp_path / "data" / "glyphs.npz").unlink()
    contents_of.cache_clear()
    assert pack(tmp_path / "new", toy.study((cell,)), tmp_path / "cells", print) is None
    assert "the readings of 1 runs are not kept beside the page" in capsys.readouterr().out
