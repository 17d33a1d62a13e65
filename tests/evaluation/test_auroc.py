"""The area under the ROC curve, against scikit-learn and against other test sets."""

import math

import pytest
import torch

from counterpoint.evaluation.auroc import auroc, auroc_influence
from counterpoint.evaluation.pairs import sample_pairs, separation, verification
from counterpoint.random import Streams


def test_area_is_that_of_scikit_learn_ties_included():
    from sklearn.metrics import roc_auc_score

    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 12, (200,), generator=generator).float()
    truth = torch.rand(200, generator=generator) < 0.3
    assert auroc(scores, truth) == auroc_influence(scores, truth)[0]
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth.numpy(), scores.numpy()), abs=1e-12)


def test_influence_gives_the_spread_over_other_test_sets():
    generator = torch.Generator().manual_seed(0)

    def drawn():
        truth = torch.rand(400, generator=generator) < 0.4
        return truth.float() + torch.randn(400, generator=generator), truth

    areas, variances, means = [], [], []
    for _ in range(300):
        area, influence = auroc_influence(*drawn())
        areas.append(area)
        means.append(float(influence.mean()))
        variances.append(float(influence.square().sum()) / len(influence) ** 2)
    spread = float(torch.tensor(areas).var())
    assert sum(variances) / len(variances) == pytest.approx(spread, rel=0.2)
    assert max(map(abs, means)) < 1e-9


def test_one_sided_truth_has_no_area():
    scores = torch.tensor([0.1, 0.2])
    assert math.isnan(auroc(scores, torch.tensor([True, True])))
    assert math.isnan(auroc(scores, torch.tensor([False, False])))


def test_the_curve_of_pairs_has_the_same_area():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 3, generator=generator).round()  # equal pairs among them
    labels = torch.arange(60) % 4
    pairs = sample_pairs(rows, labels, stream=Streams(0).at("pairs"))
    assert pairs is not None
    area = auroc(pairs.similarity, pairs.same)
    assert verification(rows, labels).auroc == pytest.approx(area, abs=1e-12)
    assert separation(pairs, 60, draws=10).auroc.value == pytest.approx(area, abs=1e-12)
