"""The study as a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from counterpoint.errors import RecipeError, SourceError
from counterpoint.evaluation import Passes
from counterpoint.signature import recipes
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf
from counterpoint.studies.hyperseparability.evaluators import SuperClasses
from counterpoint.studies.league.budget import BATCH, EPOCHS, IMAGES
from counterpoint.studies.league.claims import league_claims
from counterpoint.studies.league.evaluators import Course, Memory, SuperErrors
from counterpoint.studies.league.methods import Entry, entered, listed, trained_as
from counterpoint.studies.league.sections import About, league_sections
from counterpoint.studies.league.settings import Settings, read_settings
from counterpoint.studies.long_tailed import LongTailed
from counterpoint.studies.restricted import Restricted
from counterpoint.studies.scores import Baselines, Scores
from counterpoint.studies.study import SEEDS, Evaluator, Scale, Study
from counterpoint.types import Dataset, Facts, Source
from counterpoint.views import default

__all__ = ["Planned", "league", "planned", "source_of", "taking_part"]

SMALL = 0.25  # of the budget, at that scale
SMOKE = 1000, 128  # images and batch, at that scale
FEW = 3  # subsets for each few-label probe


@dataclass(frozen=True, eq=False)
class Planned:
    """Data and sizes of a league, or of its tuning.

    Args:
        source: of the images that are trained on.
        dataset: what it holds.
        facts: what that decides.
        encoder: that all share.
        batch: images of a step.
        epochs: of a method of two views.
        precision: as of `Cell`.
    """

    source: Source
    dataset: Dataset
    facts: Facts
    encoder: str
    batch: int
    epochs: float
    precision: str


def source_of(study: str, source: Source | None, scale: Scale) -> Source:
    """The images that were given; the embedded digits at smoke scale where none were.

    Args:
        study: its name, for the message.
        source: of the images.
        scale: of the study.

    Raises:
        SourceError: none were given at another scale.
    """
    if source is not None:
        return source
    if scale != "smoke":
        raise SourceError(f"{study} needs images with labels; give --source cifar10 --root FOLDER")
    return Digits()


def planned(
    source: Source | None,
    *,
    scale: Scale,
    encoder: str | None,
    images: int | None,
    epochs: float | None,
    tail: float = 1.0,
) -> Planned:
    """Fewer images where that is asked for, and what suits the scale.

    Args:
        source: of the images, with labels; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch of few images).
        encoder: None: `conv`, or `mlp` at smoke scale.
        images: trained on, equally many of each class; None: the budget's.
        epochs: of a method of two views; None: the budget's.
        tail: training images of the first class for one of the last; see `LongTailed`.

    Raises:
        SourceError: no source, or no labels, without which nothing can be ranked.
        RecipeError: a number that is too small.
    """
    smoke = scale == "smoke"
    source = source_of("league", source, scale)
    if (images is not None and images < 1) or (epochs is not None and epochs <= 0):
        raise RecipeError(f"league: images is {images} and epochs {epochs}; both must be above 0")
    shelf = Shelf()
    dataset = shelf.load(source)
    if dataset.train.labels is None or dataset.test.labels is None or len(dataset.classes) < 2 or not len(dataset.test):
        raise SourceError(
            f"the league ranks by labels, but {dataset.name!r} has no labelled test images of two classes"
        )
    most = images or (SMOKE[0] if smoke else IMAGES)
    if len(dataset.train) > most:
        source = Restricted(source, per_class=max(1, most // len(dataset.classes)))
        dataset = shelf.load(source)
    if tail != 1:
        source = LongTailed(source, tail)
        dataset = shelf.load(source)
    return Planned(
        source=source,
        dataset=dataset,
        facts=shelf.facts(source),
        encoder=encoder or ("mlp" if smoke else "conv"),
        batch=SMOKE[1] if smoke else BATCH,
        epochs=epochs or (1 if smoke else EPOCHS * (SMALL if scale == "small" else 1)),
        precision="32-true" if smoke else "auto",
    )


def taking_part(
    plan: Planned,
    methods: str | Iterable[str],
    without: str | Iterable[str],
    tuned: Mapping[str, Mapping[str, float]],
) -> tuple[tuple[Entry, ...], dict[str, str]]:
    """As `entered`: the named methods, every recipe of the package where none is named, less those left out.

    Args:
        plan: data and sizes.
        methods: names.
        without: names that are left out.
        tuned: dials by method.

    Raises:
        RecipeError: one of the names is no recipe.
    """
    out = listed(without)
    names = tuple(name for name in listed(methods) or tuple(recipes()) if name not in out)
    return entered(
        plan.source,
        plan.facts,
        plan.encoder,
        methods=names,
        batch=plan.batch,
        epochs=plan.epochs,
        tuned=tuned,
    )


def league(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    epochs: float | None = None,
    images: int | None = None,
    methods: str | Iterable[str] = "",
    without: str | Iterable[str] = "",
    sets: int = 1000,
    tail: float = 1.0,
) -> Study:
    """All methods on one encoder with one budget of views seen, beside controls, raw pixels and the untrained encoder.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`; `small`: a quarter of the epochs; `smoke`: one epoch of few images, of an mlp.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        epochs: of a method of two views of an image; others get as many views.
        images: training images, equally many of each class.
        methods: names, as `simclr,supervised`; empty: every recipe of the package that suits the data.
        without: names that are left out.
        sets: random super-classes, for data of more than ten classes.
        tail: training images of the first class for one of the last, falling by one factor from class to class.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = planned(source, scale=scale, encoder=encoder, images=images, epochs=epochs, tail=tail)
    settings = read_settings()
    entries, reasons = taking_part(plan, methods, without, settings.of(plan.encoder))
    if not entries:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise RecipeError(f"no method can take part in the league ({why or 'none was named'})")
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    at = _reference(entries)
    policy = default(plan.facts.kind, size=plan.facts.size, channels=plan.facts.channels)
    few = 0 if scale == "smoke" else FEW
    training = Passes(epochs=1) if scale == "smoke" else Passes()
    evaluators: tuple[Evaluator, ...] = (
        Scores(few, views=policy, baselines=False),
        Baselines(at, few, views=policy),
        SuperErrors(SuperClasses(training, count=sets), at),
        Course(),
        Memory(),
    )
    cells = tuple(
        trained_as(
            entry.name,
            plan.source,
            plan.encoder,
            batch=entry.batch,
            epochs=entry.epochs,
            seed=seed,
            dials=entry.dials,
            place={"method": entry.name, "group": entry.group},
            precision=plan.precision,
        )
        for seed in seeds
        for entry in sorted(entries, key=lambda entry: entry.name != at)
    )
    long = "long-tailed " if tail != 1 else ""
    about = About(entries, at, reasons, len(plan.dataset.train), _tuning(settings))
    return Study(
        name="league",
        title=f"League of methods on {long}{plan.dataset.name}",
        about=_about(plan, entries, policy),
        source="",
        cells=cells,
        evaluators=evaluators,
        claims=league_claims(entries, at),
        sections=partial(league_sections, about=about),
    )


def _reference(entries: Sequence[Entry]) -> str:
    """The method at whose runs the untrained encoder is read: one that changes nothing of it, a control if there is."""
    plain = [entry for entry in entries if not entry.encoder]
    controls = [entry for entry in plain if entry.group == "control"]
    return (controls or plain or list(entries))[0].name


def _tuning(settings: Settings) -> str:
    return (
        f"Dials were tuned by one procedure for all, at most six trials for each method, each with as many views as "
        f"{settings.epochs:g} epochs of a method of two views have, judged by kNN on images held out of the training "
        f"set: {settings.how}. The test images had no part in it."
        if settings.how
        else ""
    )


def _smaller(plan: Planned, entries: Sequence[Entry]) -> str:
    told = [f"{entry.signature.title} {entry.batch}" for entry in entries if entry.batch != plan.batch]
    return f" ({', '.join(told)}, whose loss compares patches)" if told else ""


def _about(plan: Planned, entries: Sequence[Entry], policy: str) -> tuple[str, ...]:
    return (
        f"Each method trains the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name}"
        f"{f' ({plan.dataset.split})' if isinstance(plan.source, LongTailed) else ''} "
        f"in batches of {plan.batch}{_smaller(plan, entries)}, until it has seen as many views as {plan.epochs:g} "
        "epochs of a method of two views have. All is measured on h with the encoder frozen. The settings are small: "
        "the ranking is of what a method does with such an encoder in minutes, not of what its paper reports.",
        f"{len(entries)} methods take part. Those that need labels stand apart, an autoencoder shows what is learned "
        "without any contrast, and raw pixels and the encoder with its first weights show what needs no training.",
        f"Views in training are each recipe's own. For the alignment of views the policy `{policy}` draws two views of "
        "the same test images for every method.",
        "Blind: the rules of the claims were written before any run of the league. That a share of 100 % on both sides "
        "decides nothing was added when all were seen to reach it.",
    )
