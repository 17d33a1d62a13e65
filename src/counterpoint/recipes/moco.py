"""MoCo: a view finds the key that a slow copy of the network makes of its other view, among a queue of earlier keys.

Source: He et al. 2020, arXiv:1911.05722, algorithm 1; Chen et al. 2020, arXiv:2003.04297 (v2).
"""

from counterpoint.encoders import SplitBatchNorm
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Queue
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["moco"]


@recipe
def moco(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.2,  # dimensionless, divides a cosine; v1: 0.07, the authors' CIFAR code: 0.1
    queue: int = 4096,  # keys kept; the paper's 65,536 on ImageNet
    momentum: float = 0.99,  # of the moving average; the paper's 0.999 on ImageNet
    symmetric: bool = False,  # both views query, and both keys enter the queue
    split: int = 8,  # groups of a batch with BatchNorm statistics of their own, keys shuffled among them; 1: one
    hidden: int | None = None,  # of the head's one hidden layer; none: the encoder's width; 0: no such layer (v1)
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source; v1: instdisc, v2: moco-v2
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Version 2; with `hidden=0 temperature=0.07 policy=instdisc` it is version 1.

    Queue, momentum and split are those of the authors' CIFAR code. Deviation: AdamW with the square-root rule in place
    of SGD, as in simclr. The symmetric loss is the mean of its halves; the authors' code sums them.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    hidden = encoder.width if hidden is None else hidden
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=SplitBatchNorm(encoder, max(2, batch_size // split)) if split > 1 else encoder,
        heads=Heads(projector=MLPHead(hidden=(hidden,) if hidden else (), out=width, batch_norm=False)),
        target=MovingAverage(momentum, when="before", queries=None if symmetric else 1, shuffle=split > 1),
        negatives=Queue(queue, symmetric),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
