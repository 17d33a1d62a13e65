"""Verification and one-shot naming, of classes that were never trained on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from counterpoint.report.charts import Axis, Chart, Line
from counterpoint.report.exhibits import Section, Table
from counterpoint.studies.study import Result, Results
from counterpoint.studies.twelve_scenarios.grid import LOSSES, POLICIES
from counterpoint.studies.twelve_scenarios.page.names import percent
from counterpoint.studies.twelve_scenarios.published import NAMED

__all__ = ["unseen"]


_UNSEEN = {
    "digits": "MNIST digits: classes that were trained on, for comparison",
    "letters": "EMNIST letters: classes never trained on",
    "omniglot": "Omniglot characters: classes never trained on, other pens, thinner strokes",
}
_GEOMETRY = {"pairwise": "cosine", "triplet": "euclidean"}


def unseen(results: Results) -> Section | None:
    """What nets that learned from MNIST know of other classes; None where it was not asked."""
    exhibits: list[Table | Chart] = []
    words = [
        "A siamese net promises a measure of likeness: are these two images of one class (verification), and which of "
        "five or twenty examples does this one belong to (one-shot), for classes that nobody showed it. Asked of the "
        "nets that learned from MNIST, in the geometry that their loss trains (cosine for pairwise, Euclidean for "
        "triplet). Raw pixels and the net before training say what had to be beaten."
    ]
    for of, title in _UNSEEN.items():
        found = _unseen_rows(results, of)
        if not found:
            continue
        ways = sorted({w for _, _, said in found for w in said["one_shot"]}, key=int)
        shots = tuple(f"{w}-way one-shot" for w in ways)
        chance = " and ".join(f"{100 / int(w):.0f} %" for w in ways)
        rows = [
            (
                who,
                geometry,
                said["auroc"],
                said["equal_error_rate"],
                *(said["one_shot"].get(w) for w in ways),
                said["seeds"],
            )
            for who, geometry, said in found
        ]
        exhibits.append(
            Table(
                name=f"unseen-{of}",
                title=title,
                columns=("net", "geometry", "area under ROC", "equal error rate", *shots, "seeds"),
                rows=tuple(rows),
                note="Means over seeds. Area: 50 % is chance; equal error rate: where as many same pairs are refused "
                f"as others are accepted, 50 % is chance; one-shot: chance is {chance}.",
                percent=("area under ROC", "equal error rate", *shots),
            )
        )
        exhibits += _curves(results, of, title)
        words += _verdict(found, title, ways)
    if not exhibits:
        return None
    return Section("unseen", "Classes that were never trained on", tuple(words), tuple(exhibits))


def _summary(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds of one encoder's answers in one geometry."""
    n = len(answers)
    ways = answers[0]["one_shot"]
    return {
        "auroc": sum(a["auroc"]["value"] for a in answers) / n,
        "equal_error_rate": sum(a["equal_error_rate"]["value"] for a in answers) / n,
        "one_shot": {w: sum(a["one_shot"][w]["value"] for a in answers) / n for w in ways},
        "seeds": n,
    }


def _answering(results: Results, of: str, **place: str) -> list[Result]:
    return [r for r in results.at(part="table", protocol="sound", data="mnist", **place) if f"unseen-{of}" in r.found]


def _unseen_rows(results: Results, of: str) -> list[tuple[str, str, dict[str, Any]]]:
    rows: list[tuple[str, str, dict[str, Any]]] = []
    for loss in LOSSES:
        for policy in POLICIES:
            held = _answering(results, of, loss=loss, policy=policy)
            if held:
                said = [r.found[f"unseen-{of}"]["learned"][_GEOMETRY[loss]] for r in held]
                rows.append((f"{loss}, {NAMED[policy]}", _GEOMETRY[loss], _summary(said)))
    every = _answering(results, of)
    if every:
        for encoder, name in (("untrained", "the untrained net"), ("pixels", "raw pixels")):
            for geometry in _GEOMETRY.values():
                seeds = {r.cell.seed: r.found[f"unseen-{of}"][encoder][geometry] for r in every}
                rows.append((name, geometry, _summary(list(seeds.values()))))
    return rows


def _verdict(found: Sequence[tuple[str, str, Mapping[str, Any]]], title: str, ways: Sequence[str]) -> Iterator[str]:
    learned = [(said["auroc"], who) for who, _, said in found if "," in who]
    pixels = max(said["auroc"] for who, _, said in found if who == "raw pixels")
    if learned:
        best, who = max(learned)
        better = sum(value > pixels for value, _ in learned)
        yield (
            f"{title}: {better} of {len(learned)} nets tell pairs better than raw pixels do; the best is {who}, with "
            f"an area of {percent(best)} beside {percent(pixels)} of pixels."
        )


def _curves(results: Results, of: str, title: str) -> list[Chart]:
    """ROC of the best net, of raw pixels and of the untrained net, first seed."""
    first = next(iter(_answering(results, of)), None)
    if first is None:
        return []
    seed = first.cell.seed
    learned = [r for r in _answering(results, of) if r.cell.seed == seed]

    def own(result: Result) -> Mapping[str, Any]:
        return result.found[f"unseen-{of}"]["learned"][_GEOMETRY[result.cell.place["loss"]]]

    best = max(learned, key=lambda r: own(r)["auroc"]["value"])
    baselines = first.found[f"unseen-{of}"]

    def line(label: str, said: Mapping[str, Any], style: str) -> Line:
        return Line(label, tuple(said["fpr"]), tuple(said["tpr"]), style)

    name = f"{best.cell.place['loss']}, {NAMED[best.cell.place['policy']]}"
    lines = (
        line(name, own(best), "s-learned"),
        line("raw pixels, cosine", baselines["pixels"]["cosine"], "s-pixels"),
        line("untrained, cosine", baselines["untrained"]["cosine"], "s-untrained"),
    )
    return [
        Chart(
            title=f"Verification, {title.partition(':')[0]}",
            note=f"Higher is better; the diagonal is chance. The best of the nets, seed {seed}.",
            lines=lines,
            x=Axis("other pairs accepted", low=0.0, high=1.0, percent=True),
            y=Axis("same pairs accepted", low=0.0, high=1.0, percent=True),
        )
    ]
