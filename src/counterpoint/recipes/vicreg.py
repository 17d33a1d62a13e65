"""VICReg: two views are near, every dimension varies over the batch, and no two vary together.

Source: Bardes et al. 2022, arXiv:2105.04906, equation 6.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import VICReg
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["vicreg"]


@recipe
def vicreg(
    facts: Facts,
    encoder: Encoder,
    *,
    invariance: float = 25.0,  # weight of the mean square difference of two views
    variance: float = 25.0,  # weight of what deviations lack of 1
    covariance: float = 1.0,  # weight of the squared covariances
    width: int = 512,  # of the expander's three layers; the paper has 8192
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Three terms of two views' projections over the batch of all ranks, which are not brought to unit length.

    The paper's views are byol-asym. Deviations: AdamW with the square-root rule in place of LARS, and a narrower
    expander, for small encoders; the views of an image go through BatchNorm together.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead((width, width), width, final_bias=False)),
        negatives=OtherViews(both_ways=False, gathered=True),
        objective=VICReg(invariance, variance, covariance),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    vicreg,
    encoder="resnet18",
    size=32,
    variance=50.0,
    width=2048,
    policy="vicreg-cifar",
    batch_size=256,
    epochs=1000,
    lr=0.3,
)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 92.07 % linear accuracy.

    Its weights are 25, 25 and 1, but it sums the variance terms of both views, where ours is their mean: hence 50. All
    layers of the expander have a bias. The learning rate is that of a batch of 256, and grows with the batch.
    Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/vicreg.yaml and solo/losses/vicreg.py, and README.md
    at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    width = made.dials["width"]
    return replace(
        made,
        heads=Heads(projector=MLPHead((width, width), width)),
        optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-4, clip=True, trust=0.02),
    )
