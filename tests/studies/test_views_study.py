from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import copes, page, results_of, verdicts

from counterpoint.errors import CounterpointError, RecipeError
from counterpoint.random import Stream
from counterpoint.sources import Digits
from counterpoint.studies.cells import asked_for, composed
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.league.make import planned
from counterpoint.studies.league.methods import trained_as
from counterpoint.studies.listing import named_studies
from counterpoint.studies.study import Cell, Results, Study, Trained
from counterpoint.studies.tinted import Tinted
from counterpoint.studies.views import evaluators, views
from counterpoint.studies.views.bits import Bits, Redrawn, bit_views, bits_of, shared_nats
from counterpoint.studies.views.claims import view_claims
from counterpoint.studies.views.evaluators import Survival
from counterpoint.studies.views.grid import (
    BITS,
    CHANCES,
    NOTHING,
    WHOLE,
    bit_cells,
    cells_of,
    grid_of,
    left_out,
    strong,
)
from counterpoint.studies.views.parts import OPS, altered, op_names, seen
from counterpoint.studies.views.reading import thirds
from counterpoint.views import CentreCrop, ColourJitter, HFlip, Resize, ResizedCrop, named

# ---------------------------------------------------------------- parts


def test_views_are_made_of_what_is_named() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    for name in OPS:
        made = seen(name, 8, 3)
        assert [tuple(view.shape) for view in made(images, Stream(0))] == [(5, 3, 8, 8)] * 2
        assert len(made.policies[0].ops) == (1 if name == "crop" else 3)  # pyright: ignore[reportAttributeAccessIssue]
    one, other = seen("", 8, 3)(images, Stream(0))
    assert torch.equal(one, other)
    assert torch.allclose(one, images / 255)
    assert seen("flip+crop", 8, 3) == seen("crop+flip", 8, 3)
    with pytest.raises(RecipeError, match=r"no operation 'flipp'.*flip"):
        seen("crop+flipp", 8, 3)


def _ops(views: Any) -> list[Any]:
    return list(views.policies[0].ops)


def test_what_is_left_out_is_gone_and_nothing_else() -> None:
    whole = _ops(named("simclr-cifar", size=32, channels=3))
    assert op_names("simclr-cifar", 32, 3) == ("crop", "flip", "colour", "grey")
    assert _ops(altered("simclr-cifar", 32, 3)) == whole
    assert _ops(altered("simclr-cifar", 32, 3, without="colour")) == [whole[0], whole[1], whole[3]]
    assert _ops(altered("simclr-cifar", 32, 3, without="crop")) == [Resize(32), CentreCrop(32), *whole[1:]]
    assert _ops(altered("glyphs", 28, 1, add="flip")) == [*_ops(named("glyphs", size=28, channels=1)), HFlip()]
    with pytest.raises(RecipeError, match="no operation 'flip' to leave out"):
        altered("glyphs", 28, 1, without="flip")
    with pytest.raises(RecipeError, match="above 0"):
        altered("glyphs", 28, 1, strength=0)


def test_strength_scales_what_can_be_scaled() -> None:
    crop, flip, jitter, grey = _ops(altered("simclr-cifar", 32, 3, strength=2.0))
    assert isinstance(crop, ResizedCrop)
    assert crop.scale == pytest.approx((0.0064, 1.0))
    assert flip == HFlip()
    assert isinstance(jitter, ColourJitter)
    assert (jitter.brightness, jitter.hue) == pytest.approx((0.8, 0.2))
    assert grey.p == pytest.approx(0.4)
    strongest = _ops(altered("simclr-cifar", 32, 3, strength=40.0))
    assert (strongest[2].hue, strongest[3].p) == (0.5, 1.0)
    scale, turn, shift, field = _ops(altered("glyphs", 28, 1, strength=0.5))[2:6]
    assert (turn.degrees, shift.share, field.alpha) == ((-7.5, 7.5), 0.05, 17.0)
    assert scale.factor == pytest.approx((0.8**0.5, 1.2**0.5))


# ---------------------------------------------------------------- the grid


