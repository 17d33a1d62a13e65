"""Batch statistics of parts of a batch, and keys that are shuffled among them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.encoders import MLP, ConvNet, SplitBatchNorm, SplitNorm, bare, untrained
from counterpoint.errors import RecipeError
from counterpoint.random import forked
from counterpoint.types import Facts

FACTS = Facts("made", "glyphs", 1, 8, 16)


def split(rows, layer=None, **options):
    torch.manual_seed(0)
    layer = layer or nn.BatchNorm2d(3, **options)
    if layer.affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return SplitNorm(layer, rows).double(), layer


def images(n=12, seed=0):
    return torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rows", [2, 4, 6])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_each_group_is_normalised_by_itself_and_the_running_statistics_are_the_groups_mean(rows, momentum):
    norm, _ = split(rows, momentum=momentum)
    x = images()
    alone = [nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(12 // rows)]
    for layer in alone:
        layer.load_state_dict(norm.state_dict())
    for _ in range(2):
        expected = torch.cat([layer(part) for layer, part in zip(alone, x.split(rows), strict=True)])
        torch.testing.assert_close(norm(x), expected)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(norm, name), torch.stack([getattr(a, name) for a in alone]).mean(0))
    assert int(norm.num_batches_tracked) == 2
    norm.eval()
    plain = nn.BatchNorm2d(3).double().eval()
    plain.load_state_dict(norm.state_dict())
    torch.testing.assert_close(norm(x), plain(x))


def test_another_group_changes_nothing():
    """Which fails where statistics are the whole batch's."""
    norm, whole = split(4)
    x, other = images(), images(seed=1)
    mixed = torch.cat([x[:4], other[4:]])
    assert torch.equal(norm(x)[:4], norm(mixed)[:4])
    assert not torch.allclose(whole.double()(x)[:4], whole.double()(mixed)[:4])


@pytest.mark.parametrize(("n", "sizes"), [(12, [6, 6]), (13, [7, 6]), (5, [5])])
def test_rows_that_make_no_whole_groups_make_nearly_equal_ones(n, sizes):
    norm, _ = split(6, affine=False)
    parts = norm(images(n)).split(sizes)
    for part in parts:
        torch.testing.assert_close(part.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0)


def test_gradcheck():
    norm, _ = split(2, nn.BatchNorm1d(3))
    x = images(4)[:, :, 0, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))


def test_an_encoder_keeps_its_weights_and_their_names():
    part = SplitBatchNorm(ConvNet(stages=(8, 16), width=16), rows=4)
    made = []
    for encoder in (part, bare(part)):
        with forked(0):
            made.append(encoder.build(FACTS))
    ours, theirs = made
    assert sum(isinstance(m, SplitNorm) for m in ours.modules()) == 4
    assert not any(isinstance(m, nn.BatchNorm2d) for m in ours.modules())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert part.width == bare(part).width == 16
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert not torch.allclose(ours.train()(x), theirs.train()(x))
    torch.testing.assert_close(ours(x)[:4], theirs(x[:4]))


def test_what_has_no_batch_norm_stays():
    part = SplitBatchNorm(MLP((8,)), rows=4)
    assert [type(m) for m in part.build(FACTS)] == [type(m) for m in MLP((8,)).build(FACTS)]
    assert bare(MLP()) == MLP()
    assert untrained(part) == part


def test_ranks_keep_their_own_groups_and_one_running_mean():
    """Two ranks, one after the other: what each would hear of the other is told."""
    whole, _ = split(4)
    x = images(16)
    told = []

    class Two(Comm):
        def sum(self, t):
            told.append(t)
            return sum(told) if len(told) == 2 else 2 * t

    joined = whole(x)
    for rank in range(2):
        other, _ = split(4)
        other = Two(rank, 2).synchronised(nn.Sequential(other))[0]
        assert isinstance(other, SplitNorm)
        torch.testing.assert_close(other(x[rank * 8 : rank * 8 + 8]), joined[rank * 8 : rank * 8 + 8])
    torch.testing.assert_close(other.running_mean, whole.running_mean)
    torch.testing.assert_close(other.running_var, whole.running_var)


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="at least 2 rows"):
        SplitBatchNorm(MLP(), rows=1)

    class Own(nn.BatchNorm2d):
        pass

    class Made:
        width = 3

        def build(self, facts):
            return nn.Sequential(Own(3))

    with pytest.raises(RecipeError, match="only torch's own BatchNorm can be split, but this encoder has Own"):
        replace(SplitBatchNorm(MLP()), inner=Made()).build(FACTS)
