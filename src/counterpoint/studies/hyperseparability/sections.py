"""The study's page: histograms, tables, and what the answer depends on."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Histogram, Section, Table
from counterpoint.report.numbers import per_cent
from counterpoint.studies.conjecture import PART, POLICIES, attribute_sections
from counterpoint.studies.hyperseparability.cells import CHANGES, CHOSEN
from counterpoint.studies.hyperseparability.evaluators import EVERY, METHODS, OPEN, VARIANTS
from counterpoint.studies.hyperseparability.reading import (
    Published,
    Seeds,
    answers,
    below_common,
    below_own,
    of,
    published_of,
)
from counterpoint.studies.statistics import estimate
from counterpoint.studies.study import Results

__all__ = ["study_sections"]

BINS = 40
Row = tuple[str | float | int | bool | None, ...]


def study_sections(results: Results) -> tuple[Section, ...]:
    """What the cells that finished have to show."""
    parts = (_figure, _table, _sizes, _layers, _sensitivity, _open, _balanced, _transformations)
    made = [section for part in parts if (section := part(results)) is not None]
    return (*made, *attribute_sections(results))


# ---------------------------------------------------------------- numbers


def _mean(values: Mapping[int, float]) -> float | None:
    found = estimate(values)
    return None if found is None else found.mean


def _spread(values: Mapping[int, float]) -> float | None:
    found = estimate(values)
    return None if found is None else found.spread


def _said(value: float | None) -> str:
    return "–" if value is None else per_cent(value)


def _first(results: Results) -> Mapping[str, Any]:
    """Any answer of the paper's nets, for what all of them share."""
    return next(iter(found for m in METHODS for found in answers(results, m, "super-classes").values()), {})


def _published(results: Results) -> Published | None:
    known = _first(results)
    return published_of(known["source"], len(known["classes"])) if known else None


def _each(results: Results, method: str, field: str, evaluator: str = "super-classes") -> list[float]:
    """One value for each set, mean over seeds."""
    found = [answer["each"][field] for answer in answers(results, method, evaluator).values()]
    return [math.fsum(values) / len(values) for values in zip(*found, strict=True)]


def _kinds(results: Results) -> str:
    known = _first(results)
    classes = len(known["classes"])
    if classes <= EVERY:
        return f"all {2**classes:,} sets of its {classes} classes"
    return f"{len(known['each']['set']):,} random sets of its {classes} classes"


# ---------------------------------------------------------------- figure 1


def _figure(results: Results) -> Section | None:
    shown = [method for method in METHODS if answers(results, method, "super-classes")]
    if not shown:
        return None
    errors = {method: _each(results, method, "error") for method in shown}
    bars = {method: _mean(of(results, method, "super-classes", "multi-class")) or 0.0 for method in shown}
    top = 1.02 * max(*(max(found) for found in errors.values()), *bars.values(), 1e-3)
    edges = tuple(top * i / BINS for i in range(BINS + 1))

    def counts(found: Sequence[float]) -> tuple[float, ...]:
        held = [0.0] * BINS
        for error in found:
            held[min(BINS - 1, int(error / top * BINS))] += 1
        return tuple(held)

    shares = {method: _mean(of(results, method, "super-classes", "below")) for method in shown}
    told = " and ".join(f"{_said(shares[method])} from the {method} net" for method in shown)
    exhibits: list[Exhibit] = [
        Histogram(
            title=f"Super-class errors of the {method} net",
            note="How many sets have which test error, mean over seeds; the line is the error for the classes.",
            edges=edges,
            groups={method: counts(errors[method])},
            x=Axis("test error of a super-class", percent=True, low=0.0),
            marks=((bars[method], f"classes: {_said(bars[method])}"),),
        )
        for method in shown
    ]
    words = (
        "Of a frozen net's representation one can ask more than the class it was trained for, or never told: is this "
        f"one of a given set of classes? A straight cut is fitted for each of {_kinds(results)} and scored on test "
        f"images. Read with fewer errors than the classes themselves are {told} of these sets.",
        "For a person: where most sets can be cut off by one hyperplane, questions that nobody thought of when the "
        "net was trained can still be answered from what it stores, each with one more row of weights.",
    )
    return Section("figure", f"Sets easier than the classes: {told}", words, (*exhibits, _every_set(results, shown)))


