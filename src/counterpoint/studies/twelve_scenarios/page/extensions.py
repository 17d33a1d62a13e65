"""What the authors name as next steps."""

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Section, Table
from counterpoint.studies.study import Results
from counterpoint.studies.twelve_scenarios.answers import Answers
from counterpoint.studies.twelve_scenarios.grid import COLUMNS, DATA, EXTENSIONS, LOSSES, POLICIES
from counterpoint.studies.twelve_scenarios.page.names import SAID
from counterpoint.studies.twelve_scenarios.published import MEASURES, NAMED, SETS

__all__ = ["bias", "columns", "extension"]


_OF = {**SETS, "letters": "EMNIST letters"}
_WORDS = {
    "columns": (
        "Both compare each view with all others of a batch of 512 images, through a two-layer projector. SupCon's "
        "positives are the views of the class, NT-Xent's are the other view of the image, so that it needs no labels. "
        "Their optimizer is AdamW: these columns differ from the practicum's two by more than the loss."
    ),
    "mining": (
        "Mined triplets take each view of the batch as an anchor and all views of its class as positives, and choose "
        "the negatives: semi-hard ones are farther than the positive but within the margin, hard ones are the nearest, "
        "distance-weighted ones are drawn evenly over distance. Positives of the whole class are more supervision than "
        "one other view, so a gain is not the mining's alone."
    ),
    "anchors": (
        "The anchor is augmented as the positive is. Negatives are other anchors, so they are augmented too; in the "
        "practicum anchor and negative are always clean."
    ),
    "margin": (
        "How far is far enough. Distances of 32 numbers in (0, 1) are at most 5.7, and cosines of such numbers at "
        "least 0: with margin 0 a negative pair costs something until both have nothing in common."
    ),
    "batch": (
        "At a fixed learning rate and number of epochs a smaller batch takes more steps: the effect is of both. Sizes "
        "are those of the source's counting, pairs or triplets of a step."
    ),
}


def extension(results: Results, part: str) -> Section | None:
    """One part of the extensions, beside the cell that it changes; None where it was not run."""
    held = results.at(part=part)
    practicum = Answers(results, "sound")
    rows: list[tuple[str | float | None, ...]] = []
    for result in held:
        said = result.found.get("sound", {})
        place = result.cell.place
        own = [said.get(m) for m in MEASURES]
        base = practicum.of("mnist", place["loss"], place["policy"], "accuracy").get(result.cell.seed)
        gain = None if base is None or own[0] is None else 100 * (own[0] - base)
        rows.append((place["what"], place["loss"], NAMED[place["policy"]], *own, gain))
    if not rows:
        return None
    of = [(loss, policy) for loss in LOSSES for policy in POLICIES]
    of = [own for own in of if any((row[1], row[2]) == (own[0], NAMED[own[1]]) for row in rows)]
    for loss, policy in of:
        numbers = [practicum.of("mnist", loss, policy, m).get(held[0].cell.seed) for m in MEASURES]
        if numbers[0] is not None:
            rows.append(("the practicum's", loss, NAMED[policy], *numbers, None))
    columns = tuple(SAID[m] for m in MEASURES)
    return Section(
        key=part,
        title=f"{EXTENSIONS[part]}, MNIST, one seed",
        words=(_WORDS[part],),
        exhibits=(
            Table(
                name=part,
                title=EXTENSIONS[part],
                columns=("what", "loss", "augmentation", *columns, "against the practicum's cell (points)"),
                rows=tuple(rows),
                note="Sound evaluation, one seed: differences within the spread over seeds of the main table say "
                "nothing. The last column: accuracy less that of the same loss, augmentation and seed above.",
                percent=columns,
            ),
        ),
    )


def columns(results: Results) -> Section | None:
    """Both other losses beside the practicum's two, by data set and augmentation; None where they were not run."""
    held = [result for result in results.at(part="columns") if "sound" in result.found]
    if not held:
        return None
    seed = held[0].cell.seed
    practicum = Answers(results, "sound")
    losses = (*LOSSES, *COLUMNS.values())
    tables: list[Table] = []
    for measure in MEASURES:
        rows: list[tuple[str | float | None, ...]] = []
        for data in DATA:
            for policy in POLICIES:
                ours = [practicum.of(data, loss, policy, measure).get(seed) for loss in LOSSES]
                others = [
                    results.values("sound", measure, part="columns", data=data, what=what, policy=policy).get(seed)
                    for what in COLUMNS
                ]
                if any(value is not None for value in others):
                    rows.append((SETS[data], NAMED[policy], *ours, *others))
        tables.append(
            Table(
                name="columns" if measure == "accuracy" else f"columns-{measure}",
                title=f"Four losses on the same net: {SAID[measure]}",
                columns=("data", "augmentation", *losses),
                rows=tuple(rows),
                note="Sound evaluation, one seed, the same for all four: differences within the spread over seeds of "
                "the main table say nothing.",
                percent=losses,
                folded=measure != "accuracy",
            )
        )
    return Section(
        key="columns",
        title=f"{EXTENSIONS['columns']}: two more columns, one seed",
        words=(_WORDS["columns"],),
        exhibits=tuple(tables),
    )


def bias(results: Results) -> Section | None:
    """Sample bias against the number of classes, and its remedies; None where it was not run."""
    held = results.at(part="bias")
    points: dict[tuple[str, str], dict[str, float]] = {}
    for result in held:
        value = result.found.get("sound", {}).get("accuracy")
        if value is not None:
            place = result.cell.place
            points.setdefault((place["data"], place["classes"]), {})[place["what"]] = value
    if not points:
        return None
    order = sorted(points, key=lambda key: int(key[1]))
    ways = ("triplet, other class", "triplet, any image", "NT-Xent", "NT-Xent, debiased")
    rows: list[tuple[str | float | int | None, ...]] = []
    for data, classes in order:
        own = points[data, classes]
        rows.append((_OF[data], int(classes), 1 / int(classes), *(own.get(way) for way in ways)))

    def difference(label: str, better: str, worse: str, style: str) -> Line:
        known = [key for key in order if better in points[key] and worse in points[key]]
        gains = tuple(100 * (points[key][better] - points[key][worse]) for key in known)
        return Line(label, tuple(float(classes) for _, classes in known), gains, style)

    return Section(
        key="bias",
        title="What negatives of the anchor's own class cost, by the number of classes",
        words=(
            "A negative that is drawn from all images is of the anchor's class with a chance of one in the number of "
            "classes, and is then pushed away for nothing. The fewer classes, the more often. Labels avoid it; "
            "without labels, the debiased loss subtracts what that share is expected to add. Every point trains on "
            "10,000 images for 20 epochs, whatever its number of classes, so that only the collisions differ.",
        ),
        exhibits=(
            Table(
                name="bias",
                title="Accuracy with and without negatives of the anchor's class",
                columns=("data", "classes", "expected collisions", *ways),
                rows=tuple(rows),
                note="Sound evaluation over the classes trained on, one seed. Read along a row: with fewer classes "
                "every accuracy is higher.",
                percent=("expected collisions", *ways),
            ),
            Chart(
                title="The cost of sample bias, and its remedy",
                note="Above zero: avoiding (triplet) or correcting (NT-Xent) negatives of the anchor's class helps.",
                lines=(
                    difference("triplet: other class less any image", *ways[:2], "s-0"),
                    difference("NT-Xent: debiased less plain", ways[3], ways[2], "s-1"),
                ),
                x=Axis("classes", log=True),
                y=Axis("accuracy (points)"),
            ),
        ),
    )
