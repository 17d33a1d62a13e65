import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation import knn_accuracy, knn_predict
from counterpoint.types import Embeddings


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(n, count=4, seed=0):
    return torch.randint(0, count, (n,), generator=torch.Generator().manual_seed(seed))


def knn_slow(train, labels, test, k, temperature, weights):
    out = []
    for query in test:
        scored = []
        for row, label in zip(train, labels, strict=True):
            cosine = float(query @ row) / math.sqrt(float(query @ query) * float(row @ row))
            scored.append((cosine, int(label)))
        votes = defaultdict(float)
        for cosine, label in sorted(scored, reverse=True)[:k]:
            votes[label] += math.exp(cosine / temperature) if weights == "softmax" else 1.0
        most = max(votes.values())
        out.append(min(label for label, vote in votes.items() if vote >= most - 1e-12))
    return torch.tensor(out)


@pytest.mark.parametrize("weights", ["softmax", "uniform"])
@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (5, 0.1), (7, 1.0), (500, 0.07)])
def test_equals_a_slow_loop(k, temperature, weights):
    train, labels, test = rows(60), classes(60), rows(25, seed=1)
    fast = knn_predict(train, test, labels, k=k, temperature=temperature, weights=weights)
    assert fast.tolist() == knn_slow(train, labels, test, k, temperature, weights).tolist()


def test_train_is_its_own_nearest_neighbour():
    train, labels = rows(80), classes(80)
    assert knn_accuracy(train, train, labels, labels, k=1) == 1.0


def test_limits_of_the_temperature():
    train, labels, test = rows(50), classes(50), rows(20, seed=2)
    vote = knn_predict(train, test, labels, k=9, weights="uniform")
    assert torch.equal(knn_predict(train, test, labels, k=9, temperature=1e12), vote)
    nearest = knn_predict(train, test, labels, k=1)
    assert torch.equal(knn_predict(train, test, labels, k=9, temperature=1e-9), nearest)
    assert not torch.equal(vote, nearest)


def test_ties_go_to_the_lowest_class():
    train = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    assert knn_predict(train, torch.tensor([[1.0, 0.0]]), torch.tensor([3, 1]), k=2).tolist() == [1]


@given(st.integers(1, 4000))
def test_the_block_size_changes_nothing(cells):
    train, labels, test = rows(60), classes(60), rows(25, seed=1)
    whole = knn_predict(train, test, labels, k=5)
    assert torch.equal(knn_predict(train, test, labels, k=5, cells=cells), whole)


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_rotation_and_scale_change_nothing(seed, scale):
    train, labels, test = rows(60), classes(60), rows(25, seed=1)
    turn = torch.linalg.qr(rows(6, seed=seed)).Q
    turned = knn_predict(train @ turn * scale, test @ turn, labels, k=5)
    assert torch.equal(turned, knn_predict(train, test, labels, k=5))


def test_unknown_labels_are_left_out():
    train, labels, test = rows(60), classes(60), rows(25, seed=1)
    hidden = labels.clone()
    hidden[::3] = -1
    kept = hidden >= 0
    left_out = knn_predict(train[kept], test, labels[kept], k=5)
    assert torch.equal(knn_predict(train, test, hidden, k=5), left_out)
    embeddings = Embeddings(train.float(), torch.arange(60), labels=hidden)
    assert torch.equal(knn_predict(embeddings, test, k=5), left_out)


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="train rows have no labels"):
        knn_predict(rows(5), rows(5))
    with pytest.raises(ShapeError, match="width 6, test rows 4"):
        knn_predict(rows(5), rows(5, 4), classes(5))
    with pytest.raises(ShapeError, match="4 labels arrived for 5 train rows"):
        knn_predict(rows(5), rows(5), classes(4))
    with pytest.raises(ShapeError, match="none of the 5 train rows"):
        knn_predict(rows(5), rows(5), classes(5) * 0 - 1)
    with pytest.raises(ShapeError, match="k=0"):
        knn_predict(rows(5), rows(5), classes(5), k=0)
