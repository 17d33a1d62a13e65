"""SwAV: from one view, predict how another view of the image is shared out among learned prototypes.

Source: Caron et al. 2020, arXiv:2006.09882, equations 1 to 6 and its released code.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Prototypes
from counterpoint.objectives import Contrast
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe, set_path
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Dot
from counterpoint.targets import StopGradient
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["swav"]


@recipe
def swav(
    facts: Facts,
    encoder: Encoder,
    *,
    prototypes: int = 512,  # learned directions that images are shared out among
    temperature: float = 0.1,  # dimensionless, divides a cosine
    epsilon: float = 0.05,  # smoothness of the codes, in units of a cosine
    hidden: int = 512,  # of the projector
    width: int = 128,  # of the projection z
    queue: int = 2048,  # earlier projections that codes are balanced with; 0: none
    queue_from: float | None = None,  # epochs before the queue is filled; none: 15 of 200, at most 15
    policy: str | None = None,  # of the views; none: two crops that suit the source, above 40 px swav-multicrop
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The cross-entropy between a view's softmax over prototypes and the balanced codes of the first two views.

    Deviations: the paper has 3000 prototypes and 2048 hidden units for ImageNet, a queue of 3840 at batch 256 and none
    at 4096, and SGD with LARC in place of AdamW. `--policy multicrop-cifar` brings small crops to small images; they
    need an encoder that ends in an average, as conv and resnet18 do. `--set negatives.iterations=0` leaves the
    balancing out, and collapses.
    """
    two = default(facts.kind, size=facts.size, channels=facts.channels)
    policy = policy or ("swav-multicrop" if two == "simclr" else two)
    start = min(15.0, 15 / 200 * epochs) if queue_from is None else queue_from
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(hidden,), out=width)),
        target=StopGradient(),
        negatives=Prototypes(prototypes, epsilon, queue=queue, queue_from=start),
        score=Dot(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    swav,
    encoder="resnet18",
    size=32,
    prototypes=3000,
    hidden=2048,
    queue=3840,
    queue_from=50.0,
    policy="symmetric-cifar",
    batch_size=256,
    epochs=1000,
    lr=0.6,
)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 89.17 % linear accuracy.

    The learning rate is that of a batch of 256, and grows with the batch. Deviations: its queue is filled from the
    start and used from epoch 50, ours is filled from then on; its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/swav.yaml, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        set_path(made, "negatives.frozen_epochs", 2.0),
        optim=LARS(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-6, clip=True, trust=0.02),
    )


@preset(
    swav,
    encoder="resnet50",
    size=224,
    prototypes=3000,
    hidden=2048,
    queue=0,
    policy="swav-multicrop",
    batch_size=4096,
    epochs=800,
    lr=0.3,
)
def paper(made: Recipe) -> Recipe:
    """The released code on ImageNet, 2 x 224 + 6 x 96 pixels, for which it gives 75.3 % accuracy.

    The learning rate is that of a batch of 256, and grows with the batch: 4.8 at 4,096. The prototypes stay for the
    first 313 steps of 312 in an epoch. Deviation: statistics of BatchNorm are those of all ranks, there of eight each.

    Source: github.com/facebookresearch/swav, scripts/swav_800ep_pretrain.sh at 04b8f43 and README.md at 027a54a.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        set_path(made, "negatives.frozen_epochs", 313 / 312),
        optim=LARS(
            Decay(rate, end=rate / 1000, warmup_epochs=10, warmup_start=rate / 16),
            weight_decay=1e-6,
            exclude_bias_and_norm=False,
        ),
    )
