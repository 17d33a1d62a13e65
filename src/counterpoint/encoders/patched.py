"""An encoder of patches, which sees an image as the mean over its patches."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.types import Encoder, Facts

__all__ = ["Patched"]


class _Patched(nn.Module):
    map_layer = "encoder"  # one row for each patch: the mean over them is what an image is

    def __init__(self, encoder: nn.Module, patch: int, stride: int) -> None:
        super().__init__()
        self.encoder, self.patch, self.stride = encoder, patch, stride

    def forward(self, x: Float[Tensor, "row channel tall wide"]) -> Float[Tensor, "row width"]:
        batch, channels, height, width = x.shape
        if (height, width) == (self.patch, self.patch):
            return self.encoder(x)
        if min(height, width) < self.patch:
            raise ShapeError(
                f"the encoder sees patches of {self.patch} px, but got an image of {height} x {width}; give larger "
                "images, or smaller patches"
            )
        tiles = x.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride).permute(0, 2, 3, 1, 4, 5)
        h = self.encoder(tiles.reshape(-1, channels, self.patch, self.patch))
        return h.unflatten(0, (batch, -1)).mean(1)


@dataclass(frozen=True)
class Patched:
    """A patch is encoded by an encoder of patches; a larger image as the mean over its patches.

    Source: van den Oord et al. 2018, arXiv:1807.03748, section 3.2, where the classifier sees the mean over the grid.

    Args:
        inner: encodes one patch.
        patch: its side, in pixels.
        stride: between neighbours of a whole image, in pixels.
        size: side of the images that `inner` is built for, if it takes others too (a convolution whose stem follows the
            size of its images); 0: the patch's.

    See also: `counterpoint.views.Views.tiled`, which makes the patches that it learns from.
    """

    inner: Encoder
    patch: int
    stride: int
    size: int = 0

    def __post_init__(self) -> None:
        if min(self.patch, self.stride) < 1 or self.size < 0:
            raise RecipeError(
                f"Patched(patch={self.patch}, stride={self.stride}, size={self.size}): patch and stride are at least "
                "1 pixel, size at least 0"
            )

    @property
    def width(self) -> int:
        """The inner encoder's."""
        return self.inner.width

    def build(self, facts: Facts) -> nn.Module:
        """A module from patches, or from whole images, to [row, width].

        Raises:
            RecipeError: the inner encoder takes no images of this size.
        """
        try:
            encoder = self.inner.build(replace(facts, size=self.size or self.patch))
        except RecipeError as error:
            raise RecipeError(
                f"the encoder sees patches of {self.patch} px, not whole images (a smaller grid makes them larger): "
                f"{error}"
            ) from error
        return _Patched(encoder, self.patch, self.stride)
