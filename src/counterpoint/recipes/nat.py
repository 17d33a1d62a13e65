"""NAT: each image is drawn to a random direction of its own, and neighbours may trade theirs.

Source: Bojanowski and Joulin 2017, arXiv:1704.05310, section 3 and algorithm 1.
"""

from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Noise
from counterpoint.objectives import CosineEmbedding
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, default, named

__all__ = ["nat"]


@recipe
def nat(
    facts: Facts,
    encoder: Encoder,
    *,
    width: int = 128,  # of the projection z, and of the targets
    every: int = 1,  # epochs from one in which targets are traded to the next; 0: they never are
    views: int = 1,  # of an image in a step, each drawn separately
    policy: str | None = None,  # of a view (its first, where the policy has several); none: what suits the source
    batch_size: int = 256,  # images over all ranks; targets are traded within it
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Half the squared distance between the direction of z and its target: 1 - cos.

    Deviations: AdamW in place of SGD with momentum, and a projector between the encoder and what is compared, which the
    paper has as the network's last layer.
    """
    if views < 1:
        raise RecipeError(f"nat: views is {views}, but an image is seen at least once in a step; give 1 or more")
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    first = named(policy, size=facts.size, channels=facts.channels).policies[0]
    return Recipe(
        pairing=SameSample(),
        views=Views((first,) * views),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width)),
        negatives=Noise(every),
        score=Cosine(),
        objective=CosineEmbedding(),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
