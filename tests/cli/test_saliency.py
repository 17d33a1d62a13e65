"""`counterpoint saliency` as it is typed."""

import pytest
from click.testing import CliRunner
from PIL import Image

import counterpoint as cp
from counterpoint import sources
from counterpoint.cli import counterpoint, main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    options = {"epochs": 1, "evaluate": False, "report": False, "quiet": True}
    return cp.train("simlap", source="digits", encoder="conv", out=out, **options).folder


def typed(*words):
    return CliRunner().invoke(counterpoint, ["saliency", *map(str, words)], catch_exceptions=False)


def test_pairs_gates_and_probes(run, tmp_path):
    digits = sources.lookup("digits").load()
    Image.fromarray(digits.test.images[1, 0].numpy()).save(tmp_path / "one.png")
    out = tmp_path / "panel.png"
    done = typed(run, 0, tmp_path / "one.png", "--gate", "3", "--gate", "3, 8", "--crops", 2, "--out", out)
    assert done.exit_code == 0
    for said in ("test image 0, one.png", "  similarity ", "under 3 ", "under 3 and 8", "map of 4 x 4", str(out)):
        assert said in done.stdout
    with Image.open(out) as panel:
        assert panel.size == (6 + 6 * 134, 16 + 3 * 150)
    page = tmp_path / "panel.html"
    assert str(page) in typed(run, 0, 1, 2, 3, "--detach", "--crops", 1, "--out", page).stdout
    assert page.read_text("utf-8").count("test image 2, test image 3") >= 2
    said = typed(run, 0, 1, 2, "--probe", "0,6,8,9", "--out", out).stdout
    assert said.count('logit of "0,6,8,9"') == 3
    with Image.open(out) as panel:
        assert panel.size == (6 + 3 * 134, 16 + 3 * 150)
    assert not list(tmp_path.glob(".*"))  # files appear whole


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0",), "1 image arrived, which make no pairs"),
        (("0", "1", "--out", "a.gif"), "expected .png, .jpg, .jpeg, .webp, .html"),
        (("0", "none.png"), "none.png"),
        (("0", "1", "--gate", "3,4,5"), "has no class '3,4,5'"),
        (("0", "1", "--gate", "three"), "has no class 'three'"),
        (("0", "--probe", "3", "--detach"), "reads single images by h"),
        (("0", "--probe", "eleven"), "no attribute or class 'eleven'"),
        (("0", "99999"), "there is no test image 99999"),
        (("0", "1", "--gate", "3,three"), "has no class 'three'"),
        (("0", "1", "--gate", "10"), "has no class '10'"),
        (("0", "1", "--crops", "0"), "0 is not in the range"),
        (("0", "1", "--crops", "513"), "513 is not in the range"),
    ],
)
def test_mistakes_are_one_sentence(run, capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["saliency", str(run), *words])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("error:") == 1
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_the_help_has_an_example(run):
    assert "counterpoint saliency runs/first tom.jpg rex.jpg" in typed("--help").stdout
