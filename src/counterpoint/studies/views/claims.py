"""What the study decides, by rules written before any of its runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, apart, below, each, greater
from counterpoint.studies.study import Claim, Decision, Results
from counterpoint.studies.views.bits import Bits, shared_nats
from counterpoint.studies.views.grid import NOTHING, WHOLE, Chances, Grid, left_out, strong
from counterpoint.studies.views.reading import accuracy, at_ceiling, moved, nats, of_bits, over_others, thirds

__all__ = ["bit_claims", "flip_claim", "view_claims"]

CHEN = "Chen et al. 2020 (SimCLR), section 3.1"
TIAN = "Tian et al. 2020, what makes for good views"
GOODFELLOW = "asked here, by the measure of Goodfellow et al. 2009"
PROBE = "Linear probe accuracy of h on test images"
SEEN = "by each seed's test images, which favours those"
LOOSE = 0.05  # nats, by which an estimate may exceed what is known
_TRAINED = {"turn": "rotation", "colour": "illumination", "cutout": "occlusion"}


def _better(first: str, others: Sequence[str], grid: Grid, what: str) -> Callable[[Results], Decision]:
    def decide(results: Results) -> Decision:
        found = over_others(accuracy(results, grid, first), [accuracy(results, grid, name) for name in others])
        return above(found, 0.0, unit="points", what=what)

    return decide


def view_claims(grid: Grid) -> tuple[Claim, ...]:
    """All claims about a data set's views, its flip among them."""
    made = [_alone(grid), flip_claim(grid), *_strength(grid), _curve(grid), *_ignored(grid)]
    if {"crop", "colour"} <= set(grid.single) and grid.channels > 1:
        made.insert(0, _pair(grid))
    if len(grid.own) > 1:
        made.insert(2, _each(grid))
    return tuple(made)


def _pair(grid: Grid) -> Claim:
    own = next(pair for pair in grid.pairs if set(pair.split("+")) == {"crop", "colour"})
    others = [pair for pair in grid.pairs if "crop" in pair.split("+") and pair != own]
    return ruled(
        "crop-and-colour",
        "Of all pairs of operations with a crop, crop and colour make the best encoder.",
        f"{CHEN}, figure 5",
        f"{PROBE}: crop and colour less the other pair with a crop that has most, {SEEN}.",
        "the difference is above 0",
        _better(own, others, grid, "the accuracy less the most that another pair has"),
    )


def _alone(grid: Grid) -> Claim:
    return ruled(
        "none-alone",
        "No single operation is enough: the usual views make a better encoder than any one of them.",
        f"{CHEN}, figure 5",
        f"{PROBE}: the usual views less the single operation that has most, {SEEN}.",
        "the difference is above 0",
        _better(WHOLE, grid.single, grid, "the accuracy less the most that a single operation has"),
    )


def _each(grid: Grid) -> Claim:
    return ruled(
        "each-helps",
        f"Each operation of the usual views helps ({', '.join(grid.own)}).",
        f"{CHEN}, by composition",
        f"{PROBE}: the usual views less those without one operation that have most, {SEEN}.",
        "the difference is above 0",
        _better(WHOLE, list(map(left_out, grid.own)), grid, "the accuracy less the most that is had without one"),
    )


def flip_claim(grid: Grid) -> Claim:
    """A flip harms glyphs, and helps what has no direction."""
    usual, changed = grid.flips
    flipped, plain = (usual, changed) if changed == left_out("flip") else (changed, usual)
    harms = grid.kind == "glyphs"
    first, second = (plain, flipped) if harms else (flipped, plain)
    said = "without less with it" if harms else "with less without it"
    return ruled(
        f"flip-{grid.data}".replace(" ", "-").replace(",", ""),
        f"A flip beside the usual operations {'harms' if harms else 'helps'} ({grid.data}).",
        "asked here",
        f"{PROBE}: {said}.",
        "the difference is above 0",
        lambda results: greater(
            accuracy(results, grid, first),
            accuracy(results, grid, second),
            unit="points",
            what=f"the accuracy, {said},",
        ),
    )


def _strength(grid: Grid) -> list[Claim]:
    if not grid.strengths:
        return []
    weak, hard = strong(min(grid.strengths)), strong(max(grid.strengths))
    said = f"{min(grid.strengths):g} and {max(grid.strengths):g} times"

    def falls(results: Results) -> Decision:
        found = [nats(results, grid, name) for name in (weak, WHOLE, hard)]
        return above(each(lambda v: min(v[0] - v[1], v[1] - v[2]), found), 0.0, what="the smaller fall, in nats,")

    return [
        ruled(
            "strength-has-an-optimum",
            f"Views can be too weak and too strong: the usual strength is better than {said} of it.",
            TIAN,
            f"{PROBE}: at the usual strength less the better of both ends.",
            "the difference is above 0",
            _better(WHOLE, [weak, hard], grid, "the accuracy less that of the better end"),
        ),
        ruled(
            "stronger-shares-less",
            f"The stronger the views, the less they share ({said} the usual strength).",
            TIAN,
            "Nats of mutual information by InfoNCE on z of test images, each run under its own views: the smaller of "
            "the falls from weak to usual and from usual to strong.",
            "it is above 0",
            falls,
        ),
    ]


