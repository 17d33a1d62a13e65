"""Two linear networks that collapse: one by strong augmentation, one by its depth.

Source: Jing et al. 2022, arXiv:2110.09348, sections 4 and 5, and the toy tasks of the authors' code, whose sizes, rates
and numbers of steps are the defaults here. Ours differs: the spectrum of the embeddings is that of the data's law,
W W', where theirs is of a thousand fresh points; and a batch is drawn with replacement.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.random import Stream, Streams

__all__ = ["Course", "collapse_by_augmentation", "collapse_by_depth"]

WIDTH = 16
POINTS = 10_000
BATCH = 128
TEMPERATURE = 0.1
DECAY = 0.35  # of the singular values that a deep network starts with, exp(-0.35 i)


@dataclass(frozen=True, eq=False)
class Course:
    """What became of a network.

    Args:
        step: at which it was looked at, from 0.
        embedding: eigenvalues of the covariance of its embeddings then, descending.
        layers: singular values of each weight matrix then, descending.
        overlap: |cosines| of the right singular vectors of the last layer, rows, and the left ones of the layer before
            it: the identity where layers have aligned, and any turn of it within equal singular values; None of one
            layer.
    """

    step: Int64[Tensor, " look"]
    embedding: Float64[Tensor, "look dim"]
    layers: Float64[Tensor, "look layer dim"]
    overlap: Float64[Tensor, "look dim dim"] | None

    def collapsed(self, below: float = 0.1) -> Int64[Tensor, " look"]:
        """How many directions have less than this share of the largest variance."""
        return (self.embedding < below * self.embedding[:, :1]).sum(1)


def collapse_by_augmentation(
    noise: float = 1.5, *, noisy: int = 8, lr: float = 1e-3, steps: int = 10_000, every: int = 100, seed: int = 0
) -> Course:
    """One linear layer with bias; views are points of N(0, I) plus noise in the last dimensions.

    Where noise outweighs the data, the network unlearns the direction.

    Args:
        noise: standard deviation of each view's noise, >= 0; the data's is 1.
        noisy: dimensions that have it, in [0, 16].
        lr: of plain gradient descent.
        steps: >= 1.
        every: steps between two looks.
        seed: of weights, data, batches and noise.

    Raises:
        RecipeError: a number out of its range.
    """
    _check(noise)
    if not 0 <= noisy <= WIDTH:
        raise RecipeError(f"the toy has {WIDTH} dimensions, but noise was asked for in {noisy}; give 0 to {WIDTH}")
    bound = WIDTH**-0.5
    start = Streams(seed).at("weights")
    weight = start.uniform(WIDTH, WIDTH, low=-bound, high=bound)
    bias = start.uniform(WIDTH, low=-bound, high=bound)
    scale = torch.zeros(WIDTH)
    scale[WIDTH - noisy :] = noise
    return _course([weight], bias, scale, lr, steps, every, seed)


def collapse_by_depth(
    layers: int = 2,
    *,
    as_one: bool = False,
    noise: float = 1e-3,
    lr: float = 1e-2,
    steps: int = 10_000,
    every: int = 100,
    seed: int = 0,
) -> Course:
    """Linear layers without bias, with hardly any noise: what is strong grows first, and what is weak stays behind.

    Each layer starts with singular values exp(-0.35 i) and singular vectors of its own, so that most directions are
    weak from the start, the more so the more layers there are.

    Args:
        layers: >= 1.
        as_one: train their product as one layer: the control, which starts from the same embeddings.
        noise: standard deviation of each view's noise, in every dimension, >= 0.
        lr: of plain gradient descent.
        steps: >= 1.
        every: steps between two looks.
        seed: of weights, data, batches and noise.

    Raises:
        RecipeError: a number out of its range.
    """
    _check(noise)
    if layers < 1:
        raise RecipeError(f"a network of {layers} layers was asked for; give 1 or more")
    start = Streams(seed).at("weights")
    values = torch.exp(-DECAY * torch.arange(WIDTH))
    weights: list[Tensor] = []
    for _ in range(layers):
        left, _, right = torch.linalg.svd(start.uniform(WIDTH, WIDTH))
        weights.append(left @ values.diag() @ right)
    weights = [_product(weights)] if as_one else weights
    return _course(weights, None, torch.full((WIDTH,), noise), lr, steps, every, seed)


def _product(weights: list[Tensor]) -> Tensor:
    whole = weights[0]
    for weight in weights[1:]:
        whole = weight @ whole
    return whole


def _check(noise: float) -> None:
    if not 0 <= noise < inf:
        raise RecipeError(f"the toy got noise of {noise}; expected a standard deviation of 0 or more")


def _course(
    weights: list[Tensor], bias: Tensor | None, scale: Tensor, lr: float, steps: int, every: int, seed: int
) -> Course:
    if steps < 1 or every < 1 or not lr > 0:
        raise RecipeError(
            f"the toy got {steps} steps with a look every {every} and rate {lr}; "
            "expected 1 or more, 1 or more, and a rate above 0"
        )
    streams = Streams(seed)
    points = streams.at("points").normal(POINTS, WIDTH)
    stream = streams.at("batches")
    looks: list[tuple[Tensor, Tensor, Tensor]] = []
    when = [step for step in range(steps + 1) if step % every == 0 or step == steps]
    for step in range(steps + 1):
        if step in when[len(looks) : len(looks) + 1]:
            looks.append(_look(weights))
        if step < steps:
            _descend(weights, bias, *_views(points, scale, stream), lr)
    embedding, layers, overlap = (torch.stack(each) for each in zip(*looks, strict=True))
    return Course(torch.tensor(when), embedding, layers, overlap if len(weights) > 1 else None)


def _views(points: Tensor, scale: Tensor, stream: Stream) -> tuple[Tensor, Tensor]:
    batch = points[stream.integers(0, POINTS, BATCH)]
    return batch + stream.normal(BATCH, WIDTH) * scale, batch + stream.normal(BATCH, WIDTH) * scale


def _descend(weights: list[Tensor], bias: Tensor | None, one: Tensor, other: Tensor, lr: float) -> None:
    """One step down the mean cross-entropy of each first view's inner products with the second ones, by hand."""
    held = [(one, other)]
    for weight in weights:
        held.append((held[-1][0] @ weight.T, held[-1][1] @ weight.T))
    x, y = held[-1] if bias is None else (held[-1][0] + bias, held[-1][1] + bias)
    slope = (x @ y.T / TEMPERATURE).softmax(1)
    slope.diagonal().sub_(1)
    slope /= len(x) * TEMPERATURE
    dx, dy = slope @ y, slope.T @ x
    if bias is not None:
        bias -= lr * (dx.sum(0) + dy.sum(0))
    for weight, (a, b) in zip(reversed(weights), reversed(held[:-1]), strict=True):
        change = dx.T @ a + dy.T @ b
        dx, dy = dx @ weight, dy @ weight
        weight -= lr * change


def _look(weights: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of the embeddings, of each layer, and of the last two layers with each other."""
    every = [weight.double() for weight in weights]
    overlap = (torch.linalg.svd(every[-1]).Vh @ torch.linalg.svd(every[max(0, len(every) - 2)]).U).abs()
    return (
        torch.linalg.svdvals(_product(every)).square(),
        torch.stack([torch.linalg.svdvals(w) for w in every]),
        overlap,
    )
