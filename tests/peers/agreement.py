"""Values and gradients of two losses, side by side; and whether a table names all that a package exports."""

import pytest
import torch


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(ours, theirs, *inputs, factor=1.0, rtol=1e-9):
    """Ours is theirs times the factor, in value and in the gradient of every input."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    one, other = ours(*leaves), theirs(*leaves).squeeze() * factor
    assert abs(float(one.detach())) > 1e-6, "a loss of 0 agrees with any other"
    torch.testing.assert_close(one, other, rtol=rtol, atol=0)
    slopes = zip(torch.autograd.grad(one, leaves), torch.autograd.grad(other, leaves), strict=True)
    for mine, theirs_ in slopes:
        largest = float(mine.abs().max())
        assert largest > 1e-9
        torch.testing.assert_close(mine, theirs_, rtol=0, atol=rtol * largest)


def check_table(exported, compared, without, tests):
    """Every exported loss is compared by a test that exists, or said to have no counterpart here.

    A loss that a newer release adds is a reason to look, no failure.
    """
    assert not set(compared) & set(without)
    assert set(compared) <= set(exported), "the table compares what is not exported"
    assert {f"test_{told}" for told in compared.values()} <= set(tests), "the table names a test that does not exist"
    if new := set(exported) - set(compared) - set(without):
        pytest.skip(f"the tables say nothing yet of {', '.join(sorted(new))}")
