"""The page of `simlap-settings`: every setting with its accuracies and the doctor's word."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from counterpoint.report.charts import Axis
from counterpoint.report.exhibits import Exhibit, Section, Table
from counterpoint.report.numbers import in_points
from counterpoint.studies.simlap.judged import FLOOR, KNN, PROBE, SOURCE_FLOOR
from counterpoint.studies.simlap.page import bars_of
from counterpoint.studies.simlap.settings_claims import DEFAULT, SOURCE, at_setting, spoken
from counterpoint.studies.statistics import estimate, paired
from counterpoint.studies.study import Results

__all__ = ["About", "setting_sections", "word"]

MEASURES = {"transfer": KNN, "source": ("source", "learned", "knn")}
PROBES = {"transfer": PROBE, "source": SOURCE}
BARE = {"untrained": "the untrained encoder", "pixels": "raw pixels"}
Row = tuple[str | float | int | bool | None, ...]


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        settings: name and value of each, the default first.
        targets: names of the data that are transferred to.
    """

    settings: tuple[tuple[str, str], ...]
    targets: tuple[str, ...]


def word(results: Results, name: str, value: str) -> str:
    """What was said of the runs of a setting, with how many said so: the doctor's verdict, and why a run failed."""
    said: Counter[str] = Counter()
    for result in results.asked(setting=name, value=value):
        course = result.found.get("course")
        if result.folder is None and not result.failed:
            continue
        verdict = (result.checkup or course or {}).get("verdict", "")
        why = "" if course is not None else result.error
        said["; ".join(filter(None, (why, verdict))) or "not read yet"] += 1
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{text} ({count} of {said.total()} seeds)" for text, count in said.items())


def setting_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    return [_accuracy(results, about), _doctor(results, about)]


def _shown(name: str, value: str) -> str:
    return "the default" if name == DEFAULT["setting"] else f"{name} {value}"


def _accuracy(results: Results, about: About) -> Section:
    names = [_shown(name, value) for name, value in about.settings]
    exhibits: list[Exhibit] = []
    for title, key, note in (
        ("On other data", "transfer", "kNN accuracy of h, mean over transfer sets."),
        ("On the source", "source", "kNN accuracy of h on the source's test images."),
    ):
        every = [at_setting(results, name, value, MEASURES[key]) for name, value in about.settings]
        exhibits += bars_of(title, note, names, {"SimLAP": every}, Axis("kNN accuracy", percent=True))
    changes = {
        _shown(name, value): found.mean
        for name, value in about.settings[1:]
        if (found := paired(at_setting(results, name, value), at_setting(results, *about.settings[0]))) is not None
    }
    title = "Nothing is judged yet"
    words: list[str] = []
    if changes:
        best, worst = max(changes, key=changes.__getitem__), min(changes, key=changes.__getitem__)
        title = f"On other data {best} is best and {worst} is worst of what was changed"
        words.append(
            f"Against the default {best} makes {_signed(changes[best])} and {worst} {_signed(changes[worst])} by "
            "nearest neighbours, on the mean over transfer sets; the best of many is best by chance too."
        )
    return Section("settings", title, tuple(words), (*exhibits, _table(results, about), _each(results, about)))


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{in_points(abs(value))}"


def _table(results: Results, about: About) -> Table:
    rows: list[Row] = []
    base = at_setting(results, *about.settings[0])
    for name, value in about.settings:
        found = [estimate(at_setting(results, name, value, path)) for path in MEASURES.values()]
        numbers = [v for one in found for v in ((None, None) if one is None else (one.mean, one.spread))]
        change = None if name == DEFAULT["setting"] else paired(at_setting(results, name, value), base)
        gains = (None, None, None) if change is None else (change.mean, change.low, change.high)
        seeds = max((one.seeds for one in found if one), default=0)
        rows.append((name, value, *numbers, *gains, word(results, name, value) or None, seeds))
    for key, said in BARE.items():
        numbers: list[float | None] = []
        for path in MEASURES.values():
            one = estimate(_bare(results, key, path))
            numbers += [None, None] if one is None else [one.mean, one.spread]
        rows.append((said, None, *numbers, None, None, None, None, None))
    shares = tuple(head for measure in MEASURES for head in (measure, f"± {measure}"))
    change_heads = ("against the default", "low", "high")
    return Table(
        "settings",
        "Every setting",
        ("setting", "value", *shares, *change_heads, "said of the run", "seeds"),
        tuple(rows),
        "kNN accuracy of h, mean and standard deviation over seeds. The difference is of other data, in pairs over "
        "seeds, with Student's 95 % interval. A run that failed has no numbers, and its reason.",
        percent=(*shares, *change_heads),
    )


def _bare(results: Results, key: str, path: Sequence[str]) -> dict[int, float]:
    """The same measure of what needs no training, for each seed."""
    return results.values(*(FLOOR if path[0] == "transfer" else SOURCE_FLOOR)[key], *path[2:], **DEFAULT)


def _each(results: Results, about: About) -> Table:
    paths = {f"{name}, probe": path for name, path in PROBES.items()}
    for target in about.targets:
        paths |= {f"{target}, {key}": ("transfer", "learned", target, key.lower()) for key in ("kNN", "probe")}
    rows: list[Row] = []
    for name, value in about.settings:
        found = [estimate(at_setting(results, name, value, path)) for path in paths.values()]
        rows.append((name, value, *(None if one is None else one.mean for one in found)))
    for key, said in BARE.items():
        found = [estimate(_bare(results, key, path)) for path in paths.values()]
        rows.append((said, None, *(None if one is None else one.mean for one in found)))
    return Table(
        "targets",
        "Linear probe, and every transfer set",
        ("setting", "value", *paths),
        tuple(rows),
        "Means over seeds; transfer is the mean over all sets.",
        percent=tuple(paths),
        folded=True,
    )


def _doctor(results: Results, about: About) -> Section:
    rows: list[Row] = []
    ill: list[str] = []
    for name, value in about.settings:
        asked = results.asked(setting=name, value=value)
        verdicts = [spoken(result) for result in asked]
        known = [verdict for verdict in verdicts if verdict is not None]
        if known and all(known):
            ill.append(_shown(name, value))
        rows.append(
            (
                _shown(name, value),
                sum(result.diverged for result in asked),
                sum(known),
                len(known) - sum(known),
                len(asked) - len(known),
                word(results, name, value) or None,
            )
        )
    title = f"The doctor names {', '.join(ill)}" if ill else "The doctor names no setting in every seed"
    words = (
        "The doctor reads the log of a run: losses, updates, directions that are used. It is not told the accuracy. A "
        "run whose loss is no longer a number ends at once; the doctor reads what it logged until then.",
    )
    table = Table(
        "doctor",
        "What became of the runs",
        ("setting", "no number", "doctor finds something", "doctor finds nothing", "not judged", "said of them"),
        tuple(rows),
        "Runs, counted over seeds. Those whose loss was no number are counted by the doctor's word too.",
    )
    return Section("doctor", title, words, (table,))
