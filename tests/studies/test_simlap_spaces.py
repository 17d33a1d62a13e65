import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from kin import KinDigits
from torch import Tensor

from counterpoint.errors import CounterpointError
from counterpoint.model import Model
from counterpoint.negatives import Gates
from counterpoint.random import Stream, Streams
from counterpoint.recipe import Recipe
from counterpoint.report.charts import Chart
from counterpoint.report.exhibits import Bars, Heat, Histogram, Points, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables
from counterpoint.sources import Digits
from counterpoint.sphere import unit
from counterpoint.studies.cells import Shelf, asked_for, composed
from counterpoint.studies.claims import decide
from counterpoint.studies.listing import named_studies
from counterpoint.studies.simlap.alike import Inside, Likeness, gap, threshold_cosines, top_dimensions
from counterpoint.studies.simlap.classes import (
    class_cosines,
    gates_of,
    halved,
    kin_scores,
    pairs_of_classes,
    unrelated,
)
from counterpoint.studies.simlap.gates import GateReading, read_gates, soft_overlap
from counterpoint.studies.simlap.low_variance import ARMS, LowVariance
from counterpoint.studies.simlap.overlap import Overlap
from counterpoint.studies.simlap.page import likeness
from counterpoint.studies.simlap.pair_space import PairSpace, gathering
from counterpoint.studies.study import Result, Results, Study, Trained
from counterpoint.studies.transfer import Target
from counterpoint.types import Embeddings, Facts

KINNED = KinDigits()
STUDIES = ("motivation", "gates", "similarity", "maps", "overlap")
ABOVE = torch.tensor([0, 0, 1, 1, 1, 2])


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def _trained(recipe: str) -> tuple[Recipe, Facts]:
    (cell, *_) = _study("overlap", methods=recipe).cells
    known = Shelf().facts(cell.source)
    return composed(cell, known), replace(known, total_steps=9, steps_per_epoch=3)


def _model(gates: Gates | None) -> Model:
    """A model that has these gates, or none."""
    model = Model(*_trained("simclr" if gates is None else "simlap"))
    if gates is not None:
        model.negatives = gates
    return model.eval()


def _study(name: str, source: Any = KINNED, **options: Any) -> Study:
    """Not by `find_study`, which reads the files of all studies first."""
    function = getattr(import_module(f"counterpoint.studies.simlap.{name}"), f"simlap_{name}")
    return function(source=source, **{"scale": "smoke", "images": 2000, **options})


class _Opened(Trained):
    """What a test says it is."""

    dataset = recipe = model = untrained = train = test = None  # pyright: ignore[reportAssignmentType]


def _rows(h: Tensor, labels: Tensor, above: Tensor | None = None, z: Tensor | None = None) -> Embeddings:
    names = tuple(f"class {i}, also {i}" for i in range(int(labels.max()) + 1))
    supers = () if above is None else tuple(f"super {i}" for i in range(int(above.max()) + 1))
    return Embeddings(h, torch.arange(len(h)), z, labels, names, above, supers)


# ---------------------------------------------------------------- classes


def test_pairs_of_classes_are_of_their_kind() -> None:
    assert pairs_of_classes(ABOVE, "kin", 99) == [(0, 1), (2, 3), (2, 4), (3, 4)]
    assert len(pairs_of_classes(ABOVE, "unrelated", 99)) == 11
    some = pairs_of_classes(ABOVE, "unrelated", 5, seed=1)
    assert len(set(some)) == 5
    assert all(ABOVE[a] != ABOVE[b] for a, b in some)
    assert pairs_of_classes(torch.arange(4), "kin", 9) == []


def test_unrelated_classes_have_a_super_class_each() -> None:
    for seed in range(5):
        found = unrelated(ABOVE, 9, Streams(seed).at("x"))
        assert sorted(ABOVE[found].tolist()) == [0, 1, 2]
        assert len(unrelated(ABOVE, 2, Streams(seed).at("x"))) == 2


