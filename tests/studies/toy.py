"""A study of seconds on the embedded digits, and evaluators for it that a process of its own can import."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint import sources
from counterpoint.studies.study import Cell, Claim, Decision, Results, Study, Trained

DIALS = {"epochs": 1, "batch_size": 128}


@dataclass(frozen=True)
class Spread:
    """How far the test embeddings spread, and how many there are."""

    factor: float = 1.0

    name = "spread"

    def wanted(self, cell: Cell) -> bool:
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        time.sleep(float(os.environ.get("TOY_SLOWLY", "0")))
        return {"deviation": self.factor * trained.test.h.std(), "rows": (len(trained.train), len(trained.test))}


@dataclass(frozen=True)
class OfPart(Spread):
    """The same, of cells in part b."""

    name = "of part b"

    def wanted(self, cell: Cell) -> bool:
        return cell.place.get("part") == "b"


@dataclass(frozen=True)
class Moody:
    """Fails, or is interrupted, as long as a file is there; wants SimCLR only."""

    trouble: str
    raises: str = "ValueError"

    name = "moody"

    def wanted(self, cell: Cell) -> bool:
        return cell.recipe == "simclr"

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        if Path(self.trouble).exists():
            raise {"ValueError": ValueError, "KeyboardInterrupt": KeyboardInterrupt}[self.raises]("in a bad mood")
        return {"fine": True, "nothing": float("nan")}


def cell(recipe: str = "simclr", seed: int = 0, **more: Any) -> Cell:
    asked: dict[str, Any] = {"source": sources.lookup("digits"), "encoder": "mlp", "dials": DIALS, **more}
    return Cell(place={"recipe": recipe}, recipe=recipe, seed=seed, precision="32-true", **asked)


def study(cells: tuple[Cell, ...] | None = None, evaluators: tuple[Any, ...] = (Spread(),), **more: Any) -> Study:
    made = cells or tuple(cell(recipe, seed) for recipe in ("simclr", "supcon") for seed in range(2))
    plain: dict[str, Any] = {"name": "toy", "title": "Toy", "about": (), "source": "", "claims": ()}
    return Study(**{**plain, "cells": made, "evaluators": evaluators, "sections": lambda results: (), **more})


def claim(decide: Any) -> Claim:
    return Claim("one", "It spreads.", "page 1", "0.5", "paper", "the spread", "above zero", decide)


def spreads(results: Results) -> Decision:
    from counterpoint.studies.statistics import above

    return above(results.values("spread", "deviation", recipe="simclr"), 0.0, what="the spread")
