"""`counterpoint doctor` on run folders."""

import json
import shlex

import pytest

import counterpoint as cp
from counterpoint import app, cli

PLAIN = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def sick(tmp_path_factory):
    """A tiny run that is too hot."""
    out = tmp_path_factory.mktemp("doctor") / "run"
    more = {"evaluate": False, "report": False, "batch_size": 64, "epochs": 3, "temperature": 50.0, **PLAIN}
    return cp.train("simclr", source="digits", encoder="mlp", out=out, **more)


def answer(line, capfd):
    with pytest.raises(SystemExit) as left:
        cli.main(shlex.split(line))
    return left.value.code, capfd.readouterr()


def test_a_finding_with_what_to_type(sick, capfd):
    code, said = answer(f"doctor {sick.folder}", capfd)
    assert code == 0
    assert said.err.startswith("counterpoint")
    assert said.out.startswith("saturated temperature since step 20")
    assert "--temperature 0.2" in said.out
    assert "effective rank" in said.out


def test_for_programs(sick, capfd):
    code, said = answer(f"doctor {sick.folder} --json", capfd)
    found = json.loads(said.out)
    assert code == 0
    assert found["healthy"] is False
    assert found["findings"][0]["settings"] == {"temperature": 0.2}
    assert found["readings"]["reach"] == pytest.approx(0.04)


def test_the_advice_is_taken_as_it_is_printed(sick, tmp_path, capfd):
    typed = app.doctor(sick).findings[0].flags
    again = f"train --config {sick.folder}/recipe.json {typed} --out {tmp_path}/again --no-evaluate --no-report --quiet"
    answer(again, capfd)
    checkup = app.doctor(tmp_path / "again")
    assert (checkup.findings, checkup.healthy) == ((), True)
    _, said = answer(f"doctor {tmp_path}/again", capfd)
    assert said.out.startswith("healthy: nothing found")


def test_logs_that_cannot_be_judged(sick, tmp_path, capfd):
    (tmp_path / "recipe.json").write_text((sick.folder / "recipe.json").read_text())
    for lines, words in (
        ([], "there is no logged step"),
        ([{"event": "step", "step": 10, "loss": 1.0, "lr": 1.0}] * 9, "the log of this run has no readings"),
    ):
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        code, said = answer(f"doctor {tmp_path}", capfd)
        assert (code, words in said.out) == (0, True)
        assert app.doctor(tmp_path).healthy is None


def test_what_is_no_run(tmp_path, capfd):
    code, said = answer(f"doctor {tmp_path}/nowhere", capfd)
    assert code == 2
    assert "is not a run" in said.err
