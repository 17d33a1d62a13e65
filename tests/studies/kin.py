"""Digits with a hierarchy, made up: those with a closed loop, those of straight lines, and the rest."""

from dataclasses import dataclass, replace
from functools import cache

import torch

from counterpoint.sources import Digits
from counterpoint.types import Dataset

LOOP, LINE, OPEN = (0, 6, 8, 9), (1, 4, 7), (2, 3, 5)


@dataclass(frozen=True)
class KinDigits:
    """The embedded digits, with three super-classes."""

    def load(self) -> Dataset:
        return _whole()


@cache
def _whole() -> Dataset:
    whole = Digits().load()
    above = [next(i for i, own in enumerate((LOOP, LINE, OPEN)) if digit in own) for digit in range(10)]
    return replace(whole, super_classes=("closed", "straight", "open"), super_of=torch.tensor(above))
