"""MoCo: a view finds the key that a slow copy of the network makes of its other view, among a queue of earlier keys.

Source: He et al. 2020, arXiv:1911.05722, algorithm 1; Chen et al. 2020, arXiv:2003.04297 (v2).
"""

from dataclasses import replace

from counterpoint.encoders import in_groups
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Queue
from counterpoint.objectives import Contrast
from counterpoint.optim import SGD, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe, set_path
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import MomentumToOne
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["moco"]


@recipe
def moco(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.2,  # dimensionless, divides a cosine; v1: 0.07, the authors' CIFAR code: 0.1
    queue: int = 4096,  # keys kept; the paper's 65,536 on ImageNet
    momentum: float = 0.99,  # of the moving average; the paper's 0.999 on ImageNet
    symmetric: bool = False,  # both views query, and both keys enter the queue
    split: int | None = None,  # groups of a batch that BatchNorm sees apart, keys shuffled among them; none: at most 8
    hidden: int | None = None,  # of the head's one hidden layer; none: the encoder's width; 0: no such layer (v1)
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source; v1: instdisc, v2: moco-v2
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Version 2; with `hidden=0 temperature=0.07 policy=instdisc` it is version 1.

    Queue, momentum and split are those of the authors' CIFAR code. Deviation: AdamW with the square-root rule in place
    of SGD, as in simclr. The symmetric loss is the mean of its halves; the authors' code sums them, and encodes each
    half by itself, where here both views go through BatchNorm together if there is one group.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    hidden = encoder.width if hidden is None else hidden
    apart = in_groups(encoder, batch_size, split)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=apart,
        heads=Heads(projector=MLPHead(hidden=(hidden,) if hidden else (), out=width, batch_norm=False)),
        target=MovingAverage(momentum, when="before", queries=None if symmetric else 1, shuffle=apart is not encoder),
        negatives=Queue(queue, symmetric),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    moco,
    encoder="resnet18",
    size=32,
    temperature=0.1,
    queue=4096,
    momentum=0.99,
    split=8,
    hidden=0,
    policy="moco-cifar",
    batch_size=512,
    epochs=200,
    lr=0.03,
)
def cifar(made: Recipe) -> Recipe:
    """The authors' notebook on CIFAR-10, for which it gives 82.6 % kNN accuracy; with 800 epochs 88.7 %.

    The learning rate is that of a batch of 256, and grows with the batch; the released cosine moves once an epoch.

    Source: github.com/facebookresearch/moco, colab/moco_cifar10_demo.ipynb at f736491, its asymmetric form.
    """
    return replace(made, optim=SGD(Decay(made.dials["lr"] * made.batch_size / 256), weight_decay=5e-4))


@preset(
    moco,
    encoder="resnet18",
    size=32,
    temperature=0.2,
    queue=32768,
    momentum=0.99,
    symmetric=True,
    split=1,
    hidden=2048,
    width=256,
    policy="weak-cifar",
    batch_size=256,
    epochs=1000,
    lr=0.3,
)
def cifar_v2_plus(made: Recipe) -> Recipe:
    """solo-learn's MoCo v2+ on CIFAR-10, for which it gives 92.94 % linear accuracy.

    The momentum rises from 0.99 to 0.999. The learning rate is that of a batch of 256, and grows with the batch.
    Deviations: there each view has a queue of this size, here one queue takes the keys of both; its first convolution
    pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/mocov2plus.yaml and solo/methods/mocov2plus.py, and
    README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    rises = set_path(made, "target.momentum", MomentumToOne(made.dials["momentum"], 0.999))
    return replace(rises, optim=SGD(Decay(rate, warmup_epochs=10, warmup_start=3e-5), weight_decay=1e-4))