def test_cells_are_what_their_place_says() -> None:
    plan = planned(Tinted(Digits()), scale="smoke", encoder=None, images=None, epochs=None)
    grid = grid_of(plan, "digits", ops=("crop", "flip", "colour"))
    assert grid.pairs == ["crop+flip", "crop+colour", "flip+colour"]
    assert len(set(grid.every)) == len(grid.every)
    assert "flip+colour" not in grid.repeated
    by_name = {cell.place["views"]: cell for cell in cells_of(plan, grid, grid.every, (3,))}
    usual = trained_as("simclr", plan.source, plan.encoder, batch=plan.batch, epochs=1, seed=3)
    assert asked_for(by_name[WHOLE]) == asked_for(usual), "the usual run, shared with other studies"
    assert len({str(asked_for(cell)) for cell in by_name.values()}) == len(by_name)
    for name, cell in by_name.items():
        ops = [type(op).__name__ for op in _ops(composed(cell, plan.facts).views)]
        assert ("HFlip" in ops) == ("flip" in name), name
        assert ("ResizedCrop" in ops) == ("crop" in name), name
    assert set(grid.flips) == {WHOLE, "with flip"}, "glyphs have none to leave out"


def test_grey_photos_and_glyphs_have_operations_that_do_something() -> None:
    plan = planned(None, scale="smoke", encoder=None, images=None, epochs=None)
    assert {"hue", "grey"}.isdisjoint(grid_of(plan, "digits").single)


def test_options_are_checked() -> None:
    assert "views" in named_studies()
    for options, match in (
        ({"ops": "crop,bend"}, "no operation 'bend'"),
        ({"ops": "crop"}, "makes no pair"),
        ({"epochs": -1}, "above 0"),
        ({"epochs": 0}, "above 0"),
    ):
        with pytest.raises(CounterpointError, match=match):
            views(scale="smoke", **options)
    with pytest.raises(CounterpointError, match="needs images with labels"):
        views()
    made = views(scale="smoke", bits=False, other="digits", other_size=12, seeds=(0, 1))
    assert all(cell.place["part"] != BITS for cell in made.cells)
    assert {cell.place["data"] for cell in made.cells} == {"digits", "digits, 12 px"}
    assert "flip-digits-12-px" in {claim.key for claim in made.claims}


# ---------------------------------------------------------------- bits


def test_bits_are_the_image_and_the_first_ones_the_class() -> None:
    source = Bits(relevant=2, irrelevant=5, train=200, test=100)
    data = source.load()
    bits = bits_of(data.train.images, 7)
    assert data.train.labels is not None
    assert torch.equal(data.train.labels, bits[:, 0].long() * 2 + bits[:, 1].long())
    assert data.classes == ("00", "01", "10", "11")
    assert float(bits.double().mean()) == pytest.approx(0.5, abs=0.05)
    for bad in ({"relevant": 0}, {"irrelevant": 14}):
        with pytest.raises(CounterpointError):
            Bits(**bad)


def test_only_the_bits_that_are_asked_for_are_drawn_anew() -> None:
    images = Bits(relevant=3, irrelevant=6, train=3000).load().train.images
    op = Redrawn(3, 9, 0.5)
    seen_again = (op.apply(images, op.draw(images, Stream(0))) * 255).round().to(torch.uint8)
    before, after = bits_of(images, 16), bits_of(seen_again, 16)
    changed = (before != after).double().mean(0)
    assert changed[:3].tolist() == [0.0] * 3
    assert changed[9:].tolist() == [0.0] * 7
    assert changed[3:9].tolist() == pytest.approx([0.25] * 6, abs=0.03)


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.7, 1.0])
def test_what_views_share_is_what_their_bits_share(chance: float) -> None:
    """The plug-in estimate of the mutual information of one bit, on many pairs of views without noise."""
    images = Bits(relevant=1, irrelevant=1, train=40_000).load().train.images
    op = Redrawn(0, 1, chance)
    stream = Stream(1)
    one, other = (bits_of((op.apply(images, op.draw(images, stream)) * 255).round(), 1)[:, 0] for _ in range(2))
    joint = torch.bincount(one.long() * 2 + other.long(), minlength=4).double().view(2, 2) / len(one)
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    nats = float((joint * (joint / apart).clamp(min=1e-12).log()).sum())
    assert shared_nats(1, chance) == pytest.approx(nats, abs=0.01)
    assert shared_nats(5, 0.0) == pytest.approx(5 * log(2))


def test_noise_is_new_in_every_view() -> None:
    images = Bits(train=8).load().train.images
    one, other = bit_views(3, 9, 0.0, 0.0)(images, Stream(0))
    assert float((one - other).abs().mean()) > 0.1
    (cell,) = bit_cells(Bits(), CHANCES[3:4], (0,), scale="smoke")
    assert cell.settings["views"].endswith("bit_views(3, 9, 0, 1)")


