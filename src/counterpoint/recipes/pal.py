"""PAL: views of one image agree, and so do images of which somebody, when asked, said that they are of a kind.

Source: Cabannes et al. 2023, arXiv:2303.15256.
"""

from typing import Literal

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Asking, InBatch
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import Asked
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["pal"]


@recipe
def pal(
    facts: Facts,
    encoder: Encoder,
    *,
    ask: Literal[
        "none", "pair", "nearest", "captcha", "all"
    ] = "pair",  # about a drawn or the nearest image, or several
    share: float = 1.0,  # of the questions that are asked, in [0, 1]
    shown: int = 9,  # images of a captcha
    weight: float = 1.0,  # of an edge that an answer made, where one between views has 1
    temperature: float = 0.5,  # dimensionless, divides a cosine
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """The contrast of SimCLR on a graph that grows by cheap questions: are these two the same?

    The labels of the source give the answers. With ask "none" it is SimCLR, with "all" SupCon. Deviation: a question is
    about images that meet in a batch, and its answer holds for that step, where the paper keeps a graph of the whole
    data set; the chosen question ("nearest") is our reading. AdamW as in simclr.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=Asked("pair" if ask == "nearest" else ask, share, shown, weight),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=width, batch_norm=False)),
        negatives=Asking() if ask == "nearest" else InBatch(),
        score=Cosine(),
        objective=Contrast(temperature),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )
