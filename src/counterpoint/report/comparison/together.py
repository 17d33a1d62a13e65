"""Several runs as one value: who shares test images, what differs in their recipes, and what their scores differ by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint.errors import RunError
from counterpoint.report.run import Run, read
from counterpoint.report.settings import compact
from counterpoint.report.verdict import Difference, comparable, holm, matched, right
from counterpoint.report.words import LEADING

__all__ = [
    "ClassGap",
    "Gap",
    "Swap",
    "Together",
    "apart",
    "class_gaps",
    "gaps",
    "gather_runs",
    "settings",
    "swaps",
    "told",
]

MOST = 10
EXAMPLES = 12
# Sections of recipe.json in the order of the table; what is derived from others or only describes them is left out.
SECTIONS = ("recipe", "source", "encoder", "from", "parts", "seed", "validation", "engine", "environment")
DERIVED = ("name", "dials", "measured_seconds")


@dataclass(frozen=True, eq=False)
class Together:
    """Runs side by side.

    Args:
        runs: the reference first.
        names: short, all different.
        group: runs of one number were tested on the same images.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    group: tuple[int, ...]

    def peers(self) -> list[int]:
        """The runs that can be compared with the reference: scored, on the same test images."""
        scored = [i for i in range(1, len(self.runs)) if self.runs[i].scores and self.group[i] == self.group[0]]
        return scored if self.runs[0].scores else []


@dataclass(frozen=True)
class Gap:
    """By how much a run differs from the reference in one score.

    Args:
        name: of the measure.
        run: its position.
        difference: the run minus the reference.
        holds: also when all differences of the page are taken together.
        repeats: an earlier score of which it is the exact copy, as one label per class is where that is 1 % of them;
            it is shown, but not counted among the differences.
    """

    name: str
    run: int
    difference: Difference
    holds: bool
    repeats: str = ""

    @property
    def verdict(self) -> str:
        """`better` or `worse` where it holds among all, else `alike`."""
        return self.difference.verdict if self.holds else "alike"


@dataclass(frozen=True)
class ClassGap:
    """The share of a class that each run names rightly, None where it was not tested; gains are over the reference."""

    name: str
    accuracy: tuple[float | None, ...]
    n: int

    def gain(self, run: int) -> float | None:
        """Of a run over the reference."""
        ours, theirs = self.accuracy[run], self.accuracy[0]
        return None if ours is None or theirs is None else ours - theirs


@dataclass(frozen=True)
class Swap:
    """Test images on which a run and the reference disagree.

    Args:
        run: its position.
        gained, lost: how many only the run, and only the reference, names rightly.
        both, neither: how many both or none do.
        gains, losses: some of them: (sample, class, what the wrong one took it for).
    """

    run: int
    gained: int
    lost: int
    both: int
    neither: int
    gains: tuple[tuple[int, int, int], ...]
    losses: tuple[tuple[int, int, int], ...]


def gather_runs(folders: Sequence[Path], reference: Path | None = None) -> Together:
    """Read the runs.

    Args:
        folders: at least two different ones.
        reference: with which the others are compared; the first where None, and put first where it is another.

    Raises:
        RunError: fewer than two different folders or more than ten, or one is not a run.
    """
    wanted = [*([] if reference is None else [reference]), *folders]
    unique: dict[Path, Path] = {}
    for folder in wanted:
        unique.setdefault(folder.resolve(), folder)
    if len(unique) < 2 <= len(folders):
        raise RunError(f"the same run was named twice ({folders[0]}); a comparison needs at least two different runs")
    if len(unique) < 2:
        raise RunError(
            f"a comparison needs at least two different runs, and {len(unique)} was given; name two or more run folders"
        )
    if len(unique) > MOST:
        raise RunError(f"{len(unique)} runs do not fit side by side; name at most {MOST}")
    runs = tuple(read(folder) for folder in unique.values())
    return Together(runs, _names(list(unique)), _groups(runs))


def gaps(together: Together) -> list[Gap]:
    """Every score of every run that can be ranked, against the reference; Holm's rule over all of them."""
    first = together.runs[0]
    found = [
        (measure.name, i, gap)
        for measure in first.measures.get("learned", ())
        if comparable(measure)
        for i in together.peers()
        if (gap := _against(together.runs[i], first, measure.name)) is not None
    ]
    origin = _origins(together, found)
    counted = [(name, i) for name, i, _ in found if origin[name] == name]
    p = {(name, i): gap.p for name, i, gap in found}
    held = dict(zip(counted, holm([p[key] for key in counted]), strict=True))
    return [
        Gap(name, i, gap, held[origin[name], i], "" if origin[name] == name else origin[name]) for name, i, gap in found
    ]


def _origins(together: Together, found: Sequence[tuple[str, int, Difference]]) -> dict[str, str]:
    """For each score the first one that has the same label-for-label values and differences in every run."""
    first: dict[tuple[Any, ...], str] = {}
    origin: dict[str, str] = {}
    for name in dict.fromkeys(name for name, _, _ in found):
        measures = [run.measure("learned", name) for run in together.runs]
        values = tuple(None if m is None else (m.group, m.value, m.low, m.high) for m in measures)
        differences = tuple((i, gap) for other, i, gap in found if other == name)
        origin[name] = first.setdefault((values, differences), name)
    return origin


def settings(together: Together) -> list[tuple[str, tuple[str, ...]]]:
    """Paths at which the recipes differ, and what stands there in each run; a missing value is a dash."""
    rows: list[tuple[str, tuple[str, ...]]] = []
    for section in SECTIONS:
        _differ("" if section == "parts" else section, [run.recipe.get(section) for run in together.runs], rows)
    protocols = [(run.scores or {}).get("settings") for run in together.runs]
    if all(protocols):
        _differ("evaluation", protocols, rows)
    return rows


