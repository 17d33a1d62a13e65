"""SimCLR: two augmented views of one image agree, all other images of the batch repel.

Source: Chen et al. 2020, arXiv:2002.05709, algorithm 1.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["simclr"]


@recipe
def simclr(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.5,  # dimensionless, divides a cosine
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent over all views of a batch.

    Deviation: AdamW with the square-root rule in place of LARS, which the paper needs for batches of thousands; small
    encoders on small batches learn faster with it. `--set optim=counterpoint.optim:LARS(lr=1.0)` brings it back.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
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
