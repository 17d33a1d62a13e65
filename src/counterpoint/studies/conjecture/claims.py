"""What the conjecture says that can be checked, and the rules that decide it."""

from collections.abc import Callable
from dataclasses import replace

from counterpoint.studies.attributes import HUE
from counterpoint.studies.conjecture.cells import TINTED
from counterpoint.studies.conjecture.grid import grid_of
from counterpoint.studies.conjecture.nets import SPARED, favoured, spared_mean
from counterpoint.studies.conjecture.readability import NETS, PART
from counterpoint.studies.conjecture.relation import crossed, within_attributes
from counterpoint.studies.statistics import Correlation, greater, related
from counterpoint.studies.study import Claim, Decision, Results

__all__ = ["HUES", "attribute_claims"]

WHERE = "Nissani, the argument for hyper-separability: what keeps the class keeps the attributes"
LEAST_GAP = 0.1  # of R2, by which the hue must be read better without colour jitter
HUES = tuple({"part": PART, "images": "tinted", "policy": policy} for policy in TINTED)
"""Places of the tinted cells: the policy that keeps the hue, and the one that changes it."""


def _related(results: Results, found: Correlation | None, what: str, part: str = PART) -> Decision:
    seeds = {result.cell.seed for result in results if result.cell.place.get("part") == part}
    return replace(related(found, what=what), seeds=len(seeds))


def attribute_claims() -> tuple[Claim, ...]:
    """What the grid decides; the rules were written before it was run."""
    invariance = (
        "Invariance: intraclass correlation of an attribute over four views of an image, drawn by the net's own policy."
    )
    readability = "Readability: R2 on test images of a ridge regression of the attribute from the frozen h."
    rule = (
        "Held if the 95 % interval of Spearman's rank correlation over all attribute x policy cells lies above 0, not "
        "held if it lies at or below 0; the interval draws attributes and policies anew, each for itself."
    )

    def claim(key: str, statement: str, measured: str, rule: str, decide: Callable[[Results], Decision]) -> Claim:
        return Claim(key, statement, WHERE, "", "", measured, rule, decide)

    return (
        claim(
            "conjecture",
            "The less the views change an attribute, the better it can be read from the representation.",
            f"{invariance} {readability}",
            rule,
            lambda results: _related(
                results, crossed(grid_of(results)), what="invariance and readability, over all cells"
            ),
        ),
        claim(
            "conjecture-within-class",
            "So also for what an attribute says beyond the class.",
            "As before, with the means of the classes taken off views, features and attributes.",
            rule,
            lambda results: _related(
                results,
                crossed(grid_of(results, invariance="within class", readability="within class")),
                what="invariance and readability within classes",
            ),
        ),
        claim(
            "conjecture-learned",
            "So also for what training adds to the readability that random weights give.",
            f"{invariance} Readability: R2 from h less R2 from h of the untrained net.",
            rule,
            lambda results: _related(
                results, crossed(grid_of(results, less="untrained h")), what="invariance and what training adds"
            ),
        ),
        claim(
            "conjecture-within-attribute",
            "Of several policies, the one that spares an attribute most makes it most readable.",
            f"{invariance} {readability} Each attribute ranks the policies of the grey images.",
            "Held if the 95 % interval of the mean over attributes of Spearman's rank correlation over the policies "
            "lies above 0, not held if it lies at or below 0; attributes and policies are drawn anew, each for itself.",
            lambda results: _related(
                results,
                within_attributes(grid_of(results).grey()),
                what="invariance and readability over the policies, mean over attributes",
            ),
        ),
        claim(
            "conjecture-nets",
            "The better the views spare an attribute, the more readable the contrastive net makes it, compared with "
            "the supervised one.",
            "Over attributes: invariance under the elastic distortion, and R2 from h of the contrastive net less R2 "
            "from h of the supervised one, which is trained with the same distortion; means over seeds.",
            "Held if the 95 % bootstrap interval over attributes of Spearman's rank correlation lies above 0, not held "
            "if it lies at or below 0.",
            lambda results: _related(
                results, favoured(results), what="invariance and what the contrastive net reads better", part=NETS
            ),
        ),
        claim(
            "conjecture-spared",
            "Attributes that the views spare are read better from the contrastive net than from the supervised one.",
            f"R2 within classes from h, mean over the attributes with an intraclass correlation of at least {SPARED}.",
            "Held if the 95 % interval over seeds of the difference, contrastive less supervised, lies above 0, not "
            "held if it lies at or below 0.",
            lambda results: greater(
                spared_mean(results, "contrastive"),
                spared_mean(results, "supervised"),
                what="R2 within classes of spared attributes, contrastive less supervised,",
            ),
        ),
        claim(
            "conjecture-colour",
            "Colour can be read after views that keep it, and less after views that change it.",
            "Glyphs tinted independently of class; R2 of the hue from h, after elastic distortion without and with a "
            "random hue.",
            f"Held if the hue's R2 is higher by more than {LEAST_GAP} without the random hue: by the interval over "
            "seeds; with one seed held by that pair, since so large a gap is beyond what seeds differ by, or else "
            "undecided.",
            lambda results: greater(
                *(results.values("readability", "attributes", HUE.name, "h", "r2", **place) for place in HUES),
                by=LEAST_GAP,
                alone=True,
                what="R2 of the hue without random hues, less R2 with them,",
            ),
        ),
    )
