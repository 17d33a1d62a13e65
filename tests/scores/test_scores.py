"""Scores of shared and private rows."""

import math

import pytest
import torch

from counterpoint.scores import Cosine, Dot


def test_cosine_of_angles() -> None:
    angle = torch.tensor([0.0, 60.0, 90.0, 180.0]).deg2rad()
    rows = torch.stack([angle.cos(), angle.sin()], -1) * torch.tensor([1.0, 2.0, 0.1, 30.0])[:, None]
    score = Cosine()
    unit = score.prepare(rows)
    assert torch.allclose(score.tile(unit[:1], unit), torch.tensor([[1.0, 0.5, 0.0, -1.0]]), atol=1e-6)


@pytest.mark.parametrize("score", [Cosine(), Dot(0.3)])
def test_private_rows_are_scored_for_their_anchor_alone(score: Cosine | Dot) -> None:
    g = torch.Generator().manual_seed(0)
    anchors, private = score.prepare(torch.randn(4, 5, generator=g)), score.prepare(torch.randn(4, 3, 5, generator=g))
    tile = score.tile(anchors, private)
    for i in range(4):
        assert torch.allclose(tile[i], score.tile(anchors[i : i + 1], private[i])[0], atol=1e-6)


def test_a_row_of_zeros_has_no_direction_and_no_gradient() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = Cosine().prepare(rows)
    unit.sum().backward()
    assert rows.grad is not None
    assert (unit[0] == 0).all()
    assert (rows.grad[0] == 0).all()
    assert rows.grad[1].abs().max() > 0


def test_cosine_is_computed_in_float32() -> None:
    half = torch.full((1, 64), 60000.0, dtype=torch.float16)
    unit = Cosine().prepare(half)
    assert unit.dtype == torch.float32
    assert unit.norm().item() == pytest.approx(1.0, abs=1e-6)
    assert Cosine().prepare(half.double()).dtype == torch.float64


def test_dot_is_scaled() -> None:
    assert Dot(2.0).tile(torch.ones(1, 3), torch.ones(1, 3)).item() == 6.0
    assert math.isclose(Dot().tile(torch.ones(1, 3), torch.ones(1, 3)).item(), 3.0)
