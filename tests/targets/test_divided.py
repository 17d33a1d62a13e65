"""A target that shares the views out, and keys that are shuffled."""

from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import ConvNet, SplitBatchNorm
from counterpoint.engine import Numerics, train_step
from counterpoint.engine.chunked import chunked
from counterpoint.engine.step import asked, compare
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.targets import MovingAverage, Same
from counterpoint.types import Batch, Clock, Context, Divided, Facts, Rows

FACTS = Facts("made", "glyphs", 1, 8, 100, classes=4)
SMALL = ConvNet(stages=(4, 8), width=8)
IMAGES = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, torch.arange(8) + 20, torch.arange(8), torch.arange(8) % 4)


def context(step=0, comm=None):
    comm = comm or Comm.alone()
    return Context(Clock(step, 10, 5), comm, Streams(0, "cpu", comm.rank, comm.world))


def moco(target, encoder=SMALL, **dials):
    dials = {"batch_size": 8, "queue": 16, "split": 1, "width": 4, **dials}
    recipe = replace(compose("moco", FACTS, encoder, dials), target=target)
    with forked(0):
        return recipe, Model(recipe, FACTS).train()


def rows_through(module):
    """How many rows each forward pass of a module is given."""
    seen = []
    module.register_forward_pre_hook(lambda m, args: seen.append(len(args[0])))
    return seen


def test_each_network_encodes_its_views_only():
    for target, ours, theirs in ((MovingAverage(queries=1), [8], [8]), (MovingAverage(), [16], [16])):
        recipe, model = moco(target)
        online, average = rows_through(model.towers.encoder), rows_through(model.target.towers.encoder)
        found = compare(recipe, model, BATCH, context())
        assert (online, average) == (ours, theirs)
        assert len(found.online.rows) == ours[0]
        assert len(found.keys.rows) == theirs[0]


def test_keys_are_of_the_images_of_the_queries():
    recipe, model = moco(MovingAverage(queries=1))
    found = compare(recipe, model, BATCH, context())
    assert found.online.rows.view.tolist() == [0] * 8
    assert found.keys.rows.view.tolist() == [1] * 8
    for name in ("sample", "position", "label"):
        assert torch.equal(getattr(found.keys.rows, name), getattr(BATCH, name))


def test_without_batch_norm_it_changes_nothing_but_the_cost():
    """An MLP does not look at other rows: the loss is the same to the last digits."""
    from counterpoint.encoders import MLP

    losses = []
    for target in (MovingAverage(queries=1), MovingAverage(), MovingAverage(queries=1, shuffle=True)):
        recipe, model = moco(target, MLP((16,)))
        losses.append(compare(recipe, model, BATCH, context()).loss.total)
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


def test_who_shares_views_out():
    views, rows = [torch.zeros(8, 1, 8, 8)] * 3, Rows.of(BATCH, 3)
    assert asked(Same(), views, rows) == (views, rows)
    assert not isinstance(Same(), Divided)
    assert asked(MovingAverage(), views, rows) == (views, rows)
    few, who = asked(MovingAverage(queries=2), views, rows)
    assert len(few) == 2
    assert who.view.unique().tolist() == [0, 1]


def test_shuffled_keys_come_back_to_their_rows():
    """Without statistics of a batch an order leaves no trace; with those of groups it does."""
    recipe, model = moco(MovingAverage(queries=1))
    mixed = replace(recipe, target=replace(recipe.target, shuffle=True))
    model.eval()
    plain, shuffled = (compare(r, model, BATCH, context()).keys.z for r in (recipe, mixed))
    torch.testing.assert_close(plain, shuffled)

    recipe, model = moco(MovingAverage(queries=1), SplitBatchNorm(SMALL, 4))
    mixed = replace(recipe, target=replace(recipe.target, shuffle=True))
    plain, again, first, second = (
        compare(r, model, BATCH, context(step)).keys.z[0].norm()
        for r, step in ((recipe, 0), (recipe, 0), (mixed, 0), (mixed, 1))
    )
    assert torch.equal(plain, again)
    assert not torch.isclose(plain, first)
    assert not torch.isclose(first, second)


