"""The twelve scenarios beside the published table, and what each part of a protocol changes."""

from collections.abc import Iterator, Mapping, Sequence

from counterpoint.report.exhibits import Bars, Section, Table
from counterpoint.studies.statistics import Estimate, estimate
from counterpoint.studies.study import Results
from counterpoint.studies.twelve_scenarios.answers import Answers, Protocol
from counterpoint.studies.twelve_scenarios.grid import DATA, LOSSES, POLICIES
from counterpoint.studies.twelve_scenarios.page.names import ACCURACY, PROTOCOLS, SAID, trained
from counterpoint.studies.twelve_scenarios.published import MEASURES, NAMED, SCENARIOS, SETS, Measured, published

__all__ = ["protocols", "table"]


def table(answers: Answers) -> Section:
    """Accuracy, top-3 and neighbours of one protocol beside the published figures."""
    rows: list[tuple[str | float | int | None, ...]] = []
    spreads: list[tuple[str | float | int | None, ...]] = []
    gaps: list[float] = []
    for cell in SCENARIOS:
        ours: dict[Measured, Estimate | None] = {m: estimate(answers.of(*cell, m)) for m in MEASURES}
        scenario = (SETS[cell[0]], cell[1], NAMED[cell[2]])
        pairs = ((None if e is None else e.mean, published(cell, m)) for m, e in ours.items())
        untrained = estimate(answers.of(*cell, "untrained"))
        rows.append((*scenario, *(value for pair in pairs for value in pair), untrained and untrained.mean))
        known = ours["accuracy"]
        spreads.append(
            (*scenario, *(None if e is None else e.spread for e in ours.values()), 0 if known is None else known.seeds)
        )
        if known is not None:
            gaps.append(known.mean - published(cell, "accuracy"))
    measures = tuple(SAID[m] for m in MEASURES)
    headings = tuple(heading for said in measures for heading in (said, f"{said}, published"))
    protocol = answers.protocol
    if protocol == "sound":
        headings = (*headings, "accuracy, untrained net")
    else:
        rows = [row[:-1] for row in rows]
    return Section(
        key=f"table-{protocol}",
        title=_table_title(protocol, gaps),
        words=_table_words(protocol),
        exhibits=(
            Table(
                name=f"table-{protocol}",
                title=f"Twelve scenarios, {protocol} protocol, beside the authors' results sheet",
                columns=("data", "loss", "augmentation", *headings),
                rows=tuple(rows),
                note="Means over seeds; published: one run, from the authors' repository. Neighbours: 30.",
                percent=headings,
            ),
            *(_bars(answers, data) for data in DATA),
            Table(
                name=f"spread-{protocol}",
                title="How much seeds differ",
                columns=("data", "loss", "augmentation", *measures, "seeds"),
                rows=tuple(spreads),
                note="Standard deviation over seeds.",
                percent=measures,
                folded=True,
            ),
        ),
    )


def _table_title(protocol: str, gaps: Sequence[float]) -> str:
    if not gaps:
        return f"Twelve scenarios, {protocol} protocol"
    mean = sum(gaps) / len(gaps)
    way = "above" if mean > 0 else "below"
    return (
        f"By the {protocol} protocol, accuracy is on average {abs(100 * mean):.1f} points {way} the published one, and "
        f"at most {100 * max(map(abs, gaps)):.1f} points away"
    )


def _table_words(protocol: Protocol) -> tuple[str, ...]:
    if protocol == "faithful":
        return (
            "Read these numbers beside the published ones, and with nothing else: the classifier has seen four fifths "
            "of the test images with their labels, and BatchNorm in training mode normalises each image with the "
            "other images of its batch, so that what is said of an image depends on its company. A net that is used "
            "on one image at a time does not have that company.",
        )
    return (
        "Positives and negatives are drawn anew at each step, and every image is an anchor; the classifier and the "
        "neighbours come from training images, the score from test images that nothing was fitted on. These numbers "
        "can be held against those of other work; the published ones, shown for the order, cannot.",
    )


def _within(share: float | None) -> float | None:
    """An end of an interval, where shares can be."""
    return None if share is None else min(1.0, max(0.0, share))


