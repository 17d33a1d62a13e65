from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.engine import batches
from counterpoint.errors import CounterpointError
from counterpoint.evaluation import Forces
from counterpoint.model import Model
from counterpoint.negatives import Bank, InBatch, Mixed, Queue
from counterpoint.objectives import Debiased
from counterpoint.pairing import SameSample
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.report.exhibits import Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.scores import Cosine
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.make import planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.listing import named_studies
from counterpoint.studies.negatives.claims import grid_claims, mixing_claims
from counterpoint.studies.negatives.evaluators import Tally, chance_of, tallied
from counterpoint.studies.negatives.grid import (
    MIXING,
    MIXINGS,
    NONE,
    SOURCES,
    TEMPERATURES,
    Mixing,
    Place,
    grid,
    mixing_cells,
    places,
)
from counterpoint.studies.negatives.owners import NOBODY, owners_of
from counterpoint.studies.negatives.reading import carried, chosen, regret
from counterpoint.studies.negatives.sections import About, study_sections
from counterpoint.studies.study import Cell, Result, Results, Study
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

BATCH = 128


@pytest.fixture(scope="module")
def plan() -> Any:
    return planned(None, scale="smoke", encoder=None, images=None, epochs=None)


# ---------------------------------------------------------------- the grid


def test_each_source_has_three_numbers_and_they_meet() -> None:
    every = places(SOURCES, TEMPERATURES, 512)
    numbers = {source: sorted({p.number for p in every if p.source == source}) for source in SOURCES}
    assert numbers["batch"] == numbers["debiased"] == [62, 254, 1022]
    assert numbers["queue"] == numbers["bank"] == numbers["mixed"] == [64, 1024, 4096]
    assert len(every) == len(set(every)) == 45
    assert len(places(SOURCES, (0.1, 0.5), 512, ends=True)) == 20


def test_cells_are_what_their_place_says(plan: Any) -> None:
    every = places(SOURCES, TEMPERATURES, BATCH)
    cells = grid(plan, every, (0, 1))
    assert [cell.seed for cell in cells] == [0] * 45 + [1] * 45
    for place, cell in zip(every, cells[:45], strict=True):
        recipe = composed(cell, plan.facts)
        assert cell.place == place.axes
        assert recipe.objective.temperature == place.temperature  # pyright: ignore[reportAttributeAccessIssue]
        assert recipe.negatives.seen(BATCH, 2) == place.number + 48 * (place.source == "mixed")
        assert isinstance(recipe.objective, Debiased) == (place.source == "debiased")
        assert recipe.epochs == (2 if place.source == "bank" else 1), "as many views"
        assert recipe.batch_size == BATCH
    parts = {place.source: type(composed(c, plan.facts).negatives) for place, c in zip(every, cells, strict=False)}
    assert parts == {"batch": InBatch, "debiased": InBatch, "queue": Queue, "mixed": Mixed, "bank": Bank}


def test_all_but_the_source_is_the_same(plan: Any) -> None:
    every = places(SOURCES, (0.5,), BATCH, ends=True)
    made = [composed(cell, plan.facts) for cell in grid(plan, every, (0,))]
    assert len({recipe.heads for recipe in made}) == 1
    assert len({type(recipe.optim) for recipe in made}) == 1
    assert {policy for recipe in made for policy in recipe.views.policies} == set(made[0].views.policies)


def test_where_budgets_are_equal_a_run_is_the_leagues(plan: Any) -> None:
    """A cell is one run with the league's where all that is asked for is the same."""
    every = [Place("batch", 2 * BATCH - 2, 0.5), Place("queue", 4096, 0.2), Place("mixed", 4096, 0.2)]
    for cell, name in zip(grid(plan, every, (3,)), ("simclr", "moco", "mochi"), strict=True):
        theirs = trained_as(name, plan.source, plan.encoder, batch=BATCH, epochs=1, seed=3)
        assert asked_for(cell) == asked_for(theirs)


