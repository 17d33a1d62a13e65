"""The contrast, and a price on the gates under which rows are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.objectives._prepared import divides
from counterpoint.objectives.contrast import Contrast, Each, Joint
from counterpoint.types import Loss, Match, Number

__all__ = ["GatedContrast", "gate_penalty"]

Kind = Literal["printed", "binary"]


def gate_penalty(gates: Float[Tensor, "class dim"], kind: Kind = "printed") -> Float[Tensor, ""]:
    """The mean over classes and coordinates of g log g (printed), or of -(g log g + (1 - g) log(1 - g)) (binary).

    The paper prints the first, and says that it makes gates binary. It does not: it is 0 at 0 and at 1, and lowest,
    -1/e, at g = 1/e, where it draws every gate. The second is the entropy of a coin: lowest, 0, at 0 and 1 alone.

    Source: Wu et al. 2024 (SimLAP), the gate penalty L_G, as printed; the binary form is ours.

    Args:
        gates: in [0, 1].
        kind: which.

    Example:
        >>> round(gate_penalty(torch.tensor([[0.5, 1.0]])).item(), 4)
        -0.1733
        >>> round(gate_penalty(torch.tensor([[0.5, 1.0]]), "binary").item(), 4)
        0.3466
    """
    # The slope at 0 is infinite; a gate that is 0 or 1 in its precision shall stay there.
    least = torch.finfo(gates.dtype).tiny
    some, rest = gates.clamp_min(least), (1 - gates).clamp_min(least)
    order = some * some.log()
    return order.mean() if kind == "printed" else -(order + rest * rest.log()).mean()


@dataclass(frozen=True)
class GatedContrast:
    """`Contrast`, plus penalty * `gate_penalty` of all classes' gates; give it matches of `Gated`.

    Terms: `gates`, the penalty without its weight.

    Source: Wu et al. 2024 (SimLAP), whose weight is called lambda.

    Args:
        temperature: > 0, dimensionless, divides every score.
        denominator: `Joint()` or `Each()`.
        times_temperature: as in `Contrast`.
        penalty: weight, >= 0; above 0 `Gated` must hand over the gates of the classes (`negatives.classes=true`).
        kind: `printed`, which draws every gate to 1/e, or `binary`.
    """

    holds: ClassVar[str] = "negatives"
    temperature: Number = 0.15
    denominator: Joint | Each = field(default_factory=Each)
    times_temperature: float = 0.0
    penalty: float = 0.0
    kind: Kind = "printed"

    def __post_init__(self) -> None:
        divides(self.temperature)
        if not (self.penalty >= 0 and self.times_temperature >= 0):
            raise RecipeError(
                f"GatedContrast(penalty={self.penalty}, times_temperature={self.times_temperature}): give numbers of "
                "0 or more"
            )

    def __call__(self, matches: Sequence[Match]) -> Loss:
        """The contrast's weighted mean, and the penalty."""
        loss = Contrast(self.temperature, self.denominator, self.times_temperature)(matches)
        if not self.penalty:
            return loss
        gates = matches[0].gates
        if gates is None:
            raise RecipeError(
                "the penalty is on the gates of the classes, and the matches have none; set negatives.classes=true of "
                "the part Gated, or objective.penalty=0"
            )
        cost = gate_penalty(gates, self.kind)
        return Loss(loss.total + self.penalty * cost, {**loss.terms, "gates": cost.detach()}, loss.anchors)
