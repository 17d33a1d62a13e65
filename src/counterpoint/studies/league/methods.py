"""Which methods take part, with what budget and dials: all recipes that suit the data, none of them named here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from counterpoint import encoders
from counterpoint.errors import CounterpointError, RecipeError, nearest
from counterpoint.signature import Signature, recipes
from counterpoint.studies.cells import composed, dials_of
from counterpoint.studies.league.budget import epochs_of
from counterpoint.studies.study import Cell
from counterpoint.targets import Pixels
from counterpoint.types import Encoder, Facts, Source
from counterpoint.views import Views

__all__ = ["Entry", "Group", "entered", "listed", "named", "trained_as", "views_of"]

Group = Literal["no labels", "labels", "control"]


@dataclass(frozen=True, eq=False)
class Entry:
    """A method that takes part.

    Args:
        signature: of its recipe.
        group: whether it needs labels; a `control` needs none and compares nothing: it tells images again.
        views: of an image, in training, as `views_of` counts them.
        batch: images of a step: the league's, or the recipe's own where that is smaller and images are cut into
            patches, whose comparison may cost the square of it.
        epochs: that these leave of the budget.
        dials: that tuning chose; None where it was not tuned with this encoder.
        encoder: in words, where the method changes something of the shared one; else empty.
    """

    signature: Signature
    group: Group
    views: int
    batch: int
    epochs: int
    dials: Mapping[str, Any] | None = None
    encoder: str = ""

    @property
    def name(self) -> str:
        """Of the recipe."""
        return self.signature.name


def named(names: str | Iterable[str]) -> tuple[str, ...]:
    """Different names from `batch,queue` or from several, in order; without empty ones."""
    given = names.split(",") if isinstance(names, str) else names
    return tuple(dict.fromkeys(name.strip() for name in given if name.strip()))


def listed(methods: str | Iterable[str]) -> tuple[str, ...]:
    """Names from `simclr,supervised` or from several.

    Raises:
        RecipeError: one of them is no recipe.
    """
    known, found = recipes(), named(methods)
    for name in found:
        if name not in known:
            raise RecipeError(f"there is no method {name!r}; {nearest(name, known)}")
    return found


def views_of(views: Views, size: int) -> int:
    """How often an image is seen in a step.

    Once by each policy, but by one that cuts it into patches as often as their pixels would fill it.

    Args:
        views: of a recipe.
        size: side of an image, in pixels.

    Example:
        Nine patches of 16 pixels at a stride of 8 fill an image of 32 pixels twice and a quarter.

        >>> from counterpoint.views import Chain, Resize
        >>> whole = Chain((Resize(32),))
        >>> views_of(Views.twice(whole), 32), views_of(Views.tiled(whole, 16, 8, 32), 32)
        (2, 2)
    """
    shares = [
        1.0 if grid == 1 else tall * wide / size**2
        for policy, grid in zip(views.policies, views.cuts, strict=True)
        for tall, wide in [policy.after(size, size)]
    ]
    return max(1, round(sum(shares)))


def trained_as(
    name: str,
    source: Source,
    encoder: str,
    *,
    batch: int | None = None,
    epochs: int,
    seed: int = 0,
    place: Mapping[str, str] | None = None,
    dials: Mapping[str, Any] | None = None,
    precision: str = "auto",
) -> Cell:
    """A run of a method: batch and epochs are dials where it has them, since much derives from these.

    Args:
        name: of the recipe.
        source: of the images.
        encoder: that all share.
        batch: images of a step; None: the recipe's own.
        epochs: passes over them.
        seed: of the run.
        place: in the grid.
        dials: further ones.
        precision: as of `Cell`.
    """
    sizes = {"epochs": epochs} if batch is None else {"batch_size": batch, "epochs": epochs}
    known = dials_of(name)
    given: dict[str, Any] = {k: v for k, v in sizes.items() if k in known}
    return Cell(
        place=dict(place or {"method": name}),
        recipe=name,
        source=source,
        encoder=encoder,
        seed=seed,
        dials={**given, **(dials or {})},
        settings={k: str(v) for k, v in sizes.items() if k not in known},
        precision=precision,
    )


def entered(
    source: Source,
    facts: Facts,
    encoder: str,
    *,
    methods: Iterable[str],
    batch: int,
    epochs: float,
    tuned: Mapping[str, Mapping[str, Any]],
) -> tuple[tuple[Entry, ...], dict[str, str]]:
    """The methods that can be composed for the data, and why others cannot.

    Args:
        source: of the images.
        facts: what they decide.
        encoder: that all share.
        methods: names of recipes.
        batch: images of a step.
        epochs: of a method of two views.
        tuned: dials by method.

    Returns:
        Methods that need no labels, those that need them, then controls; and reasons by method.
    """
    every = recipes()
    shared = encoders.lookup(encoder)
    found: list[Entry] = []
    reasons: dict[str, str] = {}
    for name in methods:
        dials = tuned.get(name)
        try:
            recipe = composed(trained_as(name, source, encoder, batch=batch, epochs=1, dials=dials), facts)
        except CounterpointError as error:
            reasons[name] = str(error)
            continue
        views = views_of(recipe.views, facts.size)
        group: Group = "labels" if recipe.pairing.needs_labels else "no labels"
        group = "control" if isinstance(recipe.target, Pixels) else group
        own_batch = composed(trained_as(name, source, encoder, epochs=1), facts).batch_size
        size = min(batch, own_batch) if recipe.views.grids else batch
        own = _changed(recipe.encoder, shared)
        found.append(Entry(every[name], group, views, size, epochs_of(views, epochs), dials, own))
    order: tuple[Group, ...] = ("no labels", "labels", "control")
    return tuple(sorted(found, key=lambda entry: order.index(entry.group))), reasons


def _changed(encoder: Encoder, shared: Encoder) -> str:
    """What a method puts around the shared encoder, the outermost first: `Patched(patch=8), WithoutBatchNorm()`."""
    around: list[str] = []
    while encoder != shared and is_dataclass(encoder):
        values = {f.name: getattr(encoder, f.name) for f in fields(encoder)}
        inner = values.pop("inner", None)
        around.append(f"{type(encoder).__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})")
        if inner is None:
            break
        encoder = inner
    return ", ".join(around) if is_dataclass(encoder) or encoder == shared else str(encoder)
