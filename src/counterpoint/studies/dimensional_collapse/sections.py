"""The page: both toy models, spectra of trained encoders, what guards h, an easy feature, and the doctor's lead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Bars, Exhibit, Points, Section, Series, Table
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.studies.dimensional_collapse.claims import leads
from counterpoint.studies.dimensional_collapse.evaluators import NOISES, TOY_DEPTHS, lead_of
from counterpoint.studies.dimensional_collapse.grid import USUAL, Cued, depth, place, share, strong
from counterpoint.studies.league.claims import BASELINES
from counterpoint.studies.negatives.reading import ACCURACY, mean_of
from counterpoint.studies.statistics import Estimate, estimate, paired
from counterpoint.studies.study import Results

__all__ = ["About", "study_sections"]

Row = tuple[str | float | int | bool | None, ...]
STYLES = ("s-1", "s-2", "s-0", "s-3", "s-5", "s-6", "s-7")
FLOOR = 1e-8  # of the largest singular value, below which nothing is drawn
PROBE = Axis("linear probe accuracy", percent=True)


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        depths: layers of the projector.
        strengths: of the views.
        shares: of h, for DirectCLR.
        cued: planted cues.
        ablations: whose lead is measured.
    """

    depths: tuple[int, ...]
    strengths: tuple[float, ...]
    shares: tuple[float, ...]
    cued: tuple[Cued, ...]
    ablations: tuple[str, ...]

    @property
    def groups(self) -> dict[str, list[str]]:
        """Settings by what is changed."""
        return {
            "depth of the projector": [depth(layers) for layers in self.depths],
            "strength of the views": [strong(strength) for strength in self.strengths],
            "DirectCLR": [share(of) for of in self.shares],
        }


def study_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    made = [_toys(results), _spectra(results, about), _guards(results, about), _cue(results, about)]
    return [section for section in (*made, _lead(results, about)) if section is not None]


def _of(results: Results, setting: str, *path: str) -> Estimate | None:
    return estimate(results.values(*path, **place(setting)))


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


def _answers(results: Results, setting: str, name: str) -> list[Mapping[str, Any]]:
    return [r.found[name] for r in results.at(**place(setting)) if name in r.found]


