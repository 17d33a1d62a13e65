"""What the paper says of its two nets, and what an honest reader asks besides; each with the rule that decides it."""

from collections.abc import Callable, Mapping
from typing import Literal

from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.conjecture import PART, POLICIES
from counterpoint.studies.hyperseparability.evaluators import METHODS
from counterpoint.studies.hyperseparability.reading import Published, Seeds, answers, below_common, least, of
from counterpoint.studies.statistics import OVER_SEEDS, above, below, between, greater, holm, sign_test
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["policy_claims", "study_claims"]

CONTRASTIVE, SUPERVISED = METHODS
NEAR = 0.25  # of a published error, within which ours repeats it
WITHIN = 0.05  # of a published share, likewise
NEARLY_ALL = 0.9
LARGE = 0.1  # a difference of shares beyond what seeds differ by
PAPER_TABLE, PAPER_FIGURE = "Nissani, table 1", "Nissani, figure 1"
ASKED = "asked here; the paper does not report it"
PASSES = "a softmax linear classifier of 10 epochs on h (Adam 0.001, batches of 256, features standardised)"


def _claim(
    key: str,
    statement: str,
    where: str,
    measured: str,
    rule: str,
    decide: Callable[[Results], Decision],
    *,
    published: str = "",
) -> Claim:
    origin: Literal["paper", ""] = "paper" if published else ""
    return Claim(key, statement, where, published, origin, measured, rule, decide)


def study_claims(published: Published | None, said: str) -> tuple[Claim, ...]:
    """All claims about the two nets.

    Args:
        published: the paper's figures, where it has the data set.
        said: what our data are, where they are not the paper's; empty where they are.
    """
    return (*_table(published, said), *_figure(published, said), *_fair(), *_places())


def _table(published: Published | None, said: str) -> tuple[Claim, ...]:
    """Table 1: multi-class errors."""

    def error(results: Results, method: str) -> Seeds:
        return of(results, method, "super-classes", "multi-class")

    def repeats(method: str, figure: float) -> Claim:
        low, high = figure * (1 - NEAR), figure * (1 + NEAR)
        return _claim(
            f"error-{method}",
            f"A linear classifier on the {method} net's representation errs on {per_cent(figure)} of the test images.",
            PAPER_TABLE,
            f"Test error of {PASSES}.{said}",
            f"Held if the error lies within a quarter of the published one, {per_cent(low)} to {per_cent(high)}: "
            f"{OVER_SEEDS}.",
            lambda results: between(
                error(results, method), low, high, unit="share", what=f"the multi-class error of the {method} net"
            ),
            published=per_cent(figure),
        )

    order = _claim(
        "error-order",
        "For the classes themselves the supervised representation is the better one.",
        PAPER_TABLE,
        f"Test error of {PASSES}: contrastive less supervised.",
        f"Held if the difference is above 0, {OVER_SEEDS}.",
        lambda results: greater(
            error(results, CONTRASTIVE),
            error(results, SUPERVISED),
            unit="points",
            what="the multi-class error, contrastive less supervised,",
        ),
        published=""
        if published is None
        else f"{per_cent(published.error[CONTRASTIVE])} against {per_cent(published.error[SUPERVISED])}",
    )
    return (*(repeats(method, published.error[method]) for method in METHODS), order) if published else (order,)


def _figure(published: Published | None, said: str) -> tuple[Claim, ...]:
    """Figure 1: the share of super-classes that are easier than the classes."""

    def share(results: Results, method: str) -> Seeds:
        return of(results, method, "super-classes", "below")

    def repeats(method: str, figure: float) -> Claim:
        low, high = figure - WITHIN, min(1.0, figure + WITHIN)
        return _claim(
            f"below-{method}",
            f"{per_cent(figure)} of the super-classes are read from the {method} net with a smaller error than the "
            "classes are.",
            PAPER_FIGURE,
            "Share of all super-classes, the empty and the full set among them, whose test error is below the net's "
            f"own multi-class error; both by {PASSES}.{said}",
            f"Held if the share lies within 5 points of the published one: {OVER_SEEDS}.",
            lambda results: between(
                share(results, method), low, high, unit="share", what=f"the share of the {method} net"
            ),
            published=per_cent(figure),
        )

    general = (
        _claim(
            "hyper-separable",
            "The contrastive representation separates nearly every super-class better than it separates the classes.",
            PAPER_FIGURE,
            "Share of the super-classes whose error is below the net's own multi-class error, contrastive net.",
            f"Held if the share is above {per_cent(NEARLY_ALL)}, {OVER_SEEDS}.",
            lambda results: above(
                share(results, CONTRASTIVE), NEARLY_ALL, unit="share", what="the share of the contrastive net"
            ),
        ),
        _claim(
            "supervised-not",
            "Most super-classes are harder for the supervised representation than the classes are.",
            PAPER_FIGURE,
            "The same share, supervised net.",
            f"Held if the share is below a half, {OVER_SEEDS}.",
            lambda results: below(
                share(results, SUPERVISED), 0.5, unit="share", what="the share of the supervised net"
            ),
        ),
        _claim(
            "contrast-of-shares",
            "The share of super-classes easier than the classes is far larger for the contrastive net.",
            PAPER_FIGURE,
            "Difference of the two shares, in pairs over seeds.",
            f"Held if the contrastive share is larger by more than {in_points(LARGE)}, by the interval over seeds; "
            "with one seed held by that pair, since so large a gap is beyond what seeds differ by, or undecided.",
            lambda results: greater(
                share(results, CONTRASTIVE),
                share(results, SUPERVISED),
                by=LARGE,
                alone=True,
                unit="points",
                what="the share, contrastive less supervised,",
            ),
            published=""
            if published is None
            else f"{per_cent(published.below[CONTRASTIVE])} against {per_cent(published.below[SUPERVISED])}",
        ),
    )
    return (*(repeats(method, published.below[method]) for method in METHODS), *general) if published else general


