"""How good is the match? Each equation as a plain function, and as a frozen part of a recipe where it has one."""

from counterpoint.objectives.align_uniform import AlignUniform, align_uniform
from counterpoint.objectives.barlow_twins import BarlowTwins, barlow_twins
from counterpoint.objectives.contrast import Contrast, Each, Joint, contrast, contrast_dense
from counterpoint.objectives.cosine_embedding import CosineEmbedding, cosine_embedding
from counterpoint.objectives.cosine_regression import CosineRegression, cosine_regression
from counterpoint.objectives.debiased import Debiased, debiased
from counterpoint.objectives.gated_contrast import GatedContrast, gate_penalty
from counterpoint.objectives.info_nce import info_nce
from counterpoint.objectives.margin import Margin, margin_contrastive
from counterpoint.objectives.noise_contrastive import NoiseContrastive, noise_contrastive
from counterpoint.objectives.nt_xent import nt_xent
from counterpoint.objectives.squared_error import SquaredError, squared_error
from counterpoint.objectives.sup_con import sup_con
from counterpoint.objectives.triplet import Triplet, triplet_margin
from counterpoint.objectives.vicreg import VICReg, vicreg

__all__ = [
    "AlignUniform",
    "BarlowTwins",
    "Contrast",
    "CosineEmbedding",
    "CosineRegression",
    "Debiased",
    "Each",
    "GatedContrast",
    "Joint",
    "Margin",
    "NoiseContrastive",
    "SquaredError",
    "Triplet",
    "VICReg",
    "align_uniform",
    "barlow_twins",
    "contrast",
    "contrast_dense",
    "cosine_embedding",
    "cosine_regression",
    "debiased",
    "gate_penalty",
    "info_nce",
    "margin_contrastive",
    "noise_contrastive",
    "nt_xent",
    "squared_error",
    "sup_con",
    "triplet_margin",
    "vicreg",
]
