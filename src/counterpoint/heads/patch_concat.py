"""One head for an image, another for its patches, which are laid side by side."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.heads.heads import Head, OfRows
from counterpoint.types import Facts, Rows

__all__ = ["PatchConcat"]


class _PatchConcat(OfRows):
    """f and g."""

    def __init__(self, image: nn.Module, patch: nn.Module, patches: int, inner: int, width: int) -> None:
        super().__init__()
        self.image, self.patch, self.patches = image, patch, patches
        self.together = nn.Linear(patches * inner, width)

    def forward(self, x: Float[Tensor, "row width"], rows: Rows | None = None) -> Float[Tensor, "row dim"]:
        if rows is None:
            return self.image(x)
        batch, rest = divmod(len(x), 1 + self.patches)
        if rest or int((rows.view == 0).sum()) != batch:
            raise ShapeError(
                f"the head puts {self.patches} patches of each image together, beside the image itself, but got "
                f"{len(x)} rows in {int(rows.view.max()) + 1} views; views and head must speak of one grid"
            )
        f = self.image(x[:batch])
        each = self.patch(x[batch:]).unflatten(0, (self.patches, batch))
        g = self.together(each.transpose(0, 1).flatten(1))
        return torch.cat([f, g.repeat(self.patches, 1)])


@dataclass(frozen=True)
class PatchConcat:
    """f of the image and g of its patches: g maps each patch, puts all side by side as they come, and maps them once.

    The order matters to g, as it would not to a mean: what stays the same however an image was cut and shuffled has to
    be learned. View 0 is the image, the patches are the views after it. Every patch's row holds its image's g, so that
    view 0 with view 1 are f with g of all images.

    Source: Misra & van der Maaten 2020, arXiv:1912.01991, section 3.1 and figure 3 (`image` and `patch` linear, 128,
    9 patches); in "PIRL (Rotation)" there is one patch, the turned image.

    Args:
        image: f; it also sees images when they are embedded.
        patch: of each patch, the first part of g.
        patches: of an image.
    """

    image: Head
    patch: Head
    patches: int = 9

    def __post_init__(self) -> None:
        if self.patches < 1:
            raise RecipeError(f"PatchConcat(patches={self.patches}): an image has at least 1 patch")

    @property
    def width(self) -> int:
        """Of f, which g shares."""
        return self.image.width

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, facts.width] to [row, width]."""
        width, inner = (head.width or facts.width for head in (self.image, self.patch))
        return _PatchConcat(self.image.build(facts), self.patch.build(facts), self.patches, inner, width)
