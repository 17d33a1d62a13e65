"""What a representation knows: pure functions from embeddings to scores, each with its uncertainty.

One question a file: neighbours and probe (can classes be read off?), super_class (can any set of them?), ranking and
pairs (are equals near?), clusters, geometry and spectra (is the space used?), maps (for the eye),
map_quality (is the eye right?); hardness (which negatives teach?); protocol asks most.
Of single images: saliency, at a network that is watched (where does a number come from?), saliency_quality (is that
right?); of gates: gate_order.
Of the theory: class_bound and task_losses (what does the loss promise?), minima, asymptotics and free_points (what does
it seek?), mutual_information (what do views share?), invariances (what is ignored?); theory asks all of them.
"""

from counterpoint.evaluation.asymptotics import Asymptote, asymptote
from counterpoint.evaluation.class_bound import Bound, bound
from counterpoint.evaluation.classification import confusion_matrix, top_k_accuracy
from counterpoint.evaluation.clusters import cluster_agreement
from counterpoint.evaluation.free_points import optimised_points
from counterpoint.evaluation.geometry import alignment, class_alignment, uniformity
from counterpoint.evaluation.hardness import Forces, by_hardness, forces
from counterpoint.evaluation.invariances import Invariance, class_partners, invariance
from counterpoint.evaluation.linear_heads import Converged, Passes
from counterpoint.evaluation.map_quality import linearity, neighbour_purity
from counterpoint.evaluation.maps import embedding_map
from counterpoint.evaluation.margin_losses import Hinge, Logistic
from counterpoint.evaluation.minima import Gaps, gaps, least_uniformity, uniform_logit, uniform_uniformity
from counterpoint.evaluation.mutual_information import SharedInformation, shared_information
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
from counterpoint.evaluation.task_losses import TaskLosses, task_losses

__all__ = [
    "Asymptote",
    "Bound",
    "Budget",
    "Converged",
    "Evaluation",
    "Forces",
    "Gaps",
    "Hinge",
    "Invariance",
    "Logistic",
    "Measure",
    "Passes",
    "SharedInformation",
    "SuperClassErrors",
    "TaskLosses",
    "alignment",
    "alpha_req",
    "asymptote",
    "bootstrap",
    "bound",
    "by_hardness",
    "class_alignment",
    "class_partners",
    "cluster_agreement",
    "confusion_matrix",
    "dichotomies",
    "effective_rank",
    "embedding_map",
    "evaluate",
    "every_subset",
    "few_label",
    "forces",
    "gaps",
    "invariance",
    "knn_accuracy",
    "knn_predict",
    "least_uniformity",
    "linear_probe",
    "linearity",
    "multi_class_error",
    "neighbour_purity",
    "optimised_points",
    "overlap",
    "random_subsets",
    "rank_me",
    "retrieval",
    "shared_information",
    "spectrum",
    "super_class_errors",
    "task_losses",
    "top_k_accuracy",
    "uniform_logit",
    "uniform_uniformity",
    "uniformity",
    "usual_neighbours",
    "verification",
]
