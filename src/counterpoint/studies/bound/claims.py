"""What the study decides, by rules written before any of its runs.

Of one split and one negative the first theorem holds by convexity for any numbers, and no rule here is about that: the
loss is of training images, the task's of test images.
"""

from collections.abc import Callable, Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.bound.grid import BLOCKS, LOSSES, Place, of_classes
from counterpoint.studies.bound.reading import ACCURACY, bound_against_errors, of, own, share_of_guess, slack_left
from counterpoint.studies.ruled import ruled
from counterpoint.studies.statistics import above, apart, below, greater, related
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["study_claims"]

PAPER = "Arora et al. 2019"
ASKED = "asked here"
HALF = 0.5  # of the slack, that blocks take
AS_WELL = 0.02  # of an accuracy, within which the mean classifier serves as well
TEN = "10"  # times, the ratio of the shifted law
TASK = "Share of right answers on test images of the mean classifier of training images, in tasks of two classes"
TEST_MEANS = "the mean classifier's loss on test images, its means of test images too, each image left out of its own"
TRAIN_TEST = f"the limit that the loss of training images sets less {TEST_MEANS}"


def study_claims(every: Sequence[Place]) -> tuple[Claim, ...]:
    """All claims.

    Args:
        every: places.
    """
    made: list[Claim] = []
    for loss in LOSSES:
        there = [place for place in of_classes(every) if place.loss == loss]
        made += [*_theorems(loss, there), *_training(loss, there), *_ends(loss, every, there)]
    return (*made, _ranks(every))


def _at(places: Sequence[Place], negatives: int = 1, block: int = 1) -> Place | None:
    return next((p for p in places if (p.negatives, p.block) == (negatives, block)), None)


def _theorems(loss: str, there: Sequence[Place]) -> list[Claim]:
    plain = _at(there)
    assert plain is not None
    most, block = max(p.negatives for p in there), max(BLOCKS)
    made = [
        ruled(
            f"first-{loss}-{place.negatives}",
            f"The contrastive loss of training images bounds the mean classifier's loss on test images "
            f"({loss}, {place.negatives} negative{'s' if place.negatives > 1 else ''}).",
            f"{PAPER}, theorem 4.1" + (" and section 6.1" if place.negatives > 1 else ""),
            f"First theorem without its term of generalisation, which is thereby measured: {TRAIN_TEST}, of an encoder "
            "trained with this loss and number.",
            "it is above 0",
            lambda results, place=place: above(
                of(results, place, "promise", "across", place.loss, str(place.negatives), "first", "value"),
                0.0,
                what="the limit of training images less the loss on test images",
            ),
        )
        for place in there
        if place.block == 1
    ]
    return [
        *made,
        ruled(
            f"second-{loss}",
            f"So does the loss without collisions with what classes spread ({loss}, one negative).",
            f"{PAPER}, theorem 4.5",
            f"Second theorem, likewise: {TRAIN_TEST}.",
            "it is above 0",
            lambda results: above(
                of(results, plain, "promise", "across", loss, "1", "second", "value"),
                0.0,
                what="the limit of training images less the loss on test images",
            ),
        ),
        ruled(
            f"useful-{loss}",
            f"The bound says something: it is below what guessing costs ({loss}, one negative).",
            ASKED,
            "The limit that the loss of training images sets; guessing costs 1.",
            "it is below 1",
            lambda results: below(
                of(results, plain, *own(plain, "train", "first", "limit", "value")), 1.0, what="the limit"
            ),
        ),
        ruled(
            f"many-loosen-{loss}",
            f"More negatives collide more often, and the bound promises less ({loss}: {most} against 1).",
            f"{PAPER}, section 6.1",
            "The limit over what guessing costs, on training images of the encoder trained with one negative: with "
            f"{most} negatives less with one.",
            "the difference is above 0",
            lambda results: greater(
                share_of_guess(results, plain, most),
                share_of_guess(results, plain, 1),
                what="the limit over the cost of guessing, many negatives less one,",
            ),
        ),
        ruled(
            f"blocks-bind-{loss}",
            f"Blocks of {block} take more than half of the slack ({loss}).",
            f"{PAPER}, section 6.2, which says that they take some",
            "Slack of the first theorem with blocks over the slack without, training images of one encoder that was "
            "trained without blocks.",
            f"it is below {HALF:g}",
            lambda results: below(slack_left(results, plain, block), HALF, what="the share of the slack that is left"),
        ),
    ]


