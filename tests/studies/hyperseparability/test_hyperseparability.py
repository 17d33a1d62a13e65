"""The study at smoke scale on the embedded digits, and its rules on results that are made up."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.evaluation import Converged, every_subset, random_subsets, super_class_errors
from counterpoint.report.exhibits import Table
from counterpoint.sources import Digits, lookup
from counterpoint.studies.cells import Opened, asked_for, composed
from counterpoint.studies.conjecture import PART, POLICIES
from counterpoint.studies.hyperseparability import hyperseparability
from counterpoint.studies.hyperseparability.cells import CHANGES, CHOSEN
from counterpoint.studies.hyperseparability.claims import policy_claims, study_claims
from counterpoint.studies.hyperseparability.evaluators import (
    METHODS,
    OPEN,
    VARIANTS,
    Layers,
    MultiClass,
    Sensitivity,
    SuperClasses,
    sets_of,
    summary,
)
from counterpoint.studies.hyperseparability.reading import PUBLISHED, below_common, below_own, published_of
from counterpoint.studies.hyperseparability.sections import study_sections
from counterpoint.studies.runner import run
from counterpoint.studies.study import Cell, Result, Results
from counterpoint.types import Dataset, Facts, Split

# ---------------------------------------------------------------- the whole study, small


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Results, Path]:
    study = hyperseparability(scale="smoke")
    store = tmp_path_factory.mktemp("cells")
    return study, run(study, store=store, quiet=True), store


def test_every_cell_answers_every_question(smoke: tuple[Any, Results, Path]) -> None:
    study, results, _ = smoke
    assert [result.error for result in results] == ["", ""]
    assert {result.cell.place["method"] for result in results} == {"contrastive", "supervised"}
    for result in results:
        assert set(result.found) == {evaluator.name for evaluator in study.evaluators}
        found = result.found["super-classes"]
        assert len(found["each"]["set"]) == 1024
        assert found["each"]["set"] == list(range(1024))
        assert found["each"]["error"][0] == found["each"]["error"][1023] == 0
        assert found["each"]["error"] == found["each"]["error"][::-1]  # a set and its complement
        assert found["below"] == sum(error < found["multi-class"] for error in found["each"]["error"]) / 1024
        assert len(result.found["sensitivity"]) == 2


def test_layers_are_those_of_each_net_and_what_needs_no_learning_only_once(smoke: tuple[Any, Results, Path]) -> None:
    _, results, _ = smoke
    contrastive, supervised = (results.at(method=m)[0].found["layers"] for m in ("contrastive", "supervised"))
    assert set(contrastive) == {"pixels", "PCA", "hidden 1", "output", "untrained hidden 1", "untrained h"}
    assert set(supervised) == {"hidden 1", "output"}
    assert (contrastive["output"]["width"], supervised["output"]["width"]) == (100, 10)
    assert contrastive["pixels"]["width"] == contrastive["PCA"]["width"] == 64


def test_what_a_net_has_no_place_for_is_asked_of_its_recipe(smoke: tuple[Any, Results, Path]) -> None:
    """The answer belongs to the run, which may stand in another study at another place."""
    study, results, _ = smoke
    (asked,) = [evaluator for evaluator in study.evaluators if isinstance(evaluator, Layers)]
    for stored in results:
        assert stored.folder is not None
        elsewhere = Opened(replace(stored.cell, place={"part": "paper"}), stored.folder)
        assert set(asked(elsewhere)) == set(stored.found["layers"])


def test_the_page_of_it_has_every_part_and_a_verdict_for_every_claim(smoke: tuple[Any, Results, Path]) -> None:
    study, results, _ = smoke
    sections = study.sections(results)
    assert [section.key for section in sections] == ["figure", "table", "size", "layers", "sensitivity"]
    decisions = {claim.key: claim.decide(results) for claim in study.claims}
    assert len(decisions) == len(study.claims)
    alone = {"contrast-of-shares", "converged"}
    for key, decision in decisions.items():
        assert decision.value is not None
        assert decision.said
        assert decision.verdict == "undecided" or (key in alone and decision.verdict == "held"), key


def test_a_second_run_answers_the_same_and_trains_nothing(smoke: tuple[Any, Results, Path]) -> None:
    study, results, store = smoke
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*.pt")}
    again = run(study, store=store, quiet=True)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*.pt")} == before
    assert json.dumps([r.found for r in again]) == json.dumps([r.found for r in results])


def test_a_page_is_written_from_the_cells_that_finished(smoke: tuple[Any, Results, Path]) -> None:
    study, results, _ = smoke
    only = Results(tuple(r for r in results.every if r.cell.place["method"] == "supervised"))
    assert [section.key for section in study_sections(only)] == ["figure", "table", "size", "layers", "sensitivity"]
    assert study_sections(Results(())) == ()
    for claim in study.claims:
        assert claim.decide(Results(())).verdict == "undecided"


# ---------------------------------------------------------------- what is asked for


def mnist_like(monkeypatch: pytest.MonkeyPatch, classes: int = 10, even: bool = True) -> Any:
    """A source of MNIST's name whose few images are made here."""
    source = lookup("mnist" if classes == 10 else "emnist:bymerge", root="nowhere")
    labels = torch.arange(classes).repeat_interleave(torch.full((classes,), 3) + (0 if even else torch.arange(classes)))
    split = Split(torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8), labels)
    dataset = Dataset(source.name, "glyphs", split, split, tuple(str(i) for i in range(classes)))
    monkeypatch.setattr(type(source), "load", lambda self: dataset)
    return source


