"""Ridge regression beside scikit-learn's, and where the answer is known."""

import pytest
import torch
from sklearn.linear_model import Ridge as Theirs
from sklearn.metrics import r2_score

from counterpoint.errors import ShapeError
from counterpoint.evaluation.ridge import PENALTIES, fit_ridge, r_squared
from counterpoint.random import Stream


def made(rows=300, width=12, numbers=3, noise=0.5, seed=0):
    stream = Stream(seed)
    x = stream.normal(rows, width) * torch.linspace(0.1, 5, width) + 3
    y = x @ stream.normal(width, numbers) + noise * stream.normal(rows, numbers) - 1
    return x, y


def test_it_is_scikit_learns_at_the_chosen_penalty():
    x, y = made()
    ours = fit_ridge(x, y)
    standard = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    for column in range(y.shape[1]):
        theirs = Theirs(alpha=float(ours.penalty[column]) * len(x)).fit(standard, y[:, column].double().numpy())
        torch.testing.assert_close(ours.weight[:, column], torch.from_numpy(theirs.coef_), atol=1e-6, rtol=1e-6)
        assert float(ours.bias[column]) == pytest.approx(float(theirs.intercept_), abs=1e-6)


def test_what_is_linear_is_read_and_noise_is_not():
    x, y = made(rows=600, noise=0.0)
    noise = Stream(1).normal(600, 1)
    ridge = fit_ridge(x[:400], torch.cat((y, noise), 1)[:400])
    read = ridge.read(x[400:])
    assert r_squared(read[:, :3], y[400:]) > 0.9999
    assert abs(r_squared(read[:, 3:], noise[400:])) < 0.1
    assert ridge.penalty[3] > ridge.penalty[0]
    assert set(ridge.penalty.tolist()) <= set(PENALTIES)


def test_features_that_do_not_vary_have_no_say():
    """Also where they begin to vary in the test rows, and where there are more of them than rows."""
    x, y = made()
    still = torch.cat((x, torch.full((len(x), 500), 7.0)), 1)
    ridge, plain = fit_ridge(still, y), fit_ridge(x, y)
    moved = still.clone()
    moved[:, 12:] += 100
    torch.testing.assert_close(ridge.read(moved), plain.read(x), atol=1e-6, rtol=0)


def test_units_of_features_do_not_matter():
    x, y = made()
    scaled = x * torch.logspace(-3, 3, x.shape[1]) + 10
    torch.testing.assert_close(fit_ridge(scaled, y).read(scaled), fit_ridge(x, y).read(x), atol=1e-3, rtol=0)


def test_share_of_variance():
    _, y = made()
    read = y + 0.3 * Stream(5).normal(*y.shape)
    for column in range(3):
        expected = r2_score(y[:, column].numpy(), read[:, column].numpy())
        assert r_squared(read[:, column : column + 1], y[:, column : column + 1]) == pytest.approx(expected, abs=1e-6)
    constant = torch.ones(10, 1)
    assert r_squared(constant, constant) != r_squared(constant, constant)  # nan
    # A vector's coordinates share one sum: half of the variance is read where one of two equal ones is.
    circle = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    assert r_squared(circle * torch.tensor([1.0, 0.0]), circle) == 0.5
    assert r_squared(torch.zeros(4, 1), torch.ones(4, 1), torch.zeros(1)) == 0.0


def test_too_few_rows_are_a_sentence():
    with pytest.raises(ShapeError, match="at least 10"):
        fit_ridge(torch.zeros(9, 2), torch.zeros(9, 1))