def test_halves_hold_every_class_by_equal_parts() -> None:
    labels = torch.tensor([0] * 6 + [1] * 7 + [2] * 4)[Streams(3).at("x").permutation(17)]
    first, second = halved(labels, Streams(0).at("halves"))
    assert torch.cat([first, second]).sort().values.tolist() == list(range(17))
    assert labels[first].bincount().tolist() == [3, 3, 2]
    assert labels[second].bincount().tolist() == [3, 4, 2]


def test_class_cosines_are_those_of_all_pairs() -> None:
    rows, labels = _normal(14, 3), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 2, 2, 4])
    found = class_cosines(rows, labels, [2, 0, 4])
    cosine = (unit(rows) @ unit(rows).T).double()
    for i, a in enumerate((2, 0, 4)):
        for j, b in enumerate((2, 0, 4)):
            values = [
                float(cosine[p, q])
                for p in range(14)
                for q in range(14)
                if p != q and labels[p] == a and labels[q] == b
            ]
            if values:
                assert float(found[i, j]) == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert math.isnan(float(found[2, 2])), "a class of one image has nobody to be compared with"


def test_kin_are_found_where_they_are_alike() -> None:
    alike = (ABOVE[:, None] == ABOVE).double()
    assert kin_scores(alike, ABOVE) == {"within": 1.0, "between": 0.0, "auroc": 1.0}
    assert kin_scores(1 - alike, ABOVE)["auroc"] == 0.0
    assert kin_scores(torch.ones(6, 6, dtype=torch.float64), ABOVE)["auroc"] == 0.5
    alone = kin_scores(alike, torch.arange(6))
    assert alone["within"] is None
    assert alone["auroc"] is None
    assert alone["between"] == pytest.approx(4 / 15)


def test_gates_are_of_each_class_and_of_pairs() -> None:
    model = _model(Gates(4, 8, 8, 5))
    model.train()
    own = gates_of(model)
    assert own.shape == (4, 5)
    torch.testing.assert_close(gates_of(model, torch.tensor([[2], [2]]))[0], own[2])  # another batch rounds otherwise
    pairs = gates_of(model, torch.tensor([[0, 3], [3, 0]]))
    torch.testing.assert_close(pairs[0], pairs[1])
    assert not torch.allclose(pairs[0], own[0])
    assert all(module.training for module in model.modules())
    with pytest.raises(CounterpointError, match="no gates"):
        gates_of(_model(None))


# ---------------------------------------------------------------- evaluators, where the answer is known


