"""How good is the match? Each equation as a plain function, and as a frozen part of a recipe where it has one."""

from counterpoint.objectives.contrast import Contrast, Each, Joint, contrast, contrast_dense
from counterpoint.objectives.info_nce import info_nce
from counterpoint.objectives.nt_xent import nt_xent
from counterpoint.objectives.sup_con import sup_con

__all__ = ["Contrast", "Each", "Joint", "contrast", "contrast_dense", "info_nce", "nt_xent", "sup_con"]
