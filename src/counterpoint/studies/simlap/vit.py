"""ViT-tiny: SimLAP and SimLAP-MoCo against supervised training and SimCLR, by neighbours on other data.

What it costs: a view of 32 pixels in patches of 4 takes ViT-tiny 16 ms of one core in bfloat16, forward and backward,
on a machine that does other work too, and 9 ms to read in full precision; in patches of 8 a quarter. A run at full
scale, in patches of 8, sees 16,350 images eight times, 520 s (SimLAP-MoCo 700 s, for its second network); with four
methods, three seeds, and four sets of at most 2,000 + 2,000 images to transfer to (130 s), 2.4 hours of one core, 1.2
of two. That is few views for a transformer; in patches of 4 one would see a quarter of them for as much.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from counterpoint import encoders
from counterpoint.encoders import ViT
from counterpoint.errors import RecipeError
from counterpoint.report.exhibits import Section
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import PAPER
from counterpoint.studies.simlap.compared import (
    Line,
    best_of,
    better,
    differences,
    floors,
    looked_at,
    sentence,
    side_by_side,
    told,
)
from counterpoint.studies.simlap.judged import floors_of, judged_on
from counterpoint.studies.simlap.page import title_of
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.study import SEEDS, Claim, Results, Scale, Study
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Source

__all__ = ["simlap_vit", "vit_claims"]

METHODS = ("supervised", "simclr", "simlap", "simlap_moco")
EPOCHS: Mapping[Scale, float] = {"full": 4, "small": 4, "smoke": 1}  # of a method of two views
PATCH = 8  # side in pixels
QUARTER = 0.25  # of the images of each class, at small scale
BATCH = 128  # more steps out of few views than the usual 512
READ = 2_000  # training images, and as many test images, of each set that is transferred to
SMOKE = {"encoder.depth": "1"}
SMOKE_PATCH = 4
AT = {"method": "simclr"}
TABLE = f"{PAPER}, the table of ViT by kNN on CIFAR-10 (ImageNet, ViT-tiny)"


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        targets: names of the data that are transferred to.
        encoder: by name.
    """

    targets: tuple[str, ...]
    encoder: str

    @property
    def lines(self) -> dict[str, Line]:
        """Of each method."""
        groups = {"supervised": "class", "simclr": "instance pairs"}
        return {m: Line(title_of(m), groups.get(m, "arbitrary pairs"), {"method": m}) for m in METHODS}


def simlap_vit(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str = "vit_tiny",
    patch: int | str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
) -> Study:
    """A small vision transformer by SimLAP, SimLAP-MoCo, SimCLR and supervised training; neighbours on other data.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the images) or `smoke` (an epoch of few images, of a single block).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share, a ViT.
        patch: side of a patch in pixels, which divides the image's; None: 8, at smoke scale 4.
        images: trained on, equally many of each class; None: all.
        epochs: of a method of two views of an image; others get as many views.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    if not isinstance(encoders.lookup(encoder), ViT):
        raise RecipeError(f"simlap-vit is about vision transformers, and {encoder!r} is none; give encoder=vit_tiny")
    if patch is not None and (not isinstance(patch, int) or patch < 1):
        raise RecipeError(f"simlap-vit: patch is {patch!r}; give the side of a patch in pixels")
    whole = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs or EPOCHS[scale], classes=classes)
    if scale == "small" and images is None:
        whole = sized(
            source,
            scale=scale,
            encoder=encoder,
            images=max(1, round(QUARTER * len(whole.dataset.train))),
            epochs=epochs or EPOCHS[scale],
            classes=classes,
        )
    plan = replace(whole, batch=min(BATCH, len(whole.dataset.train)))
    judges = tuple(
        replace(target, most=min(target.most, READ), tested=target.tested or READ)
        for target in judged_on("simlap-vit", targets, scale)
    )
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if scale == "smoke" else None
    side = patch or (SMOKE_PATCH if scale == "smoke" else PATCH)
    settings = {**(SMOKE if scale == "smoke" else {}), "encoder.patch": str(side)}
    about = About(tuple(target.label for target in judges), encoder)
    return Study(
        name="simlap-vit",
        title=f"A vision transformer by SimLAP on {plan.dataset.name}",
        about=(
            "Is what arbitrary pairs teach a matter of the encoder? The same question as on the page of transfer, with "
            "a vision transformer in place of a convolutional net, against supervised training, which has the same "
            "labels, and SimCLR, which has none.",
            f"All train `{encoder}` with patches of {side} pixels on "
            f"{len(plan.dataset.train):,} images of {plan.dataset.name} in batches of {plan.batch}, until they have "
            f"seen as many views as {plan.epochs:g} epochs of two views have. That is very little for a transformer: "
            "the paper trains ViT-S for 300 epochs of ImageNet.",
            f"Judged by ten neighbours of h, the class token, on {', '.join(about.targets)}, at most {READ:,} training "
            f"and {READ:,} test images of each, which had no part in training; a linear probe stands beside.",
            dials_said(plan, METHODS, judges),
            BLIND,
        ),
        source=PAPER,
        cells=runs(plan, METHODS, seeds, settings=settings),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), AT, seeds)),
        claims=vit_claims(about),
        sections=partial(vit_sections, about=about),
    )


def vit_claims(about: About) -> tuple[Claim, ...]:
    """All claims; those with figures are the paper's."""
    supervised, simclr, simlap, hydra = (about.lines[name] for name in METHODS)
    untrained = floors(AT)[0]
    return (
        better(
            "simlap-above-supervised",
            "With a small ViT SimLAP's neighbours on other data are better than those of supervised training.",
            simlap,
            supervised,
            where=TABLE,
            published="CIFAR-10 82.56 % against 76.94 %",
        ),
        better(
            "simlap-above-simclr",
            "With a small ViT SimLAP's neighbours on other data are better than SimCLR's.",
            simlap,
            simclr,
            where=TABLE,
            published="CIFAR-10 82.56 % against 69.37 %",
        ),
        better(
            "simlap-moco-above-supervised",
            "With a small ViT SimLAP-MoCo's neighbours on other data are better than those of supervised training.",
            hydra,
            supervised,
        ),
        better(
            "simlap-moco-above-simclr",
            "With a small ViT SimLAP-MoCo's neighbours on other data are better than SimCLR's.",
            hydra,
            simclr,
        ),
        better(
            "simlap-above-untrained",
            "What SimLAP teaches a small ViT is of use elsewhere: it is above the encoder with its first weights.",
            simlap,
            untrained,
        ),
    )


def vit_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    lines = [*about.lines.values(), *floors(AT)]
    found = told(results, lines, "knn")
    title = best_of(results, lines, "its neighbours", "knn")
    words = (f"kNN, k = 10: {sentence(found)}.",) if found else ()
    exhibits = [one for measure in ("knn", "probe") for one in side_by_side(results, lines, about.targets, measure)]
    supervised, simclr, simlap, hydra = (about.lines[name] for name in METHODS)
    pairs = [(first, second) for first in (simlap, hydra) for second in (supervised, simclr)]
    made = [
        Section("vit", title, words, tuple(exhibits)),
        differences(results, pairs, about.targets, ("knn",)),
        looked_at(results),
    ]
    return [section for section in made if section is not None]
