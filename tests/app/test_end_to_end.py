"""The thin thread: digits, SimCLR, scores, page; and what may go wrong on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import counterpoint as cp
from counterpoint.errors import RecipeError, RunError, SourceError


def flags(**more):
    return {
        "encoder": "mlp",
        "accelerator": "cpu",
        "precision": "32-true",
        "channels_last": "no",
        "quiet": True,
        **more,
    }


def pictures(folder, count, seed=0, sizes=(12, 20)):
    """A flat folder of small random pictures of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for i in range(count):
        side = random.integers(*sizes, 2)
        Image.fromarray(random.integers(0, 256, (*side, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    return folder


@pytest.mark.parametrize(
    ("recipe", "epochs", "floor"),
    [
        pytest.param("simclr", 30, 0.90, marks=pytest.mark.long),
        pytest.param("supcon", 20, 0.93, marks=pytest.mark.long),
        pytest.param("supervised", 20, 0.93, marks=pytest.mark.slow),
    ],
)
def test_a_recipe_learns_what_an_untrained_encoder_does_not_know(recipe, epochs, floor, tmp_path):
    run = cp.train(recipe, source="digits", out=tmp_path / "run", epochs=epochs, **flags(encoder="conv"))
    scores = json.loads(run.scores.read_text())["measures"]
    found = {who: {m["name"]: m for m in scores[who]} for who in ("learned", "pixels", "untrained")}
    probe = found["learned"]["linear_probe"]
    assert probe["value"] >= floor
    assert probe["value"] > found["untrained"]["linear_probe"]["value"]
    assert probe["low"] <= probe["value"] <= probe["high"]
    files = {p.name for p in run.folder.iterdir()}
    assert files >= {
        "recipe.json",
        "log.jsonl",
        "scores.json",
        "embeddings.parquet",
        "encoder.safetensors",
        "checkpoints",
        "report.html",
    }


@pytest.mark.long
def test_evaluating_again_gives_the_same_scores(tmp_path):
    run = cp.train("simclr", source="digits", out=tmp_path / "run", epochs=2, report=False, **flags())
    first = json.loads(run.scores.read_text())
    again = json.loads(cp.evaluate(run.folder, quiet=True).to_json())
    assert again["measures"] == first["measures"]
    assert cp.write_report(run.folder).is_file()


@pytest.mark.slow
def test_a_flat_folder_without_labels_trains_and_is_scored(tmp_path):
    source = pictures(tmp_path / "photos", 40)
    run = cp.train("simclr", source=source, size=16, out=tmp_path / "run", epochs=2, **flags())
    measures = {m["name"] for m in json.loads(run.scores.read_text())["measures"]["learned"]}
    assert "rank_me" in measures or any("rank_me" in name for name in measures)
    assert not any("knn" in name for name in measures)
    assert "<html" in run.report.read_text()
    assert len(cp.load(run.folder).embed(source)) == 40


def test_labels_missing_for_supcon(tmp_path):
    source = pictures(tmp_path / "photos", 12)
    with pytest.raises(RecipeError, match=r"supcon needs labels, but source .* has none; use simclr"):
        cp.train("supcon", source=source, size=16, out=tmp_path / "run", **flags())
    with pytest.raises(RecipeError, match="needs labels"):
        cp.train("supervised", source=source, size=16, out=tmp_path / "run", **flags())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "missing", "does not exist|there is no"),
        (lambda p: pictures(p / "empty", 0), "no image"),
        (lambda p: pictures(p / "one", 1), "one image"),
    ],
)
def test_a_folder_that_cannot_be_learned_from(make, words, tmp_path):
    with pytest.raises(SourceError, match=words) as caught:
        cp.train("simclr", source=make(tmp_path), out=tmp_path / "run", **flags())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_class_with_one_sample_is_no_obstacle(tmp_path):
    folder = tmp_path / "data"
    for name, count in (("many", 20), ("few", 6), ("one", 1)):
        pictures(folder / name, count, seed=count)
    run = cp.train(
        "supcon", source=folder, size=16, out=tmp_path / "run", epochs=1, batch_size=8, evaluate=False, **flags()
    )
    assert run.recipe()["dataset"]["classes"] == ["few", "many", "one"]


def test_a_read_only_place_is_said_to_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        cp.train("simclr", source="digits", out=tmp_path / "file" / "run", epochs=1, **flags())


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path):
    """The largest file that the process may write stands in for a full disk."""
    line = [sys.executable, "-c", CODE, str(tmp_path / "run")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr[-2000:]
    errors = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    assert not list(Path(tmp_path / "run" / "checkpoints").iterdir())


CODE = """
import errno, os, sys
import torch
real = torch.save
def full(content, path):
    real(content, path)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
torch.save = full
from counterpoint.cli import main
flags = ["--encoder", "mlp", "--epochs", "1", "--no-evaluate", "--out", sys.argv[1]]
sys.argv = ["counterpoint", "train", "simclr", *flags]
main()
"""


def test_the_command_line_reports_a_mistake_and_exits_with_2(tmp_path):
    environment = {**os.environ, "COLUMNS": "200"}
    line = [
        sys.executable,
        "-m",
        "counterpoint",
        "train",
        "simclr",
        "--source",
        "digitz",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 2
    assert "did you mean 'digits'" in done.stderr
    assert "Traceback" not in done.stderr
