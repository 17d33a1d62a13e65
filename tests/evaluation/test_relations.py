"""Pairs, retrieval, clusters, maps: what rows say of one another."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, roc_auc_score, roc_curve

from counterpoint.errors import MissingExtra, ShapeError
from counterpoint.evaluation import cluster_agreement, embedding_map, overlap, retrieval, verification
from counterpoint.evaluation.clusters import agreement
from counterpoint.evaluation.pairs import sample_pairs, separation
from counterpoint.random import Streams


def rows(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grouped(n=120, count=4, spread=1.0, seed=0):
    labels = torch.arange(n) % count
    return rows(count, seed=7)[labels] + spread * rows(n, seed=seed), labels


def test_overlap_closed_forms():
    x = rows(500, 1)[:, 0].tanh()
    assert overlap(x, x) == pytest.approx(1)
    assert overlap(torch.full((5,), -0.5), torch.full((9,), 0.5)) == 0
    grid = torch.special.ndtri((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000) * 0.1
    assert overlap(grid - 0.1, grid + 0.1) == pytest.approx(0.3173, abs=1e-3)


def test_all_pairs_of_few_rows():
    x, labels = grouped(40)
    found = sample_pairs(x, labels, stream=Streams(0).at("pairs"))
    assert found is not None
    assert found.every
    assert len(found.same) == 40 * 39 // 2
    assert int(found.same.sum()) == 4 * (10 * 9 // 2)


def test_sampled_pairs_are_of_their_kind_and_uniform():
    x = torch.cat((rows(30), rows(10, seed=1), rows(1, seed=2)))
    labels = torch.tensor([5] * 30 + [2] * 10 + [9])[torch.randperm(41, generator=torch.Generator().manual_seed(0))]
    found = sample_pairs(x, labels, pairs=300, stream=Streams(0).at("pairs"))
    assert found is not None
    assert not found.every
    assert found.same.tolist() == [True] * 300 + [False] * 300
    assert (found.first != found.second).all()
    assert torch.equal(labels[found.first] == labels[found.second], found.same)
    expected = torch.cosine_similarity(x[found.first], x[found.second])
    assert torch.allclose(found.similarity, expected)
    share = (labels[found.first[:300]] == 5).double().mean()
    assert float(share) == pytest.approx(30 * 29 / (30 * 29 + 10 * 9), abs=0.05)
    assert (labels[found.first[300:]] == 9).any()


def test_verification_equals_scikit_learn():
    x, labels = grouped(60)
    found = verification(x, labels)
    pairs = sample_pairs(x, labels, stream=Streams(0).at("pairs"))
    assert pairs is not None
    same, similarity = pairs.same.numpy(), pairs.similarity.numpy()
    assert found.auroc == pytest.approx(roc_auc_score(same, similarity))
    fpr, tpr, _ = roc_curve(same, similarity, drop_intermediate=False)
    gap = abs(fpr + tpr - 1)
    assert found.equal_error_rate == pytest.approx(fpr[gap.argmin()], abs=0.01)
    accepted = pairs.similarity >= found.threshold
    assert float(accepted[~pairs.same].double().mean()) == pytest.approx(found.equal_error_rate, abs=0.01)
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert len(found.fpr) <= 203
    assert (found.fpr.diff() >= 0).all()
    assert torch.trapezoid(found.tpr, found.fpr) == pytest.approx(found.auroc, abs=0.01)


def test_collapsed_rows_are_at_chance():
    found = verification(torch.ones(20, 3), torch.arange(20) % 2)
    assert found.auroc == pytest.approx(0.5)
    assert found.equal_error_rate == pytest.approx(0.5)


def test_separation_agrees_with_its_parts_and_brackets_them():
    x, labels = grouped(90)
    pairs = sample_pairs(x, labels, stream=Streams(0).at("pairs"))
    assert pairs is not None
    found = separation(pairs, 90, draws=100)
    intra, inter = pairs.similarity[pairs.same], pairs.similarity[~pairs.same]
    assert found.overlap.value == pytest.approx(overlap(intra, inter))
    assert found.auroc.value == pytest.approx(verification(x, labels).auroc)
    gap = (intra.mean() - inter.mean()) / ((intra.var(correction=0) + inter.var(correction=0)) / 2).sqrt()
    assert found.d_prime.value == pytest.approx(float(gap))
    for estimate in (found.overlap, found.auroc, found.equal_error_rate, found.d_prime):
        assert estimate.low < estimate.high
        assert estimate.low - 0.05 <= estimate.value <= estimate.high + 0.05
    assert float(found.intra.sum()) == pytest.approx(1)
    assert len(found.edges) == len(found.inter) + 1 == 201


def retrieval_slow(x, labels):
    hits, precision, reciprocal = {1: [], 5: [], 10: []}, [], []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        relevant = sum(int(labels[j] == labels[i]) for j in others)
        if relevant == 0:
            continue
        others.sort(key=lambda j: -float(torch.cosine_similarity(x[i], x[j], dim=0)))
        right = [int(labels[j] == labels[i]) for j in others]
        for k, found in hits.items():
            found.append(max(right[:k]))
        precision.append(sum(sum(right[: k + 1]) / (k + 1) * right[k] for k in range(relevant)) / relevant)
        reciprocal.append(1 / (right.index(1) + 1))
    return (
        {k: sum(v) / len(v) for k, v in hits.items()},
        sum(precision) / len(precision),
        sum(reciprocal) / len(reciprocal),
    )


@pytest.mark.parametrize("labels", [torch.arange(45) % 4, torch.arange(45) % 20, torch.tensor([0] * 43 + [1, 2])])
def test_retrieval_equals_a_slow_loop(labels):
    x = rows(45)
    found = retrieval(x, labels)
    recall, precision, reciprocal = retrieval_slow(x, labels)
    assert found.recall_at == pytest.approx(recall)
    assert found.map_at_r == pytest.approx(precision)
    assert found.mrr == pytest.approx(reciprocal)


@given(st.integers(1, 3000), st.integers(0, 100))
def test_block_size_and_rotation_change_no_retrieval(cells, seed):
    x, labels = rows(45), torch.arange(45) % 20
    whole = retrieval(x, labels)
    part = retrieval(x @ torch.linalg.qr(rows(6, seed=seed)).Q * 3, labels, cells=cells)
    assert torch.equal(whole.reciprocal_rank, part.reciprocal_rank)
    assert torch.allclose(whole.average_precision, part.average_precision)


def test_agreement_equals_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, k, (200,), generator=generator) for k in (3, 5))
    other[:120] = one[:120]
    table = torch.bincount(one * 5 + other, minlength=15).view(1, 3, 5).double()
    nmi, ari = agreement(table)
    assert float(nmi) == pytest.approx(normalized_mutual_info_score(other, one))
    assert float(ari) == pytest.approx(adjusted_rand_score(other, one))


def test_clear_clusters_are_found():
    x, labels = grouped(spread=0.01)
    found = cluster_agreement(x, labels)
    assert found.clusters == 4
    assert found.nmi.value == pytest.approx(1)
    assert found.ari.value == pytest.approx(1)
    vague = cluster_agreement(*grouped(spread=2.0))
    assert vague.nmi.low <= vague.nmi.high < 1
    assert vague == vague
    again = cluster_agreement(*grouped(spread=2.0))
    assert torch.equal(vague.cluster, again.cluster)
    assert vague.ari == again.ari


def test_clusters_of_a_collapsed_representation_do_not_crash():
    found = cluster_agreement(torch.ones(20, 3), torch.arange(20) % 2)
    assert found.nmi.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("width", [1, 6, 80])
@pytest.mark.parametrize("n", [2, 5, 40])
def test_maps_of_any_shape(n, width):
    for method in ("tsne", "pca"):
        found = embedding_map(rows(n, width), method=method)
        assert found.xy.shape == (n, 2)
        assert found.xy.isfinite().all()


def test_map_is_reproducible_and_keeps_groups_together():
    x, labels = grouped(spread=0.05)
    found = embedding_map(x, rows=60, seed=3)
    assert "t-SNE of 60 rows" in found.method
    assert torch.equal(found.xy, embedding_map(x, rows=60, seed=3).xy)
    assert len(found.row.unique()) == 60
    distance = torch.cdist(found.xy, found.xy).fill_diagonal_(math.inf)
    assert (labels[found.row][distance.argmin(1)] == labels[found.row]).double().mean() > 0.95


def test_pca_map_is_the_best_plane():
    x = rows(50, 8)
    unit = x / x.norm(dim=1, keepdim=True)
    found = embedding_map(x, method="pca")
    singular = torch.linalg.svdvals(unit - unit.mean(0))
    assert torch.allclose(found.xy.double().norm(dim=0), singular[:2], atol=1e-5)


def test_missing_umap_is_a_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"counterpoint\[umap\]"):
        embedding_map(rows(20), method="umap")


def test_errors_are_sentences():
    with pytest.raises(ShapeError, match="every class has one"):
        retrieval(rows(4), torch.arange(4))
    with pytest.raises(ShapeError, match="two classes"):
        verification(rows(4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ShapeError, match="some of both"):
        overlap(torch.zeros(0), torch.zeros(3))
    with pytest.raises(ShapeError, match="at least 2 rows"):
        embedding_map(rows(1))
