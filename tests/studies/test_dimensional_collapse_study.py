from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import copes, page, results_of, verdicts

from counterpoint.errors import CounterpointError
from counterpoint.heads import Identity, Truncated
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.dimensional_collapse import dimensional_collapse, evaluators
from counterpoint.studies.dimensional_collapse.claims import lead_claims
from counterpoint.studies.dimensional_collapse.evaluators import BINS, CueKept, Lead, _read, _told, lead_of
from counterpoint.studies.dimensional_collapse.grid import (
    ALIKE,
    CUED,
    DEPTHS,
    HIDDEN,
    SHARES,
    STRENGTHS,
    USUAL,
    Cued,
    cells_of,
    depth,
    share,
    strong,
)
from counterpoint.studies.dimensional_collapse.lead import (
    ABLATIONS,
    Ablation,
    Fall,
    Followed,
    fallen,
    followed,
    spoken,
)
from counterpoint.studies.dimensional_collapse.toy import collapse_by_depth
from counterpoint.studies.league.make import planned
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Results, Study, Trained
from counterpoint.studies.views.grid import cells_of as view_cells
from counterpoint.studies.views.grid import grid_of
from counterpoint.studies.views.grid import strong as strong_views
from counterpoint.types import Embeddings
from counterpoint.views import ColourJitter, HFlip


@pytest.fixture(scope="module")
def plan() -> Any:
    return planned(None, scale="smoke", encoder=None, images=None, epochs=None)


# ---------------------------------------------------------------- the grid


def test_cells_are_what_their_place_says(plan: Any) -> None:
    cells = cells_of(plan, DEPTHS, STRENGTHS, SHARES, (*CUED, *HIDDEN, *ALIKE), (0,))
    by_name = {cell.place["setting"]: cell for cell in cells}
    assert len(by_name) == len(cells) == 19
    made = {name: composed(cell, Shelf().facts(cell.source)) for name, cell in by_name.items()}
    heads = {name: made[name].heads.projector for name in made}
    assert heads[depth(0)] == Identity()
    assert [len(heads[depth(n)].hidden) for n in (1, 2, 3)] == [0, 1, 2]  # pyright: ignore[reportAttributeAccessIssue]
    assert heads[share(0.176)] == Truncated(70), "of the 400 dimensions of the mlp"
    labels = [one.name for one in ALIKE if one.recipe == "supervised"]
    assert {made[name].objective for name in made if name not in labels} == {made[USUAL].objective}
    assert all(made[name].pairing.needs_labels and len(made[name].views.policies) == 1 for name in labels)
    assert {made[name].epochs for name in labels} == {2 * made[USUAL].epochs}, "as many views"
    for one in (*CUED, *HIDDEN, *ALIKE):
        ops = made[one.name].views.policies[0].ops  # pyright: ignore[reportAttributeAccessIssue]
        turned = [op for op in ops if isinstance(op, ColourJitter) and op.hue > 0]
        assert bool(turned) == one.hidden, one.name
        assert not any(isinstance(op, HFlip) for op in ops)
        assert by_name[one.name].source == one.source(plan.source)


def test_runs_are_shared_with_the_study_of_views(plan: Any) -> None:
    own = cells_of(plan, (2,), (0.5,), (), (), (0,))
    theirs = view_cells(plan, grid_of(plan, "digits"), ["the usual views", strong_views(0.5)], (0,))
    assert [asked_for(cell) for cell in own] == [asked_for(cell) for cell in theirs]


def test_options_are_checked() -> None:
    assert "dimensional-collapse" in named_studies()
    made = dimensional_collapse(scale="smoke", lead=False)
    assert not any(claim.key.startswith("doctor") for claim in made.claims)
    for options, match in (({"epochs": -1}, "above 0"), ({"images": -1}, "above 0")):
        with pytest.raises(CounterpointError, match=match):
            dimensional_collapse(scale="smoke", **options)
    with pytest.raises(CounterpointError, match="needs images with labels"):
        dimensional_collapse()


