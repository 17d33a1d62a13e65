"""GPaCo: PaCo with one network for both views, each an anchor, and smoothed centres.

Source: Cui et al. 2023, arXiv:2209.12400, and the authors' code.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Parametric
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["gpaco"]


@recipe
def gpaco(
    facts: Facts,
    encoder: Encoder,
    *,
    alpha: float = 0.01,  # weight of a feature of the anchor's class, where its centre has 1
    queue: int = 1024,  # features of earlier steps, with their labels
    smoothing: float = 0.1,  # share of a centre's weight that goes to the other centres
    long_tailed: bool = False,  # add the log of each class' frequency to the logit of its centre
    temperature: float = 0.07,  # dimensionless, divides a cosine; logits of centres are not divided
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Alpha, queue and temperature are the authors' for CIFAR-100, the smoothing theirs for ImageNet.

    On ImageNet they take alpha 0.05, a queue of 8,192 and a temperature of 0.2. Deviation: one policy for both views,
    where the paper has two; AdamW in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width, encoder.width), out=width, batch_norm=False)),
        negatives=Parametric(alpha, queue=queue, smoothing=smoothing, long_tailed=long_tailed, scale=temperature),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
