"""What a gate sees of a pair of images of one class, and where: similarity, maps of it, and what random weights say."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterpoint import sources
from counterpoint.app.saliency import crops_of
from counterpoint.embed import embed
from counterpoint.errors import RecipeError
from counterpoint.evaluation.gate_order import disjoint_pairs, gate_order
from counterpoint.evaluation.resampling import Estimate
from counterpoint.evaluation.saliency import enlarged, similarity_maps
from counterpoint.evaluation.saliency_quality import map_stability, plant, pointing_game, scrambled
from counterpoint.evaluation.watched import Images, Watched, map_layer
from counterpoint.model import Model
from counterpoint.random import Stream, Streams
from counterpoint.studies.simlap.classes import GATED, gates_of
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Embeddings
from counterpoint.views import as_float

__all__ = ["COUNTS", "GATES", "Looking", "game_of", "steadiness"]

GATES = {"own": "the gate of its class", "whole": "no gate", "other": "the gate of another class"}
COUNTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Looking:
    """CLAM: the cosine of z of two test images of one class, under gates, and where it comes from.

        order      of each network (`learned`, `untrained`) the mean cosine under each of `GATES`, and the share of the
                   pairs in which one is above another; `in order`: own > none > another
        steady     of each network, by the number of crops: rank correlation over places of two maps of an image, made
                   with different crops of its partner
        pointing   under each of `GATES`: how often the largest place of a map lies on an object of half the side that
                   was planted in a scene of shuffled pixels, for the network and for one with random weights

    A map is of an image, its partner is only what it is compared with. Norms of the random network have met the images.

    Source: Wu et al. 2024 for the score and its crops; Grad-CAM, planted objects and controls as in
        `counterpoint.evaluation.saliency_quality`.

    Args:
        pairs: of test images, at most; no image is in two.
        counts: of crops, with which maps are compared.
        crops: of a partner, in the pointing game.
    """

    pairs: int = 200
    counts: tuple[int, ...] = COUNTS
    crops: int = 16

    name = "looking"

    def __post_init__(self) -> None:
        if min(self.pairs, self.crops, *self.counts) < 1 or not self.counts:
            raise RecipeError(f"looking: pairs={self.pairs}, counts={self.counts}, crops={self.crops}; give 1 or more")

    def wanted(self, cell: Cell) -> bool:
        """Runs that have gates."""
        return cell.recipe in GATED

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises RecipeError where the encoder has no map, ShapeError where no two test images are of one class."""
        data: Dataset = trained.dataset
        test, seed = data.test, trained.cell.seed
        streams = Streams(seed)
        assert test.labels is not None
        first, second = disjoint_pairs(test.labels, self.pairs, streams.at("looking, pairs"))
        labels = test.labels[first]
        anchors, images = as_float(test.images[first]), as_float(test.images[second])
        views = _crops(anchors, 2 * max(self.counts), streams.at("looking, crops"), trained.model.facts.kind)
        planted, inside = _planted(images, streams.at("looking, scenes"))
        networks = {"learned": trained.model, "untrained": _met(trained.untrained, images)}
        gates = {name: gates_of(model) for name, model in networks.items()}
        others = (labels + streams.at("looking, others").integers(1, len(data.classes), len(labels))) % len(
            data.classes
        )
        watched = {name: _watched(model, images) for name, model in networks.items()}
        maps = {
            gate: [
                _maps(one, planted, views[:, : self.crops], None if which is None else gates[name][which])
                for name, one in watched.items()
            ]
            for gate, which in {"own": labels, "whole": None, "other": others}.items()
        }
        before: Embeddings = embed(trained.untrained, test, data, encoder="untrained")
        return {
            "pairs": len(labels),
            "order": {
                "learned": _order(trained.test, gates["learned"], self.pairs, seed),
                "untrained": _order(before, gates["untrained"], self.pairs, seed),
            },
            "steady": {
                name: steadiness(one, images, views, gates[name][labels], self.counts) for name, one in watched.items()
            },
            "pointing": {gate: game_of(one, control, inside, seed) for gate, (one, control) in maps.items()},
        }


def _order(rows: Embeddings, gates: Float[Tensor, "class dim"], pairs: int, seed: int) -> dict[str, float]:
    own = rows.labelled()
    assert own.z is not None
    assert own.labels is not None
    found = gate_order(own.z, own.labels, gates, pairs=pairs, seed=seed)
    told: dict[str, Estimate] = {
        "own": found.own,
        "whole": found.whole,
        "other": found.other,
        "own above whole": found.own_above_whole,
        "whole above other": found.whole_above_other,
        "own above other": found.own_above_other,
        "in order": found.in_order,
    }
    return {name: one.value for name, one in told.items()}


def _crops(anchors: Images, count: int, stream: Stream, kind: str) -> Float[Tensor, "row crop plane side side"]:
    """Views of each anchor, as saliency makes them."""
    chain = crops_of(anchors.shape[-1], kind)
    each = anchors.repeat_interleave(count, 0)
    return chain.apply(each, chain.draw(each, stream)).unflatten(0, (-1, count))


def _planted(images: Images, stream: Stream) -> tuple[Images, Bool[Tensor, "row height width"]]:
    """Each image at half its side in a scene of shuffled pixels of others, and where it is."""
    size = images.shape[-1]
    objects = sources.fit_images(images, max(1, size // 2))
    return plant(objects, scrambled(objects, len(objects), size, stream), stream)


@torch.no_grad()
def _met(model: Model, images: Images) -> Model:
    """A copy whose batch norms know the mean and the deviation of what they see, in place of 0 and 1."""
    copy = deepcopy(model)
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
            module.momentum = None
            module.reset_running_stats()
    copy.train()
    copy.towers.projector(copy.towers.encoder(copy.normalise(images)))
    return copy.eval()


def _watched(model: Model, images: Images) -> Watched:
    encoder = model.towers.encoder
    return Watched(encoder, map_layer(encoder, model.normalise(images[:1])), model.normalise, model.towers.projector)


def _maps(watched: Watched, images: Images, views: Tensor, gate: Tensor | None) -> Float[Tensor, "row height width"]:
    return enlarged(similarity_maps(watched, images, views, gate=gate).maps, images.shape[-2:])


def steadiness(
    watched: Watched,
    images: Float[Tensor, "row plane side side"],
    views: Float[Tensor, "row crop plane side side"],
    gates: Float[Tensor, "row dim"],
    counts: Sequence[int],
) -> dict[str, float]:
    """By the number of crops, how alike two maps of an image are, made with different crops of its partner.

    Args:
        watched: the network, up to z.
        images: in [0, 1].
        views: of each image's partner, twice as many as the largest count.
        gates: of each pair.
        counts: of crops.
    """
    told = map_stability(watched, images, views, gate=gates, detach=True, counts=counts)
    return {str(one.crops): one.correlation.value for one in told}


def game_of(
    maps: Float[Tensor, "row height width"], control: Float[Tensor, "row height width"], inside: Tensor, seed: int
) -> dict[str, float]:
    """The pointing game in plain numbers: `score`, `control`, `gain`, and by `chance`.

    Args:
        maps: of the network.
        control: of one with random weights.
        inside: the pixels of each image's object.
        seed: of the intervals, which are left out.
    """
    found = pointing_game(maps, control, inside, seed=seed)
    return {
        "score": found.score.value,
        "control": found.control.value,
        "gain": found.gain.value,
        "chance": found.chance,
    }