def _every_set(results: Results, shown: Sequence[str]) -> Table:
    """Every super-class by name."""
    known = _first(results)
    names, sets = known["classes"], known["each"]["set"]
    fields = ("error", "balanced error", "mcc")
    columns = [_each(results, method, field) for method in shown for field in fields]
    rows: list[Row] = []
    for at, number in enumerate(sets):
        inside = [name for place, name in enumerate(reversed(names)) if number >> place & 1][::-1]
        rows.append((" ".join(inside) or "(none)", len(inside), *(column[at] for column in columns)))
    if len(shown) and len(rows) > 1:
        rows.sort(key=lambda row: -float(row[2] or 0.0))
    return Table(
        name="super-classes",
        title="Every super-class, the hardest first",
        columns=("set", "classes", *(f"{field}, {method}" for method in shown for field in fields)),
        rows=tuple(rows),
        note="Means over seeds. A set and its complement are one question. MCC: 1 is perfect, 0 a constant answer.",
        percent=tuple(f"{field}, {method}" for method in shown for field in fields[:2]),
        folded=True,
    )


# ---------------------------------------------------------------- table 1 and what stands beside it


def _table(results: Results) -> Section | None:
    shown = [method for method in METHODS if answers(results, method, "super-classes")]
    if not shown:
        return None
    published, common = _published(results), below_common(results)
    measures: list[tuple[str, Callable[[str], Seeds], Callable[[str], float | None]]] = [
        (
            "multi-class error",
            lambda m: of(results, m, "super-classes", "multi-class"),
            lambda m: published.error[m] if published else None,
        ),
        (
            "sets below it, trivial ones counted",
            lambda m: of(results, m, "super-classes", "below"),
            lambda m: published.below[m] if published else None,
        ),
        ("sets below it, without the empty and the full set", _number(results, "below, proper"), _nothing),
        ("sets below it, one of each set and its complement", _number(results, "below, dichotomies"), _nothing),
        ("sets below one bar, the smaller multi-class error", lambda m: common[m], _nothing),
        ("mean error", _number(results, "error"), _nothing),
        ("largest error", _number(results, "worst"), _nothing),
        ("mean balanced error", _number(results, "balanced error"), _nothing),
        ("mean MCC, 1 as 100 %", _number(results, "mcc"), _nothing),
        (
            "converged: multi-class error",
            lambda m: of(results, m, "super-classes-converged", "multi-class"),
            _nothing,
        ),
        ("converged: sets below it", lambda m: of(results, m, "super-classes-converged", "below"), _nothing),
        ("converged: mean error", lambda m: of(results, m, "super-classes-converged", "error"), _nothing),
    ]
    rows: list[Row] = []
    for said, found, paper in measures:
        values = [found(method) for method in METHODS]
        if not any(values):
            continue
        cells = [part for m, v in zip(METHODS, values, strict=True) for part in (_mean(v), _spread(v), paper(m))]
        rows.append((said, *cells))
    heads = [head for m in METHODS for head in (m, f"{m}, spread", f"{m}, paper")]
    known = _first(results)
    seeds = max(len(answers(results, method, "super-classes")) for method in shown)
    table = Table(
        name="table-1",
        title="Table 1, and what an honest reader asks besides",
        columns=("measure", *heads),
        rows=tuple(rows),
        note=f"{seeds} {'seed' if seeds == 1 else 'seeds'}; {known['train images']:,} training and "
        f"{known['test images']:,} test images. Means without the empty and the full set, except where they are "
        "counted.",
        percent=tuple(heads),
    )
    bars = {m: _mean(of(results, m, "super-classes", "multi-class")) for m in shown}
    strict = min(shown, key=lambda method: bars[method] or 0.0)
    words = (
        "The paper holds each net's super-classes against that net's own multi-class error, which is the smaller, "
        f"and the stricter bar, for the {strict} net here. So the shares are given below one bar for both as well, "
        "and plain errors beside them. The empty and the full set have no error and count in the paper's shares; a "
        "set and its complement are one question. Small sets are rare, so that a constant answer is often right: the "
        "balanced error gives it a half, the MCC nothing.",
        "Converged heads are logistic regressions trained to the end instead of ten passes of Adam.",
    )
    return Section("table", "Table 1, and the same numbers on one scale", words, (table,))


