"""The subspace of a pair of classes that a run has learned, and the similarity of two images in it."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, SupportsIndex, cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterpoint.app.assess import restored
from counterpoint.embed import encode
from counterpoint.errors import RunError, nearest
from counterpoint.evaluation.saliency import under_gate
from counterpoint.model import Model
from counterpoint.negatives import Gates
from counterpoint.recipe import Recipe, part_from_json
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, load
from counterpoint.types import Facts

__all__ = ["Classes", "gate_of", "model_of", "names_of", "similarity"]

Classes = str | SupportsIndex | Sequence[str | SupportsIndex]


@torch.no_grad()
def gate_of(run: Run | str | Path, classes: Classes, *, model: Model | None = None) -> Float[Tensor, " dim"]:
    """The gate of a class, or of a pair of classes: for each coordinate of the projection z a number in (0, 1).

    Only ratios of its numbers count: cos(g u, g v) is the same under any multiple of g.

    Args:
        run: that has learned gates (simlap, simlap_moco).
        classes: a name or an index, or two of them in either order, also as one text with a comma between; one class
            is a pair with itself.
        model: of the run, where it is at hand.

    Raises:
        RunError: the run has no gates, or no such class.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    model = model or model_of(run)
    gates = model.negatives
    if not isinstance(gates, Gates):
        raise RunError(
            f"{str(run.folder)!r} has learned no gates of classes; give a run of simlap or simlap_moco, or no gate"
        )
    chosen = [torch.tensor([index], device=gates.table.device) for index, _ in _chosen(run, classes)]
    first, second = chosen[0], chosen[-1]
    training = gates.training
    gate = gates.eval().gate(first, second)[0].float().cpu()
    gates.train(training)
    return gate


@torch.no_grad()
def similarity(run: Run | str | Path, one: Any, other: Any, *, gate: Classes | None = None) -> float:
    """The cosine of two images' projections, in [-1, 1]; with a gate, in the subspace of these classes.

    Of a run without a projector it is that of their representations.

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
    model = model_of(run)
    h, z = encode(model, load(run.folder).prepare([one, other]))
    left, right = under_gate(h if z is None else z, None if gate is None else gate_of(run, gate, model=model))
    return float(left @ right)


def model_of(run: Run) -> Model:
    """All that a run has trained, projector and gates included, in evaluation and without gradients."""
    stored = run.recipe()
    recipe = cast(Recipe, part_from_json(stored["parts"]))
    model = restored(run, recipe, Facts.stored(stored["facts"]), int(stored["seed"]))
    return model.eval().requires_grad_(requires_grad=False)


def names_of(run: Run, classes: Classes) -> tuple[str, ...]:
    """The names of one class or two, whichever way they are given.

    A text is a class's name, else its index in digits, else two of these with a comma between; names may hold commas.
    Of clusters a text is the name, since digits could be meant as a class of the source.

    Args:
        run: that has learned gates.
        classes: as in `gate_of`.

    Raises:
        RunError: there is no such class.
    """
    return tuple(name for _, name in _chosen(run, classes))


def _chosen(run: Run, classes: Classes) -> list[tuple[int, str]]:
    """One class or two, each with its name."""
    names, meant = _names(run)
    if not isinstance(classes, str | Integral) and isinstance(classes, Sequence):
        if len(classes) not in (1, 2):
            raise RunError(f"a gate of {len(classes)} classes was asked for; give one class, or a pair")
        items: list[str | SupportsIndex] = list(classes)
    else:
        items = [cast("str | SupportsIndex", classes)]
        if isinstance(classes, str) and classes not in meant:
            words = classes.split(",")
            cuts = ([",".join(words[:cut]).strip(), ",".join(words[cut:]).strip()] for cut in range(1, len(words)))
            # Where no cut gives two classes, a single comma says which of both is wrong.
            unknown = [word.strip() for word in words] if len(words) == 2 else [classes]
            items = [*next((pair for pair in cuts if set(pair) <= meant.keys()), unknown)]
    indices = [_index(run, item, names, meant) for item in items]
    return [(index, names[index]) for index in indices]


def _names(run: Run) -> tuple[list[str], dict[str, int]]:
    """Of all classes that have gates, and the class of each text that is understood."""
    stored = run.recipe()
    # Of clusters, the names are not those of the source's classes.
    if isinstance(part_from_json(stored["source"]), PseudoLabelled):
        names = [f"cluster {number}" for number in range(int(stored["facts"]["classes"]))]
        return names, {name: i for i, name in enumerate(names)}
    names = cast("list[str]", stored["dataset"]["classes"])
    return names, {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}


def _index(run: Run, item: str | SupportsIndex, names: Sequence[str], meant: dict[str, int]) -> int:
    if isinstance(item, str):
        if item not in meant:
            raise RunError(f"{str(run.folder)!r} has no class {item!r}; {nearest(item, names)}")
        return meant[item]
    if not isinstance(item, Integral):
        raise RunError(f"a class is a name or an index, but {type(item).__name__} arrived")
    index = int(item)
    if not 0 <= index < len(names):
        raise RunError(f"{str(run.folder)!r} has classes 0 to {len(names) - 1}, but no class {index}")
    return index
