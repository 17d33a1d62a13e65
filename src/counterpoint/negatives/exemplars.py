"""Learned centres, one for each image."""

from dataclasses import dataclass
from typing import cast

from torch import nn

from counterpoint.relations import Indexed
from counterpoint.types import Columns, Context, Encoded, Facts, Match, Pairing, Score, State

__all__ = ["Exemplars"]


class _Exemplars(State):
    per_image = True

    def __init__(self, images: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, images, bias=False)


@dataclass(frozen=True)
class Exemplars:
    """Each image is a class of its own: its views are compared with one learned centre per image of the data set.

    With `Dot` scores and `Contrast(1)` this is softmax cross-entropy over as many classes as there are images. The
    pairing is asked for nothing: an image is its `Rows.sample`. There is no bias, since all classes are as frequent.

    Source: Dosovitskiy et al. 2014, arXiv:1406.6909, equation 1, whose classes are a few thousand patches.

    See also: `Bank`, where what an image was encoded to before stands for its centre; `Centres`, one for each label.
    """

    def build(self, facts: Facts) -> State | None:
        """A linear layer from the projection to the images that are trained on."""
        return _Exemplars(facts.images, facts.projection)

    def match(
        self, online: Encoded, keys: Encoded, pairing: Pairing, score: Score, state: State | None, context: Context
    ) -> list[Match]:
        """One match, of all views with all centres."""
        centres = cast(_Exemplars, state).layer.weight
        return [Match(online.query, (Columns(centres, Indexed(online.rows.sample), score),))]

    def seen(self, global_batch: int, views: int) -> int:
        """None of the batch: an anchor is compared with centres only."""
        return 0
