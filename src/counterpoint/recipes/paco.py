"""PaCo: supervised contrast with a queue, and a learned centre for each class in the same denominator.

Source: Cui et al. 2021, arXiv:2107.12028, section 3, and the authors' code.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Parametric
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["paco"]


@recipe
def paco(
    facts: Facts,
    encoder: Encoder,
    *,
    alpha: float = 0.01,  # weight of a feature of the anchor's class, where its centre has 1
    queue: int = 1024,  # keys of earlier steps, with their labels
    momentum: float = 0.99,  # of the moving average that encodes the keys
    long_tailed: bool = False,  # add the log of each class' frequency to the logit of its centre
    temperature: float = 0.07,  # dimensionless, divides a cosine; logits of centres are not divided
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The first view queries; a moving average encodes the second, which queue and denominator take.

    The paper has on ImageNet alpha 0.05, a queue of 8,192, a temperature of 0.2 and a momentum of 0.999. The more of an
    anchor's class are in sight, the less its centre counts: alpha goes with classes / (queue + 2 * batch). Deviation:
    one policy for both views, where the paper has a weak and a strong one; AdamW in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width)),
        target=MovingAverage(momentum, when="before", queries=1),
        negatives=Parametric(alpha, queue=queue, long_tailed=long_tailed, scale=temperature),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
