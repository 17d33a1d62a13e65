"""The study of what gates see in two images: where the answer is planted, its rules, its page, and as it is run."""

from pathlib import Path
from typing import Any

import made_up
import pytest
import torch
from torch import Tensor, nn

from counterpoint.app.assess import fresh
from counterpoint.errors import CounterpointError
from counterpoint.evaluation.watched import Watched
from counterpoint.random import Stream
from counterpoint.report.exhibits import Bars, Table
from counterpoint.sources import Digits
from counterpoint.studies.cells import Shelf, composed
from counterpoint.studies.conduct import find_study
from counterpoint.studies.conduct import study as run_study
from counterpoint.studies.simlap.clam import clam_sections, simlap_clam
from counterpoint.studies.simlap.looking import COUNTS, GATES, Looking, _met, _planted, game_of, steadiness
from counterpoint.studies.study import Cell, Study


def _study(**more: Any) -> Study:
    return simlap_clam(**{"scale": "smoke", "seeds": (0, 1, 2), **more})


# ---------------------------------------------------------------- what is read


def test_it_needs_gates_and_numbers() -> None:
    cells = _study().cells
    assert [(cell.recipe, cell.encoder, cell.seed) for cell in cells] == [("simlap", "conv", seed) for seed in range(3)]
    assert Looking().wanted(cells[0])
    assert not Looking().wanted(Cell({}, "simclr", Digits(), "conv"))
    with pytest.raises(CounterpointError, match="'simclr' has no gates"):
        find_study("simlap-clam", scale="smoke", options={"method": "simclr"})
    with pytest.raises(CounterpointError, match="pairs=0"):
        find_study("simlap-clam", scale="smoke", options={"pairs": 0})


def test_an_object_is_planted_in_a_quarter_of_its_scene() -> None:
    images = torch.zeros(9, 1, 8, 8)
    images[:, :, 4:] = torch.linspace(0.5, 1, 9)[:, None, None, None]
    planted, inside = _planted(images, Stream(0))
    assert planted.shape == images.shape
    assert inside.double().mean() == 0.25
    small = nn.functional.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    for image, mask, own in zip(planted, inside, small, strict=True):
        torch.testing.assert_close(image[:, mask].view(4, 4), own[0])


def test_norms_of_the_control_know_the_images() -> None:
    cell = _study().cells[0]
    facts = Shelf().facts(cell.source)
    model = fresh(composed(cell, facts), facts, 0).eval()
    images = torch.rand(40, facts.channels, facts.size, facts.size)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    met = _met(model, images)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items()), "a copy"
    assert all(torch.equal(before[name], value) for name, value in met.named_parameters()), "weights stay random"
    first = next(name for name, m in met.named_modules() if isinstance(m, nn.BatchNorm2d))
    seen: list[Tensor] = []
    hook = met.get_submodule(first).register_forward_hook(lambda _m, _x, out: seen.append(out.detach().clone()))
    met.towers.encoder(met.normalise(images))
    hook.remove()
    assert seen[0].mean((0, 2, 3)).abs().max() < 1e-3
    assert (seen[0].var((0, 2, 3)) - 1).abs().max() < 0.05


class _Bright(nn.Module):
    """A map of three channels; h says how much of each there is."""

    map_layer = "see"

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.see(x).mean((2, 3))


def test_a_map_that_knows_points_and_is_steady() -> None:
    watched = Watched(_Bright(), "see")
    images = torch.zeros(6, 3, 8, 8)
    images[:, 1] = 0.3
    images[:, 0, :4, :4] = 1.0
    views = torch.zeros(6, 4, 3, 8, 8)
    views[:, :, 0] = torch.rand(6, 4, 1, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    gates = torch.ones(6, 3)
    assert steadiness(watched, images, views, gates, (1, 2)) == pytest.approx({"1": 1.0, "2": 1.0})
    inside = torch.zeros(6, 8, 8, dtype=torch.bool)
    inside[:, :4, :4] = True
    maps = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))
    assert game_of(maps + inside, torch.ones(6, 8, 8), inside, 0) == pytest.approx(
        {"score": 1.0, "control": 0.25, "gain": 0.75, "chance": 0.25}
    )
    assert game_of(maps - 2 * inside.float(), torch.ones(6, 8, 8), inside, 0)["gain"] == -0.25


# ---------------------------------------------------------------- claims and page


def _found(up: float) -> Any:
    def found(cell: Cell) -> dict[str, Any]:
        noise = 0.001 * cell.seed
        rates = ("own above whole", "whole above other", "own above other", "in order")
        learned = {"own": 0.3 + up + noise, "whole": 0.3, "other": 0.3 - up, **dict.fromkeys(rates, 0.5 + up + noise)}
        before = {"own": 0.9, "whole": 0.9, "other": 0.9, **dict.fromkeys(rates, 0.5)}
        steady = {str(count): 0.9 + up / 4 + noise for count in COUNTS}
        game = {gate: {"score": 0.25, "control": 0.25, "gain": 0.0, "chance": 0.25} for gate in GATES}
        game["own"] |= {"score": 0.25 + up + noise, "gain": up}
        order = {"learned": learned, "untrained": before}
        answer = {"pairs": 200, "order": order, "steady": {"learned": steady, "untrained": steady}, "pointing": game}
        return {"looking": answer}

    return found


def test_claims_in_both_directions() -> None:
    study = _study()
    held, not_held = (made_up.verdicts(study, _found(up)) for up in (0.2, -0.2))
    assert len(held) == 8
    assert set(held.values()) == {"held"}
    assert set(not_held.values()) == {"not held"}


def test_the_page(tmp_path: Path) -> None:
    study = _study()
    text, sections = made_up.page(study, made_up.results_of(study, _found(0.2)), tmp_path)
    assert "a quarter of the scene is covered" in text.lower()
    assert [section.title for section in sections] == [
        "Of the pairs, 70.1 % are in order",
        "45.1 % of the maps point at the object, with random weights 25.0 %",
        "Two maps of 16 crops each have a rank correlation of 0.95",
    ]
    tables = {e.name: e for section in sections for e in section.exhibits if isinstance(e, Table)}
    assert sorted(tables) == ["cosines", "pointing", "rates", "steady"]
    assert tables["pointing"].rows[0][1] == pytest.approx(0.451)
    bars = [e for section in sections for e in section.exhibits if isinstance(e, Bars)]
    assert len(bars) == 4
    made_up.copes(study, _found(0.2), tmp_path)
    assert clam_sections(made_up.results_of(study, lambda cell: {}), "simlap")[0].title == "Nothing is measured yet"


# ---------------------------------------------------------------- as it is run


@pytest.mark.long
def test_the_study_runs_from_training_to_its_page(tmp_path: Path) -> None:
    options = {"pairs": 60, "images": 300}
    done = run_study(
        "simlap-clam", scale="smoke", options=options, out=tmp_path / "out", cells=tmp_path / "cells", quiet=True
    )
    assert not done.results.missing
    (result,) = done.results
    found = result.found["looking"]
    assert found["pairs"] == 60
    order = found["order"]["learned"]
    assert order["own"] != order["whole"] != order["other"]
    assert order["in order"] <= order["own above whole"] <= 1
    assert set(found["steady"]["learned"]) == set(map(str, COUNTS))
    assert found["steady"]["learned"]["16"] > found["steady"]["learned"]["1"]
    for game in found["pointing"].values():
        assert game["chance"] == 0.25
        assert game["gain"] == pytest.approx(game["score"] - game["control"])
    assert (tmp_path / "out" / "tables" / "rates.csv").is_file()
