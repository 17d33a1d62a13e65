# %% [markdown]
# # A recipe and a part of your own, outside the package
#
# MoCo from parts that exist, with one part that does not: a score that compares rows by negative squared distance. From
# the command line: `counterpoint train examples/own_recipe.py:moco_by_distance --source digits`.
#
# Source of the method: He et al. 2020, arXiv:1911.05722, algorithm 1.

# %%
import sys
from dataclasses import dataclass

import torch

import counterpoint as cp
from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Queue
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.targets import MovingAverage
from counterpoint.views import default, named

# %% [markdown]
# A part is a frozen dataclass of numbers that answers what its stage asks: here, how to prepare a row once, and how to
# score a tile of rows.


# %%
@dataclass(frozen=True)
class NegativeDistance:
    """-|u - v|² of unit rows: a cosine, doubled and shifted."""

    def prepare(self, rows):
        return torch.nn.functional.normalize(rows.float(), dim=-1)

    def tile(self, anchors, candidates):
        if candidates.ndim == 3:
            return -(anchors[:, None] - candidates).square().sum(-1)
        return 2 * anchors @ candidates.T - 2


# %%
@recipe
def moco_by_distance(
    facts,
    encoder,
    *,
    temperature: float = 0.4,  # dimensionless
    queue: int = 1024,  # keys kept
    batch_size: int = 256,  # images over all ranks
    epochs: int = 20,  # passes over the training images
) -> Recipe:
    policy = default(facts.kind, size=facts.size, channels=facts.channels)
    return Recipe(
        pairing=SameSample(),
        views=named(policy, size=facts.size, channels=facts.channels),
        encoder=encoder,
        heads=Heads(projector=MLPHead(hidden=(encoder.width,), out=64)),
        target=MovingAverage(0.99),
        negatives=Queue(queue),
        score=NegativeDistance(),
        objective=Contrast(temperature),
        optim=AdamW(lr=1e-3, weight_decay=1e-4),
        batch_size=batch_size,
        epochs=epochs,
    )


# %%
if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "runs/own"
    cp.train(
        f"{__file__}:moco_by_distance", source="digits", encoder="mlp", out=out, epochs=2, evaluate=False, quiet=True
    )
    print(cp.Run.open(out).recipe()["parts"]["score"])
