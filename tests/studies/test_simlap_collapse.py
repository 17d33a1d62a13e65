from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import CounterpointError
from counterpoint.report.charts import Chart
from counterpoint.report.exhibits import Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.run import Run
from counterpoint.sources import Digits
from counterpoint.studies.cells import Opened, Shelf, asked_for, composed, digest
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.listing import named_studies
from counterpoint.studies.simlap.collapse import collapse_cells, largest
from counterpoint.studies.simlap.collapse_claims import collapse_claims
from counterpoint.studies.simlap.collapse_sections import METHODS, About, collapse_sections
from counterpoint.studies.simlap.directions import Directions
from counterpoint.studies.simlap.runs import sized
from counterpoint.studies.study import Cell, Result, Results, Study
from counterpoint.types import Embeddings

LENGTHS = (4, 16, 64)
ABOUT = About(LENGTHS, {"method": "simclr", "passes": "64"}, ("a",), 10, 7)


# ---------------------------------------------------------------- what is trained on, and for how long


def test_the_largest_super_class() -> None:
    digits = Digits().load()
    assert largest(digits) == ()
    above = torch.tensor([0, 1, 1, 2, 1, 2, 0, 2, 2, 0])
    assert largest(replace(digits, super_classes=("a", "b", "c"), super_of=above)) == ("c",)
    assert largest(replace(digits, super_classes=("a", "b"), super_of=torch.tensor([0, 1] * 5))) == ("a",)


