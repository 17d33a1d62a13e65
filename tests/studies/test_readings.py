"""Readings without weights: a page made of them alone, further seeds, and what they do not suffice for."""

import io
import json
import random
import shutil
import tarfile
from dataclasses import dataclass

import pytest
from tests.studies import toy

from counterpoint.errors import RunError
from counterpoint.studies.cells import Shelf, finished, folder_of, kept_of
from counterpoint.studies.conduct import study, take_in
from counterpoint.studies.plan import cost
from counterpoint.studies.readings import FILE, pack, unpack
from counterpoint.studies.work import answer_of, gather, held, perform

CELL = toy.cell()


@dataclass(frozen=True)
class Named(toy.Spread):
    """By a name with a space, an umlaut and a dot."""

    name = "Maß, 1.5 fach"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A study of one run, with its page and its store."""
    place = tmp_path_factory.mktemp("told")
    study(toy.study((CELL,)), out=place / "out", cells=place / "cells", quiet=True)
    return place


def page(place):
    return json.loads((place / "study.json").read_text())["cells"]


def runs_in(file):
    with tarfile.open(file) as archive:
        return sorted({name.partition("/")[0] for name in archive.getnames()})


def test_a_page_is_made_of_readings_alone(told, tmp_path, monkeypatch):
    monkeypatch.setattr("counterpoint.studies.work.train", lambda **asked: pytest.fail("nothing is left to train"))
    done = study(toy.study((CELL,)), out=tmp_path / "out", cells=tmp_path / "cells", adopted=[told / "out"], quiet=True)
    assert not done.results.missing
    assert page(tmp_path / "out") == page(told / "out")
    assert not folder_of(CELL, tmp_path / "cells").exists()
    assert (tmp_path / "out" / FILE).read_bytes() == (told / "out" / FILE).read_bytes()
    assert (told / "out" / FILE).stat().st_size < 20_000


def test_further_seeds_go_on_from_readings(told, tmp_path):
    both = toy.study((CELL, toy.cell(seed=1)))
    study(both, out=tmp_path / "out", cells=tmp_path / "cells", adopted=[told / "out"], quiet=True)
    assert not folder_of(CELL, tmp_path / "cells").exists()
    assert finished(folder_of(toy.cell(seed=1), tmp_path / "cells"))
    assert [cell["state"] for cell in page(tmp_path / "out")] == ["complete", "complete"]
    assert len(runs_in(tmp_path / "out" / FILE)) == 2


def test_a_new_question_trains_the_run_again_and_the_readings_stay(told, tmp_path):
    store, new = tmp_path / "cells", toy.Spread(factor=2.0)
    assert unpack(told / "out" / FILE, toy.study((CELL,)), store) == "1 taken in"
    assert held(CELL, (new,), store) is None
    perform(CELL, (new,), store)
    assert held(CELL, (new,), store) == folder_of(CELL, store)
    assert held(CELL, (toy.Spread(),), store) == kept_of(CELL, store)
    assert not gather(toy.study((CELL,)), store).missing


def test_a_training_that_fails_loses_no_readings(told, tmp_path, monkeypatch):
    store = tmp_path / "cells"
    unpack(told / "out" / FILE, toy.study((CELL,)), store)

    def fails(**asked):
        raise OSError("disk full")

    monkeypatch.setattr("counterpoint.studies.work.train", fails)
    assert not perform(CELL, (toy.Spread(factor=2.0),), store).complete
    assert not gather(toy.study((CELL,)), store).missing


def test_a_run_that_others_take_labels_from_needs_its_weights_and_keeps_its_answers(told, tmp_path):
    unpack(told / "out" / FILE, toy.study((CELL,)), tmp_path)
    perform(CELL, (), tmp_path)
    assert finished(folder_of(CELL, tmp_path))
    assert not gather(toy.study((CELL,)), tmp_path).missing


def test_readings_that_are_there_stay_and_are_completed(told, tmp_path):
    file, asked = told / "out" / FILE, toy.study((CELL,))
    assert unpack(file, asked, tmp_path) == "1 taken in"
    assert unpack(file, asked, tmp_path) == "1 there already"
    answer = answer_of(kept_of(CELL, tmp_path), toy.Spread())
    before = answer.read_bytes()
    answer.unlink()
    assert unpack(file, asked, tmp_path) == "1 completed by answers"
    assert answer.read_bytes() == before
    log = kept_of(CELL, tmp_path) / "log.jsonl"
    log.write_text(log.read_text() + "\n")
    assert unpack(file, asked, tmp_path) == "1 left, as readings of another training are there"
    answer.unlink()
    assert unpack(file, asked, tmp_path) == "1 taken in for others that lack answers"
    assert held(CELL, (toy.Spread(),), tmp_path) == kept_of(CELL, tmp_path)


def test_a_run_with_weights_is_moved_beside_readings(told, tmp_path):
    shutil.copytree(folder_of(CELL, told / "cells"), tmp_path / "backup" / "mine")
    asked, store = toy.study((CELL,)), tmp_path / "cells"
    found = take_in([told / "out", tmp_path / "backup"], asked, store)
    assert found[told / "out" / FILE] == "1 taken in"
    assert found[tmp_path / "backup" / "mine"] == f"moved to {folder_of(CELL, store)}"


def test_other_runs_are_not_taken(told, tmp_path):
    file = told / "out" / FILE
    assert unpack(file, toy.study((toy.cell(seed=1),)), tmp_path) == "1 asked for by no cell of the study"
    assert take_in([told / "out"], toy.study((CELL,)), tmp_path) == {file: "1 taken in"}


def repacked(told, tmp_path, change):
    """A file of readings whose runs were changed."""
    with tarfile.open(told / "out" / FILE) as archive:
        archive.extractall(tmp_path / "open", filter="data")
    (run,) = (tmp_path / "open").iterdir()
    run = change(run) or run
    with tarfile.open(tmp_path / FILE, "w:xz") as archive:
        for path in sorted(run.rglob("*.json*")):
            archive.add(path, path.relative_to(tmp_path / "open").as_posix())
    return tmp_path / FILE


def test_a_run_that_is_not_what_its_name_says_is_not_taken(told, tmp_path):
    def another_seed(run):
        (run / "recipe.json").write_text((run / "recipe.json").read_text().replace('"seed": 0', '"seed": 7'))

    said = unpack(repacked(told, tmp_path, another_seed), toy.study((CELL,)), tmp_path / "cells")
    assert said == "1 not what their cells ask for (its seed is 7, not 0)"
    assert not kept_of(CELL, tmp_path / "cells").exists()


def test_a_run_is_known_by_what_it_asked_for_where_names_have_changed(told, tmp_path):
    """As when a recipe has got a dial since."""
    file = repacked(told, tmp_path, lambda run: run.rename(run.with_name("simclr-digits-0-0123456789")))
    assert unpack(file, toy.study((CELL,)), tmp_path / "cells") == "1 taken in"
    assert held(CELL, (toy.Spread(),), tmp_path / "cells") == kept_of(CELL, tmp_path / "cells")


def test_names_of_evaluators_may_be_of_any_letters(tmp_path):
    asked = toy.study((CELL,), evaluators=(Named(),))
    study(asked, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert unpack(tmp_path / "out" / FILE, asked, tmp_path / "elsewhere") == "1 taken in"


def test_part_of_a_study_asked_for_again_loses_no_readings(told, tmp_path):
    shutil.copytree(told / "out", tmp_path / "out")
    both = toy.study((CELL, toy.cell(seed=1)))
    perform(toy.cell(seed=1), both.evaluators, tmp_path / "cells")
    pack(tmp_path / "out", both, tmp_path / "cells")
    assert runs_in(tmp_path / "out" / FILE) == sorted(folder_of(c, tmp_path).name for c in both.cells)


def test_what_is_to_do_is_not_estimated_by_another_machines_log(told, tmp_path, monkeypatch):
    unpack(told / "out" / FILE, toy.study((CELL,)), tmp_path)
    monkeypatch.setattr("counterpoint.studies.plan.seconds_of", lambda folder: pytest.fail("not of readings"))
    expected = cost({CELL: (toy.Spread(),)}, {}, Shelf(), tmp_path, jobs=1, threads=1)
    assert (expected.training, expected.evaluating, expected.complete) == ({}, {}, 1)


@pytest.mark.parametrize("name", ["../elsewhere/log.jsonl", "run/encoder.safetensors", "/log.jsonl", "../log.jsonl"])
def test_a_file_with_anything_else_is_refused(tmp_path, name):
    with tarfile.open(tmp_path / FILE, "w:xz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(RunError, match="belongs to no run; nothing was taken"):
        unpack(tmp_path / FILE, toy.study((CELL,)), tmp_path / "cells")
    assert not (tmp_path / "cells").exists()


def test_a_damaged_file_is_refused(told, tmp_path):
    whole = (told / "out" / FILE).read_bytes()
    draw = random.Random(0)
    for _ in range(40):
        place = draw.randrange(len(whole))
        (tmp_path / FILE).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(RunError, match="damaged"):
            take_in([tmp_path], toy.study((CELL,)), tmp_path / "cells")
    (tmp_path / FILE).write_bytes(whole[:500])
    with pytest.raises(RunError, match="holds no readings of a study, or is damaged"):
        take_in([tmp_path], toy.study((CELL,)), tmp_path / "cells")


def test_a_run_without_its_log_is_refused(told, tmp_path):
    file = repacked(told, tmp_path, lambda run: (run / "log.jsonl").unlink())
    with pytest.raises(RunError, match=r"lacks log.jsonl of 'simclr-digits-0-\w+', so it is damaged"):
        unpack(file, toy.study((CELL,)), tmp_path / "cells")


def test_without_a_complete_run_there_is_no_file(tmp_path):
    assert pack(tmp_path, toy.study((CELL,)), tmp_path / "cells") is None
    assert not list(tmp_path.iterdir())
