from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import copes, page, results_of, verdicts
from torch.nn.functional import one_hot

from counterpoint.errors import CounterpointError
from counterpoint.studies.bias import bias, evaluators
from counterpoint.studies.bias.evaluators import Kept, Rare
from counterpoint.studies.bias.grid import (
    BALANCED,
    CUE,
    HALF,
    MIXED,
    TAIL,
    UNEVEN,
    cue_cells,
    uneven_cells,
    uneven_place,
    uneven_sets,
)
from counterpoint.studies.claims import decide
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.make import planned
from counterpoint.studies.listing import named_studies
from counterpoint.studies.long_tailed import LongTailed
from counterpoint.studies.planted import Planted
from counterpoint.studies.study import Cell, Study, Trained

METHODS = ("simclr", "supervised")


@pytest.fixture(scope="module")
def plan() -> Any:
    return planned(None, scale="smoke", encoder=None, images=None, epochs=None)


# ---------------------------------------------------------------- the grid


def test_cells_are_what_their_place_says(plan: Any) -> None:
    cells = cue_cells(plan, METHODS, (0.5, 0.99), (0, 1))
    assert len(cells) == 2 * 2 * 2 * 2
    for cell in cells:
        assert isinstance(cell.source, Planted)
        assert f"{cell.source.agreement:g}" == cell.place["agreement"]
        assert (cell.source.cue, cell.recipe) == (cell.place["cue"], cell.place["method"])
        assert cell.source.source == plan.source
    views = {cell.recipe: cell.dials["epochs"] for cell in cells}
    assert views == {"simclr": 1, "supervised": 2}, "as many views"


def test_what_is_uneven_stands_beside_as_many_images_and_steps(plan: Any) -> None:
    sets = {one.name: one for one in uneven_sets(plan, 10.0)}
    data = {name: one.source.load() for name, one in sets.items()}
    counts = {name: torch.bincount(held.train.labels, minlength=10) for name, held in data.items()}
    for part, alike in ((TAIL, BALANCED), (HALF, MIXED)):
        assert int(counts[alike].sum()) == pytest.approx(int(counts[part].sum()), abs=10)
        assert int(counts[alike].max() - counts[alike].min()) <= 1
    assert isinstance(sets[TAIL].source, LongTailed)
    assert counts[TAIL][0] == pytest.approx(10 * int(counts[TAIL][9]), rel=0.1)
    assert counts[HALF][5:].tolist() == [0] * 5
    for one in sets.values():
        seen = one.epochs * len(one.source.load().train)
        assert seen == pytest.approx(plan.epochs * len(plan.dataset.train), rel=0.02)
    (cell,) = uneven_cells(plan, ("simclr",), (sets[TAIL],), (4,))
    assert (cell.source, cell.seed) == (sets[TAIL].source, 4)


def test_options_are_checked() -> None:
    assert "bias" in named_studies()
    made = bias(scale="smoke", agreements="0.2,0.4", methods="supcon")
    assert {cell.place.get("agreement") for cell in made.cells} == {"0.2", "0.4", None}
    assert not any(claim.key.endswith("costs-labels") for claim in made.claims), "there is nobody to compare with"
    for options, match in (
        ({"agreements": "0.5,high"}, "give shares"),
        ({"agreements": 0.5}, "two or more shares"),
        ({"agreements": "0.5,2"}, r"in \[0, 1\]"),
        ({"methods": "simcler"}, "no method 'simcler'.*simclr"),
        ({"ratio": 0.5}, "give 1 or more"),
        ({"epochs": 0}, "above 0"),
    ):
        with pytest.raises(CounterpointError, match=match):
            bias(scale="smoke", **options)
    with pytest.raises(CounterpointError, match="needs images with labels"):
        bias()


# ---------------------------------------------------------------- evaluators


class _Fake(Trained):  # pyright: ignore[reportImplicitAbstractClass]
    recipe = train = test = None

    def __init__(self, cell: Cell, model: Any) -> None:
        self.cell, self.dataset, self.model, self.untrained = cell, cell.source.load(), model, "noise"


