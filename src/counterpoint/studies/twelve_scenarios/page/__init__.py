"""The sections of the page, from whatever cells have finished."""

from counterpoint.studies.twelve_scenarios.page.whole import sections

__all__ = ["sections"]
