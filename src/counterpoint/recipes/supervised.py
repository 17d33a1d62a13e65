"""Supervised baseline: each image against one learned centre per class, which is softmax cross-entropy.

Source: the comparison of Khosla et al. 2020, section 3.2.1; Nissani's supervised net has the same objective.
"""

from counterpoint.heads import Heads, Identity
from counterpoint.negatives import Centres
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Dot
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, default, named

__all__ = ["supervised"]


@recipe
def supervised(
    facts: Facts,
    encoder: Encoder,
    *,
    policy: str | None = None,  # of the view; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Cross-entropy of one augmented view, under the first policy of the views that the contrastive recipes use."""
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=Views(named(policy, size=facts.size, channels=facts.channels).policies[:1]),
        encoder=encoder,
        heads=Heads(projector=Identity()),
        negatives=Centres(),
        score=Dot(),
        objective=Contrast(1.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
