"""Autoencoder: an image is told again from its representation, pixel by pixel; no contrast and no labels.

Source: Hinton and Salakhutdinov 2006, Science 313, without pretraining layer by layer; here a control.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import SquaredError
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Euclidean
from counterpoint.targets import Pixels
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, named

__all__ = ["autoencoder"]


@recipe
def autoencoder(
    facts: Facts,
    encoder: Encoder,
    *,
    policy: str = "none",  # of the one view, which is seen and told again
    hidden: int = 512,  # width of the decoder's hidden layer
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The mean squared error of all pixels, through a decoder of two layers in the projector's place.

    Deviation: the paper's decoder mirrors its encoder; one that is the same for every encoder keeps what is compared
    the encoder. AdamW with the square-root rule, as in simclr.
    """
    pixels = facts.channels * facts.size**2
    return Recipe(
        pairing=SameSample(),
        views=Views(named(policy, size=facts.size, channels=facts.channels).policies[:1]),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(hidden,), out=pixels)),
        target=Pixels(),
        negatives=OtherViews(),
        score=Euclidean(),
        objective=SquaredError(),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