def _planted(dims: int = 40, each: int = 40) -> Embeddings:
    """Of each class five dimensions of its own hold still, at a level that others do not have; pairs (0, 1), (2, 3) …
    hold the same ones."""
    labels = torch.arange(8).repeat_interleave(each)
    h = 3 * _normal(len(labels), dims)
    for pair in range(4):
        mine = (labels // 2 == pair).nonzero()[:, 0]
        own = slice(5 * pair, 5 * pair + 5)
        h[mine, own] = 3.0 + 0.05 * _normal(len(mine), 5, seed=pair)
    return _rows(h, labels, torch.arange(8) // 2)


def test_low_variance_finds_what_a_pair_has_in_common() -> None:
    found = LowVariance(share=0.125, pairs=4, others=200).read(_planted(), 0)
    assert found["kept"] == 5
    kin = found["kin"]
    assert kin["pairs"] == 4
    assert kin["lowest"]["intra"] > 0.99
    assert min(kin["lowest"]["auroc"], kin["lowest"]["meeting"], kin["steadiest"]["auroc"]) > 0.99
    assert kin["whole"]["auroc"] < 0.9
    assert kin["random"]["auroc"] < kin["lowest"]["auroc"] - 0.1
    assert kin["set"]["auroc"] < kin["lowest"]["auroc"] - 0.1
    for arm in ("random set", "random set, whole"):
        assert kin[arm]["auroc"] == pytest.approx(0.5, abs=0.05), "nothing is common to a random set"
    assert sum(kin["lowest"]["histogram"]["intra"]) == pytest.approx(1.0, abs=1e-3)


def test_low_variance_finds_nothing_where_there_is_nothing() -> None:
    labels = torch.arange(6).repeat_interleave(60)
    found = LowVariance(pairs=9, others=200).read(_rows(_normal(360, 64), labels, ABOVE), 1)
    for kind in ("kin", "unrelated"):
        for arm in ARMS:
            assert found[kind][arm]["auroc"] == pytest.approx(0.5, abs=0.05)


def test_low_variance_measures_on_the_half_that_chose_nothing() -> None:
    """What holds still by chance in a few images is not still in others."""
    labels = torch.arange(4).repeat_interleave(8)
    h = _normal(32, 400) + 2
    found = LowVariance(share=0.02, pairs=6, others=50).read(_rows(h, labels), 0)
    whole, lowest = (found["unrelated"][arm]["auroc"] for arm in ("whole", "lowest"))
    assert lowest == pytest.approx(whole, abs=0.12), "chosen and measured on the same images it would be near 1"


def test_dimensions_without_any_spread_are_left_out() -> None:
    labels = torch.arange(4).repeat_interleave(20)
    h = torch.cat([_normal(80, 10) + 1, torch.zeros(80, 30)], 1)
    found = LowVariance(pairs=3, others=20).read(_rows(h, labels), 0)
    assert (found["dimensions"], found["kept"], found["of"]) == (10, 2, 40)
    assert found["unrelated"]["lowest"]["empty"] == 0
    assert found["kin"] == {"pairs": 0}


def test_gates_are_read() -> None:
    gates = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    found = read_gates(gates, torch.tensor([0, 0, 1]))
    assert (found["shut"], found["open"], found["binary"]) == (7 / 12, 5 / 12, 1.0)
    assert found["sizes"] == [2, 1, 2]
    assert found["dimensions"] == pytest.approx(5 / 3), "of a gate of zeros and ones as many as are open"
    assert found["overlap"] == {"within": 0.5, "between": 0.0, "auroc": 1.0}
    assert read_gates(gates / 3, torch.tensor([0, 0, 1]))["dimensions"] == pytest.approx(5 / 3)
    level = read_gates(torch.full((3, 4), math.exp(-1)), torch.tensor([0, 0, 1]))
    assert (level["binary"], level["overlap"]["auroc"]) == (0.0, 0.5)
    assert level["to 1/e"] == pytest.approx(0, abs=1e-7)


def test_overlap_of_gates() -> None:
    gates = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(soft_overlap(gates), torch.tensor([[1, 1 / 3], [1 / 3, 1]], dtype=torch.float64))


def test_the_map_of_gates_has_kin_side_by_side() -> None:
    model = _model(Gates(4, 8, 8, 12))
    whole = KINNED.load()
    above = torch.tensor([1, 0, 1, 0])
    made = _Opened()
    made.model = made.untrained = model
    made.dataset = replace(whole, classes=("a, aa", "b", "c", "d"), super_classes=("x", "y"), super_of=above)
    found = GateReading(shown=5)(made)
    assert found["map"]["classes"] == ["b", "d", "a", "c"]
    assert found["map"]["super-classes"] == ["x", "x", "y", "y"]
    (row, *_), dims = found["map"]["hundredths"], found["map"]["dimensions"]
    assert len(set(dims)) == 5
    assert row == [round(100 * v) for v in gates_of(model)[1][dims].tolist()]


def test_thresholds_top_dimensions_and_gap() -> None:
    gates = torch.tensor([[0.9, 0.9, 0.1], [0.9, 0.1, 0.6], [0.2, 0.3, 0.4]])
    found = threshold_cosines(gates)
    assert found[0, 1] == pytest.approx(0.5)
    assert found[:, 2].tolist() == [0, 0, 0]
    assert top_dimensions(gates, [1, 2], 2).tolist() == [0, 2]
    assert len(top_dimensions(gates, [0], 9)) == 3
    rows = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert gap(rows, torch.tensor([0, 0, 1, 1]), [0, 1]) == 1.0
    assert gap(rows, torch.tensor([0, 1, 0, 1]), [0, 1]) == pytest.approx(-0.5)
    assert math.isnan(gap(rows, torch.tensor([0, 0, 0, 1]), [0, 1]))


def test_a_subspace_that_parts_its_classes_has_a_wider_gap() -> None:
    """Family f is told apart in its own ten dimensions, which its gates open; elsewhere all is noise."""
    above = torch.arange(9) // 3
    labels = torch.arange(9).repeat_interleave(20)
    z, gates = _normal(180, 40), torch.full((9, 40), 0.2)
    level = 1.5 * _normal(9, 10, seed=5)
    for label in range(9):
        own = slice(10 * int(above[label]), 10 * int(above[label]) + 10)
        z[labels == label, own] += level[label]
        gates[label, own] = 0.9
    found = Inside(top=10, pairs=9).read(gates, _rows(z, labels, above, z), 0)
    assert found["supers"]["count"] == 3
    for kind in ("supers", "kin"):
        space = found[kind]
        assert space["own"] > max(space["whole"], space["random"], space["other"]) + 0.15
        assert abs(space["other"]) < 0.1
    assert [one["name"] for one in found["sets"]] == ["super 0", "super 1", "super 2"]
    assert found["matrices"][0]["classes"] == [0, 1, 2]
    assert found["drawn"]["count"] == 3
    shuffled = Inside(top=10, pairs=9).read(gates[:, Streams(0).at("x").permutation(40)], _rows(z, labels, above, z), 0)
    assert shuffled["supers"]["own"] < found["supers"]["own"] - 0.2


def test_the_control_is_of_as_many_classes_where_there_are() -> None:
    above = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 3, 3])
    drawn = [Inside()._others((0, 1, 2), above, "supers", Stream(seed)) for seed in range(20)]
    assert all(len(own) == 3 and set(above[own].tolist()) == {2} for own in drawn)
    large = [Inside()._others((4, 5, 6, 7), above, "supers", Stream(seed)) for seed in range(20)]
    assert {tuple(sorted(own)) for own in large} == {(0, 1, 2)}, "none has four, so the largest"


