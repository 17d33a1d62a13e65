"""A run folder made from real digits, with principal components in the place of an encoder, and headless Chromium."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_curve
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

MakeRun = Callable[..., dict[str, Any]]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """`write_run`, each kind made once and then copied."""
    kept: dict[tuple[Any, ...], tuple[Path, dict[str, Any]]] = {}

    def copied(folder: Path, **options: bool) -> dict[str, Any]:
        key = tuple(sorted(options.items()))
        if key not in kept:
            made = tmp_path_factory.mktemp("made") / "run"
            kept[key] = made, write_run(made, **options)
        shutil.copytree(kept[key][0], folder, dirs_exist_ok=True)
        return kept[key][1]

    return copied


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, from the system or as playwright installs it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
    with api.sync_playwright() as play:
        if found is None and not Path(play.chromium.executable_path).exists():
            pytest.skip("no chromium is installed")
        shown = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield shown
        shown.close()


def write_run(folder: Path, *, scores: bool = True, labels: bool = True, embeddings: bool = True) -> dict[str, Any]:
    """Write it; answers with the images, the views and what was stored."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    images = np.round(digits.images * 15.9).astype(np.uint8)
    x, y = digits.data / 16.0, digits.target
    train, test = np.arange(1437), np.arange(1437, 1797)
    pca = PCA(12, random_state=0).fit(x[train])
    turn = np.random.default_rng(0)
    encoders = {
        "learned": pca.transform(x),
        "pixels": x,
        "untrained": np.maximum(0, (x - x.mean(0)) @ turn.normal(size=(64, 6))),
    }
    names = [str(i) for i in range(10)] if labels else []
    _recipe(folder, names)
    _log(folder)
    (folder / "skipped.json").write_text(
        json.dumps([{"name": "photos/broken <one>.jpg", "reason": "truncated after 1,204 bytes"}])
    )
    stored: dict[str, Any] = {}
    if scores:
        stored = {
            "version": 1, "source": "digits", "split": "by hash of content", "train_rows": 1437, "test_rows": 360,
            "classes": names, "super_classes": [],
            "settings": {"knn": "k = 20, cosine, weights exp(cosine / 0.07)", "interval": "bootstrap, 1,000 draws"},
            "measures": {}, "details": {},
        }  # fmt: skip
        for name, h in encoders.items():
            measures, details = _scores(name, h, y, train, test, labels)
            stored["measures"][name], stored["details"][name] = measures, details
        plane = PCA(2, random_state=0).fit_transform(encoders["learned"][test])
        stored["details"]["learned"]["map"] = {
            "method": "PCA", "sample": list(range(360)), "x": plane[:, 0].tolist(), "y": plane[:, 1].tolist(),
            "label": y[test].tolist() if labels else None, "cluster": (plane[:, 0] > 0).astype(int).tolist(),
        }  # fmt: skip
        (folder / "scores.json").write_text(json.dumps(stored))
    if embeddings:
        _embeddings(folder, encoders["learned"].astype(np.float32), y if labels else np.full_like(y, -1), train, test)
    tensor = torch.from_numpy(images[test])[:, None].contiguous()
    return {"images": tensor, "views": _views(tensor), "scores": stored, "h": encoders["learned"][test]}


def _recipe(folder: Path, names: list[str]) -> None:
    recipe = {
        "counterpoint": "0.1.0", "recipe": "simclr", "seed": 0,
        "command": "counterpoint train simclr --source digits --epochs 60 --out runs/first",
        "source": {"part": "counterpoint.sources:Digits"},
        "facts": {"source": "digits", "kind": "glyphs", "channels": 1, "size": 8, "images": 1437, "classes": len(names),
                  "mean": [0.306], "std": [0.376], "total_steps": 360, "steps_per_epoch": 6, "width": 128},
        "dataset": {"name": "digits", "kind": "glyphs", "classes": names, "train": 1437, "test": 360,
                    "split": "by hash of content, one in five for the test", "skipped": 1},
        "dials": {"temperature": 0.5, "batch_size": 256, "epochs": 60, "lr": 0.002},
        "parts": {"pairing": {"part": "counterpoint.pairing:SameSample"},
                  "views": {"part": "counterpoint.views:Views", "count": 2, "policy": {
                      "part": "counterpoint.views:Chain",
                      "ops": [{"part": "counterpoint.views:Rotate", "degrees": 15.0}]}},
                  "objective": {"part": "counterpoint.objectives:NTXent", "temperature": 0.5}},
        "engine": {"precision": "float32", "channels_last": False, "device": "cpu", "ranks": 1, "threads": 2,
                   "negatives_per_anchor": 510},
        "environment": {"python": "3.11.9", "torch": "2.14.0", "machine": "x86_64", "cpus": 2},
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe))


