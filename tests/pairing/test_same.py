"""Who attracts whom, by instance and by class."""

import torch

from counterpoint.pairing import SameClass, SameSample
from counterpoint.random import Stream
from counterpoint.types import Batch, Rows

ALL = slice(0, 6)


def rows(labels: list[int], samples: list[int], views: int = 2) -> Rows:
    n = len(samples)
    batch = Batch(
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.tensor(samples), torch.arange(n), torch.tensor(labels)
    )
    return Rows.of(batch, views)


def test_views_of_one_image() -> None:
    who = rows([0, 0, 1], [10, 11, 12])
    block = SameSample().relation(who, who).block(ALL, ALL)
    twin = torch.eye(3).repeat(2, 2) - torch.eye(6)
    assert torch.equal(block.target, twin)
    assert torch.equal(block.log_prior == -torch.inf, torch.eye(6) > 0)
    assert (block.log_prior[torch.eye(6) == 0] == 0).all()


def test_images_of_one_class_and_unknown_labels() -> None:
    who = rows([0, 0, -1], [10, 11, 12])
    block = SameClass().relation(who, who).block(ALL, ALL)
    known = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    assert torch.equal(block.target, known[:, None] * known * (1 - torch.eye(6)))
    assert torch.equal(block.log_prior == -torch.inf, torch.eye(6) > 0)


def test_only_the_other_view() -> None:
    who = rows([0, 0, 1], [10, 11, 12])
    for pairing in (SameSample(only_other_view=True), SameClass(only_other_view=True)):
        block = pairing.relation(who, who).block(ALL, ALL)
        same_view = who.view[:, None] == who.view
        assert torch.equal(block.log_prior == -torch.inf, same_view)
        assert (block.target[same_view] == 0).all()
    assert torch.equal(SameSample(only_other_view=True).relation(who, who).block(ALL, ALL).target.sum(1), torch.ones(6))


def test_an_image_drawn_twice_is_one_instance_in_two_places() -> None:
    who = rows([0, 0], [7, 7], views=1)
    block = SameSample().relation(who, who).block(slice(0, 2), slice(0, 2))
    assert torch.equal(block.target, 1 - torch.eye(2))


def test_rows_of_an_earlier_batch_are_nobodys_self() -> None:
    now = rows([3], [5], views=1)
    stored = Rows(torch.tensor([5]), torch.tensor([-1]), torch.tensor([0]), torch.tensor([3]))
    block = SameClass().relation(now, stored).block(slice(0, 1), slice(0, 1))
    assert block.target.item() == 1.0
    assert block.log_prior.item() == 0.0
    assert stored.position.item() == -1
    among = SameClass().relation(stored, stored).block(slice(0, 1), slice(0, 1))
    assert among.log_prior.item() == 0.0


def test_nothing_is_drawn() -> None:
    who = rows([0, 1], [3, 4])
    assert SameSample().draw(who, Stream(0)) is who
    assert SameClass().draw(who, Stream(0)) is who
    assert SameClass().needs_labels
    assert not SameSample().needs_labels
    assert SameSample() == SameSample()
