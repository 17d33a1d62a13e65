"""What `simlap-settings` decides, by rules written before any run."""

from collections.abc import Sequence

from counterpoint.report.numbers import in_points
from counterpoint.studies.ruled import ruled
from counterpoint.studies.simlap.judged import KNN, SOURCE_FLOOR
from counterpoint.studies.statistics import above, apart, below, between, each, greater
from counterpoint.studies.study import Claim, Decision, Result, Results

__all__ = ["DEFAULT", "SOURCE", "at_setting", "best_lars", "gained", "setting_claims", "spoken"]

DEFAULT = {"setting": "default", "value": "as in other studies"}
SOURCE = ("source", "learned", "probe")
NEAR = 0.01  # of an accuracy, within which it is the same
HALF = 0.5  # of the default's gain over the untrained encoder, below which training barely converged
WHERE = "Wu et al. 2024, the ablations at 100 epochs"
NORMS = "Wu et al. 2024, on the projector"
ON_TRANSFER = "kNN (k = 10) of h, mean over the transfer sets"
ON_SOURCE = "Linear probe of h on the source's test images"


def at_setting(results: Results, name: str, value: str, path: Sequence[str] = KNN) -> dict[int, float]:
    """A measure for each seed.

    Args:
        results: of the study.
        name: of the setting; `default` for the default.
        value: of it.
        path: evaluator, and keys of its answer.
    """
    return results.values(*path, setting=name, value=DEFAULT["value"] if name == "default" else value)


def _default(results: Results, path: Sequence[str] = KNN) -> dict[int, float]:
    return at_setting(results, "default", "", path)


def _at_temperature(results: Results, value: str, path: Sequence[str] = KNN) -> dict[int, float]:
    """That setting; where it is none it is the default's."""
    asked = results.asked(setting="temperature", value=value)
    return at_setting(results, "temperature", value, path) if asked else _default(results, path)


def best_lars(results: Results, path: Sequence[str] = KNN) -> dict[int, float]:
    """A measure of LARS at that of its rates which is better on the source, seed by seed.

    A rate whose loss was no number loses the choice; a seed of which one is not trained yet has none.

    Args:
        results: of the study.
        path: evaluator, and keys of its answer.
    """
    tried: dict[int, list[Result]] = {}
    for result in results.asked(setting="optimizer"):
        tried.setdefault(result.cell.seed, []).append(result)
    found: dict[int, float | None] = {}
    for seed, every in tried.items():
        judged = [(result.number(*SOURCE), result) for result in every if not result.diverged]
        known = [(value, result) for value, result in judged if value is not None]
        if known and len(known) == len(judged):
            found[seed] = max(known, key=lambda one: one[0])[1].number(*path)
    return {seed: value for seed, value in found.items() if value is not None}


def spoken(result: Result) -> bool | None:
    """Whether the doctor found something in a run's log.

    A run whose loss was no number has ended, so that to say nothing of it, or that it is too short to judge, is to miss
    it; and where no step was read the doctor knows of its end alone, which is no finding of its own. None where nothing
    can be said: the run has not been trained, or was trained to its end and is too short to judge.
    """
    if result.diverged:
        return bool(result.checkup.get("findings") and result.checkup.get("readings"))
    healthy = result.found.get("course", {}).get("healthy")
    return None if healthy is None else not healthy


def _named(results: Results, name: str, value: str) -> dict[int, float]:
    """1 where the doctor found something, else 0, for each seed of which anything can be said."""
    asked = results.asked(setting=name, value=DEFAULT["value"] if name == "default" else value)
    found = {result.cell.seed: spoken(result) for result in asked}
    return {seed: float(said) for seed, said in found.items() if said is not None}


def gained(results: Results, name: str, value: str) -> dict[int, float]:
    """What a setting gains over the untrained encoder on the source, as a share of what the default does.

    Seeds at which the default gains nothing are left out; a run whose loss was no number gains nothing.

    Args:
        results: of the study.
        name: of the setting.
        value: of it.
    """
    untrained = results.values(*SOURCE_FLOOR["untrained"], "probe", **DEFAULT)
    gone = {r.cell.seed for r in results.asked(setting=name, value=value) if r.diverged}
    own = {**at_setting(results, name, value, SOURCE), **{seed: untrained[seed] for seed in gone & untrained.keys()}}
    measures = [own, _default(results, SOURCE), untrained]
    shares = each(lambda v: (v[0] - v[2]) / (v[1] - v[2]) if v[1] > v[2] else float("nan"), measures)
    return {seed: share for seed, share in shares.items() if share == share}


