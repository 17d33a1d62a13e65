"""Every score that the data allows, of a frozen encoder and of its baselines, by one protocol."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.evaluation.arrays import features, sampled
from counterpoint.evaluation.classification import balanced_accuracy, confusion_matrix, top_k_hits
from counterpoint.evaluation.clusters import cluster_agreement, k_means
from counterpoint.evaluation.geometry import alignment_rows, class_alignment_estimate, uniformity_estimate
from counterpoint.evaluation.maps import Method, embedding_map
from counterpoint.evaluation.neighbours import knn_predict
from counterpoint.evaluation.pairs import sample_pairs, separation
from counterpoint.evaluation.probe import few_label, linear_probe
from counterpoint.evaluation.ranking import RECALLS, retrieval
from counterpoint.evaluation.resampling import Estimate, Measure, bootstrap, wilson
from counterpoint.evaluation.result import Evaluation
from counterpoint.evaluation.spectra import spectra
from counterpoint.random import Streams
from counterpoint.types import Embeddings

__all__ = ["Budget", "evaluate", "usual_neighbours"]

BOOTSTRAP = "bootstrap over test rows"


@dataclass(frozen=True)
class Budget:
    """How much is computed; what is above it is sampled, and the settings say so.

    Args:
        train_rows, test_rows: most rows used of each split.
        neighbours: k of the neighbour classifier; None: 200 (the field's habit, made for 50,000 rows and more), or a
            hundredth of the train rows where that is fewer, but at least 5.
        temperature: of its votes.
        few_label_draws: subsets for each setting; 0 leaves the few-label probes out.
        pairs: same-class pairs, and as many others.
        compared: most rows that are compared with one another (retrieval, uniformity, clusters).
        draws: bootstrap resamples of per-row scores.
        structured_draws: of pairs, clusters and class alignment.
        map: `tsne`, `pca`, `umap`, or None for no map.
        map_rows: most rows on the map.
    """

    train_rows: int = 200_000
    test_rows: int = 20_000
    neighbours: int | None = None
    temperature: float = 0.1
    few_label_draws: int = 5
    pairs: int = 100_000
    compared: int = 10_000
    draws: int = 1000
    structured_draws: int = 200
    map: Method | None = "tsne"
    map_rows: int = 2000


class _Found:
    """Collects what one encoder's evaluation finds; a value that is no number becomes a note."""

    def __init__(self) -> None:
        self.measures: list[Measure] = []
        self.details: dict[str, Any] = {}
        self.notes: list[str] = []

    def add(
        self,
        name: str,
        label: str,
        estimate: Estimate | None,
        better: Literal["higher", "lower", ""],
        group: str,
        note: str,
    ) -> None:
        if estimate is None or not all(map(isfinite, (estimate.value, estimate.low, estimate.high))):
            self.notes.append(f"{label} is undefined for these rows and left out.")
            return
        self.measures.append(Measure(name, label, estimate.value, estimate.low, estimate.high, better, group, note))


def _checked(name: str, train: Embeddings, test: Embeddings) -> None:
    for split, value in (("train", train), ("test", test)):
        rows = features(value)
        if len(rows) == 0:
            raise ShapeError(f"the {split} embeddings of {name!r} have no rows; there is nothing to evaluate")
        finite = rows.isfinite().all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0, 0])
            raise ShapeError(
                f"row {row} of the {split} embeddings of {name!r} is not finite; the encoder diverged, "
                "so train it again with a smaller learning rate"
            )
    if train.h.shape[1] != test.h.shape[1]:
        raise ShapeError(
            f"{name!r} has train rows of width {train.h.shape[1]} and test rows of width {test.h.shape[1]}; "
            "both must come from one encoder"
        )


def _known(value: Embeddings) -> Bool[Tensor, " row"]:
    return torch.zeros(len(value), dtype=torch.bool) if value.labels is None else (value.labels >= 0).cpu()


