"""What the plain functions share."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.sphere import products, unit


@dataclass(frozen=True)
class Cosines:
    """The cosine, for functions that know no stage of scores."""

    def prepare(self, rows: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """Rows of length one."""
        return unit(rows)

    def tile(
        self, anchors: Float[Tensor, "anchor dim"], candidates: Float[Tensor, "*candidate dim"]
    ) -> Float[Tensor, "anchor candidates"]:
        """Cosines of prepared rows."""
        return products(anchors, candidates)


def require_rows(function: str, name: str, rows: Tensor) -> None:
    """One row for each view: [row, dim]."""
    if rows.ndim != 2:
        raise ShapeError(
            f"{function} got {name} of shape {list(rows.shape)}, but it needs [row, dim]; "
            "stack the views along the first axis"
        )
