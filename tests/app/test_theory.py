"""`counterpoint evaluate RUN --theory` from end to end."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import counterpoint as cp
from counterpoint.app.theory import changes
from counterpoint.cli.evaluate import evaluate
from counterpoint.errors import ShapeError


def photos(folder, classes):
    """Forty random pictures, in a folder for each class where there are any."""
    random = np.random.default_rng(0)
    for i in range(40):
        inside = folder / f"class {i % classes}" if classes else folder
        inside.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(inside / f"{i}.png")
    return folder


def trained(folder, classes):
    """A run on such pictures."""
    return cp.train(
        "simclr", source=photos(folder / "photos", classes), size=16, encoder="mlp", out=folder / "run", epochs=1,
        batch_size=16, evaluate=False, report=False, quiet=True,
    )  # fmt: skip


def test_each_change_is_what_it_says():
    images = torch.full((6, 3, 16, 16), 200, dtype=torch.uint8)
    images[:, :, :, :8] = 100
    found = {(change.kind, change.strength): pixels for change, pixels in changes(images, 0)}
    kinds = [kind for kind, _ in found]
    assert kinds == ["occlusion", "occlusion", "rotation", "rotation", "illumination", "illumination"]
    clear = images / 255
    for share, side in (("25%", 4), ("50%", 8)):
        moved = (found["occlusion", f"a square of {share} of the side"] - clear).abs() > 1e-4
        hidden = moved.any(1).flatten(1).sum(1)
        assert 0 < int(hidden.max()) <= side**2
    half = found["illumination", "50% of the light"]
    assert torch.allclose(half, clear / 2)
    more = [float((found["rotation", turn] - clear).abs().mean()) for turn in ("10°", "30°")]
    assert 0 < more[0] < more[1]
    again = {(change.kind, change.strength): pixels for change, pixels in changes(images, 0)}
    assert all(torch.equal(again[key], found[key]) for key in found)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("theory"), 2)


def test_a_theory_that_fails_costs_no_scores(labelled, monkeypatch):
    def fails(*_, **__):
        raise ShapeError("nothing to measure")

    monkeypatch.setattr("counterpoint.app.assess.measure_theory", fails)
    assert not labelled.scores.exists()
    with pytest.raises(ShapeError, match="nothing to measure"):
        cp.evaluate(labelled.folder, theory=True, quiet=True)
    scores = json.loads(labelled.scores.read_text())["measures"]
    assert {"pixels", "untrained", "learned"} <= set(scores)
    assert scores["learned"]


def test_the_command_adds_a_page_tables_and_scores(labelled, monkeypatch):
    monkeypatch.setattr("counterpoint.evaluation.theory.DRAWS", 500)
    run = labelled
    done = CliRunner().invoke(evaluate, [str(run.folder), "--theory"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "slack of the bound of h" in done.stdout
    assert done.stdout.rstrip().endswith("theory.html")
    page = (run.folder / "theory.html").read_text()
    assert "What the bound promises" in page
    assert "--theory" in page
    assert "guessing costs" in page
    assert "one half of the images" in page
    with (run.folder / "tables" / "bound.csv").open() as file:
        assert {(row["layer"], row["loss"], row["negatives"]) for row in csv.DictReader(file)} >= {("h", "hinge", "1")}
    scores = json.loads(run.scores.read_text())["measures"]
    assert {m["name"] for m in scores["learned"] if m["group"] == "theory"} >= {"bound_slack", "moved_rotation_z"}
    assert not [m for m in scores["pixels"] if m["group"] == "theory"]
    report = cp.write_report(run.folder).read_text()
    assert "slack of the bound" in report


@pytest.mark.slow
def test_a_run_without_labels_leaves_the_bound_out_and_says_why(tmp_path):
    run = trained(tmp_path, 0)
    scores = cp.evaluate(run.folder, theory=True, quiet=True)
    names = {m.name for m in scores.measures["learned"] if m.group == "theory"}
    assert "gap_to_uniform" in names
    assert not any("bound" in name or "instance" in name for name in names)
    assert "There are no labels: the bound is of classes" in (run.folder / "theory.html").read_text()
    assert not (run.folder / "tables" / "bound.csv").exists()
