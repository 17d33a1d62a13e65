"""Rank correlation over a grid whose rows resemble one another, and whose columns do.

A bootstrap of a grid draws rows and columns anew, each for itself and with replacement: a cell counts as often as its
row and its column were drawn together. So a draw is a weight for each cell, and all draws are ranked at once.
"""

import math

import numpy as np
from numpy.typing import NDArray

from counterpoint.studies.conjecture.grid import Grid
from counterpoint.studies.statistics import Correlation

__all__ = ["crossed", "within_attributes"]

Array = NDArray[np.float64]


def crossed(grid: Grid, *, draws: int = 2000, seed: int = 0) -> Correlation | None:
    """Spearman's rank correlation of invariance and readability over all cells, with a bootstrap that knows the grid.

    Cells of one attribute resemble one another, and so do cells of one policy: an interval that took them for
    independent would be far too narrow.

    Source: Owen 2007, "The pigeonhole bootstrap".

    Args:
        grid: of the cells; those that lack a measure are left out.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        None with fewer than four attributes or two policies, or where nothing varies.
    """
    both = grid.both
    rows, columns = (np.asarray(both.any(axis=axis)) for axis in (1, 0))
    if np.count_nonzero(rows) < 4 or np.count_nonzero(columns) < 2:
        return None
    often = _drawn(rows, columns, draws, seed)
    weight = (often[0][:, :, None] * often[1][:, None])[:, both]
    rho = _weighted_rho(grid.invariance[both], grid.readability[both], np.vstack((np.ones(weight.shape[1]), weight)))
    return _correlation(float(rho[0]), rho[1:], int(np.count_nonzero(both)))


def within_attributes(grid: Grid, *, draws: int = 2000, seed: int = 0) -> Correlation | None:
    """Do the policies that spare an attribute more make it more readable? The mean over attributes of each one's rho.

    Each attribute ranks the policies for itself, so that it does not matter that some attributes are easier to read
    than others. The interval draws attributes and policies anew, as `crossed`.

    Args:
        grid: attributes with fewer than four policies are left out.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        None with fewer than two attributes.
    """
    both = grid.both
    rows = np.count_nonzero(both, axis=1) >= 4
    if np.count_nonzero(rows) < 2:
        return None
    often_row, often_column = _drawn(rows, np.asarray(both[rows].any(axis=0)), draws, seed)
    each = np.full((draws + 1, len(rows)), np.nan)
    for row in np.flatnonzero(rows):
        kept = both[row]
        weight = np.vstack((np.ones(np.count_nonzero(kept)), often_column[:, kept]))
        each[:, row] = _weighted_rho(grid.invariance[row, kept], grid.readability[row, kept], weight)
    often = np.vstack((rows, often_row)) * np.isfinite(each)
    total = often.sum(axis=1)
    mean = np.divide((often * np.nan_to_num(each)).sum(axis=1), total, out=np.full(draws + 1, np.nan), where=total > 0)
    return _correlation(float(mean[0]), mean[1:], int(np.count_nonzero(rows)))


def _drawn(rows: NDArray[np.bool_], columns: NDArray[np.bool_], draws: int, seed: int) -> tuple[Array, Array]:
    """How often each row and each column is drawn; those that may not be drawn, never."""
    random = np.random.default_rng(seed)
    found: list[Array] = []
    for kept in (rows, columns):
        count = np.count_nonzero(kept)
        often = np.zeros((draws, len(kept)))
        often[:, kept] = random.multinomial(count, np.full(count, 1 / count), draws)
        found.append(often)
    return found[0], found[1]


def _ranks(values: Array, weight: Array) -> Array:
    """For each draw the rank of each cell, had it occurred as often as its weight says; ties take their mean."""
    group = np.unique(values, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    mass = np.add.reduceat(weight[:, order], starts, axis=1)
    return (mass.cumsum(axis=1) - mass / 2)[:, group]


def _weighted_rho(x: Array, y: Array, weight: Array) -> Array:
    """Spearman's rank correlation for each draw; nan where one side is constant."""
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    a, b = (_ranks(values, weight) for values in (x, y))
    a, b = (ranks - (weight * ranks).sum(axis=1, keepdims=True) / total for ranks in (a, b))
    norm = np.sqrt((weight * a * a).sum(axis=1) * (weight * b * b).sum(axis=1))
    return np.divide((weight * a * b).sum(axis=1), norm, out=np.full(len(weight), np.nan), where=norm > 1e-9)


def _correlation(value: float, drawn: Array, count: int) -> Correlation | None:
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(drawn) == 0:
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    p = min(1.0, 2 * float(min((drawn <= 0).mean(), (drawn >= 0).mean())))
    return Correlation(value, float(low), float(high), p, count)
