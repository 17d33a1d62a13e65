import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import SquaredError, squared_error
from counterpoint.relations import Aligned, Keyed
from counterpoint.scores import Euclidean
from counterpoint.types import Columns, Match


def _rows(seed: int, rows: int = 5, dim: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, dim, generator=generator, dtype=torch.float64),
        torch.randn(rows, dim, generator=generator, dtype=torch.float64),
    )


def _match(p: torch.Tensor, z: torch.Tensor) -> Match:
    return Match(p, (Columns(z, Aligned(), Euclidean()),))


@given(st.integers(0, 100), st.integers(1, 6), st.integers(1, 6))
def test_it_is_the_mean_of_all_squares(seed: int, rows: int, dim: int) -> None:
    p, z = _rows(seed, rows, dim)
    slow = sum((float(p[i, j]) - float(z[i, j])) ** 2 for i in range(rows) for j in range(dim)) / (rows * dim)
    assert squared_error(p, z).item() == pytest.approx(slow)
    assert SquaredError()([_match(p, z)]).total.item() == pytest.approx(slow)
    order = torch.randperm(rows)
    assert squared_error(p[order], z[order]).item() == pytest.approx(slow)


def test_the_best_single_answer_errs_by_the_variance() -> None:
    _, z = _rows(0, 50)
    assert squared_error(z.mean(0).expand_as(z), z).item() == pytest.approx(z.var(0, correction=0).mean().item())


def test_gradient() -> None:
    p, z = _rows(1)
    p.requires_grad_(True)
    z.requires_grad_(True)
    assert torch.autograd.gradcheck(squared_error, (p, z))


def test_it_compares_row_by_row_only() -> None:
    p, z = _rows(2)
    with pytest.raises(ShapeError, match="row i of both"):
        squared_error(p, z[:, :2])
    keys = torch.arange(5)
    with pytest.raises(RecipeError, match="OtherViews"):
        SquaredError()([Match(p, (Columns(z, Keyed(keys, keys), Euclidean()),))])