def test_likeness_of_images_gates_and_embeddings() -> None:
    above = torch.arange(8) // 2
    labels = torch.arange(8).repeat_interleave(10)
    h = 5 * _normal(4, 16, seed=2)[above[labels]] + _normal(80, 16)
    negatives = Gates(8, 16, 8, 12)
    with torch.no_grad():
        negatives.table.copy_(4 * _normal(4, 16, seed=3)[above] + _normal(8, 16, seed=4))
    model = _model(negatives)
    found = Likeness().read(model, _rows(h, labels, above))
    assert found["kin"]["features"]["auroc"] == 1.0
    assert found["kin"]["embeddings"]["auroc"] > 0.95
    assert set(found["agreement"]) == {"gates and features", "gates and embeddings", "features and embeddings"}
    assert found["agreement"]["features and embeddings"] > 0.2
    assert found["matrices"]["features"][0][1] > 800
    bare = Likeness().read(_model(None), _rows(h, labels, above))
    assert list(bare["kin"]) == ["features"]
    assert bare["agreement"] == {}


def test_a_pair_that_lies_together_gathers() -> None:
    labels = torch.arange(4).repeat_interleave(15)
    centre = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    space = unit(centre[labels] + 0.05 * _normal(60, 3))
    own = labels < 2
    met = gathering(space, labels, own)
    assert met["silhouette"] > 0.8
    assert met["gathered"] == 1.0
    assert met["meeting"] == pytest.approx(0.5, abs=0.1)
    apart = gathering(space, labels, (labels == 0) | (labels == 2))
    assert apart["silhouette"] < 0.3
    assert apart["meeting"] == 0.0


