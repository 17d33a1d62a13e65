"""PIRL: an image and what a pretext task made of it find the image's feature in a memory bank.

Source: Misra & van der Maaten 2020, arXiv:1912.01991, equation 5.
"""

from typing import Literal

from counterpoint.encoders import ConvNet, ResNet
from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead, PatchConcat
from counterpoint.negatives import Bank, Branches
from counterpoint.objectives import Contrast, NoiseContrastive
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import Chain, EachTile, QuarterTurn, Resize, Views, default, named

__all__ = ["pirl"]


@recipe
def pirl(
    facts: Facts,
    encoder: Encoder,
    *,
    pretext: Literal["jigsaw", "rotation"] = "jigsaw",  # what is done to an image: 3 x 3 patches shuffled, or turned
    share: float = 0.5,  # lambda, of the pretext's loss; the rest is the image's
    temperature: float = 0.07,  # dimensionless, divides a cosine
    negatives: int = 4096,  # rows of the bank drawn in a step; 0: all rows
    form: Literal["softmax", "nce"] = "softmax",  # how an image's own row is told from those that are drawn
    momentum: float = 0.5,  # share of the old feature that a row of the bank keeps
    width: int = 128,  # of f, of g, and of what g makes of a patch
    policy: str | None = None,  # of the image; none: what suits the source; the paper's: pirl
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images; the paper's 800
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """Two losses, of f(image) and of g(what became of it), against one bank of f(image).

    With a share of 0 it is instdisc with another head. Deviations: the own row and those drawn are weighed by one
    softmax, whose sum no common drift of all features can change; the paper's two-way NCE is `form=nce`, with a Z that
    the first batch fixes (see instdisc for where that falls). 4,096 negatives for the paper's 32,000, shared by the
    batch (see `Bank`); AdamW with the square-root rule in place of SGD. An encoder that takes images of one size only
    gets its patches enlarged to that size.
    """
    if form == "nce" and not negatives:
        raise RecipeError("pirl: form is nce with no negatives, but it asks for drawn rows; give --negatives 4096")
    nce = form == "nce"
    name = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    image = named(name, size=facts.size, channels=facts.channels).policies[0]
    if pretext == "jigsaw":
        puzzle = named("pirl", size=facts.size, channels=facts.channels).policies[1]
        fixed = not isinstance(encoder, ConvNet | ResNet)
        views = Views((image, Chain((puzzle, EachTile(3, Resize(facts.size)))) if fixed else puzzle), (1, 3))
    else:
        views = Views((image, Chain((image, QuarterTurn()))))
    linear = MLPHead(hidden=(), out=width)
    bank = Bank(negatives, momentum, temperature if nce else None)
    return Recipe(
        pairing=SameSample(),
        views=views,
        encoder=encoder,
        heads=Heads(projector=PatchConcat(linear, linear, patches=len(views) - 1)),
        negatives=Branches(bank, share),
        score=Cosine(),
        objective=NoiseContrastive(temperature) if nce else Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
