"""How sure a place in the league is: over seeds and over test images at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from counterpoint.studies.scores import unpacked
from counterpoint.studies.study import Results

__all__ = ["Crossed", "baseline", "crossed", "gap", "hits", "learned", "standing"]

Hits = Mapping[int, Float[np.ndarray, " _"]]


@dataclass(frozen=True)
class Crossed:
    """A mean over seeds and test images, both of which might have been others.

    Args:
        mean: over both.
        spread: standard deviation over seeds; None with one.
        low, high: of the 95 % interval.
        p: two-sided, of a mean of zero.
        seeds: how many.
    """

    mean: float
    spread: float | None
    low: float
    high: float
    p: float
    seeds: int


def crossed(values: Hits) -> Crossed | None:
    """Mean and interval of a number for each seed and test image; None without any, or where images differ in number.

    The squared errors of both kinds add: over seeds, spread^2 / seeds; over images, the variance of the images' means
    over seeds by their number, which is the bootstrap over test images in closed form. Degrees of freedom by
    Satterthwaite; with one seed the images alone speak.

    Source: Satterthwaite 1946; Efron 1979 for the variance of the bootstrap of a mean.

    Args:
        values: for each seed, a number for each test image in one order.

    Example:
        Two seeds that disagree by a half, of images that do not vary: Student's t with one degree of freedom.

        >>> found = crossed({0: np.zeros(8), 1: np.full(8, 0.5)})
        >>> found.mean, round(found.high - found.mean, 3)
        (0.25, 3.177)
    """
    from scipy.stats import norm, t

    rows = list(values.values())
    if not rows or len({len(row) for row in rows}) > 1 or not len(rows[0]):
        return None
    every = np.stack(rows)
    means, count = every.mean(1), len(rows)
    mean = float(means.mean())
    spread = float(means.std(ddof=1)) if count > 1 else None
    by_seed = 0.0 if spread is None else spread**2 / count
    whole = by_seed + float(every.mean(0).var()) / every.shape[1]
    error = math.sqrt(whole)
    if error == 0:
        return Crossed(mean, spread, mean, mean, float(mean == 0), count)
    law = t((count - 1) * (whole / by_seed) ** 2) if by_seed > 0 else norm()
    half = float(law.ppf(0.975)) * error
    return Crossed(mean, spread, mean - half, mean + half, 2 * float(law.sf(abs(mean) / error)), count)


def hits(results: Results, method: str, measure: str = "linear_probe") -> Hits:
    """For each seed whether each test image was named rightly, from a method's h."""
    found: dict[int, Float[np.ndarray, " _"]] = {}
    for result in results.at(method=method):
        bits = unpacked(result.found.get("scores", {}).get("right", {}).get("learned", {}), measure)
        if bits is not None:
            found[result.cell.seed] = bits
    return found


def baseline(results: Results, at: str, encoder: str, measure: str = "linear_probe") -> Hits:
    """The same of `pixels` or of the `untrained` encoder, which were scored at the runs of one method."""
    found: dict[int, Float[np.ndarray, " _"]] = {}
    for result in results.at(method=at):
        bits = unpacked(result.found.get("baselines", {}).get("right", {}).get(encoder, {}), measure)
        if bits is not None:
            found[result.cell.seed] = bits
    return found


def standing(results: Results, method: str, measure: str = "linear_probe") -> Crossed | None:
    """A method's accuracy."""
    return crossed(hits(results, method, measure))


def gap(first: Hits, second: Hits) -> Crossed | None:
    """The difference of two accuracies, first less second, in pairs of seeds and test images.

    Args:
        first: for each seed, whether each test image was named rightly.
        second: likewise; seeds that only one has are left out.
    """
    shared = [s for s in sorted(first.keys() & second.keys()) if len(first[s]) == len(second[s])]
    return crossed({seed: first[seed] - second[seed] for seed in shared})


def learned(found: Crossed, baselines: Mapping[str, Crossed | None]) -> tuple[bool | None, str]:
    """Whether the lower end of an accuracy's interval is above raw pixels and the untrained encoder, and why not.

    Args:
        found: of the method.
        baselines: by name.

    Returns:
        None where a baseline is not known.
    """
    if any(one is None for one in baselines.values()):
        return None, f"{' and '.join(name for name, one in baselines.items() if one is None)} not known yet"
    above = {name: one.mean for name, one in baselines.items() if one is not None and not found.low > one.mean}
    return not above, " and ".join(above)
