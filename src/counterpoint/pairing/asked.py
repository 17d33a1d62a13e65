"""Images attract each other where somebody, when asked, said that they are of a kind."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.pairing._marks import marks
from counterpoint.random import Stream
from counterpoint.relations import Keyed, Pairs, meetings
from counterpoint.types import Block, Relation, Rows

__all__ = ["Asked"]

# Keys of images without a class, above those of all classes.
_OWN = 1 << 40


@dataclass(frozen=True, eq=False)
class _Answered:
    """The views of an image, and the pairs that were asked about and are of one class."""

    views: Keyed
    anchors: Rows
    candidates: Rows
    weight: float

    def block(self, anchors: slice, candidates: slice) -> Block:
        """The target and the prior of these anchors and candidates."""
        block = self.views.block(anchors, candidates)
        label, other = self.anchors.label[anchors], self.candidates.label[candidates]
        asked = _equal(_partner(self.anchors)[anchors], self.candidates.position[candidates])
        asked |= _equal(self.anchors.position[anchors], _partner(self.candidates)[candidates])
        yes = asked & _equal(label, other) & (block.log_prior > -torch.inf) & (block.target == 0)
        return Block(torch.where(yes, self.weight, block.target), block.log_prior)

    def excluded(self, anchors: int, candidates: int) -> Pairs | None:
        """Each row itself."""
        return self.views.excluded(anchors, candidates)

    def attracted(
        self, rows: Float[Tensor, "candidate dim"], anchors: int, excluded: Pairs
    ) -> tuple[Float[Tensor, "anchor dim"], Float[Tensor, " anchor"]]:
        """The sum over an image's views, and over the edges that answers made."""
        total, mass = self.views.attracted(rows, anchors, excluded)
        left, right = self._edges()
        mass = mass.index_add(0, left, rows.new_full((len(left),), self.weight))
        return total.index_add(0, left, rows.index_select(0, right), alpha=self.weight), mass

    def _edges(self) -> Pairs:
        """Each once, whoever asked; without those between the views of one image."""
        us, them = self.anchors, self.candidates
        both = meetings(_partner(us), them.position), meetings(us.position, _partner(them))
        left, right = (torch.cat(ends) for ends in zip(*both, strict=True))
        yes = (us.label[left] == them.label[right]) & (us.label[left] >= 0) & (us.sample[left] != them.sample[right])
        edge = torch.unique(left[yes] * len(them) + right[yes])
        return edge // max(1, len(them)), edge % max(1, len(them))


def _partner(rows: Rows) -> Int64[Tensor, " row"]:
    return torch.full_like(rows.position, -1) if rows.partner is None else rows.partner


def _equal(left: Tensor, right: Tensor) -> Tensor:
    return (left[:, None] == right) & (left >= 0)[:, None]


@dataclass(frozen=True)
class Asked:
    """The views of an image attract each other, and so do two images of which an oracle said that they are of a kind.

    Each question is about images of one batch, so that both ends of an edge are at hand. The source's labels play the
    oracle, who knows nothing of a row of unknown label: it is attracted by its own views only. What was asked is a
    function of the seed and the step, and is forgotten after the step.

        none      nothing is asked: views alone (SimCLR's graph)
        pair      of every image: is this other one, drawn from the batch, of its kind?
        captcha   of one image in `shown`: which of the others that are shown beside it are of its kind?
        all       every two images: views and known labels together (a semi-supervised, or SupCon's, graph)

    Source: Cabannes et al. 2023 (PAL), arXiv:2303.15256; that an anchor's edges are normalised is the objective's.

    Args:
        ask: as above.
        share: of the questions that are asked, in [0, 1].
        shown: images of a captcha, >= 2.
        weight: > 0, of an edge that an answer made, where one between views has 1.

    See also: `negatives.Asking`, which chooses the pair to ask about.
    """

    ask: Literal["none", "pair", "captcha", "all"] = "pair"
    share: float = 1.0
    shown: int = 9
    weight: float = 1.0
    needs_labels = True

    def __post_init__(self) -> None:
        if self.ask not in ("none", "pair", "captcha", "all"):
            raise RecipeError(f"Asked(ask={self.ask!r}): give none, pair, captcha or all")
        if not 0 <= self.share <= 1 or self.shown < 2 or not self.weight > 0:
            raise RecipeError(
                f"Asked(share={self.share}, shown={self.shown}, weight={self.weight}): give a share in [0, 1], 2 or "
                "more images to show, and a weight above 0"
            )

    def draw(self, rows: Rows, stream: Stream) -> Rows:
        """Whom each image is asked about: the position of the other in the global batch, -1 for nobody."""
        if self.ask not in ("pair", "captcha"):
            return rows
        own = rows.position[rows.view == 0]
        images = len(own) * stream.world
        if images < 2:
            return rows
        if self.ask == "captcha":
            # The order of a batch is random: the first of those shown is any image.
            number = own // self.shown
            partner, questions = number * self.shown, -(-images // self.shown)
        else:
            other = stream.integers(0, images - 1, len(own)).to(own.device)
            number, partner, questions = own, other + (other >= own), images
        turn = stream.permutation(questions).to(own.device)
        partner = torch.where(turn[number] < round(self.share * questions), partner, -1)
        views = len(rows) // len(own)
        return Rows(rows.sample, rows.position, rows.view, rows.label, partner.repeat(views), rows.hidden)

    def relation(self, anchors: Rows, candidates: Rows) -> Relation:
        """Views, and what was answered."""
        own = marks(anchors, False), marks(candidates, False)
        if self.ask == "all":
            left, right = (torch.where(r.label >= 0, r.label, _OWN + r.sample) for r in (anchors, candidates))
            return Keyed(left, right, *own)
        views = Keyed(anchors.sample, candidates.sample, *own)
        return views if self.ask == "none" else _Answered(views, anchors, candidates, self.weight)
