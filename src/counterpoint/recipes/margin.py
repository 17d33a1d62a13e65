"""Margin: two views of one image come together, another image is pushed a margin away, in very few dimensions.

Source: Hadsell et al. 2006 (DrLIM), equation 4 and algorithm 1, with known transformations as what is similar.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Drawn
from counterpoint.objectives import Margin
from counterpoint.optim import SGD
from counterpoint.pairing import SameClass, SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.scores import Euclidean
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["margin"]


@recipe
def margin(
    facts: Facts,
    encoder: Encoder,
    *,
    margin: float = 1.0,  # a Euclidean distance: a negative pair beyond it costs nothing
    width: int = 2,  # of the map z
    negatives: int = 1,  # drawn for each image at each step
    other_class: bool = False,  # negatives are of another class, and labels are needed; else of any other image
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 128,  # images over all ranks
    epochs: int = 10,  # passes over the training images
    lr: float = 0.1,  # constant
) -> Recipe:
    """The margin loss of distances on a linear map of the representation, for an encoder such as conv or mlp.

    Deviation: the paper sums over all pairs of the data set, of which nearly all are dissimilar; here is the mean over
    each image's positive pair and a few negative ones. What is similar may also be its neighbours there.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample() if not other_class else SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(), out=width)),
        negatives=Drawn(negatives, other_class),
        score=Euclidean(),
        objective=Margin(margin),
        optim=SGD(lr=lr, momentum=0.0),
        batch_size=batch_size,
        epochs=epochs,
    )
