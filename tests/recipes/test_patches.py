"""What makes PIRL, CPC and Selfie what they are, seen through the whole model: a test fails where it is bypassed."""

import math
from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import MLP, ConvNet
from counterpoint.engine.chunked import chunked
from counterpoint.engine.machine import Numerics
from counterpoint.engine.step import compare
from counterpoint.errors import RecipeError
from counterpoint.model import Model
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose, from_json
from counterpoint.types import Batch, Clock, Context, Facts, Rows
from counterpoint.views import cut

SIDE = 16
FACTS = Facts("made", "photos", 3, SIDE, 40, 4, (0.5,) * 3, (0.25,) * 3, total_steps=10, steps_per_epoch=10)
SMALL, FLAT = ConvNet(8, (4, 4)), MLP((8,))
GIVEN = {
    "cpc": {"grid": 3, "steps": 2, "width": 8},
    "selfie": {"grid": 3, "masked": 4, "width": 8},
    "pirl": {"width": 8},
}


def made(name, trunk=SMALL, **dials):
    recipe = compose(name, FACTS, trunk, {"batch_size": 4, **GIVEN[name], **dials})
    with forked(0):
        return recipe, Model(recipe, FACTS).double()


def batch(size=4, seed=0):
    images = torch.randint(
        0, 256, (size, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    return Batch(images, torch.arange(size) + 5, torch.arange(size), torch.arange(size) % 4)


def context(step=0):
    return Context(Clock(step, 10, 10), Comm.alone(), Streams(0))


def through(name, trunk=SMALL, **dials):
    """Views that carry a gradient, and what the model makes of them."""
    recipe, model = made(name, trunk, **dials)
    seen = recipe.views(batch().images, Streams(0).at("views", 0))
    seen = [view.double().requires_grad_() for view in seen]
    rows = recipe.pairing.draw(Rows.of(batch(), len(seen)), Streams(0).at("pairing", 0))
    return recipe, model, seen, model(seen, rows)


def reached(value, views):
    """[view, image]: whether a value depends on that view of that image."""
    grads = torch.autograd.grad(value.square().sum(), views, retain_graph=True, allow_unused=True)
    return torch.stack([torch.zeros(4, dtype=torch.bool) if g is None else (g != 0).flatten(1).any(1) for g in grads])


@pytest.mark.parametrize(("name", "views"), [("pirl", 10), ("cpc", 9), ("selfie", 9)])
def test_it_steps_and_is_stored(name, views):
    recipe, model = made(name)
    assert len(recipe.views) == views
    assert from_json(recipe.to_json()) == replace(recipe, dials=from_json(recipe.to_json()).dials)
    done = compare(recipe, model, batch(), context())
    done.loss.total.backward()
    assert done.loss.total.isfinite()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without
    assert model.represent(batch().images.double() / 255).shape == (4, 8)


# ---------------------------------------------------------------- CPC


def test_the_context_of_cpc_is_causal_through_the_whole_model():
    _, _, views, encoded = through("cpc")
    for place in range(9):
        for image in range(4):
            seen = reached(encoded.p[4 * place + image], views)
            assert seen[place, image]
            assert not seen[(place // 3 + 1) * 3 :].any(), "a context sees a row that it has to predict"
            assert not seen[place + 1 :].any()
            others = torch.arange(4) != image
            assert not seen[:, others].any(), "a context sees another image"


def test_with_batch_norm_the_context_of_cpc_would_know_its_target():
    """What `WithoutBatchNorm` is there for: exchanged for the plain trunk, every patch reaches every context."""
    recipe, _ = made("cpc")
    plain = replace(recipe, encoder=replace(recipe.encoder, inner=SMALL))
    with forked(0):
        model = Model(plain, FACTS).double()
    views = [v.double().requires_grad_() for v in plain.views(batch().images, Streams(0).at("views", 0))]
    assert reached(model(views, Rows.of(batch(), 9)).p[0], views).all()


def test_cpc_asks_for_the_patch_below_of_the_same_image():
    recipe, model, _, encoded = through("cpc")
    matches = recipe.negatives.match(encoded, encoded, recipe.pairing, recipe.score, model.negatives, context())
    z = encoded.z.view(3, 3, 4, -1)
    for k, match in enumerate(matches, 1):
        (group,) = match.columns
        target = group.relation.block(slice(0, len(match.query)), slice(0, len(group.rows))).target
        torch.testing.assert_close(target.double() @ group.rows, z[k:].flatten(0, 2))
    assert len(matches) == 2


def test_cpc_may_leave_out_the_row_that_overlaps():
    recipe, model, _, encoded = through("cpc", nearest=2)
    (match,) = recipe.negatives.match(encoded, encoded, recipe.pairing, recipe.score, model.negatives, context())
    (group,) = match.columns
    assert (len(match.query), recipe.negatives.nearest) == (3 * 4, 2)
    torch.testing.assert_close(group.rows, encoded.z.view(3, 3, 4, -1)[2].flatten(0, 1))


@pytest.mark.parametrize(("name", "grid", "patch"), [("cpc", 15, 2), ("cpc", 7, 4), ("selfie", 8, 2), ("selfie", 2, 8)])
def test_the_finest_grid_has_patches_of_two_pixels_of_the_image(name, grid, patch):
    recipe = compose(name, FACTS, FLAT, {"grid": grid, "batch_size": 4})
    assert recipe.encoder.patch == patch
    assert recipe.views.policies[0].ops[0].size <= SIDE
    finer = {"cpc": 16, "selfie": 9}[name]
    with pytest.raises(RecipeError, match=f"grid is {finer}, but a patch has at least 2 px"):
        compose(name, FACTS, FLAT, {"grid": finer, "batch_size": 4})


# ---------------------------------------------------------------- Selfie


def test_selfie_does_not_see_what_it_has_to_find():
    # A trunk without batch norm, which both sides share and which is no part of the attention.
    _, _, views, encoded = through("selfie", FLAT)
    hidden = encoded.rows.hidden.view(9, 4)
    assert (hidden.sum(0) == 4).all()
    for image in range(4):
        seen = reached(encoded.p[image], views)
        assert torch.equal(seen[:, image], ~hidden[:, image])
        assert not seen[:, torch.arange(4) != image].any()


def test_selfie_with_other_places_finds_other_patches():
    """The place is what tells the hidden patches of an image apart: without it all predictions of an image are one."""
    _, model, _, encoded = through("selfie")
    p = encoded.p.view(9, 4, -1)
    assert (p - p[:1])[1:].abs().amax((1, 2)).min() > 1e-3
    with torch.no_grad():
        model.predictor.place.zero_()
    again = model.predictor(encoded.z, encoded.rows).view(9, 4, -1)
    torch.testing.assert_close(again, again[:1].expand_as(again))


# ---------------------------------------------------------------- PIRL


def test_pirl_lays_all_patches_side_by_side_and_keeps_them_from_the_image():
    _, model = made("pirl")
    views = [torch.rand(4, 3, SIDE, SIDE, dtype=torch.float64).requires_grad_(), *tiles(seed=0)]
    model.eval()
    encoded = model(views, Rows.of(batch(), 10))
    view, image = torch.arange(10)[:, None], torch.arange(4)
    for one in range(4):
        assert torch.equal(reached(encoded.z[one], views), (view == 0) & (image == one))
        assert not (reached(encoded.z[4 + one], views) & ~((view > 0) & (image == one))).any()
    # A patch whose units are all off reaches nothing, but not in every image.
    assert torch.equal(reached(encoded.z[4:8], views).any(1), view[:, 0] > 0)
    swapped = [views[0], views[2], views[1], *views[3:]]
    other = model(swapped, Rows.of(batch(), 10))
    assert (other.z[4:8] - encoded.z[4:8]).abs().amax(1).min() > 1e-4, "the order of patches is lost"
    torch.testing.assert_close(other.z[:4], encoded.z[:4])


def tiles(seed):
    sheet = torch.rand(4, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return [view.requires_grad_() for view in cut(sheet, 3)]


def test_pirl_shuffles_the_patches_of_each_image():
    recipe, _ = made("pirl")
    drawn = recipe.views.draw(batch(64).images, Streams(0).at("views", 0))
    orders = drawn[1][-1].order
    assert len(torch.unique(orders, dim=0)) > 60


def test_pirl_tells_rows_apart_by_a_softmax_or_as_the_paper_by_nce():
    """Only the softmax leaves the loss as it is where all features drift one way, before the bank can follow."""
    rows = {}
    for form, drawn in (("softmax", 64), ("softmax", 0), ("nce", 64)):
        recipe, model = made("pirl", form=form, negatives=drawn)
        compare(recipe, model, batch(), context())
        with torch.no_grad():
            before = compare(recipe, model, batch(), context()).loss.total
            # The same for each row of the bank: what a drift of all features adds to every score.
            model.negatives.rows.copy_(model.negatives.rows[:1].expand_as(model.negatives.rows))
            after = compare(recipe, model, batch(), context()).loss.total
        rows[form, drawn] = before, after
        assert recipe.negatives.inner.negatives == drawn
    for drawn, count in ((64, 65), (0, FACTS.images)):
        assert rows["softmax", drawn][1].item() == pytest.approx(math.log(count), rel=1e-6)
    assert (rows["nce", 64][1] - rows["nce", 64][0]).abs() > 1
    with pytest.raises(RecipeError, match="asks for drawn rows"):
        made("pirl", form="nce", negatives=0)


def test_rotation_is_another_pretext_of_pirl():
    recipe, model = made("pirl", pretext="rotation")
    assert len(recipe.views) == 2
    done = compare(recipe, model, batch(), context())
    assert len(done.matches) == 2
    assert done.loss.total.isfinite()


def test_an_encoder_of_one_size_gets_its_patches_enlarged():
    recipe, model = made("pirl", FLAT)
    assert set(recipe.views.size(SIDE, SIDE)) == {(SIDE, SIDE)}
    assert compare(recipe, model, batch(), context()).loss.total.isfinite()


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize("name", ["pirl", "cpc", "selfie"])
def test_in_chunks_the_gradient_is_that_of_the_whole(name):
    recipe, _ = made(name, FLAT)
    grads = []
    for chunks in (False, True):
        with forked(0):
            model = Model(recipe, FACTS).double()
        if chunks:
            chunked(recipe, model, batch(), context(), Numerics(), 3)
        else:
            compare(recipe, model, batch(), context()).loss.total.backward()
        grads.append({key: p.grad for key, p in model.named_parameters()})
    for key, grad in grads[0].items():
        torch.testing.assert_close(grads[1][key], grad, rtol=1e-8, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}")
