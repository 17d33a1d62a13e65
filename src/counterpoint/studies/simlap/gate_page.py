"""What `simlap-gates` decides and shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from counterpoint.objectives import gate_penalty
from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Heat, Histogram, Section
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.simlap.claims import PAPER, claim
from counterpoint.studies.simlap.judged import FLOOR, SOURCE_FLOOR
from counterpoint.studies.simlap.page import Seeds, bars_of, table_of
from counterpoint.studies.statistics import apart, each, estimate, greater
from counterpoint.studies.study import Claim, Results

__all__ = ["KINDS", "NONE", "Grid", "gate_claims", "gate_sections"]

NONE = "none"  # no penalty
KINDS: tuple[Literal["printed", "binary"], ...] = ("printed", "binary")
SAID = {"printed": "g log g, as printed", "binary": "the entropy of a coin"}


@dataclass(frozen=True)
class Grid:
    """The penalties that are tried.

    Args:
        penalties: kind and weight, the weights of a kind rising.
        method: a recipe with gates.
    """

    penalties: tuple[tuple[str, float], ...]
    method: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """In order."""
        return tuple(dict.fromkeys(kind for kind, _ in self.penalties))

    @property
    def weights(self) -> tuple[float, ...]:
        """In order."""
        return tuple(dict.fromkeys(weight for _, weight in self.penalties))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the places: none, then the penalties."""
        return (NONE, *(self.name(kind, weight) for kind, weight in self.penalties))

    @staticmethod
    def name(kind: str, weight: float) -> str:
        """Of a place."""
        return f"{kind} {weight:g}"

    @staticmethod
    def dials(kind: str, weight: float) -> dict[str, Any]:
        """Of the recipe."""
        return {"gate_penalty": weight, "penalty": kind}

    def most(self, kind: str) -> str:
        """The place of a kind's largest weight."""
        return self.name(kind, max(self.weights))


def _gates(results: Results, penalty: str, *path: str) -> Seeds:
    return results.values("gates", *path, penalty=penalty)


def _accuracy(results: Results, penalty: str, measure: str, encoder: str = "learned", label: str = "") -> Seeds:
    """On test images of the data that was trained on, or of those of a label."""
    learned = ("transfer" if label else "source", "learned")
    path = learned if encoder == "learned" else (FLOOR if label else SOURCE_FLOOR)[encoder]
    return results.values(*path, *([label] if label else []), measure, penalty=penalty)


# ---------------------------------------------------------------- claims


def gate_claims(grid: Grid, labels: Sequence[str]) -> tuple[Claim, ...]:
    """All of them.

    Args:
        grid: of penalties.
        labels: of the data on which encoders are judged, their own first.
    """
    printed, binary = grid.most("printed"), grid.most("binary")
    weight = f"{max(grid.weights):g}"

    def less(results: Results, first: str, second: str, *path: str) -> Any:
        return greater(
            _gates(results, first, *path),
            _gates(results, second, *path),
            unit="points" if path == ("binary",) else "number",
            what=f"{first} less {second}",
        )

    made = [
        claim(
            "printed-makes-binary",
            "The penalty that the paper prints makes gates binary.",
            f"Share of the gates below .1 or above .9 at the weight {weight}, less that without a penalty.",
            "the difference is above 0",
            lambda results: less(results, printed, NONE, "binary"),
            where=f"{PAPER}, gate penalty",
        ),
        claim(
            "printed-draws-to-1-over-e",
            "The penalty that the paper prints draws gates to 1/e, where g log g is lowest.",
            f"Mean distance of a gate to 1/e: without a penalty less at the weight {weight}.",
            "the difference is above 0",
            lambda results: less(results, NONE, printed, "to 1/e"),
        ),
        claim(
            "entropy-makes-binary",
            "The entropy of a coin makes gates binary.",
            f"Share of the gates below .1 or above .9 at the weight {weight}, less that without a penalty.",
            "the difference is above 0",
            lambda results: less(results, binary, NONE, "binary"),
        ),
        claim(
            "penalty-costs",
            "The printed penalty costs accuracy on the data that was trained on.",
            f"Linear probe of h on test images: without a penalty less at the weight {weight}. Published: ImageNet, "
            "ResNet-50, 100 epochs, at the weight 0.1.",
            "the difference is above 0",
            lambda results: greater(
                _accuracy(results, NONE, "probe"),
                _accuracy(results, printed, "probe"),
                unit="points",
                what="the accuracy that the penalty costs",
            ),
            where=f"{PAPER}, ablations",
            published="70.5 % without, 69.5 % with it",
            origin="paper",
        ),
    ]
    if len(labels) > 1:

        def elsewhere(results: Results, penalty: str) -> Seeds:
            every = [_accuracy(results, penalty, "knn", label=label) for label in labels[1:]]
            return each(lambda values: sum(values) / len(values), every)

        made.append(
            claim(
                "penalty-transfers",
                "The printed penalty gains accuracy on data that was not trained on.",
                f"kNN of h, mean over {', '.join(labels[1:])}: at the weight {weight} less without a penalty. "
                "Published: CIFAR-10, at the weight 0.1.",
                "the difference is above 0",
                lambda results: greater(
                    elsewhere(results, printed),
                    elsewhere(results, NONE),
                    unit="points",
                    what="the accuracy that the penalty gains",
                ),
                where=f"{PAPER}, ablations",
                published="82.9 % without, 83.2 % with it",
                origin="paper",
            )
        )
    return tuple(made)


