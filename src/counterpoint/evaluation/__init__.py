"""What a representation knows: pure functions from embeddings to scores, each with its uncertainty.

One question a file: neighbours and probe (can classes be read off?), super_class (can any set of them?), ranking and
pairs (are equals near?), clusters, geometry and spectra (is the space used?), maps (for the eye),
map_quality (is the eye right?); hardness (which negatives teach?); protocol asks most.
"""

from counterpoint.evaluation.classification import confusion_matrix, top_k_accuracy
from counterpoint.evaluation.clusters import cluster_agreement
from counterpoint.evaluation.geometry import alignment, class_alignment, uniformity
from counterpoint.evaluation.hardness import Forces, by_hardness, forces
from counterpoint.evaluation.linear_heads import Converged, Passes
from counterpoint.evaluation.map_quality import linearity, neighbour_purity
from counterpoint.evaluation.maps import embedding_map
from counterpoint.evaluation.neighbours import knn_accuracy, knn_predict
from counterpoint.evaluation.pairs import overlap, verification
from counterpoint.evaluation.probe import few_label, linear_probe
from counterpoint.evaluation.protocol import Budget, evaluate, usual_neighbours
from counterpoint.evaluation.ranking import retrieval
from counterpoint.evaluation.resampling import Measure, bootstrap
from counterpoint.evaluation.result import Evaluation
from counterpoint.evaluation.spectra import alpha_req, effective_rank, rank_me, spectrum
from counterpoint.evaluation.super_class import (
    SuperClassErrors,
    dichotomies,
    every_subset,
    multi_class_error,
    random_subsets,
    super_class_errors,
)

__all__ = [
    "Budget",
    "Converged",
    "Evaluation",
    "Forces",
    "Measure",
    "Passes",
    "SuperClassErrors",
    "alignment",
    "alpha_req",
    "bootstrap",
    "by_hardness",
    "class_alignment",
    "cluster_agreement",
    "confusion_matrix",
    "dichotomies",
    "effective_rank",
    "embedding_map",
    "evaluate",
    "every_subset",
    "few_label",
    "forces",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "linearity",
    "multi_class_error",
    "neighbour_purity",
    "overlap",
    "random_subsets",
    "rank_me",
    "retrieval",
    "spectrum",
    "super_class_errors",
    "top_k_accuracy",
    "uniformity",
    "usual_neighbours",
    "verification",
]
