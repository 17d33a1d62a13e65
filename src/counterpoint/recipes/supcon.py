"""SupCon: all views of all images of a class agree, the images of other classes repel.

Source: Khosla et al. 2020, arXiv:2004.11362, equation 2 (L_out).
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["supcon"]


@recipe
def supcon(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.1,  # dimensionless, divides a cosine
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent with every view of the anchor's class as a positive; the mean over them stands outside the logarithm.

    Deviation: the released code multiplies the loss by temperature / 0.07; this is the paper's equation, without it.
    AdamW with the square-root rule in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width, batch_norm=False)),
        negatives=InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
