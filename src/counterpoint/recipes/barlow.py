"""Barlow Twins: each dimension agrees with itself in the other view, and with no other dimension.

Source: Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import BarlowTwins
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["barlow"]


@recipe
def barlow(
    facts: Facts,
    encoder: Encoder,
    *,
    redundancy: float = 0.0051,  # lambda: weight of the correlations of different dimensions
    width: int = 512,  # of the projector's three layers; the paper has 8192
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The cross-correlation of two views' projections over the batch of all ranks, drawn to the identity.

    The paper's views are byol-asym. Deviations: AdamW with the square-root rule in place of LARS, and a narrower
    projector, for small encoders; the views of an image go through BatchNorm together, except in the loss.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead((width, width), width, hidden_bias=False, final_bias=False)),
        negatives=OtherViews(both_ways=False, gathered=True),
        objective=BarlowTwins(redundancy),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(barlow, encoder="resnet18", size=32, width=2048, policy="asym-cifar", batch_size=256, epochs=1000, lr=0.3)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 92.10 % linear accuracy.

    The loss is multiplied by 0.1, all layers of the projector have a bias. The learning rate is that of a batch of 256,
    and grows with the batch. Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/barlow.yaml, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    width = made.dials["width"]
    return replace(
        made,
        heads=Heads(projector=MLPHead((width, width), width)),
        objective=BarlowTwins(made.dials["redundancy"], scale=0.1),
        optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-4, clip=True, trust=0.02),
    )
