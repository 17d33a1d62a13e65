"""What is taken for what, and neighbours beside the classifier."""

from counterpoint.report.exhibits import Heat, Section, Table
from counterpoint.studies.statistics import estimate
from counterpoint.studies.study import Results
from counterpoint.studies.twelve_scenarios.answers import Answers
from counterpoint.studies.twelve_scenarios.page.names import PROTOCOLS, first, title_of
from counterpoint.studies.twelve_scenarios.published import NAMED, SCENARIOS, SETS

__all__ = ["classes", "neighbours"]


def classes(answers: Answers) -> Section | None:
    """Per-class accuracy and confusion matrices of one protocol; None without any."""
    heats: list[Heat] = []
    rows: dict[str, list[tuple[str | float | None, ...]]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for cell in SCENARIOS:
        counts = list(answers.listed(*cell, "confusion").values())
        answer = first(answers, cell, answers.protocol)
        if not counts or answer is None:
            continue
        classes = tuple(answer["classes"])
        total = [[sum(one[i][j] for one in counts) for j in range(len(classes))] for i in range(len(classes))]
        shares = tuple(tuple(v / sum(row) if sum(row) else None for v in row) for row in total)
        names[cell[0]] = classes
        rows.setdefault(cell[0], []).append((cell[1], NAMED[cell[2]], *(row[i] for i, row in enumerate(shares))))
        note = "Of the images of a class (row), the share that was named so (column), all seeds together."
        heats.append(
            Heat(
                title_of(*cell),
                note,
                classes,
                classes,
                shares,
                percent=True,
                row_label="is",
                column_label="was named",
                confusion=True,
            )
        )
    if not heats:
        return None
    tables = tuple(
        Table(
            name=f"classes-{data}-{answers.protocol}",
            title=f"{SETS[data]}: accuracy of each class",
            columns=("loss", "augmentation", *names[data]),
            rows=tuple(of),
            note="All seeds together.",
            percent=names[data],
        )
        for data, of in rows.items()
    )
    return Section(
        key=f"classes-{answers.protocol}",
        title=f"What is taken for what, {answers.protocol} protocol",
        words=(
            "Look at the blocks off the diagonal: vehicles are taken for vehicles and animals for animals where a net "
            "has learned shape and surroundings rather than kind.",
        ),
        exhibits=(*tables, *heats),
    )


def neighbours(results: Results) -> Section | None:
    """How much better neighbours are than the classifier, by their number; None without any cell."""
    rows: list[tuple[str | float | None, ...]] = []
    counts = ("20", "30", "50", "100")
    for protocol in PROTOCOLS:
        answers = Answers(results, protocol)
        for cell in SCENARIOS:
            accuracy = estimate(answers.of(*cell, "accuracy"))
            if accuracy is None:
                continue
            by_k = [estimate(answers.of(*cell, "knn_by_k", k)) for k in counts]
            leads = [None if e is None else 100 * (e.mean - accuracy.mean) for e in by_k]
            rows.append((protocol, SETS[cell[0]], cell[1], NAMED[cell[2]], accuracy.mean, *leads))
    if not rows:
        return None
    columns = tuple(f"{k} neighbours (points more)" for k in counts)
    return Section(
        key="neighbours",
        title="Neighbours beside the classifier",
        words=(
            "The report says that 20 to 100 neighbours are 1 to 3 points better than logistic regression. Where "
            "neighbours are better, classes lie in bent shapes that no plane cuts apart; where they are worse, a "
            "plane still finds a direction that distance does not weigh.",
        ),
        exhibits=(
            Table(
                name="neighbours",
                title="How much better a vote of neighbours is than the linear classifier",
                columns=("protocol", "data", "loss", "augmentation", "classifier", *columns),
                rows=tuple(rows),
                note="Means over seeds; positive: neighbours are better.",
                percent=("classifier",),
            ),
        ),
    )
