"""Seconds for the saliency of 100 pairs, beside one pair at a time.

python -m benchmarks.saliency
"""

import time

import torch

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint.encoders import lookup
from counterpoint.evaluation.saliency import pair_maps
from counterpoint.evaluation.watched import Watched, map_layer
from counterpoint.random import Streams, forked
from counterpoint.types import Facts
from counterpoint.views import Brightness, Chain, HFlip, ResizedCrop

__all__ = ["of_pairs", "rows"]

PAIRS, SIDE = 100, 32
GOAL = 20.0  # seconds


def of_pairs(name: str, crops: int) -> Row:
    """Views of the anchors included; one pair at a time is timed on ten of them."""
    with forked(0):
        encoder = lookup(name).build(Facts("made", "photos", 3, SIDE, 1000)).eval().requires_grad_(False)
    streams = Streams(0)
    images, partners = (streams.at(word).uniform(PAIRS, 3, SIDE, SIDE) for word in ("images", "partners"))
    network = Watched(encoder, map_layer(encoder, images[:1]))
    chain = Chain((ResizedCrop(SIDE, (0.5, 1.0)), HFlip(), Brightness()))

    def maps(some: slice) -> None:
        many = images[some].repeat_interleave(crops, 0)
        views = chain.apply(many, chain.draw(many, streams.at("views")))
        pair_maps(network, partners[some], views.unflatten(0, (-1, crops)))

    def one_by_one() -> None:
        for i in range(10):
            maps(slice(i, i + 1))

    begun = time.perf_counter()
    taken = middle(interleaved({"ours": lambda: maps(slice(None)), "theirs": one_by_one}, repeats=3))
    return Row(
        f"saliency of {PAIRS} pairs with {crops} crops, {name}, {SIDE} px",
        taken["ours"],
        10 * taken["theirs"],
        "s",
        "one pair at a time, ten times ten of them",
        taken["ours"],
        "at most",
        GOAL,
        f"ratio: seconds, wanted on two cores; {torch.get_num_threads()} threads; "
        f"all of this took {time.perf_counter() - begun:.0f} s",
    )


def rows() -> list[Row]:
    """All figures of this file."""
    return [of_pairs(name, crops) for name in ("conv", "pami") for crops in (8, 16)]


if __name__ == "__main__":
    show(rows())
