"""The network of the PAMI study of losses and augmentations."""

from dataclasses import dataclass

from torch import nn

from counterpoint.errors import ShapeError
from counterpoint.types import Facts

__all__ = ["Pami"]


@dataclass(frozen=True)
class Pami:
    """Five bias-free convolutions with kernel 2; 32 numbers in (0, 1).

    Conv(c, 32)-LReLU, then Conv-BN-LReLU to 64, 128 and 256, each with stride 2 and padding 1, then Conv(256, 8) with
    stride 1 on the last 3 x 3 map, and a sigmoid: 8 x 2 x 2 = 32. 181,248 parameters with one channel, 181,504 with
    three.

    Source: the practicum study's code, which used 28 (MNIST) and 32 px (CIFAR-10); every side from 18 to 33 px ends in
    the same 3 x 3 map.
    """

    @property
    def width(self) -> int:
        """32."""
        return 32

    def build(self, facts: Facts) -> nn.Sequential:
        """A module from [row, channel, size, size] to [row, 32].

        Raises:
            ShapeError: the image's side is not within 18 to 33 px.
        """
        side = facts.size
        for _ in range(4):
            side = side // 2 + 1
        if side != 3:
            raise ShapeError(
                f"the pami encoder makes its 32 numbers from images of 18 to 33 px (28 and 32 in its source), but "
                f"these have {facts.size} px; give --size 32, or take another encoder, for example conv"
            )
        layers: list[nn.Module] = [nn.Conv2d(facts.channels, 32, 2, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for before, after in ((32, 64), (64, 128), (128, 256)):
            layers += [
                nn.Conv2d(before, after, 2, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        return _Pami(*layers, nn.Conv2d(256, 8, 2, bias=False), nn.Sigmoid(), nn.Flatten())


class _Pami(nn.Sequential):
    map_layer = "10"  # 256 x 3 x 3: of the 8 x 2 x 2 that follow, each number is one of h