def _training(loss: str, there: Sequence[Place]) -> list[Claim]:
    plain = _at(there)
    assert plain is not None
    most = max(p.negatives for p in there)
    middle = sorted({p.negatives for p in there})[-2]
    block = max(p.block for p in there)

    def gain(first: Place | None, second: Place | None, what: str) -> Callable[[Results], Decision]:
        assert first is not None
        assert second is not None
        return lambda results: greater(
            of(results, first, *ACCURACY), of(results, second, *ACCURACY), unit="points", what=f"the accuracy, {what},"
        )

    made = [
        ruled(
            f"supervised-{loss}",
            "A classifier that is fitted to a task costs less than the mean classifier, also on images that neither "
            f"was made of ({loss}, one negative).",
            f"{PAPER}, section 2, where it is so by definition",
            "The logistic loss on test images, tasks of two classes: mean classifier of training images less logistic "
            "regression on these, or the mean classifier where that fits them better.",
            "the difference is above 0",
            lambda results: greater(
                *(of(results, plain, "tasks", "2", name) for name in ("mean_classifier", "linear")),
                what="the loss, mean classifier less fitted,",
            ),
        ),
        ruled(
            f"mean-as-linear-{loss}",
            f"The mean classifier does nearly what a fitted linear one does ({loss}, one negative).",
            f"{PAPER}, its experiments",
            "Share of right answers on test images, tasks of two classes: logistic regression less mean classifier.",
            f"the difference is below {in_points(AS_WELL)}",
            lambda results: below(
                apart(of(results, plain, "tasks", "2", "accuracy"), of(results, plain, *ACCURACY)),
                AS_WELL,
                unit="points",
                what="the accuracy, linear less mean,",
            ),
        ),
        ruled(
            f"more-{loss}",
            f"More negatives make a better encoder ({loss}: {most} against 1).",
            ASKED,
            f"{TASK}: with {most} negatives less with one.",
            "the difference is above 0",
            gain(_at(there, most), plain, "more negatives less one"),
        ),
    ]
    if block > 1:
        made.append(
            ruled(
                f"blocks-train-{loss}",
                f"An encoder trained with blocks is better ({loss}: blocks of {block} against none).",
                f"{PAPER}, its experiments",
                f"{TASK}: with blocks less without, one negative.",
                "the difference is above 0",
                gain(_at(there, 1, block), plain, "blocks less none"),
            )
        )
    if middle > 1:
        made.append(
            ruled(
                f"too-many-{loss}",
                f"In the end more negatives hurt, since more of them collide ({loss}: {most} against {middle}).",
                f"{PAPER}, section 6.1 and its experiments",
                f"{TASK}: with {middle} negatives less with {most}.",
                "the difference is above 0",
                gain(_at(there, middle), _at(there, most), "fewer negatives less most"),
            )
        )
    return made


def _ends(loss: str, every: Sequence[Place], there: Sequence[Place]) -> list[Claim]:
    plain = _at(there)
    assert plain is not None
    half = next((p for p in every if p.half and p.loss == loss), None)
    made = [
        ruled(
            f"shift-{loss}",
            "The bound still holds where the law of the classes has shifted: the hardest comes ten times as often "
            f"beside the easiest ({loss}).",
            f"{PAPER}, whose tasks are drawn by training's law; {ASKED}",
            f"The limit of training images under their own law less {TEST_MEANS}, under the shifted law; how hard a "
            "class is was read off training images.",
            "it is above 0",
            lambda results: above(
                of(results, plain, "shift", "laws", TEN, "left", "value"), 0.0, what="the limit less the shifted loss"
            ),
        ),
        ruled(
            f"worst-{loss}",
            f"The bound is of an average: the hardest task costs more than it allows ({loss}).",
            f"{PAPER}, whose tasks are drawn by training's law; {ASKED}",
            f"In the task of two classes that is hardest on training images {TEST_MEANS}; less the limit of training "
            "images.",
            "it is above 0",
            lambda results: above(
                of(results, plain, "shift", "worst", "above"), 0.0, what="the hardest task's loss less the limit"
            ),
        ),
    ]
    if half is None:
        return made
    right = ("unseen", "accuracy")
    return [
        *made,
        ruled(
            f"unseen-{loss}",
            f"Classes that training never saw are told apart better than by an untrained encoder ({loss}).",
            ASKED,
            f"{TASK} that were left out of training: trained on the other half less untrained.",
            "the difference is above 0",
            lambda results: greater(
                of(results, half, "unseen", *right),
                of(results, half, "unseen", "untrained", *right),
                unit="points",
                what="the accuracy on unseen classes, trained less untrained,",
            ),
        ),
        ruled(
            f"unseen-costs-{loss}",
            f"To have seen the classes of a task helps ({loss}).",
            ASKED,
            f"{TASK} of the second half: trained on all classes less trained on the first half, as many steps.",
            "the difference is above 0",
            lambda results: greater(
                of(results, plain, "unseen", *right),
                of(results, half, "unseen", *right),
                unit="points",
                what="the accuracy, classes seen less unseen,",
            ),
        ),
        ruled(
            f"unseen-bound-{loss}",
            f"The bound of the classes that were trained on covers tasks of others too ({loss}).",
            f"{PAPER}, which does not say so; {ASKED}",
            "The limit of training images of the first half of the classes less the loss on test images of the mean "
            "classifier of training images, in tasks of two classes of the second half.",
            "it is above 0",
            lambda results: above(
                of(results, half, "unseen", "left"), 0.0, what="the limit less the loss on unseen classes"
            ),
        ),
    ]


def _ranks(every: Sequence[Place]) -> Claim:
    return ruled(
        "ranks",
        "An encoder with a lower bound solves more of the tasks.",
        ASKED,
        f"Spearman's correlation over {len(of_classes(every))} settings of class-sampled pairs, means over seeds: the "
        "limit of the hinge with one negative on training images, and the share of wrong answers on test images of the "
        "mean classifier of training images, tasks of two classes.",
        "the correlation is above 0",
        lambda results: related(
            bound_against_errors(results, every)[1],
            what="the rank correlation of the bound and the share of wrong answers",
        ),
        by="by the 95 % interval of a bootstrap over settings",
    )
