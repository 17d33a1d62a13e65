"""Vision transformers, torchvision's."""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.errors import RecipeError
from counterpoint.types import Facts

__all__ = ["ViT"]


@dataclass(frozen=True)
class ViT:
    """A pre-norm vision transformer; the representation is the class token after the last norm.

    Source: Dosovitskiy et al. 2021; the sizes tiny (192, 12, 3) and small (384, 12, 6) of Touvron et al. 2021 (DeiT),
    table 1. A view of another size than the encoder was built for (a small crop) has the positions stretched to it, as
    in Caron et al. 2021 (DINO) and their code.

    Args:
        width: of a token; `heads` divides it.
        depth: number of blocks.
        heads: of attention.
        mlp_ratio: width of a block's hidden layer, in widths.
        patch: side of a patch in pixels, a divisor of the image's side; 0: the divisor nearest to an eighth of the
            side, at most 16 (4 at 32 px, 8 at 64, 16 at 224).
        dropout: probability, in [0, 1).
    """

    width: int = 192
    depth: int = 12
    heads: int = 3
    mlp_ratio: float = 4.0
    patch: int = 0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise RecipeError(f"ViT(width={self.width}, heads={self.heads}): the heads must divide the width")

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, channel, size, size] to [row, width].

        Raises:
            RecipeError: no patch fits the size.
        """
        patch = self.patch or _patch(facts.size)
        if facts.size % patch:
            raise RecipeError(
                f"a ViT with patches of {patch} px does not fit images of {facts.size} px; {patch} must divide it"
            )
        model = _any_size()(
            image_size=facts.size,
            patch_size=patch,
            num_layers=self.depth,
            num_heads=self.heads,
            hidden_dim=self.width,
            mlp_dim=round(self.width * self.mlp_ratio),
            dropout=self.dropout,
        )
        if facts.channels != 3:
            embed = nn.Conv2d(facts.channels, self.width, patch, patch)
            nn.init.trunc_normal_(embed.weight, std=(facts.channels * patch**2) ** -0.5)
            if embed.bias is not None:
                nn.init.zeros_(embed.bias)
            model.conv_proj = embed
        model.heads = nn.Identity()  # type: ignore[assignment]
        return model


@cache
def _any_size() -> type[nn.Module]:
    """torchvision's, with its parameters, but for views of any size."""
    from torchvision.models.vision_transformer import VisionTransformer

    class AnySize(VisionTransformer):
        @property
        def map_layer(self) -> str:
            # The last block's patch tokens leave it unused: what its class token reads of them is what enters it.
            return f"encoder.layers.encoder_layer_{len(self.encoder.layers) - 1}.ln_1"

        def forward(self, x: Float[Tensor, "row channel height width"]) -> Float[Tensor, "row dim"]:
            patches = self.conv_proj(x)
            tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches.flatten(2).mT], 1)
            positions = _stretched(self.encoder.pos_embedding, patches.shape[-2], patches.shape[-1])
            blocks = self.encoder
            return blocks.ln(blocks.layers(blocks.dropout(tokens + positions)))[:, 0]

    return AnySize


def _stretched(positions: Float[Tensor, "one token dim"], tall: int, wide: int) -> Float[Tensor, "one place dim"]:
    """The class token's position, and those of a square grid on one of another shape, bicubic."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if (tall, wide) == (side, side):
        return positions
    grid = positions[:, 1:].mT.unflatten(2, (side, side))
    grid = functional.interpolate(grid, size=(tall, wide), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).mT], 1)


def _patch(size: int) -> int:
    patch = _divisor(size)
    if patch is None:
        near = next(s for step in range(1, size + 17) for s in (size - step, size + step) if s > 7 and _divisor(s))
        raise RecipeError(
            f"no patch divides images of {size} px well for a ViT; give it images of {near} px, or set its patch"
        )
    return patch


def _divisor(size: int) -> int | None:
    wanted = min(16.0, size / 8)
    best = min((d for d in range(1, size + 1) if size % d == 0), key=lambda divisor: abs(divisor - wanted))
    return best if wanted / 2 <= best <= wanted * 2 else None
