import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy

from counterpoint.errors import CounterpointError
from counterpoint.heads import MLPHead
from counterpoint.negatives import Gated
from counterpoint.objectives import GatedContrast
from counterpoint.optim import LARS, AdamW
from counterpoint.report.exhibits import Bars, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, asked_for, composed, digest
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.settings import Settings
from counterpoint.studies.listing import named_studies
from counterpoint.studies.runner import run
from counterpoint.studies.simlap.runs import runs, sized
from counterpoint.studies.simlap.settings import setting_cells, settings_of
from counterpoint.studies.simlap.settings_claims import DEFAULT, at_setting, best_lars, gained, setting_claims, spoken
from counterpoint.studies.simlap.settings_sections import About, setting_sections, word
from counterpoint.studies.statistics import above
from counterpoint.studies.study import Cell, Result, Results, Study
from counterpoint.studies.work import gather

SAID = "the loss is not a finite number at step 3; try a lower learning rate"
VALUES = (
    (DEFAULT["setting"], DEFAULT["value"]),
    ("optimizer", "LARS, rate 0.1"),
    ("optimizer", "LARS, rate 1"),
    ("width", "64"),
    ("width", "1024"),
    ("temperature", "0.05"),
    ("temperature", "0.1"),
    ("gate penalty", "0.01"),
    ("gate penalty", "0.1"),
    ("last norm", "none"),
    ("last norm", "batch"),
)
ABOUT = About(VALUES, ("a",))
ENDS = {
    "unseen": {"findings": [], "readings": {"std": 1.0}, "verdict": "too short to judge"},
    "seen": {
        "findings": [{"name": "exploding-updates"}],
        "readings": {"std": 1.0},
        "verdict": "exploding updates since step 20",
    },
}


# ---------------------------------------------------------------- the settings


def test_one_setting_at_a_time() -> None:
    plan = sized(None, scale="smoke")
    every = settings_of(plan)
    cells = {tuple(one.place.values()): cell for one, cell in zip(every, setting_cells(plan, every, (5,)), strict=True)}
    assert len({digest(asked_for(cell)) for cell in cells.values()}) == len(every) == 11
    (plain,) = runs(plan, ("simlap",), (5,))
    assert digest(asked_for(cells["default", DEFAULT["value"]])) == digest(asked_for(plain)), "shared with all studies"
    facts = Shelf().facts(plan.source)
    made = {key: composed(cell, facts) for key, cell in cells.items()}
    base = made["default", DEFAULT["value"]]
    assert isinstance(base.optim, AdamW)
    for rate in ("0.025", "0.25"):
        optim = made["optimizer", f"LARS, rate {rate}"].optim
        assert isinstance(optim, LARS)
        assert optim.lr.start == float(rate)
        assert optim.lr.warmup_epochs == base.optim.lr.warmup_epochs
    for width in ("64", "1024"):
        assert made["width", width].heads.projector.out == int(width)
    for temperature in ("0.05", "0.1"):
        assert made["temperature", temperature].objective == replace(base.objective, temperature=float(temperature))
    for penalty in ("0.01", "0.1"):
        changed = made["gate penalty", penalty]
        assert isinstance(changed.objective, GatedContrast)
        assert isinstance(changed.negatives, Gated)
        assert (changed.objective.penalty, changed.negatives.classes) == (float(penalty), True)
    for norm in ("none", "batch"):
        projector = made["last norm", norm].heads.projector
        assert isinstance(projector, MLPHead)
        assert projector.final_norm == norm
    kept = ("pairing", "views", "encoder", "batch_size", "epochs")
    assert {tuple(getattr(one, name) for name in kept) for one in made.values()} == {
        tuple(getattr(base, name) for name in kept)
    }


