"""What does a gate see in two images of its class, and where? CLAM on runs of SimLAP.

Its runs are those of SimLAP in `simlap-transfer`: three seeds, with `conv` on 16,350 images of 32 pixels 600 s of one
core, all shared. Reading one takes about 30 s: 200 images, 32 crops of each one's partner, two networks.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from counterpoint.errors import RecipeError
from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Section
from counterpoint.report.numbers import per_cent
from counterpoint.sources import Digits
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import ASKED, PAPER, claim
from counterpoint.studies.simlap.classes import GATED
from counterpoint.studies.simlap.looking import COUNTS, GATES, Looking
from counterpoint.studies.simlap.page import Seeds, bars_of, table_of, title_of
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.statistics import above, estimate, greater
from counterpoint.studies.study import SEEDS, Claim, Results, Scale, Study
from counterpoint.types import Source

__all__ = ["simlap_clam"]

CROPS = 16  # of a partner, as saliency takes where nothing else is asked for
STEADY = 0.9  # rank correlation above which two maps are the same
HALF = 0.5
NETWORKS = {"learned": "trained", "untrained": "random weights"}
RATES = {
    "own above whole": "own class above none",
    "whole above other": "none above another class",
    "own above other": "own class above another",
    "in order": "own > none > another",
}


def simlap_clam(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    classes: str | Iterable[str] = (),
    pairs: int = 200,
    method: str = "simlap",
) -> Study:
    """Similarity of pairs under their own gate, none and another's; steadiness of its maps, and the pointing game.

    Args:
        source: labelled images; larger digits at smoke scale where None.
        scale: `full`, `small` or `smoke`.
        seeds: of the runs; three at full scale, else one, where None.
        encoder: with a map; `conv` where None.
        images: trained on; None: all.
        epochs: of a method of two views; None: the usual.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        pairs: of test images.
        method: `simlap` or `simlap_moco`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    if method not in GATED:
        raise RecipeError(f"simlap-clam: {method!r} has no gates; give one of {', '.join(GATED)}")
    small = scale == "smoke"
    given = Digits(16) if source is None and small and not classes else source
    plan = sized(given, scale=scale, encoder=encoder or "conv", images=images, epochs=epochs, classes=classes)
    return Study(
        name="simlap-clam",
        title=f"What the gates of {plan.dataset.name} see in two images",
        about=(
            "SimLAP compares two images under the gate of their classes. The gate of a class should bring out what its "
            "images have in common: under it two of them should be more alike than without a gate, and less alike "
            "under the gate of another class. The paper shows it in pictures of single pairs; here are up to "
            f"{pairs} pairs of test images of one class, no image in two of them, with another class drawn for each.",
            "CLAM asks where the similarity of two images comes from: Grad-CAM of the mean cosine of z of an image and "
            "of crops of its partner. It is random by its crops; how steady is it? And does it point at what makes two "
            "images alike? An image of half the side is planted in a scene of shuffled pixels of others, and its "
            "partner, whole, is of the same class: the largest place of the map should lie on what was planted. A "
            "quarter of the scene is covered, which is what a random place scores.",
            "The control is the same network with the weights and the gates that it began with.",
            f"All train the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of {plan.dataset.name}; all "
            "is read of test images.",
            dials_said(plan, (method,)),
            BLIND,
        ),
        source=PAPER,
        cells=runs(plan, (method,), SEEDS[scale] if seeds is None else tuple(seeds)),
        evaluators=(Looking(pairs),),
        claims=clam_claims(),
        sections=partial(clam_sections, method=method),
    )


def _of(results: Results, *path: str) -> Seeds:
    return results.values(Looking.name, *path)


# ---------------------------------------------------------------- claims


def clam_claims() -> tuple[Claim, ...]:
    """All of them."""
    where = f"{PAPER}, saliency of similarity (CLAM)"

    def more(key: str, statement: str, first: str, second: str) -> Claim:
        return claim(
            key,
            statement,
            f"Mean cosine of z over pairs of test images of one class: {GATES[first]} less {GATES[second]}.",
            "the difference is above 0",
            lambda results: greater(
                _of(results, "order", "learned", first),
                _of(results, "order", "learned", second),
                what=f"the cosine under {GATES[first]} less under {GATES[second]}",
            ),
            where=where,
        )

    def points(key: str, statement: str, measured: str, first: Sequence[str], second: Sequence[str]) -> Claim:
        return claim(
            key,
            statement,
            f"Share of the maps whose largest place lies on the planted object: {measured}.",
            "the difference is above 0",
            lambda results: greater(
                _of(results, "pointing", *first), _of(results, "pointing", *second), unit="points", what=measured
            ),
            where=ASKED,
        )

    return (
        more(
            "own-above-none",
            "Under the gate of their class two images are more alike than without a gate.",
            "own",
            "whole",
        ),
        more(
            "none-above-other",
            "Under the gate of another class two images are less alike than without a gate.",
            "whole",
            "other",
        ),
        claim(
            "mostly-in-order",
            "For most pairs the order is own gate, no gate, another class's gate.",
            "Share of the pairs whose cosine stands in this order; one in six by chance.",
            f"it is above {HALF:.0%}",
            lambda results: above(
                _of(results, "order", "learned", "in order"), HALF, unit="share", what="the share of pairs in order"
            ),
        ),
        claim(
            "order-is-learned",
            "The order is learned: random gates on random weights have it more rarely.",
            "Share of the pairs in order, trained less random weights.",
            "the difference is above 0",
            lambda results: greater(
                _of(results, "order", "learned", "in order"),
                _of(results, "order", "untrained", "in order"),
                unit="points",
                what="the share of pairs in order, trained less random weights,",
            ),
        ),
        claim(
            "maps-are-steady",
            f"With {CROPS} crops of the partner a map hardly depends on which were drawn.",
            f"Rank correlation over places of two maps of an image, with {CROPS} crops each and none in common, mean "
            "over pairs.",
            f"it is above {STEADY}",
            lambda results: above(
                _of(results, "steady", "learned", str(CROPS)), STEADY, what="the rank correlation of two maps"
            ),
        ),
        points(
            "points-at-the-object",
            "Under the gate of its class a map points at what makes two images alike, and random weights do not.",
            "trained less random weights, under the gate of the class",
            ("own", "score"),
            ("own", "control"),
        ),
        points(
            "points-beyond-chance",
            "Under the gate of its class a map points at what makes two images alike more often than chance.",
            "under the gate of the class, less a random place",
            ("own", "score"),
            ("own", "chance"),
        ),
        points(
            "own-gate-points",
            "The gate of the class points better at it than that of another class.",
            "under the gate of the class less under that of another",
            ("own", "score"),
            ("other", "score"),
        ),
    )


