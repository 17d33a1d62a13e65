"""Any backbone of the package timm."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import nn

from counterpoint.errors import MissingExtra, RecipeError, nearest
from counterpoint.types import Facts

__all__ = ["Timm"]


@dataclass(frozen=True)
class Timm:
    """A model of timm by name, without its classifier, pooled as timm pools it.

    Args:
        name: as timm knows it: `convnext_tiny`, `vit_small_patch16_224.dino`.
        pretrained: timm's published weights (a download); the first convolution is adapted where images are not RGB.
    """

    name: str
    pretrained: bool = False

    @property
    def width(self) -> int:
        """Of the pooled features. Found once for each name, without weights and without a download.

        Raises:
            MissingExtra: timm is not installed.
            RecipeError: timm knows no such model.
        """
        return _width(self.name)

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, channel, size, size] to [row, width].

        Raises:
            MissingExtra: timm is not installed.
            RecipeError: timm knows no such model, or has no weights for it.
        """
        if self.pretrained and not _timm().is_model_pretrained(self.name):
            raise RecipeError(f"timm has no pretrained weights for {self.name!r}; train from scratch, or name another")
        options = {"img_size": facts.size} if _fixed_size(self.name) else {}
        model = _create(self.name, pretrained=self.pretrained, in_chans=facts.channels, **options)
        layer = _map_layer(model)
        if layer is not None:
            cast(Any, model).map_layer = layer
        return model


def _timm() -> Any:
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtra("timm", "timm") from None
    return timm


def _create(name: str, **options: Any) -> nn.Module:
    timm = _timm()
    if not timm.is_model(name):
        close = nearest(name.partition(".")[0], timm.list_models()).partition(" known:")[0]
        raise RecipeError(f"timm knows no model {name!r}; {close if 'mean' in close else 'see timm.list_models()'}")
    return timm.create_model(name, num_classes=0, **options)


def _map_layer(model: Any) -> str | None:
    """Of plain transformers and mixers, whose maps are tokens: the last patch tokens that h is made of."""
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList) or not hasattr(blocks[-1], "norm1"):
        return None
    last = f"blocks.{len(blocks) - 1}"
    # A class token inside the blocks reads the patches by the last attention; what they become after it is unused.
    # Cait's and XCiT's class token reads them in blocks of its own that follow.
    inside = not hasattr(model, "blocks_token_only") and not hasattr(model, "cls_attn_blocks")
    token = getattr(model, "global_pool", None) == "token"
    return f"{last}.norm1" if token and inside else last


def _fixed_size(name: str) -> bool:
    config = _timm().get_pretrained_cfg(name)
    return bool(config is not None and config.fixed_input_size)


@lru_cache(maxsize=64)
def _width(name: str) -> int:
    with torch.device("meta"):
        model: Any = _create(name)
    return int(getattr(model, "head_hidden_size", None) or model.num_features)