def test_options_are_checked() -> None:
    assert "negatives" in named_studies()
    made = find_study(
        "negatives", scale="smoke", options={"kinds": "batch,queue", "temperatures": "0.5", "mixing": False}
    )
    assert {cell.place["source"] for cell in made.cells} == {"batch", "queue"}
    assert {cell.place["temperature"] for cell in made.cells} == {"0.5"}
    for options, match in (
        ({"kinds": "batch,cue"}, "no kind 'cue'.*queue"),
        ({"kinds": ","}, "names none"),
        ({"temperatures": "warm"}, "give numbers"),
        ({"temperatures": 0}, "above 0"),
    ):
        with pytest.raises(CounterpointError, match=match):
            find_study("negatives", scale="smoke", options=options)
    with pytest.raises(CounterpointError, match="needs images with labels"):
        find_study("negatives")


# ---------------------------------------------------------------- who a candidate is


def _context(step: int = 0) -> Context:
    return Context(Clock(step, 9, 3), Comm.alone(), Streams(0))


def _recipe(plan: Any, place: Place) -> Recipe:
    (cell,) = grid(plan, [place], (0,))
    return composed(cell, plan.facts)


def _encoded(sample: torch.Tensor, seed: int = 0, width: int = 128) -> Encoded:
    """Rows that tell their image: no two are alike."""
    n = len(sample)
    batch = Batch(torch.zeros(n, 1, 2, 2, dtype=torch.uint8), sample, torch.arange(n), torch.full((n,), -1))
    z = torch.randn(2 * n, width, generator=torch.Generator().manual_seed(seed))
    return Encoded(z, z, Rows.of(batch, 2))


def _model(recipe: Recipe, facts: Facts) -> Model:
    return Model(recipe, replace(facts, total_steps=9, steps_per_epoch=3))


def test_rows_of_the_batch_are_its_images(plan: Any) -> None:
    recipe = _recipe(plan, Place("batch", 2 * 2 - 2, 0.5))
    owners = owners_of(recipe, _model(recipe, plan.facts), 0, 100, 0)
    assert owners is not None
    rows = _encoded(torch.tensor([7, 3, 50, 20]))
    matches = recipe.negatives.match(rows, rows, SameSample(), Cosine(), None, _context())
    who = owners.of(matches, rows, rows, SameSample(), Cosine(), _context())
    assert [anchors.tolist() for anchors, _ in who] == [[7, 3, 7, 3], [50, 20, 50, 20]]
    assert [candidates.tolist() for _, candidates in who] == [[[7, 3, 7, 3]] * 4, [[50, 20, 50, 20]] * 4]


@pytest.mark.parametrize("size", [16, 40, 1024])
def test_a_queue_is_followed_from_the_first_step(plan: Any, size: int) -> None:
    """A real queue is filled with marked rows in the order of the engine's batches: the marks say whose they are."""
    recipe = _recipe(plan, Place("queue", size, 0.5))
    recipe = replace(recipe, batch_size=24)
    split = plan.dataset.train.rows(torch.arange(80))
    model = _model(recipe, replace(plan.facts, images=80))
    state: Any = model.negatives
    mark = torch.nn.functional.normalize(torch.randn(80, 128, generator=torch.Generator().manual_seed(1)), dim=1)
    steps = 0
    for epoch in range(3):
        for batch in batches(split, recipe, Streams(5), Clock(epoch * 3, 9, 3), torch.device("cpu")):
            rows = Rows.of(batch, 2)
            seen = Encoded(mark[rows.sample], mark[rows.sample], rows)
            state.after_step(model, _context(), seen, seen.detached())
            steps += 1
    assert steps == 9
    owners = owners_of(recipe, model, steps, 80, 5)
    assert owners is not None
    rows = _encoded(torch.tensor([7, 3, 50]))
    matches = recipe.negatives.match(rows, rows, SameSample(), Cosine(), state, _context())
    ((anchors, who),) = owners.of(matches, rows, rows, SameSample(), Cosine(), _context())
    assert anchors.tolist() == [7, 3, 50]
    assert who.shape == (3, 1 + size)
    assert who[:, 0].tolist() == [7, 3, 50], "the own key"
    filled = min(size, 9 * 24)
    assert int((who[0, 1:] != NOBODY).sum()) == filled, "random rows are nobody's"
    queue = matches[0].columns[1].rows
    for column in range(size):
        image = int(who[0, 1 + column])
        assert image == NOBODY or torch.equal(queue[column], mark[image])


