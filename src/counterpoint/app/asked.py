"""What was asked for: from flags, from a stored recipe, or from a run to go on with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from counterpoint import encoders, sources
from counterpoint.errors import CheckpointError, RecipeError, SourceError, nearest
from counterpoint.recipe import Recipe, compose, part_from_json, part_to_json
from counterpoint.run import Run
from counterpoint.serving import load
from counterpoint.signature import Preset, find
from counterpoint.types import Dataset, Encoder, Facts, Source, Split

__all__ = [
    "Asked",
    "check_data",
    "check_same",
    "compose_asked",
    "encoder_asked",
    "facts_of",
    "free_folder",
    "stored_recipe",
    "understand",
]


@dataclass(frozen=True, eq=False)
class Asked:
    """A run as it was asked for, from flags, a stored recipe, or a run to go on with."""

    name: str
    source: Source
    encoder: str | None
    dials: dict[str, Any]
    settings: dict[str, Any]
    seed: int
    stored: dict[str, Any] | None  # recipe.json, when its parts are to be used as they are
    preset: str | None = None

    @property
    def published(self) -> Preset | None:
        """The preset, as the recipe's file declares it."""
        return None if self.preset is None else find(self.name).preset(self.preset)


def stored_recipe(path: Path) -> dict[str, Any]:
    """The recipe.json of a run, or the file itself."""
    return Run.open(path.parent if path.name == "recipe.json" else path).recipe()


def _a_source(found: Any) -> Source:
    if not callable(getattr(found, "load", None)):
        raise SourceError(f"got {type(found).__name__} as the source, expected a name, a path, or a Source with load()")
    return cast(Source, found)


def understand(
    recipe: str | None,
    stored: dict[str, Any] | None,
    *,
    source: str | Path | Source | None,
    options: dict[str, Any],
    encoder: str | None,
    dials: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int | None,
    preset: str | None = None,
) -> Asked:
    """What was asked for; what is given beside a stored recipe wins, and so does a preset over what was stored."""
    given = {k: v for k, v in options.items() if v is not None}
    for path in ("root", "labels"):
        # As a source keeps them: a stored recipe runs from anywhere.
        if path in given and Path(given[path]).expanduser().exists():
            given[path] = str(Path(given[path]).expanduser().absolute())
    if stored is None:
        if recipe is None:
            raise RecipeError("no recipe was named; name one (`counterpoint methods` lists them) or give --config")
        found = source if source is not None else "digits"
        value = sources.lookup(str(found), **given) if isinstance(found, str | Path) else _a_source(found)
        return Asked(recipe, value, encoder, dict(dials), dict(settings), seed or 0, None, preset)
    name = recipe or stored["recipe"]
    before = stored.get("preset") if name == stored["recipe"] else None
    kept = stored["dials"] if name == stored["recipe"] else {}
    if preset not in (None, before):
        published = find(name).preset(preset)
        encoder = encoder or published.encoder
        kept = {dial: value for dial, value in kept.items() if dial not in published.dials}
    if source is not None:
        value = sources.lookup(str(source), **given) if isinstance(source, str | Path) else source
    else:
        value = cast(Source, part_from_json(stored["source"]))
        for field, wanted in given.items():
            known = list(cast(Any, value).__dataclass_fields__)
            if field not in known:
                raise RecipeError(
                    f"the stored source {type(value).__name__} takes no {field!r}; {nearest(field, known)}"
                )
            value = replace(cast(Any, value), **{field: wanted})
    same = name == stored["recipe"] and preset in (None, before)
    untouched = same and not (dials or settings or encoder or source or given)
    return Asked(
        name=name,
        source=value,
        encoder=encoder or stored["encoder"],
        dials={**kept, **dials},
        settings={**(stored["settings"] if name == stored["recipe"] else {}), **settings},
        seed=stored["seed"] if seed is None else seed,
        stored=stored if untouched else None,
        preset=preset or before,
    )


