"""Where pixels lie, from the command line to the run folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import counterpoint as cp
from counterpoint import embed, sources
from counterpoint.app import assess
from counterpoint.cli import main
from counterpoint.errors import SourceError
from counterpoint.types import Images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(20):
        height, width = random.integers(14, 24, 2)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i:02}.png")
    (tmp_path / "photos" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


def trained(folder: Path, out: Path, **more):
    flags = {"encoder": "mlp", "accelerator": "cpu", "precision": "32-true", "channels_last": "no", "quiet": True}
    more = {"size": 16, "epochs": 2, "batch_size": 8, "evaluate": False, "report": False, **more}
    return cp.train("simclr", source=folder, out=out, **flags, **more)


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run.encoder)


def test_memory_cache_and_on_the_fly_train_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    stores = {
        "memory": {},
        "written": {"memory": "1KiB", "cache": tmp_path / "cache"},
        "read": {"cache": str(tmp_path / "cache")},
        "none": {"memory": 0, "cache": "none"},
    }
    runs = {name: trained(folder, tmp_path / name, **store) for name, store in stores.items()}
    first = weights(runs["memory"])
    for name, run in runs.items():
        assert all(torch.equal(w, first[k]) for k, w in weights(run).items()), name
        assert json.loads((run.folder / "skipped.json").read_text())[0]["name"] == "cut.jpg"
    recipes = [json.loads((run.folder / "recipe.json").read_text()) for run in runs.values()]
    assert all(recipe["source"] == recipes[0]["source"] for recipe in recipes)


def test_a_run_goes_on_with_another_storage(folder: Path, tmp_path: Path) -> None:
    whole = trained(folder, tmp_path / "whole", epochs=4)
    part = trained(folder, tmp_path / "part", epochs=4, max_time=1e-9, memory=0, cache="none")
    resumed = trained(folder, tmp_path / "part", epochs=4, resume=True, cache=tmp_path / "cache")
    assert part.folder == resumed.folder
    assert all(torch.equal(w, weights(whole)[k]) for k, w in weights(resumed).items())


@pytest.mark.slow
def test_evaluation_and_page_read_from_the_cache_too(folder: Path, tmp_path: Path) -> None:
    scores = [
        json.loads(trained(folder, tmp_path / name, evaluate=True, report=True, **store).scores.read_text())["measures"]
        for name, store in (
            ("a", {}),
            ("b", {"memory": 0, "cache": tmp_path / "cache"}),
            ("c", {"memory": 0, "cache": "none"}),
        )
    ]
    assert scores[0] == scores[1] == scores[2]


def test_a_dry_run_says_where_the_pixels_will_lie(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*more: str) -> str:
        line = ["train", "simclr", "--source", "folder", "--root", str(folder), "--size", "16", "--batch-size", "8"]
        line += ["--encoder", "mlp", "--precision", "32-true", "--channels-last", "no", "--accelerator", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main([*line, "--dry-run", *more])
        assert not ended.value.code
        return capsys.readouterr().err

    assert "MiB of images, in memory" in said()
    cache = tmp_path / "cache"
    assert f"would go to {cache}/photos-16px-" in said("--memory", "1KiB", "--cache", str(cache))
    assert "decoded for each batch" in said("--memory", "1KiB", "--cache", "none")
    assert not cache.exists()


def test_where_pixels_lie_is_kept_for_evaluation_and_resume(folder: Path, tmp_path: Path) -> None:
    run = trained(folder, tmp_path / "run", epochs=1, memory="1KiB", cache=tmp_path / "cache")
    assert run.recipe()["storage"] == {"memory": 1024, "cache": str(tmp_path / "cache")}
    images = assess.dataset_of(run.recipe()).train.images
    assert isinstance(images, Images)
    assert str(tmp_path / "cache") in images.where
    trained(folder, tmp_path / "run", epochs=1, resume=True)
    assert len([one for one in (tmp_path / "cache").iterdir() if not one.name.startswith(".")]) == 1


def test_raw_pixels_of_very_many_images_are_averaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sources.Folder(str(folder), size=16).load()
    whole = embed.pixels(data.test, data).h
    assert torch.equal(whole, data.test.images.flatten(1).float() / 255)
    monkeypatch.setattr(embed, "_PIXEL_NUMBERS", len(data.train) * 3 * 8 * 8)
    smaller = embed.pixels(data.test, data).h
    expected = whole.view(-1, 3, 8, 2, 8, 2).mean((3, 5)).flatten(1)
    torch.testing.assert_close(smaller, expected)


def test_what_is_no_amount_of_memory_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'plenty' is no amount of memory"):
        trained(folder, tmp_path / "run", memory="plenty")
    assert not (tmp_path / "run").exists()
