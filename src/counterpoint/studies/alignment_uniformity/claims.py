"""What the study decides, by rules written before any of its runs."""

from collections.abc import Callable, Sequence
from math import log

from counterpoint.studies.alignment_uniformity.grid import (
    ALIGN_UNIFORM,
    NT_XENT,
    Setting,
    largest_and_smallest,
    only,
    three_to_one,
)
from counterpoint.studies.alignment_uniformity.reading import (
    Seeds,
    best,
    correlation,
    objective_of,
    of,
    settled,
)
from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, below, each, greater, related
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["study_claims"]

PAPER = "Wang and Isola 2020"
ASKED = "asked here"
PROBE = ("quality", "test", "probe")
AS_PROBE = "Linear probe accuracy of h on test images"
LEFT = 0.05  # nats, of the contrastive loss with 4,096 negatives, that its limit may leave
TEMPERATURE = 0.5  # of the encoder at which the limit is decided, or the nearest one that there is
RATE = -0.5  # of the logarithm of what is left by that of the number of negatives
REACHED = 1e-4  # of a closed form, by points that nothing else moves
NEAR = 0.02  # of a law that is known, by so many images of it

Decide = Callable[[Results], Decision]


def study_claims(every: Sequence[Setting], many_classes: bool) -> tuple[Claim, ...]:
    """All claims.

    Args:
        every: settings, with the paper's and both weights alone among them.
        many_classes: whether the five best answers are read.
    """
    return (*_plane(every, many_classes), *_weights(every), *_limit(every), *_course(every), *_exact(every))


def _plane(every: Sequence[Setting], many_classes: bool) -> list[Claim]:
    made: list[Claim] = []
    accuracies = {"top1": ("linear probe accuracy", PROBE), "knn": ("kNN accuracy", ("quality", "test", "knn"))}
    if many_classes:
        accuracies["top5"] = ("accuracy of the five best answers", ("quality", "test", "top5"))
    said = {
        "sum": "Alignment and uniformity together tell",
        "alignment": "Alignment alone tells",
        "uniformity": "Uniformity alone tells",
    }
    for key, (label, path) in accuracies.items():
        for measure, words in said.items():
            if key != "top1" and measure != "sum":
                continue
            made.append(
                ruled(
                    f"{measure}-{key}",
                    f"{words} which encoder is better: the lower, the higher the {label}.",
                    f"{PAPER}, section 5" if measure == "sum" else ASKED,
                    f"Spearman's correlation over all {len(every)} settings, means over seeds: the negated "
                    f"{'sum of both' if measure == 'sum' else measure} of z on views of test images, and the {label}.",
                    "the correlation is above 0",
                    lambda results, measure=measure, path=path: related(
                        correlation(results, every, ("plane", "z", measure), path),
                        what=f"the rank correlation of the {measure}, negated, with the accuracy",
                    ),
                    by="by the 95 % interval of a bootstrap over settings",
                )
            )
    return made


def _weights(every: Sequence[Setting]) -> list[Claim]:
    first, both = three_to_one(every), only(every, 1.0, 1.0)
    ends = largest_and_smallest(every)
    return [
        ruled(
            "three-to-one",
            "Alignment and uniformity optimised directly, 3 align(2) + uniform(3), make a better encoder than the "
            "best contrastive loss does.",
            f"{PAPER}, its experiments on ImageNet-100",
            f"{AS_PROBE}: that setting less the best of {len(objective_of(every, NT_XENT))} of NT-Xent, temperature "
            "and batch chosen for each seed by the probe on training images that were held out.",
            "the difference is above 0",
            lambda results: greater(
                of(results, first, *PROBE),
                settled(results, best(results, every), *PROBE),
                unit="points",
                what="the accuracy, 3 align + uniform less the best NT-Xent,",
            ),
            published="74.6 against 72.8 %, ImageNet-100, by MoCo's variants",
            origin="paper",
        ),
        ruled(
            "tuned-against-tuned",
            "So does the best of all weights and powers, chosen likewise.",
            ASKED,
            f"{AS_PROBE}: the best of {len(objective_of(every, ALIGN_UNIFORM))} settings of align + uniform less the "
            "best of NT-Xent, both chosen for each seed on training images that were held out.",
            "the difference is above 0",
            lambda results: greater(
                settled(results, best(results, every, ALIGN_UNIFORM), *PROBE),
                settled(results, best(results, every), *PROBE),
                unit="points",
                what="the accuracy, the best align + uniform less the best NT-Xent,",
            ),
        ),
        *(
            ruled(
                f"needs-{missing}",
                f"Without {missing} nothing good is learned: both terms are needed.",
                f"{PAPER}, section 5",
                f"{AS_PROBE}: both with weight 1 less {alone} alone, at the largest batch.",
                "the difference is above 0",
                lambda results, other=other, alone=alone: greater(
                    of(results, both, *PROBE),
                    of(results, other, *PROBE),
                    unit="points",
                    what=f"the accuracy, both less {alone} alone,",
                ),
            )
            for missing, alone, other in (
                ("uniformity", "alignment", only(every, 1.0, 0.0)),
                ("alignment", "uniformity", only(every, 0.0, 1.0)),
            )
        ),
        *(
            ruled(
                f"large-batch-{key}",
                f"A large batch makes a better encoder ({objective}): {ends[objective][1].batch} against "
                f"{ends[objective][0].batch} images.",
                ASKED,
                f"{AS_PROBE}: {ends[objective][1].name} with the largest batch less the smallest, epochs alike.",
                "the difference is above 0",
                lambda results, pair=ends[objective]: greater(
                    of(results, pair[1], *PROBE),
                    of(results, pair[0], *PROBE),
                    unit="points",
                    what="the accuracy, the largest batch less the smallest,",
                ),
            )
            for key, objective in (("nt-xent", NT_XENT), ("align-uniform", ALIGN_UNIFORM))
        ),
    ]


