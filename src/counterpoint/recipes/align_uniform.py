"""Alignment and uniformity: two views of an image are near, and images spread evenly over the sphere.

Source: Wang and Isola 2020, arXiv:2005.10242, section 4.1.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import AlignUniform
from counterpoint.optim import SGD, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import Steps
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["align_uniform"]


@recipe
def align_uniform(
    facts: Facts,
    encoder: Encoder,
    *,
    align: float = 1.0,  # weight of the distance of two views
    uniform: float = 1.0,  # weight of the potential between images
    alpha: float = 2.0,  # power of a distance, 1 or more
    t: float = 2.0,  # of the Gaussian potential exp(-t d^2), in (0, 20]
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Distances of two views, and the log of the mean potential of each view's rows, over the batch of all ranks.

    The projector is one linear layer, as the source's last. The source's views are align-uniform-stl. Deviation: AdamW
    with the square-root rule in place of SGD at 0.12 for each 256 images, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead((), width)),
        negatives=OtherViews(both_ways=False, gathered=True),
        objective=AlignUniform(align, uniform, alpha, t),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(align_uniform, size=64, policy="align-uniform-stl", batch_size=768, epochs=200, lr=0.12)
def stl10(made: Recipe) -> Recipe:
    """The released code's schedule on STL-10 at 64 pixels (`--size 64`); its encoder, an AlexNet, is not here.

    The learning rate is that of a batch of 256, and grows with the batch: 0.36 at 768.

    Source: github.com/ssnl/align_uniform, examples/stl10/main.py at 505907b.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(made, optim=SGD(Steps(rate, (155.0, 170.0, 185.0)), weight_decay=1e-4))
