"""GPaCo: PaCo with one network for both views, each an anchor, and smoothed centres.

Source: Cui et al. 2023, arXiv:2209.12400, and the authors' code.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Parametric
from counterpoint.objectives import Contrast
from counterpoint.optim import SGD, AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import Steps
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["gpaco"]


@recipe
def gpaco(
    facts: Facts,
    encoder: Encoder,
    *,
    alpha: float = 0.01,  # weight of a feature of the anchor's class, where its centre has 1
    queue: int = 1024,  # features of earlier steps, with their labels
    smoothing: float = 0.1,  # share of a centre's weight that goes to the other centres
    long_tailed: bool = False,  # add the log of each class' frequency to the logit of its centre
    temperature: float = 0.07,  # dimensionless, divides a cosine; logits of centres are not divided
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Alpha, queue and temperature are the authors' for CIFAR-100, the smoothing theirs for ImageNet.

    On ImageNet they take alpha 0.05, a queue of 8,192 and a temperature of 0.2. Deviations: one policy for both views,
    where the paper has two; both go through BatchNorm together; AdamW in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width, encoder.width), out=width, batch_norm=False)),
        negatives=Parametric(alpha, queue=queue, smoothing=smoothing, long_tailed=long_tailed, scale=temperature),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    gpaco,
    encoder="resnet50",
    size=32,
    alpha=0.01,
    queue=1024,
    smoothing=0.0,
    long_tailed=True,
    temperature=0.07,
    policy="moco-v2",
    batch_size=128,
    epochs=400,
    lr=0.1,
)
def cifar(made: Recipe) -> Recipe:
    """The released code on CIFAR-100, for which it gives 80.3 % accuracy of its own centres.

    The learning rate is that of a batch of 256, and grows with the batch: 0.05 at 128; it is a tenth from epoch 321 on,
    and a hundredth from epoch 361 on. Deviations: the released warm-up moves once an epoch, and overshoots by a tenth
    in its last; its blur has a kernel as wide as it needs, here of 3 pixels; it encodes one view after the other.

    Source: github.com/dvlab-research/Parametric-Contrastive-Learning, GPaCo/LT/sh/CIFAR/CIFAR100_train.sh at 59667fb,
    GPaCo/LT/paco_cifar.py at ce14b9a and README.md at 011b5b9.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(made, optim=SGD(Steps(rate, (321.0, 361.0), warmup_epochs=10), weight_decay=5e-4))
