import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.encoders import lookup
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.negatives import OtherViews
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.recipe import compose
from counterpoint.relations import Aligned
from counterpoint.scores import Euclidean
from counterpoint.targets import Pixels
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

FACTS = Facts("digits", "glyphs", 1, 8, 100, 10, total_steps=4, steps_per_epoch=2)
CONTEXT = Context(Clock(0, 4, 2), Comm.alone(), Streams(0))


def _online(width: int, rows: int = 4) -> Encoded:
    who = torch.arange(rows)
    batch = Batch(torch.zeros(rows, 1, 8, 8, dtype=torch.uint8), who, who, who)
    return Encoded(torch.randn(rows, 3, requires_grad=True), torch.randn(rows, width), Rows.of(batch, 1))


def test_the_keys_are_the_pixels_of_the_same_images() -> None:
    online, view = _online(64), torch.rand(4, 1, 8, 8)
    keys = Pixels().keys(nn.Identity(), None, [view], online, CONTEXT)
    assert torch.equal(keys.z, view.flatten(1))
    assert not keys.h.requires_grad
    assert torch.equal(keys.rows.sample, online.rows.sample)
    (match,) = OtherViews().match(online, keys, SameSample(), Euclidean(), None, CONTEXT)
    assert torch.equal(match.query, online.z)
    assert torch.equal(match.columns[0].rows, keys.z)
    assert isinstance(match.columns[0].relation, Aligned)


def test_what_does_not_fit_is_told() -> None:
    view = torch.rand(4, 1, 8, 8)
    with pytest.raises(RecipeError, match="2 views"):
        Pixels().keys(nn.Identity(), None, [view, view], _online(64), CONTEXT)
    with pytest.raises(RecipeError, match="64 numbers, but the decoder makes 32"):
        Pixels().keys(nn.Identity(), None, [view], _online(32), CONTEXT)


def test_an_autoencoder_learns_to_tell_images_again() -> None:
    from counterpoint.engine import Numerics, train_step

    torch.manual_seed(0)
    dials = {"batch_size": 32, "epochs": 2, "hidden": 64, "lr": 0.03}
    recipe = compose("autoencoder", FACTS, lookup("mlp"), dials)
    model = Model(recipe, FACTS).train()
    optimizer = recipe.optim.build(model)
    images = torch.randint(0, 255, (32, 1, 8, 8), dtype=torch.uint8)
    who = torch.arange(32)
    batch = Batch(images, who, who, who)
    context = Context(Clock(1, 4, 2), Comm.alone(), Streams(0))
    recipe.optim.set_lr(optimizer, context.clock)
    losses: list[float] = []
    for _ in range(150):
        losses.append(float(train_step(recipe, model, optimizer, batch, context, Numerics()).values["loss"]))
    assert losses[-1] < 0.5 * losses[0]