def setting_claims() -> tuple[Claim, ...]:
    """All claims."""
    return (*_numbers(), *_norms())


def _numbers() -> list[Claim]:
    def lars(results: Results) -> Decision:
        return greater(best_lars(results), _default(results), unit="points", what="LARS less AdamW")

    def wide(results: Results) -> Decision:
        gain = apart(at_setting(results, "width", "1024", SOURCE), _default(results, SOURCE))
        return between(gain, -NEAR, NEAR, unit="points", what="a width of 1,024 less one of 256")

    def cold_source(results: Results) -> Decision:
        cold, warm = (_at_temperature(results, value, SOURCE) for value in ("0.05", "0.15"))
        return greater(cold, warm, unit="points", what="a temperature of .05 less one of .15")

    def cold(results: Results) -> Decision:
        cold, warm = (_at_temperature(results, value) for value in ("0.05", "0.15"))
        return greater(cold, warm, unit="points", what="a temperature of .05 less one of .15")

    return [
        ruled(
            "lars-transfers",
            "With LARS SimLAP transfers better than with AdamW.",
            WHERE,
            f"{ON_TRANSFER}: LARS, at that of two rates which is better on the source's test images, less AdamW at one "
            "rate, so that the choice favours LARS; a rate at which the loss is no number loses it.",
            "the difference is above 0",
            lars,
            published="86.3 % against 82.9 % (kNN, CIFAR-10; 200 epochs against 100)",
            origin="paper",
        ),
        ruled(
            "width-is-free",
            "A wider projection makes no difference to the source's accuracy.",
            WHERE,
            f"{ON_SOURCE}: a width of 1,024 less one of 256.",
            f"the difference lies within {in_points(NEAR)} of 0",
            wide,
            published="70.5 %, 70.3 % and 70.6 % (linear, ImageNet; 256, 2,048 and 4,096)",
            origin="paper",
        ),
        ruled(
            "cold-on-source",
            "A temperature of .05 is better on the source than one of .15.",
            WHERE,
            f"{ON_SOURCE}: .05 less .15.",
            "the difference is above 0",
            cold_source,
            published="71.2 % against 70.5 % (linear, ImageNet)",
            origin="paper",
        ),
        ruled(
            "cold-transfers",
            "A temperature of .05 transfers better than one of .15.",
            WHERE,
            f"{ON_TRANSFER}: .05 less .15.",
            "the difference is above 0",
            cold,
            published="84.1 % against 82.9 % (kNN, CIFAR-10)",
            origin="paper",
        ),
    ]


def _norms() -> list[Claim]:
    def diverges(results: Results) -> Decision:
        ended = [r for r in results.asked(setting="last norm", value="none") if r.diverged or r.folder is not None]
        shares = {result.cell.seed: float(result.diverged) for result in ended}
        return above(shares, 0.5, unit="share", what="the share of runs without a last norm whose loss is no number")

    def barely(results: Results) -> Decision:
        return below(
            gained(results, "last norm", "batch"),
            HALF,
            unit="share",
            what="what BatchNorm gains over the untrained encoder, as a share of what LayerNorm gains,",
        )

    made = [
        ruled(
            "no-norm-diverges",
            "Without a norm at the projector's end the loss is soon no number.",
            NORMS,
            "Share of the runs whose loss was no finite number.",
            "it is above one half",
            diverges,
            published="NaN",
            origin="paper",
        ),
        ruled(
            "batch-norm-barely",
            "With BatchNorm at the projector's end training barely converges.",
            NORMS,
            f"{ON_SOURCE}: the gain over the untrained encoder with BatchNorm, as a share of that with LayerNorm.",
            "the share is below one half",
            barely,
        ),
    ]
    for norm, words in (("none", "no norm"), ("batch", "BatchNorm")):
        made.append(
            ruled(
                f"doctor-names-{norm}",
                f"The doctor names runs that end in {words} at the projector's end, before any accuracy is known.",
                "asked here",
                "Share of the runs in whose log the doctor finds something; of a run whose loss was no number only if "
                "steps before were read, since the end alone does not count.",
                "it is above one half",
                lambda results, norm=norm, words=words: above(
                    _named(results, "last norm", norm), 0.5, unit="share", what=f"the share of runs with {words} named"
                ),
            )
        )
    made.append(
        ruled(
            "doctor-spares-default",
            "The doctor finds nothing in runs of the default.",
            "asked here",
            "The same share of the runs of the default.",
            "it is below one half",
            lambda results: below(
                _named(results, "default", ""), 0.5, unit="share", what="the share of default runs named"
            ),
        )
    )
    return made
