import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from counterpoint import cli, sources
from counterpoint.errors import RecipeError, RunError
from counterpoint.studies import conduct as app
from counterpoint.studies.cells import finished, folder_of
from counterpoint.studies.conduct import find_study, study, take_in
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Results, Study

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))

import toy

OWN = """
from counterpoint.studies.study import Study

def mine(*, source=None, scale="full", seeds=(0,), width: int = 3) -> Study:
    import sys
    sys.modules["test_study_seen"] = dict(source=source, scale=scale, seeds=seeds, width=width)
    return Study("mine", "Mine", (), "", (), (), (), lambda results: ())

def bare(*, source):
    return None
"""


@pytest.fixture
def shell(capfd):
    def run(*words):
        with pytest.raises(SystemExit) as left:
            cli.main([str(word) for word in words])
        written = capfd.readouterr()
        return SimpleNamespace(code=left.value.code, out=written.out, err=written.err)

    return run


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    yield path
    sys.modules.pop("test_study_seen", None)


def test_studies_are_listed(shell):
    done = shell("study", "--list")
    assert done.code == 0
    assert done.out.splitlines() == [f"{name}  {said}" for name, said in named_studies().items()]
    assert shell("study").out == done.out
    assert "twelve-scenarios" in named_studies()
    assert not {"cells", "runner", "claims", "own", "statistics"} & set(named_studies())


def test_a_study_takes_the_options_that_it_names(own):
    made = find_study(f"{own}:mine", source="digits", size=16, scale="smoke", seeds=2, options={"width": 5})
    seen = sys.modules["test_study_seen"]
    assert made.name == "mine"
    assert seen == {"source": sources.lookup("digits", size=16), "scale": "smoke", "seeds": (0, 1), "width": 5}
    find_study(f"{own}:mine", seeds=(4, 7))
    assert sys.modules["test_study_seen"] == {"source": None, "scale": "full", "seeds": (4, 7), "width": 3}


