"""BYOL: one view predicts what a slowly moving copy of the network makes of the other; nothing repels.

Source: Grill et al. 2020, arXiv:2006.07733, equation 2 and section 3.2.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import CosineRegression
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import MomentumToOne
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["byol"]


@recipe
def byol(
    facts: Facts,
    encoder: Encoder,
    *,
    momentum: float = 0.99,  # of the moving average at the start, in [0, 1]; half a cosine takes it to 1
    hidden: int = 1024,  # width between, of projector and predictor; the paper has 4096
    width: int = 256,  # of projection and prediction
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The sum of 2 - 2 cos over both directions; the copy moves after each step and has no predictor.

    The paper's momentum starts at 0.99 for 300 epochs and at 0.996 for 1000, its views are byol-asym. Deviations:
    AdamW with the square-root rule in place of LARS, and a narrower hidden layer, for small encoders; the copy begins
    as the network, not at weights of its own; the views of an image go through BatchNorm together.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead((hidden,), width), predictor=MLPHead((hidden,), width)),
        target=MovingAverage(MomentumToOne(momentum), when="after"),
        negatives=OtherViews(),
        objective=CosineRegression(scale=4.0, offset=1.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    byol,
    encoder="resnet18",
    size=32,
    momentum=0.99,
    hidden=4096,
    policy="asym-cifar",
    batch_size=256,
    epochs=1000,
    lr=1.0,
)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 92.58 % linear accuracy.

    The learning rate is that of a batch of 256, and grows with the batch. Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/byol.yaml, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        made, optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-5, clip=True, trust=0.02)
    )
