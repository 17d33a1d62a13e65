"""The study of the bound: runs, planted features whose losses are known, claims in both directions, the page."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import CounterpointError
from counterpoint.evaluation import Hinge, Logistic, bound
from counterpoint.negatives import ClassBlocks
from counterpoint.objectives import Contrast, Triplet
from counterpoint.report.exhibits import Section, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.scores import Dot
from counterpoint.sources import Digits
from counterpoint.studies.bound.claims import study_claims
from counterpoint.studies.bound.ends import RATIOS, Shift, class_losses, shifted
from counterpoint.studies.bound.evaluators import Promise, Tasks, compared
from counterpoint.studies.bound.grid import (
    BLOCKS,
    EPOCHS,
    LOSSES,
    NEGATIVES,
    Place,
    cells,
    different,
    of_classes,
    places,
)
from counterpoint.studies.bound.sections import study_sections
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.make import planned
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Result, Results, Study, Trained
from counterpoint.types import Dataset, Embeddings, Split

# ---------------------------------------------------------------- the runs


@pytest.fixture(scope="module")
def plan() -> Any:
    return planned(None, scale="smoke", encoder=None, images=None, epochs=None)


def test_cells_are_what_their_place_says(plan: Any) -> None:
    every = places()
    made = cells(plan, every, (0, 1))
    assert len(every) == len(set(every)) == 15
    assert len({str(asked_for(cell)) for cell in made}) == 30
    shelf = Shelf(8)
    for place, cell in zip(every, made, strict=False):
        recipe = composed(cell, shelf.facts(cell.source))
        assert cell.place == place.axes
        if place.augmentations:
            assert recipe.name == "simclr"
            assert recipe.epochs == 1
            continue
        assert recipe.negatives == ClassBlocks(place.negatives, place.block)
        assert recipe.score == Dot()
        assert isinstance(recipe.objective, Triplet if place.loss == "hinge" else Contrast)
        assert len(recipe.views) == 1
        assert recipe.epochs == (4 if place.half else 2), "as many views, and of half as many images as many steps"
        assert shelf.facts(cell.source).classes == (5 if place.half else 10)
        assert recipe.heads.projector.width == 128
    assert EPOCHS["full"] == 4


def test_the_objectives_are_the_losses_of_the_theory(plan: Any) -> None:
    """Of one anchor, its positive ahead by .5 of one negative and behind by 1 of the other."""
    from counterpoint.relations import Related, Unrelated
    from counterpoint.types import Columns, Match

    anchor = torch.eye(3)[:1]
    near, far = torch.tensor([[[1.0, 0, 0]]]), torch.tensor([[[0.5, 9, 9], [2.0, 9, 9]]])
    match = Match(anchor, (Columns(near, Related(), Dot()), Columns(far, Unrelated(), Dot())))
    for cell, loss in zip(cells(plan, (Place("hinge"), Place("logistic")), (0,)), (Hinge(), Logistic()), strict=True):
        found = composed(cell, plan.facts).objective([match]).total.item()
        assert found == pytest.approx(loss(torch.tensor([[0.5, -1.0]])).item(), rel=1e-6)


def test_options_are_checked() -> None:
    assert "bound" in named_studies()
    with pytest.raises(CounterpointError, match="needs images with labels"):
        find_study("bound")
    with pytest.raises(CounterpointError, match="epochs"):
        find_study("bound", scale="smoke", options={"epochs": -1})
    with pytest.raises(CounterpointError, match="draws is 1"):
        find_study("bound", scale="smoke", options={"draws": 1})
    made = find_study("bound", scale="smoke", options={"draws": 50})
    assert all(e.draws == 50 for e in made.evaluators if hasattr(e, "draws"))  # pyright: ignore[reportAttributeAccessIssue]
    assert {cell.place["classes"] for cell in made.cells} == {"all", "half"}


# ---------------------------------------------------------------- planted features


class Planted(Trained):
    """What an evaluator reads of a run, from features that are given."""

    train: Any = None
    test: Any = None
    dataset: Any = None
    model: Any = None
    untrained: Any = None
    recipe: Any = None

    def __init__(self, train: Embeddings, test: Embeddings, place: Place) -> None:
        self.train, self.test = train, test
        self.cell = Cell(place.axes, "supcon", Digits(), "mlp")
        images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
        self.dataset = Dataset("made", "photos", Split(images), Split(images), tuple("abcdefgh"))


def _features(classes: int, each: int, length: float, noise: float, seed: int, *, mixed: bool = False) -> Embeddings:
    """Around the corners of a simplex; `mixed`: in an order that has nothing to do with the labels."""
    labels = torch.arange(classes).repeat_interleave(each)
    generator = torch.Generator().manual_seed(seed)
    corner = labels[torch.randperm(len(labels), generator=generator)] if mixed else labels
    z = length * torch.eye(classes)[corner] + noise * torch.randn(len(labels), classes, generator=generator)
    return Embeddings(z, torch.arange(len(labels)), z, labels, tuple("abcdefgh"[:classes]))


def test_classes_apart_by_a_margin_leave_only_collisions() -> None:
    """Corners of length 2: margins of 4, so that the hinge is 0 without collisions, and 1 in them."""
    planted: Any = Planted(_features(4, 30, 2.0, 0.0, 0), _features(4, 30, 2.0, 0.0, 1), Place("hinge"))
    found = Promise(draws=500, negatives=(1, 4))(planted)
    one = found["train"]["hinge"]["1"]
    assert one["collision"] == pytest.approx(0.25)
    assert one["unequal"]["value"] == pytest.approx(0, abs=1e-6)
    assert one["equal"]["value"] == pytest.approx(1, abs=1e-6)
    assert one["unsupervised"]["value"] == pytest.approx(0.25, abs=1e-6)
    assert one["first"]["limit"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["across"]["hinge"]["1"]["first"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["train"]["logistic"]["4"]["guess"] > 1
    assert set(one["blocks"]) == {"1", "2", "5", "10"}
    assert "second" in found["across"]["logistic"]["1"]
    assert "second" not in found["across"]["logistic"]["4"]


def test_what_does_not_generalise_breaks_the_inequality_across_splits() -> None:
    train, other = _features(4, 40, 2.0, 0.1, 0), _features(4, 40, 2.0, 0.1, 1, mixed=True)
    planted: Any = Planted(train, other, Place("hinge"))
    found = Promise(draws=500, negatives=(1,), sizes=(1,))(planted)
    for loss in LOSSES:
        across = found["across"][loss]["1"]["first"]
        assert across["high"] < 0, "the loss of training images says nothing of these"
        assert found["test"][loss]["1"]["first"]["slack"]["value"] >= 0, "of one split it holds whatever"
    tasks: Any = Tasks(tasks=6, rows=40)
    told = tasks(planted)
    assert told["2"]["mean_accuracy"] == pytest.approx(0.5, abs=0.12)
    assert set(told) == {"2"}, "four classes make no task of five"
    again: Any = Planted(train, _features(4, 40, 2.0, 0.1, 2), Place("hinge"))
    assert tasks(again)["2"]["mean_accuracy"] == pytest.approx(1.0)


def test_losses_of_classes_are_those_of_the_bound() -> None:
    """Each image left out of the mean that judges it, one by one; and over all pairs the bound's mean classifier."""
    few = _features(4, 12, 0.7, 0.5, 3)
    z, labels = few.z, few.labels
    assert z is not None
    assert labels is not None
    for loss in (Hinge(), Logistic()):
        found = class_losses(z, labels, loss)
        assert found.isnan().sum() == 4
        for a, b in ((0, 3), (2, 1)):
            costs: list[float] = []
            for i in torch.nonzero(labels == a)[:, 0]:
                others = labels == a
                others[i] = False
                margin = z[i] @ (z[others].mean(0) - z[labels == b].mean(0))
                costs.append(loss(margin[None, None]).item())
            assert float(found[a, b]) == pytest.approx(sum(costs) / len(costs), rel=1e-5)
        whole = bound(z, labels, loss=loss, law=torch.ones(4), sizes=(1,), draws=20_000)
        assert float(found.nanmean()) == pytest.approx(whole.mean_classifier.value, rel=0.02)


