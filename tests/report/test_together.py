"""Several runs as one value: who can be compared, what differs, and which differences hold."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from counterpoint.errors import RunError
from counterpoint.report.comparison.together import apart, class_gaps, gaps, gather_runs, settings, swaps
from counterpoint.report.run import Measure
from counterpoint.report.verdict import holm, matched

from .variants import changed, variant


@pytest.fixture
def base(tmp_path: Path, make_run) -> Path:
    make_run(tmp_path / "base")
    return tmp_path / "base"


def test_runs_on_the_same_images_are_peers_and_the_reference_comes_first(base: Path, tmp_path: Path) -> None:
    other, third = variant(base, tmp_path / "other", wrong=9), variant(base, tmp_path / "third")
    together = gather_runs([base, other, third], reference=other)
    assert together.names == ("other", "base", "third")
    assert together.group == (0, 0, 0)
    assert together.peers() == [1, 2]
    assert gather_runs([base, other, base]).names == ("base", "other"), "a run given twice stands once"


def test_names_carry_as_much_of_the_path_as_tells_them_apart(base: Path, tmp_path: Path) -> None:
    twin = variant(base, tmp_path / "elsewhere" / "base")
    assert gather_runs([base, twin]).names == (f"{tmp_path.name}/base", "elsewhere/base")


def test_fewer_than_two_or_more_than_ten_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="at least two different runs, and 1 was given"):
        gather_runs([base])
    with pytest.raises(RunError, match="the same run was named twice"):
        gather_runs([base, base])
    many = [variant(base, tmp_path / str(i)) for i in range(11)]
    with pytest.raises(RunError, match="11 runs do not fit"):
        gather_runs(many)
    with pytest.raises(RunError, match="is not a folder"):
        gather_runs([base, tmp_path / "nowhere"])


def test_only_what_differs_is_listed_by_its_path(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", temperature=0.07)

    def deeper(recipe: dict) -> None:
        recipe["parts"]["views"]["policy"]["ops"].append({"part": "counterpoint.views:HFlip", "p": 0.5})
        recipe["parts"]["pairing"] = {"part": "counterpoint.pairing:SameClass"}
        recipe["environment"]["torch"] = "3.0"

    changed(other, "recipe.json", deeper)
    assert dict(settings(gather_runs([base, other]))) == {
        "pairing": ("SameSample", "SameClass"),
        "views.policy.ops.1": ("–", "HFlip(p 0.5)"),
        "objective.temperature": ("0.5", "0.07"),
        "environment.torch": ("2.14.0", "3.0"),
    }
    assert settings(gather_runs([base, variant(base, tmp_path / "same")])) == []


@pytest.mark.parametrize("how", ["labels", "name", "count", "unscored"])
def test_runs_on_other_images_are_not_paired(base: Path, tmp_path: Path, how: str) -> None:
    other = variant(base, tmp_path / "other", wrong=5)
    if how == "labels":
        changed(other, "scores.json", lambda s: s["details"]["learned"]["predicted"]["label"].reverse())
    elif how == "unscored":
        (other / "scores.json").unlink()
    else:
        changed(other, "recipe.json", lambda r: r["dataset"].update({"name": "mine"} if how == "name" else {"test": 9}))
    together = gather_runs([base, other])
    assert together.peers() == []
    assert gaps(together) == swaps(together) == class_gaps(together) == []


@pytest.mark.parametrize(("digests", "groups"), [(("a", "a"), (0, 0)), (("a", "b"), (0, 1)), (("a", ""), (0, 0))])
def test_the_digest_of_the_test_images_decides_where_both_have_one(
    base: Path, tmp_path: Path, digests: tuple[str, str], groups: tuple[int, int]
) -> None:
    other = variant(base, tmp_path / "other")
    for folder, digest in zip((base, other), digests, strict=True):
        changed(folder, "scores.json", lambda s, digest=digest: s.update(digest=digest))
    assert gather_runs([base, other]).group == groups
    changed(other, "recipe.json", lambda r: r["dataset"].update(name="renamed"))
    assert gather_runs([base, other]).group == ((0, 0) if digests == ("a", "a") else (0, 1))


def test_a_run_without_a_digest_does_not_join_two_that_differ(base: Path, tmp_path: Path) -> None:
    one, two = variant(base, tmp_path / "one"), variant(base, tmp_path / "two")
    for folder in (one, two):
        changed(folder, "scores.json", lambda s, digest=folder.name: s.update(digest=digest))
    assert gather_runs([base, one, two]).group == (0, 0, 1)


def test_each_run_that_is_not_compared_has_its_own_reason(base: Path, tmp_path: Path) -> None:
    bare, strange = variant(base, tmp_path / "bare"), variant(base, tmp_path / "strange")
    (bare / "scores.json").unlink()
    changed(strange, "recipe.json", lambda r: r["dataset"].update(name="elsewhere"))
    assert apart(gather_runs([base, bare, strange])) == [
        ("bare", "has not been evaluated"),
        ("strange", "was tested on other images than base"),
    ]
    ((name, why),) = apart(gather_runs([bare, base]))
    assert name == "bare"
    assert "has not been evaluated, so nothing is compared with it" in why
    (base / "scores.json").unlink()
    assert apart(gather_runs([bare, base]))[0][0] == "none of the runs"


def test_a_score_that_repeats_another_exactly_is_not_counted_twice(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=18)
    before = gaps(gather_runs([base, other]))

    def twice(scores: dict) -> None:
        copied = next(m for m in scores["measures"]["learned"] if m["name"] == "recall_at_1")
        scores["measures"]["learned"].append({**copied, "name": "recall_again"})

    for folder in (base, other):
        changed(folder, "scores.json", twice)
    found = gaps(gather_runs([base, other]))
    assert [gap.repeats for gap in found if gap.repeats] == ["recall_at_1"]
    assert [g for g in found if not g.repeats] == before


def test_a_paired_difference_is_the_bootstrap_over_shared_images(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=18)
    gap = next(g for g in gaps(gather_runs([base, other])) if g.name == "knn_accuracy")
    assert gap.difference.paired
    assert gap.difference.value == pytest.approx(-18 / 360)
    lost = np.repeat([0.0, -1.0], [342, 18])
    draws = np.random.default_rng(5).choice(lost, (4000, 360)).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    assert gap.difference.low == pytest.approx(low, abs=0.004)
    assert gap.difference.high == pytest.approx(high, abs=0.004)
    assert gap.difference.p == pytest.approx(2 * 0.5**18), (
        "18 images lost and none won: a coin that falls 18 times alike"
    )
    assert gap.verdict == "worse"


def test_a_small_difference_is_not_called_one(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=3)
    gap = next(g for g in gaps(gather_runs([base, other])) if g.name == "knn_accuracy")
    assert gap.difference.p == pytest.approx(0.25)
    assert gap.verdict == "alike"


def test_holm_stops_at_the_first_that_fails() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.04]) == [True]
    assert holm([]) == []


def test_among_many_runs_without_a_difference_few_are_called_different() -> None:
    """A hundred comparisons of nine runs with their like: in at most a few is anything marked."""
    draw = random.Random(0)
    labels = list(range(200))
    marked = 0
    for _ in range(100):

        def details() -> dict:
            return {"predicted": {"sample": labels, "label": [0] * 200,
                                  "prediction": [int(draw.random() < 0.3) for _ in labels]}}  # fmt: skip

        def measured(d: dict) -> Measure:
            share = 1 - sum(d["predicted"]["prediction"]) / 200
            return Measure("a", "a", share, share - 0.06, share + 0.06, "higher", "classification")

        first = details()
        found = [matched(measured(d), measured(first), d, first) for d in (details() for _ in range(9))]
        assert all(gap is not None and gap.paired for gap in found)
        marked += any(holm([gap.p for gap in found if gap is not None]))
    assert marked <= 9


def test_swaps_count_every_image_once_and_show_real_ones(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=18)
    (swap,) = swaps(gather_runs([base, other]))
    assert (swap.gained, swap.lost) == (0, 18)
    assert swap.both + swap.neither + swap.gained + swap.lost == 360
    predicted = json.loads((other / "scores.json").read_text())["details"]["learned"]["predicted"]
    assert len(swap.losses) == 12
    for sample, label, guess in swap.losses:
        assert (predicted["label"][sample], predicted["prediction"][sample]) == (label, guess)
        assert label != guess


def test_a_mean_recall_is_paired_by_the_bootstrap_over_shared_images() -> None:
    random = np.random.default_rng(3)
    label = np.repeat([0, 1, 2], [150, 40, 10])
    guesses = [np.where(random.random(200) < share, label, (label + 1) % 3) for share in (0.8, 0.7)]

    def recall(rows: np.ndarray, guess: np.ndarray) -> float:
        return float(np.mean([(guess[rows] == c)[label[rows] == c].mean() for c in np.unique(label[rows])]))

    every = np.arange(200)
    measures = [
        Measure("linear_probe_balanced", "b", v, v - 0.1, v + 0.1, "higher", "classification")
        for v in (recall(every, guess) for guess in guesses)
    ]
    details = [
        {"predicted": {"sample": every.tolist(), "label": label.tolist(), "prediction": guess.tolist()}}
        for guess in guesses
    ]
    gap = matched(measures[0], measures[1], details[0], details[1])
    assert gap is not None
    assert gap.paired
    assert gap.value == pytest.approx(measures[0].value - measures[1].value)
    drawn = [random.integers(0, 200, 200) for _ in range(3000)]
    low, high = np.quantile([recall(rows, guesses[0]) - recall(rows, guesses[1]) for rows in drawn], [0.025, 0.975])
    assert gap.low == pytest.approx(low, abs=0.02)
    assert gap.high == pytest.approx(high, abs=0.02)
    other = Measure("linear_probe_balanced", "b", 0.5, 0.4, 0.6, "higher", "classification")
    apart_ = matched(measures[0], other, details[0], details[1])
    assert apart_ is not None
    assert not apart_.paired, "the predictions are not those of this measure"


def test_recall_at_1_is_paired_where_it_was_kept_image_by_image() -> None:
    hits = [[1] * 80 + [0] * 20, [1] * 70 + [0] * 30]
    measures = [Measure("recall_at_1", "r", sum(h) / 100, 0.5, 0.9, "higher", "retrieval") for h in hits]
    details = [{"recalled": {"sample": list(range(100)), "hit": h}} for h in hits]
    gap = matched(measures[0], measures[1], details[0], details[1])
    assert gap is not None
    assert gap.paired
    assert gap.p == pytest.approx(2 * 0.5**10)


def test_classes_stand_by_their_largest_change(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=18)
    found = class_gaps(gather_runs([base, other]))
    changes = [abs(c.gain(1) or 0.0) for c in found]
    assert changes == sorted(changes, reverse=True)
    assert sum((c.gain(1) or 0.0) * c.n for c in found) == pytest.approx(-18)


def test_a_moved_run_is_read_where_it_is_now(base: Path, tmp_path: Path) -> None:
    other = variant(base, tmp_path / "other", wrong=9)
    moved = tmp_path / "far" / "away"
    shutil.move(other, moved)
    assert gather_runs([base, moved]).peers() == [1]
