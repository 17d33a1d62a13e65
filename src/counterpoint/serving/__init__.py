"""Use an encoder: load it and embed whatever a person has."""

from counterpoint.serving.associate import Association, Associator, load_attributes, save_attributes
from counterpoint.serving.load import Loaded, load, save_encoder
from counterpoint.serving.pseudo_labels import PseudoLabelled, cluster_labels, keep_labels, kept_labels, own_source

__all__ = [
    "Association",
    "Associator",
    "Loaded",
    "PseudoLabelled",
    "cluster_labels",
    "keep_labels",
    "kept_labels",
    "load",
    "load_attributes",
    "own_source",
    "save_attributes",
    "save_encoder",
]
