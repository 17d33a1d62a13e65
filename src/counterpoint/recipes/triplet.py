"""Triplet: another view of an image is nearer than an image of another class, by a margin.

Source: the PAMI practicum's triplets; Weinberger and Saul 2009; for the mining see `counterpoint.objectives.Triplet`.
"""

from typing import Literal

from counterpoint.heads import Heads, Identity
from counterpoint.negatives import Drawn, InBatch
from counterpoint.objectives import Triplet
from counterpoint.optim import SGD
from counterpoint.pairing import SameClass, SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.scores import Euclidean
from counterpoint.types import Encoder, Facts
from counterpoint.views import named

__all__ = ["triplet"]


@recipe
def triplet(
    facts: Facts,
    encoder: Encoder,
    *,
    policy: str = "pami-fer",  # of the views: the anchor's, then the positive's
    margin: float = 1.0,  # a Euclidean distance
    mining: Literal["drawn", "hard", "semi-hard", "distance-weighted"] = "drawn",  # of the negatives
    other_class: bool = True,  # negatives are of another class; else of any other image, and no labels are needed
    batch_size: int = 1024,  # images over all ranks
    epochs: int = 10,  # passes over the training images
    lr: float = 0.15,  # constant
) -> Recipe:
    """The triplet margin loss of Euclidean distances, meant for the encoder pami.

    With mining "drawn" an image is the anchor of one triplet, its second view the positive. With any other every view
    of the batch is an anchor among all others; with other_class its positives are all views of its class. Deviation:
    positives and negatives are drawn anew at each step, where the source drew them once.
    """
    return Recipe(
        pairing=SameClass() if other_class else SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=Identity()),
        negatives=Drawn(1, other_class) if mining == "drawn" else InBatch(),
        score=Euclidean(),
        objective=Triplet(margin, mining="all" if mining == "drawn" else mining),
        optim=SGD(lr=lr, momentum=0.0),
        batch_size=batch_size,
        epochs=epochs,
    )
