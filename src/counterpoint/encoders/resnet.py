"""Residual networks, torchvision's, with a stem for small or for large images."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.types import Facts

__all__ = ["ResNet"]

_WIDTH = {18: 512, 34: 512, 50: 2048}


@dataclass(frozen=True)
class ResNet:
    """A ResNet without its classifier, up to and with the average over the last map.

    The `cifar` stem is one 3 x 3 convolution with stride 1, padding 1 and no bias, without max-pool; `imagenet` is the
    7 x 7 convolution with stride 2 and the max-pool.

    Source: He et al. 2016; the CIFAR stem of Chen et al. 2020 (SimCLR), appendix B.9.

    Args:
        depth: 18, 34 or 50.
        stem: `auto` takes `cifar` for images of up to 64 px.
        zero_init_residual: the last norm of each block starts at 0, so that each block starts as the identity (SimSiam,
            MoCo v3).
    """

    depth: Literal[18, 34, 50] = 18
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        if self.depth not in _WIDTH:
            raise RecipeError(f"ResNet(depth={self.depth}): take 18, 34 or 50")
        if self.stem not in ("auto", "cifar", "imagenet"):
            raise RecipeError(f"ResNet(stem={self.stem!r}): take auto, cifar or imagenet")

    @property
    def width(self) -> int:
        """512; 2048 at depth 50."""
        return _WIDTH[self.depth]

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, channel, size, size] to [row, width]."""
        from torchvision.models import resnet

        make = {18: resnet.resnet18, 34: resnet.resnet34, 50: resnet.resnet50}[self.depth]
        model = make(zero_init_residual=self.zero_init_residual)
        small = self.stem == "cifar" or (self.stem == "auto" and facts.size <= 64)
        if small or facts.channels != 3:
            kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
            model.conv1 = nn.Conv2d(facts.channels, 64, kernel, stride, padding, bias=False)
            nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        if small:
            model.maxpool = nn.Identity()  # type: ignore[assignment]
        model.fc = nn.Identity()  # type: ignore[assignment]
        return model
