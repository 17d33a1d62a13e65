"""SimLAP: any two classes may be a positive pair, in a subspace that is learned for the two.

Source: Wu et al. 2024, equation 2 and tables 5a to 5c (earlier versions call it UCL and Hydra).
"""

from dataclasses import replace
from typing import Literal

from counterpoint.errors import RecipeError
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Gated, InBatch
from counterpoint.objectives import Each, GatedContrast, Joint
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import ArbitraryPairs, DisjointPairs
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import Views, default, named

__all__ = ["simlap"]


@recipe
def simlap(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.15,  # dimensionless, divides a gated cosine; the paper's best is 0.05
    gate_penalty: float = 0.0,  # weight of the penalty on the gates of all classes
    penalty: Literal["printed", "binary"] = "printed",  # g log g, which draws gates to 1/e; or the entropy of a coin
    pairs: float = 1.0,  # share of the unordered pairs of classes that may be drawn
    own: float = 0.0,  # share of anchors whose partner is their own class, whatever is drawn; 1: class pairs
    form: Literal["equation", "algorithm"] = "equation",  # the paper's equation 2, or its algorithm 1 as printed
    norm: Literal["none", "batch", "layer"] = "layer",  # at the projector's end; the paper: only layer trains well
    side: str | None = None,  # file with a row for each class, in place of learned label embeddings
    embedding: int = 512,  # width of a label embedding
    gate_hidden: int = 1024,  # between the two linear layers that make a gate
    width: int = 256,  # of the projection z and of a gate
    policy: str | None = None,  # of the one view; none: what suits the source; the paper's: three-augment
    batch_size: int = 512,  # images over all ranks; the paper's 1024
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """One view of each image; labels of another image in the batch are drawn for each anchor, whose class attracts it.

    Each positive has a denominator of its own, with the rows of neither class; anchor, positive and negatives are all
    under the anchor's gate. `--form algorithm` pairs the images of a batch two by two, with each row under the gate of
    its own pair and all rows, itself too, in one denominator; the sigmoid, which algorithm 1 leaves out, stays. With
    1,000 classes there are 500,500 pairs: `--pairs 0.05` allows a twentieth. What is evaluated has no gate. The
    projector is table 5b's, as wide as the encoder. Deviation: where the batch is not the paper's, AdamW's rate follows
    the square root of the batch.
    """
    if form == "algorithm" and (pairs, own) != (1.0, 0.0):
        raise RecipeError("form=algorithm pairs images as they come, so that pairs and own must stay 1 and 0")
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    equation = form == "equation"
    return Recipe(
        pairing=ArbitraryPairs(own, pairs, facts.classes) if equation else DisjointPairs(),
        views=Views(named(policy, size=facts.size, channels=facts.channels).policies[:1]),
        encoder=encoder,
        heads=Heads(projector=MLPHead((encoder.width,), width, first_norm=True, final_norm=norm)),
        negatives=Gated(InBatch(), embedding, gate_hidden, side, classes=gate_penalty > 0, members=not equation),
        score=Cosine(),
        objective=GatedContrast(temperature, Each() if equation else Joint(), penalty=gate_penalty, kind=penalty),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-2),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    simlap,
    encoder="resnet50",
    size=224,
    temperature=0.15,
    width=256,
    policy="three-augment",
    batch_size=1024,
    epochs=1000,
    lr=0.05,
)
def paper(made: Recipe) -> Recipe:
    """The paper's with ResNet-50 on ImageNet at 224 pixels.

    The learning rate is that of a batch of 256, and grows with the batch: 0.2 at 1,024, which is the paper's; how it
    follows the batch is not printed. Deviation: where the text lists blur, grey and jitter, three-augment has solarize
    too, as the policy of that name does.

    Source: Wu et al. 2024, table 5a, column 1, tables 5b and 5c.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    return replace(made, optim=LARS(Decay(rate, warmup_epochs=40), weight_decay=1e-4))


@preset(
    simlap,
    encoder="vit_small",
    size=224,
    temperature=0.15,
    width=256,
    policy="three-augment",
    batch_size=1024,
    epochs=300,
    lr=1e-3,
)
def paper_vit(made: Recipe) -> Recipe:
    """The paper's with ViT-S on ImageNet at 224 pixels.

    The learning rate is that of a batch of 256, and grows with the square root of the batch: 0.002 at 1,024, which is
    the paper's; how it follows the batch is not printed. The projector is as wide as the encoder, for which no table
    gives another.

    Source: Wu et al. 2024, table 5a, column 2, tables 5b and 5c.
    """
    rate = made.dials["lr"] * (made.batch_size / 256) ** 0.5
    return replace(made, optim=AdamW(Decay(rate, warmup_epochs=40), weight_decay=1e-2))
