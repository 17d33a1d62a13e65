"""The page: both sides of the theorems first, then what tightens them, what trains well, and where they end."""

from collections.abc import Sequence

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Exhibit, Points, Section, Series, Table
from counterpoint.report.numbers import per_cent
from counterpoint.studies.bound.end_sections import beside, shift, unseen
from counterpoint.studies.bound.evaluators import SIZES
from counterpoint.studies.bound.grid import BLOCKS, LOSSES, Place, different, of_classes
from counterpoint.studies.bound.pieces import STYLES, Row, bars, pair, plain_of
from counterpoint.studies.bound.reading import bound_against_errors, mean_of, of, own, share_of_guess
from counterpoint.studies.statistics import Estimate, apart, estimate
from counterpoint.studies.study import Results

__all__ = ["study_sections"]


def study_sections(results: Results, every: Sequence[Place], batch: int, classes: int) -> list[Section]:
    """All that can be made of what is there.

    Args:
        results: of the study.
        every: places.
        batch: images of a step.
        classes: of the images.
    """
    made = [
        _sides(results, every),
        _slack(results, every),
        _training(results, every, batch, classes),
        _ranks(results, every),
        shift(results, every),
        unseen(results, every),
        beside(results, every),
    ]
    return [section for section in made if section is not None]


# ---------------------------------------------------------------- both sides


def _sides(results: Results, every: Sequence[Place]) -> Section:
    figures: list[Exhibit] = []
    rows: list[Row] = []
    kept = missed = 0
    for loss in LOSSES:
        there = [p for p in of_classes(every) if p.loss == loss]
        sides: dict[str, list[Estimate | None]] = {
            "mean classifier on test images": [
                estimate(of(results, p, *own(p, "test", "mean classifier", "value"))) for p in there
            ],
            "limit, first theorem": [
                estimate(of(results, p, *own(p, "train", "first", "limit", "value"))) for p in there
            ],
            "limit, second theorem": [
                estimate(of(results, p, *own(p, "train", "second", "limit", "value"))) for p in there
            ],
            "guessing": [estimate(of(results, p, *own(p, "train", "guess"))) for p in there],
        }
        if any(e is not None for found in sides.values() for e in found):
            figures.append(
                bars(
                    f"Both sides, {loss}",
                    "The limit that the contrastive loss of training images sets (without blocks, whatever was trained "
                    "with), and what it bounds, of test images; means over seeds with Student's 95 % interval.",
                    [p.name.removeprefix(f"{loss}, ") for p in there],
                    sides,
                    Axis(f"{loss} loss", low=0),
                )
            )
    names = (
        ("train", "collision"), ("train", "at zero"), ("train", "unsupervised", "value"),
        ("train", "unequal", "value"), ("train", "equal", "value"), ("train", "spread", "value"), ("train", "beta"),
        ("train", "radius"), ("train", "first", "limit", "value"), ("train", "second", "limit", "value"),
        ("test", "unsupervised", "value"), ("test", "mean classifier", "value"), ("train", "guess"),
    )  # fmt: skip
    for place in of_classes(every):
        found = [estimate(of(results, place, *own(place, split, *path))) for split, *path in names]
        if not any(found):
            continue
        across = ("promise", "across", place.loss, str(place.negatives), "first")
        value, low, high = (of(results, place, *across, end) for end in ("value", "low", "high"))
        for seed, left in value.items():
            kept, missed = kept + (left > 0), missed + (left <= 0)
            rows.append(
                (
                    place.name,
                    seed,
                    *(of(results, place, *own(place, s, *p)).get(seed) for s, *p in names),
                    left,
                    low.get(seed),
                    high.get(seed),
                )
            )
    if not rows:
        return Section("sides", "Nothing is measured yet")
    table = Table(
        "sides",
        "Every part, of each run with its own loss and number of negatives",
        (
            "run", "seed", "τ", "l0", "loss", "without collision", "in collisions", "s(f)", "β", "longest row",
            "limit, first theorem", "limit, second theorem", "loss on test images", "mean classifier on test images",
            "guessing costs", "limit less mean classifier", "low", "high",
        ),
        tuple(rows),
        "Of training images where nothing else is said. τ: chance that a negative is of the anchor's class; l0: the "
        "loss of such negatives alone. The last three: the first theorem across splits, with a 95 % interval for other "
        "images of the same classes.",
        folded=True,
    )  # fmt: skip
    words = (
        "Of the first theorem: (loss − τ l0) / (1 − τ) bounds the mean classifier. The second takes the loss without "
        "collisions and adds β s(f), what a class spreads around its mean; it is of one negative. Tasks are drawn by "
        "the classes' law, with as many classes as the negatives make.",
        "The mean classifier here has means of the split that it judges, each image left out of its own: what is lost "
        "from training to test images is lost once. In tasks it has means of training images.",
    )
    title = f"The loss of training images bounded the task's on test images in {kept} of {kept + missed} runs"
    return Section("sides", title, words, (*figures, table))


# ---------------------------------------------------------------- what tightens it