def _bars(answers: Answers, data: str) -> Bars:
    found: dict[str, list[Estimate | None]] = {
        loss: [estimate(answers.of(data, loss, policy, "accuracy")) for policy in POLICIES] for loss in LOSSES
    }
    return Bars(
        title=f"{SETS[data]}: accuracy by augmentation",
        note="Bars are means over seeds with their 95 % intervals; ticks are the published figures.",
        names=tuple(NAMED[policy] for policy in POLICIES),
        groups={loss: tuple(None if e is None else e.mean for e in every) for loss, every in found.items()},
        low={loss: tuple(_within(e and e.low) for e in every) for loss, every in found.items()},
        high={loss: tuple(_within(e and e.high) for e in every) for loss, every in found.items()},
        marks={loss: tuple(published((data, loss, policy), "accuracy") for policy in POLICIES) for loss in LOSSES},
        y=ACCURACY,
    )


_EVALUATIONS = {
    "faithful": "faithful",
    "faithful-running": "faithful, still BatchNorm",
    "sound": "sound",
}


def protocols(results: Results) -> Section | None:
    """Both ways of training under three ways of evaluation."""
    held = [protocol for protocol in PROTOCOLS if trained(results, protocol)]
    if not held:
        return None
    rows: list[tuple[str | float | None, ...]] = []
    means: dict[tuple[str, str], list[float]] = {}
    for data, loss, policy in SCENARIOS:
        row: list[str | float | None] = [SETS[data], loss, NAMED[policy]]
        for protocol in held:
            for evaluation in _EVALUATIONS:
                place = {"part": "table", "protocol": protocol, "data": data, "loss": loss, "policy": policy}
                ours = estimate(results.values(evaluation, "accuracy", **place))
                row.append(None if ours is None else ours.mean)
                if ours is not None:
                    means.setdefault((protocol, evaluation), []).append(ours.mean)
        rows.append(tuple(row))
    whole = {key: sum(v) / len(v) for key, v in means.items() if len(v) == len(SCENARIOS)}
    columns = [f"{protocol} / {said}" for protocol in held for said in _EVALUATIONS.values()]
    rows.append(("all", "mean", "", *(whole.get((p, e)) for p in held for e in _EVALUATIONS)))
    return Section(
        key="protocols",
        title="What each part of a protocol changes",
        words=(*_cost_words(whole), *_split_words(results)),
        exhibits=(
            Table(
                name="protocols",
                title="Accuracy by how a net was trained and how it was scored",
                columns=("data", "loss", "augmentation", *columns),
                rows=tuple(rows),
                note="Columns: how it was trained / how it was scored; still BatchNorm is in evaluation mode. Means "
                "over seeds. The faithful evaluation also leaves features as they are under a fixed penalty "
                "(C = 1), the sound one standardises them and chooses C on training images.",
                percent=tuple(columns),
            ),
        ),
    )


def _cost_words(whole: Mapping[tuple[str, str], float]) -> Iterator[str]:
    def apart(one: tuple[str, str], other: tuple[str, str], said: str) -> Iterator[str]:
        if one in whole and other in whole:
            yield f"{said} changes the mean of twelve accuracies by {100 * (whole[one] - whole[other]):+.1f} points."

    for protocol in PROTOCOLS:
        own = f"For nets trained by the {protocol} protocol, "
        yield from apart(
            (protocol, "faithful"), (protocol, "faithful-running"), f"{own}BatchNorm in training mode at evaluation"
        )
        yield from apart(
            (protocol, "sound"), (protocol, "faithful"), f"{own}the sound evaluation in place of the other"
        )
    yield from apart(
        ("sound", "sound"), ("faithful", "sound"), "At the sound evaluation, drawing pairs anew and using every image"
    )


def _split_words(results: Results) -> Iterator[str]:
    """How far the faithful accuracy moves by the split alone, beside how far by the seed."""
    spreads: list[float] = []
    for result in results.at(part="table"):
        values: Sequence[float] = result.found.get("faithful", {}).get("accuracy_by_split", ())
        if len(values) > 1:
            found = estimate(dict(enumerate(values)))
            spreads += [found.spread] if found is not None and found.spread is not None else []
    if spreads:
        mean = 100 * sum(spreads) / len(spreads)
        yield (
            f"Five random splits of the same features differ by a standard deviation of {mean:.1f} points on average: "
            "so much of the faithful accuracy is the draw of the 2,000 images."
        )
