"""Planes in valleys: between heaps, not in tails, none where there is one heap."""

import pytest
import torch

from counterpoint.errors import ShapeError
from counterpoint.evaluation.valleys import agreement, find_valleys


def heaps(centres, each=300, spread=1.0, seed=0):
    """Round heaps of points, and which heap each is of."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.tensor(centres, dtype=torch.float32)
    labels = torch.arange(len(centre)).repeat_interleave(each)
    return centre[labels] + spread * torch.randn(len(labels), centre.shape[1], generator=generator), labels


def test_the_plane_lies_between_two_heaps():
    rows, labels = heaps([[0.0, 0, 0, 0, 5], [0, 0, 0, 0, -5]])
    found = find_valleys(rows, 1)
    assert float(found.weight[0, 4].abs()) > 0.99
    sides = found.distance(rows)[:, 0] > 0
    assert float((sides == (labels == 0)).float().mean()) in (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))
    assert found.found[0].depth > 5
    assert found.found[0].share == pytest.approx(0.5, abs=0.05)


def test_a_valley_is_found_where_no_principal_axis_shows_it():
    """The heaps part along a direction of little variance; the widest directions are round."""
    generator = torch.Generator().manual_seed(1)
    rows, labels = heaps([[2.5, 0, 0, 0], [-2.5, 0, 0, 0]], spread=0.5)
    rows = torch.cat((rows, 4 * torch.randn(len(rows), 2, generator=generator)), 1)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    found = find_valleys(rows @ turn, 1)
    agreed = float(((found.distance(rows @ turn)[:, 0] > 0) == (labels == 0)).float().mean())
    assert max(agreed, 1 - agreed) > 0.98


def test_one_round_heap_has_no_valley_to_speak_of():
    rows, _ = heaps([[0.0] * 6], each=2000)
    found = find_valleys(rows, 1)
    assert all(one.depth < 0.1 for one in found.found)


def test_further_planes_are_orthogonal_and_say_something_else():
    corners = [[x, y, 0.0, 0.0] for x in (4.0, -4.0) for y in (4.0, -4.0)]
    rows, labels = heaps(corners)
    found = find_valleys(rows, 2)
    assert len(found) == 2
    assert float((found.weight @ found.weight.T - torch.eye(2)).abs().max()) < 1e-4
    sides = (found.distance(rows) > 0).long()
    code = sides[:, 0] * 2 + sides[:, 1]
    pure = sum(int(torch.bincount(labels[code == k], minlength=4).max()) for k in range(4) if (code == k).any())
    assert pure / len(rows) > 0.97


def test_it_is_the_same_again_and_moves_with_the_rows(untouched_generator):
    rows, _ = heaps([[0.0, 0, 3], [0, 0, -3]])
    first, again = find_valleys(rows, 1), find_valleys(rows, 1)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)
    moved = find_valleys(rows + 100, 1)
    there, here = moved.distance(rows + 100)[:, 0], first.distance(rows)[:, 0]
    assert min(float((there - here).abs().max()), float((there + here).abs().max())) < 0.05  # two halves: either sign


def test_the_positive_side_is_the_smaller():
    rows, labels = heaps([[5.0, 0, 0], [-5.0, 0, 0]])
    keep = (labels == 1) | (torch.arange(len(rows)) % 4 == 0)
    found = find_valleys(rows[keep], 1)
    assert found.found[0].share == pytest.approx(0.2, abs=0.03)
    assert float((found.distance(rows[labels == 0])[:, 0] > 0).float().mean()) > 0.99


def test_agreement_names_the_classes_of_a_side():
    rows, labels = heaps([[4.0, 0, 0, 0], [4, 3, 0, 0], [-4, 0, 0, 0], [-4, 3, 0, 0]])
    found = find_valleys(rows, 1)
    (said,) = agreement(found, rows[::2], rows[1::2], labels[::2], labels[1::2], 4)
    assert set(said.classes) in ({0, 1}, {2, 3})
    assert said.area > 0.999
    assert said.information > 0.95 > said.of_random
    nobody = torch.full_like(labels[1::2], 0)
    nobody[::2] = -1
    assert agreement(found, rows[::2], rows[1::2], labels[::2], nobody, 4)[0].information == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "planes", "said"), [(5, 1, "too few"), (50, 0, "must all be 1"), (-50, 1, "all rows are equal")]
)
def test_what_has_no_valley_is_refused(rows, planes, said):
    x = torch.zeros(-rows, 3) if rows < 0 else torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ShapeError, match=said):
        find_valleys(x, planes)
