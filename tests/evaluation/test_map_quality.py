import pytest
import torch

from counterpoint.errors import ShapeError
from counterpoint.evaluation import linearity, neighbour_purity

CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0]])


def test_purity_by_hand() -> None:
    assert neighbour_purity(CORNERS, torch.tensor([0, 0, 1, 1]), neighbours=1) == 1
    assert neighbour_purity(CORNERS, torch.tensor([0, 1, 0, 1]), neighbours=1) == 0
    for count in (3, 10):
        assert neighbour_purity(CORNERS, torch.tensor([0, 0, 1, 1]), neighbours=count) == pytest.approx(1 / 3)


def test_purity_leaves_unknown_classes_out() -> None:
    more = torch.cat((CORNERS, torch.tensor([[0.0, 0.5], [9.0, 0.5]])))
    assert neighbour_purity(more, torch.tensor([0, 0, 1, 1, -1, -1]), neighbours=1) == 1


def test_purity_counts_a_point_that_coincides_with_another() -> None:
    twice = torch.zeros(2, 3)
    assert neighbour_purity(twice, torch.tensor([0, 1]), neighbours=1) == 0


def test_linearity_of_lines_and_of_a_plane() -> None:
    grid = torch.cartesian_prod(torch.arange(30.0), torch.arange(30.0))
    assert 0.5 < linearity(grid) < 0.75
    angle = torch.linspace(0, 3, 400)
    assert linearity(torch.stack((angle.cos(), angle.sin()), 1)) > 0.99


def test_too_little_is_a_sentence() -> None:
    with pytest.raises(ShapeError, match="1 arrived; expected at least 2 points"):
        linearity(torch.zeros(1, 2))
    with pytest.raises(ShapeError, match="0 neighbours were asked for"):
        linearity(CORNERS, neighbours=0)
    with pytest.raises(ShapeError, match="map's rows have no labels"):
        neighbour_purity(CORNERS)