def test_cells_are_the_papers_and_no_less(monkeypatch: pytest.MonkeyPatch) -> None:
    study = hyperseparability(source=mnist_like(monkeypatch), grids=False)
    assert [(c.place["method"], c.seed) for c in study.cells] == [
        (method, seed) for seed in (0, 1, 2) for method in ("contrastive", "supervised")
    ]
    contrastive, supervised = (asked_for(cell) for cell in study.cells[:2])
    assert contrastive["recipe"] == "simclr"
    assert contrastive["dials"] == {
        "temperature": 1,
        "layers": 2,
        "width": 100,
        "policy": "elastic",
        "batch_size": 1000,
        "epochs": 200,
        "lr": 0.001,
    }
    assert contrastive["settings"] == {
        "heads.projector": "counterpoint.heads:MLPHead((), 100)",
        "optim": "counterpoint.optim:Adam(lr=0.001)",
    }
    assert supervised["recipe"] == "supervised"
    assert supervised["dials"] == {"policy": "elastic", "batch_size": 1000, "epochs": 50, "lr": 0.001}
    assert supervised["settings"] == {"optim": "counterpoint.optim:Adam(lr=0.001)"}


def test_more_classes_are_trained_longer_and_asked_in_random_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    study = hyperseparability(source=mnist_like(monkeypatch, classes=47, even=False), grids=False, seeds=(4,))
    assert [cell.dials["epochs"] for cell in study.cells] == [300, 50]
    assert [e.name for e in study.evaluators] == [
        *("super-classes", "super-classes-converged", "super-classes-balanced", "layers", "sensitivity")
    ]
    assert sets_of(47, 1000, 0).shape == (47, 1000)
    assert {claim.published for claim in study.claims if claim.key.startswith("error-")} == {
        *("18.6 %", "13.2 %", "18.6 % against 13.2 %")
    }
    assert "not the paper's balanced set" in " ".join(study.about)


def test_grids_add_each_transformation_at_the_first_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    study = hyperseparability(source=mnist_like(monkeypatch), seeds=(3, 5))
    grid = [cell for cell in study.cells if cell.place["part"] == PART]
    assert {cell.place["policy"] for cell in grid if cell.place["images"] == "grey"} == set(POLICIES)
    assert {cell.seed for cell in grid} == {3}
    assert {cell.dials["epochs"] for cell in grid} == {30}
    asked = [e for e in study.evaluators if isinstance(e, MultiClass)]
    assert sum(asked[0].wanted(cell) for cell in study.cells) == len(POLICIES)
    assert {"elastic-alone", "conjecture"} <= {claim.key for claim in study.claims}


