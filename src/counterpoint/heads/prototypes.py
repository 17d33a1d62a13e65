"""A head whose outputs are cosines to learned prototypes."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError
from counterpoint.heads.mlp import MLPHead
from counterpoint.sphere import unit
from counterpoint.types import Facts

__all__ = ["PrototypeHead"]


@dataclass(frozen=True)
class PrototypeHead:
    """Linear layers to a bottleneck of unit length, then its inner product with each of many directions.

    The last layer has normalised weights, no bias, and a gain for each output, which stays 1 unless it is learned. It
    is called `prototypes`. DINO's is `PrototypeHead((2048, 2048), 256, 65536)`.

    Source: Caron et al. 2021 (DINO), section 3.2 and its released code (initialisation: normal with deviation 0.02, cut
    at +-2).

    Args:
        hidden: widths before the bottleneck.
        bottleneck: width.
        out: number of prototypes.
        batch_norm: after each hidden layer (DINO has it for convolutional encoders, none for transformers).
        activation: after each hidden layer.
        learn_gain: the gain of each prototype is trained.
    """

    hidden: tuple[int, ...] = (2048, 2048)
    bottleneck: int = 256
    out: int = 65536
    batch_norm: bool = False
    activation: Literal["relu", "gelu"] = "gelu"
    learn_gain: bool = False

    def __post_init__(self) -> None:
        if self.out < 2:
            raise RecipeError(f"PrototypeHead(out={self.out}): give 2 prototypes or more")

    @property
    def width(self) -> int:
        """One number for each prototype."""
        return self.out

    def build(self, facts: Facts) -> nn.Sequential:
        """A module from [row, facts.width] to [row, out]."""
        mlp = MLPHead(self.hidden, self.bottleneck, batch_norm=self.batch_norm, activation=self.activation).build(facts)
        for layer in mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        return nn.Sequential(
            OrderedDict(mlp=mlp, prototypes=_Prototypes(self.bottleneck, self.out, learn_gain=self.learn_gain))
        )


class _Prototypes(nn.Module):
    """gain * <x / |x|, w / |w|>."""

    def __init__(self, width: int, out: int, *, learn_gain: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(width, out, bias=False).weight.detach())
        self.gain = nn.Parameter(torch.ones(out)) if learn_gain else None

    def forward(self, x: Float[Tensor, "row width"]) -> Float[Tensor, "row prototype"]:
        """Cosines, each with its gain."""
        cosine = nn.functional.linear(unit(x), unit(self.weight))
        return cosine if self.gain is None else cosine * self.gain
