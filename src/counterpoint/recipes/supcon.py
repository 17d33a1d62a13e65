"""SupCon: all views of all images of a class agree, the images of other classes repel.

Source: Khosla et al. 2020, arXiv:2004.11362, equation 2 (L_out).
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import LARS, SGD, AdamW
from counterpoint.pairing import SameClass
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["supcon"]


@recipe
def supcon(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.1,  # dimensionless, divides a cosine
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent with every view of the anchor's class as a positive; the mean over them stands outside the logarithm.

    Deviation: the released code multiplies the loss by temperature / 0.07; this is the paper's equation, without it.
    AdamW with the square-root rule in place of SGD, as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameClass(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width, batch_norm=False)),
        negatives=InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(supcon, encoder="resnet50", size=32, policy="supcon", temperature=0.1, batch_size=1024, epochs=1000, lr=0.125)
def cifar(made: Recipe) -> Recipe:
    """The released code on CIFAR, for which it gives 96.0 % (CIFAR-10) and 76.5 % (CIFAR-100) linear accuracy.

    The learning rate is that of a batch of 256, and grows with the batch: 0.5 at 1,024. Deviation: the released cosine
    runs under its warm-up too and moves once an epoch; the rates differ by 1 % of the highest at most.

    Source: github.com/HobbitLong/SupContrast, README.md and main_supcon.py, whose loss has a factor temperature / 0.07.
    """
    lr = made.dials["lr"] * made.batch_size / 256
    return replace(
        made,
        objective=Contrast(made.dials["temperature"], times_temperature=1 / 0.07),
        optim=SGD(Decay(lr, end=lr * 1e-3, warmup_epochs=10, warmup_start=0.01), weight_decay=1e-4),
    )


@preset(supcon, encoder="resnet50", size=224, policy="simclr", temperature=0.1, batch_size=6144, epochs=350, lr=0.4)
def paper(made: Recipe) -> Recipe:
    """The paper's code on ImageNet at 224 pixels, but for its views; it gives no accuracy.

    The projector is one linear layer, and the loss is multiplied by the temperature. The learning rate is that of a
    batch of 256, and grows with the batch: 9.6 at 6,144. Deviations: its views are AutoAugment's, which are drawn from
    policies that were learned with labels and are not among ours: simclr stands in their place. Its representation has
    length one before the projector, and the bias of the projector decays.

    Source: github.com/google-research/google-research, supcon/scripts/supcon_imagenet_resnet50.sh, configs.sh and
    utils.py at 0c1bbe5.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(
        made,
        heads=Heads(projector=MLPHead(hidden=(), out=made.dials["width"])),
        objective=Contrast(made.dials["temperature"], times_temperature=1.0),
        optim=LARS(Decay(rate, warmup_epochs=12), weight_decay=1e-3, lr_in_momentum=True),
    )