def _number(results: Results, name: str) -> Callable[[str], Seeds]:
    return lambda method: of(results, method, "super-classes", name)


def _nothing(method: str) -> None:
    """The paper says nothing."""


# ---------------------------------------------------------------- error against size


def _sizes(results: Results) -> Section | None:
    shown = [method for method in METHODS if answers(results, method, "super-classes")]
    if not shown:
        return None
    known = _first(results)["each"]
    sizes = sorted(set(known["size"]))

    def by_size(values: Sequence[float]) -> tuple[float, ...]:
        groups = [[v for v, size in zip(values, known["size"], strict=True) if size == one] for one in sizes]
        return tuple(math.fsum(group) / len(group) for group in groups)

    def chart(field: str, said: str, *more: Line) -> Chart:
        lines = [
            Line(method, tuple(map(float, sizes)), by_size(_each(results, method, field)), style)
            for method, style in zip(shown, ("s-0", "s-1"), strict=False)
        ]
        return Chart(
            title=f"{said.capitalize()} against the size of the set",
            note="Mean over the sets of a size and over seeds.",
            lines=(*lines, *more),
            x=Axis("classes in the set"),
            y=Axis(said, percent=True, low=0.0),
        )

    constant = [min(share, 1 - share) for share in known["share"]]
    rows: list[Row] = [
        (size, known["size"].count(size), rare, *found)
        for size, rare, *found in zip(
            sizes, by_size(constant), *(by_size(_each(results, m, f)) for m in shown for f in _FIELDS), strict=True
        )
    ]
    heads = tuple(f"{field}, {method}" for method in shown for field in _FIELDS)
    table = Table(
        name="sizes",
        title="By size",
        columns=("classes", "sets", "constant answer", *heads),
        rows=tuple(rows),
        note="Constant answer: the error of always saying what is commoner.",
        percent=("constant answer", *heads),
        folded=True,
    )
    hardest = [
        f"{max(zip(by_size(_each(results, method, 'error')), sizes, strict=True))[1]} for the {method} net"
        for method in shown
    ]
    words = (
        "A set of one class is that class, asked alone; a set of half the classes has the longest border. By their "
        f"mean error the hardest sets have this many classes: {' and '.join(hardest)}.",
    )
    charts = (chart("error", "test error"), chart("balanced error", "balanced error"))
    return Section("size", "Error against the size of a set", words, (*charts, table))


_FIELDS = ("error", "balanced error")


# ---------------------------------------------------------------- layers


