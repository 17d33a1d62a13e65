"""`counterpoint associate` as it is typed."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

import counterpoint as cp
from counterpoint import sources
from counterpoint.cli import counterpoint, main
from counterpoint.errors import RunError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    return cp.train(
        "simclr", source="digits", encoder="mlp", out=out, epochs=2, evaluate=False, report=False, quiet=True
    ).folder


def typed(*words):
    return CliRunner().invoke(counterpoint, ["associate", *map(str, words)], catch_exceptions=False)


def test_from_attributes_to_answers(run, tmp_path):
    digits = sources.lookup("digits").load()
    Image.fromarray(digits.test.images[0, 0].numpy()).save(tmp_path / "digit.png")
    (tmp_path / "a.toml").write_text('even = ["0", "2", "4", "6", "8"]\nodd = {none = ["even"]}')
    with pytest.raises(RunError, match="has no attributes yet"):
        typed(run, tmp_path / "digit.png")
    done = typed(run, "--attributes", tmp_path / "a.toml", "--discover", "2")
    assert done.exit_code == 0
    for said in ("even", "odd", "AUROC", "of 2 attributes can be read", "plane 1", "attributes.html"):
        assert said in done.stdout
    answered = typed(run, tmp_path / "digit.png")
    assert "digit.png" in answered.stdout
    assert "even" in answered.stdout
    asked = json.loads(typed(run, tmp_path / "digit.png", "--json").stdout)
    (one,) = asked["images"]
    assert one["label"] in digits.classes
    assert one["attributes"]["even"] + one["attributes"]["odd"] == pytest.approx(1, abs=0.02)
    assert set(one["planes"]) == {"plane 1", "plane 2"} or set(one["planes"]) == {"plane 1"}
    trained = json.loads(typed(run, "--discover", "1", tmp_path / "digit.png", "--json").stdout)
    assert [each["name"] for each in trained["attributes"]] == ["even", "odd"]
    assert len(trained["images"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --attributes FILE or --discover N"),
        (("x.png", "--root", "y"), "say what heads are trained on"),
        (("--attributes", "none.toml"), "cannot be read"),
        (("--attributes", "none.json"), "are read from .toml and .csv"),
        (("--discover", "0"), "0 is not in the range"),
        (("--discover", "1", "--root", "/none"), "takes no root"),
        (("--discover", "1", "--source", "digit"), "did you mean 'digits'"),
    ],
)
def test_mistakes_are_one_sentence(run, capsys, words, said):
    with pytest.raises(SystemExit) as left:
        main(["associate", str(run), *words])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("error:") == 1
    assert "Traceback" not in error
