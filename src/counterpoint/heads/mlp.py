"""Heads made of linear layers: the projectors and predictors of nearly every method."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.types import Facts

__all__ = ["MLPHead"]


@dataclass(frozen=True)
class MLPHead:
    """Linear layers with a norm and an activation between them, and perhaps a norm at the end.

    Nothing is normalised to unit length here: the geometry belongs to the score.

    From the source papers (w: the encoder's width):
        SimCLR         `MLPHead((w,), 128, batch_norm=False)`; v2 `MLPHead((w, w), 128, hidden_bias=False,
                       final_bias=False, final_norm="batch")`
        SupCon, MoCo v2 `MLPHead((w,), 128, batch_norm=False)`; MoCo v1 and InstDisc `MLPHead((), 128)`
        MoCo v3        projector `MLPHead((4096,), 256, hidden_bias=False, final_bias=False,
                       final_norm="batch_no_affine")`, predictor the same with `final_norm="none"`
        BYOL           both `MLPHead((4096,), 256)`
        SimSiam        `MLPHead((w, w), 2048, hidden_bias=False, final_bias=False, final_norm="batch_no_affine")`,
                       predictor `MLPHead((512,), 2048, hidden_bias=False)`
        Barlow Twins   `MLPHead((8192, 8192), 8192, hidden_bias=False, final_bias=False)`
        VICReg         `MLPHead((8192, 8192), 8192, final_bias=False)`
        SimLAP         `MLPHead((2048,), 256, first_norm=True, final_norm="layer")`
        SwAV           `MLPHead((2048,), 128)`

    Args:
        hidden: widths between; empty: one linear layer.
        out: width of the output.
        batch_norm: after each hidden layer, before its activation.
        final_norm: after the last layer; `batch_no_affine` has no scale and shift.
        first_norm: a batch norm and an activation before the first layer.
        hidden_bias: of all linear layers but the last.
        final_bias: of the last.
        activation: after each hidden layer.
    """

    hidden: tuple[int, ...]
    out: int
    batch_norm: bool = True
    final_norm: Literal["none", "batch", "batch_no_affine", "layer"] = "none"
    first_norm: bool = False
    hidden_bias: bool = True
    final_bias: bool = True
    activation: Literal["relu", "gelu"] = "relu"

    def __post_init__(self) -> None:
        if any(width < 1 for width in (*self.hidden, self.out)):
            raise RecipeError(f"a head has widths {(*self.hidden, self.out)}; each must be 1 or more")
        if self.final_norm not in ("none", "batch", "batch_no_affine", "layer"):
            raise RecipeError(f"final_norm is {self.final_norm!r}; take none, batch, batch_no_affine or layer")
        if self.activation not in ("relu", "gelu"):
            raise RecipeError(f"activation is {self.activation!r}; take relu or gelu")

    @property
    def width(self) -> int:
        """Of the output."""
        return self.out

    def build(self, facts: Facts) -> nn.Sequential:
        """A module from [row, facts.width] to [row, out]."""
        if facts.width < 1:
            raise RecipeError("a head was built before the width of its input was known; give facts with width set")
        layers: list[nn.Module] = []
        if self.first_norm:
            layers += [nn.BatchNorm1d(facts.width), self._activation()]
        widths = (facts.width, *self.hidden)
        for before, after in pairwise(widths):
            layers.append(nn.Linear(before, after, bias=self.hidden_bias))
            if self.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(self._activation())
        layers.append(nn.Linear(widths[-1], self.out, bias=self.final_bias))
        if self.final_norm == "layer":
            layers.append(nn.LayerNorm(self.out))
        elif self.final_norm != "none":
            layers.append(nn.BatchNorm1d(self.out, affine=self.final_norm == "batch"))
        return nn.Sequential(*layers)

    def _activation(self) -> nn.Module:
        return nn.ReLU(inplace=True) if self.activation == "relu" else nn.GELU()
