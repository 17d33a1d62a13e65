import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics import confusion_matrix as sk_confusion

from counterpoint.errors import CounterpointError, RunError, ShapeError
from counterpoint.evaluation import Budget, Evaluation, bootstrap, confusion_matrix, evaluate, top_k_accuracy
from counterpoint.evaluation.classification import balanced_accuracy
from counterpoint.evaluation.resampling import resamples, wilson
from counterpoint.types import Embeddings

QUICK = Budget(few_label_draws=2, draws=100, structured_draws=40)


def made(n, seed, *, labels=True, count=6, width=16, z=True, encoder="learned"):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(count, width, generator=torch.Generator().manual_seed(99))
    y = torch.arange(n) % count
    h = centres[y] + 0.7 * torch.randn(n, width, generator=generator)
    return Embeddings(
        h,
        torch.arange(n) + 1000,
        z=h[:, : width // 2] if z else None,
        labels=y if labels else None,
        classes=tuple("abcdefghijkl"[:count]) if labels else (),
        encoder=encoder,
    )


@pytest.fixture(scope="module")
def full():
    train, test = made(150, 0), made(80, 1)
    pixels = made(150, 2, z=False, encoder="pixels"), made(80, 3, z=False, encoder="pixels")
    views = made(80, 1), made(80, 5)
    return evaluate(
        train, test, baselines={"pixels": pixels}, test_views=views, source="toy", split="test", budget=QUICK
    )


def test_every_score_comes_with_an_interval(full):
    names = {measure.name for measure in full.measures["learned"]}
    wanted = (
        "knn_accuracy linear_probe linear_probe_top5 linear_probe_balanced "
        "few_label_1_per_class recall_at_1 recall_at_10 map_at_r mrr auroc eer nmi "
        "ari overlap d_prime class_alignment view_alignment uniformity effective_rank rank_me alpha_req dimensions "
        "participation effective_rank_z uniformity_z"
    )
    assert names >= set(wanted.split())
    groups = {"classification", "few labels", "retrieval", "clusters", "geometry"}
    for measure in full.measures["learned"] + full.measures["pixels"]:
        assert measure.low <= measure.high, measure
        assert measure.group in groups
        assert any(word in measure.note for word in ("bootstrap", "Student", "influence")), measure
    assert {m.name for m in full.measures["pixels"]}.isdisjoint({"effective_rank_z", "view_alignment"})
    assert full.score("knn_accuracy").value > 0.8
    with pytest.raises(CounterpointError, match="did you mean 'linear_probe'"):
        full.score("linear_prob")
    assert "kNN accuracy" in str(full.table())


def test_json_has_the_schema_and_comes_back(full):
    raw = json.loads(full.to_json())
    keys = "version source split train_rows test_rows classes super_classes settings measures details digest"
    assert list(raw) == keys.split()
    learned = raw["details"]["learned"]
    keys = "confusion per_class predicted recalled spectrum_h spectrum_z similarity roc few_label map"
    assert set(learned) >= set(keys.split())
    assert sum(map(sum, learned["confusion"])) == 80 == len(learned["predicted"]["sample"])
    kept = learned["predicted"]
    assert kept["sample"][0] == 1000
    for name, column in {"knn_accuracy": "nearest", "linear_probe": "prediction"}.items():
        hits = [a == b for a, b in zip(kept["label"], kept[column], strict=True)]
        assert full.score(name).value == pytest.approx(sum(hits) / len(hits)), "differences are paired by these"
    recalled = learned["recalled"]
    assert len(recalled["sample"]) == len(recalled["hit"]) == 80
    assert full.score("recall_at_1").value == pytest.approx(sum(recalled["hit"]) / 80)
    assert len(learned["similarity"]["edges"]) == 201
    assert set(learned["map"]) == {"method", "sample", "x", "y", "label", "cluster"}
    assert {len(learned["map"][axis]) for axis in ("sample", "x", "y", "label", "cluster")} == {80}
    assert raw["details"]["pixels"]["spectrum_z"] is None
    assert "map" not in raw["details"]["pixels"]
    again = Evaluation.from_json(full.to_json())
    assert again.measures == full.measures
    assert again.to_json() == full.to_json()


def test_damaged_scores_are_a_sentence(full):
    with pytest.raises(RunError, match="cannot be read"):
        Evaluation.from_json("{")
    with pytest.raises(RunError, match="cannot be read"):
        Evaluation.from_json("{}")
    with pytest.raises(RunError, match="version 9"):
        Evaluation.from_json(full.to_json().replace('"version": 1', '"version": 9'))


def test_table_fits_a_terminal(full):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(replace(full, measures={**full.measures, "untrained": full.measures["pixels"]}).table())
    console.file.close()
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "kNN accuracy" in text
    assert "untrained" in text


def test_same_seed_same_scores(full):
    train, test = made(150, 0), made(80, 1)
    again = evaluate(train, test, budget=replace(QUICK, map=None))
    for measure in again.measures["learned"]:
        assert measure == full.score(measure.name)


def test_without_labels_the_rest_still_comes():
    found = evaluate(made(60, 0, labels=False), made(40, 1, labels=False), budget=QUICK)
    names = {measure.name for measure in found.measures["learned"]}
    assert names >= {"uniformity", "effective_rank", "rank_me", "alpha_req", "dimensions", "participation"}
    assert names.isdisjoint({"knn_accuracy", "linear_probe", "class_alignment", "auroc"})
    assert found.details["learned"]["map"]["label"] is None
    assert len(set(found.details["learned"]["map"]["cluster"])) == round(
        (len(found.details["learned"]["map"]["cluster"]) / 2) ** 0.5
    )
    assert "no labels" in found.details["learned"]["notes"][0]


def test_odd_labels_do_not_crash():
    train, test = made(60, 0), made(40, 1)
    labels = test.labels.clone()
    labels[:10] = -1
    absent = replace(train, labels=torch.where(train.labels == 2, -1, train.labels))
    found = evaluate(absent, replace(test, labels=labels), budget=QUICK)
    assert len(found.details["learned"]["predicted"]["label"]) == 30
    assert any("1 test classes have no train rows" in note for note in found.details["learned"]["notes"])
    singles = replace(test.take(torch.arange(6)), labels=torch.arange(6))
    found = evaluate(train, singles, budget=QUICK)
    assert any("No class has two" in note for note in found.details["learned"]["notes"])
    one = replace(test, labels=test.labels * 0)
    evaluate(replace(train, labels=train.labels * 0), one, budget=QUICK)
    evaluate(train, test.take(torch.arange(1)), budget=QUICK)
    flat = replace(test, h=test.h * 0 + 1, z=None)
    assert evaluate(replace(train, h=train.h * 0 + 1, z=None), flat, budget=QUICK).score("knn_accuracy").value < 0.5


def test_super_classes_are_scored():
    super_of = torch.tensor([0, 0, 0, 1, 1, 1])
    train, test = (replace(made(n, n), super_of=super_of, super_classes=("x", "y")) for n in (90, 60))
    found = evaluate(train, test, budget=replace(QUICK, map=None, few_label_draws=0))
    assert found.score("linear_probe_super").value >= found.score("linear_probe").value


def test_errors_are_sentences():
    train, test = made(30, 0), made(20, 1)
    with pytest.raises(ShapeError, match="no rows"):
        evaluate(train, test.take(torch.arange(0)))
    with pytest.raises(ShapeError, match="width 16 and test rows of width 8"):
        evaluate(train, made(20, 1, width=8))
    with pytest.raises(ShapeError, match="same images"):
        evaluate(train, test, baselines={"pixels": (train, train)})
    broken = replace(test, h=test.h.clone())
    broken.h[3, 1] = torch.nan
    with pytest.raises(ShapeError, match="row 3 of the test embeddings of 'learned' is not finite"):
        evaluate(train, broken)


def test_confusion_and_balanced_accuracy_equal_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    truth, said = (torch.randint(0, 5, (200,), generator=generator) for _ in range(2))
    assert confusion_matrix(truth, said, 5).tolist() == sk_confusion(truth, said).tolist()
    estimate = balanced_accuracy(truth, said)
    assert estimate.value == pytest.approx(balanced_accuracy_score(truth, said))
    assert estimate.low < estimate.value < estimate.high


def test_top_k_breaks_ties_by_index():
    scores = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [2.0, 1.0, 3.0]])
    labels = torch.tensor([1, 1, 1])
    assert top_k_accuracy(scores, labels, 1) == pytest.approx(1 / 3)
    assert top_k_accuracy(scores, labels, 2) == pytest.approx(2 / 3)
    assert top_k_accuracy(scores, labels, 3) == 1


def test_resamples_do_not_depend_on_the_block():
    whole = torch.cat(list(resamples(30, 20, 0)))
    assert torch.equal(whole, torch.cat(list(resamples(30, 20, 0, cells=100))))
    assert (whole.sum(1) == 30).all()


def test_bootstrap_interval_covers_at_about_its_rate():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for seed in range(100):
        hits = (torch.rand(200, generator=generator) < 0.7).double()
        estimate = bootstrap(hits, draws=300, seed=seed)
        inside += estimate.low <= 0.7 <= estimate.high
    assert 88 <= inside <= 99


def test_bootstrap_is_as_wide_as_the_normal_interval():
    hits = (torch.arange(1000) % 5 == 0).double()
    estimate = bootstrap(hits)
    reach = 1.96 * (0.2 * 0.8 / 1000) ** 0.5
    assert estimate.value == pytest.approx(0.2)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(reach, rel=0.15)
    ratio = bootstrap(hits, weight=torch.arange(1000).double())
    assert ratio.value == pytest.approx(float((hits * torch.arange(1000)).sum() / torch.arange(1000).sum()))


def test_wilson_is_honest_at_the_edges():
    assert wilson(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert wilson(10, 10).high == 1.0