def _layers(results: Results) -> Section | None:
    shown = [method for method in METHODS if answers(results, method, "layers")]
    if not shown:
        return None
    rows: list[Row] = []
    values: dict[str, list[float | None]] = {method: [] for method in METHODS}
    names: list[str] = []
    order = ["pixels", "PCA", "untrained hidden 1", "untrained h", "hidden 1", "h", "output"]
    extra = sorted({n for m in shown for found in answers(results, m, "layers").values() for n in found} - set(order))
    for layer in (*order[:5], *extra, *order[5:]):
        cells: list[float | None] = []
        for method in METHODS:

            def number(name: str, method: str = method, layer: str = layer) -> Seeds:
                if layer == "h":
                    return of(results, method, "super-classes", name)
                return of(results, method, "layers", layer, name)

            own = of(results, method, "super-classes", "below") if layer == "h" else below_own(results, method, layer)
            balanced = _mean(number("balanced error"))
            cells += [_mean(number("multi-class")), _mean(number("error")), balanced, _mean(own)]
            values[method].append(balanced)
        if any(cell is not None for cell in cells):
            rows.append((layer, *cells))
            names.append(layer)
        else:
            for method in METHODS:
                values[method].pop()
    what = ("multi-class error", "mean error", "mean balanced error", "sets below h's bar")
    heads = tuple(f"{one}, {method}" for method in METHODS for one in what)
    table = Table(
        name="layers",
        title="Every layer",
        columns=("layer", *heads),
        rows=tuple(rows),
        note="Sets below h's bar: with fewer errors than the classes from h of the same net. Means over seeds.",
        percent=heads,
    )
    bars = Bars(
        title="Mean balanced error of the super-classes, layer by layer",
        note="Lower is better; pixels, their principal components and random weights are the same for both nets.",
        names=tuple(names),
        groups={method: tuple(values[method]) for method in shown},
        y=Axis("mean balanced error", percent=True, low=0.0),
    )
    words = (
        "The same heads, fitted on the pixels, on the first hidden layer, on the representation h and on the output "
        "(the 100 numbers that the contrastive loss compares, or the logits of the classes). Random weights of the "
        "same shape and as many principal components of the pixels as h has numbers show what needs no learning.",
    )
    return Section("layers", "Where super-classes can be read", words, (bars, table))


# ---------------------------------------------------------------- what the paper leaves open


def _sensitivity(results: Results) -> Section | None:
    shown = [method for method in METHODS if answers(results, method, "super-classes")]
    rows: list[Row] = []
    own = {"as chosen": "super-classes", "converged, C = 1": "super-classes-converged"}
    for name in ("as chosen", *VARIANTS, "converged, C = 1"):
        cells: list[float | None] = []
        for method in METHODS:
            path = (own[name],) if name in own else ("sensitivity", name)
            cells += [_mean(of(results, method, *path, number)) for number in _NUMBERS]
        if any(cell is not None for cell in cells):
            rows.append((name, *cells))
    if not shown or len(rows) < 2:
        return None
    table = Table(
        name="sensitivity",
        title="The same nets under other classifiers",
        columns=("classifier", *_DEPENDS),
        rows=tuple(rows),
        note="As chosen: features standardised, Adam 0.001, batches of 256, 10 epochs. One change a row.",
        percent=_DEPENDS,
    )
    words = (
        "The paper says of its classifier that it is linear, has a softmax and is trained for 10 epochs; not with "
        "which optimiser, rate and batch, nor whether features are standardised. Over these choices the share lies "
        f"{_ranges(rows)}. A share of sets below a bar moves with the bar: a classifier that is better at many "
        "classes than at two lowers it.",
    )
    return Section("sensitivity", "How far the share depends on the classifier", words, (table,))


_NUMBERS = ("multi-class", "below", "error")
_DEPENDS = tuple(f"{what}, {m}" for m in METHODS for what in ("multi-class error", "sets below it", "mean error"))


def _ranges(rows: Sequence[Row]) -> str:
    """Of the shares, in rows of a name and for each method `_NUMBERS`."""
    told: list[str] = []
    for at, method in enumerate(METHODS):
        found = [value for row in rows if isinstance(value := row[2 + 3 * at], float)]
        if found:
            told.append(f"between {_said(min(found))} and {_said(max(found))} for the {method} net")
    return " and ".join(told)


