"""Pairwise: two views of one image point one way, an image of another class points another way.

Source: the PAMI practicum's cosine pairs; torch.nn.CosineEmbeddingLoss.
"""

from counterpoint.heads import Heads, Identity
from counterpoint.negatives import Drawn
from counterpoint.objectives import CosineEmbedding
from counterpoint.optim import SGD
from counterpoint.pairing import SameClass, SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import named

__all__ = ["pairwise"]


@recipe
def pairwise(
    facts: Facts,
    encoder: Encoder,
    *,
    policy: str = "pami-fer",  # of the views: the anchor's, then the positive's
    margin: float = 0.0,  # a cosine: a negative pair below it costs nothing
    other_class: bool = True,  # negatives are of another class; else of any other image, and no labels are needed
    batch_size: int = 512,  # images over all ranks, each the anchor of one positive and of one negative pair
    epochs: int = 10,  # passes over the training images
    lr: float = 0.05,  # constant
) -> Recipe:
    """The cosine embedding loss on as many positive as negative pairs, meant for the encoder pami.

    512 images give the 1024 pairs of the source's batch. Deviation: positives and negatives are drawn anew at each
    step, where the source drew them once; the views of an image go through BatchNorm together.
    """
    return Recipe(
        pairing=SameClass() if other_class else SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=Identity()),
        negatives=Drawn(1, other_class),
        score=Cosine(),
        objective=CosineEmbedding(margin),
        optim=SGD(lr=lr, momentum=0.0),
        batch_size=batch_size,
        epochs=epochs,
    )