def test_grids_add_nets_with_one_choice_made_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    study = hyperseparability(source=mnist_like(monkeypatch), seeds=(3, 5))
    cells = [cell for cell in study.cells if cell.place["part"] == OPEN]
    assert len(cells) == 10
    assert {(cell.seed, cell.dials["epochs"]) for cell in cells} == {(3, 30)}
    asked = {evaluator.name for evaluator in study.evaluators for cell in cells if evaluator.wanted(cell)}
    assert asked == {"super-classes"}
    facts = Facts("mnist", "glyphs", 1, 28, 60_000, 10)
    (chosen,) = [cell for cell in cells if cell.place["change"] == CHOSEN]
    starts = {"contrastive": next(c for c in study.cells if c.place.get("policy") == "elastic"), "supervised": chosen}
    assert "super-classes" in {e.name for e in study.evaluators if e.wanted(starts["contrastive"])}
    for cell in study.cells[:2]:
        # The net that they start from is the paper's, with fewer epochs.
        own = replace(cell, dials={**cell.dials, "epochs": 30})
        assert asked_for(own) == asked_for(starts[cell.place["method"]])
    apart = {
        (cell.place["change"].split(":")[0], cell.place["method"]): differing(
            composed(starts[cell.place["method"]], facts), composed(cell, facts)
        )
        for cell in cells
        if cell is not chosen
    }
    both: dict[str, dict[str, Any]] = {
        "tanh in place of ReLU": {"encoder.activation": "tanh"},
        "the nets' rate 0.0003": {"optim.lr": 0.0003},
        "the nets' rate 0.003": {"optim.lr": 0.003},
    }
    warps = {
        "milder": {"alpha": 17.0},
        "stronger": {"alpha": 51.0},
        "smoother, as strong": {"alpha": 68.0, "sigma": 8.0},
    }
    expected = {(name, method): change for name, change in both.items() for method in METHODS}
    for name, field in warps.items():
        expected[name, "contrastive"] = {
            f"views.policies.{view}.ops.2.{key}": value for view in (0, 1) for key, value in field.items()
        }
    assert apart == expected


def differing(one: Any, other: Any, path: str = "") -> dict[str, Any]:
    """Path to the other's value, wherever two parts differ."""
    if is_dataclass(one) and type(one) is type(other):
        pairs = [(f.name, getattr(one, f.name), getattr(other, f.name)) for f in fields(one) if f.name != "dials"]
    elif isinstance(one, tuple) and isinstance(other, tuple):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return {} if one == other else {path: other}
    return {k: v for name, a, b in pairs for k, v in differing(a, b, f"{path}.{name}" if path else name).items()}


def test_a_distortion_keeps_its_share_of_a_smaller_image() -> None:
    milder = next(change for change in CHANGES if change.field == (4, 17))
    settings = milder.on(14)
    assert settings == {
        f"views.policies.{view}.ops.2.{name}": value
        for view in (0, 1)
        for name, value in (("sigma", "2.0"), ("alpha", "4.25"))
    }


def test_what_the_paper_leaves_open_has_a_table() -> None:
    every = [
        Result(
            replace(cell, place=place),
            Path("nowhere"),
            {"super-classes": {"multi-class": 0.01, "below": below, "error": 0.02}},
        )
        for cell, place, below in (
            (CELL, {"part": PART, "images": "grey", "policy": "elastic"}, 0.9),
            (CELL, {"part": OPEN, "change": CHOSEN, "method": "supervised"}, 0.2),
            (CELL, {"part": OPEN, "change": "tanh in place of ReLU", "method": "contrastive"}, 0.7),
        )
    ]
    (section,) = [section for section in study_sections(Results(tuple(every))) if section.key == "open"]
    (table,) = section.exhibits
    assert isinstance(table, Table)
    assert table.rows == (
        (CHOSEN, 0.01, 0.9, 0.02, 0.01, 0.2, 0.02),
        ("tanh in place of ReLU", 0.01, 0.7, 0.02, None, None, None),
    )
    assert "between 70.0 % and 90.0 % for the contrastive net" in " ".join(section.words)
    assert study_sections(Results(tuple(every[:1]))) == ()


