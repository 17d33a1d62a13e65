"""Encoders by name."""

from dataclasses import replace
from importlib import import_module
from typing import Any, cast

from counterpoint.encoders.conv import ConvNet
from counterpoint.encoders.mlp import MLP
from counterpoint.encoders.pami import Pami
from counterpoint.encoders.resnet import ResNet
from counterpoint.encoders.timm_models import Timm
from counterpoint.encoders.vit import ViT
from counterpoint.errors import RecipeError, nearest
from counterpoint.types import Encoder

__all__ = ["default", "lookup", "names", "untrained"]

_NAMED: dict[str, tuple[Encoder, str]] = {
    "conv": (ConvNet(), "a small residual conv net for images of 8 to 128 px, made for speed on a CPU; width 512"),
    "mlp": (MLP(), "fully connected, 400-400 with ReLU; width 400"),
    "pami": (Pami(), "five convolutions with kernel 2, for 18 to 33 px; width 32, in (0, 1)"),
    "resnet18": (ResNet(18), "ResNet-18, 3 x 3 stem up to 64 px; width 512"),
    "resnet34": (ResNet(34), "ResNet-34, 3 x 3 stem up to 64 px; width 512"),
    "resnet50": (ResNet(50), "ResNet-50, 3 x 3 stem up to 64 px; width 2048"),
    "vit_small": (ViT(384, 12, 6), "vision transformer, 12 blocks, 6 heads, class token; width 384"),
    "vit_tiny": (ViT(192, 12, 3), "vision transformer, 12 blocks, 3 heads, class token; width 192"),
}


def names() -> dict[str, str]:
    """What can be asked for by name, and what it is."""
    described = {name: text for name, (_, text) in _NAMED.items()}
    return {**described, "timm:NAME": "any backbone of timm (an extra)", "MODULE:NAME": "your own, by import path"}


def default(kind: str, size: int) -> str:
    """The encoder for a person who names none: `conv` for small images, `resnet18` above 128 px.

    Args:
        kind: the data set's kind.
        size: side of an image in pixels.
    """
    return "conv" if size <= 128 else "resnet18"


def untrained(encoder: Encoder) -> Encoder:
    """The same encoder without published weights: for a baseline, and where weights follow from a file."""
    if hasattr(encoder, "inner"):
        return cast("Encoder", replace(cast(Any, encoder), inner=untrained(cast(Any, encoder).inner)))
    return cast("Encoder", replace(cast(Any, encoder), pretrained=False)) if hasattr(encoder, "pretrained") else encoder


def lookup(text: str, *, pretrained: bool = False) -> Encoder:
    """The encoder of a name, of timm (`timm:NAME`), or of an import path (`my_module:MyEncoder`).

    An import path leads to an encoder, or to a class or function that makes one without arguments.

    Args:
        text: what to look for.
        pretrained: with published weights; only timm's have them.

    Raises:
        RecipeError: no such encoder.
        MissingExtra: timm is asked for, and not installed.
    """
    family, colon, rest = text.partition(":")
    if family == "timm" and rest:
        encoder = Timm(rest, pretrained)
        _ = encoder.width  # a missing package or an unknown name speaks up here, not in the middle of a run
        return encoder
    if pretrained:
        raise RecipeError(f"encoder {text!r} has no pretrained weights; name one of timm, for example timm:resnet50")
    if colon:
        return _imported(text, family, rest)
    if text not in _NAMED:
        raise RecipeError(f"unknown encoder {text!r}; {nearest(text, names())}")
    return _NAMED[text][0]


def _imported(text: str, module: str, name: str) -> Encoder:
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise RecipeError(f"encoder {text!r}: {error}; is the module's folder on PYTHONPATH?") from error
    except (AttributeError, ValueError) as error:
        raise RecipeError(f"encoder {text!r}: {error}; expected MODULE:NAME") from error
    encoder = found if not isinstance(found, type) and hasattr(found, "build") else _made(text, found)
    if not (isinstance(getattr(encoder, "width", None), int) and callable(getattr(encoder, "build", None))):
        raise RecipeError(
            f"encoder {text!r} is no encoder: it needs a width and build(facts); see counterpoint.types.Encoder"
        )
    return cast("Encoder", encoder)


def _made(text: str, found: Any) -> Any:
    if not callable(found):
        return found
    try:
        return found()
    except TypeError as error:
        raise RecipeError(f"encoder {text!r} could not be made without arguments: {error}") from error
