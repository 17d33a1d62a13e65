"""Saliency that points at what was planted, and not by chance; and how steady it is."""

from dataclasses import replace

import pytest
import torch
from benchmarks.pointing import Planted
from scipy.stats import spearmanr
from torch import nn

from counterpoint.errors import ShapeError
from counterpoint.evaluation.saliency import (
    enlarged,
    pair_maps,
    score_maps,
    similarity_maps,
)
from counterpoint.evaluation.saliency_quality import (
    map_stability,
    plant,
    pointing_game,
    rank_correlation,
    scrambled,
)
from counterpoint.evaluation.watched import Watched
from counterpoint.random import Stream, Streams
from counterpoint.views import Brightness, Chain, ResizedCrop

# ---------------------------------------------------------------- the parts


def test_an_object_lies_where_it_is_said_to_lie():
    objects = 0.5 + 0.5 * torch.rand(200, 3, 2, 2)
    images, inside = plant(objects, torch.zeros(200, 3, 4, 5), Stream(0))
    assert inside.sum((1, 2)).tolist() == [4] * 200
    assert torch.equal((images > 0).all(1), inside)
    corners = {tuple(where.nonzero()[0].tolist()) for where in inside}
    assert corners == {(down, across) for down in range(3) for across in range(4)}
    for image, thing, where in zip(images, objects, inside, strict=True):
        down, across = where.nonzero()[0].tolist()
        assert torch.equal(image[:, down : down + 2, across : across + 2], thing)
    with pytest.raises(ShapeError, match="do not fit into scenes"):
        plant(torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 4, 4), Stream(0))


def test_a_scene_has_the_pixels_of_objects_and_not_their_form():
    objects = torch.rand(3, 2, 4, 4)
    scenes = scrambled(objects, 5, 4, Stream(1))
    assert scenes.shape == (5, 2, 4, 4)
    known = objects.permute(0, 2, 3, 1).reshape(-1, 2)
    found = scenes.permute(0, 2, 3, 1).reshape(-1, 2)
    assert (found[:, None] == known).all(2).any(1).all()  # channels of a pixel stay together
    assert not any((scene == thing).all() for scene in scenes for thing in objects)
    assert torch.equal(scrambled(objects, 5, 4, Stream(1)), scenes)


def test_hits_by_hand():
    inside = torch.tensor([[True, False], [False, False]]).expand(4, 2, 2)
    maps = torch.tensor([[[3.0, 1.0], [0, 0]], [[1, 3], [0, 0]], [[2, 2], [0, 0]], [[0, 0], [0, 0]]])
    game = pointing_game(maps, maps.flip(2), inside)
    assert game.score.value == pytest.approx((1 + 0 + 1 / 2 + 1 / 4) / 4)
    assert game.control.value == pytest.approx((0 + 1 + 1 / 2 + 1 / 4) / 4)
    assert game.gain.value == pytest.approx(0)
    assert (game.chance, game.images) == (0.25, 4)
    assert game.gain.low < 0 < game.gain.high


def test_rank_correlation_is_scipys():
    one = torch.randint(0, 5, (20, 9), generator=torch.Generator().manual_seed(0)).float()
    other = torch.randint(0, 5, (20, 9), generator=torch.Generator().manual_seed(1)).float()
    expected = torch.tensor([spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]).float()
    torch.testing.assert_close(rank_correlation(one, other), expected)
    assert rank_correlation(torch.zeros(1, 4), torch.rand(1, 4)).isnan().all()


# ---------------------------------------------------------------- planted shapes, read by filters that know them

SHAPES = torch.tensor(
    [
        [[0.0, 1, 0], [1, 1, 1], [0, 1, 0]],
        [[1, 1, 1], [1, 0, 1], [1, 1, 1]],
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        [[1, 1, 1], [0, 0, 1], [0, 0, 1]],
    ]
)
PAIRS = 200


def reader(filters):
    """Nothing is learned: each channel answers to one shape, and h is the mean over the places."""
    convolution = nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False)
    centred = filters - filters.mean((1, 2), keepdim=True)
    convolution.weight.copy_((centred / torch.linalg.matrix_norm(centred, keepdim=True))[:, None])
    convolution.bias.fill_(-0.5)
    return Watched(nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "1")


