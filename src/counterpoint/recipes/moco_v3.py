"""MoCo v3: a prediction of each view finds the slow copy's key of the other view among those of the batch.

Source: Chen et al. 2021, arXiv:2104.02057, algorithm 1.
"""

from dataclasses import replace

from counterpoint.encoders import ResNet
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import AcrossViews
from counterpoint.objectives import Contrast
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import MomentumToOne
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["moco_v3"]


@recipe
def moco_v3(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.2,  # dimensionless, divides a cosine; the authors' code: 1 for ResNet-50, 0.2 for ViT
    momentum: float = 0.99,  # of the moving average at the start; it rises to 1 as half a cosine
    hidden: int = 1024,  # of both heads; the paper's 4096
    width: int = 256,  # of the projection z and its prediction
    policy: str | None = None,  # of the views; none: what suits the source; the paper's: byol-asym
    batch_size: int = 512,  # images over all ranks; the paper's 4096
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The loss is 2 t (ctr(q1, k2) + ctr(q2, k1)), t the temperature; heads as for a ResNet.

    Deviations: heads a quarter as wide, since they would cost more than a small encoder does; the views of an image go
    through BatchNorm together. AdamW with the square-root rule, as in simclr; the paper has it for ViT, and LARS for
    ResNet-50. `--set heads.projector.hidden=(4096,4096) --set heads.predictor.final_norm=batch_no_affine` makes the
    heads that the paper has for ViT.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    predictor = MLPHead((hidden,), width, hidden_bias=False, final_bias=False)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=replace(predictor, final_norm="batch_no_affine"), predictor=predictor),
        target=MovingAverage(MomentumToOne(momentum), when="before"),
        negatives=AcrossViews(),
        score=Cosine(),
        objective=Contrast(temperature, times_temperature=4.0),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(moco_v3, encoder="resnet18", size=32, hidden=4096, policy="asym-cifar", batch_size=256, epochs=1000, lr=0.3)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 93.10 % linear accuracy.

    The learning rate is that of a batch of 256, and grows with the batch. Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/mocov3.yaml, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        made, optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-6, clip=True, trust=0.02)
    )


@preset(
    moco_v3,
    encoder="resnet50",
    size=224,
    temperature=1.0,
    momentum=0.99,
    hidden=4096,
    policy="moco-v3",
    batch_size=4096,
    epochs=100,
    lr=0.6,
)
def paper(made: Recipe) -> Recipe:
    """The released code with ResNet-50 on ImageNet at 224 pixels, for which it gives 68.9 % linear accuracy.

    Each residual block starts as the identity. The learning rate is that of a batch of 256, and grows with the batch.

    Source: github.com/facebookresearch/moco-v3, CONFIG.md at 38aae44 and the defaults of main_moco.py at 7074f47.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    encoder = made.encoder
    return replace(
        made,
        encoder=replace(encoder, zero_init_residual=True) if isinstance(encoder, ResNet) else encoder,
        optim=LARS(Decay(rate, warmup_epochs=10), weight_decay=1e-6),
    )