def test_overlap_is_small_where_classes_lie_apart() -> None:
    labels = torch.arange(6).repeat_interleave(30)
    apart = 8 * _normal(6, 32, seed=1)[labels] + _normal(180, 32)
    found = Overlap().read(_rows(apart, labels, ABOVE), 0)
    assert found["overlap"] < 0.05
    assert found["auroc"] > 0.99
    assert found["intra"] > found["inter"] + 0.5
    assert set(found["histogram"]) == {"intra", "inter", "near", "far"}
    assert sum(found["histogram"]["near"]) == pytest.approx(1.0, abs=1e-3)
    mixed = Overlap().read(_rows(_normal(180, 32), labels), 0)
    assert mixed["overlap"] > 0.85
    assert mixed["auroc"] == pytest.approx(0.5, abs=0.05)
    assert "near" not in mixed
    with pytest.raises(CounterpointError, match="more test images"):
        Overlap().read(_rows(_normal(3, 4), torch.arange(3)), 0)


# ---------------------------------------------------------------- the studies


@pytest.fixture(scope="module")
def made() -> Mapping[str, Study]:
    return {name: _study(name, seeds=(0, 1, 2)) for name in STUDIES}


def test_the_studies_are_listed_and_share_their_runs(made: Mapping[str, Study]) -> None:
    assert {f"simlap-{name}" for name in STUDIES} <= named_studies().keys()
    runs = {name: {str(asked_for(cell)) for cell in study.cells} for name, study in made.items()}
    assert {name: len(own) for name, own in runs.items()} == {
        "motivation": 3,
        "gates": 9,
        "similarity": 9,
        "maps": 3,
        "overlap": 18,
    }
    assert len(set.union(*runs.values())) == 18 + 6, "only penalties ask for runs of their own"
    for name, study in made.items():
        assert study.name == f"simlap-{name}"
        assert len({claim.key for claim in study.claims}) == len(study.claims)
        assert len({evaluator.name for evaluator in study.evaluators}) == len(study.evaluators)
        assert [cell.seed for cell in study.cells] == sorted(cell.seed for cell in study.cells)


def test_penalties_are_dials(made: Mapping[str, Study]) -> None:
    cells = {cell.place["penalty"]: cell for cell in made["gates"].cells}
    assert set(cells) == {"none", "printed 0.1", "binary 0.1"}
    assert cells["binary 0.1"].dials.items() >= {"gate_penalty": 0.1, "penalty": "binary"}.items()
    full = _study("gates", scale="full", seeds=(0,), weights="0.1,0.001")
    assert [cell.place["penalty"] for cell in full.cells] == [
        "none",
        *(f"{kind} {weight}" for kind in ("printed", "binary") for weight in ("0.001", "0.1")),
    ]


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("motivation", {"share": 1.0}, "between 0 and 1"),
        ("motivation", {"pairs": 0}, "1 or more"),
        ("gates", {"weights": "much"}, "give numbers"),
        ("gates", {"weights": 0}, "above 0"),
        ("gates", {"method": "simclr"}, "has no gates"),
        ("similarity", {"methods": "simclr,supcon"}, "simlap"),
        ("similarity", {"top": 0}, "1 or more"),
        ("maps", {"groups": "closed;birds"}, "no super-class 'birds'"),
        ("maps", {"groups": "closed"}, "give two super-classes"),
        ("maps", {"each": 1}, "two classes"),
        ("maps", {"method": "supcon"}, "has no gates"),
        ("overlap", {"methods": "simclr,byol"}, "byol is in neither group"),
    ],
)
def test_options_are_checked(name: str, options: Mapping[str, Any], match: str) -> None:
    with pytest.raises(CounterpointError, match=match):
        _study(name, **options)