def _open(results: Results) -> Section | None:
    def place(change: str, method: str) -> dict[str, str]:
        if (change, method) == (CHOSEN, METHODS[0]):
            return {"part": PART, "images": "grey", "policy": "elastic"}
        return {"part": OPEN, "change": change, "method": method}

    rows: list[Row] = []
    for change in CHANGES:
        found = [
            _mean(results.values("super-classes", number, **place(change.name, method)))
            for method in METHODS
            for number in _NUMBERS
        ]
        if any(number is not None for number in found):
            rows.append((change.name, *found))
    cells = [result.cell for result in results.at(part=OPEN)]
    if not cells or not rows:
        return None
    table = Table(
        name="open",
        title="Nets with one choice made otherwise",
        columns=("net", *_DEPENDS),
        rows=tuple(rows),
        note="As chosen: ReLU, Adam's rate 0.001, sigma 4 and alpha 34 pixels at 28 x 28; one change a row, one seed. "
        "A displacement grows with alpha and shrinks with sigma. Empty: not trained.",
        percent=_DEPENDS,
    )
    words = (
        "The paper says neither which activation its nets have, nor at which rate they learn, nor how strong the "
        f"distortion is. Here each choice is made otherwise, one at a time, in nets of {cells[0].dials['epochs']} "
        f"epochs, fewer than the paper's; hold them against their own first row. The share lies {_ranges(rows)}.",
    )
    return Section("open", "How far the share depends on what the paper leaves open", words, (table,))


def _balanced(results: Results) -> Section | None:
    if not any(answers(results, method, "super-classes-balanced") for method in METHODS):
        return None
    rows: list[Row] = []
    for evaluator, said in (("super-classes", "all images"), ("super-classes-balanced", "equally many of each class")):
        known = next(iter(f for m in METHODS for f in answers(results, m, evaluator).values()), None)
        if known is None:
            continue
        numbers = ("multi-class", "below", "error", "balanced error")
        found = [_mean(of(results, method, evaluator, name)) for method in METHODS for name in numbers]
        rows.append((said, known["train images"], known["test images"], *found))
    what = ("multi-class error", "sets below it", "mean error", "mean balanced error")
    heads = tuple(f"{one}, {method}" for method in METHODS for one in what)
    table = Table(
        name="balanced",
        title="On equally many images of each class",
        columns=("heads trained on", "training images", "test images", *heads),
        rows=tuple(rows),
        note="The nets themselves are the same: they were trained on all images.",
        percent=heads,
    )
    words = (
        "The paper's EMNIST has equally many images of each class; these data do not, so that common classes weigh "
        "more. The second row draws as many training and test images of each class as the rarest has.",
    )
    return Section("balanced", "The classes made equally common", words, (table,))


# ---------------------------------------------------------------- the choice of transformation


def _transformations(results: Results) -> Section | None:
    errors = {p: results.values("multi-class", "error", part=PART, images="grey", policy=p) for p in POLICIES}
    errors = {policy: found for policy, found in errors.items() if found}
    if not errors:
        return None
    ranked = sorted(errors, key=lambda policy: _mean(errors[policy]) or 0.0)
    means = {policy: _mean(errors[policy]) for policy in ranked}
    cell = next(iter(results.at(part=PART, images="grey", policy=ranked[0]))).cell
    bars = Bars(
        title="Multi-class test error after each transformation",
        note="The ten-epoch classifier on h; the best first.",
        names=tuple(ranked),
        groups={"error": tuple(means.values())},
        y=Axis("multi-class error", percent=True, low=0.0),
    )
    table = Table(
        name="transformations",
        title="By transformation",
        columns=("transformation", "multi-class error", "spread", "seeds"),
        rows=tuple((policy, means[policy], _spread(errors[policy]), len(errors[policy])) for policy in ranked),
        percent=("multi-class error", "spread"),
        folded=True,
    )
    words = (
        "The paper chose its transformation by the multi-class error: elastic distortion, rotation, re-sizing and "
        "translation, each alone and in pairs one after the other. Here each net is trained for "
        f"{cell.dials['epochs']} epochs, fewer than the paper's, all alike; the ranges of the movements are ours (the "
        "list of policies says them), since the paper gives none, and another range could change the order.",
    )
    return Section(
        "transformations", f"Of the transformations, {ranked[0]} has the smallest error", words, (bars, table)
    )