def test_the_default_is_tuned_where_other_studies_are(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings("conv", ("x",), {"simlap": {"lr": 0.003, "temperature": 0.3}})
    monkeypatch.setattr("counterpoint.studies.simlap.runs.read_settings", lambda: settings)
    plan = sized(Digits(), scale="small")
    every = settings_of(plan)
    tried = [one.value for one in every if one.name == "temperature"]
    assert tried == ["0.05", "0.1", "0.15"], "the paper's default is no longer this one"
    cells = {cell.place["value"]: cell for cell in setting_cells(plan, every, (0,))}
    (plain,) = runs(plan, ("simlap",), (0,))
    assert plain.dials["temperature"] == 0.3
    assert digest(asked_for(cells[DEFAULT["value"]])) == digest(asked_for(plain))
    assert {cell.dials["lr"] for cell in cells.values()} == {0.003}, "one setting at a time"
    assert (cells["0.15"].dials["temperature"], cells["1024"].dials["temperature"]) == (0.15, 0.3)
    told = " ".join(find_study("simlap-settings", source=Digits(), scale="small", options={"targets": "digits="}).about)
    assert "at a rate of 0.003 for a batch of 256, a width of 256, a temperature of 0.3" in told
    found = _results(PAPER, {})
    other = Cell({"setting": "temperature", "value": "0.15"}, "simlap", Digits(), "mlp")
    made = [
        Result(replace(other, seed=seed), Path("x"), {"transfer": {"learned": {"mean": {"knn": 0.9 + 0.001 * seed}}}})
        for seed in range(3)
    ]
    assert decide(_study(), found)["cold-transfers"].verdict == "held"
    assert decide(_study(), Results((*found.every, *made)))["cold-transfers"].verdict == "not held", "against .15"


def test_it_is_found_and_asks_for_targets() -> None:
    assert "simlap-settings" in named_studies()
    with pytest.raises(CounterpointError, match="targets=cifar10=FOLDER"):
        find_study("simlap-settings", source=Digits(), scale="small")


# ---------------------------------------------------------------- a loss that is no number


def test_a_run_that_diverges_is_a_result(tmp_path: Path) -> None:
    plan = sized(None, scale="smoke")
    (cell,) = runs(plan, ("simlap",), (0,), place={"setting": "last norm", "value": "none"}, dials={"lr": 1e38})
    results = run(toy.study((cell,), evaluators=()), store=tmp_path, quiet=True)
    (result,) = results.every
    assert result.folder is None
    assert result.failed
    assert result.diverged
    assert "not a finite number" in result.error
    assert result.checkup["verdict"] == "exploding updates since step 3"
    assert spoken(result) is False, "no step was read, so that the doctor knows of the end alone"
    assert word(results, "last norm", "none") == f"{result.error}; exploding updates since step 3"
    (folder,) = (path for path in tmp_path.iterdir() if (path / "log.jsonl").is_file())
    log = (folder / "log.jsonl").read_text("utf-8")
    step = {"event": "step", "step": 2, "loss": 4.0, "lr": 0.1, "images_per_second": 1.0}
    for update, named in ((1e3, True), (1e-3, False)):
        line = json.dumps({**step, "health": {"std": 1.0, "std_h": 1.0, "update": update}})
        (folder / "log.jsonl").write_text(f"{line}\n{log}", "utf-8")
        (result,) = gather(toy.study((cell,), evaluators=()), tmp_path).every
        assert (result.diverged, spoken(result)) == (True, named)
    (folder / "failure.txt").write_text("OSError: no space left on device\n", "utf-8")
    (result,) = gather(toy.study((cell,), evaluators=()), tmp_path).every
    assert (result.failed, result.diverged, result.checkup) == (True, False, {}), "the last attempt failed otherwise"


def test_a_rule_about_the_end_of_runs_waits_for_no_run_that_diverged() -> None:
    def ends(results: Results) -> Any:
        return above({r.cell.seed: float(r.diverged) for r in results.asked()}, 0.5, what="the share")

    def accuracy(results: Results) -> Any:
        return above(results.values("source", "knn"), 0.1, what="the accuracy")

    cells = [toy.cell(seed=seed) for seed in range(3)]
    gone = [Result(cell, None, {}, SAID, failed=True, diverged=True) for cell in cells]
    made = replace(toy.study(tuple(cells)), claims=(toy.claim(ends), replace(toy.claim(accuracy), key="accuracy")))
    found = decide(made, Results(tuple(gone)))
    assert (found["one"].verdict, found["accuracy"].verdict) == ("held", "undecided")
    lost = replace(gone[2], diverged=False)
    assert decide(made, Results((*gone[:2], lost)))["one"].verdict == "undecided", "it may yet be run"
    known = [Result(cell, Path("x"), {"source": {"knn": 0.9 + 0.01 * cell.seed}}) for cell in cells[:2]]
    assert decide(made, Results((*known, gone[2])))["accuracy"].verdict == "undecided", "a seed has no accuracy"


def test_what_is_said_of_a_run() -> None:
    cell = toy.cell()
    assert spoken(Result(cell, None, {}, "it has not been run")) is None
    assert spoken(Result(cell, Path("x"), {"course": {"healthy": None, "verdict": "too short"}})) is None
    assert spoken(Result(cell, Path("x"), {"course": {"healthy": True, "verdict": "healthy"}})) is False
    assert spoken(Result(cell, Path("x"), {"course": {"healthy": False, "verdict": "collapse"}})) is True


# ---------------------------------------------------------------- claims and page


def _results(gain: Mapping[tuple[str, str], tuple[float, float]], ill: Mapping[tuple[str, str], str]) -> Results:
    """Accuracy on the source and on other data against the default's, and what became of the runs."""
    made: list[Result] = []
    for seed in range(3):
        for key in VALUES:
            cell = Cell(dict(zip(("setting", "value"), key, strict=True)), "simlap", Digits(), "mlp", seed)
            fate = ill.get(key, "healthy")
            if fate in ENDS:
                made.append(Result(cell, None, {}, SAID, failed=True, diverged=True, checkup=ENDS[fate]))
                continue
            on_source, on_other = gain.get(key, (0.0, 0.0))
            noise = 0.0001 * seed * (1 + VALUES.index(key))
            source: dict[str, Any] = {"learned": dict.fromkeys(("knn", "probe"), 0.6 + on_source + noise)}
            both = dict.fromkeys(("knn", "probe"), 0.5 + on_other + noise)
            found: dict[str, Any] = {"source": source, "transfer": {"learned": {"mean": both, "a": both}}}
            if key == VALUES[0]:
                found["source-floor"] = {"untrained": dict.fromkeys(("knn", "probe"), 0.4)}
                found["floor"] = {"untrained": {"mean": dict.fromkeys(("knn", "probe"), 0.3)}}
            found["course"] = {
                "healthy": fate == "healthy",
                "verdict": "healthy: nothing found" if fate == "healthy" else fate,
            }
            made.append(Result(cell, Path("x"), found))
    return Results(tuple(made))


def _study() -> Study:
    return Study("x", "X", (), "", (), (), setting_claims(), lambda results: setting_sections(results, ABOUT))


PAPER = {
    ("optimizer", "LARS, rate 0.1"): (0.01, 0.05),
    ("optimizer", "LARS, rate 1"): (-0.1, 0.2),
    ("temperature", "0.05"): (0.05, 0.05),
    ("width", "1024"): (-0.002, 0.0),
    ("last norm", "batch"): (-0.15, -0.1),
}
OTHERWISE = {
    ("optimizer", "LARS, rate 0.1"): (-0.1, 0.05),
    ("optimizer", "LARS, rate 1"): (0.1, -0.05),
    ("temperature", "0.05"): (-0.05, -0.05),
    ("width", "1024"): (0.05, 0.0),
    ("width", "64"): (0.05, 0.0),
}
FAILING = {("last norm", "none"): "seen", ("last norm", "batch"): "loss at its ceiling since step 40"}


def test_claims_are_held_where_it_is_as_in_the_paper() -> None:
    found = decide(_study(), _results(PAPER, FAILING))
    assert len(found) == len(_study().claims) == 9
    assert {key: decision.verdict for key, decision in found.items()} == dict.fromkeys(found, "held")


def test_claims_are_not_held_where_it_is_otherwise() -> None:
    found = decide(_study(), _results(OTHERWISE, {VALUES[0]: "complete collapse since step 40"}))
    assert {key: decision.verdict for key, decision in found.items()} == dict.fromkeys(found, "not held")


def test_the_rate_of_lars_is_chosen_on_the_source() -> None:
    paper, otherwise = (best_lars(_results(gain, {})) for gain in (PAPER, OTHERWISE))
    assert paper == pytest.approx({0: 0.55, 1: 0.5502, 2: 0.5504}), "not the other, whose transfer is better"
    assert otherwise == pytest.approx({0: 0.45, 1: 0.4503, 2: 0.4506})
    rates = [key for key in VALUES if key[0] == "optimizer"]
    for gone, kept in zip(rates, reversed(rates), strict=True):
        lost = _results(OTHERWISE, {gone: "unseen"})
        assert best_lars(lost) == at_setting(lost, *kept), "a rate whose loss is no number loses"
        assert decide(_study(), lost)["lars-transfers"].verdict == ("held" if kept == rates[0] else "not held")
    assert best_lars(_results(PAPER, dict.fromkeys(rates, "unseen"))) == {}
    every = _results(PAPER, {}).every
    missing = [replace(r, folder=None, found={}) if r.cell.place["value"] == rates[0][1] else r for r in every]
    assert best_lars(Results(tuple(missing))) == {}, "nothing is chosen where one is not trained yet"


def test_the_doctor_is_asked_of_runs_that_diverged() -> None:
    unseen = _results(PAPER, {("last norm", "none"): "unseen"})
    found = decide(_study(), unseen)
    assert found["no-norm-diverges"].verdict == "held"
    assert found["doctor-names-none"].verdict == "not held", "to crash is not to be named"
    tables = {e.name: e for s in setting_sections(unseen, ABOUT) for e in s.exhibits if isinstance(e, Table)}
    assert next(row for row in tables["doctor"].rows if row[0] == "last norm none")[1:5] == (3, 0, 3, 0)
    assert decide(_study(), _results(PAPER, {("last norm", "batch"): "seen"}))["batch-norm-barely"].verdict == "held"


def test_a_gain_is_a_share_of_the_defaults() -> None:
    found = gained(_results({("last norm", "batch"): (-0.15, 0.0)}, {}), "last norm", "batch")
    assert found[0] == pytest.approx(0.25)
    assert gained(_results({VALUES[0]: (-0.3, 0.0)}, {}), "last norm", "batch") == {}


def test_the_page_has_a_row_for_every_setting(tmp_path: Path) -> None:
    made, results = _study(), _results(PAPER, FAILING)
    sections = setting_sections(results, ABOUT)
    assert sections[1].title == "The doctor names last norm none, last norm batch"
    tables = {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}
    rows = {row[:2]: row for row in tables["settings"].rows}
    assert len(rows) == len(VALUES) + 2
    assert rows["last norm", "none"][-2:] == (f"{SAID}; exploding updates since step 20", 0)
    assert rows["last norm", "batch"][-2] == "loss at its ceiling since step 40"
    assert rows["the untrained encoder", None][2:5:2] == pytest.approx((0.3, 0.4))
    assert rows["default", DEFAULT["value"]][-2] == "healthy: nothing found"
    assert rows["temperature", "0.05"][6] == pytest.approx(0.0505)
    counted = {row[0]: row[1:5] for row in tables["doctor"].rows}
    assert counted["last norm none"] == (3, 3, 0, 0)
    assert counted["last norm batch"] == (0, 3, 0, 0)
    assert counted["the default"] == (0, 0, 3, 0)
    bars = [e for e in sections[0].exhibits if isinstance(e, Bars)]
    assert bars[0].groups["SimLAP"][9] is None
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", made, results, decide(made, results), command="x", facts={})
    assert SAID in page.read_text("utf-8")


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results(PAPER, FAILING).every
    empty = tuple(replace(r, folder=None, found={}, error="it has not been run", failed=False) for r in every)
    unread = tuple(replace(result, found={}) for result in every)
    for part in ((), every[:1], every[1:9], empty, unread):
        write_tables(tmp_path, setting_sections(Results(part), ABOUT))
        decide(_study(), Results(part))
    assert setting_sections(Results(()), ABOUT)[0].title == "Nothing is judged yet"


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study("simlap-settings", scale="smoke", out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    assert {result.cell.place["setting"] for result in done.results} == {"default", "optimizer", "last norm"}
    for result in done.results:
        for path in (("transfer", "learned", "mean", "knn"), ("source", "learned", "probe")):
            assert 0.5 < (result.number(*path) or 0) <= 1
        assert result.found["course"]["verdict"]
    page = done.page.read_text("utf-8")
    assert "too short to judge" in page
    assert (tmp_path / "out" / "tables" / "settings.csv").is_file()
