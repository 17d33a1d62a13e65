"""A recipe with all that a resume could forget: a moving average, a queue, dropout, BatchNorm, schedules, momentum.

Source: none; made for tests.
"""

from dataclasses import dataclass

from torch import nn

from counterpoint.heads import Heads, MLPHead
from counterpoint.negatives import Queue
from counterpoint.objectives import Contrast
from counterpoint.optim import AdamW
from counterpoint.pairing import SameSample
from counterpoint.recipe import Recipe, recipe
from counterpoint.schedules import Cosine
from counterpoint.targets import MovingAverage
from counterpoint.views import named


@dataclass(frozen=True)
class Dropping:
    """A small encoder with dropout and BatchNorm."""

    width: int = 64

    def build(self, facts):
        pixels = facts.channels * facts.size**2
        return nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, self.width), nn.BatchNorm1d(self.width), nn.ReLU(), nn.Dropout(0.2)
        )


@recipe
def stateful(
    facts,
    encoder,
    *,
    batch_size: int = 128,  # images
    epochs: int = 12,  # passes
) -> Recipe:
    return Recipe(
        pairing=SameSample(),
        views=named("glyphs", size=facts.size, channels=facts.channels),
        encoder=Dropping(),
        heads=Heads(projector=MLPHead((64,), 32)),
        target=MovingAverage(Cosine(0.9, 0.99), when="before"),
        negatives=Queue(300),
        objective=Contrast(Cosine(0.5, 0.1)),
        optim=AdamW(lr=Cosine(3e-3, warmup_epochs=1), weight_decay=1e-2),
        batch_size=batch_size,
        epochs=epochs,
    )
