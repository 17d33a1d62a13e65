import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from counterpoint.report import write

VOID = {"meta", "link", "input", "img", "br", "hr", "circle", "line", "polyline", "polygon"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps ids, text and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.said: list[str] = []
        self.data = ""
        self.feed(text)
        assert not self.open, f"left open: {self.open}"
        self.text = re.sub(r"\s+", " ", " ".join(self.said))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.ids += [held["id"]] if held.get("id") else []
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.data = self.data or data
        elif "style" not in self.open:
            self.said.append(data)


def parsed(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_the_whole_page(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    path = write(tmp_path, images=made["images"], views=made["views"])
    assert path == tmp_path / "report.html"
    assert path.stat().st_size < 8_000_000
    assert sorted(p.name for p in tmp_path.iterdir() if "report" in p.name) == ["report.html"]
    page = parsed(path)
    assert len(page.ids) == len(set(page.ids))
    for section in ("map", "scores", "classes", "geometry", "training", "views", "data", "again"):
        assert section in page.ids
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert "counterpoint train simclr --source digits --epochs 60 --out runs/first" in page.text
    assert "truncated after 1,204 bytes" in page.text
    assert "taken up again at step 201" in path.read_text()
    learned = made["scores"]["measures"]["learned"][0]
    assert f"{learned['value'] * 100:.1f} %" in page.text
    data = json.loads(page.data)
    assert data["map"]["sample"] == list(range(360))
    assert data["map"]["tile"] == list(range(360))


def test_the_neighbours_on_the_page_are_those_of_the_embeddings(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    data = json.loads(parsed(write(tmp_path, images=None, views=None)).data)["map"]
    h = torch.nn.functional.normalize(torch.from_numpy(made["h"]).float(), dim=1)
    similarity = h @ h.T - 3 * torch.eye(len(h))
    top = similarity.topk(8)
    assert data["near"] == top.indices.tolist()
    assert data["cosine"][0] == pytest.approx([1000 * v for v in top.values[0].tolist()], abs=1)
    assert set(data["tile"]) == {-1}


def test_the_summary_says_so_when_it_is_not_better_than_raw_pixels(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text())
    told = {}
    for shift in (-0.3, 0.0, 0.04):
        for m in scores["measures"]["learned"]:
            if m["name"] in ("knn_accuracy", "linear_probe"):
                theirs = next(o for o in scores["measures"]["pixels"] if o["name"] == m["name"])["value"]
                m["value"], m["low"], m["high"] = theirs + shift, theirs + shift - 0.01, theirs + shift + 0.01
        (tmp_path / "scores.json").write_text(json.dumps(scores))
        told[shift] = parsed(write(tmp_path, images=None, views=None)).text
    assert "That is worse than the raw pixels alone" in told[-0.3]
    assert "−30.0 points" in told[-0.3]
    assert "the two cannot be told apart" in told[0.0]
    assert "That is better than the raw pixels alone" in told[0.04]


def test_without_labels(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path, labels=False)
    page = parsed(write(tmp_path, images=made["images"], views=None))
    assert "There are no labels" in page.text
    assert "classes" not in page.ids
    assert "views" not in page.ids
    assert json.loads(page.data)["map"]["label"] is None
    assert "all pairs" in page.text or "drawn at random" in page.text


def test_curves_only(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    page = parsed(write(tmp_path, images=None, views=None, title="My <run>"))
    assert "has not been evaluated yet" in page.text
    assert "training" in page.ids
    assert not {"map", "scores", "classes", "geometry"} & set(page.ids)
    assert "My <run>" in page.text


def test_the_barest_run(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    assert "Counterpoint" in parsed(write(tmp_path, images=None, views=None)).text


def test_few_images(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    page = parsed(write(tmp_path, images=made["images"][:3], views=made["views"][:1, :1]))
    assert json.loads(page.data)["map"]["tile"][:5] == [0, 1, 2, -1, -1]


def test_a_page_without_its_data_set_or_in_another_folder(tmp_path: Path, make_run, capfd) -> None:
    from counterpoint import app

    make_run(tmp_path / "run")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    gone = str(tmp_path / "gone")
    recipe["source"] = {"part": "counterpoint.sources:Cifar", "name": "cifar10", "root": gone}
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "run").rename(tmp_path / "moved")
    page = parsed(app.write_report(tmp_path / "moved"))
    assert f"not at hand when this page was written: the folder {gone} of" in page.text
    assert gone in capfd.readouterr().err
    assert json.loads(page.data)["sheet"] is None
    assert "map" in page.ids


def test_images_other_than_those_that_were_scored_are_not_shown(tmp_path: Path, make_run, capfd) -> None:
    from counterpoint import app
    from counterpoint.embed import fingerprint
    from counterpoint.types import Dataset, Split

    made = make_run(tmp_path)
    images = made["images"]
    names = tuple(f"scans/{i}.png" for i in range(len(images)))
    scores = json.loads((tmp_path / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps({**scores, "digest": fingerprint(images)}))
    other = images.clone()
    other[7] = 255 - other[7]
    assert fingerprint(other) != fingerprint(images)
    changed = Dataset("digits", "glyphs", Split(images[:0]), Split(other, names=names))
    page = parsed(app.write_report(tmp_path, dataset=changed))
    assert "the test images are not those that were scored; `counterpoint evaluate" in page.text
    assert "not those that were scored" in capfd.readouterr().err
    assert json.loads(page.data)["sheet"] is None
    shown = parsed(write(tmp_path, images=images, names=names))
    data = json.loads(shown.data)
    assert data["sheet"] is not None
    assert data["called"][2] == f"scans/{data['map']['sample'][2]}.png"


def test_every_score_is_explained(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    page = parsed(write(tmp_path))
    assert "What each score means" in page.text
    assert "Share of test images whose most similar other test image is of their class." in page.text


@pytest.mark.parametrize("n", [60, 500])
def test_many_classes(tmp_path: Path, make_run, n: int) -> None:
    """A matrix of more than 50 classes is a picture, one of more than 400 is not drawn."""
    make_run(tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text())
    scores["classes"] = [f"class {i}" for i in range(n)]
    counts = [[3 if i == j else int(j == i + 1) for j in range(n)] for i in range(n)]
    scores["details"]["learned"]["confusion"] = counts
    scores["details"]["learned"]["per_class"] = [
        {"class": f"class {i}", "accuracy": 0.75, "low": 0.3, "high": 0.95, "n": 4} for i in range(n)
    ]
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    page = parsed(write(tmp_path, images=None, views=None))
    assert ("heat" in page.ids) == (n == 60)
    assert json.loads(page.data)["matrix"] == (counts if n == 60 else None)
    assert (f"With {n} classes the confusion matrix would not fit" in page.text) == (n == 500)
    assert f"All other classes ({n - 12})" in page.text


def test_files_that_were_left_out_are_counted_by_reason(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    files = [{"name": f"{i}.jpg", "reason": f"truncated after {i * 1000:,} bytes"} for i in range(7)]
    files += [{"name": "e.png", "reason": "empty file"}] * 2
    files += [{"name": "b.jpg", "reason": "damaged: broken data stream when reading image file"}]
    (tmp_path / "skipped.json").write_text(json.dumps(files))
    page = parsed(write(tmp_path))
    assert "8 cut off: the file ends before the image does 2 empty file" in page.text
    assert "10 files that could not be used" in page.text
    assert "6.jpg truncated after 6,000 bytes" in page.text


def test_images_that_are_not_at_hand_are_said_to_be(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    page = parsed(write(tmp_path, absent="The images are not shown, as they were not at hand."))
    assert "The images are not shown, as they were not at hand." in page.text


def test_nothing_from_the_data_becomes_markup(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028"
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    recipe["command"] = recipe["recipe"] = recipe["dataset"]["name"] = recipe["dials"]["temperature"] = evil
    recipe["parts"]["objective"] = {"part": evil, evil: [evil]}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    scores = json.loads((tmp_path / "scores.json").read_text())
    scores["classes"] = [evil] * 10
    scores["settings"] = {evil: evil}
    scores["details"]["learned"]["map"]["method"] = evil
    for row in scores["details"]["learned"]["per_class"]:
        row["class"] = evil
    for m in scores["measures"]["learned"]:
        m["label"] = m["note"] = m["group"] = evil
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "skipped.json").write_text(json.dumps([{"name": evil, "reason": evil}]))
    path = write(tmp_path, images=made["images"], views=made["views"], title=evil)
    text = path.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert json.loads(Page(text).data)["classes"][0] == evil


def test_numbers_that_are_not_finite_do_not_break_the_page(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    text = (tmp_path / "scores.json").read_text()
    scores = json.loads(text)
    scores["measures"]["learned"][0]["value"] = float("nan")
    scores["measures"]["learned"][1]["low"] = None
    scores["details"]["learned"]["spectrum_h"][3] = float("inf")
    scores["details"]["learned"]["map"]["x"][5] = float("nan")
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    page = parsed(write(tmp_path, images=None, views=None))
    assert len(json.loads(page.data)["map"]["sample"]) == 359
    assert "nan" not in page.text.lower().split()


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, make_run, monkeypatch) -> None:
    from counterpoint.errors import RunError

    make_run(tmp_path, scores=False, embeddings=False)
    (tmp_path / "report.html").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(RunError, match="No space left on device"):
        write(tmp_path, images=None, views=None)
    assert (tmp_path / "report.html").read_text() == "old"
    assert not list(tmp_path.glob(".report-*"))
