"""SimCLR: two augmented views of one image agree, all other images of the batch repel.

Source: Chen et al. 2020, arXiv:2002.05709, algorithm 1.
"""

from dataclasses import replace

from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["simclr"]


@recipe
def simclr(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.5,  # dimensionless, divides a cosine
    layers: int = 2,  # of the head; version 2 has 3
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """NT-Xent over all views of a batch.

    Deviation: AdamW with the square-root rule in place of LARS, which the paper needs for batches of thousands; small
    encoders on small batches learn faster with it. `--set optim=counterpoint.optim:LARS(lr=1.0)` brings it back.
    """
    if layers < 1:
        raise RecipeError(f"simclr: layers is {layers}, but a head has at least one; give 1 or more")
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,) * (layers - 1), out=width, batch_norm=False)),
        negatives=InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


def _released(made: Recipe, weight_decay: float) -> Recipe:
    """The authors' optimizer, head and loss, which is the sum of both directions where ours is the mean.

    The learning rate is that of a batch of 256, and grows with the batch. Deviation: the norm at the head's end has a
    shift here.
    """
    lr = Decay(made.dials["lr"] * made.batch_size / 256, warmup_epochs=10)
    widths = (made.encoder.width,) * (made.dials["layers"] - 1)
    head = MLPHead(widths, made.dials["width"], hidden_bias=False, final_bias=False, final_norm="batch")
    return replace(
        made,
        heads=Heads(projector=head),
        objective=Contrast(made.dials["temperature"], times_temperature=2 / made.dials["temperature"]),
        optim=LARS(lr, weight_decay=weight_decay, lr_in_momentum=True),
    )


@preset(
    simclr,
    encoder="resnet18",
    size=32,
    policy="simclr-cifar",
    temperature=0.5,
    layers=3,
    batch_size=512,
    epochs=1000,
    lr=1.0,
)
def cifar(made: Recipe) -> Recipe:
    """The released code on CIFAR-10, for which it gives about 91 % linear accuracy.

    Source: github.com/google-research/simclr, README.md at dec99a8 and the defaults of run.py.
    """
    return _released(made, 1e-4)


@preset(
    simclr,
    encoder="resnet50",
    size=224,
    policy="simclr",
    temperature=0.1,
    layers=2,
    batch_size=4096,
    epochs=100,
    lr=0.3,
)
def paper(made: Recipe) -> Recipe:
    """The paper's on ImageNet at 224 pixels, for which the released code gives 64.5 % linear accuracy.

    Source: github.com/google-research/simclr, README.md at 0075cc0 and the defaults of run.py.
    """
    return _released(made, 1e-6)
