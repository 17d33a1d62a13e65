import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from counterpoint.errors import ShapeError
from counterpoint.evaluation import few_label, linear_probe
from counterpoint.evaluation.probe import fit_logistic


def digits():
    x, y = load_digits(return_X_y=True)
    return torch.as_tensor(x / 16), torch.as_tensor(y).long()


def oracle(x, y, c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=c, solver="newton-cg", tol=1e-9, max_iter=2_000).fit(x, y)


@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("n", [30, 600])
def test_solution_is_that_of_scikit_learn(n, c):
    x, y = digits()
    x, y = x[:n], y[:n]
    scaled = StandardScaler().fit_transform(x.numpy())
    expected = oracle(scaled, y.numpy(), c)
    weight, bias = fit_logistic(torch.as_tensor(scaled), y, 10, c=c)
    assert np.allclose(weight, expected.coef_, atol=1e-5)
    assert np.allclose(bias, expected.intercept_ - expected.intercept_.mean(), atol=1e-5)


def test_probe_is_scaler_and_regression():
    x, y = digits()
    probe = linear_probe(x[:500], x[500:700], y[:500], y[500:700], c=0.1)
    scaler = StandardScaler().fit(x[:500].numpy())
    expected = oracle(scaler.transform(x[:500].numpy()), y[:500].numpy(), 0.1)
    seen = scaler.transform(x[500:700].numpy())
    share = torch.as_tensor(expected.predict_proba(seen))
    assert torch.allclose(probe.logits.softmax(1), share, atol=5e-5)
    assert probe.accuracy == expected.score(seen, y[500:700].numpy())


def test_single_precision_reaches_the_same_minimum():
    x, y = digits()
    x = (x - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-3)
    exact, _ = fit_logistic(x[:800], y[:800], 10, c=0.01)
    coarse, _ = fit_logistic(x[:800].float(), y[:800], 10, c=0.01)
    assert torch.allclose(coarse.double(), exact, atol=1e-4)


def test_start_and_span_change_the_road_only():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 90, generator=generator, dtype=torch.float64), torch.arange(40) % 3
    weight, bias = fit_logistic(x, y, 3, c=0.1)
    expected = oracle(x.numpy(), y.numpy(), 0.1)
    assert np.allclose(weight, expected.coef_, atol=1e-6)
    start = (torch.randn(3, 90, generator=generator, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    again, level = fit_logistic(x, y, 3, c=0.1, start=start)
    assert torch.allclose(weight, again, atol=1e-6)
    assert torch.allclose(bias, level, atol=1e-6)


def test_c_is_chosen_on_train_rows_alone():
    x, y = digits()
    probe = linear_probe(x[:1000], x[1000:1300], y[:1000], y[1000:1300])
    shuffled = linear_probe(x[:1000], x[1000:1300], y[:1000], y[1000:1300].flip(0))
    assert probe.c == shuffled.c
    assert torch.equal(probe.prediction, shuffled.prediction)
    assert probe.accuracy > 0.9
    assert 1e-4 < probe.c < 1e3


def test_noise_asks_for_a_strong_penalty():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 60, generator=generator, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(400, generator=generator) > 0).long()
    assert linear_probe(x, x, y, y).c <= 0.1


def test_rotation_and_scale_of_isotropic_features_change_nothing():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 12, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (300,), generator=generator)
    moved = x * torch.rand(12, generator=generator, dtype=torch.float64).add(0.1) + 5
    plain, other = linear_probe(x, x, y, y, c=0.3), linear_probe(moved, moved, y, y, c=0.3)
    assert torch.allclose(plain.logits, other.logits, atol=1e-6)
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64)).Q
    weight, _ = fit_logistic(x, y, 3, c=0.3)
    turned, _ = fit_logistic(x @ turn, y, 3, c=0.3)
    assert torch.allclose(weight @ turn, turned, atol=1e-6)


def test_a_class_without_train_rows_is_never_predicted():
    x, y = digits()
    seen = (y[:800] != 3).nonzero()[:, 0]
    probe = linear_probe(x[:800][seen], x[800:1000], y[:800][seen], y[800:1000], c=0.1)
    assert not (probe.prediction == 3).any()
    assert probe.bias[3] == -torch.inf
    assert probe.logits[:, [0, 1, 2, 4, 5, 6, 7, 8, 9]].isfinite().all()


def test_one_class_is_always_right():
    x, _ = digits()
    y = torch.full((30,), 2)
    assert linear_probe(x[:30], x[:30], y, y).accuracy == 1.0


def test_few_labels_are_balanced_reproducible_and_better_when_more():
    x, y = digits()
    found = few_label(x[:1400], x[1400:], y[:1400], y[1400:], draws=4, seed=3)
    settings = ["1 per class", "5 per class", "10 per class", "1% of the labels", "10% of the labels"]
    assert [f.setting for f in found] == settings
    assert [f.rows for f in found] == [10, 50, 100, 10, 140]
    assert found[0].mean < found[1].mean < found[2].mean
    assert found[0].mean > 0.4
    assert all(f.low <= f.mean <= f.high and f.draws == 4 for f in found)
    assert found == few_label(x[:1400], x[1400:], y[:1400], y[1400:], draws=4, seed=3)
    assert found != few_label(x[:1400], x[1400:], y[:1400], y[1400:], draws=4, seed=4)


def test_impossible_few_label_settings_are_left_out():
    x, y = digits()
    found = few_label(x[:80], x[80:110], y[:80], y[80:110], draws=2)
    assert 5 <= int(y[:80].bincount().min()) < 10
    assert [f.setting for f in found] == ["1 per class", "5 per class"]


def test_errors_are_sentences():
    x, y = digits()
    with pytest.raises(ShapeError, match="C=0"):
        linear_probe(x[:50], x[:50], y[:50], y[:50], c=0.0)
    with pytest.raises(ShapeError, match="width 64, test rows 10"):
        linear_probe(x[:50], x[:50, :10], y[:50], y[:50])
