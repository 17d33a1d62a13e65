"""A small residual conv net, made for speed on CPUs."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.types import Facts

__all__ = ["ConvNet"]


@dataclass(frozen=True)
class ConvNet:
    """Few convolutions on few, early reduced maps: most accuracy for a minute of CPU.

    An overlapping patch stem brings an image to a map of about `grid` x `grid`, or twice that where a patch would be
    larger than 4 px. Each further stage halves the map with a 3 x 3 convolution of stride 2 and adds one residual 3 x 3
    convolution; a 1 x 1 convolution to `width` and the average over the last map end it. Batch norm and ReLU after each
    convolution. At 32 px: 8 x 8 x 64, 4 x 4 x 128, 512. Chosen among a dozen by kNN accuracy for minutes of CPU (SimCLR
    on CIFAR-10; the table is in docs/log.md).

    Args:
        width: of the representation.
        stages: width of the stem, then of each stage that halves the map.
        grid: side of the map after the stem, of images up to 4 times as large; smaller ones keep their size.
    """

    width: int = 512
    stages: tuple[int, ...] = (64, 128)
    grid: int = 8

    def __post_init__(self) -> None:
        if not self.stages or min(self.width, self.grid, *self.stages) < 1:
            raise RecipeError(
                f"ConvNet(width={self.width}, stages={self.stages}, grid={self.grid}): all must be 1 or more, "
                "and there is at least one stage"
            )

    def build(self, facts: Facts) -> nn.Sequential:
        """A module from [row, channel, size, size] to [row, width].

        Raises:
            ShapeError: the image is too small to be halved by every stage.
        """
        patch = max(1, min(round(facts.size / self.grid), max(4, round(facts.size / (2 * self.grid)))))
        smallest = 2 ** (len(self.stages) - 1)
        if facts.size < smallest:
            raise ShapeError(
                f"the conv encoder with {len(self.stages)} stages needs images of {smallest} px or more, but these "
                f"have {facts.size} px; give a larger --size, or take mlp"
            )
        layers: list[nn.Module] = [_convolution(facts.channels, self.stages[0], patch + 2, patch)]
        for before, after in pairwise(self.stages):
            layers += [_convolution(before, after, 3, 2), _Residual(_convolution(after, after, 3, 1))]
        layers.append(_convolution(self.stages[-1], self.width, 1, 1))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _convolution(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, padding=min(1, kernel // 2), bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Float[Tensor, "row channel height width"]) -> Float[Tensor, "row channel height width"]:
        """The sum."""
        return x + self.branch(x)
