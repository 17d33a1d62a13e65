"""Use an encoder: load it and embed whatever a person has."""

from counterpoint.serving.associate import Association, Associator, load_attributes, save_attributes
from counterpoint.serving.load import Loaded, load, save_encoder

__all__ = ["Association", "Associator", "Loaded", "load", "load_attributes", "save_attributes", "save_encoder"]
