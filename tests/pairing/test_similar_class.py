"""X-CLR: soft targets of a graph of classes, against loops, closed forms and its neighbours."""

import math

import numpy as np
import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast, contrast, contrast_dense, nt_xent
from counterpoint.pairing import SameClass, SameSample, SimilarClass, similarities
from counterpoint.random import Streams
from counterpoint.recipe import compose
from counterpoint.relations import Graph, Summed
from counterpoint.scores import Cosine
from counterpoint.types import Batch, Clock, Columns, Context, Encoded, Facts, Match, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))
ALIKE = torch.tensor([[1.0, 0.7, -0.2], [0.7, 1.0, 0.1], [-0.2, 0.1, 1.0]])


def encoded(labels, seed=0, width=4):
    n = len(labels)
    images = torch.zeros(n, 1, 2, 2, dtype=torch.uint8)
    rows = Rows.of(Batch(images, torch.arange(n), torch.arange(n), torch.tensor(labels)), 2)
    z = torch.randn(2 * n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Encoded(z, z.requires_grad_(), rows)


def loss_of(pairing, rows, temperature=0.3):
    return Contrast(temperature)(InBatch().match(rows, rows, pairing, Cosine(), None, CONTEXT))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "alike.csv"
    np.savetxt(path, ALIKE.numpy(), delimiter=",")
    return str(path)


def slow(z, labels, alike, temperature, graph_temperature):
    """The mean over rows of the cross-entropy between two softmaxes without the diagonal, in plain loops."""
    z = torch.nn.functional.normalize(z.detach(), dim=1).tolist()
    total = count = 0.0
    for i, mine in enumerate(labels):
        if mine < 0:
            continue
        count += 1
        others = [j for j in range(len(labels)) if j != i]
        score = {j: sum(a * b for a, b in zip(z[i], z[j], strict=True)) / temperature for j in others}
        log_sum = math.log(sum(math.exp(s) for s in score.values()))
        weight = {j: math.exp(alike[mine][labels[j]] / graph_temperature) for j in others if labels[j] >= 0}
        total += sum(w * (log_sum - score[j]) for j, w in weight.items()) / sum(weight.values())
    return total / count


# ---------------------------------------------------------------- loops and closed forms


@pytest.mark.parametrize("graph_temperature", [0.1, 0.5, 3.0])
def test_it_is_two_softmaxes_in_loops(table, graph_temperature):
    labels = [0, 1, 2, -1, 1]
    rows = encoded(labels)
    pairing = SimilarClass(3, table, graph_temperature)
    found = loss_of(pairing, rows)
    expected = slow(rows.z, labels * 2, ALIKE.tolist(), 0.3, graph_temperature)
    assert found.total.item() == pytest.approx(expected, rel=1e-6)
    assert found.anchors == 8
    whole = contrast_dense(
        Match(rows.z, (Columns(rows.z, pairing.relation(rows.rows, rows.rows), Cosine()),)), temperature=0.3
    )
    assert found.total.item() == pytest.approx(whole.item(), rel=1e-6)


def test_the_graph_is_summed_and_no_block_is_read(table):
    rows = encoded([0, 1, 2])
    relation = SimilarClass(3, table).relation(rows.rows, rows.rows)
    assert isinstance(relation, Summed)
    assert relation.excluded(6, 6) is not None


def test_equal_rows_cost_log_of_the_others_whatever_the_graph(table):
    rows = encoded([0, 1, 2, 0])
    same = Encoded(rows.h, torch.ones_like(rows.z), rows.rows)
    for temperature in (0.05, 1.0):
        assert loss_of(SimilarClass(3, table, temperature), same).total.item() == pytest.approx(math.log(7), rel=1e-6)


def test_the_loss_is_at_least_the_entropy_of_its_targets(table):
    rows = encoded([0, 1, 2, 0])
    pairing = SimilarClass(3, table)
    target = pairing.relation(rows.rows, rows.rows).block(slice(0, 8), slice(0, 8)).target.double()
    share = target / target.sum(1, keepdim=True)
    entropy = -(share * share.clamp_min(1e-300).log()).sum(1).mean()
    assert loss_of(pairing, rows).total > entropy


# ---------------------------------------------------------------- neighbours


def test_cold_it_is_supcon(table):
    rows = encoded([0, 1, 2, 0, -1])
    supcon = loss_of(SameClass(), rows).total
    for similarity in (None, table):
        torch.testing.assert_close(loss_of(SimilarClass(3, similarity, 1e-3), rows).total, supcon)
    warm = loss_of(SimilarClass(3, table, 0.5), rows).total
    assert abs(warm - supcon) > 1e-2


def test_cold_with_a_class_for_each_image_it_is_nt_xent():
    rows = encoded([0, 1, 2, 3])
    torch.testing.assert_close(loss_of(SimilarClass(4, None, 1e-3), rows).total, nt_xent(rows.z, temperature=0.3))
    # One-hot over images, whatever their classes.
    key, own = rows.rows.sample, torch.arange(8)
    hot = Match(rows.z, (Columns(rows.z, Graph(torch.eye(4), key, key, own, own), Cosine()),))
    torch.testing.assert_close(contrast(hot, temperature=0.3), loss_of(SameSample(), rows).total)


def test_hot_all_others_attract_alike(table):
    rows = encoded([0, 1, 2, 0])
    score = torch.nn.functional.normalize(rows.z, dim=1)
    logit = (score @ score.mT / 0.3).masked_fill(torch.eye(8, dtype=torch.bool), -torch.inf)
    even = -(logit.log_softmax(1).masked_fill(torch.eye(8, dtype=torch.bool), 0.0)).sum(1).mean() / 7
    torch.testing.assert_close(loss_of(SimilarClass(3, table, 1e9), rows).total, even)


# ---------------------------------------------------------------- properties


def test_gradcheck_and_nobody_pulls_an_unknown_row(table):
    rows = encoded([0, 1, 2, 1])
    pairing = SimilarClass(3, table, 0.5)
    objective = lambda z: loss_of(pairing, Encoded(z, z, rows.rows)).total  # noqa: E731
    assert torch.autograd.gradcheck(objective, (rows.z,))
    # Alone among rows of unknown class, nobody has a positive.
    unknown = loss_of(pairing, encoded([-1, -1]))
    assert unknown.anchors == 0
    assert unknown.total.item() == 0


def test_order_and_axes_do_not_matter(table):
    labels = torch.tensor([0, 1, 2, -1, 1])
    one, other = encoded(labels.tolist()), encoded(labels.tolist())
    order = torch.tensor([3, 1, 4, 0, 2])
    both = torch.cat([order, order + 5])
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    moved = Encoded(other.h, (5 * one.z @ turn)[both], other.rows.where(both))
    pairing = SimilarClass(3, table)
    torch.testing.assert_close(loss_of(pairing, moved).total, loss_of(pairing, one).total)


# ---------------------------------------------------------------- files


def test_vectors_are_compared_by_their_cosine(tmp_path):
    vectors = np.array([[3.0, 0.0, 4.0], [0.0, 2.0, 0.0], [0.0, 1.0, 1.0]]) * [[1], [2], [5]]
    np.save(tmp_path / "v.npy", vectors)
    found = similarities(str(tmp_path / "v.npy"), 3)
    assert found[0, 1] == 0
    assert found[0, 2].item() == pytest.approx(4 / 5 / math.sqrt(2))
    assert (found.diagonal() == 1).all()


def test_descriptions_are_as_alike_as_the_words_that_they_share(tmp_path):
    (tmp_path / "said.txt").write_text("an animal that barks\na wild animal\na wheeled machine\n")
    found = similarities(str(tmp_path / "said.txt"), 3)
    assert 0 < found[0, 1] < 1
    assert found[0, 2] == found[1, 2] == 0
    assert torch.equal(found, found.mT)


def test_a_table_of_similarities_is_taken_as_it_is_and_read_again_when_it_changed(table):
    rows = encoded([0, 1, 2])
    torch.testing.assert_close(similarities(table, 3), ALIKE)
    before = loss_of(SimilarClass(3, table), rows).total
    import os

    np.savetxt(table, np.eye(3), delimiter=",")
    os.utime(table, ns=(1, 1))
    after = loss_of(SimilarClass(3, table), rows).total
    assert before != after
    torch.testing.assert_close(after, loss_of(SimilarClass(3), rows).total)


def test_mistakes_are_sentences(tmp_path, table):
    with pytest.raises(RecipeError, match="cannot be read"):
        similarities(str(tmp_path / "none.csv"), 3)
    with pytest.raises(RecipeError, match=r"not from '.json'"):
        similarities("a.json", 3)
    with pytest.raises(RecipeError, match="each of the 4 classes"):
        similarities(table, 4)
    (tmp_path / "words.csv").write_text("a,b\n")
    with pytest.raises(RecipeError, match="no table of numbers"):
        similarities(str(tmp_path / "words.csv"), 1)
    (tmp_path / "holes.csv").write_text("1,nan\n")
    with pytest.raises(RecipeError, match="not finite"):
        similarities(str(tmp_path / "holes.csv"), 1)
    (tmp_path / "said.txt").write_text("one\n\n")
    with pytest.raises(RecipeError, match="has 1 lines"):
        similarities(str(tmp_path / "said.txt"), 2)
    with pytest.raises(RecipeError, match="number above 0"):
        SimilarClass(3, temperature=0.0)


def test_a_wrong_file_is_refused_before_anything_is_built(table):
    from counterpoint.encoders import lookup

    facts = Facts("digits", "glyphs", 1, 8, 100, classes=10)
    with pytest.raises(RecipeError, match="each of the 10 classes"):
        compose("xclr", facts, lookup("mlp"), {"graph": table})
    made = compose("xclr", Facts("digits", "glyphs", 1, 8, 100, classes=3), lookup("mlp"), {"graph": table})
    assert made.pairing == SimilarClass(3, table, 0.1)