def check_same(asked: Asked, stored: dict[str, Any], folder: Path, **more: Any) -> None:
    """A resumed run is the run that was begun.

    Args:
        asked: now.
        stored: recipe.json.
        folder: of the run.
        more: other values given, by their path in recipe.json (`engine__precision`); None was not given.

    Raises:
        CheckpointError: something differs.
    """
    compared = {
        **{k.replace("__", "."): v for k, v in more.items() if v is not None},
        "recipe": asked.name,
        "preset": asked.preset,
        "seed": asked.seed,
        "encoder": asked.encoder,
        "source": json.loads(json.dumps(part_to_json(asked.source))),
        **{f"dials.{k}": v for k, v in asked.dials.items()},
        **{f"settings.{k}": v for k, v in asked.settings.items()},
    }
    for path, wanted in compared.items():
        top, _, key = path.partition(".")
        found = stored[top].get(key) if key else stored.get(top)
        if json.loads(json.dumps(wanted)) != found:
            raise CheckpointError(
                f"{str(folder)!r} holds another run: its {path.split('.')[-1]} is "
                f"{'none' if found is None else repr(found)}, not {'none' if wanted is None else repr(wanted)}; "
                "resume it as it was begun, or train in a new folder with --out"
            )


def check_data(facts: Facts, stored: dict[str, Any], folder: Path) -> None:
    """The data of a resumed run is the data that it was begun with."""
    before = Facts.stored(stored["facts"])
    for field in fields(Facts):
        now, then = getattr(facts, field.name), getattr(before, field.name)
        if now != then:
            raise CheckpointError(
                f"the data of {str(folder)!r} has changed since the run was begun: {field.name} was {then!r} and is "
                f"{now!r}; restore it, or train in a new folder with --out"
            )


def facts_of(dataset: Dataset, learned: Split) -> Facts:
    """What a data set decides."""
    mean, std = sources.measure(learned.images)
    _, channels, height, width = learned.images.shape
    if height != width:
        raise RecipeError(f"the images of {dataset.name!r} are {height} x {width}; give --size to make them square")
    return Facts(
        source=dataset.name,
        kind=dataset.kind,
        channels=channels,
        size=height,
        images=len(learned),
        classes=len(dataset.classes),
        mean=mean,
        # A constant channel has no deviation to divide by.
        std=tuple(s or 1.0 for s in std),
    )


def _batch_that_fits(name: str, dials: dict[str, Any], images: int) -> dict[str, Any]:
    """The recipe's own batch size, halved until four batches fit into the images; one that was given stays."""
    default = next((dial.default for dial in find(name).dials if dial.name == "batch_size"), None)
    if "batch_size" in dials or not isinstance(default, int):
        return dials
    size = default
    while size > 2 and size * 4 > images:
        size //= 2
    return dials if size == default else {**dials, "batch_size": size}


def free_folder(name: str, source: str) -> Path:
    """runs/RECIPE-SOURCE, numbered where it is taken."""
    plain = "".join(c if c.isalnum() else "-" for c in f"{name.split(':')[-1]}-{source.split(':')[0]}")
    base = Path("runs") / plain
    folder, count = base, 2
    while folder.exists():
        folder, count = base.with_name(f"{base.name}-{count}"), count + 1
    return folder


def encoder_asked(asked: Asked, facts: Facts) -> str:
    """The encoder by name: as asked for, else the preset's, else what suits the source."""
    published = asked.published
    return asked.encoder or (published and published.encoder) or encoders.default(facts.kind, facts.size)


def compose_asked(asked: Asked, facts: Facts, own: Encoder | None, warm_from: str | None) -> Recipe:
    """The recipe: as it is stored, or made anew from dials and settings."""
    if asked.stored is not None:
        return cast(Recipe, part_from_json(asked.stored["parts"]))
    if own is None and warm_from and asked.encoder is None:
        own = load(warm_from).part
    name = encoder_asked(asked, facts)
    encoder = own or encoders.lookup(name, pretrained=warm_from == name)
    published = asked.published
    dials = {**(published.dials if published else {}), **asked.dials}
    dials = _batch_that_fits(asked.name, dials, facts.images)
    return compose(asked.name, facts, encoder, dials, asked.settings, asked.preset)