@pytest.fixture(scope="module")
def shapes():
    """Which shape each pair shares, the anchors, the images, and where the shape is in them."""
    streams = Streams(0)
    which = streams.at("which").integers(0, 4, PAIRS)

    def scenes(stream):
        return plant(SHAPES[which][:, None], 0.5 * scrambled(SHAPES[:, None], PAIRS, 12, stream), stream)

    return which, scenes(streams.at("anchors"))[0], *scenes(streams.at("images"))


@pytest.mark.parametrize(("kind", "least"), [("both", 0.8), ("detached", 0.7), ("logit", 0.95)])
def test_maps_point_at_the_shape_that_two_images_share(shapes, kind, least):
    which, anchors, images, inside = shapes

    def maps(network):
        if kind == "logit":
            found = score_maps(network, images, lambda h: h.gather(1, which[:, None])[:, 0])
        else:
            found = (pair_maps if kind == "both" else similarity_maps)(network, images, anchors[:, None])
        return enlarged(found.maps, (12, 12))

    blind = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(0))
    game = pointing_game(maps(reader(SHAPES)), maps(reader(blind)), inside)
    assert game.chance == 9 / 144
    assert game.score.low > least
    assert game.gain.low > 0.05


@pytest.mark.parametrize("detach", [False, True])
def test_more_crops_make_a_steadier_map_of_either_kind(shapes, detach):
    _, anchors, images, _ = shapes
    chain = Chain((ResizedCrop(12, (0.5, 1.0)), Brightness()))
    some = anchors[:60].repeat_interleave(32, 0)
    views = chain.apply(some, chain.draw(some, Stream(0))).unflatten(0, (60, 32))
    told = map_stability(reader(SHAPES), images[:60], views, counts=(1, 4, 16), detach=detach)
    assert [one.crops for one in told] == [1, 4, 16]
    assert told[0].correlation.value < told[1].correlation.value < told[2].correlation.value
    same = views[:, :1].expand(-1, 4, -1, -1, -1)
    (alike,) = map_stability(reader(SHAPES), images[:60], same, counts=(2,), detach=detach)
    assert alike.correlation.low == pytest.approx(1)
    with pytest.raises(ShapeError, match="twice as many views"):
        map_stability(reader(SHAPES), images[:60], views, counts=(17,), detach=detach)
    silent = replace(reader(SHAPES), after=nn.Linear(4, 3, bias=False).requires_grad_(False))
    silent.after.weight.zero_()
    with pytest.raises(ShapeError, match="the same everywhere"):
        map_stability(silent, images[:5], views[:5], counts=(2,), detach=detach)


def test_hits_without_ties_have_wilsons_interval():
    inside = torch.zeros(50, 4, 4, dtype=torch.bool)
    inside[:, 0, 0] = True
    game = pointing_game(inside.float(), torch.zeros(50, 4, 4), inside)
    assert (game.score.value, game.score.high) == (1, 1)
    assert 0.92 < game.score.low < 0.94
    assert game.control.value == game.control.low == 1 / 16  # a tie of all: a fraction, the same of every image


# ---------------------------------------------------------------- planted digits, read by what has learned them


@pytest.fixture(scope="module")
def planted():
    return Planted(steps=140)


@pytest.mark.slow
def test_maps_of_what_was_learned_point_at_what_was_learned(planted):
    assert planted.accuracy > 0.8
    both, detached, logit = planted.games().values()
    assert both.chance == pytest.approx(64 / 20**2)
    assert both.score.low > 0.8
    assert both.gain.low > 0.3
    assert detached.score.low > 2 * detached.chance
    assert detached.gain.low > 0.1
    assert logit.score.low > 0.9
    assert logit.gain.low > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("detach", [False, True])
def test_more_crops_make_a_steadier_map_of_what_was_learned(planted, detach):
    network = planted.watched(planted.learned)
    told = map_stability(network, planted.images[:60], planted.crops(60, 32), counts=(1, 4, 16), detach=detach)
    assert told[0].correlation.value < told[1].correlation.value < told[2].correlation.value
    assert told[2].correlation.low > told[0].correlation.high
    assert 50 <= told[0].pairs <= 60
