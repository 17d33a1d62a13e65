"""Pairs under their own gate, under none, and under another: planted subspaces, and gates that say nothing."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from counterpoint.errors import ShapeError
from counterpoint.evaluation.gate_order import disjoint_pairs, gate_order
from counterpoint.random import Stream, Streams

CLASSES, WIDTH = 4, 32


def made(rows=900, seed=0):
    """Each class has eight dimensions of its own in which its rows agree; everywhere else they are noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (rows,), generator=generator)
    own = torch.eye(CLASSES).repeat_interleave(WIDTH // CLASSES, 1)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    noise = torch.randn(rows, WIDTH, generator=generator)
    return torch.where(own[labels] > 0, centres[labels] + 0.3 * noise, noise), labels, 0.01 + 0.99 * own


def test_the_order_that_is_claimed_holds_where_it_was_planted():
    z, labels, gates = made()
    found = gate_order(z, labels, gates)
    assert found.pairs == 200
    assert found.own.value > 0.8 > found.whole.value > 0.1
    assert abs(found.other.value) < 0.1
    for rate in (found.own_above_whole, found.whole_above_other, found.own_above_other, found.in_order):
        assert 0 <= rate.low <= rate.value <= rate.high <= 1
    assert found.own_above_whole.low > 0.9
    assert found.in_order.value <= min(found.own_above_whole.value, found.whole_above_other.value)
    assert found.in_order.low > 0.6


def test_gates_of_other_classes_do_not_pass():
    z, labels, gates = made()
    found = gate_order(z, labels, gates.roll(1, 0))
    assert found.own_above_whole.high < 0.5
    assert found.in_order.high < 0.5
    ones = gate_order(z, labels, torch.ones(CLASSES, WIDTH))
    assert ones.in_order.value == ones.own_above_whole.value == 0
    assert ones.own.value == ones.whole.value == ones.other.value


def test_rates_of_all_and_of_none_are_not_certain():
    z, labels, gates = made()
    found = gate_order(z, labels, gates)
    assert found.own_above_other.value == 1
    assert 0.97 < found.own_above_other.low < 0.99  # the rule of three: 1 - 3/200
    none = gate_order(z, labels, torch.ones(CLASSES, WIDTH)).in_order
    assert none.value == none.low == 0 < none.high < 0.03


def test_similarities_and_rates_are_those_of_plain_loops():
    z, labels, gates = made(40)
    found = gate_order(z, labels, gates, pairs=200, seed=3)
    first, second = disjoint_pairs(labels, 200, Streams(3).at("pairs"))
    own, whole, above = [], [], 0
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        assert labels[i] == labels[j]
        gate = gates[labels[i]]
        own.append(float(cosine_similarity(gate * z[i], gate * z[j], dim=0)))
        whole.append(float(cosine_similarity(z[i], z[j], dim=0)))
        above += own[-1] > whole[-1]
    assert found.own.value == pytest.approx(sum(own) / len(own), abs=1e-6)
    assert found.whole.value == pytest.approx(sum(whole) / len(whole), abs=1e-6)
    assert found.own_above_whole.value == pytest.approx(above / len(own))


def test_no_image_is_in_two_pairs():
    labels = torch.tensor([0] * 7 + [1] * 4 + [2] + [-1] * 5)
    first, second = disjoint_pairs(labels, 100, Stream(0))
    used = torch.cat((first, second)).tolist()
    assert len(used) == len(set(used)) == 2 * (3 + 2)
    assert torch.equal(labels[first], labels[second])
    assert (labels[used] >= 0).all()
    assert len(disjoint_pairs(labels, 2, Stream(0))[0]) == 2


def test_what_cannot_be_compared_is_one_sentence():
    z, labels, gates = made(20)
    for given in ((z, labels, gates[:, 1:]), (z, labels, gates[:1]), (z, labels + 1, gates)):
        with pytest.raises(ShapeError, match="give one gate of that width"):
            gate_order(*given)
    with pytest.raises(ShapeError, match="shares its class"):
        gate_order(z[:2], torch.tensor([0, 1]), gates)
