"""What the study decides, by rules written before any of its runs."""

from collections.abc import Callable, Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.negatives.grid import NONE, Mixing, Place
from counterpoint.studies.negatives.reading import ACCURACY, Seeds, at, carried, of, over, regret, trial
from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, below, each, greater
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["grid_claims", "mixing_claims"]

ASKED = "asked here; the survey leaves it open (direction 3.3)"
AS_WELL = 0.02  # of an accuracy, within which one source serves as well as another
NEAR = 0.01  # of an accuracy, within which carried dials are as good as own ones
BY_CHANCE = 0.005  # of a share, within which it is that of chance
PROBE = "Linear probe accuracy of h on test images, its mean over temperatures"
STEPS = "in the steps that would follow the last one"
ARORA = "Arora et al. 2019, on the number of negatives"


def grid_claims(every: Sequence[Place]) -> tuple[Claim, ...]:
    """All claims about the places of the grid."""
    sources = list(dict.fromkeys(place.source for place in every))
    made: list[Claim] = []
    for source in sources:
        made += _number(source, at(every, source))
    made += _sources(every, sources)
    return (*made, *_hardness(every, sources))


def _number(source: str, own: Sequence[Place]) -> list[Claim]:
    fewest, most = own[0], own[-1]
    numbers = sorted({place.number for place in own})

    def gain(fewer: Place, more: Place) -> Callable[[Results], Decision]:
        return lambda results: greater(
            over(results, more.row, *ACCURACY),
            over(results, fewer.row, *ACCURACY),
            unit="points",
            what=f"the accuracy, {more.number:,} negatives less {fewer.number:,},",
        )

    made = [
        ruled(
            f"more-{source}",
            f"More negatives make a better encoder ({source}: {most.number:,} against {fewest.number:,}).",
            ASKED,
            f"{PROBE}: the most less the fewest.",
            "the difference is above 0",
            gain(fewest, most),
        )
    ]
    if len(numbers) > 2:
        middle = next(place for place in own if place.number == numbers[-2])
        made.append(
            ruled(
                f"too-many-{source}",
                f"In the end more negatives hurt, since more of them are false ({source}: {most.number:,} against "
                f"{middle.number:,}).",
                ARORA,
                f"{PROBE}: {middle.number:,} less {most.number:,}.",
                "the difference is above 0",
                gain(most, middle),
            )
        )
    return made


def _sources(every: Sequence[Place], sources: Sequence[str]) -> list[Claim]:
    made: list[Claim] = []
    batch, queue, mixed, debiased = (at(every, source) for source in ("batch", "queue", "mixed", "debiased"))
    if batch and queue:
        most = batch[-1]
        alike = min(queue, key=lambda place: abs(place.number - most.number))
        made.append(
            ruled(
                "queue-as-batch",
                f"A queue serves as well as the batch: {alike.number:,} earlier keys against {most.number:,} rows of "
                "the batch.",
                "He et al. 2020: a queue frees the number of negatives from the size of the batch",
                f"{PROBE}: batch less queue.",
                f"the difference is below {in_points(AS_WELL)}",
                _lost(most, alike, "the accuracy, batch less queue,"),
            )
        )
        made.append(
            ruled(
                "queue-beyond-batch",
                f"A queue longer than the batch is worth more than the batch ({queue[-1].number:,} keys against "
                f"{most.number:,} rows).",
                "He et al. 2020: a queue frees the number of negatives from the size of the batch",
                f"{PROBE}: queue less batch.",
                "the difference is above 0",
                _better(queue[-1], most, "the accuracy, queue less batch,"),
            )
        )
    if queue and mixed:
        made.append(
            ruled(
                "mixed-beats-queue",
                f"Mixtures of the hardest keys make a better encoder than the queue alone ({mixed[-1].number:,} keys).",
                "Kalantidis et al. 2020",
                f"{PROBE}: mixed less queue.",
                "the difference is above 0",
                _better(mixed[-1], queue[-1], "the accuracy, mixed less queue,"),
            )
        )
    if mixed:
        made.append(_mixtures(mixed))
    if batch and debiased:
        made += _debiased(batch, debiased)
    return made


def _better(first: Place, second: Place, what: str) -> Callable[[Results], Decision]:
    return lambda results: greater(
        over(results, first.row, *ACCURACY), over(results, second.row, *ACCURACY), unit="points", what=what
    )


def _lost(first: Place, second: Place, what: str) -> Callable[[Results], Decision]:
    def decide(results: Results) -> Decision:
        sides = [over(results, place.row, *ACCURACY) for place in (first, second)]
        return below(each(lambda v: v[0] - v[1], sides), AS_WELL, unit="points", what=what)

    return decide


def _mixtures(mixed: Sequence[Place]) -> Claim:
    row = mixed[-1].row

    def decide(results: Results) -> Decision:
        return greater(
            over(results, row, "hardness", "gradient on mixtures"),
            over(results, row, "hardness", "mixtures"),
            unit="points",
            what="the mixtures' share of the gradient less that of the negatives",
        )

    return ruled(
        "mixtures-are-hard",
        "Mixtures are harder than keys: they have more of the gradient than of the negatives "
        f"({mixed[-1].number:,} keys).",
        "Kalantidis et al. 2020",
        f"Share of the repulsion on mixtures less their share of the negatives, mean over temperatures, {STEPS}.",
        "the difference is above 0",
        decide,
    )


