"""DirectCLR: SimCLR without a projector, on the first dimensions of the representation alone.

Source: Jing et al. 2022, arXiv:2110.09348, section 6.
"""

from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, Truncated
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["directclr"]


@recipe
def directclr(
    facts: Facts,
    encoder: Encoder,
    *,
    share: float = 0.176,  # of h's dimensions that are compared, in (0, 1]; the paper has 360 of 2048
    temperature: float = 0.1,  # dimensionless, divides a cosine
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent over all views of a batch, of h's first dimensions; the rest of h learns through the layers below.

    With share 1 it is simclr without a projector. Meant for encoders whose last block adds to what it was given, so
    that the rest of h is fed from below. Deviation: AdamW with the square-root rule in place of LARS, as in simclr.
    """
    if not 0 < share <= 1:
        raise RecipeError(f"directclr: share is {share}, but it is a part of h's dimensions; give a number in (0, 1]")
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=Truncated(max(1, round(share * encoder.width)))),
        negatives=InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
