"""Views: which augmentations make a good encoder, alone, in pairs and together, and what two views share."""

from counterpoint.studies.views.make import views

__all__ = ["views"]
