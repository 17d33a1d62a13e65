"""Debiased: SimCLR whose negatives are corrected for those that are of the anchor's class unknown.

Source: Chuang et al. 2020, arXiv:2007.00224, equations 7 and 8.
"""

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import InBatch
from counterpoint.objectives import Debiased
from counterpoint.optim import Adam
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.scores import Cosine
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["debiased"]


@recipe
def debiased(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.5,  # dimensionless, divides a cosine
    tau_plus: float = 0.1,  # chance that another image is of the anchor's class: 1 / classes where they are even
    width: int = 128,  # of the projection z
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 256,  # images over all ranks
    epochs: int = 100,  # passes over the training images; the paper's 500 on CIFAR-10 and STL-10
    lr: float = 1e-3,  # constant
) -> Recipe:
    """NT-Xent over all views of a batch, debiased; the paper's head and optimizer.

    Deviations: the views are those that suit the source, and the policy weak-cifar is the paper's for small photos; the
    views of an image go through BatchNorm together, where the authors' code encodes one after the other.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(512,), out=width, hidden_bias=False)),
        negatives=InBatch(),
        score=Cosine(),
        objective=Debiased(temperature, tau_plus),
        optim=Adam(lr=lr, weight_decay=1e-6),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    debiased,
    encoder="resnet50",
    size=32,
    temperature=0.5,
    tau_plus=0.1,
    policy="weak-cifar",
    batch_size=256,
    epochs=500,
    lr=1e-3,
)
def stl10(made: Recipe) -> Recipe:
    """The released code on STL-10 at 32 pixels (`--size 32`), for which it gives 84.26 % linear accuracy.

    It learns from the labelled and the unlabelled images.

    Source: github.com/chingyaoc/DCL, README.md at 179a54a and main.py, utils.py and model.py.
    """
    return made


@preset(
    debiased,
    encoder="resnet50",
    size=32,
    temperature=0.5,
    tau_plus=0.1,
    policy="weak-cifar",
    batch_size=256,
    epochs=400,
    lr=1e-3,
)
def cifar(made: Recipe) -> Recipe:
    """The authors' later code on CIFAR-10, `--beta 0` of its hard negatives, for which it gives no accuracy.

    Source: github.com/joshr17/HCL, image/main.py and image/utils.py at 7b4647f.
    """
    return made
