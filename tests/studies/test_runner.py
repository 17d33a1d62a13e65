import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import toy
from filelock import FileLock

import counterpoint
from counterpoint import sources
from counterpoint.errors import RecipeError, RunError, SourceError
from counterpoint.studies import runner, work
from counterpoint.studies.cells import finished, folder_of
from counterpoint.studies.plan import check, cost, different
from counterpoint.studies.runner import chosen, run
from counterpoint.studies.work import Busy, answer_of, gather, perform

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The cells of the toy study, which was run once; a test that adds to it takes evaluators of its own."""
    folder = tmp_path_factory.mktemp("store")
    run(toy.study(), store=folder, quiet=True)
    return folder


@pytest.fixture
def no_training(monkeypatch):
    def refuse(**asked):
        raise AssertionError("a finished cell was trained again")

    monkeypatch.setattr(work, "train", refuse)


def test_a_study_is_run_once(store, no_training):
    found = run(toy.study(), store=store, quiet=True)
    assert [r.cell.seed for r in found] == [0, 1, 0, 1]
    assert not found.missing
    spreads = found.values("spread", "deviation", recipe="simclr")
    assert sorted(spreads) == [0, 1]
    assert all(0 < s < 1 for s in spreads.values())
    first = next(iter(found))
    assert first.found["spread"]["rows"] == [1445, 352]
    assert first.seconds > 0
    assert first.machine["precision"] == "32-true"


def test_it_says_what_it_will_cost_and_how_far_it_is(tmp_path, capfd):
    one = toy.study((toy.cell(), toy.cell(seed=1)))
    found: list[int] = []
    run(one, store=tmp_path, after=lambda results: found.append(len(list(results))))
    said = capfd.readouterr().err
    assert "2 runs: none trained yet, 0 complete" in said
    assert "2 to train, about" in said
    assert "a time not known yet: spread" in said
    assert "  1 of 2  recipe simclr, seed 0: training\n" in said
    assert "  2 of 2  recipe simclr, seed 1: trained in" in said
    assert found == [2]
    run(one, store=tmp_path)
    assert capfd.readouterr().err == "  cells    2 runs: 2 trained already, 2 complete\n"


def test_the_cost_of_what_is_known_is_read_from_the_store(store, monkeypatch):
    cells = different((*toy.study().cells, toy.cell(seed=7)))
    made = check(cells, (toy.Spread(),), runner.Shelf(), store)
    monkeypatch.setattr("counterpoint.studies.plan._measured", None)
    found = cost(dict.fromkeys(cells, (toy.Spread(),)), made, runner.Shelf(), store, jobs=1, threads=1)
    new = folder_of(toy.cell(seed=7), store).name
    assert (found.cells, found.finished, found.complete) == (5, 4, 4)
    assert list(found.training) == list(found.evaluating) == [new]
    assert 0 < found.training[new] < 60
    assert found.unknown == ()


@pytest.mark.parametrize("fastest", ["32-true", "bf16-mixed"])
def test_cells_without_a_precision_have_one_for_all(tmp_path, monkeypatch, capfd, fastest):
    from counterpoint.engine import Numerics
    from counterpoint.studies import plan

    asked = []

    def decided(recipe, model, learned, asks, machine, precision, layout):
        asked.append(precision)
        return Numerics(fastest if precision == "auto" else precision), {}

    monkeypatch.setattr(plan, "decide_numerics", decided)
    open_ones = tuple(replace(toy.cell(seed=seed), precision="auto") for seed in range(2))
    first = run(toy.study(open_ones[:1]), store=tmp_path)
    assert f"numbers  {fastest} for all cells still to be begun, the fastest here" in capfd.readouterr().err
    both = run(toy.study((*open_ones, toy.cell("supcon"))), store=tmp_path)
    assert (
        f"{fastest} for all cells still to be begun, as 1 of the study's 1 runs that are there"
        in capfd.readouterr().err
    )
    assert [result.machine["precision"] for result in (*first, *both)] == [fastest, fastest, fastest, "32-true"]
    assert asked.count("auto") == 1, "once, for the first cell"


def test_a_run_of_another_precision_than_is_asked_for_by_name_is_refused(store, no_training):
    cells = tuple(replace(cell, precision="bf16-mixed") for cell in toy.study().cells)
    with pytest.raises(RunError, match="was trained in 32-true, and bf16-mixed is asked for; move the folder away"):
        run(toy.study(cells), store=store, quiet=True)
    unasked = tuple(replace(cell, precision="auto") for cell in cells)
    assert not run(toy.study(unasked), store=store, quiet=True).missing


def test_cells_that_ask_for_the_same_are_one_run(tmp_path):
    one, other = toy.cell(), toy.cell(dials={**toy.DIALS, "temperature": 0.5})
    object.__setattr__(other, "place", {"recipe": "the same"})
    found = run(toy.study((one, other)), store=tmp_path, quiet=True)
    assert [r.cell.place["recipe"] for r in found] == ["simclr", "the same"]
    assert len({r.folder for r in found}) == 1


def test_what_only_the_second_of_two_equal_cells_wants_is_asked_too(store, no_training):
    one = toy.cell()
    twins = (one, replace(one, place={"recipe": "simclr", "part": "b"}))
    found = run(toy.study(twins, (toy.Spread(), toy.OfPart())), store=store, quiet=True)
    assert [set(result.found) for result in found] == [{"spread"}, {"spread", "of part b"}]
    assert not found.missing


def test_an_answer_belongs_to_the_numbers_of_its_evaluator(store, no_training):
    once, twice = (run(toy.study(evaluators=(toy.Spread(f),)), store=store, quiet=True) for f in (1.0, 2.0))
    for first, second in zip(once, twice, strict=True):
        assert second.found["spread"]["deviation"] == pytest.approx(2 * first.found["spread"]["deviation"])


def test_an_evaluator_that_fails_stops_no_other(store, tmp_path, capfd):
    trouble = tmp_path / "trouble"
    trouble.touch()
    asked = toy.study(evaluators=(toy.Moody(str(trouble)), toy.Spread(3.0)))
    found = run(asked, store=store)
    assert "moody: ValueError: in a bad mood" in capfd.readouterr().err
    assert [bool(r.error) for r in found.every] == [True, True, False, False]
    assert all("spread" in r.found for r in found)
    assert [r.error for r in found.missing] == ["moody: ValueError: in a bad mood"] * 2
    answer = answer_of(found.every[0].folder, asked.evaluators[0])
    assert "Traceback" in answer.with_suffix(".failure.txt").read_text()
    trouble.unlink()
    again = run(asked, store=store, quiet=True)
    assert not again.missing
    assert again.every[0].found["moody"] == {"fine": True, "nothing": None}
    assert not answer.with_suffix(".failure.txt").exists()


def test_a_cell_that_fails_stops_no_other(tmp_path, capfd):
    bad = toy.cell(dials={**toy.DIALS, "lr": 1e38})
    found = run(toy.study((bad, toy.cell(seed=1))), store=tmp_path)
    assert [r.folder is None for r in found.every] == [True, False]
    assert "not a finite number" in found.every[0].error
    assert "Traceback" in (folder_of(bad, tmp_path) / "failure.txt").read_text()
    assert "1 of 2 failed" in capfd.readouterr().err


def test_an_interrupted_study_keeps_and_hands_on_what_is_done(tmp_path):
    trouble = tmp_path / "trouble"
    trouble.touch()
    store = tmp_path / "cells"
    cells = (toy.cell("supcon"), toy.cell(), toy.cell(seed=1))
    asked = toy.study(cells, (toy.Moody(str(trouble), "KeyboardInterrupt"),))
    handed = []
    with pytest.raises(KeyboardInterrupt):
        run(asked, store=store, quiet=True, after=handed.append)
    assert [r.folder is not None for r in handed[0].every] == [True, True, False]
    trouble.unlink()
    assert not run(asked, store=store, quiet=True).missing


def test_out_of_time_nothing_is_begun(tmp_path, capfd):
    found = run(toy.study(), store=tmp_path, max_time=1e-9)
    assert len(found.missing) == 4
    assert "out of time: 0 of 4 done; the same command goes on" in capfd.readouterr().err
    assert {r.error for r in found.missing} == {"it has not been run"}


def test_a_cell_that_was_begun_goes_on(tmp_path, monkeypatch):
    """Stopped by Ctrl-C at its fifth step, then trained on to the weights of a run in one go."""
    cell = toy.cell()
    engine = sys.modules["counterpoint.engine.fit"]
    plain, steps = engine.train_step, []

    def step(*args, **more):
        steps.append(1)
        if len(steps) == 5:
            signal.raise_signal(signal.SIGINT)
        return plain(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "train_step", step)
        with pytest.raises(KeyboardInterrupt):
            perform(cell, (), tmp_path / "cut")
    folder = folder_of(cell, tmp_path / "cut")
    assert len(steps) == 5
    assert not finished(folder)
    assert gather(toy.study((cell,)), tmp_path / "cut").every[0].error == "training has begun and not ended"
    assert perform(cell, (), tmp_path / "cut").complete
    perform(cell, (), tmp_path / "whole")
    whole = folder_of(cell, tmp_path / "whole")
    assert (folder / "encoder.safetensors").read_bytes() == (whole / "encoder.safetensors").read_bytes()


def test_two_runners_do_not_train_one_cell(tmp_path):
    cell = toy.cell()
    (tmp_path / ".locks").mkdir()
    lock = FileLock(tmp_path / ".locks" / f"{folder_of(cell, tmp_path).name}.lock", thread_local=False)
    lock.acquire()
    with pytest.raises(Busy):
        perform(cell, (), tmp_path)
    assert not folder_of(cell, tmp_path).exists()
    threading.Timer(2.5, lock.release).start()
    began = time.monotonic()
    assert not run(toy.study((cell,)), store=tmp_path, quiet=True).missing
    assert time.monotonic() - began > 1


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ((toy.cell(dials={"epochs": 1, "batch_size": 5000}),), "a batch takes 5000 images, but there are only 1445"),
        ((toy.cell(dials={"epoch": 1}),), "simclr has no dial 'epoch'; did you mean 'epochs'"),
        ((toy.cell(settings={"optim.rate": "1"}),), "AdamW has no field 'rate'"),
        ((toy.cell(encoder="pami"),), "images of 18 to 33 px"),
        ((toy.cell(encoder="mpl"),), "unknown encoder 'mpl'; did you mean 'mlp'"),
        ((toy.cell("simcler"),), "did you mean 'simclr'"),
        ((toy.cell(dials={**toy.DIALS, "policy": "none"}),), "no anchor of the batch has a positive"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_started(tmp_path, cells, said):
    with pytest.raises(RecipeError) as told:
        run(toy.study((toy.cell(), *cells, toy.cell(seed=1))), store=tmp_path / "cells", quiet=True)
    assert said in str(told.value)
    assert "1 of 3 cells cannot work, so nothing was started" in str(told.value)
    assert "\n" not in str(told.value)
    assert not list((tmp_path / "cells").glob("*"))


def test_data_that_is_missing_or_has_no_labels_is_said(tmp_path):
    from PIL import Image

    absent = toy.cell(source=sources.lookup("mnist", root=str(tmp_path / "nowhere"), download=False))
    with pytest.raises(SourceError, match="1 of 2 cells cannot work") as told:
        run(toy.study((toy.cell(), absent)), store=tmp_path / "cells", quiet=True)
    assert "nowhere" in str(told.value)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        Image.new("L", (8, 8), i * 5).save(photos / f"{i}.png")
    folder = sources.lookup("folder", root=str(photos))
    small = {"epochs": 1, "batch_size": 8}
    bare = tuple(toy.cell(recipe, source=folder, dials=small) for recipe in ("simclr", "supcon"))
    with pytest.raises(RecipeError, match="supcon needs labels, but source 'folder"):
        run(toy.study(bare), store=tmp_path / "cells", quiet=True)


def test_cells_of_other_data_are_not_taken_for_these(tmp_path):
    cell = toy.cell()
    perform(cell, (), tmp_path)
    path = folder_of(cell, tmp_path) / "recipe.json"
    kept = json.loads(path.read_text())
    kept["facts"]["mean"] = [0.5]
    path.write_text(json.dumps(kept))
    with pytest.raises(RecipeError, match="was trained on other data"):
        run(toy.study((cell,)), store=tmp_path, quiet=True)


def rewritten(folder, change):
    path = folder / "recipe.json"
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))


def test_what_a_recipe_has_changed_since_is_not_taken_for_what_it_is_now(tmp_path):
    """A run of the recipe's older body: dials, settings and digest are the same, its composition is not."""
    cells = (toy.cell(), toy.cell(seed=1))
    asked = toy.study(cells, ())
    run(asked, store=tmp_path, quiet=True)
    rewritten(folder_of(cells[0], tmp_path), lambda kept: kept["parts"]["optim"].update(weight_decay=0.7))
    with pytest.raises(RunError, match="1 of 2 cells cannot work") as told:
        run(asked, store=tmp_path, quiet=True)
    assert "its optim is" in str(told.value)
    assert "move the folder away to have it trained again" in str(told.value)
    assert str(folder_of(cells[0], tmp_path)) in str(told.value)
    first, second = gather(asked, tmp_path).every
    assert first.folder is None
    assert "is not what the cell asks for today" in first.error
    assert second.folder is not None


