import json

import pytest

from counterpoint.errors import RunError
from counterpoint.run import Run


def made(folder):
    run = Run.create(folder)
    run.write_recipe({"parts": {}, "source": {}})
    return run


def test_a_folder_that_holds_something_is_refused(tmp_path):
    made(tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run"):
        Run.create(tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="other files"):
        Run.create(tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "file")


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        Run.open(tmp_path / "missing")
    with pytest.raises(RunError, match=r"no recipe\.json"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(RunError, match="lacks"):
        Run.open(tmp_path)


def test_the_log_survives_a_line_cut_off_by_a_kill_and_is_rewound(tmp_path):
    run = made(tmp_path / "run")
    for step in (10, 20, 30):
        run.log("step", step=step, loss=1.0)
    with (run.folder / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    assert [line["step"] for line in run.history()] == [10, 20, 30]
    run.rewind(20)
    text = (run.folder / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [10, 20]
