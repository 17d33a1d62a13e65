"""The study of alignment and uniformity: its runs, what is read of them, its claims in both directions, its page."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import CounterpointError
from counterpoint.evaluation import least_uniformity, uniform_uniformity
from counterpoint.evaluation.resampling import Estimate
from counterpoint.objectives import AlignUniform, Contrast
from counterpoint.report.exhibits import Points, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.sources import Digits
from counterpoint.studies.alignment_uniformity.claims import study_claims
from counterpoint.studies.alignment_uniformity.closed_forms import ClosedForms, free_points, known_laws
from counterpoint.studies.alignment_uniformity.evaluators import NEGATIVES, Gap, Quality, _slope
from counterpoint.studies.alignment_uniformity.grid import (
    ALIGN_UNIFORM,
    NT_XENT,
    Setting,
    cells,
    largest_and_smallest,
    only,
    settings,
    three_to_one,
)
from counterpoint.studies.alignment_uniformity.reading import best, correlation, settled
from counterpoint.studies.alignment_uniformity.sections import study_sections
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.held_out import HeldOut, whole_of
from counterpoint.studies.league.make import planned
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Result, Results, Study, Trained
from counterpoint.types import Embeddings, Facts

EVERY = settings(512)

# ---------------------------------------------------------------- the runs


def test_the_grid_has_each_setting_once() -> None:
    assert len(EVERY) == len(set(EVERY)) == 35
    assert len({tuple(s.axes.items()) for s in EVERY}) == 35
    assert EVERY[0] == three_to_one(EVERY) == Setting(ALIGN_UNIFORM, 512, 3.0, 1.0, 2.0, 3.0)
    assert {s.batch for s in EVERY} == {128, 256, 512}
    assert only(EVERY, 0.0, 1.0).uniform == 1
    ends = largest_and_smallest(EVERY)
    for objective in (ALIGN_UNIFORM, NT_XENT):
        small, large = ends[objective]
        assert (small.batch, large.batch) == (128, 512)
        assert replace(small, batch=512) == large
    few = settings(128, few=True)
    assert set(few) <= set(settings(128))
    assert three_to_one(few) == few[0]
    assert set(largest_and_smallest(few)) == {ALIGN_UNIFORM, NT_XENT}


def test_cells_are_what_their_place_says_and_differ_in_nothing_else() -> None:
    plan = planned(HeldOut(Digits()), scale="smoke", encoder=None, images=None, epochs=None)
    every = settings(plan.batch)
    made = cells(plan, every, (0, 1))
    assert len({str(asked_for(cell)) for cell in made}) == 70
    recipes = [composed(cell, plan.facts) for cell in made[:35]]
    for setting, recipe, cell in zip(every, recipes, made, strict=False):
        assert cell.place == setting.axes
        assert recipe.batch_size == setting.batch
        if setting.objective == NT_XENT:
            assert isinstance(recipe.objective, Contrast)
            assert recipe.objective.temperature == setting.temperature
        else:
            assert recipe.objective == AlignUniform(setting.align, setting.uniform, setting.alpha, setting.t)
    assert len({recipe.heads for recipe in recipes}) == 1
    assert len({recipe.views for recipe in recipes}) == 1
    assert len({recipe.optim for recipe in recipes if recipe.batch_size == plan.batch}) == 1


def test_test_images_are_those_of_the_whole() -> None:
    plan = planned(HeldOut(Digits()), scale="smoke", encoder=None, images=300, epochs=None)
    whole, held = whole_of(plan.source), Shelf().load(plan.source)
    assert len(whole.test) == len(Digits().load().test)
    rows = {tuple(image.flatten().tolist()) for image in whole.test.images}
    assert not any(tuple(image.flatten().tolist()) in rows for image in held.test.images)


def test_options_are_checked() -> None:
    assert "alignment-uniformity" in named_studies()
    with pytest.raises(CounterpointError, match="needs images with labels"):
        find_study("alignment-uniformity")
    with pytest.raises(CounterpointError, match="epochs"):
        find_study("alignment-uniformity", scale="smoke", options={"epochs": 0})


# ---------------------------------------------------------------- what is read


def test_a_slope_is_of_what_is_surely_left() -> None:
    def told(*each: tuple[float, float]) -> dict[int, Estimate]:
        return {m: Estimate(v, v - e, v + e) for m, (v, e) in zip(NEGATIVES, each, strict=True)}

    falling = [1 / m for m in NEGATIVES]
    assert _slope(told(*((v, v / 2) for v in falling))) == pytest.approx(-1)
    noise = [(v, v / 2) for v in falling[:3]] + [(1.0, 2.0), (-1.0, 2.0)]
    assert _slope(told(*noise)) == pytest.approx(-1), "what may be 0 has no say"
    assert _slope(told(*noise[:2], (1.0, 2.0), *noise[3:])) is None, "two are too few"
    assert _slope(told(*((v, 0.0) for v in falling[:4]), (-falling[4], 0.0))) is None, "it changes its sign"


class Planted(Trained):
    """What an evaluator reads of a run."""

    train: Any = None
    test: Any = None
    dataset: Any = None
    model: Any = None
    untrained: Any = None
    recipe: Any = None

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.cell = folder, Cell(EVERY[0].axes, "simclr", Digits(), "mlp", seed)


def test_one_probe_judges_both_parts_apart() -> None:
    def made(count: int, seed: int, *, right: bool) -> Embeddings:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 12
        shown = labels if right else (labels + 1) % 12
        h = torch.eye(12)[shown] + 0.01 * torch.randn(count, 12, generator=generator)
        return Embeddings(h, torch.arange(count), None, labels, tuple(map(str, range(12))))

    found = Quality(c=1.0)._read(made(240, 0, right=True), made(60, 1, right=True), made(36, 2, right=False), 0)  # pyright: ignore[reportPrivateUsage]
    assert found["held out"] == {"probe": 1.0, "knn": 1.0, "top5": 1.0, "images": 60}
    assert found["test"]["probe"] == found["test"]["knn"] == 0.0
    assert found["test"]["images"] == 36
    assert 0 <= found["test"]["top5"] <= 1


def test_gaps_are_read_from_the_log(tmp_path: Path) -> None:
    lines = [
        {"event": "start"},
        {"event": "step", "step": 10, "loss": 1.0, "health": {"alignment": 0.5, "uniformity": -1.0}},
        {"event": "step", "step": 20, "loss": 1.0},
        {"event": "step", "step": 30, "loss": 1.0, "health": {"alignment": 0.3, "uniformity": -2.0, "std": 1.0}},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    class Sized:
        facts = Facts("made", "photos", 1, 8, 10, projection=3)

    planted = Planted(tmp_path)
    planted.model = Sized()
    found = Gap()(planted)
    least = uniform_uniformity(3)
    assert found["steps"] == [10, 30]
    assert found["first"] == {"alignment": 0.5, "uniformity": pytest.approx(-1 - least)}
    assert found["last"] == {"alignment": 0.3, "uniformity": pytest.approx(-2 - least)}
    (tmp_path / "log.jsonl").write_text("")
    assert Gap()(planted)["steps"] == []
    assert "first" not in Gap()(planted)


def test_free_points_reach_what_is_known() -> None:
    found = {one.case: one for one in free_points(1, 200)}
    assert found["uniformity of 2 points"].exact == -8
    simplex = next(one for case, one in found.items() if "a simplex" in case)
    assert simplex.exact == least_uniformity(9, 8) == -4.5
    assert all(abs(one.found - one.exact) < 1e-6 for one in found.values() if one.kind == "minimum")
    (many,) = (one for one in found.values() if one.kind == "law")
    assert many.exact <= many.found < many.exact + 0.02, "no points are below the law"


def test_known_laws_have_their_limit() -> None:
    found = {one.case: one for one in known_laws(0, 1000)}
    assert len(found) == 6
    opposite = found["the limit, images in two opposite points, temperature 1"]
    assert opposite.exact == pytest.approx(log((499 * exp(1) + 500 * exp(-1)) / 999) - 1)
    assert all(one.found == pytest.approx(one.exact, abs=0.02) for one in found.values())
    assert ClosedForms(tuple(EVERY[0].axes.items())).wanted(Cell(EVERY[0].axes, "simclr", Digits(), "mlp"))
    assert not ClosedForms(tuple(EVERY[0].axes.items())).wanted(Cell(EVERY[1].axes, "simclr", Digits(), "mlp"))


# ---------------------------------------------------------------- claims and page


def _found(setting: Setting, seed: int, sign: int) -> dict[str, Mapping[str, Any]]:
    """All claims hold with +1, none with -1."""
    s, wiggle, index = float(sign), 0.001 * seed, EVERY.index(setting)
    contrast = setting.objective == NT_XENT
    both = setting.align > 0 and setting.uniform > 0
    accuracy = 0.5 + s * (0.05 * (not contrast) - 0.04 * (not both) + 0.00002 * setting.batch) + 0.0003 * index
    accuracy += 0.03 * s * (setting == three_to_one(EVERY)) + wiggle * (1 + index / 50)
    low = 1 - s * accuracy
    heat = (setting.temperature - 0.2) if contrast else 0.0
    quality = {
        "test": {"probe": accuracy, "knn": accuracy - 0.1, "images": 10},
        "held out": {"probe": accuracy, "knn": accuracy - 0.1, "images": 10},
    }
    spot = {
        "alignment": low - 0.004 * s * heat - wiggle * (1 + index / 40),
        "uniformity": low - 3 + 0.004 * s * heat - wiggle * (1 - index / 40),
        "gap": low,
        "uniform": -3.9,
        "sum": 2 * low,
    }
    other = contrast and (setting.temperature != 0.5 or setting.batch < 512)
    left = 0.01 if (sign > 0) != other else 0.2  # of other temperatures and batches no rule asks
    remainder = {str(m): left * (4096 / m) ** (0.9 if sign > 0 else 0.2) for m in NEGATIVES}
    limit = {
        "temperature": 0.5,
        "attraction": -1.0,
        "spread": 0.5,
        "sum": -0.5,
        "uniform": 0.1,
        "remainder": remainder,
        "slope": (-0.9 if (sign > 0) != other else -0.2) + wiggle,
        "left": left + wiggle,
    }
    first, last = 1.0 + wiggle, 1.0 - 0.4 * s
    gap = {
        "steps": [10, 20],
        "alignment": [first, last],
        "uniformity": [first - 3.9, last - 3.9],
        "uniform": -3.9,
        "first": {"alignment": first, "uniformity": first},
        "last": {"alignment": last, "uniformity": last},
    }
    found: dict[str, Any] = {"quality": quality, "plane": {"z": spot, "h": spot, "limit": limit}, "gap": gap}
    if setting == EVERY[0]:
        found["quality"]["untrained"] = {"test": {"probe": 0.4, "knn": 0.3}, "held out": {"probe": 0.4, "knn": 0.3}}
        off = 1e-7 if sign > 0 else 0.1
        known = {"case": "a", "found": 1.0 + off, "exact": 1.0, "kind": "minimum"}
        found["closed forms"] = {
            "points": [known],
            "laws": [known],
            **{f"worst {kind}": off * (1 + 0.1 * seed) for kind in ("minimum", "many", "law")},
        }
    return found


def _results(sign: int) -> Results:
    return Results(
        tuple(
            Result(Cell(s.axes, "simclr", Digits(), "mlp", seed), Path("x"), _found(s, seed, sign))
            for seed in (0, 1, 2)
            for s in EVERY
        )
    )


def _study() -> Study:
    made = study_claims(EVERY, many_classes=False)
    return Study("alignment-uniformity", "A", (), "", (), (), made, lambda results: study_sections(results, EVERY))


def test_claims_are_decided_in_both_directions() -> None:
    held = {key: d.verdict for key, d in decide(_study(), _results(1)).items()}
    fell = {key: d.verdict for key, d in decide(_study(), _results(-1)).items()}
    assert len(held) == len(_study().claims) == 19
    assert {key for key, verdict in held.items() if verdict != "held"} == set()
    assert {key for key, verdict in fell.items() if verdict != "not held"} == set()
    assert len(study_claims(EVERY, many_classes=True)) == 20


def test_the_best_is_chosen_by_what_was_held_out() -> None:
    """Test images say the opposite of the held-out ones."""

    def turned(result: Result) -> Result:
        quality = result.found["quality"]
        test = {**quality["test"], "probe": 1 - quality["held out"]["probe"]}
        return replace(result, found={**result.found, "quality": {**quality, "test": test}})

    results = Results(tuple(map(turned, _results(1).every)))
    chosen = best(results, EVERY)
    contrast = [s for s in EVERY if s.objective == NT_XENT]
    assert set(chosen) == {0, 1, 2}
    for seed, setting in chosen.items():
        held = {s: results.values("quality", "held out", "probe", **s.axes)[seed] for s in contrast}
        assert held[setting] == max(held.values())
        test = {s: results.values("quality", "test", "probe", **s.axes)[seed] for s in contrast}
        assert settled(results, chosen, "quality", "test", "probe")[seed] == min(test.values())
    lacking = Results(tuple(r for r in results.every if (r.cell.place, r.cell.seed) != (contrast[0].axes, 1)))
    assert set(best(lacking, EVERY)) == {0, 2}, "where a setting is missing nothing is chosen"


def test_agreement_is_that_a_lower_measure_goes_with_a_better_encoder() -> None:
    for sign in (1, -1):
        found = correlation(_results(sign), EVERY, ("plane", "z", "sum"), ("quality", "test", "probe"))
        assert found is not None
        assert found.rho == pytest.approx(sign, abs=0.01)
        assert found.count == 35


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    made, results = _study(), _results(1)
    sections = study_sections(results, EVERY)
    assert [s.key for s in sections] == [
        "plane",
        "agreement",
        "against",
        "moved",
        "limit",
        "course",
        "exact",
        "settings",
    ]
    (figure,) = (e for e in sections[0].exhibits if isinstance(e, Points) and "of z" in e.title)
    assert [len(series.x) for series in figure.series] == [21, 14]
    assert figure.shade is not None
    assert "35 of 35 settings are above the untrained encoder" in " ".join(sections[0].words)
    assert "rho = 1.00" in sections[1].title
    assert "above it" in sections[2].title
    assert "below it" in study_sections(_results(-1), EVERY)[2].title
    tables = {e.name: e for s in sections for e in s.exhibits if isinstance(e, Table)}
    assert len(tables["settings"].rows) == 35
    assert len(tables["limit"].rows) == 14
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", made, results, decide(made, results), command="x", facts={})
    assert "nan" not in page.read_text("utf-8").partition("<script")[0].lower()


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results(1).every
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    unread = tuple(replace(result, found={}) for result in every)
    unplaced = tuple(replace(r, found={k: v for k, v in r.found.items() if k == "quality"}) for r in every)
    for part in ((), every[:1], every[20:25], empty, unread, unplaced):
        sections = study_sections(Results(part), EVERY)
        assert sections[0].key == "plane"
        write_tables(tmp_path, sections)
        decide(_study(), Results(part))
    assert study_sections(Results(()), EVERY)[0].title == "Nothing is scored yet"


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study("alignment-uniformity", scale="smoke", out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    for result in done.results:
        spot = result.found["plane"]["z"]
        assert spot["gap"] == pytest.approx(spot["uniformity"] - uniform_uniformity(128))
        assert spot["sum"] == pytest.approx(spot["alignment"] + spot["uniformity"])
        limit = result.found["plane"]["limit"]
        assert limit["sum"] == pytest.approx(limit["attraction"] + limit["spread"])
        assert result.found["gap"]["steps"]
    alone = {s.cell.place["setting"]: s.found["plane"]["z"] for s in done.results}
    collapsed, both = alone["1 align(2) + 0 uniform(2)"], alone["1 align(2) + 1 uniform(2)"]
    assert collapsed["alignment"] < both["alignment"]
    assert collapsed["uniformity"] > both["uniformity"]
    assert (tmp_path / "out" / "tables" / "settings.csv").is_file()