def test_groups_of_maps() -> None:
    def reading(source: Any, **options: Any) -> PairSpace:
        (found,) = _study("maps", source, **options).evaluators
        assert isinstance(found, PairSpace)
        return found

    assert reading(KINNED).first == (0, 6, 8, 9), "of the largest super-class"
    chosen = reading(KINNED, groups="open; straight", each=2)
    assert (chosen.first, chosen.second) == ((2, 3), (1, 4))
    plain = reading(Digits())
    assert (plain.first, plain.second) == ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
    with pytest.raises(CounterpointError, match="no super-classes"):
        reading(Digits(), groups="open;straight")


# ---------------------------------------------------------------- claims and pages


def _kin(auroc: float) -> dict[str, float]:
    return {"within": 0.6, "between": 0.4, "auroc": auroc}


def _motivation(cell: Any, up: float) -> dict[str, Any]:
    def arm(level: float) -> dict[str, Any]:
        histogram = {"intra": [0.02] * 50, "others": [0.02] * 50}
        return {"intra": level, "across": level, "others": 0.1, "auroc": level, "meeting": level, "empty": 0.0} | {
            "histogram": histogram
        }

    levels = {"whole": 0.6, "lowest": 0.6 + up, "random": 0.58, "set": 0.59, "steadiest": 0.7}
    levels |= {"random set": 0.5, "random set, whole": 0.5}
    kinds = {kind: {"pairs": 9, **{name: arm(v) for name, v in levels.items()}} for kind in ("kin", "unrelated")}
    return {"low-variance": {"learned": kinds, "untrained": kinds}}


def _gates(cell: Any, up: float) -> dict[str, Any]:
    penalty = cell.place["penalty"]
    printed, binary = penalty.startswith("printed"), penalty.startswith("binary")
    own = {
        "shut": 0.1,
        "open": 0.1,
        "binary": 0.2 + up * binary - up * printed,
        "mean": 0.5,
        "to 1/e": 0.3 - up * printed,
        "size": 100.0,
        "dimensions": 120.0,
        "overlap": _kin(0.5 + up),
        "histogram": [0.025] * 40,
    }
    picture = {
        "classes": ["a", "b"],
        "super-classes": [],
        "dimensions": [4, 7, 1],
        "hundredths": [[1, 2, 3], [9, 9, 9]],
    }
    accuracy = {"probe": 0.7 - up * printed, "knn": 0.6}
    bare = {"source-floor": {"untrained": accuracy}, "source-pixels": {"pixels": accuracy}} if penalty == "none" else {}
    return {"gates": {**own, "untrained": own, "map": picture}, "source": {"learned": accuracy}, **bare}


def _similarity(cell: Any, up: float) -> dict[str, Any]:
    kin = {name: _kin(0.5 + up) for name in ("gates", "features", "embeddings")}
    agreement = dict.fromkeys(("gates and features", "gates and embeddings", "features and embeddings"), up)
    matrix = [[None if i == j else 100 * (i + j) for j in range(10)] for i in range(10)]
    gaps = {"whole": 0.2, "own": 0.2 + up, "other": 0.1, "random": 0.15}
    found: dict[str, Any] = {
        "likeness": {
            "kin": kin,
            "agreement": agreement,
            "dot": _kin(0.5),
            "matrices": dict.fromkeys(kin, matrix),
            "untrained": {"kin": dict.fromkeys(kin, _kin(0.51)), "agreement": agreement},
        }
    }
    if cell.recipe == "simlap":
        kinds = {kind: {"count": 3, **gaps} for kind in ("supers", "drawn", "kin", "unrelated")}
        family = {"name": "closed", "classes": [0, 6], "whole": [[5, 1], [1, None]], "own": [[9, 1], [1, 9]]}
        sets = [{"name": "closed", "classes": 4, **gaps}]
        found["inside"] = {**kinds, "sets": sets, "matrices": [family], "untrained": kinds}
    return found