def usual_neighbours(rows: int) -> int:
    """How many neighbours vote among so many train rows: 200, or a hundredth of them, but at least 5."""
    return min(200, max(5, rows // 100), max(1, rows))


def _neighbours(budget: Budget, rows: int) -> int:
    return usual_neighbours(rows) if budget.neighbours is None else min(budget.neighbours, rows)


def _classification(
    found: _Found, train: Embeddings, test: Embeddings, classes: int, budget: Budget, seed: int
) -> None:
    train, test = train.labelled(), test.labelled()
    assert test.labels is not None
    truth = test.labels
    note = f"{BOOTSTRAP}, {budget.draws} resamples"

    def mean(hits: Tensor) -> Estimate:
        return bootstrap(hits.double(), draws=budget.draws, seed=seed)

    nearest = knn_predict(train, test, k=_neighbours(budget, len(train)), temperature=budget.temperature)
    found.add("knn_accuracy", "kNN accuracy", mean(nearest == truth), "higher", "classification", note)

    probe = linear_probe(train, test, seed=seed)
    said = f"C = {probe.c:.3g}; {note}"
    found.add(
        "linear_probe", "linear probe accuracy", mean(probe.prediction == truth), "higher", "classification", said
    )
    if classes > 5:
        hits = top_k_hits(probe.logits, truth, 5)
        found.add("linear_probe_top5", "linear probe top-5", mean(hits), "higher", "classification", said)
    balanced = balanced_accuracy(truth, probe.prediction, draws=budget.draws, seed=seed)
    found.add(
        "linear_probe_balanced", "linear probe balanced", balanced, "higher", "classification", f"mean recall; {said}"
    )
    if test.super_of is not None and len(test.super_of) >= classes:
        hits = test.super_of[probe.prediction] == test.super_of[truth]
        found.add("linear_probe_super", "linear probe super-class", mean(hits), "higher", "classification", said)

    table = confusion_matrix(truth, probe.prediction, classes)
    found.details["confusion"] = table.tolist()
    per_class: list[dict[str, Any]] = []
    for index, (hits, rows) in enumerate(zip(table.diagonal().tolist(), table.sum(1).tolist(), strict=True)):
        if rows:
            share = wilson(hits, rows)
            name = test.classes[index] if index < len(test.classes) else str(index)
            per_class.append({"class": name, "accuracy": share.value, "low": share.low, "high": share.high, "n": rows})
    found.details["per_class"] = per_class
    found.details["predicted"] = {
        "sample": test.sample.tolist(),
        "label": truth.tolist(),
        "prediction": probe.prediction.tolist(),
        "nearest": nearest.tolist(),
    }
    if budget.few_label_draws:
        found.details["few_label"] = []
        for few in few_label(train, test, draws=budget.few_label_draws, seed=seed):
            name = "few_label_" + few.setting.replace("%", "pct").replace(" ", "_")
            said = (
                f"{few.rows} labels, {few.draws} draws, Student's t interval of their mean; the test set is held fixed"
            )
            found.add(name, few.setting, Estimate(few.mean, few.low, few.high), "higher", "few labels", said)
            found.details["few_label"].append(
                {k: v for k, v in asdict(few).items() if k != "rows"} | {"rows": few.rows}
            )


def _relations(found: _Found, test: Embeddings, budget: Budget, seed: int) -> None:
    test = test.labelled()
    assert test.labels is not None
    sizes = test.labels.unique(return_counts=True)[1]
    if int(sizes.max()) < 2:
        found.notes.append("No class has two test rows: retrieval, verification and overlap are left out.")
        return
    ranked = retrieval(test, rows=budget.compared, seed=seed)
    note = f"each of {len(ranked.query)} test rows against the other {ranked.gallery - 1}; bootstrap over queries"
    for k in RECALLS:
        if k < ranked.gallery:
            value = bootstrap(ranked.recall[k], draws=budget.draws, seed=seed)
            found.add(f"recall_at_{k}", f"recall@{k}", value, "higher", "retrieval", note)
    hit = ranked.recall[1].int().tolist()
    found.details["recalled"] = {"sample": test.sample[ranked.query].tolist(), "hit": hit}
    value = bootstrap(ranked.average_precision, draws=budget.draws, seed=seed)
    found.add("map_at_r", "MAP@R", value, "higher", "retrieval", note)
    value = bootstrap(ranked.reciprocal_rank, draws=budget.draws, seed=seed)
    found.add("mrr", "mean reciprocal rank", value, "higher", "retrieval", note)

    drawn = sample_pairs(test, pairs=budget.pairs, stream=Streams(seed).at("pairs"))
    if drawn is None:
        found.notes.append("The test rows have one class: verification, overlap and clusters are left out.")
        return
    split = separation(drawn, len(test), draws=budget.structured_draws, seed=seed)
    how = "all pairs of test rows" if split.every else f"{budget.pairs:,} pairs of each kind"
    note = f"{how}; {BOOTSTRAP} that weighs pairs by both rows, {budget.structured_draws} resamples, bias removed"
    found.add("auroc", "same-class AUROC", split.auroc, "higher", "retrieval", note)
    found.add("eer", "equal error rate", split.equal_error_rate, "lower", "retrieval", note)
    found.details["similarity"] = {
        "edges": split.edges.tolist(),
        "intra": split.intra.tolist(),
        "inter": split.inter.tolist(),
    }
    found.details["roc"] = {"fpr": split.curve.fpr.tolist(), "tpr": split.curve.tpr.tolist()}

    clusters = cluster_agreement(test, rows=budget.compared, draws=budget.structured_draws, seed=seed)
    said = f"{clusters.clusters} clusters of {len(clusters.row)} rows; {BOOTSTRAP}, clusters held fixed, bias removed"
    found.add("nmi", "NMI of k-means", clusters.nmi, "higher", "clusters", said)
    found.add("ari", "ARI of k-means", clusters.ari, "higher", "clusters", said)
    found.add("overlap", "intra/inter overlap", split.overlap, "lower", "geometry", note)
    found.add("d_prime", "d-prime", split.d_prime, "higher", "geometry", note)


def _geometry(
    found: _Found, test: Embeddings, views: tuple[Embeddings, Embeddings] | None, budget: Budget, seed: int
) -> None:
    influence = "normal interval from each row's influence (delta method)"
    for layer in ("h", "z"):
        rows = test.h if layer == "h" else test.z
        if rows is None:
            found.details["spectrum_z"] = None
            continue
        tail = "" if layer == "h" else "_z"
        of = f" of {layer}"
        if bool(_known(test).any()):
            assert test.labels is not None
            value = class_alignment_estimate(rows, test.labels, draws=budget.structured_draws, seed=seed)
            said = f"all same-class pairs; {BOOTSTRAP}, {budget.structured_draws} resamples"
            found.add(f"class_alignment{tail}", f"class alignment{of}", value, "lower", "geometry", said)
        if views is not None:
            left, right = (v.h if layer == "h" else v.z for v in views)
            if left is not None and right is not None:
                value = bootstrap(alignment_rows(left, right), draws=budget.draws, seed=seed)
                said = f"two views of each of {len(left)} images; bootstrap over images"
                found.add(f"view_alignment{tail}", f"view alignment{of}", value, "lower", "geometry", said)
        if len(rows) < 2:
            found.notes.append("There is one test row: uniformity and spectrum are left out.")
            found.details[f"spectrum_{layer}"] = []
            continue
        value = uniformity_estimate(rows, rows=budget.compared, seed=seed)
        compared = f"t = 2, {min(len(rows), budget.compared)} rows; {influence}"
        found.add(f"uniformity{tail}", f"uniformity{of}", value, "lower", "geometry", compared)
        axes = spectra(rows, seed=seed)
        found.details[f"spectrum_{layer}"] = axes.singular.tolist()
        width = rows.shape[1]
        last = min(100, len(axes.singular) // 2, int((axes.singular > 0).sum()))
        said = f"centred unit rows, width {width}; {influence}"
        found.add(f"effective_rank{tail}", f"effective rank{of}", axes.effective_rank, "", "geometry", said)
        raw = f"uncentred rows as they are, width {width}; {influence}"
        found.add(f"rank_me{tail}", f"RankMe{of}", axes.rank_me, "higher", "geometry", raw)
        fit = f"ranks 4 to {last}; near 1 is favourable; {influence}"
        found.add(f"alpha_req{tail}", f"alpha-ReQ{of}", axes.alpha_req, "", "geometry", fit)
        above = f"singular values of the covariance above 1e-4 of the largest, of {width}; {influence} on each ratio"
        found.add(f"dimensions{tail}", f"dimensions{of}", axes.dimensions, "", "geometry", above)
        found.add(f"participation{tail}", f"participation{of}", axes.participation, "", "geometry", said)


def _map(found: _Found, test: Embeddings, method: Method, budget: Budget, seed: int) -> None:
    if len(test) < 2:
        found.details["map"] = None
        return
    shown = embedding_map(test, method=method, rows=budget.map_rows, seed=seed)
    kept = test.take(shown.row)
    known = _known(kept)
    # Without labels: about as many clusters as the root of half the rows, at most ten.
    usual = min(10, max(2, round((len(kept) / 2) ** 0.5)))
    count = usual if kept.labels is None or not bool(known.any()) else len(kept.labels[known].unique())
    found.details["map"] = {
        "method": shown.method,
        "sample": kept.sample.tolist(),
        "x": [round(v, 4) for v in shown.xy[:, 0].tolist()],
        "y": [round(v, 4) for v in shown.xy[:, 1].tolist()],
        "label": None if kept.labels is None else kept.labels.tolist(),
        "cluster": k_means(kept, count, seed=seed).tolist(),
    }


def _settings(train: Embeddings, test: Embeddings, budget: Budget, seed: int, of: tuple[int, int]) -> dict[str, str]:
    def rows(kept: int, every: int) -> str:
        return f"all {every:,}" if kept == every else f"{kept:,} drawn from {every:,}"

    return {
        "features": "h, frozen encoder, test transform, float32; h is the layer before the projector",
        "rows": f"train {rows(len(train), of[0])}, test {rows(len(test), of[1])}; rows without a label count only "
        "where no label is needed",
        "kNN": f"cosine, k = {_neighbours(budget, int(_known(train).sum()))}, "
        f"votes weighted by exp(c / {budget.temperature:g}), ties to the lowest class index",
        "linear probe": "logistic regression by full-batch L-BFGS on features standardised with train statistics; C by "
        "accuracy on a fifth of at most 10,000 train rows, from decades 1e-6 to 1e5, warm-started, until three in a "
        "row do not help (of equal accuracies the likeliest), then half a decade to both sides; the final fit at that "
        "C uses all train rows",
        "few labels": f"the same probe on class-balanced subsets, C = 10 / width, {budget.few_label_draws} draws each",
        "retrieval": f"test rows against the other test rows, cosine, at most {budget.compared:,} rows",
        "pairs": f"cosine of all test pairs, or of {budget.pairs:,} same-class and as many other pairs; 200 bins on "
        "[-1, 1]",
        "clusters": "k-means on unit rows, as many clusters as classes, best of three starts",
        "uniformity": f"t = 2, unit rows, distinct pairs of at most {budget.compared:,} rows",
        "spectrum": "covariance of unit test rows in float64; RankMe from uncentred rows, at most 25,600",
        "intervals": "95 %; each score's note says how: percentile bootstrap over test rows, influence of rows, or "
        "spread over draws; per-class accuracy by Wilson",
        "seed": str(seed),
    }


def _silent(_: str) -> None:
    pass


def evaluate(
    train: Embeddings,
    test: Embeddings,
    *,
    baselines: Mapping[str, tuple[Embeddings, Embeddings]] | None = None,
    seed: int = 0,
    test_views: tuple[Embeddings, Embeddings] | None = None,
    source: str = "",
    split: str = "test",
    progress: Callable[[str], None] | None = None,
    budget: Budget | None = None,
) -> Evaluation:
    """Score a frozen encoder and its baselines by one protocol, with a 95 % interval for every score.

    What the data does not allow is left out with a sentence in the details' `notes`: without labels there are
    uniformity, spectrum and the map; a class without train rows is never predicted and counts as wrong. Nothing is
    trained but linear probes, and no matrix of rows x rows exists.

    Args:
        train: of the learned encoder.
        test: of the learned encoder.
        baselines: by name (`pixels`, `untrained`), the same images seen by another encoder; no map is made of them.
        seed: of every sample, split and resampling; the same for all encoders.
        test_views: two views of the same images by the learned encoder, for the alignment of views.
        source: what is evaluated, for the record.
        split: which part of it is the test.
        progress: told what is being computed.
        budget: how much is computed.

    Raises:
        ShapeError: no rows, rows that are not finite, or widths that differ.
    """
    budget = budget or Budget()
    tell = progress or _silent
    everyone = {"learned": (train, test), **(baselines or {})}
    for name, (seen, held) in everyone.items():
        _checked(name, seen, held)
        if len(seen) != len(train) or len(held) != len(test):
            raise ShapeError(
                f"{name!r} has {len(seen)} train and {len(held)} test rows, the learned encoder {len(train)} and "
                f"{len(test)}; baselines must see the same images"
            )
    streams = Streams(seed)
    keep_train = sampled(len(train), budget.train_rows, streams.at("train rows"))
    keep_test = sampled(len(test), budget.test_rows, streams.at("test rows"))
    measures: dict[str, tuple[Measure, ...]] = {}
    details: dict[str, Mapping[str, Any]] = {}
    settings: dict[str, str] = {}
    for name, (seen, held) in everyone.items():
        seen = seen if len(keep_train) == len(seen) else seen.take(keep_train)
        held = held if len(keep_test) == len(held) else held.take(keep_test)
        if name == "learned":
            settings = _settings(seen, held, budget, seed, (len(train), len(test)))
        found = _Found()
        in_train, in_test = _known(seen), _known(held)
        if bool(in_test.any()) and bool(in_train.any()):
            assert seen.labels is not None
            assert held.labels is not None
            tell(f"{name}: neighbours and probes")
            highest = int(max(seen.labels.max(), held.labels.max())) + 1
            _classification(found, seen, held, max(highest, len(held.classes)), budget, seed)
            absent = set(held.labels[in_test].tolist()) - set(seen.labels[in_train].tolist())
            if absent:
                found.notes.append(f"{len(absent)} test classes have no train rows; all their rows count as wrong.")
        else:
            found.notes.append("There are no labels: only what needs none is scored.")
        if bool(in_test.any()):
            tell(f"{name}: retrieval, pairs and clusters")
            _relations(found, held, budget, seed)
        tell(f"{name}: geometry")
        _geometry(found, held, test_views if name == "learned" else None, budget, seed)
        if name == "learned" and budget.map is not None:
            tell(f"{name}: map")
            _map(found, held, budget.map, budget, seed)
        found.details["notes"] = found.notes
        measures[name], details[name] = tuple(found.measures), found.details
    return Evaluation(
        source, split, len(train), len(test), test.classes, test.super_classes, settings, measures, details
    )