def test_every_duration_is_a_run_with_as_many_views_for_each_method() -> None:
    plan = replace(sized(None, scale="smoke"), batch=100)
    cells = collapse_cells(plan, (1, 4), (0, 1))
    assert len({digest(asked_for(cell)) for cell in cells}) == len(cells) == 12
    facts = Shelf().facts(plan.source)
    for cell in cells:
        made = composed(cell, facts)
        assert made.epochs * len(made.views.policies) == 2 * int(cell.place["passes"])
        assert made.batch_size == 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 1}, "give 2 or more"),
        ({"batch": 1}, "give 2 or more"),
        ({"classes": "a"}, "name it by --source"),
    ],
)
def test_options_that_are_none(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(CounterpointError, match=said):
        find_study("simlap-collapse", scale="smoke", options=options)
    assert "simlap-collapse" in named_studies()


def test_few_classes_are_named() -> None:
    made = find_study("simlap-collapse", source=Digits(), scale="smoke", options={"classes": "1; 7;8", "batch": 32})
    (source,) = {cell.source for cell in made.cells}
    assert source.load().classes == ("1", "7", "8")
    assert "3 classes (1, 7, 8)" in made.about[1]


# ---------------------------------------------------------------- spectrum


class _Rows(Opened):
    """A run of which nothing is there but embeddings and a log."""

    def __init__(self, h: torch.Tensor, z: torch.Tensor | None, folder: Path) -> None:
        self.folder = folder
        self.test = Embeddings(h, torch.arange(len(h)), z)


def test_directions_of_known_rows(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    for step in range(10, 2010, 10):
        run.log("step", step=step, health={"rank_h": 5 - step / 1000, "rank_z": 2.0} if step > 10 else {})
    stream = torch.Generator().manual_seed(0)
    even = torch.randn(4000, 8, generator=stream)
    flat = torch.nn.functional.pad(torch.randn(4000, 3, generator=stream), (0, 5))
    found = Directions()(_Rows(even, flat, run.folder))
    assert found["h"]["rank"] == pytest.approx(8, abs=0.1)
    assert found["z"]["rank"] == pytest.approx(3, abs=0.1)
    assert found["h"]["width"] == found["z"]["width"] == 8
    assert found["h"]["singular"][0] == 1.0
    assert min(found["h"]["singular"]) > 0.8
    assert max(found["z"]["singular"][3:]) < 1e-6
    course = found["course"]
    assert (course["step"][0], course["step"][-1], len(course["step"])) == (20, 2000, 60)
    assert (course["h"][0], course["h"][-1], course["z"][0]) == (4.98, 3.0, 2.0)


def test_collapsed_rows_and_none(tmp_path: Path) -> None:
    found = Directions()(_Rows(torch.ones(50, 4), None, tmp_path))
    assert found["h"]["rank"] == 1.0
    assert "z" not in found
    assert found["course"]["step"] == []


# ---------------------------------------------------------------- claims and page


def _results(falls: Mapping[str, float]) -> Results:
    """What each method loses of accuracy, and a hundred times as many directions, in the last duration."""
    made: list[Result] = []
    for seed in range(3):
        for method in METHODS:
            for i, length in enumerate(LENGTHS):
                loss = falls[method] * (i == 2)
                noise = 0.001 * seed * (1 + i)
                both = {"knn": 0.4 - loss + noise, "probe": 0.5 - loss + noise}
                found: dict[str, Any] = {"transfer": {"learned": {"mean": both, "a": both}}}
                if {"method": method, "passes": str(length)} == ABOUT.bare:
                    found["floor"] = {"untrained": {"mean": {"knn": 0.3, "probe": 0.3}, "a": both}}
                rank = 20 - 100 * loss + noise
                found["directions"] = {
                    "h": {"rank": rank, "width": 64, "singular": [1.0, 0.5, 0.0]},
                    "course": {"step": [10.0, 70.0], "h": [5.0, rank], "z": [3.0, 2.0]},
                }
                cell = Cell({"method": method, "passes": str(length)}, method, Digits(), "mlp", seed)
                made.append(Result(cell, Path("x"), found))
    return Results(tuple(made))


def _study() -> Study:
    return Study("x", "X", (), "", (), (), collapse_claims(LENGTHS), lambda r: collapse_sections(r, ABOUT))


PAPER = {"simclr": 0.1, "supcon": 0.05, "simlap": 0.0}
OTHERWISE = {"simclr": -0.1, "supcon": -0.05, "simlap": 0.1}


@pytest.mark.parametrize(("falls", "verdict"), [(PAPER, "held"), (OTHERWISE, "not held")])
def test_claims_are_decided_by_their_rules(falls: Mapping[str, float], verdict: str) -> None:
    found = decide(_study(), _results(falls))
    assert len(found) == len(_study().claims) == 9
    assert {key: decision.verdict for key, decision in found.items()} == dict.fromkeys(found, verdict)


def test_a_small_loss_is_kept_and_a_fall_on_the_way_is_not_looked_at() -> None:
    found = decide(_study(), _results({**PAPER, "simlap": 0.005}))
    assert found["simlap-keeps"].verdict == "held"
    assert found["simlap-keeps-directions"].verdict == "held"


@pytest.mark.parametrize("loss", [0.005, 0.1])
def test_where_all_lose_alike_nothing_is_said_of_one_alone(loss: float) -> None:
    """A method cannot fall and keep what it had by the same numbers."""
    found = {key: d.verdict for key, d in decide(_study(), _results(dict.fromkeys(METHODS, loss))).items()}
    assert found["simclr-falls"] != found["simlap-keeps"]
    assert found["simclr-loses-directions"] != found["simlap-keeps-directions"]
    assert found["simclr-falls"] == found["supcon-falls"]
    assert "held" not in {found["simclr-loses-more"], found["simlap-keeps-more-directions"]}


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    made, results = _study(), _results(PAPER)
    sections = collapse_sections(results, ABOUT)
    assert sections[0].title == (
        "From 32 to 128 views of each image: SimCLR loses 9.90 points, SupCon loses 4.90 points, "
        "SimLAP gains 0.10 points"
    )
    assert sections[1].title.startswith("Directions of h: SimCLR from 20.0 to 10.0")
    charts = {e.title: e for section in sections for e in section.exhibits if isinstance(e, Chart)}
    first = charts["Nearest neighbours"].lines[0]
    assert (first.label, first.x) == ("SimCLR", (8.0, 32.0, 128.0))
    assert first.y == pytest.approx((0.401, 0.402, 0.303))
    assert charts["Nearest neighbours"].lines[-1].label == "untrained"
    way = {line.label: line for line in charts["On the way"].lines}
    assert way["SimCLR"].x[-1] == pytest.approx(2 * 70 / 7)
    assert way["SimLAP"].x[-1] == pytest.approx(70 / 7)
    assert charts["Spectrum of SupCon"].lines[0].y == (1.0, 0.5), "nothing at zero, which has no logarithm"
    tables = {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}
    assert tables["time"].rows[2][8] == pytest.approx(-0.099)
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", made, results, decide(made, results), command="x", facts={})
    assert page.read_text("utf-8").count('<svg class="chart"') == 7


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results(PAPER).every
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    unread = tuple(replace(result, found={}) for result in every)
    half = tuple(replace(r, found={"directions": {"course": {"step": [], "h": [], "z": []}}}) for r in every[:1])
    for part in ((), every[:1], every[4:6], empty, unread):
        write_tables(tmp_path, collapse_sections(Results(part), ABOUT))
        assert {d.verdict for d in decide(_study(), Results(part)).values()} == {"undecided"}
    assert collapse_sections(Results(()), ABOUT)[0].title == "Nothing is judged yet"
    assert len(collapse_sections(Results(half), replace(ABOUT, lengths=(64,)))) == 2


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study(
        "simlap-collapse",
        source=Digits(),
        scale="smoke",
        options={"classes": "0;1;2;3;4", "batch": 64},
        out=tmp_path / "out",
        cells=tmp_path / "cells",
        quiet=True,
    )
    assert not done.results.missing
    assert [result.cell.place["passes"] for result in done.results.every] == ["1"] * 3 + ["4"] * 3
    for result in done.results:
        assert 0.5 < (result.number("transfer", "learned", "mean", "knn") or 0) <= 1
        found = result.found["directions"]
        assert 1 < found["h"]["rank"] < found["h"]["width"]
        assert len(found["course"]["step"]) == len(found["course"]["h"]) >= 1
    page = done.page.read_text("utf-8")
    assert "The untrained encoder has" in page
    assert "On the way" in page
    assert (tmp_path / "out" / "tables" / "time.csv").is_file()