def _maps(cell: Any, up: float) -> dict[str, Any]:
    def arm(level: float) -> dict[str, float]:
        return {"silhouette": level, "gathered": 0.5, "meeting": level}

    space = {"class": 0.7, "group": 0.9, "silhouette": 0.3}
    xy = [[float(i), float(-i)] for i in range(8)]
    own = {"method": "t-SNE", "xy": xy, "space": space, "map": {**space, "class": 0.75 if up > 0 else 0.5}}
    gates = {"whole": arm(0.2), "own": arm(0.2 + up), "other": arm(0.2 - abs(up) / 2 * (up > 0)), "shuffled": arm(0.2)}
    return {
        "pair-space": {
            "classes": ["0", "6", "1", "4"],
            "groups": [0, 0, 1, 1],
            "pair": [0, 2],
            "labels": [0, 0, 1, 1, 2, 2, 3, 3],
            "maps": dict.fromkeys(("h", "z", "pair"), own),
            **{kind: {"pairs": 4, **gates} for kind in ("unrelated", "kin")},
        }
    }


def _overlap(cell: Any, up: float) -> dict[str, Any]:
    level = 0.5 - up * cell.recipe.startswith("simlap")
    histogram = {name: [0.0] * 50 + [0.02] * 50 for name in ("intra", "inter", "near", "far")}
    own = {"overlap": level, "auroc": 0.8, "intra": 0.6, "inter": 0.3, "near": 0.35, "far": 0.25} | {
        "histogram": histogram
    }
    bare = {"untrained": own, "pixels": own} if cell.recipe == "simclr" else {}
    return {"overlap": {"learned": own, **bare}}


FOUND: dict[str, Callable[[Any, float], dict[str, Any]]] = {
    "motivation": _motivation,
    "gates": _gates,
    "similarity": _similarity,
    "maps": _maps,
    "overlap": _overlap,
}


def _results(study: Study, name: str, up: float) -> Results:
    return Results(tuple(Result(cell, Path("x"), FOUND[name](cell, up + 0.001 * cell.seed)) for cell in study.cells))


@pytest.mark.parametrize("name", STUDIES)
def test_claims_are_decided_in_both_directions(made: Mapping[str, Study], name: str) -> None:
    study = made[name]
    better = {key: d.verdict for key, d in decide(study, _results(study, name, 0.2)).items()}
    worse = {key: d.verdict for key, d in decide(study, _results(study, name, -0.2)).items()}
    reversed_ = {"printed-makes-binary"}  # where the others hold, this one does not
    assert {key: "not held" if key in reversed_ else "held" for key in better} == better
    assert {key: "held" if key in reversed_ else "not held" for key in worse} == worse


@pytest.mark.parametrize("name", STUDIES)
def test_one_seed_decides_nothing(made: Mapping[str, Study], name: str) -> None:
    study = made[name]
    alone = Results(tuple(r for r in _results(study, name, 0.2) if r.cell.seed == 0))
    assert {d.verdict for d in decide(study, alone).values()} == {"undecided"}