def test_mixtures_are_nobody(plan: Any) -> None:
    recipe = _recipe(plan, Place("mixed", 1024, 0.5))
    model = _model(recipe, plan.facts)
    owners = owners_of(recipe, model, 3, 1000, 0)
    assert owners is not None
    rows = _encoded(torch.arange(6))
    matches = recipe.negatives.match(rows, rows, SameSample(), Cosine(), model.negatives, _context(9))
    ((_, who),) = owners.of(matches, rows, rows, SameSample(), Cosine(), _context(9))
    assert who.shape == (6, 1 + 1024 + 48)
    assert (who[:, -48:] == NOBODY).all()


def test_a_row_of_the_bank_is_its_image(plan: Any) -> None:
    recipe = _recipe(plan, Place("bank", 64, 0.5))
    model = _model(recipe, plan.facts)
    state: Any = model.negatives
    owners = owners_of(recipe, model, 3, plan.facts.images, 0)
    assert owners is not None
    rows = _encoded(torch.tensor([7, 3, 50]))
    matches = recipe.negatives.match(rows, rows, SameSample(), Cosine(), state, _context(4))
    ((anchors, who),) = owners.of(matches, rows, rows, SameSample(), Cosine(), _context(4))
    assert anchors.tolist() == who[:, 0].tolist() == [7, 3, 50]
    assert torch.equal(state.rows[who[0, 1:]], matches[0].columns[1].rows)


# ---------------------------------------------------------------- shares


def test_false_negatives_of_a_known_labelling() -> None:
    """20 negatives in order of hardness: of the two hardest one is false, of all five."""
    score = torch.arange(20.0).flip(0)[None]
    same = torch.zeros(1, 20, dtype=torch.bool)
    same[0, [1, 5, 9, 13, 17]] = True
    force = torch.ones(1, 20)
    force[0, 1] = 11.0
    known = torch.ones(1, 20, dtype=torch.bool)
    found = tallied(Forces(score, force, known), same, known).told()
    assert found["false"] == pytest.approx([0.5, 0, 0.5, 0, 0.5, 0, 0.5, 0, 0.5, 0])
    assert found["false hardest"] == pytest.approx(0.5)
    assert found["false overall"] == pytest.approx(0.25)
    assert found["gradient"] == pytest.approx([12 / 30, *[2 / 30] * 9])
    assert found["hardest"] == pytest.approx(0.4)
    assert found["gradient on false"] == pytest.approx(15 / 30)
    assert (found["negatives"], found["anchors"], found["mixtures"]) == (20, 1, 0)


def test_what_is_not_known_is_left_out_and_what_is_nobody_is_counted() -> None:
    score = torch.arange(20.0).flip(0).expand(2, 20)
    negative = torch.ones(2, 20, dtype=torch.bool)
    negative[:, 0] = False
    nobody = torch.zeros(2, 20, dtype=torch.bool)
    nobody[:, 1:5] = True
    same = torch.zeros(2, 20, dtype=torch.bool)
    same[:, 5:8] = True
    force = torch.full((2, 20), 0.5)
    force[:, 0] = -9.0
    one = tallied(Forces(score, force, negative), same, ~nobody, nobody)
    for total in (one, Tally() + one, one + one):
        found = total.told()
        assert found["false overall"] == pytest.approx(3 / 15)
        assert found["false hardest"] is None, "its two negatives are nobody's"
        assert found["mixtures"] == pytest.approx(4 / 19)
        assert found["gradient on mixtures"] == pytest.approx(4 / 19)
        assert found["gradient"] == pytest.approx([0.1] * 10)
        assert found["gradient on false"] == pytest.approx(3 / 15)
        assert found["negatives"] == 19


def test_without_any_push_nothing_is_shared_out() -> None:
    negative = torch.ones(1, 20, dtype=torch.bool)
    none = torch.zeros(1, 20, dtype=torch.bool)
    found = tallied(Forces(torch.rand(1, 20), torch.zeros(1, 20), negative), none, none).told()
    assert found["gradient"] == [None] * 10
    assert found["hardest"] is found["false overall"] is found["gradient on false"] is None


def test_chance_is_that_two_images_are_of_one_class() -> None:
    assert chance_of(torch.arange(10).repeat(7)) == pytest.approx(0.1)
    assert chance_of(torch.tensor([0, 0, 0, 1, -1])) == pytest.approx(0.625)
    assert chance_of(torch.tensor([-1, -1])) is None


# ---------------------------------------------------------------- dials that are carried

THREE = (Mixing(128, 32, 16), Mixing(32, 32, 16), NONE)


