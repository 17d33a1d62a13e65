"""Runs like the one of the fixture, with one thing changed, for comparisons and the doctor's part of the page."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["changed", "log", "variant", "with_doctor"]


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a JSON file of the run."""
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def variant(base: Path, folder: Path, *, wrong: int = 0, **dials: Any) -> Path:
    """A copy with other dials, in which the first `wrong` test images that were named rightly no longer are."""
    shutil.copytree(base, folder)

    def recipe(value: dict[str, Any]) -> None:
        value["dials"] |= dials
        value["parts"]["objective"] |= {k: v for k, v in dials.items() if k == "temperature"}

    def scores(value: dict[str, Any]) -> None:
        details = value["details"]["learned"]
        predicted = details["predicted"]
        labels, guesses = predicted["label"], predicted["prediction"]
        hit = [i for i, (label, guess) in enumerate(zip(labels, guesses, strict=True)) if label == guess][:wrong]
        for i in hit:
            guesses[i] = (labels[i] + 1) % 10
        predicted["nearest"] = list(guesses)
        for row in details["per_class"]:
            lost = sum(labels[i] == int(row["class"]) for i in hit)
            row["accuracy"] -= lost / row["n"]
        for m in value["measures"]["learned"]:
            if m["name"] == "knn_accuracy":
                for end in ("value", "low", "high"):
                    m[end] -= len(hit) / len(labels)

    changed(folder, "recipe.json", recipe)
    if (folder / "scores.json").exists():
        changed(folder, "scores.json", scores)
    return folder


def log(folder: Path, health: Mapping[str, float], *events: Mapping[str, Any]) -> None:
    """Give every step these readings, and put events of the doctor after the step that they name."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()[:-1]]
    kept = [line for line in lines if line["event"] != "resume" and line.get("loss") != 99.0]
    written: list[Mapping[str, Any]] = []
    for line in kept:
        step = line["step"] if line["event"] == "step" else None
        written.append(line if step is None else {**line, "health": dict(health)})
        written += [event for event in events if event["step"] == step]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, written)) + "\n")


HEALTH = {"std": 0.9, "std_h": 0.5, "rank_z": 58.6, "rank_h": 146.7, "room_h": 255.0, "alignment": 0.97, "dead": 0.02,
          "uniformity": -2.7, "positive": 0.51, "negative": 0.06, "accuracy": 0.4, "chance": 0.002, "ceiling": 6.24,
          "saturated": 0.0, "no_positive": 0.0, "grad_norm": 1.25, "weight_norm": 21.0, "update": 3.7e-4}  # fmt: skip
COLLAPSE = {"event": "finding", "step": 300, "name": "dimensional-collapse", "title": "Dimensional collapse",
            "evidence": "z uses 2.1 of 128 directions.", "advice": "A lower temperature usually helps.",
            "settings": {"temperature": 0.2}, "flags": "--temperature 0.2", "severity": "bad"}  # fmt: skip
SATURATED = {"event": "finding", "step": 60, "name": "saturated-temperature", "title": "Saturated temperature",
             "evidence": "95 % of the rows teach nothing.", "advice": "A higher one usually helps.", "settings": {},
             "severity": "bad"}  # fmt: skip


def with_doctor(folder: Path, *events: Mapping[str, Any]) -> None:
    """Readings of a healthy run, and events."""
    log(folder, HEALTH, *events)