@pytest.mark.parametrize(("batch", "classes"), [(512, 10), (512, 109), (128, 10)])
def test_blocks_are_trained_with_where_they_hold_different_images(batch: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, classes, (4000, batch), generator=generator)
    beside = (label[:, 1:] == label[:, :1]).sum(1).double()
    for block in BLOCKS[1:]:
        counted = float(beside[beside > 0].clamp(max=block).mean())
        assert different(block, batch, classes) == pytest.approx(counted, rel=0.03)
    trained = {place.block for place in places(batch=batch, classes=classes)}
    assert trained == ({1, 2} if classes == 109 else set(BLOCKS))
    alone = study_claims(tuple(place for place in EVERY if place.block == 1))
    assert {claim.key for claim in study_claims(EVERY)} - {claim.key for claim in alone} == {
        "blocks-train-hinge",
        "blocks-train-logistic",
    }


def test_a_shifted_law() -> None:
    law, hardness = torch.tensor([2.0, 1.0, 1.0]), torch.tensor([0.1, 0.9, 0.2])
    assert shifted(law, hardness, 100.0).tolist() == pytest.approx([2, 100, 10])
    assert shifted(law, hardness, 1.0).tolist() == law.tolist()
    assert shifted(law, hardness, 0.01).tolist() == pytest.approx([2, 0.01, 0.1])


