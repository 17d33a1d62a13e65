"""What the study decides, by rules written before any of its runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from counterpoint.studies.dimensional_collapse.evaluators import as_one, lead_of
from counterpoint.studies.dimensional_collapse.grid import USUAL, Cued, depth, place, share, strong
from counterpoint.studies.negatives.reading import ACCURACY, Seeds
from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, apart, below, between, each, greater
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["cue_claims", "lead_claims", "leads", "run_claims", "toy_claims"]

JING = "Jing et al. 2022"
ASKED = "asked here"
_LEARNERS: tuple[Literal["simclr", "supervised"], ...] = ("simclr", "supervised")
RANK_H, RANK_Z = ("spectra", "h", "rank"), ("spectra", "z", "rank")
PROBE = "Linear probe accuracy of h on test images"


def _of(results: Results, setting: str, *path: str) -> Seeds:
    return results.values(*path, **place(setting))


def _more(
    first: str, second: str, path: Sequence[str], what: str, *, points: bool = False
) -> Callable[[Results], Decision]:
    return lambda results: greater(
        _of(results, first, *path), _of(results, second, *path), unit="points" if points else "number", what=what
    )


# ---------------------------------------------------------------- toy models


def toy_claims() -> tuple[Claim, ...]:
    """All claims about the two linear networks."""

    def collapsed(kind: str, at: str) -> Callable[[Results], Seeds]:
        return lambda results: _of(results, USUAL, "toys", kind, at, "collapsed")

    weak, hard = collapsed("augmentation", "0.01"), collapsed("augmentation", "1.5")

    def behind(layers: int) -> Callable[[Results], Seeds]:
        """What layers leave behind beyond what one layer does that starts from the same."""
        deep, flat = collapsed("depth", str(layers)), collapsed("depth", as_one(layers))
        return lambda results: apart(deep(results), flat(results))

    said = "Directions of 16 whose variance is below a tenth of the largest, after the steps of the authors' code"

    def aligned(results: Results) -> Decision:
        sides = [_of(results, USUAL, "toys", "depth", "2", "aligned", end) for end in ("end", "start")]
        return greater(*sides, what="the overlap of the eight weakest directions, end less start,")

    return (
        ruled(
            "toy-weak",
            "A linear network keeps all directions where views hardly differ (noise of 0.01 in 8 of 16).",
            f"{JING}, section 4",
            f"{said}.",
            "none has collapsed",
            lambda results: below(weak(results), 0.5, what="the number of collapsed directions"),
            published="0 of 16",
            origin="repository",
        ),
        ruled(
            "toy-strong",
            "It loses the directions in which views differ more than images do (noise of 1.5 in 8 of 16).",
            f"{JING}, section 4",
            f"{said}.",
            "eight have collapsed",
            lambda results: between(hard(results), 7.5, 8.5, what="the number of collapsed directions"),
            published="8 of 16",
            origin="repository",
        ),
        ruled(
            "toy-depth",
            "Two linear layers leave behind directions that start weak, where one layer does not, although views "
            "hardly differ.",
            f"{JING}, section 5",
            f"{said}: two layers less one that starts as their product.",
            "the difference is above 0",
            lambda results: above(behind(2)(results), 0.0, what="the weak directions, two layers less their product,"),
        ),
        ruled(
            "toy-deeper",
            "The deeper the network, the more of them it leaves behind.",
            f"{JING}, section 5",
            f"{said}: layers less one that starts as their product; of three layers less of two.",
            "the difference is above 0",
            lambda results: greater(
                behind(3)(results), behind(2)(results), what="what depth leaves behind, three layers less two,"
            ),
        ),
        ruled(
            "toy-aligned",
            "Neighbouring layers align: the directions left behind become the same in both.",
            f"{JING}, section 5",
            "Share of the subspace of the eight weakest directions that both layers have in common, at the end less at "
            "the start.",
            "the difference is above 0",
            aligned,
        ),
    )


# ---------------------------------------------------------------- trained encoders


def run_claims(depths: Sequence[int], strengths: Sequence[float], shares: Sequence[float], width: int) -> list[Claim]:
    """All claims about projectors, views and DirectCLR.

    Args:
        depths: layers of the projector.
        strengths: of the views.
        shares: of h, for DirectCLR.
        width: of z.
    """

    def used(results: Results) -> Decision:
        rows = _of(results, USUAL, "spectra", "z", "rows")
        if few := [int(count) for count in rows.values() if count <= width]:
            return Decision("undecided", said=f"{few[0]} test images cannot use {width} dimensions, whatever z does")
        return below(_of(results, USUAL, "spectra", "z", "used"), width, what="the number of dimensions")

    made = [
        ruled(
            "z-collapses",
            f"The projection of SimCLR does not use all of its {width} dimensions.",
            f"{JING}, section 3",
            "Dimensions of z on test images whose singular value is above 1e-4 of the largest.",
            f"these are fewer than {width}, of more images than that",
            used,
        ),
        ruled(
            "h-above-z",
            "Of the representation a larger part is used than of the projection.",
            f"{JING}, section 6",
            "Effective rank of the covariance of unit rows on test images, as a share of the width: h less z.",
            "the difference is above 0",
            lambda results: greater(
                *(_of(results, USUAL, "spectra", which, "share") for which in ("h", "z")),
                unit="points",
                what="the effective rank as a share of the width, h less z,",
            ),
        ),
    ]
    if 0 in depths:
        where = f"{JING}, section 6"
        rank = "the effective rank of h, with less without a projector,"
        made += [
            ruled(
                "projector-guards-h",
                "A projector keeps the representation from collapsing.",
                where,
                "Effective rank of h on test images: with a projector of two layers less without one.",
                "the difference is above 0",
                _more(USUAL, depth(0), RANK_H, rank),
            ),
            ruled(
                "projector-helps",
                "A projector makes a better representation.",
                where,
                f"{PROBE}: with a projector of two layers less without one.",
                "the difference is above 0",
                _more(USUAL, depth(0), ACCURACY, "the accuracy, with less without a projector,", points=True),
            ),
        ]
    if {1, 3} <= set(depths):
        made.append(
            ruled(
                "deeper-is-lower",
                "The deeper the projector, the lower the rank of what it ends in.",
                f"{JING}, section 5, of linear layers",
                "Effective rank of z on test images: projector of one layer less one of three.",
                "the difference is above 0",
                _more(depth(1), depth(3), RANK_Z, "the effective rank of z, one layer less three,"),
            )
        )
    if len(strengths) > 1:
        weak, hard = min(strengths), max(strengths)
        made.append(
            ruled(
                "strong-views-lower",
                "The more views differ, the fewer directions are left.",
                f"{JING}, section 4, of a linear network",
                f"Effective rank of z on test images: views of {weak:g} times the usual strength less {hard:g} times.",
                "the difference is above 0",
                _more(strong(weak), strong(hard), RANK_Z, "the effective rank of z, weak less strong views,"),
            )
        )
    if 0 in depths and shares:
        first = share(shares[0])
        made += [
            ruled(
                "direct-beats-none",
                "Without a projector it is better to compare a part of h than all of it.",
                f"{JING}, section 6 (DirectCLR)",
                f"{PROBE}: DirectCLR on {shares[0]:.1%} of the dimensions less SimCLR without a projector.",
                "the difference is above 0",
                _more(first, depth(0), ACCURACY, "the accuracy, DirectCLR less no projector,", points=True),
            ),
            ruled(
                "direct-fills-h",
                "What DirectCLR does not compare stays in use: h has a higher rank than where all of it is compared.",
                f"{JING}, section 6 (DirectCLR)",
                f"Effective rank of h on test images: DirectCLR on {shares[0]:.1%} less SimCLR without a projector.",
                "the difference is above 0",
                _more(first, depth(0), RANK_H, "the effective rank of h, DirectCLR less no projector,"),
            ),
        ]
        if 1 in depths:
            made.append(
                ruled(
                    "direct-beats-linear",
                    "DirectCLR is better than SimCLR with a linear projector.",
                    f"{JING}, section 6, table",
                    f"{PROBE}: DirectCLR on {shares[0]:.1%} less SimCLR with a projector of one layer.",
                    "the difference is above 0",
                    _more(first, depth(1), ACCURACY, "the accuracy, DirectCLR less a linear projector,", points=True),
                )
            )
    return made


def _gap(results: Results, first: Cued, second: Cued) -> Seeds:
    """Accuracy on the class, first less second."""
    return apart(_of(results, first.name, *ACCURACY), _of(results, second.name, *ACCURACY))


def cue_claims(cued: Sequence[Cued]) -> list[Claim]:
    """All claims about a planted cue: an easy feature that hides a hard one."""
    made: list[Claim] = []
    strength = max((one.strength for one in cued), default=0.0)
    own, turned, plain, bare = (Cued(s, hidden) for s in (strength, 0.0) for hidden in (False, True))
    simclr, labels = ((Cued(strength, alike=True, recipe=of), Cued(strength, recipe=of)) for of in _LEARNERS)
    if {*simclr, *labels} <= set(cued):
        made.append(
            ruled(
                "easy-hides-hard",
                "Who can agree on an easy feature learns less of a hard one: a colour that each image has of its own "
                "costs SimCLR more accuracy on the class than it costs who learns from labels.",
                ASKED,
                f"{PROBE}, which are coloured as those of training: all of one colour, with as little contrast, less "
                "each of its own; SimCLR less supervised.",
                "the difference of the differences is above 0",
                lambda results: greater(
                    _gap(results, *simclr),
                    _gap(results, *labels),
                    unit="points",
                    what="what own colours cost, SimCLR less supervised,",
                ),
            )
        )
    if strength > 0 and {own, turned, plain, bare} <= set(cued):
        made += [
            ruled(
                "hidden-cue-frees",
                "Views that do not agree on the easy feature give the hard one back, beyond what they do as "
                "augmentation.",
                ASKED,
                f"{PROBE}: views that turn the hue less views that leave it, on the same images; with the cue less "
                "without any.",
                "the difference of the differences is above 0",
                lambda results: greater(
                    _gap(results, turned, own),
                    _gap(results, bare, plain),
                    unit="points",
                    what="the gain by a turned hue, with the cue less without,",
                ),
            ),
            ruled(
                "shared-cue-kept",
                "The easy feature is kept where views agree on it, and lost where they do not.",
                ASKED,
                "Linear probe accuracy of h for the eighth of the circle that the cue's hue lies in: left less turned.",
                "the difference is above 0",
                _more(own.name, turned.name, ("cue-kept", "cue"), "the accuracy, hue left less turned,", points=True),
            ),
        ]
    return made


# ---------------------------------------------------------------- the doctor


def leads(results: Results, ablations: Sequence[str]) -> dict[int, list[float]]:
    """Of each seed at which all ablations were followed, the leads of those that fell.

    Args:
        results: of the study.
        ablations: by name.
    """
    found: dict[int, list[float]] = {}
    for result in results.at(**place(USUAL)):
        if all(lead_of(name) in result.found for name in ablations):
            held = [result.number(lead_of(name), "lead") for name in ablations]
            found[result.cell.seed] = [lead for lead in held if lead is not None]
    return found


def lead_claims(ablations: Sequence[str]) -> list[Claim]:
    """All claims about the doctor, of methods without a part."""

    def early(results: Results) -> Decision:
        fell = leads(results, ablations)
        found = above(
            {seed: min(those) for seed, those in fell.items() if those}, 0.0, what="the shortest lead, in steps,"
        )
        counts = ", ".join(f"{len(those)} of {len(ablations)} (seed {seed})" for seed, those in fell.items())
        return replace(found, said=f"{found.said}; fallen: {counts}") if counts else found

    def calm(results: Results) -> Decision:
        found = [_of(results, USUAL, lead_of(name), "false alarms") for name in ablations]
        return below(each(max, found), 0.5, what="the most findings in a whole method")

    return [
        ruled(
            "doctor-leads",
            "The doctor names a collapse, and rightly, before the accuracy falls.",
            ASKED,
            "Steps from the doctor's first finding of the kind that the ablation makes to the last reading at which "
            "kNN accuracy on held-out images was not below the whole method's for good, read twice an epoch; of each "
            f"seed the shortest of those that fell among {', '.join(ablations)}.",
            "it is above 0",
            early,
        ),
        ruled(
            "doctor-is-calm",
            "The doctor says nothing where nothing was left out.",
            ASKED,
            "Findings in the whole methods, the most of any.",
            "there are none",
            calm,
        ),
    ]
