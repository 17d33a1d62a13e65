"""What can be read off features: areas against scikit-learn, verdicts on made data."""

import pytest
import torch

from counterpoint.errors import ShapeError
from counterpoint.evaluation.attribute_heads import Roles, divide_rows, fit_attributes
from counterpoint.evaluation.readability import Reading, read_attributes


def test_roles_are_apart_and_complete():
    roles = divide_rows(100, 41)
    every = torch.cat((roles.fit, roles.calibrate, roles.test))
    assert every.sort().values.tolist() == list(range(141))
    assert (len(roles.fit), len(roles.calibrate), len(roles.test)) == (100, 20, 21)
    alone = divide_rows(100, 3)
    every = torch.cat((alone.fit, alone.calibrate, alone.test))
    assert every.sort().values.tolist() == list(range(100))
    assert "has seen" in alone.said


def test_a_group_has_one_role():
    groups = torch.cat((torch.arange(100), 100 + torch.arange(60) // 7))
    roles = divide_rows(100, 60, groups=groups)
    assert not set(groups[roles.calibrate].tolist()) & set(groups[roles.test].tolist())
    assert len(roles.calibrate) + len(roles.test) == 60
    assert 24 <= len(roles.calibrate) <= 36
    alone = divide_rows(100, 0, groups=torch.arange(100) // 5)
    parts = [set((part // 5).tolist()) for part in (alone.fit, alone.calibrate, alone.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20


def made(rows=3000, classes=6, seed=0):
    """Embeddings that hold the class, pixels that hold it faintly, labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (rows,), generator=generator)
    centres = torch.eye(classes)[labels]
    learned = torch.cat((2 * centres, torch.zeros(rows, 4)), 1) + 0.5 * torch.randn(
        rows, classes + 4, generator=generator
    )
    pixels = 0.4 * centres + torch.randn(rows, classes, generator=generator)
    return learned, pixels, labels


def column(labels, chosen):
    return torch.isin(labels, torch.tensor(sorted(chosen))).long()


def test_an_attribute_is_readable_where_embeddings_hold_it_and_noise_is_not():
    learned, pixels, labels = made()
    generator = torch.Generator().manual_seed(1)
    noise = torch.randint(0, 2, (len(labels),), generator=generator)
    targets = torch.stack((column(labels, {0, 2, 4}), noise, column(labels, {1})), 1)
    members = (frozenset({0, 2, 4}), None, frozenset({1}))
    heads, found = read_attributes(
        ("even", "noise", "one"), learned, pixels, targets, divide_rows(2000, 1000), labels=labels, classes=6,
        members=members,
    )  # fmt: skip
    even, nothing, one = found
    assert even.readable
    assert even.why == ""
    assert even.auroc.value > 0.97 > even.pixels.value
    assert even.over_pixels.low > 0.1
    assert even.shuffled == pytest.approx(0.5, abs=0.05)
    assert even.error < 0.05
    assert even.curve.count.sum() == even.rows == 500
    assert abs(even.over_union.value) < 0.02  # as any union of three classes
    assert not nothing.readable
    assert "not above chance" in nothing.why
    assert nothing.union is None
    assert nothing.calibrated  # it knows that it knows nothing
    assert one.readable
    probability = heads(learned)
    assert float(((probability[:, 0] >= 0.5) == (targets[:, 0] == 1)).float().mean()) > 0.9
    assert Reading.from_json(even.to_json()).to_json() == even.to_json()


def test_embeddings_that_are_the_pixels_are_not_better_than_pixels():
    _, pixels, labels = made()
    targets = column(labels, {0, 2, 4})[:, None]
    _, (reading,) = read_attributes(("even",), pixels, pixels, targets, divide_rows(2000, 1000), draws=2)
    assert not reading.readable
    assert reading.why == "not better than raw pixels"
    assert reading.over_pixels.value == 0


def test_heads_do_not_see_one_another_whatever_is_unknown():
    learned, _, labels = made(600)
    roles = divide_rows(400, 200)
    full, part = column(labels, {0, 1}), column(labels, {3})
    part[::3] = -1
    both = fit_attributes(learned, torch.stack((full, part), 1), roles)
    for k, alone in enumerate((full, part)):
        one = fit_attributes(learned, alone[:, None], roles)
        assert both.c[k] == one.c[0]
        assert torch.allclose(both(learned)[:, k], one(learned)[:, 0], atol=2e-3)


def test_heads_are_those_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    learned, _, labels = made(400)
    truth = column(labels, {0, 3})
    roles = divide_rows(300, 100)
    heads = fit_attributes(learned, truth[:, None], roles, c=[0.1])
    x = learned[:300]
    mean, scale = x.mean(0), x.std(0, correction=0)
    peer = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(((x - mean) / scale).numpy(), truth[:300].numpy())
    theirs = torch.from_numpy(peer.decision_function(((learned - mean) / scale).numpy()))
    assert torch.allclose(heads.logits(learned)[:, 0].double(), theirs.double(), atol=5e-3)


def test_more_columns_than_rows_lie_in_the_span():
    learned, _, labels = made(60)
    wide = (
        torch.cat((learned, torch.zeros(60, 200)), 1)
        @ torch.linalg.qr(torch.randn(210, 210, generator=torch.Generator().manual_seed(0))).Q
    )
    targets = column(labels, {0, 1, 2})[:, None]
    heads = fit_attributes(wide, targets, divide_rows(40, 20), c=[1.0])
    assert heads.weight.shape == (1, 210)
    assert bool(heads(wide).isfinite().all())


def test_a_handful_is_calibrated_by_cross_validation_and_not_measured():
    learned, pixels, labels = made(300)
    targets = torch.full((300, 1), -1)
    targets[:12, 0] = column(labels[:12], {0, 1, 2})
    roles = divide_rows(200, 100)
    heads, (reading,) = read_attributes(("few",), learned, pixels, targets, roles)
    assert reading.few
    assert not reading.readable
    assert reading.why == "too few images to measure"
    assert reading.error is None
    assert bool(((heads(learned) > 0) & (heads(learned) < 1)).all())
    assert float(((heads(learned)[:, 0] > 0.5) == (column(labels, {0, 1, 2}) == 1)).float().mean()) > 0.75


def test_one_sided_targets_are_refused():
    learned, _, _ = made(50)
    roles = Roles(torch.arange(30), torch.arange(30, 40), torch.arange(40, 50), "")
    with pytest.raises(ShapeError, match="nothing to learn"):
        fit_attributes(learned, torch.ones(50, 1, dtype=torch.int64), roles)
