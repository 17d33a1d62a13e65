"""InstDisc: a view of an image finds what the image was encoded to an epoch ago, in a memory bank of all images.

Source: Wu et al. 2018, arXiv:1805.01978, equations 2 to 6.
"""

from dataclasses import replace

from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Bank
from counterpoint.objectives import Contrast, NoiseContrastive
from counterpoint.optim import SGD, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import Steps
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, default, named

__all__ = ["instdisc"]


@recipe
def instdisc(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.1,  # dimensionless, divides a cosine; the paper's 0.07 on ImageNet
    negatives: int = 0,  # rows of the bank drawn in a step, told from the own by NCE; 0: softmax over all rows
    momentum: float = 0.5,  # share of the old feature that a row of the bank keeps
    proximal: float = 0.0,  # weight of the squared distance to the own row, beside NCE only
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the view; none: what suits the source; the paper's: instdisc
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images; the paper's 200
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The full softmax, as the authors' code has it for CIFAR; `negatives=4096 temperature=0.07` is NCE as on ImageNet.

    NCE is for many images: its Z is fixed by the first batch, and where an epoch is a few steps the bank follows the
    network so closely that all rows may come to point one way (it happens on the digits). Deviation: the drawn rows are
    shared by a batch, where the authors draw them for each image (see `Bank`). AdamW with the square-root rule in place
    of SGD, as in simclr.
    """
    if proximal and not negatives:
        raise RecipeError(
            f"instdisc: proximal is {proximal:g} but negatives is 0, and only NCE of drawn rows has a proximal term; "
            "give --negatives 4096, or --proximal 0"
        )
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=Views(named(policy, size=facts.size, channels=facts.channels).policies[:1]),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(), out=width)),
        negatives=Bank(negatives, momentum, temperature if negatives else None),
        score=Cosine(),
        objective=NoiseContrastive(temperature, proximal) if negatives else Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    instdisc, encoder="resnet18", size=32, temperature=0.1, policy="instdisc-cifar", batch_size=128, epochs=200, lr=0.06
)
def cifar(made: Recipe) -> Recipe:
    """The released code on CIFAR-10, for which it gives no accuracy.

    The learning rate is that of a batch of 256, and grows with the batch: 0.03 at 128; it is a tenth from epoch 120 on,
    and a hundredth from epoch 160 on.

    Source: github.com/zhirongw/lemniscate.pytorch, README.md at 17eda04 (`--nce-k 0 --nce-t 0.1 --lr 0.03`) and
    cifar.py at c5f1bd1.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(made, optim=SGD(Steps(rate, (120.0, 160.0)), weight_decay=5e-4))