def _debiased(batch: Sequence[Place], debiased: Sequence[Place]) -> list[Claim]:
    first, second = debiased[-1], batch[-1]  # the highest temperature: the paper's 0.5

    def accuracy(results: Results) -> Decision:
        return greater(
            of(results, first, *ACCURACY),
            of(results, second, *ACCURACY),
            unit="points",
            what="the accuracy, debiased less batch,",
        )

    def gradient(results: Results) -> Decision:
        return greater(
            of(results, second, "hardness", "gradient on false"),
            of(results, first, "hardness", "gradient on false"),
            unit="points",
            what="the share of the gradient on false negatives, batch less debiased,",
        )

    place = f"{first.number:,} negatives at temperature {first.temperature:g}"
    return [
        ruled(
            "debiased-beats-batch",
            f"Correcting for false negatives makes a better encoder ({place}).",
            "Chuang et al. 2020",
            "Linear probe accuracy of h on test images: debiased less batch. Published: STL-10, ResNet-50.",
            "the difference is above 0",
            accuracy,
            published="84.26 % against 80.15 %",
            origin="repository",
        ),
        ruled(
            "debiased-spares-false",
            f"The correction takes gradient from false negatives ({place}).",
            ASKED,
            f"Share of the repulsion on negatives of the anchor's class, {STEPS}: batch less debiased.",
            "the difference is above 0",
            gradient,
        ),
    ]


def _hardness(every: Sequence[Place], sources: Sequence[str]) -> list[Claim]:
    """Of each source with its most negatives; the source that speaks most against a claim decides it."""
    most = [[p for p in at(every, source) if p.number == at(every, source)[-1].number] for source in sources]
    cold, hot = most[0][0].temperature, most[0][-1].temperature
    said = "each source with its most negatives"

    def differences(pairs: Sequence[tuple[Seeds, Seeds]]) -> list[Seeds]:
        return [each(lambda v: v[0] - v[1], pair) for pair in pairs]

    def colder(results: Results) -> Decision:
        pairs = [tuple(of(results, own[end], "hardness", "hardest") for end in (0, -1)) for own in most]
        return above(
            each(min, differences([(first, second) for first, second in pairs])),
            0.0,
            unit="points",
            what="the smallest difference",
        )

    def apart(results: Results, first: str, second: str) -> list[Seeds]:
        rows = [own[0].row for own in most]
        return differences([(over(results, r, "hardness", first), over(results, r, "hardness", second)) for r in rows])

    def false(results: Results) -> Decision:
        found = apart(results, "false hardest", "false overall")
        return above(each(min, found), 0.0, unit="points", what="the smallest difference")

    def chance(results: Results) -> Decision:
        found = apart(results, "false overall", "chance")
        return below(
            each(lambda v: max(map(abs, v)), found), BY_CHANCE, unit="points", what="the largest difference in size"
        )

    made: list[Claim] = []
    if cold < hot:
        made.append(
            ruled(
                "cold-is-hard",
                "The colder, the more of the gradient is the hardest negatives', whatever the source "
                f"({cold:g} against {hot:g}).",
                ASKED,
                f"Share of the repulsion in the hardest tenth, {STEPS}: the lowest temperature less the highest, each "
                f"in its own encoder; the smallest difference, {said}.",
                "it is above 0",
                colder,
            )
        )
    return [
        *made,
        ruled(
            "hard-is-false",
            "The hardest negatives are false more often than others, whatever the source.",
            ASKED,
            f"Share of negatives of the anchor's class, mean over temperatures, {STEPS}: hardest tenth less all; the "
            f"smallest difference, {said}.",
            "it is above 0",
            false,
        ),
        ruled(
            "false-by-chance",
            "Among all negatives as many are false as two images are of one class, whatever the source.",
            "Arora et al. 2019: the chance that the classes of positive and negative collide",
            "Share of negatives of the anchor's class less the sum of the squared shares of the classes; the largest "
            f"difference in size, {said}.",
            f"it is below {in_points(BY_CHANCE)}",
            chance,
        ),
    ]


def mixing_claims(data: Sequence[str], mixings: Sequence[Mixing]) -> tuple[Claim, ...]:
    """All claims about MoCHi's dials.

    Args:
        data: names; dials are carried from each to each other.
        mixings: that are tried.
    """
    made: list[Claim] = []
    for tuned in data:
        for used in data:
            if tuned != used:
                made.append(_carried(tuned, used, mixings))
        if NONE in mixings:
            made.append(_worth(tuned, mixings))
    return tuple(made)


def _carried(tuned: str, used: str, mixings: Sequence[Mixing]) -> Claim:
    return ruled(
        f"carried-{tuned}-{used}".replace(" ", "-").replace(",", ""),
        f"What (N, s, s') is best on {tuned} is as good as the best on {used}.",
        ASKED,
        f"kNN accuracy on the test images of {used} that is lost by the dials tuned on {tuned}, against those tuned on "
        f"{used} itself; both by images held out of the training set, seed by seed, among {len(mixings)} settings.",
        f"less than {in_points(NEAR)} are lost",
        lambda results: below(
            regret(results, tuned, used, mixings), NEAR, unit="points", what="the accuracy that is lost"
        ),
    )


def _worth(data: str, mixings: Sequence[Mixing]) -> Claim:
    return ruled(
        f"tuned-mixing-{data}".replace(" ", "-").replace(",", ""),
        f"Mixtures with tuned dials make a better encoder than the queue alone on {data}.",
        "Kalantidis et al. 2020",
        f"kNN accuracy on the test images of {data}: the setting with the best accuracy on images held out of the "
        "training set, seed by seed, less the queue alone, which is among them.",
        "the difference is above 0",
        lambda results: greater(
            carried(results, data, data, mixings),
            trial(results, data, NONE, "test"),
            unit="points",
            what="the accuracy, tuned mixtures less none,",
        ),
    )
