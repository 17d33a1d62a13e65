"""What the page makes of the doctor's lines in the log."""

import json
from pathlib import Path

import pytest

from counterpoint.report import write
from counterpoint.report.answers import answers, health
from counterpoint.report.doctor import vitals
from counterpoint.report.run import read

from .test_page import parsed
from .variants import COLLAPSE, SATURATED, changed, with_doctor

GONE = {"event": "recovered", "step": 120, "name": "saturated-temperature"}


def test_a_finding_that_held_decides_what_the_page_says_first(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path, SATURATED, GONE, COLLAPSE)
    run = read(tmp_path)
    assert [f.name for f in run.log.held] == ["dimensional-collapse"]
    first = run.log.findings[0]
    assert (first.name, first.step, first.until) == ("saturated-temperature", 60, 120)
    sound = health(run)
    assert sound is not None
    assert (sound.short, sound.tone, sound.link) == ("Collapsed: dimensional collapse", "bad", "doctor")
    assert "z uses 2.1 of 128 directions. The test embeddings alone show no collapse" in sound.detail
    next_ = next(a for a in answers(run, views=0) if a.question.startswith("What to try"))
    assert next_.short == "Cure it: dimensional collapse"
    assert next_.detail == "A lower temperature usually helps. To try: --temperature 0.2"
    page = parsed(write(tmp_path))
    assert "since step 300, to the end" in page.text
    assert "from step 60 to step 120, then gone" in page.text
    assert "1 finding that went away again" in page.text
    assert "the doctor: Dimensional collapse, step 300" in (tmp_path / "report.html").read_text()


def test_a_healthy_run_is_told_so_and_by_whom(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path)
    sound = health(read(tmp_path))
    assert sound is not None
    assert sound.tone == "good"
    assert sound.detail.endswith("The doctor, who watched the training, found nothing.")
    page = parsed(write(tmp_path))
    assert "At the end there was nothing to find." in page.text


def test_what_came_and_went_does_not_make_a_run_ill(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path, SATURATED, GONE)
    sound = health(read(tmp_path))
    assert sound is not None
    assert sound.tone == "good"
    assert "saw “saturated temperature” come and go" in sound.detail


def test_a_note_is_told_but_does_not_make_a_run_ill(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path, {**SATURATED, "severity": "note"})
    sound = health(read(tmp_path))
    assert sound is not None
    assert sound.tone == "good"
    assert "notes “saturated temperature”" in sound.detail


def test_collapsed_test_embeddings_are_bad_even_where_the_doctor_saw_nothing(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path)
    changed(tmp_path, "scores.json", lambda s: s["details"]["learned"].update(spectrum_h=[1.0] + [1e-9] * 30))
    sound = health(read(tmp_path))
    assert sound is not None
    assert sound.tone == "bad"
    assert sound.short.startswith("Partly collapsed")
    assert "found nothing. What is judged here are the test embeddings" in sound.detail


@pytest.mark.parametrize("scores", [True, False])
def test_a_few_readings_are_too_short_to_judge_on_every_line(tmp_path: Path, make_run, scores: bool) -> None:
    make_run(tmp_path, scores=scores, embeddings=scores)
    with_doctor(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first = [line for line in lines if line["event"] == "step"][:3]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, first)) + "\n")
    sound = health(read(tmp_path))
    assert sound is not None
    assert (sound.short, sound.tone) == ("Too short to judge", "plain")
    assert "3 readings of the training, and at least 4 are needed" in sound.detail
    page = parsed(write(tmp_path))
    assert "That is too short to judge" in page.text
    assert "nothing to find" not in page.text
    assert "found nothing" not in page.text


def test_a_collapse_is_seen_without_labels(tmp_path: Path, make_run) -> None:
    from dataclasses import replace

    import torch

    from counterpoint.report.run import TestRows

    make_run(tmp_path, labels=False)
    changed(tmp_path, "scores.json", lambda s: s["details"]["learned"].pop("similarity"))
    run = read(tmp_path)
    assert (health(run) or pytest.fail("nothing said")).short == "No sign of collapse"
    h = torch.ones(360, 12) + 0.01 * torch.randn(360, 12, generator=torch.Generator().manual_seed(0))
    sound = health(replace(run, test=TestRows(torch.arange(360), h, torch.full((360,), -1))))
    assert sound is not None
    assert sound.short == "Collapsed"
    assert "Test images have a mean cosine of 1.000" in sound.detail


def test_the_doctor_speaks_before_the_evaluation(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    with_doctor(tmp_path)
    sound = health(read(tmp_path))
    assert sound is not None
    assert sound.short == "Nothing found while training"


def test_without_readings_the_page_says_that_nothing_is_known(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    assert "holds no readings of the doctor" in parsed(write(tmp_path)).text
    assert vitals(read(tmp_path)) == []


def test_a_resume_takes_back_what_was_found_after_it(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    steps = [{"event": "step", "step": s, "epoch": s / 6, "loss": 1.0} for s in (60, 120, 300)]
    events = [SATURATED, steps[0], steps[1], GONE, COLLAPSE, steps[2], {"event": "resume", "step": 100}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    found = read(tmp_path).log.findings
    assert [(f.name, f.until) for f in found] == [("saturated-temperature", None)]


def test_every_reading_has_a_curve_and_says_what_healthy_is(tmp_path: Path, make_run) -> None:
    make_run(tmp_path)
    with_doctor(tmp_path, COLLAPSE)
    charts = {chart.title: chart for chart in vitals(read(tmp_path))}
    assert all(chart.healthy for chart in charts.values())
    assert all(len(chart.marks) == 1 for chart in charts.values())
    assert [line.label for line in charts["Finding its partner"].lines] == ["partner found", "guessing"]
    assert [line.label for line in charts["Similarity of pairs"].lines] == ["positives", "negatives"]
    assert charts["Gradient and update"].y.log
    assert charts["Effective rank"].lines[0].y[0] == pytest.approx(146.7)
    text = write(tmp_path).read_text()
    assert "Dashed: its ceiling" in text
    assert text.count("<b>Healthy:</b>") == len(charts)
