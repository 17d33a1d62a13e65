"""How near two classes are: by a frozen encoder, and by the hierarchy of the data; and the ranking that follows."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.app.assess import fresh
from counterpoint.embed import encode
from counterpoint.errors import RunError, SourceError
from counterpoint.random import Streams
from counterpoint.serving import load
from counterpoint.sphere import unit
from counterpoint.studies.cells import CELLS, Shelf, composed, finished, folder_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.simlap.classes import class_cosines
from counterpoint.studies.simlap.runs import runs

__all__ = ["UNTRAINED", "Near", "agreement", "centred_cosines", "near", "nearest", "shared_run", "steps"]

UNTRAINED = "untrained"
IMAGES = 100  # of each class, that a frozen encoder looks at
OWN, SIBLING, STRANGER = 0.0, 2.0, 4.0  # edges between two classes of a hierarchy of two levels

Square = Float[Tensor, "class class"]


@dataclass(frozen=True, eq=False)
class Near:
    """Two ways in which classes are near.

    Args:
        frozen: the encoder, in words.
        cosine: mean of an image of one class and one of the other, after the mean of all images was taken away; the
            larger the nearer.
        path: edges between two classes in the hierarchy; None where the data has none.
        super_of: of each class, its super-class; None likewise.
        super_classes: their names.
    """

    frozen: str
    cosine: Square
    path: Square | None
    super_of: Int64[Tensor, " class"] | None
    super_classes: tuple[str, ...] = ()


def centred_cosines(
    h: Float[Tensor, "image dim"], labels: Int64[Tensor, " image"], classes: int
) -> Float[Tensor, "class class"]:
    """The mean cosine of an image of one class and one of another, after what all unit rows share was taken away.

    An encoder whose rows all point nearly one way, as one with random weights does, would rank by little else.

    Source: Wu et al. 2024, where the mean similarity of a pretrained CLIP encoder ranks classes; the centring is ours.

    Args:
        h: features of images.
        labels: their classes.
        classes: how many; each needs two images.

    Raises:
        SourceError: a class has fewer.
    """
    count = torch.bincount(labels, minlength=classes)
    if int(count.min()) < 2:
        raise SourceError(
            f"class {int(count.argmin())} has {int(count.min())} images, too few to say what is near it; leave it out"
        )
    rows = unit(h.double())
    return class_cosines(rows - rows.mean(0), labels, range(classes)).float()


def steps(super_of: Int64[Tensor, " class"]) -> Float[Tensor, "class class"]:
    """Edges between two classes where the hierarchy has two levels: 2 below one super-class, 4 otherwise; 0 to itself.

    Args:
        super_of: of each class, its super-class.
    """
    alike = super_of[:, None] == super_of
    path = torch.where(alike, SIBLING, STRANGER)
    return path.fill_diagonal_(OWN)


def nearest(
    cosine: Float[Tensor, "class class"], path: Float[Tensor, "class other"] | None = None
) -> tuple[tuple[int, ...], ...]:
    """Of each class all others, the nearest first: by the path if there is one, and among equals by the cosine.

    Cosines count to four places, and equals stand in the order of the classes: other machines round the rest otherwise.

    Args:
        cosine: of the frozen encoder.
        path: edges in the hierarchy.
    """
    found: list[tuple[int, ...]] = []
    for own, row in enumerate(cosine):
        order = (1e4 * row).round().argsort(descending=True, stable=True)
        if path is not None:
            order = order[path[own][order].argsort(stable=True)]
        found.append(tuple(other for other in order.tolist() if other != own))
    return tuple(found)


def agreement(
    first: tuple[tuple[int, ...], ...], second: tuple[tuple[int, ...], ...], count: int
) -> tuple[float, float]:
    """Share of the nearest classes by one ranking that are among as many by the other; and what that is by chance.

    Args:
        first: of each class all others.
        second: likewise.
        count: of the nearest that are held against each other.
    """
    shared = [len(set(a[:count]) & set(b[:count])) / count for a, b in zip(first, second, strict=True)]
    return sum(shared) / len(shared), count / (len(first) - 1)


def shared_run(plan: Planned, store: Path = CELLS) -> Path:
    """The run of SimCLR on a plan's data that other studies have, of seed 0.

    Args:
        plan: data and sizes.
        store: folder of cells.

    Raises:
        RunError: it has not been trained.
    """
    (cell,) = runs(plan, ("simclr",), (0,))
    folder = folder_of(cell, store)
    if not finished(folder):
        raise RunError(
            f"classes are near by a trained encoder, but there is no finished run {str(folder)!r} of SimCLR on these "
            f"data; run simlap-transfer first, give another as frozen=FOLDER, or frozen={UNTRAINED} for random weights"
        )
    return folder


def near(plan: Planned, frozen: str | Path = UNTRAINED) -> Near:
    """Nearness of the classes of a plan, from training images alone.

    Args:
        plan: data and encoder.
        frozen: `untrained`: the plan's encoder with the weights that seed 0 draws; or the folder of a run.

    Raises:
        CounterpointError: there is no run, or it takes other images.
    """
    train = plan.dataset.train
    assert train.labels is not None
    rows = _some(train.labels, len(plan.dataset.classes))
    images, labels = train.images[rows], train.labels[rows]
    if str(frozen) == UNTRAINED:
        cell = trained_as("simclr", plan.source, plan.encoder, batch=plan.batch, epochs=1)
        facts = Shelf().facts(plan.source)
        h = encode(fresh(composed(cell, facts), facts, 0), images)[0]
        said = f"the encoder {plan.encoder} with random weights"
    else:
        folder = Path(frozen).expanduser()
        if not folder.exists():
            raise RunError(f"frozen={frozen!s} is no run; give the folder of one, as of simclr, or {UNTRAINED}")
        h = torch.from_numpy(load(folder).embed(images))
        said = f"the encoder of the run {folder.name}"
    cosine = centred_cosines(h, labels, len(plan.dataset.classes))
    known = plan.dataset
    above = known.super_of
    return Near(said, cosine, None if above is None else steps(above), above, known.super_classes)


def _some(labels: Int64[Tensor, " image"], classes: int) -> Int64[Tensor, " row"]:
    """Positions of at most `IMAGES` images of each class."""
    order = Streams(0).at("nearness").permutation(len(labels))
    kept = [order[labels[order] == label][:IMAGES] for label in range(classes)]
    return torch.cat(kept).sort().values
