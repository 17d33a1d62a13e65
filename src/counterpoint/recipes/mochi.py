"""MoCHi: MoCo with more and harder negatives, mixed from each query's hardest keys of the queue.

Source: Kalantidis et al. 2020, arXiv:2010.01028, equations 3 and 4.
"""

from counterpoint.encoders import in_groups
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Mixed, Queue
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["mochi"]


@recipe
def mochi(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.2,  # dimensionless, divides a cosine
    queue: int = 4096,  # keys kept; the paper's 65,536 on ImageNet
    hardest: int | None = None,  # N: nearest keys of a query, which are mixed; none: 128 or a shorter queue; paper 1024
    mixed: int = 32,  # s: mixtures of two of them for each query; the paper's 1024 or 512
    with_query: int = 16,  # s': mixtures of one of them with the query; the paper's 128 or 256
    start: float | None = None,  # epoch at which mixing begins; none: a tenth of the run, at most 10
    momentum: float = 0.99,  # of the moving average; the paper's 0.999
    split: int | None = None,  # groups of a batch that BatchNorm sees apart, keys shuffled among them; none: at most 8
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source; the paper's: moco-v2
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """MoCo v2 of the recipe moco, with mixtures: `mixed=0 with_query=0` is moco.

    Deviation: numbers of keys that fit a queue of 4,096, for which the paper gives none; AdamW as in moco.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    start = min(10, epochs / 10) if start is None else start
    hardest = min(128, queue) if hardest is None else hardest
    apart = in_groups(encoder, batch_size, split)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=apart,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width, batch_norm=False)),
        target=MovingAverage(momentum, when="before", queries=1, shuffle=apart is not encoder),
        negatives=Mixed(Queue(queue), hardest, mixed, with_query, start),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
