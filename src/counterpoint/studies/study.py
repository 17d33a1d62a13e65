"""A study as a value: cells that are trained, evaluators that read them, claims that they decide, and its page."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from counterpoint.report.exhibits import Section
from counterpoint.report.numbers import Unit
from counterpoint.types import Source

__all__ = ["SEEDS", "Cell", "Claim", "Decision", "Evaluator", "Only", "Result", "Results", "Scale", "Study", "Trained"]

Scale = Literal["smoke", "small", "full"]
SEEDS: Mapping[Scale, tuple[int, ...]] = {"full": (0, 1, 2), "small": (0,), "smoke": (0,)}  # where none are asked for


@dataclass(frozen=True, eq=False)
class Cell:
    """One training run, as it is asked of `train`.

    Two cells that ask for the same are one run, whatever study they stand in and whatever their places are.

    Args:
        place: where it stands in the study's grid: `{"method": "contrastive", "policy": "elastic"}`, without the seed.
        recipe: a name or an import path.
        source: the data.
        encoder: a name or an import path.
        seed: of every random draw.
        dials: arguments of the recipe's function.
        settings: any other field, by path, as on the command line.
        precision: `32-true`, `bf16-mixed`, or `auto`: one for all such cells of a study, that of the runs that are
            there or the fastest. How a run is computed is no part of what it is.
        after: a run that is trained before this one where it is not there: the one whose clusters `PseudoLabelled`
            takes as labels, by its folder's name. The source says so too, so that this is no part of what the run is.
    """

    place: Mapping[str, str]
    recipe: str
    source: Source
    encoder: str
    seed: int = 0
    dials: Mapping[str, Any] = field(default_factory=dict[str, Any])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    precision: str = "auto"
    after: "Cell | None" = None


class Trained(ABC):
    """A finished cell, opened: what an evaluator may ask of it. Everything is read once and kept while it is open."""

    cell: Cell
    folder: Path

    @cached_property
    @abstractmethod
    def dataset(self) -> Any:
        """The cell's `Dataset`."""

    @cached_property
    @abstractmethod
    def recipe(self) -> Any:
        """The composed `Recipe`."""

    @cached_property
    @abstractmethod
    def model(self) -> Any:
        """The trained `Model`, in evaluation mode."""

    @cached_property
    @abstractmethod
    def untrained(self) -> Any:
        """The same model with the random weights that the run began with."""

    @cached_property
    @abstractmethod
    def train(self) -> Any:
        """`Embeddings` of the training images, without views."""

    @cached_property
    @abstractmethod
    def test(self) -> Any:
        """`Embeddings` of the test images."""


