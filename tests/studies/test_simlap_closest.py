from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from counterpoint.errors import CounterpointError
from counterpoint.negatives import Gated, InBatch
from counterpoint.objectives import Contrast, Each
from counterpoint.pairing import ArbitraryPairs
from counterpoint.report.exhibits import Heat, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, asked_for, composed, digest, folder_of
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.listing import named_studies
from counterpoint.studies.runner import run
from counterpoint.studies.simlap.closest import closest_cells, simlap_closest
from counterpoint.studies.simlap.closest_claims import closest_claims
from counterpoint.studies.simlap.closest_sections import About, closest_sections
from counterpoint.studies.simlap.nearness import Near, agreement, centred_cosines, near, nearest, shared_run, steps
from counterpoint.studies.simlap.runs import runs, sized
from counterpoint.studies.study import Cell, Result, Results, Study


@pytest.fixture(scope="module")
def plan() -> Any:
    return sized(None, scale="smoke")


def _ring(classes: int = 10) -> torch.Tensor:
    """Classes on a circle: the nearest are the neighbours on it."""
    turn = torch.arange(classes) * (2 * torch.pi / classes)
    return (turn[:, None] - turn).cos()


ABOVE = torch.tensor([0, 1] * 5)
NEAR = Near("a planted encoder", _ring(), steps(ABOVE), ABOVE, ("even", "odd"))


# ---------------------------------------------------------------- distances


def test_a_planted_order_of_classes_is_found() -> None:
    """Six classes on a small circle far from the origin: what they share says nothing, where they lie says all."""
    stream = torch.Generator().manual_seed(0)
    turn = torch.arange(6).repeat_interleave(50) * (torch.pi / 3)
    h = torch.stack((turn.cos(), turn.sin(), torch.full((300,), 9.0)), 1) + 0.05 * torch.randn(300, 3, generator=stream)
    labels = torch.arange(6).repeat_interleave(50)
    cosine = centred_cosines(h, labels, 6)
    for own, others in enumerate(nearest(cosine)):
        assert {(other - own) % 6 for other in others[:2]} == {1, 5}
        assert (others[-1] - own) % 6 == 3
    assert torch.allclose(cosine, _ring(6), atol=0.1)


def test_a_class_of_too_few_images_is_said() -> None:
    with pytest.raises(CounterpointError, match="class 1 has 1 images"):
        centred_cosines(torch.eye(3), torch.tensor([0, 0, 1]), 2)


def test_the_hierarchy_comes_first_and_the_encoder_breaks_ties() -> None:
    assert steps(torch.tensor([0, 0, 1])).tolist() == [[0, 2, 4], [2, 0, 4], [4, 4, 0]]
    first = nearest(NEAR.cosine, NEAR.path)[0]
    assert set(first[:4]) == {2, 4, 6, 8}
    assert set(first[:2]) == {2, 8}
    assert set(first[4:6]) == {1, 9}
    assert set(nearest(NEAR.cosine)[0][:2]) == {1, 9}


def test_agreement_of_rankings() -> None:
    one, other = nearest(NEAR.cosine), nearest(-NEAR.cosine)
    assert agreement(one, one, 4) == (1.0, 4 / 9)
    assert agreement(one, other, 4)[0] == 0.0


def test_the_classes_of_digits_by_an_untrained_encoder(plan: Any) -> None:
    found = near(plan)
    assert found.path is None
    assert found.cosine.shape == (10, 10)
    assert float(found.cosine.diagonal().min()) > float(found.cosine.fill_diagonal_(-1).max()) - 0.5
    assert torch.equal(near(plan).cosine.fill_diagonal_(0), found.cosine.fill_diagonal_(0))


def test_a_frozen_run_that_is_none(plan: Any, tmp_path: Path) -> None:
    with pytest.raises(CounterpointError, match="is no run"):
        near(plan, tmp_path / "nowhere")


# ---------------------------------------------------------------- cells


def _at(cells: tuple[Cell, ...], **place: str) -> Cell:
    (found,) = [c for c in cells if all(c.place[k] == v for k, v in place.items())]
    return found


def test_positives_come_from_the_closest_classes_and_nothing_else_changes(plan: Any) -> None:
    cells = closest_cells(plan, NEAR, (1, 4), (0,))
    assert len(cells) == 14
    assert len({digest(asked_for(cell)) for cell in cells}) == 14
    facts = Shelf().facts(plan.source)
    for by, path in (("encoder", None), ("hierarchy", NEAR.path)):
        ranking = nearest(NEAR.cosine, path)
        for method in ("simlap", "supcon"):
            made = composed(_at(cells, method=method, positives="4", by=by), facts)
            pairing = made.pairing
            assert isinstance(pairing, ArbitraryPairs)
            assert pairing.nearest == 4
            assert [set(others[:4]) for others in pairing.ranking] == [set(others[:4]) for others in ranking]
            assert isinstance(made.negatives, Gated if method == "simlap" else InBatch)
            plain = composed(runs(plan, (method,), (0,))[0], facts)
            assert replace(made, pairing=plain.pairing) == plain