def test_a_folder_of_photos_that_has_grown_brings_no_old_results_back(tmp_path):
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()

    def add(names):
        for i in names:
            Image.new("L", (8, 8), i * 3).save(photos / f"{i}.png")

    add(range(40))
    cell = toy.cell(source=sources.lookup("folder", root=str(photos)), dials={"epochs": 1, "batch_size": 8})
    asked = toy.study((cell,), ())
    run(asked, store=tmp_path / "cells", quiet=True)
    assert not run(asked, store=tmp_path / "cells", quiet=True).missing
    add(range(40, 80))
    with pytest.raises(RecipeError, match=r"was trained on other data \(images: "):
        run(asked, store=tmp_path / "cells", quiet=True)


def test_an_answer_that_is_damaged_is_asked_for_again(tmp_path):
    asked = toy.study((toy.cell(), toy.cell(seed=1)), (toy.Spread(5.0),))
    whole = run(asked, store=tmp_path, quiet=True)
    for damage in ("{", "[]", '{"answer": {}}', '{"answer": 3, "seconds": 1}'):
        answer_of(whole.every[0].folder, asked.evaluators[0]).write_text(damage)
        found = gather(asked, tmp_path)
        assert [r.error for r in found.every] == ["spread: its answer is damaged and will be asked for again", ""]
        again = run(asked, store=tmp_path, quiet=True)
        assert [r.found for r in again.every] == [r.found for r in whole.every]


