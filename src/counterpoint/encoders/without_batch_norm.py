"""An encoder whose batch norms are exchanged for a norm of each sample by itself."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from counterpoint.errors import RecipeError
from counterpoint.types import Encoder, Facts

__all__ = ["WithoutBatchNorm"]


@dataclass(frozen=True)
class WithoutBatchNorm:
    """The same trunk with a layer norm, over all channels and places of a sample, where each batch norm stood.

    A batch norm lets every row of a batch tell of the others, patches of one image among them, by which a context can
    know its target without understanding anything (CPC).

    Source: Hénaff et al. 2020, arXiv:1905.09272 (CPC v2), which takes layer norm.

    Args:
        inner: the encoder.
        norm: what takes the place: `layer`, or `none` for nothing.
    """

    inner: Encoder
    norm: Literal["layer", "none"] = "layer"

    def __post_init__(self) -> None:
        if self.norm not in ("layer", "none"):
            raise RecipeError(f"WithoutBatchNorm(norm={self.norm!r}): take layer or none")

    @property
    def width(self) -> int:
        """The inner encoder's."""
        return self.inner.width

    def build(self, facts: Facts) -> nn.Module:
        """The inner encoder's module with its norms exchanged."""
        module = self.inner.build(facts)
        return self._other(module) or self._exchange(module)

    def _other(self, module: nn.Module) -> nn.Module | None:
        if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            return None
        # One group is a layer norm over the channels and all places, whatever the size of the map.
        return nn.GroupNorm(1, module.num_features) if self.norm == "layer" else nn.Identity()

    def _exchange(self, module: nn.Module) -> nn.Module:
        for name, child in module.named_children():
            setattr(module, name, self._other(child) or self._exchange(child))
        return module
