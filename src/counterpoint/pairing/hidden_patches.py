"""Some patches of each image are hidden, and have to be found."""

from dataclasses import dataclass, replace

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Keyed
from counterpoint.types import Rows

__all__ = ["HiddenPatches"]


@dataclass(frozen=True)
class HiddenPatches:
    """The views are an image's patches: as many of each image, drawn anew at each step, are hidden from the predictor.

    What the predictor says of a patch attracts that patch of that image, no other.

    Source: Trinh et al. 2019, arXiv:1906.02940, section 2 (Selfie).

    Args:
        count: hidden patches of an image, at least 2: with one there is nothing to choose from.
    """

    count: int = 4
    needs_labels = False

    def __post_init__(self) -> None:
        if self.count < 2:
            raise RecipeError(
                f"HiddenPatches(count={self.count}): hide at least 2 patches, or there is nothing to choose from"
            )

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Which are hidden."""
        batch = int((rows.view == rows.view[0]).sum())
        patches = len(rows) // batch
        if self.count >= patches:
            raise ShapeError(
                f"HiddenPatches(count={self.count}) would hide all {patches} patches of an image; leave at least one "
                "to see"
            )
        turn = stream.uniform(batch, patches).argsort(1).argsort(1).to(rows.view.device)
        return replace(rows, hidden=(turn < self.count).T.flatten())

    def relation(self, anchors: Rows, candidates: Rows) -> Keyed:
        """Equal patch."""
        return Keyed(marks(anchors, False), marks(candidates, False))
