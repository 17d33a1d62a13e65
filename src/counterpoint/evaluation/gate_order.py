"""Does a class's gate see what a pair of the class has in common, and another class's gate less of it?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.resampling import Estimate, bootstrap, wilson
from counterpoint.evaluation.saliency import under_gate
from counterpoint.random import Stream, Streams

__all__ = ["GateOrder", "disjoint_pairs", "gate_order"]


@dataclass(frozen=True)
class GateOrder:
    """Cosine similarity of pairs of one class, and how often it stands in the order that is claimed.

    Args:
        own: under the gate of the pair's class, mean over pairs.
        whole: without a gate.
        other: under the gate of another class, drawn for each pair.
        own_above_whole, whole_above_other, own_above_other: share of the pairs, with
            Wilson's interval.
        in_order: the same of the pairs with own > whole > other.
        pairs: counted; no image is in two of them.
    """

    own: Estimate
    whole: Estimate
    other: Estimate
    own_above_whole: Estimate
    whole_above_other: Estimate
    own_above_other: Estimate
    in_order: Estimate
    pairs: int


def gate_order(
    z: Float[Tensor, "row dim"],
    labels: Int64[Tensor, " row"],
    gates: Float[Tensor, "class gated"],
    *,
    pairs: int = 200,
    seed: int = 0,
) -> GateOrder:
    """Similarity of pairs of one class under its own gate, under none, and under another class's.

    Each image is in one pair at most, so that the intervals over pairs are honest; where a class has few images, fewer
    pairs than asked for are counted.

    Source: what SimLAP says of its gates in words and pictures; the rates and their intervals are ours.

    Args:
        z: what the gates were learned on: the projection.
        labels: class of each row, -1 unknown.
        gates: of each class, >= 0; for pairs of classes, of the class with itself.
        pairs: at most.
        seed: of the pairs, of the other classes, and of the bootstrap over pairs.

    Raises:
        ShapeError: widths that differ, a label without a gate, fewer than two gates, or no two images of a class.
    """
    if z.shape[1] != gates.shape[1] or len(gates) < 2 or (len(labels) and int(labels.max()) >= len(gates)):
        raise ShapeError(
            f"{len(gates)} gates of width {gates.shape[1]} arrived for rows of width {z.shape[1]} and labels up to "
            f"{int(labels.max()) if len(labels) else -1}; give one gate of that width for each of two classes or more"
        )
    streams = Streams(seed)
    first, second = disjoint_pairs(labels.cpu(), pairs, streams.at("pairs"))
    label = labels[first].cpu()
    other = (label + streams.at("others").integers(1, len(gates), len(label))) % len(gates)
    one, two, gate = z[first].double(), z[second].double(), gates.detach().double()

    def similarity(g: Tensor | None) -> Tensor:
        return (under_gate(one, g) * under_gate(two, g)).sum(1)

    own, whole, less = similarity(gate[label]), similarity(None), similarity(gate[other])

    def share(holds: Tensor) -> Estimate:
        return wilson(int(holds.sum()), len(holds))

    return GateOrder(
        own=bootstrap(own, seed=seed),
        whole=bootstrap(whole, seed=seed),
        other=bootstrap(less, seed=seed),
        own_above_whole=share(own > whole),
        whole_above_other=share(whole > less),
        own_above_other=share(own > less),
        in_order=share((own > whole) & (whole > less)),
        pairs=len(first),
    )


def disjoint_pairs(
    labels: Int64[Tensor, " row"], pairs: int, stream: Stream
) -> tuple[Int64[Tensor, " pair"], Int64[Tensor, " pair"]]:
    """Pairs of rows of one class, no row in two of them, drawn at random from a random pairing of each class.

    Args:
        labels: class of each row, -1 unknown.
        pairs: at most.
        stream: of the draws.

    Raises:
        ShapeError: no two rows are of one class.
    """
    order = stream.permutation(len(labels))
    order = order[labels[order].argsort(stable=True)]
    order = order[labels[order] >= 0]
    known = labels[order]
    place = torch.arange(len(order)) - torch.searchsorted(known, known)
    alike = torch.zeros(len(order), dtype=torch.bool)
    alike[:-1] = (place[:-1] % 2 == 0) & (known[:-1] == known[1:])
    start = alike.nonzero()[:, 0]
    if not len(start):
        raise ShapeError(f"none of {len(labels)} rows shares its class with another; give at least two of a class")
    start = start[stream.permutation(len(start))[:pairs]]
    return order[start], order[start + 1]
