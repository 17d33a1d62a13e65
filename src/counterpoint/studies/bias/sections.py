"""The page: what is kept of a cue and whom it misleads, then rare and missing classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Section, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.bias.grid import BALANCED, CUES, HALF, MIXED, TAIL
from counterpoint.studies.bias.reading import fall, kept, lost, of_sets
from counterpoint.studies.negatives.reading import mean_of
from counterpoint.studies.statistics import Estimate, estimate
from counterpoint.studies.study import Results

__all__ = ["About", "study_sections"]

Row = tuple[str | float | int | bool | None, ...]
STYLES = ("s-1", "s-2", "s-0", "s-3", "s-5", "s-6", "s-7")
_SAID = {"cast": "a cast of colour over the whole image", "patch": "a coloured patch in the corner"}


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        methods: recipe to title, in order.
        at: the method at whose runs the untrained encoder was read.
        agreements: shares of agreement.
        classes: names; the second half are rare or missing.
    """

    methods: Mapping[str, str]
    at: str
    agreements: tuple[float, ...]
    classes: tuple[str, ...]


def study_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    made = [_cue(results, about, cue) for cue in CUES] + [_uneven(results, about)]
    return [section for section in made if section is not None]


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


# ---------------------------------------------------------------- cues


def _cue(results: Results, about: About, cue: str) -> Section | None:
    measures = {
        ("cue",): ("How much of the cue is kept", "accuracy on the cue"),
        ("tied", "conflict"): ("Whom the cue misleads", "accuracy where cue and class conflict"),
        ("fair", "conflict"): ("What is left of the class", "accuracy where cue and class conflict"),
        ("tied", "agree"): ("Where cue and class agree", "accuracy where they agree"),
    }
    notes = {
        ("cue",): "A linear probe of h for the cue, fitted where it says nothing of the class.",
        ("tied", "conflict"): "A linear probe for the class, fitted on training images as they are.",
        ("fair", "conflict"): "The same, fitted on images whose cue was drawn anew.",
        ("tied", "agree"): "The probe fitted on training images as they are.",
    }
    charts: list[Exhibit] = []
    for path, (title, label) in measures.items():
        lines: list[Line] = []
        for style, (name, said) in zip(STYLES, about.methods.items(), strict=False):
            points = [(a, mean_of(kept(results, name, cue, a, *path))) for a in about.agreements]
            held = [(a, v) for a, v in points if v is not None]
            if held:
                x, y = zip(*held, strict=True)
                lines.append(Line(said, x, y, style))
        if lines:
            axis = Axis("training images whose cue agrees with their class", percent=True)
            charts.append(Chart(title, notes[path], tuple(lines), axis, Axis(label, percent=True)))
    if not charts:
        return None
    rows: list[Row] = []
    for name, said in about.methods.items():
        for agreement in about.agreements:
            found = [estimate(kept(results, name, cue, agreement, *path)) for path in _COLUMNS]
            if any(found):
                ends = [v for one in found for v in (_mean(one), None if one is None else one.spread)]
                rows.append((said, agreement, *ends, max(f.seeds for f in found if f)))
    for agreement in about.agreements[:1]:
        bare = [mean_of(kept(results, about.at, cue, agreement, "untrained", *path)) for path in _COLUMNS]
        if any(v is not None for v in bare):
            rows.append(("the untrained encoder", agreement, *(v for one in bare for v in (one, None)), None))
    heads = tuple(head for name in _COLUMNS.values() for head in (name, f"± {name}"))
    table = Table(
        f"cue-{cue}",
        "Every setting",
        ("method", "agreement", *heads, "seeds"),
        tuple(rows),
        "Accuracy on test images, whose cue is drawn whatever their class; means and standard deviations over seeds. "
        "Named after the cue: share of the conflicting images that the probe gives the class that their cue says.",
        percent=("agreement", *heads),
        folded=True,
    )
    low, high = min(about.agreements), max(about.agreements)
    falls = {said: mean_of(fall(results, m, cue, (low, high), "tied", "conflict")) for m, said in about.methods.items()}
    known = {said: value for said, value in falls.items() if value is not None}
    keeps = {said: mean_of(kept(results, m, cue, high, "cue")) for m, said in about.methods.items()}
    words = [f"Every image has {_SAID[cue]}, one colour for each class."]
    told = [f"{said} {per_cent(value)}" for said, value in keeps.items() if value is not None]
    if told:
        words.append(f"At {per_cent(high)} of agreement the cue can be read from h to: {', '.join(told)}.")
    title = f"A cue that is {_SAID[cue]}"
    if known:
        most = max(known, key=lambda said: known[said])
        title = f"{_SAID[cue][0].upper()}{_SAID[cue][1:]} misleads {most} most: {in_points(known[most])} lost"
    return Section(f"cue-{cue}", title, tuple(words), (*charts, table))


