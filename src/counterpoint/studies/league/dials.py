"""At most six trials for a method, by one procedure for all: its learning rate, and its temperature if it has one."""

from collections.abc import Mapping
from dataclasses import dataclass

from counterpoint.signature import Signature

__all__ = ["Trial", "trials_of"]

WITH_SECOND = (1.0, 1 / 3, 3.0)
ALONE = (1.0, 1 / 3, 3.0, 0.1, 10.0)
WARM = 0.2  # a temperature above it is halved, one below it doubled


@dataclass(frozen=True)
class Trial:
    """One setting of a method's dials.

    Args:
        name: in words, unique for a method: `lr x 3, temperature 0.25`.
        dials: that differ from the recipe's defaults, or are tried.
    """

    name: str
    dials: Mapping[str, float]


def trials_of(signature: Signature) -> tuple[Trial, ...]:
    """The recipe's own dials first, which win where others are not better.

    The learning rate times 1, 1/3 and 3, each with two temperatures where there is one; else also times 1/10 and 10. A
    recipe without a learning rate among its dials has no trials.

    Args:
        signature: of the recipe.
    """
    numbers = ((d.name, d.default) for d in signature.dials)
    defaults = {k: float(v) for k, v in numbers if isinstance(v, int | float) and not isinstance(v, bool)}
    if "lr" not in defaults:
        return ()
    second = defaults.get("temperature")
    if second is None:
        return tuple(Trial(_times(factor), {"lr": _rounded(defaults["lr"] * factor)}) for factor in ALONE)
    temperatures = (second, _rounded(second / 2 if second > WARM else second * 2))
    return tuple(
        Trial(
            f"{_times(factor)}, temperature {temperature:g}",
            {"lr": _rounded(defaults["lr"] * factor), "temperature": temperature},
        )
        for temperature in temperatures
        for factor in WITH_SECOND
    )


def _times(factor: float) -> str:
    return f"lr / {round(1 / factor)}" if factor < 1 else f"lr x {factor:g}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
