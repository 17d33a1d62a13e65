"""Twelve scenarios: two losses, three augmentations, two data sets, and the small net of a siamese practicum.

Source: the practicum's report and the code and results sheet in its repository.
"""

from counterpoint.studies.twelve_scenarios.planes import Map, Volume
from counterpoint.studies.twelve_scenarios.scoring import Faithful, Sound
from counterpoint.studies.twelve_scenarios.study import twelve_scenarios
from counterpoint.studies.twelve_scenarios.unseen import Unseen

__all__ = ["Faithful", "Map", "Sound", "Unseen", "Volume", "twelve_scenarios"]