def test_what_a_study_does_not_take_is_said(own):
    with pytest.raises(RecipeError, match="has no option 'widht'; did you mean 'width'"):
        find_study(f"{own}:mine", options={"widht": 5})
    with pytest.raises(RecipeError, match="has no option 'scale'; it is given as --scale"):
        find_study(f"{own}:mine", options={"scale": "smoke"})
    with pytest.raises(RecipeError, match="takes no root"):
        find_study(f"{own}:mine", root="data")
    with pytest.raises(RecipeError, match="needs to know its source; give --source"):
        find_study(f"{own}:bare")
    with pytest.raises(RecipeError, match="answered with NoneType, expected a counterpoint Study"):
        find_study(f"{own}:bare", source="digits")
    with pytest.raises(RecipeError, match="there is no study 'twelve-scenario'; did you mean 'twelve-scenarios'"):
        find_study("twelve-scenario")
    with pytest.raises(RecipeError, match="at least one seed"):
        find_study(f"{own}:mine", seeds=())
    with pytest.raises(RecipeError, match="takes no --scale"):
        find_study("my.toml", scale="smoke")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("twelve-scenario",), "did you mean 'twelve-scenarios'"),
        (("none.toml",), "there is no file none.toml"),
        (("x", "--scale", "tiny"), "'tiny' is not one of"),
        (("x", "--seeds", "0"), "'0' is no number of seeds"),
        (("x", "--seeds", "1,1"), "'1,1' is no number of seeds"),
        (("x", "--seeds", "1,01"), "'1,01' is no number of seeds"),
        (("x", "--seeds", "²"), "is no number of seeds"),
        (("x", "--option", "a"), "'a' is no KEY=VALUE"),
        (("x", "--adopt", "nowhere"), "does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(shell, words, said):
    done = shell("study", *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("text", "seeds"), [("3", 3), ("0,4", (0, 4)), ("2,", (2,)), ("0,", (0,))])
def test_seeds_are_a_number_or_a_list(text, seeds):
    from counterpoint.cli.study import _Seeds

    assert _Seeds().convert(text, None, None) == seeds


def test_flags_arrive(shell, monkeypatch):
    seen = {}

    def noting(name, **given):
        seen.update(given, name=name)
        return SimpleNamespace(page=Path("page.html"), results=Results(()))

    monkeypatch.setattr(app, "study", noting)
    monkeypatch.setattr(app, "show_claims", lambda done: None)
    line = "study x --source mnist --root data --scale small --seeds 0,2 --option a=1 --option b=words --only method=a"
    done = shell(*line.split(), "--jobs", 2, "--cells", "c", "--out", "o", "--max-time", "1h", "--size", 28)
    assert (done.code, done.out) == (0, "page.html\n")
    assert done.err.endswith("study x on mnist\n")
    seen.pop("command")
    assert seen == {
        "name": "x", "source": "mnist", "root": Path("data"), "scale": "small", "seeds": (0, 2), "size": 28,
        "options": {"a": 1, "b": "words"}, "only": {"method": "a"}, "jobs": 2, "cells": Path("c"), "out": Path("o"),
        "max_time": 3600.0, "precision": "auto", "adopted": (), "quiet": False,
    }  # fmt: skip


def test_a_study_leaves_a_folder_that_explains_itself(tmp_path, capsys):
    bad = replace(toy.cell(dials={**toy.DIALS, "lr": 1e38}), place={"recipe": "broken"})
    asked = toy.study((toy.cell(), bad), claims=(toy.claim(toy.spreads),))
    done = study(asked, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True, command="counterpoint study toy")
    assert done.page == tmp_path / "out" / "index.html"
    assert "broken" in done.page.read_text()
    kept = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [cell["state"] for cell in kept["cells"]] == ["complete", "not finished"]
    assert "not a finite number" in kept["cells"][1]["error"]
    assert (kept["data"], kept["seeds"], kept["command"]) == ("digits", [0], "counterpoint study toy")
    claims = json.loads((tmp_path / "out" / "claims.json").read_text())["claims"]
    assert claims[0]["decision"]["verdict"] == "undecided"
    app.show_claims(done)
    said = capsys.readouterr().out
    assert "It spreads." in said
    assert "1 of 2 cells lack something" in said
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(RunError, match="holds other files"):
        study(asked, out=tmp_path / "other", cells=tmp_path / "cells", quiet=True)


def test_the_recorded_command_has_what_is_asked_and_not_how_it_was_run_this_time(shell, monkeypatch):
    seen = {}

    def noting(name, **given):
        seen.update(given)
        return SimpleNamespace(page=Path("page.html"), results=Results(()))

    monkeypatch.setattr(app, "study", noting)
    monkeypatch.setattr(app, "show_claims", lambda done: None)
    words = ["study", "x", "--adopt", ".", "--max-time=1h", "--seeds", "3", "--jobs", "2", "--jobs=1", "--adopt=."]
    monkeypatch.setattr(sys, "argv", ["counterpoint", *words])
    shell(*words)
    assert seen["command"] == "counterpoint study x --seeds 3"


def test_runs_are_taken_in(tmp_path):
    cell = toy.cell()
    study(toy.study((cell,)), out=tmp_path / "out", cells=tmp_path / "there", quiet=True)
    before = tmp_path / "before"
    shutil.copytree(folder_of(cell, tmp_path / "there"), before / "mine")
    asked = toy.study((toy.cell(seed=1), cell))
    found = take_in([before], asked, tmp_path / "cells")
    assert found == {before / "mine": f"moved to {folder_of(cell, tmp_path / 'cells')}"}
    assert finished(folder_of(cell, tmp_path / "cells"))
    shutil.copytree(folder_of(cell, tmp_path / "there"), before / "mine")
    assert "exists already" in take_in([before / "mine"], asked, tmp_path / "cells")[before / "mine"]
    (before / "mine" / "encoder.safetensors").unlink()
    said = take_in([before / "mine"], asked, tmp_path / "elsewhere")[before / "mine"]
    assert "is not trained to its end, so it stays" in said
    assert (before / "mine").is_dir()
    other: Cell = toy.cell(seed=1)
    assert "no cell" in take_in([before], toy.study((other,)), tmp_path / "cells")[before / "mine"]
    assert isinstance(asked, Study)


def test_claims_are_collected(shell, tmp_path):
    assert "no study below" in shell("claims", "--studies", tmp_path).err
    study(
        toy.study((toy.cell(),), claims=(toy.claim(toy.spreads),)),
        out=tmp_path / "studies" / "toy",
        cells=tmp_path / "cells",
        quiet=True,
    )
    done = shell("claims", "--studies", tmp_path / "studies", "--out", tmp_path / "claims.md")
    assert (done.code, done.out.strip()) == (0, str(tmp_path / "claims.md"))
    assert "| It spreads. | page 1 | 0.5 (paper) |" in (tmp_path / "claims.md").read_text()


def test_a_study_with_a_failed_cell_leaves_with_1(shell, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'source = "digits"\nencoder = "mlp"\nseeds = 1\nevaluators = ["toy:Spread"]\nmeasure = "spread.deviation"\n'
        '[grid]\n"set.optim.lr" = [0.001, 1e30]\n[fixed]\nrecipe = "simclr"\nepochs = 1\n'
    )
    left = shell("study", tmp_path / "mine.toml", "--cells", tmp_path / "cells", "--out", tmp_path / "out")
    assert left.code == 1
    assert (tmp_path / "out" / "index.html").is_file()
