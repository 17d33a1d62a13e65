"""Super-class heads: every one as scikit-learn finds it alone, and the sanity checks of the study's specification."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from counterpoint.errors import ShapeError
from counterpoint.evaluation.linear_heads import Converged, Passes, fit_classes, fit_heads
from counterpoint.evaluation.super_class import (
    balanced_rows,
    dichotomies,
    every_subset,
    multi_class_error,
    random_subsets,
    subset_errors,
    super_class_errors,
)
from counterpoint.random import Streams


def clouds(classes: int = 5, rows: int = 300, width: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Classes that overlap, features of unlike size, one of them constant."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99)) * 0.9
    labels = torch.randint(classes, (rows,), generator=draw)
    x = (centres[labels] + torch.randn(rows, width, generator=draw)) * torch.logspace(-2, 2, width) + 3
    x[:, 4] = 7.0
    return x, labels


# ---------------------------------------------------------------- which super-classes


def test_every_subset_lists_each_once_with_class_0_as_the_highest_bit() -> None:
    members = every_subset(10)
    numbers = (members.long() * (2 ** torch.arange(9, -1, -1))[:, None]).sum(0)
    assert numbers.tolist() == list(range(1024))
    assert members[0].nonzero()[0].item() == 512


def test_511_dichotomies_are_distinct_and_no_two_complementary() -> None:
    members = dichotomies(10)
    seen = {tuple(column.tolist()) for column in members.T}
    seen |= {tuple((~column).tolist()) for column in members.T}
    assert members.shape == (10, 511)
    assert len(seen) == 1022
    assert not members[0].any()


def test_random_subsets_are_uniform_repeatable_and_of_the_stated_bit_order() -> None:
    members = random_subsets(47, 4000, seed=3)
    assert torch.equal(members, random_subsets(47, 4000, seed=3))
    assert not torch.equal(members, random_subsets(47, 4000, seed=4))
    assert ((members.double().mean(1) - 0.5).abs() < 0.04).all()
    drawn = Streams(3).at("super-classes", 47).integers(0, 2**47, 4000)
    assert members[:, 11].tolist() == [bit == "1" for bit in f"{int(drawn[11]):047b}"]


@pytest.mark.parametrize("ask", [lambda: every_subset(21), lambda: every_subset(0), lambda: random_subsets(63, 5)])
def test_sets_that_cannot_be_listed_or_numbered_are_refused(ask) -> None:
    with pytest.raises(ShapeError, match="classes"):
        ask()


@given(st.lists(st.integers(-1, 4), min_size=6, max_size=60).filter(lambda found: max(found) >= 0))
def test_balanced_rows_takes_as_many_of_each_class_as_the_rarest_has(found: list[int]) -> None:
    labels = torch.tensor(found)
    kept = balanced_rows(labels)
    sizes = torch.bincount(labels[labels >= 0])
    counts = torch.bincount(labels[kept], minlength=len(sizes))
    assert (counts[sizes > 0] == sizes[sizes > 0].min()).all()
    assert (kept.diff() > 0).all()


def test_balanced_rows_of_a_class_with_fewer_takes_all_of_it() -> None:
    labels = torch.tensor([0] * 9 + [1] * 2 + [2] * 5)
    assert torch.bincount(labels[balanced_rows(labels, each=4)]).tolist() == [4, 2, 4]


# ---------------------------------------------------------------- the checks that the specification asks for


@pytest.mark.parametrize("training", [Passes(batch_size=32), Converged()], ids=["passes", "converged"])
def test_one_hot_features_give_no_error_on_all_1024(training: Passes | Converged) -> None:
    labels = torch.arange(10).repeat(100)
    x = one_hot(labels, 10).float()
    found = super_class_errors(x, x, every_subset(10), labels, labels, training=training)
    assert found.error.max() == 0
    assert multi_class_error(x, x, labels, labels, training=training) == 0
    assert torch.equal(found.mcc == 0, found.trivial)


@pytest.mark.parametrize("training", [Passes(lr=0.01), Converged()], ids=["passes", "converged"])
def test_the_class_index_as_the_only_feature_separates_contiguous_sets_and_no_others(
    training: Passes | Converged,
) -> None:
    labels = torch.arange(10).repeat(200)
    x = labels[:, None].float()
    members = every_subset(10)
    found = super_class_errors(x, x, members, labels, labels, training=training)
    one_cut = members.int().diff(dim=0).abs().sum(0) <= 1  # on a line, a cut has all members on one side
    assert (found.error[~one_cut] >= 0.1 - 1e-9).all()
    if isinstance(training, Converged):
        assert found.error[one_cut].max() == 0


@pytest.mark.parametrize("training", [Passes(epochs=3), Converged()], ids=["passes", "converged"])
def test_a_set_and_its_complement_have_the_same_error(training: Passes | Converged) -> None:
    x, labels = clouds()
    seen, truth = clouds(seed=1)
    members = every_subset(5)
    found = super_class_errors(x, seen, members, labels, truth, training=training)
    for one, other in ((found.error, found.error.flip(0)), (found.balanced_error, found.balanced_error.flip(0))):
        assert torch.allclose(one, other, atol=1e-12)
    assert torch.allclose(found.mcc, found.mcc.flip(0), atol=1e-12)
    assert torch.allclose(found.share, 1 - found.share.flip(0))
    assert found.error[found.trivial].max() == 0
    assert found.better_than(1.0) == 1.0


# ---------------------------------------------------------------- against others


def test_converged_heads_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    x, labels = clouds()
    members = dichotomies(5)
    heads = fit_heads(x, labels, members, Converged(c=0.3, tolerance=1e-9))
    standard = ((x.double() - x.double().mean(0)) / heads.scale).numpy()
    logits = heads.logits(x)
    for column in range(members.shape[1]):
        theirs = LogisticRegression(C=0.3, tol=1e-9, max_iter=10_000).fit(standard, members[labels, column].numpy())
        assert np.allclose(theirs.coef_[0], heads.weight[:, column], atol=1e-5)
        assert np.allclose(theirs.intercept_, heads.bias[column], atol=1e-5)
        assert np.array_equal(theirs.predict(standard), (logits[:, column] > 0).numpy())
    assert heads.gradient.max() <= 1.1e-9


def test_single_precision_reaches_its_tolerance() -> None:
    x, labels = clouds(rows=45_000, width=96)
    heads = fit_heads(x, labels, dichotomies(5), Converged())
    assert heads.weight.dtype == torch.float32
    assert heads.gradient.max() <= 1.5e-5


def test_a_column_moves_as_the_difference_of_two_softmax_columns() -> None:
    x, labels = clouds()
    members = every_subset(5)[:, [5, 9, 12]]
    how = Passes(epochs=2, lr=0.02, batch_size=64)
    heads = fit_heads(x, labels, members, how, seed=4)
    rows = ((x.double() - x.double().mean(0)) / heads.scale).float()
    for column in range(3):
        layer = torch.nn.Linear(12, 2)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.02)
        for epoch in range(2):
            for part in Streams(4).at("order", epoch).permutation(len(x)).split(64):
                optimiser.zero_grad()
                cross_entropy(layer(rows[part]), members[labels[part], column].long()).backward()
                optimiser.step()
        ours, theirs = heads.weight[:, column], (layer.weight[1] - layer.weight[0]).detach()
        assert torch.allclose(ours, theirs, atol=2e-4)
        assert torch.allclose(heads.bias[column], (layer.bias[1] - layer.bias[0]).detach(), atol=2e-4)


def test_heads_do_not_depend_on_which_others_are_trained_beside_them() -> None:
    x, labels = clouds()
    members = every_subset(5)
    for how in (Passes(epochs=2), Converged(tolerance=1e-9)):
        together, alone = fit_heads(x, labels, members, how), fit_heads(x, labels, members[:, 6:7], how)
        assert torch.allclose(together.weight[:, 6], alone.weight[:, 0], atol=1e-6)


def test_scores_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, log_loss, matthews_corrcoef

    x, labels = clouds()
    seen, truth = clouds(seed=1)
    members = dichotomies(5)
    heads = fit_heads(x, labels, members, Passes(epochs=2))
    found = subset_errors(heads, seen, truth, members)
    for column in range(members.shape[1]):
        right, said = members[truth, column].numpy(), (heads.logits(seen)[:, column] > 0).numpy()
        assert float(found.error[column]) == pytest.approx((right != said).mean())
        assert float(found.balanced_error[column]) == pytest.approx(1 - balanced_accuracy_score(right, said))
        assert float(found.mcc[column]) == pytest.approx(matthews_corrcoef(right, said))
        share = heads.logits(x)[:, column].sigmoid().numpy()
        assert float(found.loss[column]) == pytest.approx(log_loss(members[labels, column].numpy(), share), rel=1e-4)


def test_a_few_passes_over_all_classes_are_those_of_a_softmax_layer() -> None:
    x, labels = clouds()
    heads = fit_classes(x, labels, 5, Passes(epochs=2, lr=0.02, batch_size=64), seed=4)
    rows = ((x.double() - x.double().mean(0)) / heads.scale).float()
    layer = torch.nn.Linear(12, 5)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.02)
    for epoch in range(2):
        for part in Streams(4).at("order", epoch).permutation(len(x)).split(64):
            optimiser.zero_grad()
            cross_entropy(layer(rows[part]), labels[part]).backward()
            optimiser.step()
    assert torch.allclose(heads.weight, layer.weight.T, atol=2e-4)
    assert float(heads.loss[0]) == pytest.approx(float(cross_entropy(layer(rows), labels).detach()), rel=1e-3)


# ---------------------------------------------------------------- odd input


def test_a_class_without_rows_changes_nothing() -> None:
    x, labels = clouds()
    members = every_subset(6)
    found = super_class_errors(x, x, members, labels, labels, training=Converged())
    assert torch.equal(found.error[::2], found.error[1::2])  # with and without class 5, which no row has


def test_features_that_do_not_vary_leave_the_commoner_answer() -> None:
    labels = torch.tensor([0] * 30 + [1] * 10)
    x = torch.ones(40, 3)
    found = super_class_errors(x, x, every_subset(2), labels, labels, training=Converged())
    assert found.error.tolist() == [0.0, 0.25, 0.25, 0.0]
    assert found.balanced_error.tolist() == [0.0, 0.5, 0.5, 0.0]


def test_few_rows_of_many_features_are_separated() -> None:
    x = torch.randn(20, 60, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    found = super_class_errors(x, x, dichotomies(4), labels, labels, training=Converged())
    assert found.error.max() == 0
    assert found.gradient.max() <= 1e-5


def test_the_callers_generator_is_left_alone(untouched_generator: None) -> None:
    x, labels = clouds()
    fit_heads(x, labels, random_subsets(5, 7), Passes(epochs=1))


def test_what_does_not_fit_is_said() -> None:
    x, labels = clouds()
    with pytest.raises(ShapeError, match=r"expected classes in \[0, 3\)"):
        fit_heads(x, labels, every_subset(3), Passes())
    with pytest.raises(ShapeError, match="both must come from one encoder"):
        super_class_errors(x, x[:, :4], every_subset(5), labels, labels)
    with pytest.raises(ShapeError, match="above 0"):
        Converged(c=0.0)
    with pytest.raises(ShapeError, match="1 or more"):
        Passes(epochs=0)