def test_gates_are_judged_on_other_data_too() -> None:
    study = _study("gates", seeds=(0, 1, 2), targets=(Target("letters", Digits()), Target("shapes", Digits())))
    assert [evaluator.name for evaluator in study.evaluators] == [
        *("gates", "source", "source-floor", "source-pixels"),
        *("transfer", "floor", "pixels"),
    ]

    def found(cell: Any, up: float) -> dict[str, Any]:
        knn = 0.5 + (up + 0.001 * cell.seed) * cell.place["penalty"].startswith("printed")
        own = {label: {"probe": 0.6, "knn": knn} for label in ("letters", "shapes")}
        return {**_gates(cell, up), "transfer": {"learned": own}}

    for up, verdict in ((0.1, "held"), (-0.1, "not held")):
        results = Results(tuple(Result(cell, Path("x"), found(cell, up)) for cell in study.cells))
        assert decide(study, results)["penalty-transfers"].verdict == verdict
        rows = next(t for t in _figures(study.sections(results), Table) if t.name == "accuracy").rows
        assert next(row[:3] for row in rows if row[1] == "shapes" and row[0][0] == "p") == (
            "printed 0.1",
            "shapes",
            0.6,
        )


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_shows_what_was_found(made: Mapping[str, Study], name: str, tmp_path: Path) -> None:
    study, results = made[name], _results(made[name], name, 0.2)
    sections = study.sections(results)
    write_tables(tmp_path, sections)
    page = write_study(tmp_path / "index.html", study, results, decide(study, results), command="x", facts={})
    text = page.read_text("utf-8")
    assert "nan" not in text.partition("<script")[0].lower().replace("finan", "")
    shown = [exhibit for section in sections for exhibit in section.exhibits]
    count = {kind: sum(isinstance(one, kind) for one in shown) for kind in (Bars, Heat, Histogram, Points, Table)}
    assert (
        count
        == {
            "motivation": {Bars: 3, Heat: 0, Histogram: 4, Points: 0, Table: 1},
            "gates": {Bars: 2, Heat: 1, Histogram: 2, Points: 0, Table: 3},
            "similarity": {Bars: 2, Heat: 8, Histogram: 0, Points: 0, Table: 4},
            "maps": {Bars: 3, Heat: 0, Histogram: 0, Points: 3, Table: 2},
            "overlap": {Bars: 2, Heat: 0, Histogram: 8, Points: 0, Table: 1},
        }[name]
    )
    for table in shown:
        if isinstance(table, Table):
            assert table.rows
            assert all(len(row) == len(table.columns) for row in table.rows)
            assert any(value == 3 for row in table.rows for value in row[-1:]), "three seeds"


@pytest.mark.parametrize("name", STUDIES)
def test_pages_cope_with_what_is_missing(made: Mapping[str, Study], name: str, tmp_path: Path) -> None:
    study = made[name]
    every = _results(study, name, 0.2).every
    unread = tuple(replace(result, found={}) for result in every)
    gone = tuple(replace(result, folder=None, found={}) for result in every)
    for part in ((), every[:1], every[1:3], every[-1:], unread, gone):
        write_tables(tmp_path, study.sections(Results(part)))
        decide(study, Results(part))


def _figures(sections: Sequence[Any], kind: type) -> list[Any]:
    return [exhibit for section in sections for exhibit in section.exhibits if isinstance(exhibit, kind)]


def test_numbers_stand_where_they_belong(made: Mapping[str, Study]) -> None:
    gates = made["gates"].sections(_results(made["gates"], "gates", 0.2))
    penalties = next(t for t in _figures(gates, Table) if t.name == "penalties")
    rows = {row[0]: dict(zip(penalties.columns, row, strict=True)) for row in penalties.rows}
    assert rows["binary 0.1"]["share of either"] == pytest.approx(0.401)
    assert rows["printed 0.1"]["mean distance to 1/e"] == pytest.approx(0.099)
    assert "lost 20.1 points by g log g" in gates[-1].title
    (chart,) = _figures(gates, Chart)
    printed, binary = chart.lines
    lowest = printed.y.index(min(printed.y))
    assert printed.x[lowest] == pytest.approx(math.exp(-1), abs=0.005)
    assert max(binary.y) == binary.y[100]
    maps = made["maps"].sections(_results(made["maps"], "maps", 0.2))
    titles = [points.title for points in _figures(maps, Points)]
    assert titles[-1] == "The subspace of 0 and 1"
    assert [s.label for s in _figures(maps, Points)[0].series] == ["0", "6", "1", "4"]
    assert "Closed: 0, 6; straight: 1, 4." in maps[0].words[0]
    overlap = made["overlap"].sections(_results(made["overlap"], "overlap", 0.2))
    assert overlap[0].title.startswith("The overlap is smallest with SimLAP")


def test_a_likeness_is_not_shaded_as_a_confusion() -> None:
    heat = likeness("x", "y", ("a", "b"), [[1.0, 0.2], [0.2, 1.0]])
    assert heat.rows == ("1 a", "2 b")
    assert heat.columns == ("1", "2")
