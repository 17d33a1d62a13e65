"""What do SimLAP's gates look like, and what does a penalty make of them?

Seven runs of SimLAP for each seed, of which the one without a penalty is that of `simlap-transfer`: with `conv` on
16,350 images of 32 pixels 7 x 3 x 200 s, 4,200 s of one core, 600 of them shared. Reading one takes about 15 s, nearly
all of it the linear probe.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from counterpoint.errors import RecipeError
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.classes import GATED, by_kin, gates_of, kin_scores, short, super_of
from counterpoint.studies.simlap.gate_page import KINDS, NONE, Grid, gate_claims, gate_sections
from counterpoint.studies.simlap.judged import OnSource, floors_of
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.study import SEEDS, Cell, Evaluator, Scale, Study, Trained
from counterpoint.studies.transfer import Target, Transfer, targets_of
from counterpoint.types import Source

__all__ = ["GateReading", "read_gates", "simlap_gates", "soft_overlap"]

WEIGHTS = (1e-3, 1e-2, 1e-1)
BINS = 40
LEAST, MOST = 0.1, 0.9  # beyond which a gate counts as shut, or open


@dataclass(frozen=True)
class GateReading:
    """The gates of all classes, each as a pair with itself: how binary they are, how large, and how they overlap.

        shut, open, binary   share of the gates below .1, above .9, and either
        mean, to 1/e         mean gate, and mean distance to 1/e
        size                 sum of a class' gates, mean over classes; all of them under `sizes`
        dimensions           (sum g^2)^2 / sum g^4, mean over classes: how many dimensions count, whatever the gate's
                             scale, which the loss does not see
        overlap              sum of the smaller of two gates over the sum of the larger, over pairs of classes: `within`
                             and `between` super-classes, and how well it tells them apart (`auroc`)
        histogram            share of the gates in each of 40 bins
        map                  gates of all classes, those of one super-class side by side, in the dimensions in which
                             they differ most, in hundredths

    Args:
        shown: dimensions of the map.
    """

    shown: int = 96

    name = "gates"

    def wanted(self, cell: Cell) -> bool:
        """Runs that have gates."""
        return cell.recipe in GATED

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of the learned gates; `untrained`: the same, but the map, of those that the run began with."""
        above = super_of(trained.dataset)
        names = [short(name) for name in trained.dataset.classes]
        first = read_gates(gates_of(trained.untrained), above)
        found = gates_of(trained.model)
        order = by_kin(above)
        shown = found[order].std(0).argsort(descending=True, stable=True)[: self.shown]
        # Beside one another the dimensions that are most open for the same super-class.
        opened = torch.stack([found[above == one][:, shown].mean(0) for one in above.unique()])
        shown = shown[(opened - opened.mean(0)).argmax(0).argsort(stable=True)]
        supers = trained.dataset.super_classes
        return {
            **read_gates(found, above),
            "untrained": first,
            "map": {
                "classes": [names[i] for i in order],
                "super-classes": [supers[int(above[i])] for i in order] if supers else [],
                "dimensions": shown.tolist(),
                "hundredths": (100 * found[order][:, shown]).round().int().tolist(),
            },
        }


def read_gates(gates: Float[Tensor, "class dim"], above: Int64[Tensor, " class"]) -> dict[str, Any]:
    """The numbers of `GateReading`.

    Args:
        gates: of all classes.
        above: the super-class of each class.
    """
    g = gates.double()
    sizes, squares = g.sum(1), g.square()
    shut, opened = float((g < LEAST).double().mean()), float((g > MOST).double().mean())
    return {
        "shut": shut,
        "open": opened,
        "binary": shut + opened,
        "mean": float(g.mean()),
        "to 1/e": float((g - torch.exp(torch.tensor(-1.0, dtype=torch.float64))).abs().mean()),
        "size": float(sizes.mean()),
        "sizes": [round(v, 2) for v in sizes.tolist()],
        "width": g.shape[1],
        "dimensions": float((squares.sum(1).square() / squares.square().sum(1)).mean()),
        "overlap": kin_scores(soft_overlap(g), above),
        "histogram": (torch.histc(g.float(), BINS, 0, 1) / g.numel()).tolist(),
    }


