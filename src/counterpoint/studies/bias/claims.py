"""What the study decides, by rules written before any of its runs."""

from collections.abc import Mapping, Sequence

from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.bias.grid import BALANCED, CUES, HALF, MIXED, TAIL
from counterpoint.studies.bias.reading import CEILING, fall, kept, lost, over, trivial
from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, apart, below, each, greater
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["cue_claims", "uneven_claims"]

ASKED = "asked here; the survey leaves it open (direction 3.4)"
ALIKE = 0.02  # of an accuracy, within which a cue is kept as well
_EASY = Decision(
    "undecided",
    said=f"at the ceiling: the cue is read in more than {per_cent(CEILING)} already, so that nothing can raise it",
)
_SETS = {
    "tail": ((BALANCED, TAIL), "all", "a long tail", "all classes"),
    "missing": ((MIXED, HALF), "last", "missing classes", "the classes that were missing"),
}


def _bare(results: Results, cue: str, agreement: float) -> Mapping[int, float]:
    """What the untrained encoder reads of a cue, which no tie can change."""
    return kept(results, "simclr", cue, agreement, "untrained", "cue")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def cue_claims(methods: Sequence[str], unlabelled: Sequence[str], agreements: Sequence[float]) -> tuple[Claim, ...]:
    """All claims about planted cues.

    Args:
        methods: all that take part.
        unlabelled: those that need no labels.
        agreements: shares, from which the claims take the ends.
    """
    made: list[Claim] = []
    for cue in CUES:
        made += _of_cue(cue, methods, unlabelled, (min(agreements), max(agreements)))
    if "simclr" in methods:
        made.append(_corner((min(agreements), max(agreements))))
    return tuple(made)


def _of_cue(cue: str, methods: Sequence[str], unlabelled: Sequence[str], ends: tuple[float, float]) -> list[Claim]:
    said, conflict = f"{ends[0]:.0%} and {ends[1]:.0%}", "test images whose cue contradicts their class"
    probe = f"Linear probe fitted on training images as they are, accuracy on {conflict}"

    def hurts(results: Results) -> Decision:
        found = over(min, methods, lambda m: fall(results, m, cue, ends, "tied", "conflict"))
        return above(found, 0.0, unit="points", what="the smallest fall of the accuracy")

    def repaired(results: Results) -> Decision:
        def gain(method: str) -> Mapping[int, float]:
            return apart(*(kept(results, method, cue, ends[1], which, "conflict") for which in ("fair", "tied")))

        return above(over(min, methods, gain), 0.0, unit="points", what="the smallest gain of the accuracy")

    made = [
        ruled(
            f"misled-{cue}",
            f"The more often a cue agrees with the class, the more it misleads, whatever the objective ({cue}).",
            ASKED,
            f"{probe}: its fall between {said} of agreement, the smallest of all methods.",
            "it is above 0",
            hurts,
        ),
        ruled(
            f"repaired-{cue}",
            f"The class is still there: a probe fitted where the cue says nothing is misled less ({cue}).",
            ASKED,
            f"Accuracy on {conflict} at {ends[1]:.0%} of agreement in pre-training: probe fitted on images whose cue "
            "was drawn anew, less probe fitted on images as they are; the smallest gain of all methods.",
            "it is above 0",
            repaired,
        ),
    ]
    if unlabelled:
        made.append(_untied(cue, unlabelled, ends))
    if "supervised" in methods:
        made.append(_supervised(cue, ends))
        if unlabelled:
            made.append(_most(cue, unlabelled, ends))
    return made


def _untied(cue: str, unlabelled: Sequence[str], ends: tuple[float, float]) -> Claim:
    def decide(results: Results) -> Decision:
        every = [kept(results, method, cue, end, "cue") for method in unlabelled for end in ends]
        if trivial([_bare(results, cue, ends[0])]) or trivial(every):
            return _EASY
        found = over(lambda v: max(map(abs, v)), unlabelled, lambda m: fall(results, m, cue, ends, "cue"))
        return below(found, ALIKE, unit="points", what="the largest change of the accuracy on the cue, in size,")

    return ruled(
        f"unseen-tie-{cue}",
        f"Who learns without labels keeps as much of a cue whether it is tied to the class loosely or tightly ({cue}).",
        ASKED,
        f"Linear probe accuracy on the cue: its change between {ends[0]:.0%} and {ends[1]:.0%} of agreement in size, "
        "the largest of all methods without labels.",
        f"it is below {in_points(ALIKE)}, and neither the untrained encoder nor all of them read the cue in more than "
        f"{per_cent(CEILING)}",
        decide,
    )