def _fair() -> tuple[Claim, ...]:
    """The same without the paper's choices: one bar for both nets, plain errors, converged classifiers, other dials."""

    def errors(results: Results, method: str) -> Seeds:
        return of(results, method, "super-classes", "error")

    def balanced(results: Results, method: str) -> Seeds:
        return of(results, method, "super-classes", "balanced error")

    def converged(results: Results, method: str) -> Seeds:
        return of(results, method, "super-classes-converged", "below")

    def common(results: Results) -> Decision:
        shares = below_common(results)
        return greater(
            shares[CONTRASTIVE],
            shares[SUPERVISED],
            unit="points",
            what="the share below one bar, contrastive less supervised,",
        )

    def whatever(results: Results) -> Decision:
        found = answers(results, CONTRASTIVE, "sensitivity")
        names = {name for answer in found.values() for name in answer}
        every = [of(results, CONTRASTIVE, "sensitivity", name, "below") for name in sorted(names)]
        every += [of(results, CONTRASTIVE, kind, "below") for kind in ("super-classes", "super-classes-converged")]
        return above(least(*every) if names else {}, NEARLY_ALL, unit="share", what="the smallest of the shares")

    return (
        _claim(
            "common-bar",
            "With one bar for both nets, the smaller of their multi-class errors, contrastive features are still "
            "ahead.",
            ASKED,
            "Share of the super-classes below the smaller of both multi-class errors, contrastive less supervised.",
            f"Held if the difference is above 0, {OVER_SEEDS}.",
            common,
        ),
        _claim(
            "plain-errors",
            "Super-classes are read with fewer errors from the contrastive net than from the supervised one.",
            ASKED,
            "Mean test error over the super-classes other than the empty and the full set: supervised less "
            "contrastive.",
            f"Held if the difference is above 0, {OVER_SEEDS}.",
            lambda results: greater(
                errors(results, SUPERVISED),
                errors(results, CONTRASTIVE),
                unit="points",
                what="the mean super-class error, supervised less contrastive,",
            ),
        ),
        _claim(
            "balanced-errors",
            "Balanced errors, where a constant answer gains nothing, are smaller for the contrastive net too.",
            ASKED,
            "Mean balanced test error, the same sets: supervised less contrastive.",
            f"Held if the difference is above 0, {OVER_SEEDS}.",
            lambda results: greater(
                balanced(results, SUPERVISED),
                balanced(results, CONTRASTIVE),
                unit="points",
                what="the mean balanced error, supervised less contrastive,",
            ),
        ),
        _claim(
            "converged",
            "The contrastive net's larger share is not owed to classifiers that were stopped after 10 epochs.",
            ASKED,
            "The shares with heads and classifier trained to convergence (logistic regression, C = 1).",
            f"Held if the contrastive share is still larger by more than {in_points(LARGE)}, by the interval over "
            "seeds; with one seed held by that pair, or undecided.",
            lambda results: greater(
                converged(results, CONTRASTIVE),
                converged(results, SUPERVISED),
                by=LARGE,
                alone=True,
                unit="points",
                what="the share with converged heads, contrastive less supervised,",
            ),
        ),
        _claim(
            "whatever-the-classifier",
            "That the contrastive net is hyper-separable does not depend on the classifier's dials.",
            ASKED,
            "Smallest share over all rows of the sensitivity table (standardisation, rate, batch, epochs, "
            "convergence at both penalties).",
            f"Held if it is above {per_cent(NEARLY_ALL)}, {OVER_SEEDS}.",
            whatever,
        ),
    )