def test_the_hardest_classes_are_found_and_cost_more_where_they_come_more_often() -> None:
    """Six classes apart, of which c and e lie in one point."""

    def made(seed: int) -> Embeddings:
        whole = _features(6, 40, 1.5, 0.1, seed)
        assert whole.z is not None
        assert whole.labels is not None
        z = whole.z.clone()
        z[whole.labels == 4] = z[whole.labels == 2]
        return replace(whole, z=z)

    planted: Any = Planted(made(0), made(1), Place("hinge"))
    evaluator = Shift(draws=1000)
    assert evaluator.wanted(planted.cell)
    found = evaluator(planted)
    assert found["worst"]["classes"] == ["c", "e"]
    assert found["worst"]["loss"] == pytest.approx(1, abs=0.1), "as a guess"
    assert found["worst"]["above"] > 0.5
    costs = [found["laws"][f"{ratio:g}"]["mean classifier"]["value"] for ratio in RATIOS]
    assert costs == sorted(costs)
    assert costs[-1] > 5 * costs[0]
    left = found["laws"]["1"]["left"]["value"]
    assert left == pytest.approx(found["limit"]["value"] - costs[2])
    assert found["laws"]["100"]["left"]["high"] < 0, "what training's law promised is not kept"
    assert found["laws"]["100"]["limit"]["value"] > costs[-1]


def test_simclr_is_read_as_its_loss_had_it() -> None:
    z = torch.tensor([[3.0, 4.0]])
    assert compared(z, Cell(Place("hinge").axes, "supcon", Digits(), "mlp")).tolist() == z.tolist()
    found = compared(z, Cell(Place("NT-Xent", 0).axes, "simclr", Digits(), "mlp"))
    assert float(found @ found.T) == pytest.approx(2.0), "a cosine of 1 at temperature .5"


# ---------------------------------------------------------------- claims and page

EVERY = places()


def _estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def _found(place: Place, seed: int, sign: int) -> dict[str, Mapping[str, Any]]:
    """All claims hold with +1, none with -1."""
    s, wiggle = float(sign), 0.001 * seed
    index = EVERY.index(place)
    gain = 0.01 * (place.block > 1) + 0.02 * (place.negatives == 4) + 0.01 * (place.negatives == 10)
    right = 0.8 + s * (gain + 0.0002 * index) + wiggle * (1 + 0.01 * index)
    promise: dict[str, Any] = {"train": {}, "test": {}, "across": {}}
    for loss in LOSSES:
        for k in NEGATIVES:
            limit = 1 - 0.3 * s + wiggle
            limit *= 2.0 if k == 10 and sign > 0 else 0.5 if k == 10 else 1.0
            limit -= 0.1 * s * (right - 0.8)
            half = (1 - s) / 2
            side = {
                "collision": 0.1,
                "at zero": 1.0,
                "guess": 1.0,
                "radius": 2.0,
                "unsupervised": _estimate(0.5),
                "unequal": _estimate(0.4),
                "equal": _estimate(1.1),
                "mean classifier": _estimate(0.3),
                "spread": _estimate(0.2) if k == 1 else None,
                "beta": 0.1,
                "first": {"limit": _estimate(limit), "slack": _estimate(0.2)},
                "second": {"limit": _estimate(limit), "slack": _estimate(0.3)} if k == 1 else None,
                "blocks": {
                    str(b): {"loss": _estimate(0.4), "slack": _estimate(0.2 / b + 0.15 * half * (b > 1) + wiggle)}
                    for b in BLOCKS
                },
            }
            for split in ("train", "test"):
                promise[split].setdefault(loss, {})[str(k)] = side
            promise["across"].setdefault(loss, {})[str(k)] = {
                end: _estimate(0.05 * s + wiggle) for end in (("first", "second") if k == 1 else ("first",))
            }
    linear = right + 0.02 - 0.015 * s
    tasks = {
        size: {
            "mean_accuracy": right,
            "accuracy": linear,
            "mean_classifier": 0.5 + wiggle,
            "linear": 0.5 - 0.1 * s,
            "tasks": 45,
        }
        for size in ("2", "5", "10")
    }
    found: dict[str, Any] = {"promise": promise, "tasks": {**tasks, "untrained": tasks}}
    laws = {
        f"{r:g}": {
            "mean classifier": _estimate(0.3),
            "left": _estimate(0.1 * s + wiggle),
            "limit": _estimate(0.6),
        }
        for r in RATIOS
    }
    if (place.negatives, place.block, place.half) == (1, 1, False) and not place.augmentations:
        found["shift"] = {
            "limit": _estimate(0.5),
            "laws": laws,
            "worst": {"classes": ["a", "b"], "loss": 0.8, "above": 0.3 * s + wiggle},
        }
    if (place.negatives, place.block) == (1, 1):
        unseen = 0.7 + s * (0.05 - 0.02 * place.half) + wiggle * (2 - place.half)
        told = {"loss": 0.5, "accuracy": unseen, "linear": 0.8}
        bare = {"loss": 0.9, "accuracy": 0.7 + 0.5 * wiggle, "linear": 0.7}
        found["unseen"] = {
            "seen": told,
            "unseen": told,
            "untrained": {"seen": bare, "unseen": bare},
            "bound": 0.6,
            "left": 0.1 * s + wiggle,
        }
    return found