def _curve(grid: Grid) -> Claim:
    def decide(results: Results) -> Decision:
        found = above(
            thirds(results, grid, grid.repeated),
            0.0,
            unit="points",
            what="the accuracy of the middle third less that of the better outer one",
        )
        full: dict[int, int] = {}
        for name in dict.fromkeys(grid.repeated):
            for seed, top in at_ceiling(results, grid, name).items():
                full[seed] = full.get(seed, 0) + top
        counts = ", ".join(f"{count} (seed {seed})" for seed, count in sorted(full.items()))
        views = len(set(grid.repeated))
        return replace(found, said=f"{found.said}; of {views} views at the ceiling: {counts}") if counts else found

    return ruled(
        "good-views",
        "The best views share neither most nor least.",
        TIAN,
        f"{PROBE}, mean of the middle third of the views that every seed has, by the nats that InfoNCE tells of each "
        "run's own projection, less the mean of the better outer third. A seed at which more than a third of the views "
        "are at the most that InfoNCE can tell is left out.",
        "the difference is above 0",
        decide,
    )


def _ignored(grid: Grid) -> list[Claim]:
    def decide(op: str, kind: str) -> Callable[[Results], Decision]:
        return lambda results: greater(
            moved(results, grid, NOTHING, kind), moved(results, grid, op, kind), what="how much less far h moves"
        )

    return [
        ruled(
            f"{op}-ignores-{kind}",
            f"Who is trained with {op} alone moves less under {kind} than who is trained without any operation.",
            GOODFELLOW,
            f"Squared distance of h from a test image to itself after {kind}, as a share of that to another image: "
            f"trained without operations less with {op}.",
            "the difference is above 0",
            decide(op, kind),
        )
        for op, kind in _TRAINED.items()
        if op in grid.single
    ]


# ---------------------------------------------------------------- bits


def bit_claims(source: Bits, chances: Sequence[Chances]) -> tuple[Claim, ...]:
    """All claims about made-up bits.

    Args:
        source: of the bits.
        chances: at which they are drawn anew.
    """
    every, only, nothing = Chances(0, 0), Chances(0, 1), Chances(1, 1)

    def known(chance: Chances) -> float:
        return shared_nats(source.relevant, chance.relevant) + shared_nats(source.irrelevant, chance.irrelevant)

    def bound(results: Results) -> Decision:
        over = [{s: v - known(c) for s, v in of_bits(results, c, "shared", "nats").items()} for c in chances]
        return below(each(max, over), LOOSE, what="the largest excess, in nats,")

    def lost(results: Results) -> Decision:
        sides = [of_bits(results, chance, "survival", "irrelevant") for chance in (every, only)]
        return above(apart(sides[0], sides[1]), 0.0, unit="points", what="the accuracy on other bits, shared less not,")

    def best(results: Results) -> Decision:
        found = [of_bits(results, chance, "survival", "class") for chance in (only, every, nothing)]
        return above(
            over_others(found[0], found[1:]), 0.0, unit="points", what="the accuracy less that of the better end"
        )

    made: list[Claim] = []
    if set(chances) >= {every, only, nothing}:
        made = [
            ruled(
                "bits-lost",
                "What views do not share is lost: bits that are drawn anew in each view can be read less well.",
                TIAN,
                "Share of test images on which a linear probe of h reads such a bit, mean over the bits that are not "
                "the class's: all shared less none of them shared.",
                "the difference is above 0",
                lost,
            ),
            ruled(
                "bits-best",
                "Best for a class are views that share its bits and no others, rather than all bits or none.",
                TIAN,
                "Linear probe accuracy of h for the class on noisy test images: its bits alone shared, less the better "
                "of all shared and none shared.",
                "the difference is above 0",
                best,
            ),
        ]
    return (
        ruled(
            "bits-bound",
            "What InfoNCE says two views share is never more than what they do share.",
            "van den Oord et al. 2018, section 2.3",
            "Nats by InfoNCE on z of test images less the nats that the known chances leave, the largest of all "
            "settings.",
            f"it is below {LOOSE:g} nats",
            bound,
        ),
        *made,
    )
