"""SimSiam: one view predicts the other, which takes no gradient; nothing repels, and nothing is copied.

Source: Chen and He 2021, arXiv:2011.10566, algorithm 1 and section 3.
"""

from dataclasses import replace

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import OtherViews
from counterpoint.objectives import CosineRegression
from counterpoint.optim import SGD, Group
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.targets import StopGradient
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["simsiam"]


@recipe
def simsiam(
    facts: Facts,
    encoder: Encoder,
    *,
    width: int = 512,  # of the projector's three layers and of the prediction; the paper has 2048
    bottleneck: int = 128,  # width inside the predictor; the paper has 512, also a quarter
    policy: str | None = None,  # of the views; none: what suits the source
    batch_size: int = 512,  # images over all ranks
    epochs: int = 100,  # passes over the training images
    lr: float = 0.05,  # at the start, for a batch of 256; grows with the batch
    weight_decay: float = 1e-4,  # of all parameters; the paper has 5e-4 on CIFAR-10
) -> Recipe:
    """Minus the mean cosine of both directions; the predictor's learning rate stays, the others' falls by a cosine.

    Without the stop-gradient (`--set target=counterpoint.targets:Same`) all rows fall to one. Without the predictor
    (`--set heads.predictor=none --set "optim.groups=()"`) the paper's network learns nothing; a small one on digits
    spread its rows all the same. The paper's views are moco-v2. Deviations: narrower heads, for small encoders; the
    views of an image go through BatchNorm together.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    rate = lr * batch_size / 256
    projector = MLPHead((width, width), width, hidden_bias=False, final_bias=False, final_norm="batch_no_affine")
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=projector, predictor=MLPHead((bottleneck,), width, hidden_bias=False)),
        target=StopGradient(),
        negatives=OtherViews(),
        objective=CosineRegression(),
        optim=SGD(lr=Decay(rate), weight_decay=weight_decay, groups=(Group("predictor", lr=rate),)),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    simsiam,
    encoder="resnet18",
    size=32,
    width=2048,
    bottleneck=512,
    policy="weak-cifar",
    batch_size=256,
    epochs=1000,
    lr=0.5,
    weight_decay=1e-5,
)
def cifar(made: Recipe) -> Recipe:
    """solo-learn's on CIFAR-10, for which it gives 90.51 % linear accuracy.

    The learning rate is that of a batch of 256, and grows with the batch; the predictor's has no warm-up and does not
    fall. Deviation: its first convolution pads by 2.

    Source: github.com/vturrisi/solo-learn, scripts/pretrain/cifar/simsiam.yaml, and README.md at 5226562.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    falls = Decay(rate, warmup_epochs=10, warmup_start=3e-5)
    return replace(made, optim=replace(made.optim, lr=falls))


@preset(
    simsiam,
    encoder="resnet18",
    size=32,
    width=2048,
    bottleneck=512,
    policy="supcon",
    batch_size=512,
    epochs=800,
    lr=0.03,
    weight_decay=5e-4,
)
def cifar_paper(made: Recipe) -> Recipe:
    """The paper's on CIFAR-10 in another's code, for which that gives 90.83 % linear accuracy.

    The projector has two layers in place of three, and the views are those of SupCon's code. The learning rate rises
    for 10 epochs, as in that code; the paper's own accuracy, and whether it warms up here, stay open. Deviation: the
    projector's last BatchNorm has no scale and shift, as in the authors' code for ImageNet.

    Source: github.com/PatrickHua/SimSiam, configs/simsiam_cifar.yaml at 5838dd7, and README.md at 4938d94.
    """
    rate, width = made.dials["lr"] * made.batch_size / 256, made.dials["width"]
    projector = MLPHead((width,), width, hidden_bias=False, final_bias=False, final_norm="batch_no_affine")
    falls = Decay(rate, warmup_epochs=10)
    return replace(made, heads=replace(made.heads, projector=projector), optim=replace(made.optim, lr=falls))
