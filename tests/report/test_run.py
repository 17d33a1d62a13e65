import json
import os
from pathlib import Path

import pytest

from counterpoint.errors import RunError
from counterpoint.report.run import read
from counterpoint.report.verdict import difference, paired


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.json"):
        read(tmp_path)
    with pytest.raises(RunError, match="is not a folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "recipe.json").write_text("[1, 2")
    with pytest.raises(RunError, match="cannot be read"):
        read(tmp_path)


def test_a_damaged_last_line_of_the_log_is_ignored_and_others_are_counted(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    assert read(tmp_path).log.damaged == 0
    text = (tmp_path / "log.jsonl").read_text().splitlines()
    (tmp_path / "log.jsonl").write_text("\n".join([*text[:50], '{"event": "st', *text[50:]]))
    log = read(tmp_path).log
    assert log.damaged == 1
    assert len(log.steps) == 360


def test_steps_that_a_resume_undid_are_left_out(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False, embeddings=False)
    log = read(tmp_path).log
    assert log.resumed == (201,)
    assert max(s["loss"] for s in log.steps) < 10, "the step after the checkpoint is still there"
    assert [s["step"] for s in log.steps] == list(range(1, 361))


def test_only_the_test_rows_of_the_embeddings_are_read(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    test = read(tmp_path).test
    assert test is not None
    assert test.h.shape == (360, 12)
    assert float((test.h.numpy() - made["h"]).__abs__().max()) < 1e-5


def measures(value: float, half: float, better: str = "higher") -> dict[str, object]:
    return {
        "name": "m", "label": "m", "value": value, "low": value - half, "high": value + half,
        "better": better, "group": "classification", "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "better", "verdict"),
    [
        (0.9, 0.7, "higher", "better"),
        (0.7, 0.9, "higher", "worse"),
        (0.9, 0.88, "higher", "alike"),
        (0.9, 0.7, "lower", "worse"),
        (0.7, 0.9, "lower", "better"),
    ],
)
def test_a_difference_is_judged_by_its_interval(
    tmp_path: Path, ours: float, theirs: float, better: str, verdict: str
) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    scores = {"measures": {"learned": [measures(ours, 0.03, better)], "pixels": [measures(theirs, 0.04, better)]}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    run = read(tmp_path)
    gap = difference(run.measure("learned", "m"), run.measure("pixels", "m"))
    assert gap is not None
    assert gap.verdict == verdict
    assert gap.high - gap.value == pytest.approx(0.05), "half-widths 0.03 and 0.04 add in quadrature"


def test_shared_test_images_give_a_paired_difference(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    run = read(tmp_path)
    gap = paired(run, "knn_accuracy", "pixels")
    assert gap is not None
    assert gap.paired
    right = [
        [a == b for a, b in zip(made["scores"]["details"][e]["predicted"]["label"],
                                made["scores"]["details"][e]["predicted"]["prediction"], strict=True)]
        for e in ("learned", "pixels")
    ]  # fmt: skip
    disagree = sum(a != b for a, b in zip(*right, strict=True)) / 360
    exact = 1.96 * ((disagree - gap.value**2) / 360) ** 0.5
    assert gap.value == pytest.approx((sum(right[0]) - sum(right[1])) / 360)
    assert (gap.high - gap.low) / 2 == pytest.approx(exact, rel=0.15)
    other = paired(run, "linear_probe", "pixels")
    assert other is not None
    assert not other.paired, "the stored predictions are not those of the linear probe"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path: Path, make_run) -> None:
    from counterpoint.report import write

    make_run(tmp_path, scores=False, embeddings=False)
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written"):
        write(tmp_path, images=None, views=None)
