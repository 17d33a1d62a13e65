"""Readings without weights: a page made of them alone, further seeds, and what they do not suffice for."""

import io
import json
import shutil
import tarfile

import pytest
from tests.studies import toy

from counterpoint.errors import RunError
from counterpoint.studies.cells import finished, folder_of, kept
from counterpoint.studies.conduct import study, take_in
from counterpoint.studies.readings import FILE, pack, unpack
from counterpoint.studies.work import answer_of, perform


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A study of one run, with its page and its store."""
    place = tmp_path_factory.mktemp("told")
    study(toy.study((toy.cell(),)), out=place / "out", cells=place / "cells", quiet=True)
    return place


def page(place):
    return json.loads((place / "study.json").read_text())["cells"]


def test_a_page_is_made_of_readings_alone(told, tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoint.studies.work.train", lambda **asked: pytest.fail("nothing is left to train"))
    done = study(
        toy.study((toy.cell(),)), out=tmp_path / "out", cells=tmp_path / "cells", adopted=[told / "out"], quiet=True
    )
    assert not done.results.missing
    assert page(tmp_path / "out") == page(told / "out")
    run = folder_of(toy.cell(), tmp_path / "cells")
    assert kept(run)
    assert not finished(run)
    assert (tmp_path / "out" / FILE).read_bytes() == (told / "out" / FILE).read_bytes()
    assert (told / "out" / FILE).stat().st_size < 20_000


def test_further_seeds_go_on_from_readings(told, tmp_path):
    both = toy.study((toy.cell(), toy.cell(seed=1)))
    study(both, out=tmp_path / "out", cells=tmp_path / "cells", adopted=[told / "out"], quiet=True)
    assert kept(folder_of(toy.cell(), tmp_path / "cells"))
    assert finished(folder_of(toy.cell(seed=1), tmp_path / "cells"))
    assert [cell["state"] for cell in page(tmp_path / "out")] == ["complete", "complete"]


def test_a_new_question_trains_the_run_again(told, tmp_path):
    store, cell = tmp_path / "cells", toy.cell()
    assert unpack(told / "out" / FILE, toy.study((cell,)), store) == "1 taken in without weights"
    perform(cell, (toy.Spread(factor=2.0),), store)
    run = folder_of(cell, store)
    assert finished(run)
    assert not kept(run)
    assert not answer_of(run, toy.Spread()).exists()


def test_a_run_that_others_take_labels_from_needs_its_weights(told, tmp_path):
    unpack(told / "out" / FILE, toy.study((toy.cell(),)), tmp_path)
    perform(toy.cell(), (), tmp_path)
    assert finished(folder_of(toy.cell(), tmp_path))


def test_runs_that_are_there_stay(told, tmp_path):
    cell, file = toy.cell(), told / "out" / FILE
    asked = toy.study((cell,))
    assert unpack(file, asked, told / "cells") == "1 there already"
    store = tmp_path / "cells"
    shutil.copytree(told / "cells", store)
    answer = answer_of(folder_of(cell, store), toy.Spread())
    before = answer.read_bytes()
    answer.unlink()
    assert unpack(file, asked, store) == "1 completed by answers"
    assert answer.read_bytes() == before
    log = folder_of(cell, store) / "log.jsonl"
    log.write_text(log.read_text() + "\n")
    assert unpack(file, asked, store) == "1 left, as they were trained here too"
    (folder_of(cell, store) / "encoder.safetensors").unlink()
    assert unpack(file, asked, store) == "1 left, as their training has begun here"


def test_other_runs_are_not_taken(told, tmp_path):
    file = told / "out" / FILE
    assert unpack(file, toy.study((toy.cell(seed=1),)), tmp_path) == "1 asked for by no cell of the study"
    assert take_in([told / "out"], toy.study((toy.cell(),)), tmp_path) == {file: "1 taken in without weights"}


def test_a_run_that_is_not_what_its_name_says_is_not_taken(told, tmp_path):
    with tarfile.open(told / "out" / FILE) as archive:
        archive.extractall(tmp_path / "open", filter="data")
    (run,) = (tmp_path / "open").iterdir()
    (run / "recipe.json").write_text((run / "recipe.json").read_text().replace('"seed": 0', '"seed": 7'))
    with tarfile.open(tmp_path / FILE, "w:xz") as archive:
        for path in sorted(run.rglob("*.json*")):
            archive.add(path, path.relative_to(tmp_path / "open").as_posix())
    said = unpack(tmp_path / FILE, toy.study((toy.cell(),)), tmp_path / "cells")
    assert said == "1 not what their cells ask for (its seed is 7, not 0)"
    assert not folder_of(toy.cell(), tmp_path / "cells").exists()


@pytest.mark.parametrize("name", ["../elsewhere/log.jsonl", "run/encoder.safetensors", "/log.jsonl", "../log.jsonl"])
def test_a_file_with_anything_else_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / FILE, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(RunError, match="belongs to no run; nothing was taken"):
        unpack(tmp_path / FILE, toy.study((toy.cell(),)), tmp_path / "cells")
    assert not list((tmp_path / "cells").iterdir())


def test_a_damaged_file_is_refused(told, tmp_path):
    (tmp_path / FILE).write_bytes((told / "out" / FILE).read_bytes()[:500])
    with pytest.raises(RunError, match="holds no readings of a study, or is damaged"):
        take_in([tmp_path], toy.study((toy.cell(),)), tmp_path / "cells")


def test_without_a_complete_run_there_is_no_file(tmp_path):
    assert pack(tmp_path, toy.study((toy.cell(),)), tmp_path / "cells") is None
    assert not list(tmp_path.iterdir())
