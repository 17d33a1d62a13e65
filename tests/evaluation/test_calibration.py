"""Probabilities that mean what they say: errors by hand, Platt's sigmoid, temperature."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation.calibration import (
    expected_calibration_error,
    expected_of_calibrated,
    fit_platt,
    fit_temperature,
    reliability,
)


def error_slow(probability, truth, bins):
    """The definition, row by row."""
    total = 0.0
    for k in range(bins):
        rows = [i for i, p in enumerate(probability) if min(int(p * bins), bins - 1) == k]
        if rows:
            said = sum(probability[i] for i in rows) / len(rows)
            came = sum(truth[i] for i in rows) / len(rows)
            total += len(rows) / len(probability) * abs(said - came)
    return total


@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 60))
def test_error_is_that_of_the_definition(seed, bins, rows):
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(rows, generator=generator, dtype=torch.float64)
    truth = torch.randint(0, 2, (rows,), generator=generator)
    found = expected_calibration_error(probability, truth, bins=bins)
    assert found == pytest.approx(error_slow(probability.tolist(), truth.tolist(), bins), abs=1e-12)


def test_errors_one_can_see():
    yes, no = torch.ones(6, dtype=torch.int64), torch.zeros(6, dtype=torch.int64)
    assert expected_calibration_error(torch.ones(6), yes) == 0
    assert expected_calibration_error(torch.ones(6), no) == 1
    half = torch.tensor([1, 0, 1, 0, 1, 0])
    assert expected_calibration_error(torch.full((6,), 0.5), half) == 0
    assert expected_calibration_error(torch.full((6,), 0.9), half) == pytest.approx(0.4)


def test_the_curve_says_what_came_true():
    curve = reliability(torch.tensor([0.1, 0.1, 0.9, 0.9]), torch.tensor([0, 1, 1, 1]), bins=2)
    assert curve.count.tolist() == [2, 2]
    assert curve.said.tolist() == pytest.approx([0.1, 0.9])
    assert curve.true.tolist() == [0.5, 1.0]
    assert curve.error == pytest.approx(0.25)
    assert math.isnan(float(reliability(torch.tensor([0.9]), torch.tensor([1]), bins=2).said[0]))


def test_an_empty_bin_does_not_count():
    probability, truth = torch.tensor([0.0, 1.0]), torch.tensor([0, 1])
    assert expected_calibration_error(probability, truth, bins=15) == 0


@pytest.mark.parametrize(
    ("probability", "truth", "said"),
    [
        (torch.tensor([0.5]), torch.tensor([0, 1]), "expected as many"),
        (torch.tensor([1.5]), torch.tensor([1]), r"in \[0, 1\]"),
        (torch.tensor([float("nan")]), torch.tensor([1]), r"in \[0, 1\]"),
        (torch.tensor([0.5]), torch.tensor([-1]), "0 or 1"),
    ],
)
def test_what_is_no_probability_is_refused(probability, truth, said):
    with pytest.raises(ShapeError, match=said):
        expected_calibration_error(probability, truth)


def test_what_chance_allows_is_the_error_of_true_probabilities():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(300, generator=generator, dtype=torch.float64)
    mean, high = expected_of_calibrated(probability)
    drawn = [
        expected_calibration_error(probability, (torch.rand(300, generator=generator) < probability).long())
        for _ in range(200)
    ]
    assert mean == pytest.approx(sum(drawn) / len(drawn), abs=0.004)
    assert 0.01 <= sum(error > high for error in drawn) / len(drawn) <= 0.11
    many, _ = expected_of_calibrated(probability.repeat(20))
    assert many < mean / 3  # the chance part shrinks with the rows


def made(slope, offset, rows=4000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, 1, generator=generator)
    chance = (slope * logits + offset).sigmoid()
    return logits, (torch.rand(rows, 1, generator=generator) < chance).long()


def test_platt_finds_the_sigmoid_that_made_the_answers():
    logits, truth = made(0.5, -1.0)
    platt = fit_platt(logits, truth)
    assert float(platt.slope) == pytest.approx(0.5, abs=0.05)
    assert float(platt.offset) == pytest.approx(-1.0, abs=0.1)
    before = expected_calibration_error(logits.sigmoid()[:, 0], truth[:, 0])
    fresh, answers = made(0.5, -1.0, seed=1)
    assert expected_calibration_error(platt(fresh)[:, 0], answers[:, 0]) < 0.03 < before


def test_platt_stands_at_the_minimum():
    logits, truth = made(1.5, 0.7, rows=200)
    platt = fit_platt(logits.double(), truth)
    yes, no = int((truth == 1).sum()), int((truth == 0).sum())
    wanted = torch.where(truth == 1, (yes + 1) / (yes + 2), 1 / (no + 2)).double()
    left = platt(logits.double()) - wanted
    assert float(left.mean().abs()) < 1e-6
    assert float((left * logits).mean().abs()) < 1e-6


def test_heads_do_not_see_one_another_and_unknown_rows_do_not_count():
    first, truth = made(0.5, -1.0, rows=300)
    second, other = made(2.0, 0.3, rows=300, seed=1)
    other[::3] = -1
    both = fit_platt(torch.cat((first, second), 1), torch.cat((truth, other), 1))
    alone = fit_platt(second[other[:, 0] >= 0], other[other[:, 0] >= 0])
    assert float(both.slope[1]) == pytest.approx(float(alone.slope), rel=1e-4)
    assert float(both.slope[0]) == pytest.approx(float(fit_platt(first, truth).slope), rel=1e-4)


def test_separated_rows_get_a_finite_slope_and_a_wrong_head_none():
    logits = torch.tensor([[-3.0], [-2.0], [2.0], [3.0]])
    truth = torch.tensor([[0], [0], [1], [1]])
    platt = fit_platt(logits, truth)
    assert 0 < float(platt.slope) < 10
    turned = fit_platt(-logits, truth)
    assert float(turned.slope) == 0
    assert turned(logits)[:, 0].tolist() == pytest.approx([0.5] * 4)
    still = fit_platt(torch.zeros(4, 1), truth)
    assert still(torch.zeros(1, 1)).item() == pytest.approx(0.5)


def test_a_head_without_answers_cannot_be_calibrated():
    with pytest.raises(ShapeError, match="cannot be calibrated"):
        fit_platt(torch.zeros(3, 1), torch.full((3, 1), -1))


def test_temperature_is_that_by_which_logits_are_too_large():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6000, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(3 * logits, labels) == pytest.approx(3.0, rel=0.05)
    unseen = torch.cat((3 * logits, torch.full((6000, 1), -torch.inf)), 1)
    assert fit_temperature(unseen, labels) == pytest.approx(3.0, rel=0.05)