def _slack(results: Results, every: Sequence[Place]) -> Section | None:
    charts: list[Exhibit] = []
    blocks: list[Line] = []
    many: list[Line] = []
    rows: list[Row] = []
    for loss in LOSSES:
        plain = plain_of(every, loss)
        if plain is None:
            continue
        slack = {
            b: estimate(of(results, plain, "promise", "train", loss, "1", "blocks", str(b), "slack", "value"))
            for b in BLOCKS
        }
        points = sorted((b, e.mean) for b, e in slack.items() if e is not None)
        if points:
            blocks.append(Line(loss, tuple(float(b) for b, _ in points), tuple(v for _, v in points), STYLES[loss]))
            rows += [(loss, "block", b, *pair(slack[b])) for b, _ in points]
        shares = {
            k: estimate(share_of_guess(results, plain, k)) for k in sorted({p.negatives for p in of_classes(every)})
        }
        points = sorted((k, e.mean) for k, e in shares.items() if e is not None)
        if points:
            many.append(Line(loss, tuple(float(k) for k, _ in points), tuple(v for _, v in points), STYLES[loss]))
            rows += [(loss, "negatives: limit / guessing", k, *pair(shares[k])) for k, _ in points]
    if blocks:
        charts.append(
            Chart(
                "Slack by the size of blocks",
                "Of encoders trained with one negative and no blocks, on training images; means over seeds.",
                tuple(blocks),
                Axis("images of a block"),
                Axis("slack of the first theorem", low=0.0),
            )
        )
    if many:
        floor = Line("guessing", (1.0, max(line.x[-1] for line in many)), (1.0, 1.0), "chance")
        charts.append(
            Chart(
                "The limit by the number of negatives, over what guessing costs",
                "Of the same encoders; above 1 nothing is promised.",
                (*many, floor),
                Axis("negatives"),
                Axis("limit over the cost of guessing", low=0.0),
            )
        )
    if not charts:
        return None
    table = Table("slack", "What tightens the bound", ("loss", "of", "number", "mean", "±"), tuple(rows), folded=True)
    words = (
        "The slack has two sources. A partner is one image where the theorem's task has the class's mean: blocks "
        "average that away. And a negative of the anchor's class costs more than the l0 that is taken off: the more "
        "classes, the rarer; the more negatives, the more often one of them is.",
    )
    return Section("slack", "What tightens the bound, and what loosens it", words, (*charts, table))


# ---------------------------------------------------------------- what trains well


def _training(results: Results, every: Sequence[Place], batch: int, classes: int) -> Section | None:
    there = [p for p in every if not p.half]
    measures = {"mean classifier": "mean_accuracy", "logistic regression": "accuracy"}
    costs = {"loss of the mean classifier": "mean_classifier", "supervised loss": "linear"}
    figures: list[Exhibit] = []
    rows: list[Row] = []
    below = compared = 0
    for size in SIZES:
        groups = {
            label: [estimate(of(results, p, "tasks", str(size), name)) for p in there]
            for label, name in measures.items()
        }
        if not any(e for found in groups.values() for e in found):
            continue
        figures.append(
            bars(
                f"Tasks of {size} classes",
                "Right answers on test images, means over seeds with Student's 95 % interval.",
                [p.name for p in there],
                groups,
                Axis("right answers", percent=True),
            )
        )
        lost = [[of(results, p, "tasks", str(size), name) for p in there] for name in costs.values()]
        label = [p.name for p in there]
        sides = {said: [estimate(one) for one in found] for said, found in zip(costs, lost, strict=True)}
        note = "Logistic loss on test images, means over seeds with Student's 95 % interval."
        figures.append(bars(f"What tasks of {size} classes cost", note, label, sides, Axis("logistic loss", low=0)))
        gaps = [gap for mean, fitted in zip(*lost, strict=True) for gap in apart(mean, fitted).values()]
        below, compared = below + sum(gap >= 0 for gap in gaps), compared + len(gaps)
        for i, place in enumerate(there):
            rows.append((place.name, size, *(v for found in (groups | sides).values() for v in pair(found[i]))))
    plain = plain_of(every, LOSSES[1])
    if not figures or plain is None:
        return None
    heads, more = (tuple(h for label in labels for h in (label, f"± {label}")) for labels in (measures, costs))
    table = Table(
        "tasks",
        "Right answers and losses on test images",
        ("run", "classes of a task", *heads, *more),
        tuple(rows),
        "Both classifiers are made of 200 training images of each class. The supervised loss is of the logistic "
        "regression, or of the mean classifier where that fits them better.",
        percent=heads,
        folded=True,
    )
    words = [
        "The supervised loss is at most the mean classifier's by definition, on the images that both are made of. On "
        f"test images, where it need not be, it is in {below} of {compared} runs and sizes."
    ]
    if blocks := sorted({p.block for p in there if p.block > 1}):
        held = ", ".join(f"{different(b, batch, classes):.1f} of {b}" for b in blocks)
        words.append(
            f"A batch of {batch} has about {batch / classes:.1f} images of a class. A block is made of images that are "
            f"there, some more than once where they are few: on average {held} are different ones. Sizes of which less "
            "than nine tenths would be are not trained with."
        )
    floor = mean_of(of(results, plain, "tasks", "untrained", "2", "mean_accuracy"))
    if floor is not None:
        words.append(f"The untrained encoder's mean classifier is right in {per_cent(floor)}, tasks of two classes.")
    return Section("training", "What losses, negatives and blocks train", tuple(words), (*figures, table))


def _ranks(results: Results, every: Sequence[Place]) -> Section | None:
    found, told = bound_against_errors(results, every)
    if len(found) < 2:
        return None
    series = tuple(
        Series(
            loss,
            tuple(x for p, x, _ in found if p.loss == loss),
            tuple(y for p, _, y in found if p.loss == loss),
            tuple(p.name for p, *_ in found if p.loss == loss),
        )
        for loss in LOSSES
        if any(p.loss == loss for p, *_ in found)
    )
    figure = Points(
        "A lower bound, fewer errors?",
        "Each point is a setting, mean over seeds: the hinge limit of one negative on training images, and errors on "
        "test images in tasks of two classes.",
        series,
        Axis("limit of the first theorem"),
        Axis("wrong answers of the mean classifier", percent=True),
    )
    words = () if told is None else (f"Spearman's {told.told()}.",)
    return Section("ranks", "Whether the bound ranks encoders", words, (figure,))