def test_survival_tells_which_bits_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Bits(relevant=2, irrelevant=3, train=600, test=400)

    def encode(model: str, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        assert images.is_floating_point(), "noisy images are read"
        blocks = images[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).mean((-1, -2)).flatten(1)
        return (blocks[:, :2] if model == "class alone" else blocks[:, 2:5]), None

    monkeypatch.setattr(evaluators, "encode", encode)

    class Fake(Trained):  # pyright: ignore[reportImplicitAbstractClass]
        cell = bit_cells(source, CHANCES[:1], (0,), scale="smoke")[0]
        dataset = source.load()
        model, untrained, recipe, train, test = "class alone", "others alone", None, None, None

    found: Any = Survival()(Fake())
    assert found["relevant"] > 0.85
    assert found["class"] > 0.75
    assert found["irrelevant"] == pytest.approx(0.5, abs=0.06)
    assert found["untrained"]["relevant"] == pytest.approx(0.5, abs=0.06)
    assert found["untrained"]["irrelevant"] > 0.85


# ---------------------------------------------------------------- claims and page


@pytest.fixture(scope="module")
def made() -> Study:
    source, seeds = Tinted(Digits()), (0, 1, 2)
    return views(source=source, scale="smoke", seeds=seeds, ops="crop,flip,colour", other="digits", other_size=12)


_BASE = {"crop": 0.3, "flip": 0.02, "colour": 0.2}
_NATS = {strong(0.25): 3.0, WHOLE: 2.0, strong(4.0): 1.0}


def _good(cell: Cell) -> Mapping[str, Any]:
    name, jitter = cell.place["views"], 0.001 * cell.seed
    if cell.place["part"] == BITS:
        relevant, irrelevant = (float(v) for v in name.split(","))
        shared = shared_nats(3, relevant) + shared_nats(9, irrelevant)
        lost = 0.3 if (relevant, irrelevant) == (0, 1) else 0.0
        read = {"relevant": 0.8, "irrelevant": 0.9 - lost - jitter, "class": 0.5 + lost + jitter}
        return {
            "shared": {"nats": 0.7 * shared, "ceiling": 6.2},
            "survival": {**read, "untrained": {"relevant": 0.7, "irrelevant": 0.7, "class": 0.4}},
        }
    right = 0.2 + sum(gain for op, gain in _BASE.items() if op in name)
    right = {WHOLE: 0.8, "with flip": 0.75}.get(name, 0.77 if name.startswith("without") else right) + jitter
    moved = {"colour": 0.1}.get(name, 0.5) + jitter
    kinds = {k: {"moved": moved, "kept": 0.5, "score": 2.0, "units": [3.0] * 10} for k in evaluators.KINDS}
    nats = 4.0 if name == NOTHING else _NATS.get(name, 5 * (1 - right))
    return {
        "accuracy": {"learned": {"probe": right, "knn": right - 0.05}, "pixels": {"probe": 0.3, "knn": 0.3}},
        "shared": {"nats": nats - jitter, "ceiling": 6.2},
        "invariances": kinds,
    }


def _bad(cell: Cell) -> Mapping[str, Any]:
    """The other way round in every number that a rule reads."""
    found: Any = _good(cell)
    if cell.place["part"] == BITS:
        read = {key: 1 - found["survival"][key] for key in ("relevant", "irrelevant", "class")}
        return {"shared": {"nats": 9.0 + found["shared"]["nats"]}, "survival": read}
    kinds = {key: {**one, "moved": 1 - one["moved"]} for key, one in found["invariances"].items()}
    learned = {key: 1 - value for key, value in found["accuracy"]["learned"].items()}
    return {"accuracy": {"learned": learned}, "shared": {"nats": -found["shared"]["nats"]}, "invariances": kinds}


def test_claims_are_decided_by_their_rules(made: Study) -> None:
    good, bad = verdicts(made, _good), verdicts(made, _bad)
    for key in (
        "crop-and-colour",
        "none-alone",
        "each-helps",
        "flip-tinted-digits",
        "flip-digits",
        "strength-has-an-optimum",
        "stronger-shares-less",
        "colour-ignores-illumination",
        "bits-bound",
        "bits-lost",
        "bits-best",
    ):
        assert (good[key], bad[key]) == ("held", "not held"), key
    one = views(scale="smoke", seeds=(0,))
    assert set(verdicts(one, _good).values()) == {"undecided"}


@pytest.mark.parametrize("ops", [("crop", "flip", "colour"), ()])
def test_crop_and_colour_is_a_pair_in_either_order(ops: tuple[str, ...]) -> None:
    plan = planned(Tinted(Digits()), scale="smoke", encoder=None, images=None, epochs=None)
    grid = grid_of(plan, "digits", ops=ops)
    (claim,) = [one for one in view_claims(grid) if one.key == "crop-and-colour"]
    own = next(pair for pair in grid.pairs if "crop" in pair and "colour" in pair)
    assert own == ("crop+colour" if ops else "colour+crop")

    def decided(better: float) -> str:
        def found(cell: Cell) -> Mapping[str, Any]:
            gain = better if cell.place["views"] == own else 0.0
            return {"accuracy": {"learned": {"probe": 0.5 + gain + 0.001 * cell.seed}}}

        cells = cells_of(plan, grid, grid.every, (0, 1, 2))
        return claim.decide(results_of(Study("x", "", (), "", cells, (), (), lambda results: ()), found)).verdict

    assert (decided(0.1), decided(-0.1)) == ("held", "not held")


def test_nothing_is_decided_where_the_order_is_noise(made: Study) -> None:
    def found(cell: Cell, at: float) -> Mapping[str, Any]:
        good: Any = _good(cell)
        name = cell.place["views"]
        full = cell.place["part"] != BITS and (name in (NOTHING, "crop", "flip", "colour") or "+" in name)
        return {**good, "shared": {**good["shared"], "nats": at if full else good["shared"]["nats"]}}

    (claim,) = [one for one in made.claims if one.key == "good-views"]
    below, full = (claim.decide(results_of(made, lambda cell, at=at: found(cell, at))) for at in (6.0, 6.15))
    assert below.seeds == 3
    assert "at the ceiling: 0 (seed 0), 0 (seed 1)" in below.said
    assert (full.verdict, full.seeds) == ("undecided", 0)
    assert "at the ceiling: 6 (seed 0)" in full.said


def test_the_curve_of_good_views_is_seen_either_way(made: Study) -> None:
    plan = planned(None, scale="smoke", encoder=None, images=None, epochs=None)
    grid = grid_of(plan, "digits")

    def results(rule: Any, count: int) -> Results:
        cells = cells_of(plan, grid, grid.every[:count], (0, 1))
        order = {cell.place["views"]: i / count for i, cell in enumerate(cells[:count])}

        def found(cell: Cell) -> Mapping[str, Any]:
            nats = order[cell.place["views"]]
            return {"shared": {"nats": nats}, "accuracy": {"learned": {"probe": rule(nats)}}}

        fake = Study("x", "", (), "", cells, (), (), lambda results: ())
        return results_of(fake, found)

    assert all(v > 0.1 for v in thirds(results(lambda n: 1 - (2 * n - 1) ** 2, 12), grid, grid.every).values())
    assert all(v < -0.1 for v in thirds(results(lambda n: n, 12), grid, grid.every).values())
    assert thirds(results(lambda n: n, 5), grid, grid.every) == {}


def test_the_page_says_what_was_found(made: Study, tmp_path: Path) -> None:
    text, sections = page(made, results_of(made, _good), tmp_path)
    assert [s.key for s in sections] == ["pairs", "changes", "shared", "invariances", "bits", "every"]
    assert "crop and colour" in sections[0].title
    assert "30.0 points" in sections[4].title or "30.1 points" in sections[4].title
    assert "raw pixels" in text
    copes(made, _good, tmp_path)


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    done = run_study("views", scale="smoke", out=tmp_path / "out", cells=tmp_path / "cells", quiet=True)
    assert not done.results.missing
    for result in done.results:
        assert (result.number("shared", "nats") or 0) <= (result.number("shared", "ceiling") or 0)
        if result.cell.place["views"] == NOTHING:
            assert (result.number("accuracy", "untrained", "probe") or 0) > 0.5
        if result.cell.place["part"] != BITS:
            assert set(result.found["invariances"]) == set(evaluators.KINDS)
    same = done.results.at(views=NOTHING)[0].number("shared", "nats")
    assert same is not None
    assert same > (done.results.at(views=WHOLE)[0].number("shared", "nats") or 0), "equal views share most"
    assert left_out("scale") in {result.cell.place["views"] for result in done.results}
