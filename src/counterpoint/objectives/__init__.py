"""How good is the match? Each equation as a plain function, and as a frozen part of a recipe where it has one."""

from counterpoint.objectives.contrast import Contrast, Each, Joint, contrast, contrast_dense
from counterpoint.objectives.cosine_embedding import CosineEmbedding, cosine_embedding
from counterpoint.objectives.debiased import Debiased, debiased
from counterpoint.objectives.info_nce import info_nce
from counterpoint.objectives.margin import Margin, margin_contrastive
from counterpoint.objectives.nt_xent import nt_xent
from counterpoint.objectives.sup_con import sup_con
from counterpoint.objectives.triplet import Triplet, triplet_margin

__all__ = [
    "Contrast",
    "CosineEmbedding",
    "Debiased",
    "Each",
    "Joint",
    "Margin",
    "Triplet",
    "contrast",
    "contrast_dense",
    "cosine_embedding",
    "debiased",
    "info_nce",
    "margin_contrastive",
    "nt_xent",
    "sup_con",
    "triplet_margin",
]
