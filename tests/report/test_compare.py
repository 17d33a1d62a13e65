"""The page of a comparison."""

import json
from pathlib import Path

import pytest
import torch

from counterpoint.errors import RunError
from counterpoint.report import gaps, gather_runs, write_comparison

from .test_page import parsed
from .variants import COLLAPSE, changed, variant, with_doctor


def test_the_whole_page(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path / "first")
    second = variant(tmp_path / "first", tmp_path / "second", wrong=18, temperature=0.07)
    third = variant(tmp_path / "first", tmp_path / "third", wrong=2)
    with_doctor(second, COLLAPSE)
    out = tmp_path / "compare.html"
    together = gather_runs([tmp_path / "first", second, third])
    assert write_comparison(together, out, images={0: made["images"]}) == out
    assert out.stat().st_size < 8_000_000
    page = parsed(out)
    assert len(page.ids) == len(set(page.ids))
    for section in (
        "runs",
        "settings",
        "scores",
        "classes",
        "images",
        "maps",
        "geometry",
        "doctor",
        "training",
        "again",
    ):
        assert section in page.ids
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert "objective.temperature 0.5 0.07 0.5" in page.text
    assert "second: no, worse; third: cannot be told apart" in page.text
    assert "−5.0 points" in page.text
    assert "6 differences are looked at here (2 runs against first, 3 scores)" in page.text
    assert "Holm’s rule" in page.text
    assert "Only first right 12 of 18" in page.text
    assert "second: collapsed: dimensional collapse" in page.text
    assert "since step 300, to the end" in page.text
    assert "counterpoint compare" in page.text
    data = json.loads(page.data)
    assert data["groups"] == [0, 0, 0]
    assert [m["map"]["sample"] for m in data["maps"]] == [list(range(360))] * 3
    assert all(tile >= 0 for m in data["maps"] for tile in m["map"]["tile"])