def test_groups_of_shuffled_keys_are_those_of_the_permutation():
    """In plain steps: the copy's images in the order of the stream, a group at a time."""
    recipe, model = moco(MovingAverage(queries=1, shuffle=True), SplitBatchNorm(SMALL, 4))
    view = recipe.views(IMAGES, Streams(0).at("views", 3))[1]
    order = Streams(0).at("shuffle", 3).permutation(8)
    keys = compare(recipe, model, BATCH, context(3)).keys
    with torch.no_grad():
        parts = [model.through(model.target.towers, [view[order[i : i + 4]]])[1] for i in (0, 4)]
    expected = torch.empty_like(keys.z)
    expected[order] = torch.cat(parts)
    torch.testing.assert_close(keys.z, expected)


def test_two_ranks_encode_what_the_permutation_brings_them():
    recipe, model = moco(MovingAverage(queries=1, shuffle=True), SplitBatchNorm(SMALL, 4))
    views = recipe.views(IMAGES, Streams(0).at("views", 0))
    whole = compare(recipe, model, BATCH, context()).keys.z
    order = Streams(0).at("shuffle", 0).permutation(8)

    class Two(Comm):
        def gather(self, t):
            # Images of all ranks; then what all ranks made of those in the permutation's order.
            return views[1] if t.ndim == 4 else (h if t.shape[1] == h.shape[1] else whole)[order]

    h = compare(recipe, model, BATCH, context()).keys.h
    for rank in range(2):
        mine = slice(rank * 4, rank * 4 + 4)
        own = Rows.of(Batch(*(getattr(BATCH, n)[mine] for n in ("images", "sample", "position", "label"))), 2)
        online = model(*asked(recipe.target, [view[mine] for view in views], own))
        seen = rows_through(model.target.towers.encoder)
        keys = recipe.target.keys(
            model, model.target, [view[mine] for view in views], online, context(comm=Two(rank, 2))
        )
        assert seen == [4]
        torch.testing.assert_close(keys.z, whole[mine])


@pytest.mark.parametrize("dials", [{}, {"symmetric": True}])
def test_a_batch_in_chunks_is_compared_as_a_whole(dials):
    from counterpoint.encoders import MLP

    target = MovingAverage(queries=None if dials else 1, shuffle=True)
    whole, parts = (moco(target, MLP((16,)), **dials) for _ in range(2))
    loss = compare(whole[0], whole[1], BATCH, context()).loss.total
    loss.backward()
    _, weighted = chunked(parts[0], parts[1], BATCH, context(), Numerics(), 3)
    torch.testing.assert_close(loss.detach(), weighted)
    for one, two in zip(whole[1].parameters(), parts[1].parameters(), strict=True):
        if one.requires_grad:
            torch.testing.assert_close(one.grad, two.grad)


def test_a_step_moves_the_average_and_the_queue():
    recipe, model = moco(MovingAverage(0.5, queries=1, shuffle=True), SplitBatchNorm(SMALL, 4))
    optimizer = recipe.optim.build(model)
    recipe.optim.set_lr(optimizer, Clock(5, 10, 5))
    average = [p.clone() for p in model.target.towers.parameters()]
    for step in (0, 1):
        train_step(recipe, model, optimizer, BATCH, context(step), Numerics())
    assert int(model.negatives.head) == 0
    assert any(not torch.equal(a, b) for a, b in zip(average, model.target.towers.parameters(), strict=True))


def test_mistakes_are_sentences():
    for target in (lambda: MovingAverage(queries=0), lambda: MovingAverage(queries=1, views=2)):
        with pytest.raises(RecipeError, match="give queries of 1 or more, and no views"):
            target()
    recipe, model = moco(MovingAverage(queries=2))
    with pytest.raises(RecipeError, match="leaves no view to the copy, for there are 2"):
        compare(recipe, model, BATCH, context())