def _trials(values: Mapping[str, Mapping[int, tuple[tuple[float, float], ...]]]) -> list[Result]:
    """From data, seed and, for each of three settings, accuracy held out and tested."""
    made: list[Result] = []
    for data, seeds in values.items():
        for seed, pairs in seeds.items():
            for mixing, (held, test) in zip(THREE, pairs, strict=True):
                place = {"part": MIXING, "data": data, "mixing": mixing.name}
                cell = Cell(place, "mochi", Digits(), "mlp", seed)
                made.append(Result(cell, Path("x"), {"trial": {"held out": held, "test": test}}))
    return made


TRIALS = {
    "a": {0: ((0.5, 0.50), (0.6, 0.58), (0.4, 0.41)), 1: ((0.5, 0.52), (0.5, 0.50), (0.4, 0.40))},
    "b": {0: ((0.8, 0.79), (0.7, 0.75), (0.6, 0.61)), 1: ((0.7, 0.70), (0.6, 0.60), (0.8, 0.83))},
}


def test_dials_are_chosen_by_what_was_held_out_and_carried() -> None:
    results = Results(tuple(_trials(TRIALS)))
    assert chosen(results, "a", THREE) == {0: THREE[1], 1: THREE[0]}, "of equals the first"
    assert chosen(results, "b", THREE) == {0: THREE[0], 1: NONE}
    assert carried(results, "a", "b", THREE) == {0: 0.75, 1: 0.70}
    assert regret(results, "a", "b", THREE) == pytest.approx({0: 0.04, 1: 0.13})
    assert regret(results, "b", "a", THREE) == pytest.approx({0: 0.08, 1: 0.12})
    assert regret(results, "a", "a", THREE) == {0: 0.0, 1: 0.0}


def test_a_seed_at_which_a_setting_is_missing_chooses_nothing() -> None:
    results = Results(tuple(_trials(TRIALS)[1:]))
    assert chosen(results, "a", THREE) == {1: THREE[0]}
    assert list(regret(results, "a", "b", THREE)) == [1]


def test_mixing_cells_are_trained_without_the_test_images(plan: Any) -> None:
    from counterpoint.studies.held_out import HeldOut

    held = planned(HeldOut(Digits()), scale="smoke", encoder=None, images=None, epochs=None)
    cells = mixing_cells(held, "digits", MIXINGS, (0,))
    assert len({str(asked_for(cell)) for cell in cells}) == len(MIXINGS) == 7
    assert "HeldOut" in str(asked_for(cells[0])["source"])
    recipe = composed(cells[0], Shelf().facts(held.source))
    assert isinstance(recipe.negatives, Mixed)
    assert recipe.negatives.queue.size == 8 * held.batch
    assert composed(cells[-1], Shelf().facts(held.source)).negatives.seen(BATCH, 2) == 8 * held.batch


# ---------------------------------------------------------------- claims and page

EVERY = places(SOURCES, TEMPERATURES, 512)
ABOUT = About(EVERY, Place("batch", 1022, 0.5), ("a", "b"), THREE, 4.0)


def _found(place: Place, seed: int) -> dict[str, Mapping[str, Any]]:
    """More is better but for the bank; cold is hard; false negatives are a tenth, among the hardest two."""
    gain = 0.01 * EVERY.index(Place(place.source, place.number, 0.1)) / 3 % 0.03
    probe = 0.4 + (-gain if place.source == "bank" else gain) + 0.02 * (place.source == "mixed") + 0.001 * seed
    first = 0.1 / place.temperature**0.5 + 0.001 * seed
    mixed = place.source == "mixed"
    hardness = {
        "gradient": [first, *[(1 - first) / 9] * 9],
        "false": [0.2, *[0.8 / 9] * 9],
        "hardest": first,
        "false overall": 0.1 + 0.0001 * seed,
        "false hardest": 0.2 + 0.001 * seed,
        "gradient on false": 0.15 - 0.02 * (place.source == "debiased") + 0.001 * seed,
        "mixtures": 0.01 * mixed,
        "gradient on mixtures": (0.05 + 0.001 * seed) * mixed,
        "chance": 0.1,
    }
    accuracy: dict[str, Any] = {"learned": {"probe": probe, "knn": probe - 0.05}}
    if place == ABOUT.bare:
        accuracy |= {name: {"probe": 0.3, "knn": 0.28} for name in ("pixels", "untrained")}
    return {"accuracy": accuracy, "hardness": hardness}