def test_one_comparison_needs_no_rule_for_many(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    for folder in (tmp_path / "first", variant(tmp_path / "first", tmp_path / "second", wrong=9)):
        keep = lambda s: s["measures"].update(learned=s["measures"]["learned"][:1])  # noqa: E731
        changed(folder, "scores.json", keep)
    page = parsed(write_comparison(gather_runs([tmp_path / "first", tmp_path / "second"]), tmp_path / "c.html"))
    assert "Holm" not in page.text
    assert "first and second" in page.text


def test_what_was_not_evaluated_is_listed_with_what_it_has(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    make_run(tmp_path / "curves", scores=False, embeddings=False)
    page = parsed(write_comparison(gather_runs([tmp_path / "first", tmp_path / "curves"]), tmp_path / "c.html"))
    assert "curves has not been evaluated." in page.text
    assert "No other run was tested on the same images." in page.text
    assert "training" in page.ids
    turned = parsed(write_comparison(gather_runs([tmp_path / "curves", tmp_path / "first"]), tmp_path / "c.html"))
    assert "curves has not been evaluated." in turned.text
    assert "scores" in turned.ids


def test_other_data_is_shown_but_not_compared(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    other = variant(tmp_path / "first", tmp_path / "other")
    changed(other, "recipe.json", lambda r: r["dataset"].update(name="elsewhere"))
    page = parsed(write_comparison(gather_runs([tmp_path / "first", other]), tmp_path / "c.html"))
    assert "other was tested on other images than first, so no difference from it is computed." in page.text
    assert "Difference from first" not in page.text
    assert json.loads(page.data)["groups"] == [0, 1]


def test_the_headline_is_judged_by_its_own_interval_and_says_so(tmp_path: Path, make_run) -> None:
    """Seven images lost and none won is a difference by itself, but not among as many as are looked at here."""
    make_run(tmp_path / "first")
    runs = [tmp_path / "first", *(variant(tmp_path / "first", tmp_path / f"r{i}", wrong=7) for i in range(8))]
    together = gather_runs(runs)
    headline = [gap for gap in gaps(together) if gap.name == "knn_accuracy"]
    assert {gap.verdict for gap in headline} == {"alike"}
    assert {gap.difference.verdict for gap in headline} == {"worse"}
    page = parsed(write_comparison(together, tmp_path / "c.html"))
    assert "r0: no, worse" in page.text
    assert "named beforehand and is judged by their own 95 % intervals" in page.text


def test_a_quickest_is_named_only_for_the_same_work(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    second = variant(tmp_path / "first", tmp_path / "second")
    with_doctor(tmp_path / "first")
    with_doctor(second)

    def told(epochs: float, taken: float = 90.0) -> str:
        for folder, length, seconds in ((tmp_path / "first", 60.0, 60.0), (second, epochs, taken)):
            end = {"event": "end", "step": 360, "epoch": length, "seconds": seconds, "reason": "finished"}
            with (folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(end) + "\n")
        return parsed(write_comparison(gather_runs([tmp_path / "first", second]), tmp_path / "c.html")).text

    assert "first was the quickest" in told(60.0)
    same = told(60.0, 61.0)
    assert "All took about as long" in same
    assert "All are named as well as before." in same
    text = told(30.0)
    assert "was the quickest" not in text
    assert "first: 1.0 s per epoch; second: 3.0 s per epoch" in text


def test_too_few_readings_are_no_health(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    second = variant(tmp_path / "first", tmp_path / "second")
    with_doctor(second)
    lines = [json.loads(line) for line in (second / "log.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["event"] != "step" or line["step"] < 4]
    (second / "log.jsonl").write_text("\n".join(map(json.dumps, kept)) + "\n")
    text = parsed(write_comparison(gather_runs([tmp_path / "first", second]), tmp_path / "c.html")).text
    assert "second: too short to judge" in text
    assert "3 steps were read; that is too short to judge" in text


def test_without_labels_and_without_images(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first", labels=False)
    other = variant_of_unlabelled(tmp_path)
    together = gather_runs([tmp_path / "first", other])
    page = parsed(write_comparison(together, tmp_path / "c.html", absent="Images were not at hand."))
    assert "Images were not at hand." in page.text
    assert "classes" not in page.ids
    assert "maps" in page.ids


def variant_of_unlabelled(tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(tmp_path / "first", tmp_path / "other"))


def test_only_an_earlier_comparison_is_replaced(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    together = gather_runs([tmp_path / "first", variant(tmp_path / "first", tmp_path / "second")])
    out = tmp_path / "notes.html"
    out.write_text("my notes")
    with pytest.raises(RunError, match="is no comparison page, so it is not replaced"):
        write_comparison(together, out)
    assert out.read_text() == "my notes"
    with pytest.raises(RunError, match="does not exist"):
        write_comparison(together, tmp_path / "no" / "c.html")
    with pytest.raises(RunError, match="is a folder"):
        write_comparison(together, tmp_path)
    page = write_comparison(together, tmp_path / "c.html")
    assert write_comparison(together, page) == page


def test_nothing_from_the_data_becomes_markup(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "first")
    evil = "</script><img src=x onerror=alert(1)>"
    second = variant(tmp_path / "first", tmp_path / "<b>second", wrong=18)
    changed(second, "recipe.json", lambda r: r.update(recipe=evil, command=evil, seed=evil, encoder=evil))
    for folder in (tmp_path / "first", second):
        changed(folder, "scores.json", lambda s: s.update(classes=[evil] * 10))
    with_doctor(second, {**COLLAPSE, "title": evil, "evidence": evil, "advice": evil, "flags": evil})
    text = write_comparison(gather_runs([tmp_path / "first", second]), tmp_path / "c.html").read_text()
    assert "<img" not in text
    assert "<b>second" not in text
    assert text.count("</script>") == 2


@pytest.mark.slow
def test_ten_runs_of_large_photos_of_a_hundred_classes_stay_under_eight_megabytes(tmp_path: Path, make_run) -> None:
    make_run(tmp_path / "0", embeddings=False)
    n = 10_000
    torch.manual_seed(0)
    plane = torch.rand(2, 2000)

    def many(scores: dict) -> None:
        scores["classes"] = [f"class {i}" for i in range(100)]
        details = scores["details"]["learned"]
        details["map"] = {
            "method": "t-SNE", "sample": list(range(0, n, 5)), "x": plane[0].tolist(), "y": plane[1].tolist(),
            "label": [i % 100 for i in range(2000)], "cluster": [i % 100 for i in range(2000)],
        }  # fmt: skip
        details["predicted"] = {"sample": list(range(n)), "label": [i % 100 for i in range(n)],
                                "prediction": [(i + (i % 3 == 0)) % 100 for i in range(n)]}  # fmt: skip
        details["per_class"] = [
            {"class": f"class {i}", "accuracy": 0.6, "low": 0.5, "high": 0.7, "n": 100} for i in range(100)
        ]

    changed(tmp_path / "0", "scores.json", many)
    changed(tmp_path / "0", "recipe.json", lambda r: r["dataset"].update(test=n))
    folders = [tmp_path / "0", *(variant(tmp_path / "0", tmp_path / str(i)) for i in range(1, 10))]
    noise = torch.randint(0, 256, (50, 3, 224, 224), dtype=torch.uint8)  # the hardest to compress
    photos = noise[:1].expand(n, -1, -1, -1)
    out = write_comparison(gather_runs(folders), tmp_path / "c.html", images={0: photos})
    assert out.stat().st_size < 8_000_000
    page = parsed(out)
    assert "All other classes (76)" in page.text
    assert "600 of 10,000 images" in page.text
    assert len({tuple(m["map"]["sample"]) for m in json.loads(page.data)["maps"]}) == 1, "all runs show the same images"