CELL = Cell({}, "simclr", Digits(), "mlp", dials={"epochs": 30})


def test_every_claim_has_a_key_of_its_own_and_says_its_rule() -> None:
    for published in (None, *PUBLISHED):
        claims = (*study_claims(published, ""), *policy_claims())
        assert len({claim.key for claim in claims}) == len(claims)
        for claim in claims:
            assert claim.rule.startswith(("Held if", "With one seed: held if"))
            assert (claim.origin == "paper") == bool(claim.published)


def test_published_figures_belong_to_their_data() -> None:
    assert published_of("mnist", 10) is PUBLISHED[0]
    assert published_of("emnist:bymerge", 47) is PUBLISHED[1]
    assert published_of("emnist:letters", 26) is None
    assert published_of("fashion-mnist", 10) is None


def test_without_labels_or_without_data_it_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="give --source mnist"):
        hyperseparability()
    whole = Digits().load()
    bare = Dataset("photos", "glyphs", Split(whole.train.images), Split(whole.test.images))
    monkeypatch.setattr(Digits, "load", lambda self: bare)
    with pytest.raises(SourceError, match="has no labels"):
        hyperseparability(source=Digits())


# ---------------------------------------------------------------- the rules, on results that are made up


def result(method: str, seed: int, found: Mapping[str, Any]) -> Result:
    cell = Cell({"part": "paper", "method": method}, "simclr", Digits(), "mlp", seed)
    return Result(cell, Path("nowhere"), found)


BARS = {"contrastive": 0.0140, "supervised": 0.0090}


def world() -> dict[str, dict[str, Any]]:
    """Numbers of which every rule holds, no two of them equal: what each net answers."""
    contrastive = {
        "super-classes": {
            "multi-class": BARS["contrastive"],
            "below": 0.93,
            "error": 0.004,
            "balanced error": 0.010,
            "each": {"error": [0.001] * 60 + [0.012] * 33 + [0.2] * 7},
        },
        "super-classes-converged": {"below": 0.96},
        "sensitivity": {name: {"below": 0.94 + i / 1000} for i, name in enumerate(VARIANTS)},
        "layers": {
            "pixels": {"balanced error": 0.08},
            "PCA": {"balanced error": 0.07},
            "hidden 1": {"balanced error": 0.03},
            "output": {"balanced error": 0.02},
            "untrained h": {"balanced error": 0.09},
        },
    }
    supervised = {
        "super-classes": {
            "multi-class": BARS["supervised"],
            "below": 0.23,
            "error": 0.006,
            "balanced error": 0.015,
            "each": {"error": [0.001] * 24 + [0.2] * 76},
        },
        "super-classes-converged": {"below": 0.45},
    }
    return {"contrastive": contrastive, "supervised": supervised}


def found_in(numbers: Mapping[str, dict[str, Any]], seeds: int = 3) -> Results:
    """Results in which seeds differ by thousandths of each number; a list of errors is the same for all."""

    def moved(value: Any, seed: int, sign: int) -> Any:
        if isinstance(value, dict):
            return {key: moved(inner, seed, sign) for key, inner in value.items()}
        return value * (1 + sign * (seed - 1) / 1000) if isinstance(value, float) else value

    return Results(
        tuple(
            result(method, seed, moved(answer, seed, sign))
            for (method, answer), sign in zip(numbers.items(), (1, -1), strict=True)
            for seed in range(seeds)
        )
    )