_COLUMNS: Mapping[tuple[str, ...], str] = {
    ("cue",): "cue",
    ("tied", "agree"): "class, agreeing",
    ("tied", "conflict"): "class, conflicting",
    ("tied", "cued"): "named after the cue",
    ("fair", "conflict"): "class, conflicting, fair probe",
}


# ---------------------------------------------------------------- rare and missing classes


def _uneven(results: Results, about: About) -> Section | None:
    sets = (TAIL, BALANCED, HALF, MIXED)
    rows: list[Row] = []
    for name, said in about.methods.items():
        for images in sets:
            found = [estimate(of_sets(results, name, images, key)) for key in ("all", "first", "last")]
            if any(found):
                ends = [v for one in found for v in (_mean(one), None if one is None else one.spread)]
                rows.append((said, images, *ends, max(f.seeds for f in found if f)))
    if not rows:
        return None
    exhibits: list[Exhibit] = [
        _lost(results, about, (BALANCED, TAIL), "all", "What a long tail costs", "all classes"),
        _lost(results, about, (MIXED, HALF), "last", "What missing classes cost", "the classes that were missing"),
        *_by_class(results, about),
    ]
    heads = tuple(h for n in ("all classes", "first half", "second half") for h in (n, f"± {n}"))
    exhibits.append(
        Table(
            "uneven",
            "Accuracy by what was trained on",
            ("method", "trained on", *heads, "seeds"),
            tuple(rows),
            "Of a linear probe on h that has seen all classes alike; the second half of the classes is the rare or the "
            "missing one. Means and standard deviations over seeds.",
            percent=heads,
            folded=True,
        )
    )
    costs = {said: mean_of(lost(results, m, (BALANCED, TAIL), "all")) for m, said in about.methods.items()}
    known = {said: value for said, value in costs.items() if value is not None}
    title = "Rare and missing classes"
    if known:
        least = min(known, key=lambda said: known[said])
        title = f"A long tail costs {least} least: {in_points(known[least])}"
    words = (
        "An encoder sees few images of some classes, or none, and a probe that has seen all judges it. Beside it "
        "stands as long a training on as many images of all classes alike, so that only the bias differs.",
    )
    return Section("uneven", title, words, tuple(exhibits))


def _lost(results: Results, about: About, sets: tuple[str, str], key: str, title: str, where: str) -> Bars:
    found = {said: estimate(lost(results, name, sets, key)) for name, said in about.methods.items()}

    def ends(end: str) -> tuple[float | None, ...]:
        return tuple(None if one is None else getattr(one, end) for one in found.values())

    label = "accuracy lost"
    note = f"Accuracy on {where} after training on {sets[0]} less {sets[1]}; means with Student's 95 % interval."
    axis = Axis(label, percent=True)
    return Bars(title, note, tuple(found), {label: ends("mean")}, axis, {label: ends("low")}, {label: ends("high")})


def _by_class(results: Results, about: About) -> list[Exhibit]:
    lines: list[Line] = []
    for style, (name, said) in zip(STYLES, about.methods.items(), strict=False):
        each = [_each(results, name, images) for images in (BALANCED, TAIL)]
        if all(each):
            pairs = list(zip(*each, strict=True))
            gaps = [float("nan") if a is None or b is None else a - b for a, b in pairs]
            lines.append(Line(said, tuple(float(i + 1) for i in range(len(gaps))), tuple(gaps), style))
    if not lines:
        return []
    axis, y = Axis("class, from the most images to the fewest"), Axis("accuracy lost", percent=True)
    return [Chart("A long tail, class by class", "Means over seeds.", tuple(lines), axis, y)]


def _each(results: Results, method: str, images: str) -> Sequence[float | None]:
    held = [
        r.found["rare"]["each"] for r in results.asked(part="uneven", images=images, method=method) if "rare" in r.found
    ]
    return [None if any(v is None for v in values) else sum(values) / len(values) for values in zip(*held, strict=True)]
