"""From images to a representation.

An encoder is a frozen dataclass that knows its width and builds a module from [row, channel, size, size] to
[row, width]. Weights are drawn from torch's global generator: build under `random.forked`.
"""

from counterpoint.encoders.catalogue import default, lookup, names, untrained
from counterpoint.encoders.conv import ConvNet
from counterpoint.encoders.mlp import MLP
from counterpoint.encoders.pami import Pami
from counterpoint.encoders.patched import Patched
from counterpoint.encoders.resnet import ResNet
from counterpoint.encoders.split_batch_norm import SplitBatchNorm, SplitNorm, bare, in_groups
from counterpoint.encoders.timm_models import Timm
from counterpoint.encoders.vit import ViT
from counterpoint.encoders.without_batch_norm import WithoutBatchNorm

__all__ = [
    "MLP",
    "ConvNet",
    "Pami",
    "Patched",
    "ResNet",
    "SplitBatchNorm",
    "SplitNorm",
    "Timm",
    "ViT",
    "WithoutBatchNorm",
    "bare",
    "default",
    "in_groups",
    "lookup",
    "names",
    "untrained",
]