def test_what_is_complete_needs_no_data(store, monkeypatch):
    def gone(self):
        raise SourceError("the data has gone")

    monkeypatch.setattr(sources.Digits, "load", gone)
    assert not run(toy.study(), store=store, quiet=True).missing
    with pytest.raises(SourceError, match="4 of 4 cells cannot work, so nothing was started: the data has gone"):
        run(toy.study(evaluators=(toy.Spread(9.0),)), store=store, quiet=True)


def test_a_page_that_fails_on_the_way_does_not_end_the_study(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(runner, "_BETWEEN", -1.0)
    calls = []

    def write(results):
        calls.append(len(list(results)))
        if len(calls) == 1:
            raise ZeroDivisionError("half a table")

    run(toy.study((toy.cell(), toy.cell(seed=1))), store=tmp_path, after=write)
    assert calls == [1, 2, 2]
    assert "could not be written on the way: ZeroDivisionError: half a table" in capfd.readouterr().err


def test_a_part_of_the_grid_is_chosen_by_place():
    cells = toy.study().cells
    assert [c.seed for c in chosen(cells, {"recipe": "supcon"})] == [0, 1]
    with pytest.raises(RecipeError, match="did you mean 'supcon'"):
        chosen(cells, {"recipe": "subcon"})
    with pytest.raises(RecipeError, match="no axis 'recipes'; did you mean 'recipe'"):
        chosen(cells, {"recipes": "supcon"})


# ---------------------------------------------------------------- in processes of their own


TOML = """
name = "toy"
encoder = "mlp"
seeds = 2
evaluators = ["toy:Spread"]
measure = "spread.deviation"
[grid]
recipe = ["simclr", "supcon"]
[fixed]
epochs = 1
batch_size = 128
"""


OUT = "runs/studies/toy-digits"


def begin(folder: Path, store: Path, jobs: int, slowly: float = 0.0) -> subprocess.Popen[str]:
    """The toy study as a command."""
    (folder / "toy.toml").write_text(TOML)
    root = Path(counterpoint.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "counterpoint", "study", "toy.toml", "--cells", str(store), "--jobs", str(jobs)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{HERE}{os.pathsep}{root}",
            "OMP_NUM_THREADS": "1",
            "TOY_SLOWLY": str(slowly),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def table(folder: Path) -> list[list[str]]:
    with (folder / OUT / "tables" / "means.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(what, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.long)])
def test_a_study_killed_in_the_middle_and_started_again_gives_the_same_table(tmp_path, store, jobs):
    cells = tmp_path / "cells"
    process = begin(tmp_path, cells, jobs, slowly=5.0)
    wait_for(lambda: any(map(finished, cells.glob("simclr-*"))))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(child) for child in children.read_text().split()] if jobs > 1 and children.exists() else []
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not all(list(folder.glob("answers/*.json")) for folder in cells.glob("*-digits-*"))
    wait_for(lambda: not any(map(alive, workers)))
    again = begin(tmp_path, cells, jobs)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert out.strip().endswith("index.html")
    results = gather(toy.study(), store)
    for row in table(tmp_path)[1:]:
        values = results.values("spread", "deviation", recipe=row[0])
        assert float(row[2]) == pytest.approx(sum(values.values()) / 2, rel=1e-12)
    assert table(tmp_path)[0][:2] == ["recipe", "seeds"]


@pytest.mark.long
def test_ctrl_c_stops_all_processes_and_writes_the_page(tmp_path):
    cells = tmp_path / "cells"
    process = begin(tmp_path, cells, 2, slowly=30.0)
    wait_for(lambda: any(map(finished, cells.glob("simclr-*"))))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert (tmp_path / OUT / "index.html").is_file()
    kept = json.loads((tmp_path / OUT / "study.json").read_text())
    assert {cell["state"] for cell in kept["cells"]} <= {"not finished", "lacks answers"}


def test_an_axis_may_be_called_part(tmp_path, monkeypatch):
    """JSON keeps that word for classes, and a process of its own is told of the cell as JSON."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    cells = tuple(replace(toy.cell(seed=seed), place={"part": "paper"}) for seed in (0, 1))
    done = run(toy.study(cells), store=tmp_path, jobs=2, quiet=True)
    assert [result.error for result in done.every] == ["", ""]
