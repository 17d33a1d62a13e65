"""The conjecture behind hyper-separability: what the views leave unchanged can be read from the representation.

Each cell is a net trained under one policy; each attribute of a glyph has, in each cell, an invariance under that
policy and a readability from that net. Does the one predict the other?
"""

from counterpoint.studies.conjecture.cells import PART, POLICIES, TINTED, attribute_evaluators, grid_cells
from counterpoint.studies.conjecture.claims import attribute_claims
from counterpoint.studies.conjecture.grid import Grid, grid_of
from counterpoint.studies.conjecture.page import attribute_sections
from counterpoint.studies.conjecture.readability import NETS, Invariance, Readability
from counterpoint.studies.conjecture.relation import crossed, within_attributes

__all__ = [
    "NETS",
    "PART",
    "POLICIES",
    "TINTED",
    "Grid",
    "Invariance",
    "Readability",
    "attribute_claims",
    "attribute_evaluators",
    "attribute_sections",
    "crossed",
    "grid_cells",
    "grid_of",
    "within_attributes",
]