def _results() -> Results:
    made = [
        Result(Cell(place.axes, "simclr", Digits(), "mlp", seed), Path("x"), _found(place, seed))
        for seed in (0, 1, 2)
        for place in EVERY
    ]
    return Results((*made, *_trials({**TRIALS, "a": {**TRIALS["a"], 2: TRIALS["a"][0]}})))


def _study() -> Study:
    claims = (*grid_claims(EVERY), *mixing_claims(("a", "b"), THREE))
    return Study("negatives", "Negatives", (), "", (), (), claims, lambda results: study_sections(results, ABOUT))


def test_claims_are_decided_by_their_rules() -> None:
    verdicts = {key: decision.verdict for key, decision in decide(_study(), _results()).items()}
    assert len(verdicts) == len(_study().claims), "each has its own key"
    expected = {
        "more-batch": "held",
        "more-bank": "not held",
        "too-many-batch": "not held",
        "too-many-bank": "held",
        "queue-as-batch": "held",
        "mixed-beats-queue": "held",
        "mixtures-are-hard": "held",
        "debiased-beats-batch": "not held",
        "debiased-spares-false": "held",
        "cold-is-hard": "held",
        "hard-is-false": "held",
        "false-by-chance": "held",
        "carried-a-b": "undecided",
    }
    assert {key: verdicts[key] for key in expected} == expected


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    made, results = _study(), _results()
    sections = study_sections(results, ABOUT)
    assert [section.key for section in sections] == ["accuracy", "gradient", "false", "mixing"]
    tables = {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}
    assert len(tables["accuracy"].rows) == 15
    (row,) = (row for row in tables["accuracy"].rows if row[:2] == ("batch", 1022))
    assert row[-2:] == pytest.approx((0.421, 0.001))
    rows = {row[:3]: row for row in tables["every"].rows}
    assert rows["batch", 1022, "0.5"][3:6] == pytest.approx((0.421, 0.001, 0.371))
    assert rows["raw pixels", None, None][3] == 0.3
    assert "45 of 45 settings are above the untrained encoder" in " ".join(sections[0].words)
    assert "mixed with 4,096 negatives" in sections[0].title
    assert "20.1 % of the hardest tenth" in sections[2].title
    carried_rows = {row[:2]: row for row in tables["carried"].rows}
    assert carried_rows["b", "tuned on a"][3] == pytest.approx(0.725)
    assert carried_rows["b", "tuned on itself"][3] == pytest.approx(0.81)
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", made, results, decide(made, results), command="x", facts={})
    text = page.read_text("utf-8")
    assert text.count('<svg class="chart"') == 15
    assert "nan" not in text.partition("<script")[0].lower()


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results().every
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    unread = tuple(replace(result, found={}) for result in every)
    unlabelled = tuple(
        replace(r, found={"hardness": {**r.found["hardness"], "false": [None] * 10, "false overall": None}})
        for r in every
        if "hardness" in r.found
    )
    for part in ((), every[:1], every[44:50], every[-4:], empty, unread, unlabelled):
        sections = study_sections(Results(part), ABOUT)
        assert sections[0].key == "accuracy"
        write_tables(tmp_path, sections)
        decide(_study(), Results(part))
    assert study_sections(Results(()), ABOUT)[0].title == "Nothing is scored yet"


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    options = {"temperatures": "0.2", "kinds": "bank,mixed"}
    done = run_study(
        "negatives", scale="smoke", options=options, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True
    )
    assert not done.results.missing
    for result in done.results:
        if result.cell.place["part"] == MIXING:
            assert 0 < (result.number("trial", "test") or 0) <= 1
            continue
        hardness = result.found["hardness"]
        source, number = result.cell.place["source"], int(result.cell.place["negatives"])
        assert hardness["negatives"] == number + 48 * (source == "mixed")
        assert sum(hardness["gradient"]) == pytest.approx(1.0)
        assert hardness["false overall"] == pytest.approx(hardness["chance"], abs=0.03)
        assert hardness["gradient"][0] == pytest.approx(max(hardness["gradient"]))
    page = done.page.read_text("utf-8")
    assert "the untrained encoder" in page
    assert (tmp_path / "out" / "tables" / "carried.csv").is_file()