@runtime_checkable
class Evaluator(Protocol):
    """A frozen dataclass of numbers, stored as a part; its answer is kept beside the run and never computed twice."""

    @property
    def name(self) -> str:
        """By which a study asks for the answer."""
        ...

    def wanted(self, cell: Cell) -> bool:
        """Whether this cell is evaluated so."""
        ...

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Plain numbers, texts, lists and dictionaries, as JSON has them."""
        ...


@dataclass(frozen=True)
class Only:
    """An evaluator that is asked of some cells alone. Its answers are its own, whichever study asked for them where.

    Args:
        evaluator: that answers.
        at: the place whose cells are asked, in pairs of axis and value.
        seed: whose cells are asked; None: of every one.
    """

    evaluator: Evaluator
    at: tuple[tuple[str, str], ...]
    seed: int | None = None

    @property
    def name(self) -> str:
        """As the evaluator's."""
        return self.evaluator.name

    def wanted(self, cell: Cell) -> bool:
        """A cell of the place and the seed, if the evaluator wants it."""
        here = all(cell.place.get(axis) == value for axis, value in self.at)
        return here and self.seed in (None, cell.seed) and self.evaluator.wanted(cell)

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """What the evaluator answers."""
        return self.evaluator(trained)


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a cell.

    Args:
        cell: that was asked for.
        folder: of its run; None where it failed.
        found: answers by the name of their evaluator.
        error: why it, or an evaluator, failed; empty where it did not.
        seconds: that training took.
        machine: versions, threads and precision of the run.
        failed: it was tried, and training or an evaluator failed; else what is missing has not been tried.
        diverged: its loss was no longer a number. It lacks a model, but that is what came of it: a rule that asks how
            a run ends need not wait for it.
        checkup: the doctor's word on the log of a run that diverged, as `Course` has it; empty for others, of which an
            evaluator asks.
    """

    cell: Cell
    folder: Path | None
    found: Mapping[str, Mapping[str, Any]]
    error: str = ""
    seconds: float = 0.0
    machine: Mapping[str, Any] = field(default_factory=dict[str, Any])
    failed: bool = False
    diverged: bool = False
    checkup: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def number(self, *path: str) -> float | None:
        """What stands at evaluator, then keys of its answer; None where that is no number, or nothing."""
        value: Any = self.found
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, eq=False)
class Results:
    """What became of all cells, in the study's order; those that failed or are missing among them."""

    every: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        """The cells that finished."""
        return (result for result in self.every if result.folder is not None)

    @property
    def missing(self) -> tuple[Result, ...]:
        """The cells that failed, or have not been run."""
        return tuple(result for result in self.every if result.folder is None or result.error)

    def asked(self, **place: str) -> tuple[Result, ...]:
        """The cells at a place of the grid, in order; those that failed or are missing among them."""
        return tuple(r for r in self.every if all(r.cell.place.get(axis) == value for axis, value in place.items()))

    def at(self, **place: str) -> tuple[Result, ...]:
        """The finished cells at a place of the grid, one for each seed, by seed."""
        held = [result for result in self.asked(**place) if result.folder is not None]
        return tuple(sorted(held, key=lambda result: result.cell.seed))

    def values(self, evaluator: str, *path: str, **place: str) -> dict[int, float]:
        """One number of an evaluator's answer for each seed at a place; seeds that lack it are left out."""
        found = {result.cell.seed: result.number(evaluator, *path) for result in self.at(**place)}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Decision:
    """What a rule made of the results.

    Args:
        verdict: `undecided` where seeds or cells are too few, or the interval holds both answers.
        value: what was measured, its mean over seeds; None where nothing was.
        low, high: of its 95 % interval over seeds; None with one seed.
        seeds: how many.
        spread: standard deviation over seeds; None with one.
        effect: size of the effect, in words and numbers: the difference, and Cohen's d of pairs where seeds allow it.
        said: one sentence for a person.
        unit: in which value, interval and spread are shown: a `number`, a `share` in per cent, or the `points` by which
            shares differ.
    """

    verdict: Literal["held", "not held", "undecided"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    spread: float | None = None
    effect: str = ""
    said: str = ""
    unit: Unit = "number"


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of a paper, and the rule that decides it, written before the run.

    Args:
        key: short, unique in the study.
        statement: the sentence, in our words.
        where: it stands: paper, section, table.
        published: the figure; empty where the paper gives none.
        origin: of the figure: `paper`, `repository`, or empty.
        measured: how it is measured here.
        rule: in words.
        decide: the rule.
    """

    key: str
    statement: str
    where: str
    published: str
    origin: Literal["paper", "repository", ""]
    measured: str
    rule: str
    decide: Callable[[Results], Decision]


@dataclass(frozen=True, eq=False)
class Study:
    """Cells, what is asked of them, what they decide, and the page that they fill.

    Args:
        name: of its folder.
        title: of its page.
        about: paragraphs: what is asked and why, the paper, what it leaves open and what was chosen.
        source: the paper.
        cells: in the order in which they are run.
        evaluators: each is asked of every cell that it wants.
        claims: what the cells decide.
        sections: of the page, from the results; they must cope with missing cells.
    """

    name: str
    title: str
    about: tuple[str, ...]
    source: str
    cells: tuple[Cell, ...]
    evaluators: tuple[Evaluator, ...]
    claims: tuple[Claim, ...]
    sections: Callable[[Results], Sequence[Section]]