# ---------------------------------------------------------------- the page


def gate_sections(results: Results, grid: Grid, labels: Sequence[str]) -> list[Section]:
    """All that can be made of what is there.

    Args:
        results: of the study.
        grid: of penalties.
        labels: of the data on which encoders are judged, their own first.
    """
    found = {name: estimate(_gates(results, name, "binary")) for name in grid.names}
    plain = found[NONE]
    title = "Nothing is measured yet"
    if plain is not None:
        said = [f"{per_cent(plain.mean)} of the gates are binary without a penalty"]
        said += [
            f"{per_cent(own.mean)} with {SAID[kind]}"
            for kind in grid.kinds
            if (own := found[grid.most(kind)]) is not None
        ]
        title = ", ".join(said)
    return [
        Section("map", "Gates of all classes", ("Of the first seed, without a penalty.",), _map(results)),
        Section(
            "penalties", title, (_closed_form(),), (*_charts(), *_histograms(results, grid), _table(results, grid))
        ),
        Section("subspaces", "Subspaces of classes, and what two share", exhibits=_subspaces(results, grid)),
        _cost(results, grid, labels),
    ]


def _closed_form() -> str:
    return (
        "g log g is 0 at 0 and at 1 and lowest, −1/e, at 1/e = 0.368: minimised, it draws every gate there. The "
        "entropy of a coin, −g log g − (1 − g) log(1 − g), is lowest at 0 and 1."
    )


def _map(results: Results) -> tuple[Exhibit, ...]:
    found = next((r.found["gates"]["map"] for r in results.at(penalty=NONE) if "gates" in r.found), None)
    if found is None:
        return ()
    above = found["super-classes"]
    rows = tuple(f"{name} ({above[i]})" if above else name for i, name in enumerate(found["classes"]))
    return (
        Heat(
            "Gates",
            "A row is a class, those of one super-class side by side; a column is one of the dimensions in which gates "
            "differ most, ordered by the super-class for which it is most open.",
            rows,
            tuple(str(dim) for dim in found["dimensions"]),
            tuple(tuple(value / 100 for value in row) for row in found["hundredths"]),
            row_label="class",
            column_label="dimension of z",
        ),
    )


def _charts() -> tuple[Exhibit, ...]:
    at = [i / 200 for i in range(201)]
    lines = [
        Line(SAID[kind], tuple(at), tuple(float(gate_penalty(torch.tensor([[g]]), kind)) for g in at), style)
        for kind, style in zip(KINDS, ("s-1", "s-2"), strict=True)
    ]
    return (
        Chart(
            "What a gate costs",
            "Each penalty as a function of one gate; the lower, the more it is drawn there.",
            tuple(lines),
            Axis("gate", low=0.0, high=1.0),
            Axis("penalty [nats]"),
            marks=((1 / math.e, "1/e"),),
        ),
    )


