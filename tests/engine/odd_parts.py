"""Parts that misbehave on purpose."""

from dataclasses import dataclass

from counterpoint.objectives import Contrast
from counterpoint.types import Loss

COUNT = [0]
GRADIENTS = [0]


@dataclass(frozen=True)
class NanAfter:
    """A contrast whose loss is no number after so many calls."""

    steps: int = 8

    def __call__(self, matches):
        COUNT[0] += 1
        loss = Contrast(0.5)(matches)
        return Loss(loss.total * float("nan"), {}, loss.anchors) if COUNT[0] > self.steps else loss


@dataclass(frozen=True)
class NanGradient:
    """A contrast whose loss is finite and whose gradient, at one step, is not."""

    step: int = 10

    def __call__(self, matches):
        GRADIENTS[0] += 1
        loss = Contrast(0.5)(matches)
        if self.step != GRADIENTS[0]:
            return loss
        zero = (matches[0].query - matches[0].query.detach()).square().sum().sqrt()
        return Loss(loss.total + zero, {}, loss.anchors)
