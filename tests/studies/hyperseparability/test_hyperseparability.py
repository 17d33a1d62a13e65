"""The study at smoke scale on the embedded digits, and its rules on results that are made up."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.evaluation import Converged, every_subset, random_subsets, super_class_errors
from counterpoint.sources import Digits, lookup
from counterpoint.studies.cells import asked_for
from counterpoint.studies.conjecture import PART, POLICIES
from counterpoint.studies.hyperseparability import hyperseparability
from counterpoint.studies.hyperseparability.claims import policy_claims, study_claims
from counterpoint.studies.hyperseparability.evaluators import (
    LAYERS,
    Layers,
    MultiClass,
    Sensitivity,
    SuperClasses,
    principal,
    sets_of,
    summary,
)
from counterpoint.studies.hyperseparability.reading import PUBLISHED, below_common, below_own, published_of
from counterpoint.studies.hyperseparability.sections import study_sections
from counterpoint.studies.runner import run
from counterpoint.studies.study import Cell, Claim, Result, Results
from counterpoint.types import Dataset, Split

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
    assert set(contrastive) == set(LAYERS)
    assert set(supervised) == {"hidden 1", "output"}
    assert (contrastive["output"]["width"], supervised["output"]["width"]) == (100, 10)
    assert contrastive["pixels"]["width"] == contrastive["PCA"]["width"] == 64


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
        assert (decision.verdict == "undecided") == (key not in alone), key


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


def net(bar: float, errors: list[float], **more: Any) -> dict[str, Any]:
    below = sum(error < bar for error in errors) / len(errors)
    mean = sum(errors) / len(errors)
    return {
        "multi-class": bar,
        "below": below,
        "error": mean,
        "balanced error": mean,
        "each": {"error": errors},
        **more,
    }


def made(contrastive: list[dict[str, Any]], supervised: list[dict[str, Any]]) -> Results:
    return Results(
        tuple(
            result(method, seed, {"super-classes": answer})
            for method, every in (("contrastive", contrastive), ("supervised", supervised))
            for seed, answer in enumerate(every)
        )
    )


def verdicts(results: Results) -> dict[str, str]:
    return {claim.key: claim.decide(results).verdict for claim in study_claims(PUBLISHED[0], "")}


def test_the_papers_own_numbers_hold() -> None:
    contrastive = [net(0.0140 + d, [0.001] * 93 + [0.2] * 7) for d in (0.0001, 0.0, -0.0001)]
    supervised = [net(0.0090 + d, [0.001] * 23 + [0.2] * 77) for d in (0.0, 0.0001, -0.0001)]
    found = verdicts(made(contrastive, supervised))
    expected = ("error-contrastive", "error-supervised", "error-order", "below-contrastive", "below-supervised")
    assert {found[key] for key in (*expected, "hyper-separable", "supervised-not", "contrast-of-shares")} == {"held"}


def test_the_opposite_does_not_hold() -> None:
    contrastive = [net(0.0090 + d, [0.001] * 23 + [0.2] * 77) for d in (0.0, 0.0001, -0.0001)]
    supervised = [net(0.0140 + d, [0.001] * 93 + [0.2] * 7) for d in (0.0001, 0.0, -0.0001)]
    found = verdicts(made(contrastive, supervised))
    for key in (
        "error-contrastive",
        "error-order",
        "hyper-separable",
        "supervised-not",
        "contrast-of-shares",
        "plain-errors",
    ):
        assert found[key] == "not held", key


def test_one_seed_decides_only_a_large_gap() -> None:
    results = made([net(0.014, [0.001] * 93 + [0.2] * 7)], [net(0.009, [0.001] * 23 + [0.2] * 77)])
    found = verdicts(results)
    assert found.pop("contrast-of-shares") == "held"
    assert set(found.values()) == {"undecided"}


def test_one_bar_for_both_is_the_smaller_multi_class_error() -> None:
    results = made([net(0.02, [0.005, 0.015])], [net(0.01, [0.005, 0.008])])
    assert below_common(results) == {"contrastive": {0: 0.5}, "supervised": {0: 1.0}}


def test_a_layer_is_held_against_h_of_its_own_net() -> None:
    answer = {"super-classes": net(0.02, [0.005, 0.015]), "layers": {"pixels": {"each": [0.01, 0.5]}}}
    results = Results((result("contrastive", 0, answer),))
    assert below_own(results, "contrastive", "pixels") == {0: 0.5}
    assert below_own(results, "contrastive", "output") == {}


def policies(wrong: Mapping[str, list[int]]) -> Results:
    def answer(policy: str) -> Result:
        cell = Cell({"part": PART, "images": "grey", "policy": policy}, "simclr", Digits(), "mlp")
        found = {"error": len(wrong[policy]) / 1000, "wrong": wrong[policy]}
        return Result(cell, Path("nowhere"), {"multi-class": found})

    return Results(tuple(answer(policy) for policy in wrong))


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


def test_principal_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 9, generator=draw)
    train, test = (torch.randn(rows, 6, generator=draw) @ mix + 5 for rows in (80, 20))
    ours = principal(train, test, 4)
    fitted = PCA(4).fit(train.numpy())
    for found, rows in zip(ours, (train, test), strict=True):
        theirs = torch.as_tensor(fitted.transform(rows.numpy())).flip(1)  # ours come with the largest last
        assert torch.allclose(found.abs(), theirs.abs().float(), atol=1e-3)
    assert principal(train, test, 400)[0].shape == (80, 9)


def claim_of(key: str) -> Claim:
    return next(claim for claim in study_claims(None, "") if claim.key == key)


def test_attributes_live_in_h_where_every_layer_below_reads_worse() -> None:
    def layered(pixels: float, hidden: float) -> Results:
        every = [
            result(
                "contrastive",
                seed,
                {
                    "super-classes": net(0.02, [0.01 + seed / 1000]),
                    "layers": {"pixels": {"balanced error": pixels}, "hidden 1": {"balanced error": hidden}},
                },
            )
            for seed in range(3)
        ]
        return Results(tuple(every))

    assert claim_of("not-below").decide(layered(0.2, 0.1)).verdict == "held"
    assert claim_of("not-below").decide(layered(0.2, 0.001)).verdict == "not held"


@pytest.mark.slow
def test_grids_run_at_smoke_scale(tmp_path: Path) -> None:
    study = hyperseparability(scale="smoke", grids=True)
    few = replace(study, cells=tuple(c for c in study.cells if c.place.get("policy") in ("elastic", "rotate")))
    results = run(few, store=tmp_path, quiet=True)
    assert [result.error for result in results] == [""] * 3
    assert set(results.at(policy="elastic", images="grey")[0].found) == {"multi-class", "invariance", "readability"}
    assert "transformations" in [section.key for section in study_sections(results)]


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