def _histograms(results: Results, grid: Grid) -> list[Exhibit]:
    def of(penalty: str) -> tuple[float, ...]:
        held = [r.found["gates"]["histogram"] for r in results.at(penalty=penalty) if "gates" in r.found]
        return tuple(sum(values) / len(held) for values in zip(*held, strict=True)) if held else ()

    made: list[Exhibit] = []
    for kind in grid.kinds:
        groups = {NONE: of(NONE), **{f"{w:g}": of(grid.name(kind, w)) for w in grid.weights}}
        groups = {f"weight {label}" if label != NONE else "no penalty": held for label, held in groups.items() if held}
        bins = max((len(held) for held in groups.values()), default=0)
        if bins:
            edges = tuple(i / bins for i in range(bins + 1))
            note = "Share of the gates of all classes, mean over seeds."
            marks = ((1 / math.e, "1/e"),) if kind == "printed" else ()
            made.append(Histogram(f"Gates under {SAID[kind]}", note, edges, groups, Axis("gate"), marks))
    return made


def _table(results: Results, grid: Grid) -> Exhibit:
    measures = (("shut",), ("open",), ("binary",), ("mean",), ("to 1/e",))
    rows = [((name,), [_gates(results, name, *path) for path in measures]) for name in grid.names]
    rows.insert(0, (("untrained",), [_gates(results, NONE, "untrained", *path) for path in measures]))
    return table_of(
        "penalties",
        "Gates under each penalty",
        ("penalty",),
        ("share below .1", "share above .9", "share of either", "mean gate", "mean distance to 1/e"),
        rows,
        "Kind and weight of the penalty. Over the gates of all classes.",
    )


def _subspaces(results: Results, grid: Grid) -> tuple[Exhibit, ...]:
    measures = (("size",), ("dimensions",), ("overlap", "within"), ("overlap", "between"), ("overlap", "auroc"))
    rows = [((name,), [_gates(results, name, *path) for path in measures]) for name in grid.names]
    rows.insert(0, (("untrained",), [_gates(results, NONE, "untrained", *path) for path in measures]))
    bars = bars_of(
        "How much two classes share",
        "Sum of the smaller of two gates over the sum of the larger, mean over pairs of classes.",
        grid.names,
        {
            said: [_gates(results, name, "overlap", where) for name in grid.names]
            for where, said in (("within", "of one super-class"), ("between", "of two super-classes"))
        },
        Axis("overlap of two gates", low=0.0, high=1.0),
    )
    return (
        *bars,
        table_of(
            "subspaces",
            "Size of a class' subspace, and overlap of two",
            ("penalty",),
            ("sum of gates", "dimensions that count", "overlap within", "overlap between", "AUROC of the overlap"),
            rows,
            "Dimensions that count: (sum g²)² / sum g⁴, whatever the scale of a gate. Overlap within and between "
            "super-classes; its AUROC as a sign of one super-class, .5 by chance.",
        ),
    )


def _cost(results: Results, grid: Grid, labels: Sequence[str]) -> Section:
    kinds = {"probe": "linear probe", "knn": "kNN"}
    costs = [_lost(results, NONE, grid.most(kind)) for kind in grid.kinds]
    said = [f"{in_points(by)} by {SAID[kind]}" for kind, by in zip(grid.kinds, costs, strict=True) if by is not None]
    title = f"Linear probe on {labels[0]}: lost {' and '.join(said)}" if said else "Accuracy"
    places = [(label, label if i else "") for i, label in enumerate(labels)]
    rows = [
        ((name, label), [_accuracy(results, name, measure, label=where) for measure in kinds])
        for name in grid.names
        for label, where in places
    ]
    rows += [
        ((bare, label), [_accuracy(results, NONE, measure, bare, where) for measure in kinds])
        for bare in ("untrained", "pixels")
        for label, where in places
    ]
    bars = bars_of(
        f"Accuracy on {labels[0]}",
        "Of h, on test images; gates have no part in it.",
        grid.names,
        {said: [_accuracy(results, name, measure) for name in grid.names] for measure, said in kinds.items()},
        Axis("accuracy", percent=True),
    )
    note = "Accuracy of h on test images, of the untrained encoder and of raw pixels too."
    table = table_of("accuracy", "Accuracy", ("penalty", "data"), tuple(kinds.values()), rows, note, percent=True)
    return Section("accuracy", title, exhibits=(*bars, table))


def _lost(results: Results, first: str, second: str) -> float | None:
    found = apart(*(_accuracy(results, name, "probe") for name in (first, second)))
    return sum(found.values()) / len(found) if found else None