def changed(changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The world with some numbers put otherwise, each by its path."""
    numbers = world()
    for path, value in changes.items():
        *above, last = path.split("/")
        part: Any = numbers
        for key in above:
            part = part[key]
        part[last] = value
    return numbers


def verdicts(results: Results) -> dict[str, str]:
    return {claim.key: claim.decide(results).verdict for claim in study_claims(PUBLISHED[0], "")}


def test_every_rule_can_hold() -> None:
    assert set(verdicts(found_in(world())).values()) == {"held"}


REFUTED: list[tuple[dict[str, Any], set[str]]] = [
    ({"contrastive/super-classes/multi-class": 0.0180}, {"error-contrastive"}),
    ({"contrastive/super-classes/multi-class": 0.0100}, {"error-contrastive"}),
    ({"supervised/super-classes/multi-class": 0.0115}, {"error-supervised"}),
    (
        {"contrastive/super-classes/multi-class": 0.0106, "supervised/super-classes/multi-class": 0.0109},
        {"error-order"},
    ),
    ({"contrastive/super-classes/below": 0.99}, {"below-contrastive"}),
    (
        {"contrastive/super-classes/below": 0.89},
        {"hyper-separable", "whatever-the-classifier"},
    ),
    ({"supervised/super-classes/below": 0.15}, {"below-supervised"}),
    ({"supervised/super-classes/below": 0.60}, {"below-supervised", "supervised-not"}),
    ({"supervised/super-classes/below": 0.85}, {"below-supervised", "supervised-not", "contrast-of-shares"}),
    ({"contrastive/super-classes/each": {"error": [0.001] * 20 + [0.012] * 73 + [0.2] * 7}}, {"common-bar"}),
    ({"supervised/super-classes/each": {"error": [0.001] * 70 + [0.2] * 30}}, {"common-bar"}),
    ({"contrastive/super-classes/error": 0.008}, {"plain-errors"}),
    ({"supervised/super-classes/error": 0.003}, {"plain-errors"}),
    ({"contrastive/super-classes/balanced error": 0.017}, {"balanced-errors"}),
    ({"supervised/super-classes/balanced error": 0.009}, {"balanced-errors"}),
    ({"supervised/super-classes-converged/below": 0.90}, {"converged"}),
    ({"contrastive/super-classes-converged/below": 0.50}, {"converged", "whatever-the-classifier"}),
    *[({f"contrastive/sensitivity/{name}/below": 0.80}, {"whatever-the-classifier"}) for name in VARIANTS],
    ({"contrastive/layers/pixels/balanced error": 0.009}, {"not-below"}),
    ({"contrastive/layers/hidden 1/balanced error": 0.009}, {"not-below"}),
    ({"contrastive/layers/output/balanced error": 0.009}, {"not-above"}),
    ({"contrastive/layers/PCA/balanced error": 0.009}, {"learned"}),
    ({"contrastive/layers/untrained h/balanced error": 0.009}, {"learned"}),
]


@pytest.mark.parametrize(("changes", "refuted"), REFUTED, ids=lambda value: ", ".join(sorted(value)))
def test_a_rule_is_refuted_by_the_numbers_it_is_about_and_by_no_others(
    changes: dict[str, Any], refuted: set[str]
) -> None:
    found = verdicts(found_in(changed(changes)))
    assert {key for key, verdict in found.items() if verdict == "not held"} == refuted
    assert {key for key, verdict in found.items() if verdict == "held"} == found.keys() - refuted


def test_every_rule_has_a_case_against_it() -> None:
    assert set.union(*(refuted for _, refuted in REFUTED)) == {claim.key for claim in study_claims(PUBLISHED[0], "")}


def test_one_seed_holds_only_a_large_gap_and_refutes_nothing() -> None:
    found = verdicts(found_in(world(), seeds=1))
    assert {key for key, verdict in found.items() if verdict != "undecided"} == {"contrast-of-shares", "converged"}
    near = {"supervised/super-classes/below": 0.85, "supervised/super-classes-converged/below": 0.9}
    assert set(verdicts(found_in(changed(near), seeds=1)).values()) == {"undecided"}


def test_one_bar_for_both_is_the_smaller_multi_class_error() -> None:
    results = Results(
        (
            result("contrastive", 0, {"super-classes": {"multi-class": 0.02, "each": {"error": [0.005, 0.015]}}}),
            result("supervised", 0, {"super-classes": {"multi-class": 0.01, "each": {"error": [0.005, 0.008]}}}),
        )
    )
    assert below_common(results) == {"contrastive": {0: 0.5}, "supervised": {0: 1.0}}


def test_a_layer_is_held_against_h_of_its_own_net() -> None:
    answer = {"super-classes": {"multi-class": 0.02}, "layers": {"pixels": {"each": [0.01, 0.5]}}}
    results = Results((result("contrastive", 0, answer),))
    assert below_own(results, "contrastive", "pixels") == {0: 0.5}
    assert below_own(results, "contrastive", "output") == {}


def policies(wrong: Mapping[str, list[int]], seeds: int = 1) -> Results:
    def answer(policy: str, seed: int) -> Result:
        cell = Cell({"part": PART, "images": "grey", "policy": policy}, "simclr", Digits(), "mlp", seed)
        missed = wrong[policy][: len(wrong[policy]) - seed]
        return Result(cell, Path("nowhere"), {"multi-class": {"error": len(missed) / 1000, "wrong": missed}})

    return Results(tuple(answer(policy, seed) for policy in wrong for seed in range(seeds)))


def test_with_several_seeds_elastic_must_beat_the_best_other_policy() -> None:
    (claim,) = policy_claims()
    errors = {policy: list(range(20 if policy == "elastic" else 60 + i)) for i, policy in enumerate(POLICIES)}
    assert claim.decide(policies(errors, seeds=3)).verdict == "held"
    assert claim.decide(policies({**errors, "rotate+translate": list(range(10))}, seeds=3)).verdict == "not held"


def test_elastic_is_best_only_beyond_chance() -> None:
    (claim,) = policy_claims()
    clear = {policy: list(range(10 if policy == "elastic" else 60)) for policy in POLICIES}
    assert claim.decide(policies(clear)).verdict == "held"
    assert claim.decide(policies({**clear, "rotate": list(range(12))})).verdict == "undecided"
    beaten = claim.decide(policies({**clear, "elastic": list(range(40)), "elastic+rotate": list(range(3))}))
    assert beaten.verdict == "not held"
    assert "elastic+rotate" in beaten.said
    lacking = claim.decide(policies({policy: clear[policy] for policy in POLICIES[:4]}))
    assert lacking.verdict == "undecided"
    assert "lacking" in lacking.said


def test_evaluators_are_stored_parts() -> None:
    from counterpoint.recipe import part_from_json, part_to_json

    for evaluator in (SuperClasses(balanced=True), Layers(), Sensitivity(("1 epoch",)), MultiClass(PART)):
        assert part_from_json(json.loads(json.dumps(part_to_json(evaluator)))) == evaluator


@pytest.mark.long
def test_grids_run_at_smoke_scale(tmp_path: Path) -> None:
    study = hyperseparability(scale="smoke", grids=True)
    kept = {"elastic", "rotate", "tanh in place of ReLU", "smoother, as strong: sigma 8, alpha 68"}
    few = replace(study, cells=tuple(c for c in study.cells if kept & set(c.place.values())))
    results = run(few, store=tmp_path, quiet=True)
    assert [result.error for result in results.every] == [""] * 6
    asked = {"multi-class", "invariance", "readability"}
    assert set(results.at(policy="elastic", images="grey")[0].found) == {*asked, "super-classes"}
    assert set(results.at(policy="rotate")[0].found) == asked
    assert {"open", "transformations"} <= {section.key for section in study_sections(results)}


def test_a_large_source_is_cut_at_smoke_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    study = hyperseparability(source=mnist_like(monkeypatch), scale="smoke")
    assert {cell.source.per_class for cell in study.cells} == {100}


def test_distinct_dichotomies_are_counted_where_all_sets_are_there() -> None:
    labels = torch.arange(4).repeat(20)
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(0)) + labels[:, None]
    every = super_class_errors(x, x, every_subset(4), labels, labels, training=Converged())
    found = summary(every, 0.25)
    assert found["below, dichotomies"] == float((every.error[1:8] < 0.25).double().mean())
    assert found["below"] == (2 + 2 * int((every.error[1:8] < 0.25).sum())) / 16
    some = super_class_errors(x, x, random_subsets(4, 9), labels, labels, training=Converged())
    assert summary(some, 0.25)["below, dichotomies"] is None
