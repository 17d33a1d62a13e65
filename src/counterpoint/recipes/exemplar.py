"""Exemplar: each image is a class of its own, and its views are told from those of all others by a classifier.

Source: Dosovitskiy et al. 2014, arXiv:1406.6909, equation 1.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Exemplars
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Dot
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, default, named

__all__ = ["exemplar"]


@recipe
def exemplar(
    facts: Facts,
    encoder: Encoder,
    *,
    width: int = 128,  # of the projection z, which the classifier reads
    policy: str | None = None,  # of the view; none: what suits the source
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Softmax cross-entropy over the images, one augmented view of each.

    Deviation: all images are classes, where the paper takes some thousands of patches, and more views of each; the
    views are those that suit the source. The classifier reads a projection, so that it does not grow with the encoder.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=Views(named(policy, size=facts.size, channels=facts.channels).policies[:1]),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(), out=width)),
        negatives=Exemplars(),
        score=Dot(),
        objective=Contrast(1.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
