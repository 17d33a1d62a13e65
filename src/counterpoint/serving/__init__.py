"""Use an encoder: load it and embed whatever a person has."""

from counterpoint.serving.load import Loaded, load, save_encoder

__all__ = ["Loaded", "load", "save_encoder"]
