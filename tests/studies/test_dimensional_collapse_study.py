from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import copes, page, results_of, verdicts

from counterpoint.errors import CounterpointError
from counterpoint.heads import Identity, Truncated
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.dimensional_collapse import dimensional_collapse
from counterpoint.studies.dimensional_collapse.evaluators import BINS, CueKept, _read, _told
from counterpoint.studies.dimensional_collapse.grid import (
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
from counterpoint.studies.dimensional_collapse.lead import ABLATIONS, fallen, followed
from counterpoint.studies.dimensional_collapse.toy import collapse_by_depth
from counterpoint.studies.league.make import planned
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Study, Trained
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
    cells = cells_of(plan, DEPTHS, STRENGTHS, SHARES, (*CUED, HIDDEN), (0,))
    by_name = {cell.place["setting"]: cell for cell in cells}
    assert len(by_name) == len(cells) == 15
    made = {name: composed(cell, Shelf().facts(cell.source)) for name, cell in by_name.items()}
    heads = {name: made[name].heads.projector for name in made}
    assert heads[depth(0)] == Identity()
    assert [len(heads[depth(n)].hidden) for n in (1, 2, 3)] == [0, 1, 2]  # pyright: ignore[reportAttributeAccessIssue]
    assert heads[share(0.176)] == Truncated(70), "of the 400 dimensions of the mlp"
    assert {recipe.objective for recipe in made.values()} == {made[USUAL].objective}
    for one in (*CUED, HIDDEN):
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
    assert _read(torch.ones(10, 4))["used"] == 0


def test_the_toy_is_told_as_it_went() -> None:
    course = collapse_by_depth(2, steps=400, every=100)
    told = _told(course)
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
    assert not any(CueKept().wanted(c) for c in cells_of(plan, (2,), (), (), (Cued(0.0),), (0,)))


def test_an_accuracy_has_fallen_where_it_stays_below() -> None:
    whole = [(10 * i, 0.6) for i in range(1, 6)]
    assert fallen([(10, 0.6), (20, 0.1), (30, 0.6), (40, 0.2), (50, 0.1)], whole, 1000) == 40
    assert fallen([(10, 0.6), (20, 0.1), (30, 0.1), (40, 0.1), (50, 0.6)], whole, 1000) is None
    assert fallen([(10, 0.59), (20, 0.58)], whole, 1000) is None, "within two standard errors"
    assert fallen([(10, 0.59), (20, 0.5)], whole, 10_000) == 20


def test_a_run_that_collapses_is_followed(plan: Any) -> None:
    name = "NT-Xent without negatives"
    found = followed(ABLATIONS[name], plan.source, whole=False, encoder="mlp", batch=64, epochs=4, seed=0)
    assert found.findings[0][1] == "complete-collapse"
    assert len(found.accuracy) == 4
    assert 0 < found.findings[0][0] <= found.steps == found.accuracy[-1][0]


# ---------------------------------------------------------------- claims and page


@pytest.fixture(scope="module")
def made() -> Study:
    return dimensional_collapse(scale="smoke", seeds=(0, 1, 2))


def _toys(good: bool, jitter: float) -> dict[str, Any]:
    def one(collapsed: float, start: float, end: float) -> dict[str, Any]:
        values = [1.0] * 8 + [0.01] * 8
        aligned = {"start": start, "end": end + jitter}
        return {"collapsed": collapsed, "values": values, "course": [0, 3], "steps": [0, 9], "aligned": aligned}

    counts = {"0.01": 0, "0.5": 0, "1": 3, "1.5": 8} if good else {"0.01": 4, "0.5": 0, "1": 3, "1.5": 5}
    depths = {"1": 0, "2": 4, "3": 9} if good else {"1": 6, "2": 4, "3": 2}
    ends = (0.3, 0.9) if good else (0.9, 0.3)
    return {
        "augmentation": {key: one(value, *ends) for key, value in counts.items()},
        "depth": {key: one(value, *ends) for key, value in depths.items()},
    }


def _found(cell: Cell, good: bool) -> Mapping[str, Any]:
    name, jitter = cell.place["setting"], 0.001 * cell.seed
    sign = 1 if good else -1
    right = 0.5 + sign * {depth(0): -0.2, "cue 0.6": -0.3, share(0.176): -0.1}.get(name, 0.0) + jitter
    rank_h = 60 + sign * {depth(0): -30, USUAL: 20}.get(name, 0) + jitter
    rank_z = 60 + sign * {strong(0.25): 10, strong(4.0): -10}.get(name, 0) + jitter
    used = 90 if good else 128
    found: dict[str, Any] = {
        "accuracy": {"learned": {"probe": right, "knn": right}, "pixels": {"probe": 0.3, "knn": 0.3}},
        "spectra": {
            "h": {"values": [1.0, 0.5, 0.0], "used": 2, "rank": rank_h, "width": 3},
            "z": {"values": [1.0, 0.1], "used": used, "rank": rank_z, "width": 128},
        },
    }
    if name.startswith("cue 0.6"):
        found["cue-kept"] = {"cue": 0.5 + sign * (0.3 if name == "cue 0.6" else 0.0) + jitter}
    if name == USUAL:
        lead = {"said": 20 if good else 80, "named": True, "finding": "complete-collapse", "fell": 50}
        lead |= {"lead": (30 if good else -30) + jitter, "false alarms": 0 if good else 2}
        lead |= {"accuracy": [[10, 0.5], [50, 0.1]], "whole": [[10, 0.5], [50, 0.6]]}
        found |= {"toys": _toys(good, jitter), "lead": {"NT-Xent without negatives": lead}}
    return found


def test_claims_are_decided_by_their_rules(made: Study) -> None:
    good, bad = (verdicts(made, lambda cell, good=good: _found(cell, good)) for good in (True, False))
    assert {key for key, verdict in good.items() if verdict != "held"} == set()
    assert {key for key, verdict in bad.items() if verdict != "not held"} == {"direct-fills-h", "z-collapses"} & {
        key for key, verdict in bad.items() if verdict != "not held"
    }
    assert len(good) == 17
    one = dimensional_collapse(scale="smoke", seeds=(0,))
    assert set(verdicts(one, lambda cell: _found(cell, True)).values()) == {"undecided"}


def test_the_page_says_what_was_found(made: Study, tmp_path: Path) -> None:
    text, sections = page(made, results_of(made, lambda cell: _found(cell, True)), tmp_path)
    assert [s.key for s in sections] == ["toys", "spectra", "guards", "cue", "lead"]
    assert "collapses 8 of 16" in sections[0].title
    assert "uses 90 of 128" in sections[1].title
    assert "20.0 points" in sections[2].title
    assert "costs 30.0 points" in sections[3].title
    assert "first in 3 of 3 falls" in sections[4].title
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
    assert set(usual.found["toys"]["depth"]) == {"1", "2", "3"}
    lead = usual.found["lead"]["NT-Xent without negatives"]
    assert lead["named"]
    assert len(lead["accuracy"]) == len(lead["whole"]) == 8
    fell = lead["fell"]
    assert lead["lead"] == (None if fell is None else fell - lead["said"])
    assert (out / "tables" / "lead.csv").is_file()
