"""The price on gates: what is printed, what would make them binary, and where each is lowest."""

import math

import pytest
import torch

from counterpoint.errors import RecipeError
from counterpoint.objectives import Contrast, Each, GatedContrast, gate_penalty
from counterpoint.relations import Keyed
from counterpoint.scores import Cosine
from counterpoint.types import Columns, Match


def slow(gates, kind):
    total = 0.0
    for row in gates:
        for g in row:
            total += g * math.log(g) if kind == "printed" else -(g * math.log(g) + (1 - g) * math.log(1 - g))
    return total / (len(gates) * len(gates[0]))


@pytest.mark.parametrize("kind", ["printed", "binary"])
def test_equals_loops(kind):
    gates = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert gate_penalty(gates, kind).item() == pytest.approx(slow(gates.tolist(), kind), abs=1e-12)
    assert torch.autograd.gradcheck(lambda g: gate_penalty(g, kind), gates.requires_grad_())


def lowest(kind, start):
    """Where a gate ends that only the penalty moves."""
    raw = torch.tensor([[math.log(start / (1 - start))]], dtype=torch.float64, requires_grad=True)
    for _ in range(4000):
        (slope,) = torch.autograd.grad(gate_penalty(raw.sigmoid(), kind), raw)
        raw.data -= 2.0 * slope
    return raw.sigmoid().item()


@pytest.mark.parametrize("start", [0.05, 0.3, 0.45, 0.7, 0.97])
def test_the_printed_one_draws_every_gate_to_1_over_e_and_the_other_to_the_nearer_end(start):
    assert lowest("printed", start) == pytest.approx(1 / math.e, abs=1e-3)
    assert lowest("binary", start) == pytest.approx(round(start), abs=0.02)


def test_values_where_they_are_lowest_and_highest():
    e = torch.full((1, 1), 1 / math.e, dtype=torch.float64)
    assert gate_penalty(e).item() == pytest.approx(-1 / math.e)
    half, ends = torch.full((1, 1), 0.5), torch.tensor([[0.0, 1.0]])
    assert gate_penalty(half, "binary").item() == pytest.approx(math.log(2))
    for kind in ("printed", "binary"):
        gates = ends.clone().requires_grad_()
        cost = gate_penalty(gates, kind)
        assert cost.item() == pytest.approx(0.0, abs=1e-30)
        assert torch.autograd.grad(cost, gates)[0].isfinite().all()


def matches(gates):
    z, key = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True), torch.arange(6) % 3
    columns = (Columns(z, Keyed(key, key, torch.arange(6), torch.arange(6)), Cosine()),)
    return [Match(z, columns, gates=gates), Match(z, columns, gates=gates)]


def test_it_is_added_once_with_its_weight():
    gates = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    plain = Contrast(0.2, Each(), 2.0)(matches(None))
    for kind in ("printed", "binary"):
        found = GatedContrast(0.2, Each(), 2.0, penalty=0.3, kind=kind)(matches(gates))
        cost = gate_penalty(gates, kind)
        torch.testing.assert_close(found.total, plain.total + 0.3 * cost)
        torch.testing.assert_close(found.terms["gates"], cost.detach())
        torch.testing.assert_close(
            torch.autograd.grad(found.total, gates)[0], 0.3 * torch.autograd.grad(cost, gates)[0]
        )
        assert found.anchors == plain.anchors
    without = GatedContrast(0.2, Each(), 2.0)(matches(gates))
    assert torch.equal(without.total, plain.total)
    assert without.terms.keys() == plain.terms.keys()


def test_mistakes_are_refused():
    with pytest.raises(RecipeError, match=r"set negatives\.classes=true"):
        GatedContrast(penalty=0.1)(matches(None))
    for wrong in ({"penalty": -1.0}, {"penalty": math.nan}, {"times_temperature": -1.0}):
        with pytest.raises(RecipeError, match="0 or more"):
            GatedContrast(**wrong)
    with pytest.raises(RecipeError, match="temperature"):
        GatedContrast(temperature=0.0)