# ---------------------------------------------------------------- evaluators


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_a_planted_rank_is_found(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    rows = torch.randn(3000, rank, generator=generator) @ torch.randn(rank, 32, generator=generator)
    found = _read(rows)
    assert (found["used"], found["width"]) == (rank, 32)
    assert found["values"][0] == 1.0
    assert found["rank"] <= rank + 1e-6
    assert (found["share"], found["rows"]) == (found["rank"] / 32, 3000)
    assert _read(torch.ones(10, 4))["used"] == 0


def test_the_toy_is_told_as_it_went() -> None:
    course = collapse_by_depth(2, steps=400, every=100)
    told = _told(course)
    assert told["start"] == told["course"][0]
    assert told["steps"] == [0, 100, 200, 300, 400]
    assert told["course"][-1] == told["collapsed"] == int((course.embedding[-1] < 0.1 * course.embedding[-1, 0]).sum())
    assert 0 <= told["aligned"]["start"] <= told["aligned"]["end"] <= 1
    assert "aligned" not in _told(collapse_by_depth(1, steps=1))


def test_a_hue_is_read_where_it_is_and_not_where_it_is_not(plan: Any) -> None:
    cell = next(c for c in cells_of(plan, (), (), (), (Cued(0.6),), (0,)))

    class Fake(Trained):  # pyright: ignore[reportImplicitAbstractClass]
        dataset = cell.source.load()
        model = untrained = recipe = train = test = None

        def __init__(self, grey: bool) -> None:
            self.cell = cell
            for name, split in (("train", self.dataset.train), ("test", self.dataset.test)):
                corner = split.images[:, :, 0, 0].float()
                rows = corner.mean(1, keepdim=True) * 0 + split.images[:, 0, 4:6].flatten(1) if grey else corner
                setattr(self, name, Embeddings(rows, torch.arange(len(rows)), labels=split.labels))

    found: Any = CueKept(c=100.0)(Fake(grey=False))
    assert found["cue"] > 0.7
    assert found["chance"] == 1 / BINS
    assert CueKept().wanted(cell)
    assert not any(CueKept().wanted(c) for c in cells_of(plan, (2,), (), (), (Cued(0.0), ALIKE[0]), (0,)))


def _run(*accuracy: float, findings: tuple[tuple[int, str], ...] = (), diverged: int = 0) -> Followed:
    read = tuple((10 * i, one) for i, one in enumerate(accuracy, 1))
    return Followed(read, findings, diverged or 10 * len(read), bool(diverged))


def test_an_accuracy_has_fallen_where_it_stays_below() -> None:
    whole = _run(*[0.6] * 5)
    assert fallen(_run(0.6, 0.1, 0.6, 0.2, 0.1), whole, 1000) == Fall(30, 40)
    assert fallen(_run(0.1, 0.1, 0.1, 0.1, 0.1), whole, 1000) == Fall(0, 10)
    assert fallen(_run(0.6, 0.1, 0.1, 0.1, 0.6), whole, 1000) is None
    assert fallen(_run(0.59, 0.58), whole, 1000) is None, "within two standard errors"
    assert fallen(_run(0.59, 0.5), whole, 10_000) == Fall(10, 20)


def test_a_run_that_diverges_has_fallen_by_then() -> None:
    whole = _run(*[0.6] * 5)
    assert fallen(_run(diverged=7), whole, 1000) == Fall(0, 7)
    assert fallen(_run(0.6, 0.6, diverged=24), whole, 1000) == Fall(20, 24)
    assert fallen(_run(0.6, 0.1, diverged=24), whole, 1000) == Fall(10, 20), "it had before"


def test_only_the_expected_finding_is_the_word() -> None:
    early, late = (5, "temperature"), (40, "complete-collapse")
    assert spoken(_run(findings=(early, late)), "complete-collapse") == (40, early)
    assert spoken(_run(findings=(late, (60, "temperature"))), "complete-collapse") == (40, None)
    assert spoken(_run(findings=(early,)), "complete-collapse") == (None, early)


@pytest.mark.parametrize(
    ("findings", "accuracy", "lead", "most"),
    [
        (((20, "complete-collapse"),), (0.6, 0.6, 0.6, 0.1), 10, 20),
        (((5, "temperature"), (35, "complete-collapse")), (0.6, 0.6, 0.6, 0.1), -5, 5),
        (((5, "temperature"),), (0.6, 0.6, 0.6, 0.1), -10, 0),
        (((15, "complete-collapse"),), (0.1, 0.1, 0.1, 0.1), -15, -5),
        (((20, "complete-collapse"),), (0.6, 0.6, 0.6, 0.6), None, None),
    ],
)
def test_a_lead_counts_from_the_right_word_to_the_earlier_end_of_the_fall(
    monkeypatch: pytest.MonkeyPatch,
    findings: tuple[tuple[int, str], ...],
    accuracy: tuple[float, ...],
    lead: int | None,
    most: int | None,
) -> None:
    def follow(ablation: Ablation, source: Any, *, whole: bool, **more: Any) -> Followed:
        return _run(*[0.6] * 4) if whole else _run(*accuracy, findings=findings)

    monkeypatch.setattr(evaluators, "followed", follow)
    asked = Lead("BYOL without predictor", Digits(), "mlp", batch=64, epochs=2)

    class Fake(Trained):  # pyright: ignore[reportImplicitAbstractClass]
        cell = cells_of(planned(None, scale="smoke", encoder=None, images=None, epochs=None), (2,), (), (), (), (0,))[0]
        dataset = model = untrained = recipe = train = test = None

    found = asked(Fake())
    assert (found["lead"], found["at most"]) == (lead, most)
    assert found["other"] == (None if findings[0][1] == "complete-collapse" else (5, "temperature"))
    assert asked.name == "lead-byol-without-predictor"


def test_of_a_seed_the_shortest_lead_of_those_that_fell_counts() -> None:
    made = dimensional_collapse(source=Digits(), scale="smoke", seeds=(0, 1, 2))
    names = ("NT-Xent without negatives", "BYOL without predictor")
    (claim,) = [one for one in lead_claims(names) if one.key == "doctor-leads"]
    table: dict[str, dict[int, int | None]] = {names[0]: {0: 30, 1: None, 2: None}, names[1]: {0: 12, 1: 11, 2: 10}}

    def found(cell: Cell) -> Mapping[str, Any]:
        return {lead_of(name): {"lead": table[name][cell.seed]} for name in names if cell.place["setting"] == USUAL}

    results = results_of(made, found)
    decision = claim.decide(results)
    assert (decision.verdict, decision.value, decision.seeds) == ("held", 11.0, 3)
    assert "2 of 2 (seed 0), 1 of 2 (seed 1)" in decision.said
    table[names[1]] = dict.fromkeys(range(3))
    assert claim.decide(results_of(made, found)).seeds == 1, "seeds without a fall have no lead"
    unread = [replace(r, found={k: v for k, v in r.found.items() if k != lead_of(names[0])}) for r in results.every]
    assert claim.decide(Results(tuple(unread))).seeds == 0, "a seed of which an ablation is missing waits"


def test_a_run_that_collapses_is_followed(plan: Any) -> None:
    name = "NT-Xent without negatives"
    found = followed(ABLATIONS[name], plan.source, whole=False, encoder="mlp", batch=64, epochs=4, seed=0)
    assert found.findings[0][1] == "complete-collapse"
    assert not found.diverged
    assert len(found.accuracy) == 8, "twice an epoch"
    assert 0 < found.findings[0][0] <= found.steps == found.accuracy[-1][0]


def test_a_run_that_diverges_is_followed_to_there(plan: Any) -> None:
    spoilt = Ablation("simclr", {"optim.lr": 1e30}, "complete-collapse")
    found = followed(spoilt, plan.source, whole=False, encoder="mlp", batch=64, epochs=2, seed=0)
    assert found.diverged
    assert 0 < found.steps < 10
    assert found.accuracy == ()


# ---------------------------------------------------------------- claims and page


@pytest.fixture(scope="module")
def made() -> Study:
    return dimensional_collapse(scale="smoke", seeds=(0, 1, 2))


def _toys(good: bool, jitter: float) -> dict[str, Any]:
    def one(collapsed: float, start: float, end: float, first: int = 12) -> dict[str, Any]:
        values = [1.0] * 8 + [0.01] * 8
        aligned = {"start": start, "end": end + jitter}
        return {
            "start": first,
            "collapsed": collapsed,
            "values": values,
            "course": [0, 3],
            "steps": [0, 9],
            "aligned": aligned,
        }

    counts = {"0.01": 0, "0.5": 0, "1": 3, "1.5": 8} if good else {"0.01": 4, "0.5": 0, "1": 3, "1.5": 5}
    good_ones = {"1": 0, "2": 4, "2 as one": 1, "3": 9, "3 as one": 1}
    # More layers, more weak directions, but no more than one layer that starts so.
    depths = good_ones if good else {"1": 0, "2": 4, "2 as one": 6, "3": 9, "3 as one": 12}
    ends = (0.3, 0.9) if good else (0.9, 0.3)
    return {
        "augmentation": {key: one(value, *ends) for key, value in counts.items()},
        "depth": {key: one(value, *ends) for key, value in depths.items()},
    }


def _found(cell: Cell, good: bool) -> Mapping[str, Any]:
    name, jitter = cell.place["setting"], 0.001 * cell.seed
    sign = 1 if good else -1
    # By chance alone turned hues help, own colours cost, and the latter costs those with labels too.
    usual = {"cue 0, hue turned": 0.1, "cue 0.6": -0.3, "cue 0.6, hue turned": -0.1, "cue 0.6, one hue": -0.1}
    usual |= {"cue 0.6, labels": -0.2, "cue 0.6, one hue, labels": 0.0}
    better = {depth(0): -0.2, "cue 0.6, hue turned": 0.15, "cue 0.6, one hue": 0.1, share(0.176): -0.1}
    right = 0.5 + usual.get(name, 0.0) + sign * better.get(name, 0.0) + jitter
    rank_h = 90 + sign * {depth(0): -30, USUAL: 20}.get(name, 0) + jitter
    rank_z = 60 + sign * {strong(0.25): 10, strong(4.0): -10}.get(name, 0) + jitter
    used, wide = (90, 128) if good else (128, 512)  # a wide h has a high rank by its width alone
    found: dict[str, Any] = {
        "accuracy": {"learned": {"probe": right, "knn": right}, "pixels": {"probe": 0.3, "knn": 0.3}},
        "spectra": {
            "h": {"values": [1.0, 0.5, 0.0], "used": 2, "rank": rank_h, "share": rank_h / wide, "width": wide},
            "z": {"values": [1.0, 0.1], "used": used, "rank": rank_z, "share": rank_z / 128, "width": 128, "rows": 129},
        },
    }
    if name in ("cue 0.6", "cue 0.6, hue turned"):
        found["cue-kept"] = {"cue": 0.5 + sign * (0.3 if name == "cue 0.6" else 0.0) + jitter}
    if name == USUAL:
        lead: dict[str, Any] = {"expected": "complete-collapse", "said": 20 if good else 80, "fell": [40, 50]}
        lead |= {"other": None if good else [10, "temperature"], "diverged": False}
        lead |= {"lead": (20 if good else -40) + jitter, "at most": 30 if good else -30}
        lead |= {"accuracy": [[10, 0.5], [50, 0.1]], "whole": [[10, 0.5], [50, 0.6]], "false alarms": 2 - 2 * good}
        found |= {"toys": _toys(good, jitter), "lead-nt-xent-without-negatives": lead}
    return found


def test_claims_are_decided_by_their_rules(made: Study) -> None:
    good, bad = (verdicts(made, lambda cell, good=good: _found(cell, good)) for good in (True, False))
    assert {key for key, verdict in good.items() if verdict != "held"} == set()
    assert {key for key, verdict in bad.items() if verdict != "not held"} == {"direct-fills-h", "z-collapses"} & {
        key for key, verdict in bad.items() if verdict != "not held"
    }
    assert len(good) == 17
    assert {"easy-hides-hard", "hidden-cue-frees", "toy-depth", "toy-deeper"} <= set(good)
    one = dimensional_collapse(scale="smoke", seeds=(0,))
    assert set(verdicts(one, lambda cell: _found(cell, True)).values()) == {"undecided"}


def test_few_images_do_not_say_that_a_projection_collapses(made: Study) -> None:
    def few(cell: Cell) -> Mapping[str, Any]:
        found = dict(_found(cell, True))
        spectra: Any = found["spectra"]
        return {**found, "spectra": {**spectra, "z": {**spectra["z"], "used": 127, "rows": 128}}}

    assert verdicts(made, few)["z-collapses"] == "undecided"


def test_the_page_says_what_was_found(made: Study, tmp_path: Path) -> None:
    text, sections = page(made, results_of(made, lambda cell: _found(cell, True)), tmp_path)
    assert [s.key for s in sections] == ["toys", "spectra", "guards", "cue", "lead"]
    assert "collapses 8 of 16" in sections[0].title
    assert "uses 90 of 128" in sections[1].title
    assert "20.0 points" in sections[2].title
    assert "cost SimCLR 30.0 points on the class, supervised 20.0 points" in sections[3].title
    assert "3 of 3 runs fell, 3 of them after" in sections[4].title
    late, _ = page(made, results_of(made, lambda cell: _found(cell, False)), tmp_path)
    assert "temperature at 10" in late
    assert "raw pixels" in text
    copes(made, lambda cell: _found(cell, True), tmp_path)


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_study("dimensional-collapse", scale="smoke", out=out, cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    (usual,), (direct,) = (done.results.at(setting=name) for name in (USUAL, share(0.176)))
    assert usual.number("spectra", "z", "width") == 128
    assert direct.number("spectra", "z", "width") == 70
    assert direct.number("spectra", "h", "width") == 400
    assert set(usual.found["toys"]["depth"]) == {"1", "2", "2 as one", "3", "3 as one"}
    lead = usual.found["lead-nt-xent-without-negatives"]
    assert lead["said"] is not None
    assert len(lead["accuracy"]) == len(lead["whole"]) == 16
    fell = lead["fell"]
    assert lead["lead"] == (None if fell is None else fell[0] - lead["said"])
    assert (out / "tables" / "lead.csv").is_file()
