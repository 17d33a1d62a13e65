"""`counterpoint compare`, as it is typed."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from counterpoint import cli

LABELS = [i % 10 for i in range(100)]


def run(folder: Path, right: int, source: dict[str, Any] | None = None) -> Path:
    """The least that a scored run holds: one score, its predictions, a recipe."""
    folder.mkdir(parents=True)
    share = right / 100
    recipe = {
        "recipe": "simclr", "seed": 0, "source": source or {"part": "counterpoint.sources:Digits"},
        "dataset": {"name": "digits", "test": 100, "split": "by hash", "classes": [str(i) for i in range(10)]},
        "parts": {"objective": {"part": "counterpoint.objectives:NTXent", "temperature": share}},
    }  # fmt: skip
    guesses = [label if i < right else (label + 1) % 10 for i, label in enumerate(LABELS)]
    measure = {"name": "linear_probe", "label": "linear probe accuracy", "value": share, "low": share - 0.09,
               "high": share + 0.09, "better": "higher", "group": "classification"}  # fmt: skip
    predicted = {"sample": list(range(100)), "label": LABELS, "prediction": guesses}
    scores = {"classes": recipe["dataset"]["classes"], "measures": {"learned": [measure]},
              "details": {"learned": {"predicted": predicted}}}  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def line(text: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(shlex.split(text))
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return line


def test_the_table_the_page_and_its_place(typed: Any, tmp_path: Path) -> None:
    run(tmp_path / "runs" / "a", 60)
    run(tmp_path / "runs" / "b", 90)
    run(tmp_path / "runs" / "c", 62)
    code, out, err = typed("compare runs/a runs/b runs/c")
    assert code == 0
    assert err.startswith("counterpoint ")
    assert "compare runs/a runs/b runs/c" in err
    assert out.splitlines()[-1] == "compare.html"
    assert "90.0 % (81.0–99.0)" in out
    assert "+30.0 (+21.0 to +39.0) ▲" in out
    assert "+2.0 (" in out
    assert out.count("▲") == 2, "one mark, and the line that explains it"
    assert "holds among all 2 differences together" in out
    page = (tmp_path / "compare.html").read_text()
    assert '<meta name="generator" content="counterpoint comparison">' in page
    assert "Only b right" in page
    assert "data:image/" in page
    assert typed("compare runs/a runs/b")[0] == 0, "an earlier comparison may be replaced"


def test_a_reference_without_scores_is_the_one_that_is_blamed(typed: Any, tmp_path: Path) -> None:
    (run(tmp_path / "bare", 60) / "scores.json").unlink()
    run(tmp_path / "a", 60)
    code, out, _ = typed("compare bare a")
    assert code == 0
    assert "Not compared: bare has not been evaluated, so nothing is compared with it" in out
    (tmp_path / "a" / "scores.json").unlink()
    assert "none of the runs has been evaluated" in typed("compare bare a")[1]


def test_images_that_are_not_those_that_were_scored_are_not_shown(typed: Any, tmp_path: Path) -> None:
    for folder in (run(tmp_path / "a", 60), run(tmp_path / "b", 90)):
        scores = json.loads((folder / "scores.json").read_text())
        (folder / "scores.json").write_text(json.dumps({**scores, "digest": "of other images"}))
    code, _, err = typed("compare a b")
    assert code == 0
    assert "the test images are not those that were scored; `counterpoint evaluate a` scores it anew" in err
    page = (tmp_path / "compare.html").read_text()
    assert "Images are not shown where the test images are not those that were scored" in page


def test_differences_that_are_not_paired_are_marked(typed: Any, tmp_path: Path) -> None:
    for name, right in (("a", 60), ("b", 90)):
        run(tmp_path / name, right)
    assert "°" not in typed("compare a b")[1]
    scores = json.loads((tmp_path / "b" / "scores.json").read_text())
    scores["measures"]["learned"][0]["name"] = "linear_probe"
    scores["measures"]["learned"][0]["value"] -= 0.01
    (tmp_path / "b" / "scores.json").write_text(json.dumps(scores))
    out = typed("compare a b")[1]
    assert out.count("°") == 2
    assert "° Not paired image by image" in out


def test_another_reference(typed: Any, tmp_path: Path) -> None:
    run(tmp_path / "a", 60)
    run(tmp_path / "b", 90)
    code, out, _ = typed("compare a b --reference b --out side.html")
    assert code == 0
    assert "−30.0 (" in out
    assert "the difference from b" in out
    assert (tmp_path / "side.html").is_file()


def test_data_that_is_gone_leaves_a_page_without_images(typed: Any, tmp_path: Path) -> None:
    gone = {"part": "counterpoint.sources:Cifar", "name": "cifar10", "root": str(tmp_path / "gone")}
    run(tmp_path / "a", 60, gone)
    run(tmp_path / "b", 90, gone)
    code, _, err = typed("compare a b")
    assert code == 0
    assert "the page shows no images: " in err
    page = (tmp_path / "compare.html").read_text()
    assert "Images are not shown where they were not at hand" in page
    assert "sheet-0" not in page.split("</style>", 1)[1].split("<script", 1)[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare", "missing argument"),
        ("compare a", "at least two different runs, and 1 was given"),
        ("compare a ./a", "the same run was named twice"),
        ("compare a nowhere", "nowhere is not a folder"),
        ("compare a b --out a", "is a folder, expected a file"),
        ("compare a b --out mine.txt", "is no comparison page, so it is not replaced"),
    ],
)
def test_a_mistake_is_one_sentence(typed: Any, tmp_path: Path, line: str, said: str) -> None:
    run(tmp_path / "a", 60)
    run(tmp_path / "b", 90)
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = typed(line)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "compare.html").exists()


@pytest.mark.slow
def test_an_evaluation_keeps_the_digest_of_what_it_scored(typed: Any, tmp_path: Path) -> None:
    from counterpoint.embed import fingerprint
    from counterpoint.sources import Digits

    assert typed("train simclr --source digits --encoder mlp --epochs 1 --out a")[0] == 0
    scores = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert scores["digest"] == fingerprint(Digits().load().test.images)
    kept = scores["details"]["learned"]["recalled"]
    assert len(kept["sample"]) == len(kept["hit"]) > 300
    assert "data:image/" in (tmp_path / "a" / "report.html").read_text()