def _places() -> tuple[Claim, ...]:
    """Where super-classes can be read."""

    def h(results: Results) -> Seeds:
        return of(results, CONTRASTIVE, "super-classes", "balanced error")

    def layer(results: Results, name: str) -> Seeds:
        return of(results, CONTRASTIVE, "layers", name, "balanced error")

    def claim(key: str, statement: str, names: tuple[str, ...], said: str) -> Claim:
        return _claim(
            key,
            statement,
            ASKED,
            f"Mean balanced test error over the super-classes, contrastive net: {said} less that of h.",
            f"Held if the difference is above 0, {OVER_SEEDS}.",
            lambda results: greater(
                least(*(layer(results, name) for name in names)),
                h(results),
                unit="points",
                what=f"the mean balanced error, {said} less that of h,",
            ),
        )

    return (
        claim(
            "not-below",
            "Super-classes are read better from the representation than from the layers below it.",
            ("pixels", "hidden 1"),
            "the smaller of those of the pixels and the first hidden layer",
        ),
        claim(
            "not-above",
            "Super-classes are read better from the representation than from the output that the loss sees.",
            ("output",),
            "that of z",
        ),
        claim(
            "learned",
            "Neither random weights nor principal components of the pixels let super-classes be read as well.",
            ("untrained h", "PCA"),
            "the smaller of those of the untrained net and of PCA",
        ),
    )


# ---------------------------------------------------------------- the choice of transformation


def policy_claims() -> tuple[Claim, ...]:
    """What the runs under other transformations decide."""
    return (
        _claim(
            "elastic-alone",
            "Elastic distortion alone is better than rotation, re-sizing and translation, and than every pair of them.",
            "Nissani, the choice of transformation",
            f"Test error of {PASSES}, of nets trained for fewer epochs under each of four transformations and six "
            "pairs.",
            "With one seed: held if elastic has fewer errors than every other and each difference is beyond chance "
            "(McNemar's exact test of the same test images, Holm's correction, 5 %), not held if another has fewer and "
            "that is beyond chance, else undecided. With more: by the interval over seeds of the smallest other error "
            "less that of elastic.",
            _best_policy,
        ),
    )


def _best_policy(results: Results) -> Decision:
    errors = {
        policy: results.values("multi-class", "error", part=PART, images="grey", policy=policy) for policy in POLICIES
    }
    lacking = [policy for policy, found in errors.items() if not found]
    if lacking:
        return Decision("undecided", said=f"not all transformations have been run: {', '.join(lacking)} lacking")
    if len(errors["elastic"]) > 1:
        others = least(*(found for policy, found in errors.items() if policy != "elastic"))
        what = "the smallest other error less that of elastic"
        return greater(others, errors["elastic"], unit="points", what=what)
    return _by_images(results, errors)


def _by_images(results: Results, errors: Mapping[str, Seeds]) -> Decision:
    """One seed: are the differences larger than other test images would make?"""
    seed = next(iter(errors["elastic"]))

    def wrong(policy: str) -> set[int]:
        found = {r.cell.seed: r.found["multi-class"] for r in results.at(part=PART, images="grey", policy=policy)}
        return set(found[seed]["wrong"])

    elastic = wrong("elastic")
    others = [policy for policy in errors if policy != "elastic"]
    lost = [len(elastic - wrong(policy)) for policy in others]
    won = [len(wrong(policy) - elastic) for policy in others]
    beyond = holm([sign_test(a, b) for a, b in zip(lost, won, strict=True)])
    gaps = {policy: errors[policy][seed] - errors["elastic"][seed] for policy in others}
    nearest = min(gaps, key=lambda policy: gaps[policy])
    beaten = [p for p, a, b, sure in zip(others, lost, won, beyond, strict=True) if sure and a > b]
    clear = [p for p, a, b, sure in zip(others, lost, won, beyond, strict=True) if sure and a < b]
    verdict: Literal["held", "not held", "undecided"] = (
        "not held" if beaten else "held" if len(clear) == len(others) else "undecided"
    )
    said = f"elastic errs on {per_cent(errors['elastic'][seed])}, the next best, {nearest}, on " + per_cent(
        errors[nearest][seed]
    )
    why = (
        f"{', '.join(beaten)} have fewer errors beyond chance"
        if beaten
        else f"beyond chance better than {len(clear)} of {len(others)}"
    )
    told = f"{said}; {why} (one seed: of images, not of runs)"
    return Decision(verdict, gaps[nearest], seeds=1, effect=why, said=told, unit="points")
