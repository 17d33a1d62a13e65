"""Pseudo-labels: SimLAP and SupCon on the clusters of a SimCLR run's features, against SimCLR and against true labels.

What it costs at full scale, with `conv` on 16,350 images of 32 pixels and four sets that are transferred to: 15 runs of
200 s of one core and 60 s to read each, 1.1 hours; 9 of the runs are those of `simlap-transfer`, after which it is half
an hour. k-means with 109 clusters takes 10 s, once for each run that learns from them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from counterpoint.app.train import with_unlabelled
from counterpoint.errors import RecipeError
from counterpoint.evaluation.clusters import agreement
from counterpoint.report.exhibits import Section
from counterpoint.run import Run
from counterpoint.serving import PseudoLabelled, kept_labels
from counterpoint.studies.cells import folder_of
from counterpoint.studies.league.make import Planned
from counterpoint.studies.ruled import BLIND
from counterpoint.studies.simlap.claims import PAPER
from counterpoint.studies.simlap.compared import (
    MEASURES,
    Line,
    best_of,
    better,
    differences,
    floors,
    looked_at,
    sentence,
    side_by_side,
    told,
)
from counterpoint.studies.simlap.judged import floors_of, judged_on
from counterpoint.studies.simlap.page import table_of, title_of
from counterpoint.studies.simlap.runs import dials_said, runs, sized
from counterpoint.studies.statistics import estimate
from counterpoint.studies.study import SEEDS, Cell, Claim, Results, Scale, Study, Trained
from counterpoint.studies.transfer import Target, Transfer
from counterpoint.types import Dataset, Source

__all__ = ["ClusterLabels", "pseudo_cells", "pseudo_claims", "simlap_pseudo_labels"]

TEACHER = "simclr"
LEARNERS = ("supcon", "simlap")
LABELS = {"none": "no labels", "true": "true labels", "clusters": "clusters"}
TABLE = f"{PAPER}, the table of kNN by source of labels (ImageNet, ResNet-50, 1,000 clusters)"
AT = {"labels": "true", "method": "simlap"}


def simlap_pseudo_labels(
    *,
    source: Source | None = None,
    scale: Scale = "full",
    seeds: Sequence[int] | None = None,
    encoder: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    clusters: int | str | None = None,
    classes: str | Iterable[str] = (),
    targets: str | Sequence[Target] = "",
) -> Study:
    """SimLAP and SupCon on k-means clusters of SimCLR's features, beside SimCLR itself and true labels.

    Args:
        source: labelled images; the embedded digits at smoke scale where None.
        scale: `full`, `small` (a quarter of the budget) or `smoke` (an epoch of few images, of an mlp).
        seeds: of the runs; three at full scale, else one, where None.
        encoder: that all share; `conv`, or `mlp` at smoke scale, where None.
        images: trained on, equally many of each class; None: all.
        epochs: of a method of two views of an image; others get as many views.
        clusters: labels that are made; None: as many as there are classes, as in the paper.
        classes: names of classes, super-classes or subsets that are kept, apart by `;`; none: all.
        targets: data that are transferred to, as `cifar10=FOLDER,emnist:letters=FOLDER`.

    Raises:
        CounterpointError: an option that is none, or no data.
    """
    plan = sized(source, scale=scale, encoder=encoder, images=images, epochs=epochs, classes=classes)
    judges = judged_on("simlap-pseudo-labels", targets, scale)
    number = len(plan.dataset.classes) if clusters is None else clusters
    most = len(plan.dataset.train)
    if not isinstance(number, int) or not 2 <= number <= most:
        raise RecipeError(f"simlap-pseudo-labels: clusters is {number!r}; give 2 up to the number of images, {most:,}")
    seeds = SEEDS[scale] if seeds is None else tuple(seeds)
    c = 0.01 if scale == "smoke" else None
    about = About(tuple(target.label for target in judges), number)
    return Study(
        name="simlap-pseudo-labels",
        title=f"SimLAP on pseudo-labels of {plan.dataset.name}",
        about=(
            "Arbitrary pairs need labels. Where nobody gave any, clusters of the features of a method that needs none "
            "can take their place. Does SimLAP make more of such labels than SupCon, and what do true labels add?",
            f"A run of SimCLR with the encoder `{plan.encoder}` on {len(plan.dataset.train):,} images of "
            f"{plan.dataset.name} comes first. Its features h of the training images, at length one, fall into "
            f"{number:,} clusters by k-means (the best of three starts); the paper has 1,000 of ImageNet's, as many as "
            "there are classes. Each seed has its own SimCLR run, whose clusters SimLAP and SupCon of that seed learn "
            "from, with encoders that begin anew. The labels are kept with the run that learned from them, and no true "
            "label has a part in them.",
            f"All see as many views as {plan.epochs:g} epochs of two views have, in batches of {plan.batch}; what "
            "SimCLR took first is not counted against those that learn from it. The dials are the same with true "
            "labels and with clusters.",
            f"Judged by ten neighbours and a linear probe of h on {', '.join(about.targets)}, which had no part in "
            "training.",
            dials_said(plan, (TEACHER, *LEARNERS), judges),
            BLIND,
        ),
        source=PAPER,
        cells=pseudo_cells(plan, number, seeds),
        evaluators=(Transfer(judges, c=c), *floors_of(partial(Transfer, judges, c=c), AT, seeds), ClusterLabels()),
        claims=pseudo_claims(about),
        sections=partial(pseudo_sections, about=about),
    )


# ---------------------------------------------------------------- cells


def pseudo_cells(plan: Planned, clusters: int, seeds: Sequence[int]) -> tuple[Cell, ...]:
    """SimCLR, those that learn from true labels, and those that learn from the clusters of SimCLR's run; seed by seed.

    The source of the last names the folder of the run whose clusters it takes, and with it all that this run is.

    Args:
        plan: data and sizes.
        clusters: labels that are made.
        seeds: of the runs, and of k-means.
    """
    made: list[Cell] = []
    for seed in seeds:
        teacher, *_ = runs(plan, (TEACHER,), (seed,), place={"labels": "none"})
        source = PseudoLabelled(plan.source, folder_of(teacher).name, clusters, seed)
        made += [teacher, *runs(plan, LEARNERS, (seed,), place={"labels": "true"})]
        made += [
            replace(cell, source=source, after=teacher)
            for cell in runs(plan, LEARNERS, (seed,), place={"labels": "clusters"})
        ]
    return tuple(made)


# ---------------------------------------------------------------- what the clusters are


@dataclass(frozen=True)
class ClusterLabels:
    """The labels that a run learned from, against the true ones.

    The answer: `nmi` and `ari` of all training images whose class is known, `used`, clusters that have images, and
    `smallest`, `median` and `largest`, images of a cluster.

    See also: `evaluation.cluster_agreement`, which makes clusters.
    """

    name = "clusters"

    def wanted(self, cell: Cell) -> bool:
        """Runs that learned from clusters."""
        return isinstance(cell.source, PseudoLabelled)

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises CheckpointError where the labels are not of these images."""
        dataset: Dataset = trained.dataset
        learned = with_unlabelled(dataset.train, dataset)
        cluster = kept_labels(Run(trained.folder).labels, learned)
        count = cluster.bincount()
        count = count[count > 0]
        sizes = {"smallest": int(count.min()), "median": int(count.median()), "largest": int(count.max())}
        found: dict[str, Any] = {"used": len(count), **sizes}
        if learned.labels is not None:
            nmi, ari = agreement(_table(cluster, learned.labels)[None])
            found |= {"nmi": float(nmi), "ari": float(ari)}
        return found


