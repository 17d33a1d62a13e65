"""PaCo: supervised contrast with a queue, and a learned centre for each class in the same denominator.

Source: Cui et al. 2021, arXiv:2107.12028, section 3, and the authors' code.
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
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["paco"]


@recipe
def paco(
    facts: Facts,
    encoder: Encoder,
    *,
    alpha: float = 0.01,  # weight of a feature of the anchor's class, where its centre has 1
    queue: int = 1024,  # keys of earlier steps, with their labels
    momentum: float = 0.99,  # of the moving average that encodes the keys
    long_tailed: bool = False,  # add the log of each class' frequency to the logit of its centre
    temperature: float = 0.07,  # dimensionless, divides a cosine; logits of centres are not divided
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The first view queries; a moving average encodes the second, which queue and denominator take.

    The paper has on ImageNet alpha 0.05, a queue of 8,192, a temperature of 0.2 and a momentum of 0.999. The more of an
    anchor's class are in sight, the less its centre counts: alpha goes with classes / (queue + 2 * batch). Deviations:
    one policy for both views, where the paper has a weak and a strong one; BatchNorm sees a batch whole, where the
    authors' code for several devices shuffles keys among them, as moco does; their ImageNet code brings h to length one
    before the centres meet it (`--set negatives.normalised=true`); AdamW in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width)),
        target=MovingAverage(momentum, when="before", queries=1),
        negatives=Parametric(alpha, queue=queue, long_tailed=long_tailed, scale=temperature),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    paco,
    encoder="resnet18",
    size=32,
    alpha=0.01,
    queue=1024,
    momentum=0.999,
    long_tailed=True,
    temperature=0.05,
    width=32,
    policy="moco-v2",
    batch_size=128,
    epochs=400,
    lr=0.1,
)
def cifar(made: Recipe) -> Recipe:
    """The released code's numbers for long-tailed CIFAR-100, for which it gives no accuracy; its views are not here.

    The learning rate is that of a batch of 256, and grows with the batch: 0.05 at 128; it is a tenth from epoch 321 on,
    and a hundredth from epoch 361 on. Deviations: its first view has the AutoAugment of CIFAR-10 and a Cutout, here
    both have the policy of its second; ResNet-18 for its ResNet-32 of 64 features; its warm-up moves once an epoch, and
    overshoots by a tenth in its last; its blur has a kernel as wide as it needs, here of 3 pixels.

    Source: github.com/dvlab-research/Parametric-Contrastive-Learning, PaCo/LT/sh/CIFAR100_train_imb0.01.sh at ce14b9a
    and LT/paco_cifar.py at 3976961.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(made, optim=SGD(Steps(rate, (321.0, 361.0), warmup_epochs=10), weight_decay=5e-4))