def _results(sign: int) -> Results:
    return Results(
        tuple(
            Result(Cell(place.axes, "supcon", Digits(), "mlp", seed), Path("x"), _found(place, seed, sign))
            for seed in (0, 1, 2)
            for place in EVERY
        )
    )


def _sections(results: Results) -> list[Section]:
    return study_sections(results, EVERY, 512, 10)


def _study() -> Study:
    return Study("bound", "Bound", (), "", (), (), study_claims(EVERY), _sections)


def test_claims_are_decided_in_both_directions() -> None:
    held = {key: d.verdict for key, d in decide(_study(), _results(1)).items()}
    fell = {key: d.verdict for key, d in decide(_study(), _results(-1)).items()}
    assert len(held) == len(_study().claims) == 35
    assert {key for key, verdict in held.items() if verdict != "held"} == set()
    assert {key for key, verdict in fell.items() if verdict != "not held"} == set()


def test_one_seed_decides_nothing_but_the_ranks() -> None:
    one = Results(_results(1).every[: len(EVERY)])
    assert {key for key, d in decide(_study(), one).items() if d.verdict != "undecided"} == {"ranks"}


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    results = _results(1)
    sections = _sections(results)
    assert [s.key for s in sections] == ["sides", "slack", "training", "ranks", "shift", "unseen", "beside"]
    assert sections[0].title.endswith("in 36 of 36 runs")
    assert _sections(_results(-1))[0].title.endswith("in 0 of 36 runs")
    for sign, count in ((1, 117), (-1, 0)):
        (training,) = [s for s in _sections(_results(sign)) if s.key == "training"]
        assert f"it is in {count} of 117 runs and sizes" in training.words[0]
        assert "51.2 images of a class" in training.words[1]
        assert "2.0 of 2, 5.0 of 5, 10.0 of 10" in training.words[1]
    tables = {e.name: e for s in sections for e in s.exhibits if isinstance(e, Table)}
    assert len(tables["sides"].rows) == 3 * len(of_classes(EVERY))
    costs = dict(zip(tables["tasks"].columns, tables["tasks"].rows[0], strict=True))
    assert (costs["loss of the mean classifier"], costs["supervised loss"]) == pytest.approx((0.501, 0.4))
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", _study(), results, decide(_study(), results), command="x", facts={})
    text = page.read_text("utf-8")
    assert "nan" not in text.partition("<script")[0].lower()
    assert "Nothing is claimed" in text


def test_sections_cope_with_what_is_missing(tmp_path: Path) -> None:
    every = _results(1).every
    unread = tuple(replace(result, found={}) for result in every)
    empty = tuple(replace(result, folder=None, found={}) for result in every)
    parts = ((), every[:1], every[-1:], every[12:15], empty, unread)
    one = tuple(replace(r, found={k: v for k, v in r.found.items() if k != "promise"}) for r in every)
    for part in (*parts, one):
        sections = _sections(Results(part))
        assert sections[0].key == "sides"
        write_tables(tmp_path, sections)
        decide(_study(), Results(part))
    assert _sections(Results(()))[0].title == "Nothing is measured yet"


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study(
        "bound", scale="smoke", options={"draws": 300}, out=tmp_path / "o", cells=tmp_path / "c", quiet=True
    )
    assert not done.results.missing
    for result in done.results:
        for loss in LOSSES:
            one = result.found["promise"]["train"][loss]["1"]
            assert one["first"]["slack"]["value"] >= 0
            assert one["first"]["limit"]["value"] >= one["mean classifier"]["value"]
            assert one["collision"] == pytest.approx(0.2 if result.cell.place["classes"] == "half" else 0.1, abs=0.01)
        if result.cell.place["pairs"] == "classes":
            assert result.found["tasks"]["2"]["mean_accuracy"] > 0.8
    page = done.page.read_text("utf-8")
    assert "Classes that training never saw" in page
    assert (tmp_path / "o" / "tables" / "sides.csv").is_file()
