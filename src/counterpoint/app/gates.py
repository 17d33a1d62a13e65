"""The subspace of a pair of classes that a run has learned, and the similarity of two images in it."""

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.app.assess import restored
from counterpoint.embed import encode
from counterpoint.errors import RunError, nearest
from counterpoint.model import Model
from counterpoint.negatives import Gates
from counterpoint.recipe import Recipe, part_from_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, load
from counterpoint.sphere import unit
from counterpoint.types import Facts

__all__ = ["Classes", "gate_of", "similarity"]

Classes = str | int | tuple[str | int, str | int]


@torch.no_grad()
def gate_of(run: Run | str | Path, classes: Classes, *, model: Model | None = None) -> Float[Tensor, " dim"]:
    """The gate of a class, or of a pair of classes: for each coordinate of the projection z a number in (0, 1).

    Only ratios of its numbers count: cos(g u, g v) is the same under any multiple of g.

    Args:
        run: that has learned gates (simlap, simlap_moco).
        classes: a name or an index, or two of them in either order; one class is a pair with itself.
        model: of the run, where it is at hand.

    Raises:
        RunError: the run has no gates, or no such class.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    model = model or _model(run)
    gates = model.negatives
    if not isinstance(gates, Gates):
        raise RunError(
            f"{str(run.folder)!r} has learned no gates of classes; give a run of simlap or simlap_moco, or no gate"
        )
    given = classes if isinstance(classes, tuple) else (classes, classes)
    first, second = (torch.tensor([_index(run, item, gates.classes)], device=gates.table.device) for item in given)
    training = gates.training
    gate = gates.eval().gate(first, second)[0].float().cpu()
    gates.train(training)
    return gate


@torch.no_grad()
def similarity(run: Run | str | Path, one: Any, other: Any, *, gate: Classes | None = None) -> float:
    """The cosine of two images' projections, in [-1, 1]; with a gate, in the subspace of these classes.

    Args:
        run: a run, or its folder.
        one: a path, a PIL image, or an array [height, width, channel]; fitted as in training.
        other: another.
        gate: a class, or a pair of classes, whose gate both are multiplied by; None: all coordinates count alike.

    Raises:
        RunError: there is no run, it has no gates, or no such class.
        SourceError: what was given is no image.

    Example:
        counterpoint.similarity("runs/simlap", "tom.jpg", "rex.jpg", gate=("cat", "dog"))
    """
    run = run if isinstance(run, Run) else Run.open(run)
    model = _model(run)
    h, z = encode(model, load(run.folder).prepare([one, other]))
    rows = h if z is None else z
    if gate is not None:
        rows = rows * gate_of(run, gate, model=model)
    left, right = unit(rows)
    return float(left @ right)


def _model(run: Run) -> Model:
    stored = run.recipe()
    recipe = cast(Recipe, part_from_json(stored["parts"]))
    return restored(run, recipe, Facts.stored(stored["facts"]), int(stored["seed"]))


def _index(run: Run, item: str | int, count: int) -> int:
    """Of a class that is given by its name or its index."""
    stored = run.recipe()
    # Of clusters, the names are not those of the source's classes.
    clustered = isinstance(part_from_json(stored["source"]), PseudoLabelled)
    names = (
        [f"cluster {number}" for number in range(count)]
        if clustered
        else cast("list[str]", stored["dataset"]["classes"])
    )
    if isinstance(item, str):
        if item not in names:
            raise RunError(f"{str(run.folder)!r} has no class {item!r}; {nearest(item, names)}")
        return names.index(item)
    if not 0 <= item < count:
        raise RunError(f"{str(run.folder)!r} has classes 0 to {count - 1}, but no class {item}")
    return item
