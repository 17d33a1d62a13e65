"""Every sentence of the page must be true of the run: nothing is claimed that the scores do not support."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.report import write
from counterpoint.report.answers import Answer, answers
from counterpoint.report.classes import judge
from counterpoint.report.numbers import figure, interval, is_count
from counterpoint.report.page import _notes
from counterpoint.report.rows import best, groups
from counterpoint.report.run import Measure, read
from counterpoint.report.verdict import comparable
from counterpoint.report.words import seconds, summary

MakeRun = Callable[..., dict[str, Any]]


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a JSON file of the run."""
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def ended(folder: Path, *events: dict[str, Any]) -> None:
    """Replace what the log says after the steps, and any resume in it."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()[:-1]]
    kept = [line for line in lines if line["event"] not in ("end", "resume") and line.get("loss") != 99.0]
    (folder / "log.jsonl").write_text("\n".join(json.dumps(line) for line in [*kept, *events]) + "\n")


def said(folder: Path, question: str) -> Answer | None:
    found = [a for a in answers(read(folder), views=0) if a.question.startswith(question)]
    return found[0] if found else None


def measure(name: str, value: float, half: float, *, better: str = "higher", group: str = "classification") -> Measure:
    return Measure(name, name, value, value - half, value + half, better, group)


@pytest.mark.parametrize(
    ("value", "share", "text"),
    [
        (0.47934, True, "47.9 %"),
        (-5.4e-5, False, "−5.4 · 10⁻⁵"),
        (0.0, False, "0.000"),
        (675.37, False, "675"),
        (23.77, False, "23.8"),
        (1.0711, False, "1.07"),
        (float("nan"), True, "–"),
    ],
)
def test_numbers_keep_the_digits_that_count(value: float, share: bool, text: str) -> None:
    assert figure(value, share) == text


def test_counts_have_no_decimals_and_tiny_intervals_are_not_zero() -> None:
    used = measure("dimensions", 32.0, 0.0, group="geometry")
    assert is_count(used)
    assert figure(used.value, False, is_count(used)) == "32"
    assert not is_count(measure("overlap", 1.0, 0.0, group="geometry"))
    tiny = Measure("uniformity", "uniformity", -5.4e-5, -5.5e-5, -5.3e-5, "lower", "geometry")
    assert interval(tiny) == "−5.5 · 10⁻⁵ to −5.3 · 10⁻⁵"


def test_a_collapsed_encoder_is_never_calledbest() -> None:
    found = {
        "learned": measure("class_alignment", 0.24, 0.01, better="lower", group="geometry"),
        "untrained": measure("class_alignment", 2e-5, 1e-6, better="lower", group="geometry"),
    }
    assert not comparable(found["learned"])
    assert best(found) == set()
    assert comparable(measure("d_prime", 0.5, 0.1, group="geometry"))


def test_bold_is_whatever_cannot_be_told_from_thebest() -> None:
    near = {"learned": measure("knn_accuracy", 0.80, 0.02), "pixels": measure("knn_accuracy", 0.81, 0.02)}
    assert best(near) == {"learned", "pixels"}
    assert best({**near, "untrained": measure("knn_accuracy", 0.5, 0.02)}) == {"learned", "pixels"}
    assert best({"learned": near["learned"]}) == set()


def test_the_geometry_of_z_stands_apart_and_gets_no_verdict(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)

    def add(scores: dict[str, Any]) -> None:
        for encoder, value in (("learned", -2.9), ("untrained", -0.1)):
            row = {"name": "uniformity_z", "label": "uniformity of z", "value": value, "low": value, "high": value}
            scores["measures"][encoder].append({**row, "better": "lower", "group": "geometry", "note": "t = 2"})

    changed(tmp_path, "scores.json", add)
    found = {group["name"]: group for group in groups(read(tmp_path))}
    assert not found["geometry"]["aside"]
    assert found["geometry of the projection z"]["aside"]
    for name in ("geometry", "geometry of the projection z"):
        for row in found[name]["rows"]:
            assert row["verdict"] == ""
            assert not any(cell["best"] for cell in row["cells"].values())


def test_a_note_is_told_of_whom_it_is_true(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)

    def add(scores: dict[str, Any]) -> None:
        for encoder, details in scores["details"].items():
            details["notes"] = ["for all"] + ["for one"] * (encoder == "untrained")

    changed(tmp_path, "scores.json", add)
    assert _notes(read(tmp_path)) == [("", "for all"), ("untrained", "for one")]


def test_the_matrix_is_laid_at_the_door_of_the_classifier_that_made_it(tmp_path: Path, make_run: MakeRun) -> None:
    made = make_run(tmp_path)
    assert judge(read(tmp_path)) == "nearest neighbours"
    right = made["scores"]["measures"]["learned"][0]["value"]

    def swap(scores: dict[str, Any]) -> None:
        for m in scores["measures"]["learned"]:
            m["value"] = {"knn_accuracy": 0.5, "linear_probe": right}.get(m["name"], m["value"])

    changed(tmp_path, "scores.json", swap)
    assert judge(read(tmp_path)) == "linear probe"
    assert "columns what the linear probe took it for" in write(tmp_path).read_text()
    changed(tmp_path, "scores.json", lambda s: s["measures"]["learned"].clear())
    assert judge(read(tmp_path)) == ""


def test_the_time_of_the_last_stretch_is_not_sold_as_the_whole(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    assert seconds(read(tmp_path)) is None
    text = write(tmp_path).read_text()
    assert "which took" not in text
    assert "time since taken up again" in text
    ended(tmp_path, {"event": "end", "step": 360, "epoch": 60.0, "seconds": 41.7, "reason": "finished"})
    assert seconds(read(tmp_path)) == 41.7
    assert "for 60 epochs, which took 42 s" in " ".join(summary(read(tmp_path)))


@pytest.mark.parametrize(
    ("reason", "sentence", "short"),
    [
        (
            "interrupted",
            "interrupted before its planned end, after 120 of 360 planned steps; the weights are those of step 120.",
            "Let it finish",
        ),
        (
            "max-time",
            "when its time was up, before its planned end, after 120 of 360 planned steps",
            "Let it finish",
        ),
        (
            "diverged",
            "no longer a number, at step 120 of 360 planned steps; no checkpoint stands in its folder.",
            "Smaller steps",
        ),
        (None, "The log has no end:", "Let it finish"),
        ("finished", "", "Evaluate it"),
    ],
)
def test_a_run_that_did_not_finish_says_so(
    tmp_path: Path, make_run: MakeRun, reason: str | None, sentence: str, short: str
) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    events = [] if reason is None else [{"event": "end", "step": 120, "epoch": 20.0, "seconds": 9.0, "reason": reason}]
    ended(tmp_path, *events)
    told = " ".join(summary(read(tmp_path)))
    assert sentence in told
    assert ("weights" in told or "checkpoint" in told) == (reason != "finished")
    following = said(tmp_path, "What to try next")
    assert following is not None
    assert following.short.startswith(short)


def test_a_run_that_diverged_names_the_step_of_its_weights(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for step in (60, 100):
        (tmp_path / "checkpoints" / f"step-{step:08d}.pt").touch()
    ended(tmp_path, {"event": "end", "step": 120, "reason": "diverged"})
    told = " ".join(summary(read(tmp_path)))
    assert "for 20 epochs" in told
    assert "at step 120 of 360 planned steps; the weights are those of step 100. It was then frozen" in told


def test_how_often_an_image_was_seen_leaves_out_what_an_epoch_drops(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    changed(tmp_path, "recipe.json", lambda r: r["parts"].update(batch_size=200))
    seen = said(tmp_path, "What was seen")
    assert seen is not None
    assert f"Each about {360 * 200 / 1437:.1f} times" in seen.detail


@pytest.mark.parametrize(("errors", "short"), [(2, "None clearly"), (30, "0 and 1"), (0, "None")])
def test_two_slips_are_not_two_classes_that_merge(tmp_path: Path, make_run: MakeRun, errors: int, short: str) -> None:
    make_run(tmp_path)

    def few(scores: dict[str, Any]) -> None:
        counts = [[0] * 10 for _ in range(10)]
        for i in range(10):
            counts[i][i] = 176
        counts[0][0], counts[0][1] = 176 - errors, errors
        scores["details"]["learned"]["confusion"] = counts

    changed(tmp_path, "scores.json", few)
    ended(tmp_path, {"event": "end", "step": 360, "epoch": 60.0, "seconds": 41.7, "reason": "finished"})
    merging, following = said(tmp_path, "Which classes merge"), said(tmp_path, "What to try")
    assert merging is not None
    assert following is not None
    assert merging.short == short
    advised = f"{following.short} {following.detail}"
    assert ("ook at 0 and 1" in advised) == (errors == 30)
    assert "colour" not in advised, "the digits are grey"


def test_labels_are_called_unused_only_where_no_part_could_see_them(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)

    def parts(pairing: str, objective: str) -> Callable[[dict[str, Any]], None]:
        def change(recipe: dict[str, Any]) -> None:
            recipe["parts"] |= {"pairing": {"part": f"x:{pairing}"}, "objective": {"part": f"x:{objective}"}}

        return change

    for pairing, objective, unused in (("SameSample", "Contrast", True), ("SameClass", "Contrast", False)):
        changed(tmp_path, "recipe.json", parts(pairing, objective))
        seen = said(tmp_path, "What was seen")
        assert seen is not None
        assert ("labels were not used" in seen.detail) == unused
        assert "1 file was left out" in seen.detail


def test_one_class_cannot_be_confused(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)

    def single(scores: dict[str, Any]) -> None:
        scores["classes"] = ["only"]
        details = scores["details"]["learned"]
        details["confusion"], details["per_class"], details["predicted"] = [[360]], [], None
        details["map"]["label"] = [0] * 360
        for encoder in scores["measures"]:
            for m in scores["measures"][encoder]:
                if m["group"] == "classification":
                    m["value"] = m["low"] = m["high"] = 1.0

    changed(tmp_path, "scores.json", single)
    assert said(tmp_path, "Which classes merge") is None
    better = said(tmp_path, "Better than raw pixels")
    assert better is not None
    assert better.short == "Cannot be told apart"
    assert "Confusion matrix" not in write(tmp_path).read_text()


def test_collapse_is_seen_and_few_test_rows_are_not_taken_for_it(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)

    def spectrum(values: list[float], rows: int) -> Callable[[dict[str, Any]], None]:
        def change(scores: dict[str, Any]) -> None:
            scores["test_rows"], scores["details"]["learned"]["spectrum_h"] = rows, values
            for m in scores["measures"]["learned"]:
                if m["name"] == "effective_rank":
                    m["value"] = 1.1 if values[1] == 0.0 else 8.0

        return change

    def health() -> str:
        found = said(tmp_path, "Collapsed or healthy")
        assert found is not None
        return found.short

    changed(tmp_path, "scores.json", spectrum([1.0] * 9 + [0.0] * 503, 10))
    assert health() == "No sign of collapse"
    changed(tmp_path, "scores.json", spectrum([1.0] * 9 + [0.0] * 503, 10_000))
    assert health().startswith("Partly collapsed")
    changed(tmp_path, "scores.json", spectrum([1.0] + [0.0] * 511, 10_000))
    assert health().startswith("Partly collapsed")

    def alike(scores: dict[str, Any]) -> None:
        scores["details"]["learned"]["similarity"]["inter"] = [0] * 199 + [1000]

    changed(tmp_path, "scores.json", alike)
    changed(
        tmp_path,
        "scores.json",
        lambda s: s["details"]["learned"]["similarity"].update(edges=[0.99 + i * 5e-5 for i in range(201)]),
    )
    assert health() == "Collapsed"


def test_the_command_comes_back_letter_by_letter(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    command = "counterpoint train simclr --source folder --root 'my photos/<2024> & \"more\"' --out runs/" + "x" * 400
    changed(tmp_path, "recipe.json", lambda recipe: recipe.update(command=command))
    from html import unescape

    text = write(tmp_path).read_text()
    shown = text.split('<code id="command">')[1].split("</code>")[0]
    assert unescape(shown) == command
    assert "one that holds a run is not written over" in text


@pytest.mark.slow
def test_many_large_images_stay_under_eight_megabytes(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path, embeddings=False)
    torch.manual_seed(0)
    n = 3000

    def many(scores: dict[str, Any]) -> None:
        plane = torch.rand(2, n)
        scores["details"]["learned"]["map"] = {
            "method": "t-SNE", "sample": list(range(n)), "x": plane[0].tolist(), "y": plane[1].tolist(),
            "label": [i % 10 for i in range(n)], "cluster": [i % 7 for i in range(n)],
        }  # fmt: skip

    changed(tmp_path, "scores.json", many)
    noise = torch.randint(0, 256, (60, 3, 160, 160), dtype=torch.uint8)  # the hardest to compress
    path = write(tmp_path, images=noise.repeat(50, 1, 1, 1), views=noise[:54].unflatten(0, (6, 9)))
    assert path.stat().st_size < 8_000_000


@pytest.mark.slow
def test_ten_thousand_large_photos_of_a_hundred_classes_are_sampled_and_the_page_says_so(
    tmp_path: Path, make_run: MakeRun
) -> None:
    make_run(tmp_path, embeddings=False)
    n, classes = 10_000, 100
    torch.manual_seed(0)

    def many(scores: dict[str, Any]) -> None:
        plane = torch.rand(2, n)
        labels = [i % classes for i in range(n)]
        scores["classes"] = [f"class {i}" for i in range(classes)]
        scores["details"]["learned"] |= {
            "confusion": torch.randint(0, 3, (classes, classes)).tolist(),
            "predicted": {"sample": list(range(n)), "label": labels, "prediction": labels[1:] + labels[:1]},
            "map": {"method": "t-SNE", "sample": list(range(n)), "x": plane[0].tolist(), "y": plane[1].tolist(),
                    "label": labels, "cluster": labels},
        }  # fmt: skip

    changed(tmp_path, "scores.json", many)
    noise = torch.randint(0, 256, (54, 3, 224, 224), dtype=torch.uint8)  # the hardest to compress
    path = write(tmp_path, images=noise[:1].expand(n, -1, -1, -1), views=noise.unflatten(0, (6, 9)))
    assert path.stat().st_size < 8_000_000
    text = " ".join(path.read_text().split())
    assert "It is a sample: 3,000 of 10,000 images." in text
    assert "Images are shown at 48 × 48 of their 224 × 224 pixels." in text
    assert "Shown smaller than the 224 × 224 pixels that it sees." in text


def test_an_easy_test_set_is_not_blamed_on_the_views(tmp_path: Path, make_run: MakeRun) -> None:
    make_run(tmp_path)
    ended(tmp_path, {"event": "end", "step": 360, "epoch": 60.0, "seconds": 41.7, "reason": "finished"})

    def perfect(scores: dict[str, Any]) -> None:
        for encoder in ("learned", "pixels"):
            for m in scores["measures"][encoder]:
                if m["group"] == "classification":
                    m["value"] = m["low"] = m["high"] = 1.0

    changed(tmp_path, "scores.json", perfect)
    told = said(tmp_path, "What to try")
    assert told is not None
    assert "harder test" in f"{told.short} {told.detail}"
    assert "uestion the views" not in f"{told.short} {told.detail}"