def _log(folder: Path) -> None:
    noise = np.random.default_rng(1).normal(size=360)
    lines: list[dict[str, Any]] = [{"event": "start"}]
    for step in range(360):
        epoch = (step + 1) / 6
        lines.append({
            "event": "step", "step": step + 1, "epoch": epoch, "lr": 0.002 * 0.5 * (1 + math.cos(math.pi * step / 360)),
            "loss": 3.9 + 2.3 * math.exp(-step / 60) + 0.04 * noise[step], "images_per_second": 9000.0, "terms": {},
        })  # fmt: skip
        if step % 36 == 35:
            lines.append({"event": "validate", "epoch": epoch, "knn_accuracy": 0.97 - 0.2 * math.exp(-epoch / 12)})
        if step == 200:
            lines.append({"event": "step", "step": 240, "epoch": 40.0, "loss": 99.0, "lr": 1.0})
            lines.append({"event": "resume", "step": 201})
    lines.append({"event": "end", "step": 360, "epoch": 60.0, "seconds": 41.7, "reason": "finished"})
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "log.jsonl").write_text(text + '\n{"event": "ste')


def _scores(name: str, h: Any, y: Any, train: Any, test: Any, labels: bool) -> tuple[list[Any], dict[str, Any]]:
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-9)
    values = np.linalg.svd(unit[test] - unit[test].mean(0), compute_uv=False) ** 2 / (len(test) - 1)
    share = values / values.sum()
    rank = float(np.exp(-(share * np.log(share + 1e-12)).sum()))
    squared = 2 - 2 * unit[test] @ unit[test].T
    upper = np.triu_indices(len(test), 1)
    uniformity = float(np.log(np.exp(-2 * squared[upper]).mean()))
    measures: list[Any] = [
        _measure("uniformity", "uniformity", uniformity, 0.03, "lower", "geometry", "log mean Gaussian potential"),
        _measure("effective_rank", "effective rank", rank, 0.4, "", "geometry", ""),
    ]
    cosine = (unit[test] @ unit[test].T)[upper]
    edges = np.linspace(-1, 1, 201)
    same = (y[test][:, None] == y[test][None])[upper] if labels else np.zeros(len(cosine), bool)
    details: dict[str, Any] = {
        "spectrum_h": values.tolist(), "spectrum_z": None,
        "similarity": {"edges": edges.tolist(), "intra": np.histogram(cosine[same], edges)[0].tolist(),
                       "inter": np.histogram(cosine[~same], edges)[0].tolist()},
    }  # fmt: skip
    if not labels:
        return measures, details
    guess = KNeighborsClassifier(20, weights="distance").fit(unit[train], y[train]).predict(unit[test])
    right = (guess == y[test]).mean()
    half = 1.96 * math.sqrt(right * (1 - right) / len(test))
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (y[test], guess), 1)
    fpr, tpr, _ = roc_curve(same, cosine)
    measures[:0] = [
        _measure("knn_accuracy", "nearest neighbours (k = 20)", float(right), half, "higher", "classification", ""),
        _measure("linear_probe", "linear probe", float(right) - 0.02, half, "higher", "classification", ""),
        _measure("recall_at_1", "recall at 1", float(right) - 0.01, half, "higher", "retrieval", "own image left out"),
    ]
    details |= {
        "confusion": confusion.tolist(),
        "per_class": [_class_row(str(c), confusion[c]) for c in range(10)],
        "predicted": {
            "sample": list(range(360)),
            "label": y[test].tolist(),
            "prediction": guess.tolist(),
            "nearest": guess.tolist(),
        },
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
        "few_label": [
            {"setting": "1 %", "mean": right - 0.3, "std": 0.03, "draws": 5, "low": right - 0.33, "high": right - 0.27},
            {
                "setting": "10 %",
                "mean": right - 0.1,
                "std": 0.01,
                "draws": 5,
                "low": right - 0.12,
                "high": right - 0.08,
            },
        ],
    }
    if name != "learned":
        details.pop("confusion")
    return measures, details


def _class_row(name: str, row: Any) -> dict[str, Any]:
    n, value = int(row.sum()), float(row[int(name)] / row.sum())
    half = 1.96 * math.sqrt(max(1e-4, value * (1 - value)) / n)
    return {"class": name, "accuracy": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": n}


def _measure(name: str, label: str, value: float, half: float, better: str, group: str, note: str) -> dict[str, Any]:
    return {"name": name, "label": label, "value": value, "low": value - half, "high": value + half,
            "better": better, "group": group, "note": note}  # fmt: skip


def _embeddings(folder: Path, h: Any, y: Any, train: Any, test: Any) -> None:
    order = np.concatenate([train, test])
    columns = {
        "sample": pa.array(np.concatenate([np.arange(len(train)), np.arange(len(test))])),
        "split": pa.array(["train"] * len(train) + ["test"] * len(test)),
        "label": pa.array(y[order].astype(np.int64)),
        "h": pa.FixedSizeListArray.from_arrays(pa.array(h[order].ravel()), h.shape[1]),
    }
    pq.write_table(pa.table(columns), folder / "embeddings.parquet")


def _views(images: Tensor) -> Tensor:
    rows = images[:6]
    return torch.stack([torch.roll(rows, (k % 3, k // 3), (2, 3)) for k in range(8)], 1)
