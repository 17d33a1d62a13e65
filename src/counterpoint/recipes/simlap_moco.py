"""SimLAP-MoCo: MoCo v3, whose keys of any other class may be positives, in a subspace learned for the two classes.

Source: Wu et al. 2024, table 5a, column 3 (also called Hydra-MoCo); Chen et al. 2021, arXiv:2104.02057.
"""

from dataclasses import replace
from typing import Literal

from counterpoint.encoders import ResNet
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import AcrossViews, Gated
from counterpoint.objectives import Each, GatedContrast
from counterpoint.optim import LARS, AdamW
from counterpoint.pairing import ArbitraryPairs
from counterpoint.recipe import Recipe, preset, recipe
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import MomentumToOne
from counterpoint.scores import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.types import Encoder, Facts
from counterpoint.views import default, named

__all__ = ["simlap_moco"]


@recipe
def simlap_moco(
    facts: Facts,
    encoder: Encoder,
    *,
    temperature: float = 0.2,  # dimensionless, divides a gated cosine; as in moco_v3
    gate_penalty: float = 0.0,  # weight of the penalty on the gates of all classes
    penalty: Literal["printed", "binary"] = "printed",  # g log g, which draws gates to 1/e; or the entropy of a coin
    pairs: float = 1.0,  # share of the unordered pairs of classes that may be drawn
    own: float = 0.0,  # share of anchors whose partner is their own class, whatever is drawn; 1: class pairs
    norm: Literal["none", "batch", "layer"] = "layer",  # at the projector's end
    side: str | None = None,  # file with a row for each class, in place of learned label embeddings
    embedding: int = 512,  # width of a label embedding
    gate_hidden: int = 1024,  # between the two linear layers that make a gate
    momentum: float = 0.99,  # of the moving average at the start; it rises to 1 as half a cosine
    hidden: int = 1024,  # of both heads; MoCo v3's 4096
    width: int = 256,  # of the projection z, its prediction and a gate
    policy: str | None = None,  # of the views; none: what suits the source; MoCo v3's: byol-asym
    batch_size: int = 512,  # images over all ranks; the paper's 1024
    epochs: int = 100,  # passes over the training images
    lr: float = 1e-3,  # peak, for a batch of 256; grows with the square root of the batch
) -> Recipe:
    """moco_v3 with gates: a query is drawn to the keys of the class that its lot falls on, in the other view.

    Predictions and keys are both multiplied by the gate of the query's pair, which the network's own branch trains;
    keys of the query's class take no part, those of neither class repel. Our reading, which the paper does not print:
    two views and both directions, the factor 2 t, one filter for both sides, and the widths of MoCo v3's heads, the
    projector ending in a LayerNorm. Deviations are those of moco_v3.
    """
    policy = policy or default(facts.kind, size=facts.size, channels=facts.channels)
    predictor = MLPHead((hidden,), width, hidden_bias=False, final_bias=False)
    return Recipe(
        pairing=ArbitraryPairs(own, pairs, facts.classes),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=replace(predictor, final_norm=norm), predictor=predictor),
        target=MovingAverage(MomentumToOne(momentum), when="before"),
        negatives=Gated(AcrossViews(), embedding, gate_hidden, side, classes=gate_penalty > 0),
        score=Cosine(),
        objective=GatedContrast(temperature, Each(), 4.0, penalty=gate_penalty, kind=penalty),
        optim=AdamW(lr=Decay(lr * (batch_size / 256) ** 0.5, warmup_epochs=min(10, epochs / 10)), weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


@preset(
    simlap_moco,
    encoder="resnet50",
    size=224,
    temperature=1.0,
    momentum=0.996,
    hidden=4096,
    policy="moco-v3",
    batch_size=1024,
    epochs=1000,
    lr=0.075,
)
def paper(made: Recipe) -> Recipe:
    """The paper's with ResNet-50 on ImageNet at 224 pixels; what it does not print is MoCo v3's.

    The learning rate is that of a batch of 256, and grows with the batch: 0.3 at 1,024, which is the paper's; how it
    follows the batch is not printed. Of MoCo v3's 1,000 epochs are the momentum 0.996, the temperature 1, the heads,
    the views, and residual blocks that start as the identity.

    Source: Wu et al. 2024, table 5a, column 3; github.com/facebookresearch/moco-v3, CONFIG.md at 38aae44.
    """
    rate = made.dials["lr"] * made.batch_size / 256
    encoder = made.encoder
    return replace(
        made,
        encoder=replace(encoder, zero_init_residual=True) if isinstance(encoder, ResNet) else encoder,
        optim=LARS(Decay(rate, warmup_epochs=40), weight_decay=1.5e-6),
    )
