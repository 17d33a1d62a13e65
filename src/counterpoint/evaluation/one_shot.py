"""Naming an image from one example of each class: what siamese networks promise of classes never trained on."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import CELLS, Features, Labels, blocks, labelled
from counterpoint.evaluation.resampling import Estimate, of_draws
from counterpoint.random import Stream, Streams
from counterpoint.sphere import unit

__all__ = ["Metric", "OneShot", "one_shot"]

Metric = Literal["cosine", "euclidean"]


@dataclass(frozen=True)
class OneShot:
    """Share of queries that are nearest to their own class.

    Args:
        accuracy: mean over episodes with Student's t interval of that mean; the images are held fixed.
        ways, shots: classes of an episode, and examples of each.
        episodes: how many were played.
        classes: how many they were drawn from.
        chance: 1 / ways.
    """

    accuracy: Estimate
    ways: int
    shots: int
    episodes: int
    classes: int
    chance: float


def _distinct(sizes: Int64[Tensor, "*case"], count: int, stream: Stream) -> Int64[Tensor, "*case count"]:
    """`count` different numbers below each size, uniformly: each skips those taken before it."""
    taken = sizes.new_empty(*sizes.shape, 0)
    for j in range(count):
        left = sizes - j
        drawn = (stream.uniform(*sizes.shape).to(torch.float64) * left).long().clamp(max=left - 1)
        for lower in taken.sort(-1).values.unbind(-1):
            drawn += drawn >= lower
        taken = torch.cat((taken, drawn[..., None]), -1)
    return taken


def _nearest(
    support: Float[Tensor, "episode way width"], query: Float[Tensor, "episode query width"], metric: Metric
) -> Int64[Tensor, "episode query"]:
    similarity = query @ support.mT
    if metric == "euclidean":
        similarity = 2 * similarity - support.square().sum(-1)[:, None]
    return similarity.argmax(-1)


@torch.no_grad()
def one_shot(
    embeddings: Features,
    labels: Labels | None = None,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 1,
    episodes: int = 10_000,
    metric: Metric = "cosine",
    seed: int = 0,
) -> OneShot:
    """N-way classification by the nearest class mean of a few examples, over many random episodes.

    An episode draws `ways` classes, and of each `shots` examples and `queries` other images; a query is right where
    the mean of its own class's examples is nearest, of equals the first. All episodes are computed together.

    Source: Vinyals et al. 2016, "Matching networks for one shot learning", section 2.2; the class mean: Snell et al.
    2017, "Prototypical networks", equation 1.

    Args:
        embeddings: rows of one encoder; those of label -1 are left out.
        labels: in place of the labels of Embeddings.
        ways: classes of an episode, at least 2.
        shots: examples of each class, at least 1.
        queries: of each class, at least 1.
        episodes: at least 1.
        metric: `cosine` of unit rows, or `euclidean` distance of rows as they are.
        seed: of the draws; the same episodes for every encoder of the same rows.

    Raises:
        ShapeError: no labels, numbers out of range, or too few classes with `shots + queries` rows.

    Example:
        >>> x = torch.eye(2).repeat(3, 1)
        >>> one_shot(x, torch.tensor([0, 1]).repeat(3), ways=2, episodes=10).accuracy.value
        1.0
    """
    rows, known = labelled(embeddings, labels, "test")
    if ways < 2 or shots < 1 or queries < 1 or episodes < 1:
        raise ShapeError(
            f"one-shot got ways={ways}, shots={shots}, queries={queries} and episodes={episodes}; expected at least 2 "
            "ways and at least 1 of each other"
        )
    known = known.cpu()
    _, dense, sizes = known.unique(return_inverse=True, return_counts=True)
    order = dense.argsort(stable=True)
    start = sizes.cumsum(0) - sizes
    kept = torch.nonzero(sizes >= shots + queries)[:, 0]
    if len(kept) < ways:
        raise ShapeError(
            f"{ways}-way episodes of {shots} + {queries} images need {ways} classes with so many, but {len(kept)} of "
            f"the {len(sizes)} classes have them; ask for fewer ways, or give more images"
        )
    rows = unit(rows) if metric == "cosine" else rows
    stream = Streams(seed).at("episodes", ways, shots, queries)
    chosen = kept[_distinct(torch.full((episodes,), len(kept)), ways, stream)]
    picked = order[start[chosen][..., None] + _distinct(sizes[chosen], shots + queries, stream)].to(rows.device)
    truth = torch.arange(ways, device=rows.device).repeat_interleave(queries)
    right: list[Tensor] = []
    for part in blocks(episodes, ways * (shots + queries) * rows.shape[1], CELLS // 4):
        support = rows[picked[part, :, :shots]].mean(2)
        support = unit(support.flatten(0, 1)).view_as(support) if metric == "cosine" else support
        query = rows[picked[part, :, shots:]].flatten(1, 2)
        right.append((_nearest(support, query, metric) == truth).double().mean(1))
    estimate, _ = of_draws(torch.cat(right).cpu())
    return OneShot(estimate, ways, shots, episodes, len(kept), 1 / ways)