def _averaged(lists: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(sum(values) / len(values) for values in zip(*lists, strict=True))


# ---------------------------------------------------------------- toy models


def _toys(results: Results) -> Section | None:
    answers = _answers(results, USUAL, "toys")
    if not answers:
        return None
    kinds = {
        "augmentation": ("Noise in half of the directions", [f"{n:g}" for n in NOISES], "noise {}"),
        "depth": ("Linear layers, hardly any noise", list(TOY_DEPTHS), "layers: {}"),
    }
    charts: list[Exhibit] = []
    rows: list[Row] = []
    for kind, (title, names, label) in kinds.items():
        ends: list[Line] = []
        courses: list[Line] = []
        for style, name in zip(STYLES, names, strict=False):
            held = [answer[kind][name] for answer in answers]
            values = [max(FLOOR, v) for v in _averaged([one["values"] for one in held])]
            said = label.format(name)
            ends.append(Line(said, tuple(float(i + 1) for i in range(len(values))), tuple(values), style))
            steps = tuple(float(step) for step in held[0]["steps"])
            courses.append(Line(said, steps, _averaged([one["course"] for one in held]), style))
            first, count = (
                estimate({i: float(one[at]) for i, one in enumerate(held)}) for at in ("start", "collapsed")
            )
            lap = [mean_of({i: one["aligned"][at] for i, one in enumerate(held) if "aligned" in one}) for at in _ENDS]
            spread = None if count is None else count.spread
            rows.append((title, said, _mean(first), _mean(count), spread, *lap, len(held)))
        x, y = Axis("direction, the strongest first"), Axis("variance, of the largest", log=True)
        charts.append(Chart(title, "Variance of the embeddings by direction at the end.", tuple(ends), x, y))
        y = Axis("weak directions of 16", low=0.0, high=16.0)
        note = "Directions with less than a tenth of the largest variance."
        charts.append(Chart(f"{title}: the course", note, tuple(courses), Axis("step"), y))
    table = Table(
        "toys",
        "Both toy models",
        ("model", "setting", "weak at first", "in the end", "±", "overlap at first", "overlap in the end", "seeds"),
        tuple(rows),
        "Directions of 16 with less than a tenth of the largest variance, mean and standard deviation over seeds. "
        "As one: a single layer that starts as the product of so many. Overlap of the eight weakest directions of "
        "the last two layers: 1 where they are the same.",
    )
    collapsed = mean_of({i: float(a["augmentation"]["1.5"]["collapsed"]) for i, a in enumerate(answers)})
    words = (
        "Two linear networks on Gaussian points, by a contrastive loss of inner products. The first sees views with "
        "noise in half of the directions; the second views that hardly differ, and has several layers. Most "
        "directions of a product of layers are weak from the start: what depth does is told by the one layer that "
        "starts from the same product.",
    )
    return Section("toys", f"Noise of 1.5 in 8 directions collapses {collapsed:g} of 16", words, (*charts, table))


_ENDS = ("start", "end")


# ---------------------------------------------------------------- spectra


def _spectra(results: Results, about: About) -> Section | None:
    charts: list[Exhibit] = []
    for group, settings in about.groups.items():
        for which in ("z", "h"):
            lines: list[Line] = []
            for style, setting in zip(STYLES, settings, strict=False):
                held = [answer[which]["values"] for answer in _answers(results, setting, "spectra")]
                if held:
                    values = tuple(v if v >= FLOOR else float("nan") for v in _averaged(held))
                    lines.append(Line(setting, tuple(float(i + 1) for i in range(len(values))), values, style))
            if lines:
                x, y = Axis("direction, the strongest first"), Axis("singular value, of the largest", log=True)
                charts.append(Chart(f"{which}: {group}", "On test images, means over seeds.", tuple(lines), x, y))
    if not charts:
        return None
    rows: list[Row] = []
    for group, settings in about.groups.items():
        for setting in settings:
            found = [
                _of(results, setting, "spectra", w, k) for w in ("z", "h") for k in ("width", "used", "share", "rank")
            ]
            right = _of(results, setting, *ACCURACY)
            if any(found):
                spreads = [None if one is None else one.spread for one in (found[3], found[7], right)]
                means = [_mean(one) for one in found]
                rows.append((group, setting, *means[:4], spreads[0], *means[4:], spreads[1], _mean(right), spreads[2]))
    heads = tuple(
        f"{w}: {k}" for w in ("z", "h") for k in ("width", "used", "rank / width", "effective rank", "± rank")
    )
    table = Table(
        "spectra",
        "How many dimensions are used",
        ("changed", "setting", *heads, "linear probe", "± probe"),
        tuple(rows),
        "Used: with a singular value above 1e-4 of the largest, of the covariance of unit rows on test images. Means "
        "and standard deviations over seeds. Spaces of other widths are compared by the rank over the width.",
        percent=("linear probe", "± probe", "z: rank / width", "h: rank / width"),
    )
    used, width = _of(results, USUAL, "spectra", "z", "used"), _of(results, USUAL, "spectra", "z", "width")
    title = "Spectra of trained encoders"
    if used is not None and width is not None:
        title = f"SimCLR's projection uses {used.mean:.0f} of {width.mean:.0f} dimensions"
    return Section("spectra", title, (), (*charts, table))


# ---------------------------------------------------------------- what guards h


def _guards(results: Results, about: About) -> Section | None:
    series: list[Series] = []
    for group, settings in about.groups.items():
        points = [(s, _of(results, s, "spectra", "h", "rank"), _of(results, s, *ACCURACY)) for s in settings]
        held = [(s, x.mean, y.mean) for s, x, y in points if x is not None and y is not None]
        if held:
            names, x, y = zip(*held, strict=True)
            series.append(Series(group, x, y, names))
    if not series:
        return None
    names = tuple(dict.fromkeys(s for settings in about.groups.values() for s in settings))
    found = {name: _of(results, name, *ACCURACY) for name in names}

    def ends(end: str) -> tuple[float | None, ...]:
        return tuple(None if one is None else getattr(one, end) for one in found.values())

    label = "linear probe"
    exhibits: list[Exhibit] = [
        Bars(
            "Accuracy",
            "Means over seeds with Student's 95 % interval, where there are several.",
            names,
            {label: ends("mean")},
            PROBE,
            {label: ends("low")},
            {label: ends("high")},
        ),
        Points(
            "Rank and accuracy",
            "Each point is a setting, means over seeds.",
            tuple(series),
            Axis("effective rank of h"),
            PROBE,
        ),
    ]
    bare = [
        (said, mean_of(results.values(ACCURACY[0], key, "probe", **place(USUAL)))) for key, said in BASELINES.items()
    ]
    words = tuple(f"The linear probe of {said} has {per_cent(value)}." for said, value in bare if value is not None)
    gain = [found.get(name) for name in (USUAL, depth(0))]
    title = "Rank and accuracy"
    if gain[0] is not None and gain[1] is not None:
        title = f"A projector of two layers is worth {in_points(gain[0].mean - gain[1].mean)}"
    return Section("guards", title, words, tuple(exhibits))


# ---------------------------------------------------------------- an easy feature


def _cue(results: Results, about: About) -> Section | None:
    rows: list[Row] = []
    for one in about.cued:
        found = [_of(results, one.name, *path) for path in (ACCURACY, ("cue-kept", "cue"), ("spectra", "h", "rank"))]
        if any(found):
            ends = [v for each in found for v in (_mean(each), None if each is None else each.spread)]
            hues = ("one" if one.alike else "own", "turned" if one.hidden else "left")
            rows.append((one.recipe, one.strength, *hues, *ends, max(f.seeds for f in found if f)))
    if not rows:
        return None
    lines: list[Line] = []
    for style, (path, said) in zip(STYLES, ((ACCURACY, "the class"), (("cue-kept", "cue"), "the cue")), strict=False):
        points = [(c.strength, _mean(_of(results, c.name, *path))) for c in about.cued if c.seen]
        held = [(x, y) for x, y in points if y is not None]
        if held:
            x, y = zip(*held, strict=True)
            lines.append(Line(said, x, y, style))
    axis = Axis("share of the cue's colour in a pixel")
    chart = Chart(
        "An easy feature beside a hard one",
        "What a linear probe reads from h of test images that carry the cue too; means over seeds.",
        tuple(lines),
        axis,
        Axis("accuracy", percent=True),
    )
    heads = ("class", "± class", "cue", "± cue")
    table = Table(
        "cue",
        "The planted colour",
        ("method", "share of colour", "hues", "in the views", *heads, "effective rank of h", "± rank", "seeds"),
        tuple(rows),
        "Cue: which eighth of the circle the hue lies in, 12.5 % by chance. Hues: each image's own, or one for all. "
        "Views move and cut, and leave colours as they are or turn their hue.",
        percent=heads,
    )
    words = (
        "Each image is mixed with a colour of its own, drawn from a thousand hues whatever its class, so that two "
        "views can be known as one image by their colour alone.",
        "A colour takes contrast too, which costs accuracy though it hides nothing: what it hides is told by images "
        "that all have one colour, beside an encoder that learns from labels.",
    )
    title = "An easy feature beside a hard one"
    costs = [
        paired(*(results.values(*ACCURACY, **place(c.name)) for c in (one, replace(one, alike=False))))
        for one in about.cued
        if one.alike
    ]
    means = [in_points(one.mean) for one in costs if one is not None]
    if len(means) == 2:
        simclr, labels = means
        title = f"Own colours in place of one cost SimCLR {simclr} on the class, supervised {labels}"
    return Section("cue", title, words, (chart, table))


# ---------------------------------------------------------------- the doctor


def _lead(results: Results, about: About) -> Section | None:
    rows: list[Row] = []
    charts: list[Exhibit] = []
    for name in about.ablations:
        own = lead_of(name)
        answers = [(r.cell.seed, r.found[own]) for r in results.at(**place(USUAL)) if own in r.found]
        for seed, one in answers:
            fell, other = one["fell"] or (None, None), one["other"]
            early = None if other is None else f"{other[1]} at {other[0]}"
            ends = (*fell, one["lead"], one["at most"])
            rows.append((name, seed, one["expected"], one["said"], early, *ends, one["diverged"], one["false alarms"]))
        if answers:
            _, one = answers[0]
            lines = [
                Line(said, tuple(float(x) for x, _ in one[key]), tuple(float(y) for _, y in one[key]), style)
                for key, said, style in (("accuracy", "left out", "s-1"), ("whole", "whole", "s-2"))
                if one[key]
            ]
            marks = [] if one["said"] is None else [(float(one["said"]), one["expected"])]
            if one["fell"] is not None:
                marks += [(float(at), said) for at, said in zip(one["fell"], _ENDS_OF_A_FALL, strict=True)]
            note = "Vertical lines: the doctor's word, and the readings between which accuracy fell; the first seed."
            y = Axis("kNN accuracy, held out", percent=True)
            charts.append(Chart(name, note, tuple(lines), Axis("step"), y, tuple(marks)))
    if not rows:
        return None
    counted = list(leads(results, about.ablations).values())
    fell = [lead for those in counted for lead in those]
    table = Table(
        "lead",
        "The doctor's word and the fall",
        (
            "left out",
            "seed",
            "expected",
            "said at step",
            "another word before",
            "fell after step",
            "by step",
            "lead, at least [steps]",
            "at most",
            "diverged",
            "findings in the whole",
        ),
        tuple(rows),
        "A dash in the fall: the accuracy did not fall, and there is no lead. Fallen: for good below the whole method "
        "by two standard errors, or diverged. It is read twice an epoch, so that a fall is known to lie between two "
        "readings; 0 is the start. A lead counts from the finding that was expected, or from the end of the run where "
        "that was never said, and at least to the earlier reading.",
    )
    words = ("Methods from which a part was left out collapse by construction; each is followed beside itself whole.",)
    title = "The doctor's word and the fall"
    if fell:
        first, runs = sum(lead > 0 for lead in fell), len(counted) * len(about.ablations)
        title = f"{len(fell)} of {runs} runs fell, {first} of them after the doctor had named it"
    return Section("lead", title, words, (*charts, table))


_ENDS_OF_A_FALL = ("not fallen yet", "fallen")
