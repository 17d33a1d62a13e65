"""The patches that are seen, pooled by attention, ask for those that are hidden."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.heads.heads import OfRows
from counterpoint.types import Facts, Rows

__all__ = ["AttentionPool"]


class _Pool(OfRows):
    def __init__(self, width: int, patches: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.patches = patches
        self.place = nn.Parameter(torch.randn(patches, width) * 0.02)
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Float[Tensor, "row width"], rows: Rows | None = None) -> Float[Tensor, "row dim"]:
        batch, rest = divmod(len(x), self.patches)
        if rest or rows is None or rows.hidden is None:
            why = "views and attention must speak of one grid" if rest else "none is hidden; pair by HiddenPatches"
            raise ShapeError(f"the attention over {self.patches} patches of an image got {len(x)} rows: {why}")
        hidden = rows.hidden.unflatten(0, (self.patches, batch)).T
        seen = self.patches - int(hidden.sum()) // batch
        tokens = (x.unflatten(0, (self.patches, batch)) + self.place[:, None]).transpose(0, 1)
        # Every image hides as many, so that the visible ones are a tensor and need no mask.
        visible = hidden.long().argsort(dim=1, stable=True)[:, :seen]
        tokens = tokens.gather(1, visible[:, :, None].expand(-1, -1, x.shape[1]))
        pooled = self.layers(torch.cat([self.start.expand(batch, 1, -1), tokens], 1))[:, 0]
        return (pooled + self.place[:, None]).flatten(0, 1)


@dataclass(frozen=True)
class AttentionPool:
    """v at a place is u, what attention makes of the visible patches, plus the embedding of that place.

    The visible patches' z, each with the embedding of its place, and a learned start token go through transformer
    layers; u is what the token has become. Hidden patches are left out of the sequence. Every row of an image gets its
    v; those of hidden patches are asked for.

    Source: Trinh et al. 2019, arXiv:1906.02940, section 2 (Selfie). Deviation: one learned embedding for each place
    also on grids as large as its 7 x 7, where it adds one of the row and one of the column.

    Args:
        patches: of an image.
        layers: of the transformer.
        heads: of attention; they divide the projection's width.
        hidden: width of a layer's hidden units.
    """

    patches: int = 16
    layers: int = 3
    heads: int = 4
    hidden: int = 256

    def __post_init__(self) -> None:
        if min(self.patches, self.layers, self.heads, self.hidden) < 1:
            raise RecipeError(
                f"AttentionPool(patches={self.patches}, layers={self.layers}, heads={self.heads}, "
                f"hidden={self.hidden}): each is at least 1"
            )

    @property
    def width(self) -> int:
        """0: as wide as the input."""
        return 0

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, facts.width] to as much."""
        if facts.width % self.heads:
            raise RecipeError(
                f"AttentionPool(heads={self.heads}) cannot share a projection of width {facts.width} among its heads; "
                "the heads must divide it"
            )
        return _Pool(facts.width, self.patches, self.layers, self.heads, self.hidden)