def _mean(results: Results, some: Sequence[Setting], *path: str) -> Seeds:
    """Over settings, for each seed that has all of them."""
    return each(lambda values: sum(values) / len(values), [of(results, setting, *path) for setting in some])


def _limit(every: Sequence[Setting]) -> list[Claim]:
    contrast = objective_of(every, NT_XENT)
    pair = {s.temperature: s for s in contrast if s.batch == max(o.batch for o in contrast)}
    cold, hot = pair[min(pair)], pair[max(pair)]
    usual = pair[min(pair, key=lambda temperature: abs(log(temperature / TEMPERATURE)))]
    said = f"Of the encoder of NT-Xent at temperature {usual.temperature:g} and the largest batch, z on views of test"
    return [
        ruled(
            "limit",
            "With many negatives the contrastive loss, less the logarithm of their number, is an attraction of "
            "positives and a spread of all images.",
            f"{PAPER}, theorem 1",
            f"{said} images: the absolute value of what 4,096 negatives leave above the limit (nats). A cold "
            "temperature needs more of them; the page has all.",
            f"it is below {LEFT:g}",
            lambda results: below(
                of(results, usual, "plane", "limit", "left"), LEFT, what="what 4,096 negatives leave (nats)"
            ),
        ),
        ruled(
            "limit-rate",
            "What is left falls with the number of negatives M at least as M^(-1/2).",
            f"{PAPER}, theorem 1",
            f"{said} images: the slope of the logarithm of its absolute value by the logarithm of M, by least squares "
            "over those of 16 to 4,096 negatives, three at least, at which the draws leave no doubt that it is not 0.",
            f"it is below {RATE:g}",
            lambda results: below(of(results, usual, "plane", "limit", "slope"), RATE, what="the slope"),
        ),
        ruled(
            "cold-is-uniform",
            "A low temperature spreads images more evenly than a high one.",
            ASKED,
            f"Uniformity of z on views of test images: temperature {hot.temperature:g} less {cold.temperature:g}.",
            "the difference is above 0",
            lambda results: greater(
                of(results, hot, "plane", "z", "uniformity"),
                of(results, cold, "plane", "z", "uniformity"),
                what="the uniformity, hot less cold,",
            ),
        ),
        ruled(
            "hot-is-aligned",
            "A high temperature brings views nearer together than a low one.",
            ASKED,
            f"Alignment of z on views of test images: temperature {cold.temperature:g} less {hot.temperature:g}.",
            "the difference is above 0",
            lambda results: greater(
                of(results, cold, "plane", "z", "alignment"),
                of(results, hot, "plane", "z", "alignment"),
                what="the alignment, cold less hot,",
            ),
        ),
    ]


def _course(every: Sequence[Setting]) -> list[Claim]:
    contrast = objective_of(every, NT_XENT)
    both = {"uniformity": "spreads images evenly over the sphere", "alignment": "brings two views of an image together"}
    return [
        ruled(
            f"{term}-gap-closes",
            f"The contrastive loss {words}: training brings {term} nearer to its minimum.",
            f"{PAPER}, section 4",
            f"The gap of z's {term} to its minimum, as the log of the run has it, at the first reading less the last; "
            "mean over the settings of NT-Xent.",
            "the difference is above 0",
            lambda results, term=term: above(
                each(
                    lambda v: v[0] - v[1],
                    [_mean(results, contrast, "gap", end, term) for end in ("first", "last")],
                ),
                0.0,
                what=f"the gap of {term}, first less last,",
            ),
        )
        for term, words in both.items()
    ]


def _exact(every: Sequence[Setting]) -> list[Claim]:
    first = every[0]
    said = (
        (
            "free-points",
            "Few points that nothing but a term moves reach its closed form: positives coincide, and points become a "
            "regular simplex; with both terms both at once.",
            "worst minimum",
            REACHED,
            "over 2 to 18 points in 8 dimensions",
        ),
        (
            "free-points-many",
            "Many points come near the uniform law on the sphere.",
            "worst many",
            NEAR,
            "over 200 points in 3 dimensions",
        ),
        (
            "known-laws",
            "Where the law of the images is known, the limit of the contrastive loss is what its formula says.",
            "worst law",
            NEAR,
            "over one point, two opposite ones and a uniform spread in 3 and 32 dimensions",
        ),
    )
    return [
        ruled(
            key,
            statement,
            f"{PAPER}, theorem 1, propositions 1 and 2",
            f"The largest difference from the closed form, {over}; each seed starts elsewhere.",
            f"it is below {bound:g}",
            lambda results, path=path, bound=bound: below(
                of(results, first, "closed forms", path), bound, what="the largest difference from a closed form"
            ),
        )
        for key, statement, path, bound, over in said
    ]
