"""How is each one seen? Batched augmentations: parameters are drawn for every sample, then applied.

images (uint8) → Views = one policy per view → draw → apply → float in [0, 1], not normalised
"""

from counterpoint.views.boxes import Box
from counterpoint.views.chain import Chain, OneOf, Views
from counterpoint.views.colour import Brightness, ColourJitter, Greyscale, Normalise, Solarize
from counterpoint.views.crops import CentreCrop, Jigsaw, Pad, Resize, ResizedCrop, patches
from counterpoint.views.erase import Cutout, Erase
from counterpoint.views.filters import Blur, Noise, Sobel
from counterpoint.views.flips import HFlip, QuarterTurn, VFlip
from counterpoint.views.merged import Merged
from counterpoint.views.op import as_float
from counterpoint.views.policies import default, named, names
from counterpoint.views.sheet import contact_sheet
from counterpoint.views.tiles import EachTile, Tiles, cut
from counterpoint.views.warps import Elastic, Rotate, Scale, Translate, Warp

__all__ = [
    "Blur",
    "Box",
    "Brightness",
    "CentreCrop",
    "Chain",
    "ColourJitter",
    "Cutout",
    "EachTile",
    "Elastic",
    "Erase",
    "Greyscale",
    "HFlip",
    "Jigsaw",
    "Merged",
    "Noise",
    "Normalise",
    "OneOf",
    "Pad",
    "QuarterTurn",
    "Resize",
    "ResizedCrop",
    "Rotate",
    "Scale",
    "Sobel",
    "Solarize",
    "Tiles",
    "Translate",
    "VFlip",
    "Views",
    "Warp",
    "as_float",
    "contact_sheet",
    "cut",
    "default",
    "named",
    "names",
    "patches",
]