def _supervised(cue: str, ends: tuple[float, float]) -> Claim:
    def decide(results: Results) -> Decision:
        weak, strong = (kept(results, "supervised", cue, end, "cue") for end in ends)
        if trivial([weak]):
            return _EASY
        return greater(strong, weak, unit="points", what="the accuracy on the cue, strong less weak tie,")

    return ruled(
        f"labels-keep-{cue}",
        f"Who learns from labels keeps a cue the more, the more it says of the class ({cue}).",
        ASKED,
        f"Linear probe accuracy on the cue of the supervised encoder: at {ends[1]:.0%} of agreement less at "
        f"{ends[0]:.0%}.",
        f"the difference is above 0, and the latter at most {per_cent(CEILING)}",
        decide,
    )


def _most(cue: str, unlabelled: Sequence[str], ends: tuple[float, float]) -> Claim:
    def decide(results: Results) -> Decision:
        def of(method: str) -> Mapping[int, float]:
            return fall(results, method, cue, ends, "fair", "conflict")

        found = over(lambda v: v[0] - max(v[1:]), ("supervised", *unlabelled), of)
        return above(found, 0.0, unit="points", what="the supervised fall less the largest other one")

    return ruled(
        f"labels-lose-{cue}",
        f"A tied cue costs the supervised encoder more of the class than any encoder without labels ({cue}).",
        ASKED,
        "Accuracy on test images whose cue contradicts their class, of a probe fitted where the cue says nothing: its "
        f"fall between {ends[0]:.0%} and {ends[1]:.0%} of agreement in pre-training, supervised less the largest fall "
        "without labels.",
        "the difference is above 0",
        decide,
    )


def _corner(ends: tuple[float, float]) -> Claim:
    def decide(results: Results) -> Decision:
        bare = {cue: _bare(results, cue, ends[0]) for cue in ("cast", "patch")}
        if any(trivial([one]) for one in bare.values()):
            return _EASY
        sides = [
            apart(each(_mean, [kept(results, "simclr", cue, end, "cue") for end in ends]), before)
            for cue, before in bare.items()
        ]
        return greater(sides[0], sides[1], unit="points", what="what training gains on the cue, cast less patch,")

    return ruled(
        "cast-over-patch",
        "Of a cast of colour, which lies in every crop, SimCLR keeps more of what it began with than of a patch in the "
        "corner, which most crops lack.",
        ASKED,
        f"Linear probe accuracy on the cue, mean of {ends[0]:.0%} and {ends[1]:.0%} of agreement, less that of the "
        "untrained encoder, to which the two are not equally easy: cast less patch.",
        f"the difference is above 0, and the untrained encoder reads neither in more than {per_cent(CEILING)}",
        decide,
    )


def uneven_claims(unlabelled: Sequence[str]) -> tuple[Claim, ...]:
    """All claims about long tails and missing classes: what they cost supervised against those without labels."""
    return tuple(_costs(key, unlabelled) for key in _SETS) if unlabelled else ()


def _costs(key: str, unlabelled: Sequence[str]) -> Claim:
    sets, which, said, where = _SETS[key]

    def decide(results: Results) -> Decision:
        found = over(
            lambda v: v[0] - _mean(v[1:]), ("supervised", *unlabelled), lambda m: lost(results, m, sets, which)
        )
        return above(found, 0.0, unit="points", what="what it costs supervised, less the mean cost without labels,")

    return ruled(
        f"{key}-costs-labels",
        f"Encoders that learn without labels lose less by {said} than supervised ones.",
        ASKED,
        f"Mean accuracy on {where}, of a linear probe that has seen all classes alike: as many images of all classes "
        f"alike less {sets[1]}; supervised less the mean of those without labels.",
        "the difference is above 0",
        decide,
    )