# ---------------------------------------------------------------- page


def clam_sections(results: Results, method: str) -> list[Section]:
    """All that can be made of what is there.

    Args:
        results: of the study.
        method: its recipe.
    """
    return [_order(results, method), _pointing(results), _steady(results)]


def _order(results: Results, method: str) -> Section:
    found = estimate(_of(results, "order", "learned", "in order"))
    title = f"Of the pairs, {per_cent(found.mean)} are in order" if found else "Nothing is measured yet"
    figures: list[Exhibit] = [
        *bars_of(
            "How alike two images of one class are",
            "Mean cosine of z over pairs of test images.",
            tuple(GATES.values()),
            {said: [_of(results, "order", name, gate) for gate in GATES] for name, said in NETWORKS.items()},
            Axis("cosine of z"),
        ),
        *bars_of(
            "In how many pairs",
            "Share of the pairs in which the cosine under one gate is above that under another; own > none > another "
            "is one sixth by chance, the others one half.",
            tuple(RATES.values()),
            {said: [_of(results, "order", name, rate) for rate in RATES] for name, said in NETWORKS.items()},
            Axis("share of pairs", percent=True, low=0.0, high=1.0),
        ),
    ]
    cosines = table_of(
        "cosines",
        f"Cosine of z, {title_of(method)}",
        ("network",),
        tuple(f"under {said}" for said in GATES.values()),
        [((said,), [_of(results, "order", name, gate) for gate in GATES]) for name, said in NETWORKS.items()],
        "Mean over pairs of test images of one class.",
    )
    rates = table_of(
        "rates",
        "Shares of the pairs",
        ("network",),
        tuple(RATES.values()),
        [((said,), [_of(results, "order", name, rate) for rate in RATES]) for name, said in NETWORKS.items()],
        "Of the cosine under the gate of their class, under none, and under that of another class.",
        percent=True,
    )
    return Section("order", title, (), (*figures, cosines, rates))


def _pointing(results: Results) -> Section:
    found = [estimate(_of(results, "pointing", "own", which)) for which in ("score", "control")]
    title = "Does a map point at the object?"
    if found[0] and found[1]:
        title = (
            f"{per_cent(found[0].mean)} of the maps point at the object, with random weights {per_cent(found[1].mean)}"
        )
    shown = {"score": NETWORKS["learned"], "control": NETWORKS["untrained"], "chance": "a random place"}
    bars = bars_of(
        "The largest place of a map is on the planted object",
        "Share of the images.",
        tuple(GATES.values()),
        {said: [_of(results, "pointing", gate, which) for gate in GATES] for which, said in shown.items()},
        Axis("share of images", percent=True, low=0.0, high=1.0),
    )
    table = table_of(
        "pointing",
        "The pointing game",
        ("map under",),
        (*shown.values(), "gain"),
        [
            ((said,), [_of(results, "pointing", gate, which) for which in (*shown, "gain")])
            for gate, said in GATES.items()
        ],
        "Share of the maps whose largest place lies on the planted object; the gain is of the trained network over "
        "random weights.",
        percent=True,
    )
    return Section("pointing", title, (), (*bars, table))


def _steady(results: Results) -> Section:
    found = estimate(_of(results, "steady", "learned", str(CROPS)))
    title = "How steady is a map?"
    if found:
        title = f"Two maps of {CROPS} crops each have a rank correlation of {found.mean:.2f}".replace("-", "−")
    names = tuple(str(count) for count in COUNTS)
    note = "Rank correlation over places of two maps of an image, made with different crops of its partner, own gate."
    groups = {said: [_of(results, "steady", name, count) for count in names] for name, said in NETWORKS.items()}
    bars = bars_of("Steadiness by the number of crops", note, names, groups, Axis("rank correlation"))
    rows = [((said,), groups[said]) for said in NETWORKS.values()]
    table = table_of("steady", "Steadiness", ("network",), tuple(f"{n} crops" for n in names), rows, note)
    return Section("steady", title, (), (*bars, table))
