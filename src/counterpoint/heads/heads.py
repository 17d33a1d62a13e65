"""What stands between the representation and the comparison."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.types import Facts, Rows

__all__ = ["Head", "Heads", "Identity", "OfRows"]


@runtime_checkable
class Head(Protocol):
    """A map from one width to another."""

    @property
    def width(self) -> int:
        """Of the output; 0: as wide as the input."""
        ...

    def build(self, facts: Facts) -> nn.Module:
        """A module from [row, facts.width] to [row, width]; it is an `OfRows` if it must know who the rows are."""
        ...


class OfRows(nn.Module, ABC):
    """What a head builds whose answer for a row depends on the image's other rows: patches that are put together.

    The model calls it with the rows, which are view-major, and it answers with one row for each. Where images are
    embedded there are no views: rows is None, and each row is a whole image by itself.
    """

    @abstractmethod
    def forward(self, x: Float[Tensor, "row width"], rows: Rows | None = None) -> Float[Tensor, "row dim"]:
        """Each row with its image's others in view."""


@dataclass(frozen=True)
class Identity:
    """No head: what comes in is compared (DirectCLR, the PAMI study, a supervised baseline)."""

    @property
    def width(self) -> int:
        """0: as wide as the input."""
        return 0

    def build(self, facts: Facts) -> nn.Module:
        """Answers with its input."""
        return nn.Identity()


@dataclass(frozen=True)
class Heads:
    """The projector, z = projector(h), and where a method has one the predictor, p = predictor(z).

    Args:
        projector: from the encoder's width.
        predictor: from the projector's width; None: there is none. A target has no predictor.
    """

    projector: Head = field(default_factory=Identity)
    predictor: Head | None = None

    @property
    def width(self) -> int:
        """Of what is compared; 0: as wide as the representation."""
        return (self.predictor.width if self.predictor else 0) or self.projector.width

    def build(self, facts: Facts) -> tuple[nn.Module, nn.Module | None]:
        """Projector and predictor of an encoder of width `facts.width`."""
        projector = self.projector.build(facts)
        if self.predictor is None:
            return projector, None
        return projector, self.predictor.build(replace(facts, width=self.projector.width or facts.width))
