"""Saliency that points at what was planted, and not by chance; and how steady it is."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from counterpoint import sources
from counterpoint.encoders import ConvNet
from counterpoint.errors import ShapeError
from counterpoint.evaluation.saliency import (
    Watched,
    enlarged,
    map_layer,
    pair_maps,
    scaled,
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
from counterpoint.random import Stream, Streams, forked
from counterpoint.types import Facts
from counterpoint.views import Brightness, Chain, ResizedCrop

SIDE, BATCH, STEPS = 20, 128, 140


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


# ---------------------------------------------------------------- planted digits


class Planted:
    """An encoder that learned to name digits in clutter, one that learned nothing, and pairs that share a digit."""

    def __init__(self):
        digits, streams = sources.Digits().load(), Streams(0)

        def scenes(split, index, stream):
            objects = split.images.float() / 255
            return plant(objects[index], scrambled(objects, len(index), SIDE, stream), stream)

        with forked(0):
            facts = Facts("planted", "glyphs", 1, SIDE, len(digits.train))
            self.learned, self.control = (ConvNet(64, (16, 32), 16).build(facts) for _ in range(2))
            self.head = nn.Linear(64, 10)
        parameters = [*self.learned.parameters(), *self.head.parameters()]
        optimizer = torch.optim.Adam(parameters, 5e-3)
        fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
        for step in range(STEPS):
            stream = streams.at("train", step)
            index = stream.integers(0, len(digits.train), BATCH)
            x, _ = scenes(digits.train, index, stream)
            loss = functional.cross_entropy(self.head(self.learned(x)), digits.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fall.step()
        stream, labels = streams.at("test"), digits.test.labels
        index = stream.permutation(len(labels))[:240]
        order = index[labels[index].argsort(stable=True)]
        first, second = order[:-1], order[1:]  # neighbours in the order of classes
        same = labels[first] == labels[second]
        self.first, self.second, self.labels = first[same], second[same], labels[second[same]]
        self.anchors, _ = scenes(digits.test, self.first, stream)
        self.images, self.inside = scenes(digits.test, self.second, stream)
        with torch.no_grad():
            self.control.train()(self.images)  # its batch norms have met the data too
            self.accuracy = float((self.head(self.learned.eval()(self.images)).argmax(1) == self.labels).float().mean())

    def watched(self, encoder):
        return Watched(encoder, map_layer(encoder, self.images[:1]))

    def game(self, maps):
        """Of both encoders."""
        both = [scaled(enlarged(maps(self.watched(one)).maps, (SIDE, SIDE))) for one in (self.learned, self.control)]
        return pointing_game(*both, self.inside)


@pytest.fixture(scope="module")
def planted():
    return Planted()


@pytest.mark.slow
def test_the_map_of_a_similarity_points_at_what_makes_it(planted):
    assert planted.accuracy > 0.8
    both = planted.game(lambda network: pair_maps(network, planted.images, planted.anchors[:, None]))
    assert both.chance == pytest.approx(64 / SIDE**2)
    assert both.score.low > 0.8
    assert both.gain.low > 0.3
    detached = planted.game(lambda network: similarity_maps(network, planted.images, planted.anchors[:, None]))
    assert detached.score.low > 2 * detached.chance
    assert detached.gain.low > 0.1


@pytest.mark.slow
def test_the_map_of_a_class_points_at_what_is_of_the_class(planted):
    def says(h):
        return planted.head(h).gather(1, planted.labels[:, None])[:, 0]

    game = planted.game(lambda network: score_maps(network, planted.images, says))
    assert game.score.low > 0.9
    assert game.gain.low > 0.3


@pytest.mark.slow
def test_more_crops_make_a_steadier_map(planted):
    chain = Chain((ResizedCrop(SIDE, (0.5, 1.0)), Brightness()))
    some = planted.anchors[:60].repeat_interleave(32, 0)
    views = chain.apply(some, chain.draw(some, Stream(0))).unflatten(0, (60, 32))
    network = planted.watched(planted.learned)
    told = map_stability(network, planted.images[:60], views, counts=(1, 4, 16))
    assert [one.crops for one in told] == [1, 4, 16]
    assert told[0].correlation.value < told[1].correlation.value < told[2].correlation.value
    assert told[2].correlation.low > told[0].correlation.high
    assert 50 <= told[0].pairs <= 60
    with pytest.raises(ShapeError, match="twice as many views"):
        map_stability(network, planted.images[:60], views, counts=(17,))


@pytest.mark.slow
def test_maps_of_the_same_crops_agree_wholly(planted):
    views = planted.anchors[:5, None].expand(-1, 4, -1, -1, -1)
    (told,) = map_stability(planted.watched(planted.learned), planted.images[:5], views, counts=(2,))
    assert told.correlation.low == pytest.approx(1)
    silent = replace(planted.watched(planted.learned), after=nn.Linear(64, 3, bias=False).requires_grad_(False))
    silent.after.weight.zero_()
    with pytest.raises(ShapeError, match="the same everywhere"):
        map_stability(silent, planted.images[:5], views, counts=(2,))