def soft_overlap(gates: Float64[Tensor, "class dim"]) -> Float64[Tensor, "class class"]:
    """Of each two gates the sum of the smaller numbers over the sum of the larger: 1 where they are the same.

    Of gates that are 0 or 1 it is the share of the dimensions open to either that are open to both.
    """
    return torch.stack(
        [torch.minimum(one, gates).sum(1) / torch.maximum(one, gates).sum(1).clamp_min(1e-12) for one in gates]
    )


def simlap_gates(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    weights: str | float | Iterable[float] = WEIGHTS,
    targets: str | Sequence[Target] = "",
    method: str = "simlap",
) -> Study:
    """SimLAP's gates at each weight of both penalties, and the accuracy that goes with them.

    Args:
        source: labelled images, with super-classes; the embedded digits at smoke scale where None.
        scale: `full`, `small` or `smoke` (the largest weight alone).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: `conv`, or `mlp` at smoke scale, where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        weights: of the penalty, above 0, as `0.001,0.1`.
        targets: data on which the encoders are judged beside their own, as in `simlap-transfer`.
        method: `simlap` or `simlap_moco`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    if method not in GATED:
        raise RecipeError(f"simlap-gates: {method!r} has no gates; give one of {', '.join(GATED)}")
    chosen = _weights(weights)
    chosen = chosen[-1:] if scale == "smoke" else chosen
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    grid = Grid(tuple((kind, weight) for kind in KINDS for weight in chosen), method)
    cells = [
        cell
        for place, dials in [(NONE, {}), *((grid.name(*one), grid.dials(*one)) for one in grid.penalties)]
        for cell in runs(plan, (method,), seeds, place={"penalty": place}, dials=dials)
    ]
    others, bare, c = targets_of(targets), {"penalty": NONE}, 0.01 if scale == "smoke" else None
    judges: list[Evaluator] = [OnSource(c=c), *floors_of(partial(OnSource, c=c), bare, seeds)]
    if others:
        judges += [Transfer(others, c=c), *floors_of(partial(Transfer, others, c=c), bare, seeds)]
    labels = (plan.dataset.name, *(target.label for target in others))
    return Study(
        name="simlap-gates",
        title=f"SimLAP's gates on {plan.dataset.name}",
        about=(
            "SimLAP compares two images under the gate of their classes: a number between 0 and 1 for each dimension "
            "of the projection, learned from nothing but the labels. The paper adds the mean of g log g, at a small "
            "weight, and says that it makes gates binary. That function is lowest at 1/e, so it can only draw gates "
            "there; the entropy of a coin is lowest at 0 and 1. Both are tried here.",
            f"All runs train `{plan.encoder}` on {len(plan.dataset.train):,} images of {len(plan.dataset.classes)} "
            f"classes{_hierarchy(plan.dataset.super_classes)}; nothing but the penalty differs. The loss does not "
            "see the scale of a gate, so that a threshold says less than it seems to; the number of dimensions that "
            "count is free of it.",
            dials_said(plan, (method,), others),
            BLIND,
        ),
        source="Wu et al. 2024",
        cells=tuple(sorted(cells, key=lambda cell: seeds.index(cell.seed))),
        evaluators=(GateReading(), *judges),
        claims=gate_claims(grid, labels),
        sections=partial(gate_sections, grid=grid, labels=labels),
    )


def _hierarchy(supers: Sequence[str]) -> str:
    return f" in {len(supers)} super-classes, which had no part in it" if supers else ""


def _weights(given: str | float | Iterable[float]) -> tuple[float, ...]:
    try:
        listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else given
        found = tuple(sorted({float(value) for value in listed}))
    except ValueError as error:
        raise RecipeError(f"simlap-gates: weights is {given!r}; give numbers, as 0.001,0.1") from error
    if not found or not all(0 < weight < float("inf") for weight in found):
        raise RecipeError(f"simlap-gates: weights is {given!r}; give one or more, all above 0")
    return found
