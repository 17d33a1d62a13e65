"""DINO: from one view, predict the centred and sharpened answer that a moving average gives for another view.

Source: Caron et al. 2021, arXiv:2104.14294, equations 1 to 4, algorithm 1 and its released code.
"""

from dataclasses import replace

from counterpoint.heads import Heads, PrototypeHead
from counterpoint.negatives import Centred
from counterpoint.objectives import Contrast
from counterpoint.optim import LARS, SGD, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import Linear, MomentumToOne
from counterpoint.scores import Dot
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["dino"]


@recipe
def dino(
    facts: Facts,
    encoder: Encoder,
    *,
    prototypes: int = 1024,  # outputs of the head
    hidden: int = 512,  # of the head's two hidden layers
    bottleneck: int = 256,  # width before the last layer
    batch_norm: bool = True,  # in the head; the paper has none for transformers
    temperature: float = 0.1,  # of the views, dimensionless, divides a cosine
    target_temperature: float = 0.04,  # of the moving average, at the start
    target_temperature_end: float = 0.07,  # of the moving average, after its warm-up
    target_warmup: float | None = None,  # epochs of that warm-up; none: 30 of 100, at most 30
    momentum: float = 0.99,  # of the moving average at the start; ends at 1
    policy: str | None = None,  # of the views; none: two crops that suit the source, above 40 px dino-multicrop
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows in proportion to the batch
) -> Recipe:
    """The cross-entropy between a view's softmax and that of the moving average for the first two views.

    Deviations, for small encoders on small batches: the paper has 65536 outputs, 2048 hidden units, a momentum of 0.996
    and a rate of 5e-4. It clips the gradient of each tensor to 3; here all together, and with the last layer left out
    while that is frozen. Weight decay rises from 0.04 to 0.4 as there. `--set negatives.momentum=1` leaves centring
    out, `--target-temperature 0.1 --target-temperature-end 0.1` sharpening; in the paper either collapses.
    """
    two = default(facts.kind, size=facts.size, channels=facts.channels)
    policy = policy or ("dino-multicrop" if two == "simclr" else two)
    warmup = min(30.0, 30 / 100 * epochs) if target_warmup is None else target_warmup
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=PrototypeHead((hidden, hidden), bottleneck, prototypes, batch_norm=batch_norm)),
        target=MovingAverage(MomentumToOne(momentum), when="after", views=2),
        negatives=Centred(Linear(target_temperature, target_temperature_end, epochs=warmup)),
        score=Dot(),
        objective=Contrast(temperature),
        optim=AdamW(
            lr=Decay(lr * batch_size / 256, end=1e-6, warmup_epochs=min(10, epochs / 10)),
            weight_decay=Decay(0.04, 0.4),
            clip_norm=3.0,
        ),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    dino,
    encoder="resnet18",
    size=32,
    prototypes=4096,
    hidden=2048,
    batch_norm=False,
    target_temperature=0.07,
    target_warmup=0.0,
    momentum=0.9995,
    policy="asym-cifar",
    batch_size=256,
    epochs=1000,
    lr=0.3,
)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 89.52 % linear accuracy.

    No gradient is clipped, and weight decay stays. The learning rate is that of a batch of 256, and grows with the
    batch. Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/dino.yaml and the defaults of solo/methods/dino.py
    at e384184, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        made, optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-6, clip=True, trust=0.02)
    )


@preset(
    dino,
    encoder="vit_small",
    size=224,
    prototypes=65536,
    hidden=2048,
    batch_norm=False,
    target_temperature_end=0.04,
    target_warmup=0.0,
    momentum=0.996,
    policy="dino-multicrop",
    batch_size=512,
    epochs=100,
    lr=5e-4,
)
def paper(made: Recipe) -> Recipe:
    """The released code with ViT-S/16 on ImageNet, 2 x 224 + 8 x 96 pixels: 74.0 % linear, 69.3 % kNN accuracy.

    Deviations: it leaves out blocks at random (stochastic depth 0.1), and clips the gradient of each tensor to 3, where
    here it is that of all together.

    Source: github.com/facebookresearch/dino, "Vanilla DINO training" of README.md at 7064315 and the defaults of
    main_dino.py.
    """
    return made


@preset(
    dino,
    encoder="resnet50",
    size=224,
    prototypes=65536,
    hidden=2048,
    batch_norm=False,
    target_temperature_end=0.04,
    target_warmup=0.0,
    momentum=0.996,
    policy="dino-multicrop-resnet",
    batch_size=512,
    epochs=100,
    lr=0.03,
)
def paper_resnet50(made: Recipe) -> Recipe:
    """The released code with ResNet-50 on ImageNet, 2 x 224 + 8 x 96 pixels, for which it gives no accuracy.

    Biases and norms do not decay. Deviation: it clips the gradient of each tensor to 3, where here it is that of all
    together.

    Source: github.com/facebookresearch/dino, "ResNet-50 and other convnets trainings" of README.md at 7064315 and the
    defaults of main_dino.py.
    """
    rate = Decay(made.dials["lr"] * made.batch_size / 256, end=1e-6, warmup_epochs=10)
    return replace(made, optim=SGD(rate, weight_decay=1e-4, exclude_bias_and_norm=True, clip_norm=3.0))