def test_the_ends_are_runs_of_the_plain_methods(plan: Any) -> None:
    cells = closest_cells(plan, NEAR, (1,), (3,))
    plain = {cell.recipe: digest(asked_for(cell)) for cell in runs(plan, ("simlap", "supcon"), (3,))}
    assert digest(asked_for(_at(cells, method="simlap", positives="all", gate="yes"))) == plain["simlap"]
    assert digest(asked_for(_at(cells, method="supcon", positives="0"))) == plain["supcon"]


def test_the_control_lacks_the_gate_alone(plan: Any) -> None:
    cells, facts = closest_cells(plan, NEAR, (1,), (0,)), Shelf().facts(plan.source)
    for positives in ("0", "all"):
        bare = composed(_at(cells, method="simlap", positives=positives, gate="no"), facts)
        gated = composed(_at(cells, method="simlap", positives=positives, gate="yes"), facts)
        assert bare.negatives == InBatch()
        assert bare.objective == Contrast(gated.objective.temperature, Each())
        assert replace(bare, negatives=gated.negatives, objective=gated.objective) == gated
        assert gated.pairing.own == (1.0 if positives == "0" else 0.0)


def test_another_ranking_is_another_run_and_the_order_inside_is_not(plan: Any) -> None:
    def known(cosine: torch.Tensor) -> str:
        cells = closest_cells(plan, Near("x", cosine, None, None), (4,), (0,))
        return digest(asked_for(_at(cells, method="simlap", positives="4", gate="yes")))

    swapped = NEAR.cosine.clone()
    swapped[0, 1], swapped[0, 2] = NEAR.cosine[0, 2], NEAR.cosine[0, 1]
    assert known(swapped) == known(NEAR.cosine)
    swapped[0, 5] = 0.99
    assert known(swapped) != known(NEAR.cosine)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"counts": "few"}, "whole numbers"),
        ({"counts": "1.5"}, "whole numbers"),
        ({"counts": "0"}, "give 1 or more"),
        ({"counts": 9}, "only 9 others"),
        ({"targets": "nowhere"}, "nowhere"),
        ({"frozen": "nowhere"}, "is no run"),
    ],
)
def test_options_that_are_none(options: Mapping[str, Any], said: str) -> None:
    with pytest.raises(CounterpointError, match=said):
        find_study("simlap-closest", scale="smoke", options=options)
    assert "simlap-closest" in named_studies()


def test_classes_are_near_by_the_run_that_other_studies_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small: dict[str, Any] = {"source": Digits(), "scale": "small", "encoder": "mlp", "targets": "digits="}
    with pytest.raises(CounterpointError, match=r"no finished run .*simclr-digits-0.* simlap-transfer first"):
        simlap_closest(**small)
    assert "random weights" in simlap_closest(**small, frozen="untrained").about[1]
    plan = sized(Digits(), scale="smoke")
    (cell,) = runs(plan, ("simclr",), (0,))
    run(toy.study((cell,), evaluators=()), store=tmp_path, quiet=True)
    assert shared_run(plan, tmp_path) == folder_of(cell, tmp_path)
    one, other = near(plan, shared_run(plan, tmp_path)), near(plan)
    assert not torch.equal(one.cosine, other.cosine)


def test_what_machines_round_otherwise_makes_no_other_ranking() -> None:
    level = torch.full((4, 4), 0.5)
    level[0, 3] += 1e-5
    assert nearest(level)[0] == (1, 2, 3)


def test_targets_are_asked_for() -> None:
    with pytest.raises(CounterpointError, match="targets=cifar10=FOLDER"):
        find_study("simlap-closest", source=Digits(), scale="small")


# ---------------------------------------------------------------- claims and page

KINDS = ("encoder", "hierarchy")
COUNTS = (1, 4)
BARE = {"method": "simlap", "gate": "yes", "positives": "all", "by": "any"}
ABOUT = About(COUNTS, KINDS, tuple(f"class {i}, or {i}" for i in range(10)), NEAR, BARE, ("a",))