def class_gaps(together: Together) -> list[ClassGap]:
    """Accuracy of each class in each run on the reference's test images, the largest changes first."""
    first, peers = together.runs[0], together.peers()
    if len(first.classes) < 2 or not peers:
        return []
    columns = [_by_class(run) if i == 0 or i in peers else {} for i, run in enumerate(together.runs)]
    found = [
        ClassGap(name, tuple(column[name][0] if name in column else None for column in columns), n)
        for name, (_, n) in columns[0].items()
    ]
    return sorted(found, key=lambda c: -max(abs(c.gain(i) or 0.0) for i in peers))


def swaps(together: Together) -> list[Swap]:
    """For each comparable run, the images that it gets right and the reference wrong, and the other way."""
    theirs = _predictions(together.runs[0])
    found: list[Swap] = []
    for i in together.peers():
        ours = _predictions(together.runs[i])
        shared = sorted(ours.keys() & theirs.keys())
        if not shared:
            continue
        gains = [(s, *theirs[s]) for s in shared if ours[s][0] == ours[s][1] and theirs[s][0] != theirs[s][1]]
        losses = [(s, *ours[s]) for s in shared if ours[s][0] != ours[s][1] and theirs[s][0] == theirs[s][1]]
        both = sum(ours[s][0] == ours[s][1] and theirs[s][0] == theirs[s][1] for s in shared)
        neither = len(shared) - both - len(gains) - len(losses)
        found.append(Swap(i, len(gains), len(losses), both, neither, _some(gains), _some(losses)))
    return found


def apart(together: Together) -> list[tuple[str, str]]:
    """Runs without differences from the reference, each with the reason."""
    first = together.names[0]
    if not any(run.scores for run in together.runs):
        return [("none of the runs", "has been evaluated; `counterpoint evaluate RUN` scores one")]
    if not together.runs[0].scores:
        return [(first, "has not been evaluated, so nothing is compared with it; name another by --reference")]
    rest = [(i, run) for i, run in enumerate(together.runs) if i and i not in together.peers()]
    why = f"was tested on other images than {first}"
    return [(together.names[i], why if run.scores else "has not been evaluated") for i, run in rest]


def told(together: Together) -> list[tuple[str, str]]:
    """Headline scores as (name, label), those that the reference has; those of any run where it has none."""
    order = sorted(together.runs, key=lambda run: run is not together.runs[0])
    for run in order:
        labels = {m.name: m.label for m in run.measures.get("learned", ())}
        found = [(name, labels[name]) for name in LEADING if name in labels]
        if found:
            return found
    return []


def _by_class(run: Run) -> dict[str, tuple[float, int]]:
    rows = run.details("learned").get("per_class") or ()
    return {
        str(r["class"]): (float(r["accuracy"]), int(r.get("n") or 0)) for r in rows if r.get("accuracy") is not None
    }


def _against(run: Run, first: Run, name: str) -> Difference | None:
    ours, theirs = run.measure("learned", name), first.measure("learned", name)
    return matched(ours, theirs, run.details("learned"), first.details("learned"))


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    """The last part of each path, with as many before it as tell them apart."""
    parts = [folder.parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return tuple(names)
    return tuple(map(str, folders))


def _groups(runs: Sequence[Run]) -> tuple[int, ...]:
    members: list[list[Run]] = []
    found: list[int] = []
    for run in runs:
        place = next((i for i, each in enumerate(members) if all(_alike(run, other) for other in each)), len(members))
        if place == len(members):
            members.append([])
        members[place].append(run)
        found.append(place)
    return tuple(found)


def _alike(run: Run, other: Run) -> bool:
    """Whether two runs were tested on the same images, by their digests where both have one."""
    if _labels(run) != _labels(other):
        return False
    if run.digest and other.digest:
        return run.digest == other.digest
    return _tested_on(run) == _tested_on(other)


def _labels(run: Run) -> tuple[Any, ...]:
    predicted = run.details("learned").get("predicted") or {}
    labels = hash(tuple(zip(predicted.get("sample") or (), predicted.get("label") or (), strict=True)))
    return run.classes, labels if run.scores else ""


def _tested_on(run: Run) -> tuple[Any, ...]:
    """What must be equal, beside classes and labels, for test images of which there is no digest."""
    data = run.section("dataset")
    return data.get("name"), data.get("split"), data.get("test")


def _differ(path: str, values: Sequence[Any], rows: list[tuple[str, tuple[str, ...]]]) -> None:
    first = values[0]
    if all(value == first for value in values):
        return
    if all(isinstance(v, Mapping) for v in values) and len({v.get("part") for v in values}) == 1:
        for key in dict.fromkeys(key for value in values for key in value):
            if key not in DERIVED:
                _differ(f"{path}.{key}" if path else str(key), [value.get(key) for value in values], rows)
        return
    if all(isinstance(v, list) for v in values) and any(isinstance(item, Mapping) for v in values for item in v):
        for i in range(max(map(len, values))):
            _differ(f"{path}.{i}", [value[i] if i < len(value) else None for value in values], rows)
        return
    rows.append((path, tuple(compact(value) for value in values)))


def _predictions(run: Run) -> dict[int, tuple[int, int]]:
    predicted = run.details("learned").get("predicted")
    if not predicted or right(run.details("learned")) is None:
        return {}
    triples = zip(predicted["sample"], predicted["label"], predicted["prediction"], strict=True)
    return {int(s): (int(label), int(guess)) for s, label, guess in triples if label >= 0}


def _some(found: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    """A few, evenly spread over all."""
    if len(found) <= EXAMPLES:
        return tuple(found)
    return tuple(found[i * len(found) // EXAMPLES] for i in range(EXAMPLES))
