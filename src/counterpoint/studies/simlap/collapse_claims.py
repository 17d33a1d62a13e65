"""What `simlap-collapse` decides, by rules written before any run."""

from collections.abc import Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.ruled import ruled
from counterpoint.studies.simlap.judged import KNN
from counterpoint.studies.statistics import above, below, each, greater
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["KEPT", "RANK", "collapse_claims", "lost", "reached"]

KEPT = 0.01  # of an accuracy: what loses more falls, what loses less keeps what it had
SHARE = 0.9  # of the directions: where fewer are left the spectrum collapses, where more are it does not
RANK = ("directions", "h", "rank")
WHERE = "Wu et al. 2024, the experiment on IN1P"
TRANSFER = "kNN (k = 10) of h, mean over the transfer sets"
DIRECTIONS = "Effective rank of h on test images of the classes that were trained on"


def reached(results: Results, method: str, length: int, path: Sequence[str] = KNN) -> dict[int, float]:
    """A measure for each seed.

    Args:
        results: of the study.
        method: recipe.
        length: epochs of a method of two views.
        path: evaluator, and keys of its answer.
    """
    return results.values(*path, method=method, passes=str(length))


def lost(results: Results, method: str, lengths: Sequence[int], path: Sequence[str] = KNN) -> dict[int, float]:
    """What is lost from the duration before the longest to the longest, for each seed."""
    return each(lambda v: v[0] - v[1], [reached(results, method, length, path) for length in lengths[-2:]])


def collapse_claims(lengths: Sequence[int]) -> tuple[Claim, ...]:
    """All claims.

    Args:
        lengths: durations, ascending, at least two.
    """
    before, last = lengths[-2:]
    told = f"{before:,} epochs of two views less {last:,}"
    share = f"that of {last:,} epochs of two views as a share of that of {before:,}"
    made = [
        ruled(
            f"{method}-falls",
            f"{name} loses what it had learned when it is trained for long on few classes.",
            WHERE,
            f"{TRANSFER}: {told}.",
            f"the difference is above {in_points(KEPT)}",
            lambda results, method=method, name=name: above(
                lost(results, method, lengths), KEPT, unit="points", what=f"what {name} loses"
            ),
            published="declines after about 3,000 of 20,000 epochs" if method == "simclr" else "",
            origin="paper" if method == "simclr" else "",
        )
        for method, name in (("simclr", "SimCLR"), ("supcon", "SupCon"))
    ]

    def kept(results: Results) -> Decision:
        return below(lost(results, "simlap", lengths), KEPT, unit="points", what="what SimLAP loses")

    def ahead(results: Results) -> Decision:
        return greater(
            reached(results, "simlap", last),
            reached(results, "simclr", last),
            unit="points",
            what="the accuracy after the longest training, SimLAP less SimCLR,",
        )

    def more(results: Results) -> Decision:
        sides = (lost(results, "simclr", lengths), lost(results, "simlap", lengths))
        return greater(*sides, unit="points", what="what is lost, SimCLR less SimLAP,")

    def left(results: Results, method: str) -> dict[int, float]:
        return each(lambda v: v[1] / v[0], [reached(results, method, length, RANK) for length in lengths[-2:]])

    def narrower(results: Results) -> Decision:
        found = left(results, "simclr")
        return below(found, SHARE, unit="share", what="the share of its directions that SimCLR keeps")

    def wide(results: Results) -> Decision:
        return above(left(results, "simlap"), SHARE, unit="share", what="the share of its directions that SimLAP keeps")

    def keeps_more(results: Results) -> Decision:
        sides = (left(results, "simlap"), left(results, "simclr"))
        return greater(*sides, unit="points", what="the share of directions kept, SimLAP less SimCLR,")

    def wider(results: Results) -> Decision:
        return greater(
            reached(results, "simlap", last, RANK),
            reached(results, "simclr", last, RANK),
            what="the number of directions after the longest training, SimLAP less SimCLR,",
        )

    made += [
        ruled(
            "simlap-keeps",
            "SimLAP keeps what it had learned when it is trained for long on few classes.",
            WHERE,
            f"{TRANSFER}: {told}.",
            f"the difference is below {in_points(KEPT)}",
            kept,
        ),
        ruled(
            "simclr-loses-more",
            "In long training on few classes SimCLR loses more of what it had learned than SimLAP.",
            WHERE,
            f"{TRANSFER}: {told}; what SimCLR loses less what SimLAP loses.",
            "the difference is above 0",
            more,
        ),
        ruled(
            "simlap-ahead",
            "After long training on few classes SimLAP transfers better than SimCLR.",
            WHERE,
            f"{TRANSFER}, {last:,} epochs of two views: SimLAP less SimCLR.",
            "the difference is above 0",
            ahead,
        ),
        ruled(
            "simclr-loses-directions",
            "SimCLR's spectrum collapses in long training on few classes.",
            WHERE,
            f"{DIRECTIONS}: {share}.",
            f"the share is below {SHARE:.0%}".replace("%", " %"),
            narrower,
        ),
        ruled(
            "simlap-keeps-directions",
            "SimLAP's spectrum does not collapse in long training on few classes.",
            WHERE,
            f"{DIRECTIONS}: {share}.",
            f"the share is above {SHARE:.0%}".replace("%", " %"),
            wide,
        ),
        ruled(
            "simlap-keeps-more-directions",
            "In long training on few classes SimLAP keeps a larger share of its directions than SimCLR.",
            WHERE,
            f"{DIRECTIONS}: {share}; SimLAP less SimCLR.",
            "the difference is above 0",
            keeps_more,
        ),
        ruled(
            "simlap-wider",
            "After long training on few classes SimLAP uses more directions than SimCLR.",
            WHERE,
            f"{DIRECTIONS}, {last:,} epochs of two views: SimLAP less SimCLR.",
            "the difference is above 0",
            wider,
        ),
    ]
    return tuple(made)
