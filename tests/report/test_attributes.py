"""The page of attributes says what each was compared with, by its right name, and which comparison decides."""

import pytest
import torch

from counterpoint.evaluation.readability import Reading
from counterpoint.evaluation.resampling import Estimate
from counterpoint.report.attributes import UNIONS, interval_of, write_attributes


def reading(name="round", *, pixels=0.1, shuffled=0.4, union: float | None = 0.0):
    def gap(value):
        return None if value is None else Estimate(value, value - 0.01, value + 0.01)

    return Reading(
        name=name, fit_rows=90, fit_yes=40, rows=50, yes=20, auroc=Estimate(0.9, 0.88, 0.92),
        pixels=Estimate(0.9 - pixels, 0.5, 0.9), over_pixels=gap(pixels),
        shuffled=0.9 - shuffled, over_shuffled=gap(shuffled),
        union=None if union is None else 0.9 - union, over_union=gap(union),
        error=0.01, raw_error=0.02, chance_error=0.03,
    )  # fmt: skip


def page(tmp_path, *readings):
    about = {"dataset": "made", "train": 90, "test": 50, "roles": "some", "seed": 0, "valleys": [], "sought": 0}
    target = write_attributes(
        tmp_path / "a.html", about, readings, images=torch.zeros(50, 1, 4, 4, dtype=torch.uint8),
        probabilities=torch.rand(50, len(readings)), truths=None, distances=torch.zeros(50, 0), command="c",
    )  # fmt: skip
    return target.read_text("utf-8")


def test_pixels_and_chance_decide_and_unions_do_not():
    assert reading(union=-0.2).readable
    assert reading(union=None).readable
    alone = reading(shuffled=0.0, union=0.3)
    assert not alone.readable
    assert alone.why == "not above chance"
    assert reading(pixels=-0.2, union=0.3).why == "worse than raw pixels"


def test_each_comparison_has_its_own_name(tmp_path):
    text = page(tmp_path, reading(), reading("even", union=0.2), reading("odd", union=-0.2))
    for said in (
        "above raw pixels",
        "above chance (shuffled labels)",
        "against random unions of as many classes",
        UNIONS,
    ):
        assert said in text
    assert "random attributes" not in text
    assert "1 of the 3 sets of classes has a larger AUROC with the whole interval, and 1 a smaller one" in text
    assert "3 of 3 attributes can be read" in text


def test_without_sets_of_classes_there_is_nothing_to_say_of_unions(tmp_path):
    assert UNIONS not in page(tmp_path, reading(union=None))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.010, 0.014, "+0.012 (+0.010 to +0.014)"),
        (-0.00004, 0.0001, "+0.00003 (−0.00004 to +0.00010)"),
        (-0.0001, -0.000004, "−0.000052 (−0.000100 to −0.000004)"),
    ],
)
def test_an_interval_that_leaves_out_zero_does_not_seem_to_touch_it(low, high, said):
    assert interval_of(Estimate((low + high) / 2, low, high), signed=True) == said