def _table(cluster: Tensor, label: Tensor) -> Tensor:
    """Images of each cluster and class."""
    known = label >= 0
    cluster, label = cluster[known], label[known]
    width = int(label.max()) + 1
    size = (int(cluster.max()) + 1) * width
    return (cluster * width + label).bincount(minlength=size).view(-1, width).to(torch.float64)


# ---------------------------------------------------------------- claims


@dataclass(frozen=True, eq=False)
class About:
    """What the page needs to know of the study beside its results.

    Args:
        targets: names of the data that are transferred to.
        clusters: labels that were made.
    """

    targets: tuple[str, ...]
    clusters: int

    def line(self, method: str, labels: str) -> Line:
        """Of a method by its labels."""
        told = "" if labels == "none" else f" on {LABELS[labels]}"
        return Line(f"{title_of(method)}{told}", LABELS[labels], {"labels": labels, "method": method})

    @property
    def lines(self) -> list[Line]:
        """All, in the order of the page."""
        learners = [self.line(method, labels) for labels in ("clusters", "true") for method in LEARNERS]
        return [self.line(TEACHER, "none"), *learners]


def pseudo_claims(about: About) -> tuple[Claim, ...]:
    """All claims; those with figures are the paper's."""
    simclr, supcon, simlap, supcon_true, simlap_true = about.lines
    return (
        better(
            "simlap-above-supcon",
            "On pseudo-labels SimLAP is better than SupCon.",
            simlap,
            supcon,
            where=TABLE,
            published="CIFAR-10 82.2 % against 79.5 %, CIFAR-100 57.7 against 55.3, Cars 18.2 against 17.0, Food 46.6 "
            "against 43.5",
        ),
        better(
            "simlap-above-supcon-probe",
            "On pseudo-labels SimLAP is better than SupCon by linear probe too.",
            simlap,
            supcon,
            measure="probe",
        ),
        better(
            "simclr-above-simlap",
            "SimLAP on clusters does not reach the SimCLR run that they are made of.",
            simclr,
            simlap,
            where=TABLE,
            published="CIFAR-10 85.5 % against 82.2 %, CIFAR-100 61.5 against 57.7, Food 51.2 against 46.6; but Cars "
            "14.8 against 18.2",
        ),
        better(
            "labels-help-simlap",
            "True labels are worth more to SimLAP than clusters.",
            simlap_true,
            simlap,
            where=TABLE,
            published="CIFAR-10 86.3 % against 82.2 %, CIFAR-100 64.6 against 57.7, Cars 36.7 against 18.2, Food 54.3 "
            "against 46.6",
        ),
        better(
            "labels-help-supcon",
            "True labels are worth more to SupCon than clusters.",
            supcon_true,
            supcon,
            where=TABLE,
            published="CIFAR-10 84.8 % against 79.5 %, CIFAR-100 60.2 against 55.3, Cars 30.9 against 17.0, Food 53.5 "
            "against 43.5",
        ),
        better(
            "clusters-above-untrained",
            "What SimLAP learns from clusters is of use elsewhere: it is above the encoder with its first weights.",
            simlap,
            floors(AT)[0],
        ),
    )


