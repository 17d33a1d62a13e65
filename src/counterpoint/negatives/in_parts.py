"""All other rows of a part of the global batch."""

from dataclasses import dataclass

from counterpoint.errors import RecipeError
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["InParts"]


@dataclass(frozen=True)
class InParts:
    """As `InBatch`, but a batch falls into parts of so many images, and each row is compared with its own part alone.

    Fewer negatives with nothing else changed: batch, steps, learning rate and the statistics of BatchNorm stay those of
    the whole batch, where a smaller batch would change them all. The last part may be smaller; a part of all images is
    `InBatch`.

    Args:
        images: of a part, at least 2; they follow one another in the global batch.
    """

    images: int = 128

    def __post_init__(self) -> None:
        if self.images < 2:
            raise RecipeError(f"InParts(images={self.images}): give at least 2, or a row has nobody to be told from")

    def build(self, facts: Facts) -> State | None:
        """It owns nothing."""
        return None

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match for each part of which this rank has anchors."""
        candidates, them = context.comm.gather(keys.z), context.comm.gather_rows(keys.rows)
        mine, theirs = online.rows.position // self.images, them.position // self.images
        made: list[Match] = []
        for part in mine.unique().tolist():
            own, other = mine == part, theirs == part
            relation = pairing.relation(online.rows.where(own), them.where(other))
            made.append(Match(online.query[own], (Columns(candidates[other], relation, score),)))
        return made

    def seen(self, global_batch: int, views: int) -> int:
        """All views of all other images of the part."""
        return (min(self.images, global_batch) - 1) * views