def test_what_is_kept_of_a_cue_is_told(monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    """One representation is the corner's colour and nothing else, another what the corner does not touch."""

    def encode(model: str, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows = images.float() / 255
        if model == "corner":
            return rows[:, :, 0, 0], None
        if model == "noise":
            return torch.randn(len(rows), 8, generator=torch.Generator().manual_seed(0)), None
        return rows[:, :1, 2:].flatten(1), None

    monkeypatch.setattr(evaluators, "encode", encode)
    cell = next(c for c in cue_cells(plan, ("simclr",), (0.95,), (0,)) if c.place["cue"] == "patch")
    found: Any = Kept("simclr", c=100.0)(_Fake(cell, "corner"))
    assert found["cue"] > 0.95
    assert found["tied"]["agree"] > 0.95
    assert found["tied"]["conflict"] < 0.05
    assert found["tied"]["cued"] > 0.95
    assert found["fair"]["all"] < 0.25
    assert found["untrained"]["cue"] < 0.25
    found = Kept("", c=0.01)(_Fake(cell, "rest"))
    assert "untrained" not in found
    assert found["cue"] < 0.25
    assert found["tied"]["conflict"] > 0.85
    assert found["fair"]["agree"] == pytest.approx(found["fair"]["conflict"], abs=0.12)


def test_rare_classes_are_told_apart(monkeypatch: pytest.MonkeyPatch, plan: Any) -> None:
    """A representation that knows the first five classes and mixes up all others."""
    whole = plan.source.load()
    labels = {len(split): split.labels for split in (whole.train, whole.test)}

    def encode(model: str, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        return one_hot(labels[len(images)].clamp(max=5), 6).float(), None

    monkeypatch.setattr(evaluators, "encode", encode)
    monkeypatch.setattr(evaluators, "MOST", len(whole.train))
    monkeypatch.setattr("counterpoint.random.Stream.permutation", lambda self, n: torch.arange(n))
    (tail, *_) = uneven_sets(plan, 10.0)
    (cell,) = uneven_cells(plan, ("simclr",), (tail,), (0,))
    found: Any = Rare(plan.source, c=1.0)(_Fake(cell, "half"))
    assert found["each"][:5] == [1.0] * 5
    assert found["first"] == 1.0
    assert found["last"] == pytest.approx(0.2), "one of five is always guessed"
    assert found["all"] == pytest.approx(0.6)


# ---------------------------------------------------------------- claims and page


@pytest.fixture(scope="module")
def made() -> Study:
    return bias(scale="smoke", seeds=(0, 1, 2), methods="simclr,vicreg,supervised")


def _good(cell: Cell) -> Mapping[str, Any]:
    place, jitter = cell.place, 0.001 * cell.seed
    labels = place["method"] == "supervised"
    if place["part"] == CUE:
        high = place["agreement"] == "0.99"
        conflict = 0.7 - (0.4 if high else 0.0) + jitter
        fair = 0.7 - (0.2 if high and labels else 0.0) + jitter * high
        # Beside what the untrained encoder reads the cast loses less, though of the patch more is kept.
        cue = (0.4 if place["cue"] == "cast" else 0.6) + (0.05 if high and labels else 0.0) + jitter * high
        bare = 0.45 if place["cue"] == "cast" else 0.9
        tied = {"all": conflict, "agree": 0.95, "conflict": conflict, "cued": 0.3}
        one = {"tied": tied, "fair": {**tied, "conflict": fair}, "cue": cue, "chance": 0.1}
        return {"kept": {**one, "untrained": {**one, "cue": bare}} if place["method"] == "simclr" else one}
    lost = {TAIL: 0.2, HALF: 0.3}.get(place["images"], 0.0) * (1 if labels else 0.5) + jitter * labels
    each = [0.8 - lost] * 10
    return {"rare": {"each": each, "all": 0.8 - lost, "first": 0.8, "last": 0.8 - 2 * lost + jitter}}


def _bad(cell: Cell) -> Mapping[str, Any]:
    found: Any = _good(cell)
    if cell.place["part"] == CUE:
        kept = found["kept"]
        moved = 0.3 if cell.place["agreement"] == "0.99" and cell.recipe != "supervised" else 0.0
        cue = 1 - kept["cue"] + moved
        tied, fair = ({**kept[which], "conflict": 1 - kept[which]["conflict"]} for which in ("tied", "fair"))
        bare = {"untrained": {"cue": 0.9 if cell.place["cue"] == "cast" else 0.45}}
        return {"kept": {**kept, "tied": tied, "fair": fair, "cue": cue, **(bare if "untrained" in kept else {})}}
    rare = found["rare"]
    return {"rare": {**rare, "all": 1 - rare["all"], "last": 1 - rare["last"]}}


def test_claims_are_decided_by_their_rules(made: Study) -> None:
    good, bad = verdicts(made, _good), verdicts(made, _bad)
    keys = {f"{key}-{cue}" for key in ("misled", "repaired", "unseen-tie", "labels-keep") for cue in ("cast", "patch")}
    keys |= {"labels-lose-cast", "labels-lose-patch", "cast-over-patch", "tail-costs-labels", "missing-costs-labels"}
    assert keys == set(good)
    assert {key for key in keys if good[key] != "held"} == set()
    assert {key for key in keys if bad[key] != "not held"} == set()
    one = bias(scale="smoke", seeds=(0,))
    assert set(verdicts(one, _good).values()) == {"undecided"}


@pytest.mark.parametrize(
    ("who", "undecided"),
    [
        ("untrained", {"unseen-tie-cast", "cast-over-patch"}),
        ("simclr vicreg", {"unseen-tie-cast"}),
        ("simclr", set()),
        ("supervised", {"labels-keep-cast"}),
    ],
)
def test_a_cue_that_anybody_reads_decides_nothing(made: Study, who: str, undecided: set[str]) -> None:
    def found(cell: Cell) -> Mapping[str, Any]:
        good: Any = _good(cell)
        if cell.place.get("cue") != "cast":
            return good
        kept = dict(good["kept"])
        if cell.recipe in who.split():
            kept["cue"] = 0.985 + 0.001 * cell.seed
        if who == "untrained" and "untrained" in kept:
            kept["untrained"] = {**kept["untrained"], "cue": 0.99}
        return {"kept": kept}

    decided = decide(made, results_of(made, found))
    easy = {key for key, one in decided.items() if "at the ceiling" in one.said}
    assert easy == undecided
    assert {decided[key].verdict for key in easy} <= {"undecided"}


def test_the_page_says_what_was_found(made: Study, tmp_path: Path) -> None:
    text, sections = page(made, results_of(made, _good), tmp_path)
    assert [s.key for s in sections] == ["cue-cast", "cue-patch", "uneven"]
    assert "40.0 points lost" in sections[0].title
    assert "10.00 points" in sections[2].title
    assert "the untrained encoder" in text
    copes(made, _good, tmp_path)


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study("bias", scale="smoke", out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    for result in done.results:
        if result.cell.place["part"] == UNEVEN:
            assert len(result.found["rare"]["each"]) == 10
        elif result.cell.place["agreement"] == "0.99":
            tied = result.found["kept"]["tied"]
            assert tied["agree"] > tied["conflict"]
    for method in METHODS:
        (half,) = done.results.at(**uneven_place(HALF), method=method)
        assert 0 < (half.number("rare", "last") or 0) < 1