# ---------------------------------------------------------------- page


def pseudo_sections(results: Results, about: About) -> list[Section]:
    """All that can be made of what is there."""
    lines = [*about.lines, *floors(AT)]
    title = best_of(results, lines, "its neighbours", "knn")
    words = [
        f"{said[0].upper()}{said[1:]}: {sentence(found)}."
        for m, said in MEASURES.items()
        if (found := told(results, lines, m))
    ]
    exhibits = [one for measure in ("knn", "probe") for one in side_by_side(results, lines, about.targets, measure)]
    simclr, supcon, simlap, supcon_true, simlap_true = about.lines
    pairs = [(simlap, supcon), (simlap, simclr), (supcon, simclr), (simlap_true, simlap), (supcon_true, supcon)]
    made = [
        Section("pseudo-labels", title, tuple(words), tuple(exhibits)),
        differences(results, pairs, about.targets),
        _clusters(results, about),
        looked_at(results),
    ]
    return [section for section in made if section is not None]


def _clusters(results: Results, about: About) -> Section | None:
    measures = {
        "nmi": "NMI",
        "ari": "ARI",
        "used": "clusters",
        "smallest": "smallest",
        "median": "median",
        "largest": "largest",
    }
    place = about.line(LEARNERS[-1], "clusters").place
    found = {key: results.values("clusters", key, **place) for key in measures}
    if not any(found.values()):
        return None
    nmi = estimate(found["nmi"])
    title = f"{about.clusters:,} clusters against the true classes" + ("" if nmi is None else f": NMI {nmi.mean:.2f}")
    table = table_of(
        "clusters",
        "What was learned from",
        ("labels",),
        tuple(measures.values()),
        [((f"{about.clusters:,} clusters of SimCLR's features",), list(found.values()))],
        "NMI and adjusted Rand index against the true classes of the training images: 1 where they are the same, an "
        "ARI of 0 by chance. Smallest, median and largest: images of a cluster.",
    )
    return Section("clusters", title, (), (table,))