def _results(cost: Mapping[tuple[str, str], float]) -> Results:
    """An accuracy that falls with the number of classes, by method and gate; a little by seed."""
    made: list[Result] = []
    order = {"0": 0.0, "1": 0.25, "4": 0.5, "all": 1.0}
    for seed in range(3):
        for (method, gate), loss in cost.items():
            places = [("0", "any"), ("all", "any")]
            places += [(n, by) for by in KINDS for n in ("1", "4")] if (method, gate) != ("simlap", "no") else []
            for n, by in places:
                knn = 0.5 - loss * order[n] + 0.001 * seed * (1 + order[n])
                both = {"knn": knn, "probe": knn + 0.1}
                found: dict[str, Any] = {"transfer": {"learned": {"mean": both, "a": both}}}
                place = {"method": method, "gate": gate, "positives": n, "by": by}
                if place == BARE:
                    bare = {"mean": {"knn": 0.3, "probe": 0.3}, "a": both}
                    found |= {"floor": {"untrained": bare}, "pixels": {"pixels": bare}}
                made.append(Result(Cell(place, method, Digits(), "mlp", seed), Path("x"), found))
    return Results(tuple(made))


def _study() -> Study:
    return Study(
        "simlap-closest", "X", (), "", (), (), closest_claims(COUNTS, KINDS), lambda r: closest_sections(r, ABOUT)
    )


PAPER = {("supcon", "no"): 0.1, ("simlap", "yes"): 0.0, ("simlap", "no"): 0.1}
OTHERWISE = {("supcon", "no"): -0.1, ("simlap", "yes"): 0.1, ("simlap", "no"): 0.05}


@pytest.mark.parametrize(("cost", "verdict"), [(PAPER, "held"), (OTHERWISE, "not held")])
def test_claims_are_decided_by_their_rules(cost: Mapping[tuple[str, str], float], verdict: str) -> None:
    found = decide(_study(), _results(cost))
    assert len(found) == len(_study().claims) == 8
    assert {key: decision.verdict for key, decision in found.items()} == dict.fromkeys(found, verdict)


def test_one_loss_is_not_called_a_fall_and_flat_at_once() -> None:
    rising = decide(_study(), _results({**PAPER, ("simlap", "yes"): -0.05}))
    assert rising["simlap-flat"].verdict == "held", "to rise is not to lose"
    little = decide(_study(), _results(dict.fromkeys(PAPER, 0.005)))
    assert (little["supcon-degrades"].verdict, little["simlap-flat"].verdict) == ("not held", "held")
    assert "held" not in {little[key].verdict for key in ("supcon-loses-more", "gate-spares")}


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    made, results = _study(), _results(PAPER)
    sections = closest_sections(results, ABOUT)
    assert sections[0].title == "Lost by positives of any class: SimLAP −0.10 points; SupCon 9.90 points"
    assert "30.0 %" in " ".join(sections[0].words)
    tables = {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}
    assert len(tables["closest"].rows) == 14
    (row,) = (row for row in tables["closest"].rows if row[:3] == ("SupCon", "4", "by the hierarchy"))
    assert row[3] == pytest.approx(0.4515)
    assert row[7] == pytest.approx(-0.0495)
    assert tables["agreement"].rows[0][1] == 0.0, "next on the circle is odd to even"
    first, second = (e for e in sections[1].exhibits if isinstance(e, Heat))
    assert first.rows[1] == "2 class 2", "classes of a super-class stand together"
    assert {v for row in second.values for v in row} == {0, 1, 2}
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", made, results, decide(made, results), command="x", facts={})
    assert page.read_text("utf-8").count('<svg class="chart"') == 3


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results(PAPER).every
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    unread = tuple(replace(result, found={}) for result in every)
    for part in ((), every[:1], every[1:7], empty, unread):
        for about in (ABOUT, replace(ABOUT, near=Near("x", NEAR.cosine, None, None), kinds=("encoder",))):
            write_tables(tmp_path, closest_sections(Results(part), about))
        assert {d.verdict for d in decide(_study(), Results(part)).values()} == {"undecided"}


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    out, cells = tmp_path / "out", tmp_path / "cells"
    done = run_study("simlap-closest", scale="smoke", options={"counts": "3"}, out=out, cells=cells, quiet=True)
    assert not done.results.missing
    assert len(done.results.every) == 8
    for result in done.results:
        assert 0.5 < (result.number("transfer", "learned", "mean", "knn") or 0) <= 1
    page = done.page.read_text("utf-8")
    assert "The untrained encoder has" in page
    assert (out / "tables" / "closest.csv").is_file()
    before = {path: path.stat().st_mtime_ns for path in cells.glob("*/encoder.safetensors")}
    assert len(before) == 8
    again = run_study("simlap-closest", scale="smoke", options={"counts": "3"}, out=out, cells=cells, quiet=True)
    assert not again.results.missing
    assert before == {path: path.stat().st_mtime_ns for path in cells.glob("*/encoder.safetensors")}, "the same cells"
    run = done.results.every[1].folder
    by_run = find_study("simlap-closest", scale="smoke", options={"counts": "3", "frozen": str(run)})
    assert run is not None
    assert run.name in by_run.about[1]
    assert {digest(asked_for(cell)) for cell in by_run.cells} != {digest(asked_for(c)) for c in done.study.cells}
