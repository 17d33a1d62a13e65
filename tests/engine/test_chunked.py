"""A batch encoded in chunks has the gradient of the whole batch."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.encoders import MLP, ConvNet, ViT
from counterpoint.engine import Numerics, batches, compare
from counterpoint.engine.chunked import check_chunks, chunked, chunks, normalises_over_rows
from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead
from counterpoint.model import Model
from counterpoint.negatives import Queue
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.targets import MovingAverage, StopGradient
from counterpoint.types import Clock, Context, Encoded, Facts, Split, State

FACTS = Facts("noise", "glyphs", 1, 8, 48, 6, total_steps=2, steps_per_epoch=2)
SMALL = MLP((24,))
PREDICTED = Heads(projector=MLPHead((16,), 8, batch_norm=False), predictor=MLPHead((8,), 8, batch_norm=False))


class _Turn(State):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width).roll(1, 0))
        self.register_buffer("passes", torch.zeros(()))


@dataclass(frozen=True)
class Turned:
    """Keys with a gradient of their own: the projections, through a learned matrix."""

    def build(self, facts, model):
        return _Turn(facts.projection)

    def keys(self, model, state, views, online, context):
        assert isinstance(state, _Turn)
        state.passes += len(online.rows)
        return Encoded(online.h, online.z @ state.weight, online.rows)


def a_step(name="simclr", *, encoder=SMALL, seed=0, **parts):
    split = Split(
        torch.randint(0, 256, (48, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
        torch.arange(48) % 6,
    )
    recipe = replace(compose(name, FACTS, encoder, {"batch_size": 22, "epochs": 1}), **parts)
    with forked(seed):
        model = Model(recipe, FACTS).double().train()
    streams = Streams(0)
    batch = next(iter(batches(split, recipe, streams, Clock(0, 2, 2), torch.device("cpu"))))
    return recipe, model, batch, Context(Clock(0, 2, 2), Comm.alone(), streams)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


COMPOSITIONS = {
    "simclr": {},
    "supcon": {"name": "supcon"},
    "supervised": {"name": "supervised"},
    "transformer": {"encoder": ViT(16, 2, 2, patch=4)},
    "simsiam": {"target": StopGradient(), "heads": PREDICTED},
    "moco": {"target": MovingAverage(0.9), "negatives": Queue(32)},
    "keys with a gradient": {"target": Turned()},
}


@pytest.mark.parametrize("most", [5, 8, 22, 100])
@pytest.mark.parametrize("composition", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_the_whole_batch_has_this_gradient(composition, most):
    recipe, model, batch, context = a_step(**composition)
    whole = compare(recipe, model, batch, context)
    whole.loss.total.backward()
    expected = gradients(model)
    model.zero_grad(set_to_none=True)
    found, weighted = chunked(recipe, model, batch, context, Numerics(), most)
    assert float(weighted) == pytest.approx(whole.loss.total.item(), rel=1e-10)
    torch.testing.assert_close(found.online.query, whole.online.query.detach(), rtol=1e-10, atol=1e-12)
    assert (found.online.rows.position == whole.online.rows.position).all()
    assert (found.online.rows.view == whole.online.rows.view).all()
    assert gradients(model).keys() == expected.keys()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")


def test_dropout_is_replayed_and_batch_norm_moves_once():
    """Against the same chunks with their graphs kept: one pass, one backward."""
    recipe, model, batch, context = a_step(encoder=ConvNet(16, (8, 16), 8))
    model.towers.projector.append(nn.Dropout(0.5))
    assert normalises_over_rows(model) == 4
    kept = {name: b.clone() for name, b in model.named_buffers()}
    found, _ = chunked(recipe, model, batch, context, Numerics(), 8)
    gradient, moved = gradients(model), {name: b.clone() for name, b in model.named_buffers()}

    model.load_state_dict(kept, strict=False)
    model.zero_grad(set_to_none=True)
    views = recipe.views(batch.images, context.streams.at("views", 0))
    h, z = [], []
    for number, span in enumerate(chunks(22, 8)):
        with forked(context.streams.number("layers", 0, 0, number)):
            made = model.through(model.towers, [view[span] for view in views])
        h.append(made[0].unflatten(0, (2, -1)))
        z.append(made[1].unflatten(0, (2, -1)))
    online = Encoded(torch.cat(h, 1).flatten(0, 1), torch.cat(z, 1).flatten(0, 1), found.online.rows)
    matches = recipe.negatives.match(online, online, recipe.pairing, recipe.score, None, context)
    recipe.objective(matches).total.backward()
    torch.testing.assert_close(found.online.z, online.z.detach(), rtol=1e-10, atol=1e-12)
    for name, expected in gradients(model).items():
        torch.testing.assert_close(gradient[name], expected, rtol=1e-9, atol=1e-12)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(moved[name], buffer, rtol=1e-10, atol=1e-12)


def test_buffers_of_a_target_whose_keys_learn_move_once():
    recipe, model, batch, context = a_step(target=Turned())
    chunked(recipe, model, batch, context, Numerics(), 8)
    assert float(model.target.passes) == 44


def test_fewer_activations_are_kept():
    """The most that autograd holds at a time, in bytes."""

    def most_held(work):
        held, most = 0, 0

        class Kept:
            def __init__(self, tensor):
                nonlocal held, most
                self.tensor = tensor
                held += tensor.nbytes
                most = max(most, held)

            def __del__(self):
                nonlocal held
                held -= self.tensor.nbytes

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            work()
        return most

    recipe, model, batch, context = a_step(encoder=ViT(32, 4, 2, patch=2))
    whole = most_held(lambda: compare(recipe, model, batch, context).loss.total.backward())
    parts = most_held(lambda: chunked(recipe, model, batch, context, Numerics(), 4))
    assert parts < 0.3 * whole


def test_bfloat16_casts_the_weights_anew_for_the_pass_with_gradient():
    recipe, model, batch, context = a_step(encoder=MLP((24,)))
    model.float()
    chunked(recipe, model, batch, context, Numerics("bf16-mixed"), 8)
    found = gradients(model)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert all(float(g.abs().max()) > 0 for g in found.values())


def test_chunks_are_few_and_even():
    assert chunks(10, 4) == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert chunks(8, 4) == [slice(0, 4), slice(4, 8)]
    assert chunks(3, 100) == [slice(0, 3)]


def test_keys_that_are_shuffled_over_the_batch_are_not_taken_in_chunks():
    """A permutation of a chunk alone would leave queries and keys in the same groups of BatchNorm."""

    def refused(name, encoder, most=8, **dials):
        recipe = compose(name, FACTS, encoder, {"batch_size": 16, "epochs": 1, **dials})
        with forked(0):
            model = Model(recipe, FACTS)
        try:
            check_chunks(recipe, model, most)
        except RecipeError as error:
            return str(error)
        return ""

    norms = ConvNet(16, (8,), 4)
    for name in ("moco", "mochi"):
        said = refused(name, norms)
        assert said.startswith(f"{name} encodes its keys in a random order of the whole batch")
        assert "--split 1" in said
        assert refused(name, norms, split=1) == ""
    assert refused("moco", SMALL) == "", "without BatchNorm nothing is normalised over rows"
    assert refused("byol", norms) == ""
    assert "at least 1 image" in refused("simclr", norms, most=0)
