"""How a cell sees its images: operations by name, and what suits the data with one of its operations left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from counterpoint.errors import RecipeError, nearest
from counterpoint.types import Policy
from counterpoint.views import (
    Blur,
    CentreCrop,
    Chain,
    ColourJitter,
    Cutout,
    Elastic,
    Greyscale,
    HFlip,
    Noise,
    Resize,
    ResizedCrop,
    Rotate,
    Scale,
    Translate,
    Views,
    named,
)

__all__ = ["OPS", "altered", "altered_as", "op_names", "seen", "seen_as"]

_AREA = 0.08  # smallest share of an image that a crop keeps


def _colour(size: int, channels: int) -> Policy:
    strong = (0.4, 0.4, 0.4, 0.1) if channels > 1 else (0.4, 0.4, 0.0, 0.0)
    return ColourJitter(*strong, p=0.8)


def _elastic(size: int, channels: int) -> Policy:
    return Elastic(sigma=4 * size / 28, alpha=34 * (size / 28) ** 2)


_MADE: Mapping[str, Callable[[int, int], Policy]] = {
    "crop": lambda size, _: ResizedCrop(size, scale=(_AREA, 1.0), interpolation="bicubic"),
    "flip": lambda size, channels: HFlip(),
    "scale": lambda size, channels: Scale((0.8, 1.2)),
    "turn": lambda size, channels: Rotate((-15.0, 15.0)),
    "shift": lambda size, channels: Translate(0.1),
    "elastic": _elastic,
    "colour": _colour,
    "hue": lambda size, channels: ColourJitter(hue=0.5),
    "grey": lambda size, channels: Greyscale(0.2),
    "blur": lambda size, channels: Blur(3, (0.1, 2.0), 0.5),
    "noise": lambda size, channels: Noise((0.05, 0.05)),
    "cutout": lambda size, channels: Cutout(0.5),
}
OPS = tuple(_MADE)  # in the order in which they are done
_KINDS: Mapping[type, str] = {
    ResizedCrop: "crop",
    HFlip: "flip",
    Scale: "scale",
    Rotate: "turn",
    Translate: "shift",
    Elastic: "elastic",
    ColourJitter: "colour",
    Greyscale: "grey",
    Blur: "blur",
    Noise: "noise",
    Cutout: "cutout",
}


def seen(ops: str, size: int, channels: int) -> Views:
    """Two views by some operations and nothing else.

    Each is as strong as in SimCLR's views for small images, or as in the glyphs' views.

    Args:
        ops: of `OPS`, as `crop+colour`; empty: the image as it is, twice.
        size: side of a view, in pixels.
        channels: of the images, 1 or 3.

    Raises:
        RecipeError: an operation that is none.

    Example:
        >>> [type(op).__name__ for op in seen("colour+crop", 32, 3).policies[0].ops]
        ['ResizedCrop', 'ColourJitter']
    """
    wanted = [name for name in ops.split("+") if name]
    for name in wanted:
        if name not in _MADE:
            raise RecipeError(f"there is no operation {name!r}; {nearest(name, OPS)}")
    whole: tuple[Policy, ...] = () if "crop" in wanted else (Resize(size), CentreCrop(size))
    return Views.twice(Chain((*whole, *(_MADE[name](size, channels) for name in OPS if name in wanted))))


def op_names(policy: str, size: int, channels: int) -> tuple[str, ...]:
    """Operations of a policy's views that can be left out, by their names in `OPS`."""
    return tuple(dict.fromkeys(_KINDS[type(op)] for op in _ops(policy, size, channels) if type(op) in _KINDS))


def altered(policy: str, size: int, channels: int, without: str = "", strength: float = 1.0, add: str = "") -> Views:
    """A policy's two views with an operation left out or added, or with all of them weaker or stronger.

    Args:
        policy: by name, of one chain for both views.
        size: side of a view, in pixels.
        channels: of the images, 1 or 3.
        without: an operation that is left out.
        strength: > 0; 1 as it is. Ranges of colour, angle, shift and field are multiplied by it as far as they go, the
            smallest area of a crop is raised to its power, the chance of grey is multiplied.
        add: an operation that is done at the end.

    Raises:
        RecipeError: an operation that is none, or that the policy does not have; a strength that is not above 0.

    Example:
        >>> altered("simclr-cifar", 32, 3, strength=0.5).policies[0].ops[2].hue
        0.05
    """
    if not strength > 0:
        raise RecipeError(f"views of strength {strength:g} were asked for; give a number above 0")
    own = op_names(policy, size, channels)
    if without and without not in own:
        raise RecipeError(f"the policy {policy!r} has no operation {without!r} to leave out; {nearest(without, own)}")
    if add and add not in _MADE:
        raise RecipeError(f"there is no operation {add!r}; {nearest(add, OPS)}")
    ops = [op for op in _ops(policy, size, channels) if not without or _KINDS.get(type(op)) != without]
    if without == "crop":
        ops = [Resize(size), CentreCrop(size), *ops]
    ops = [_stronger(op, strength) for op in ops] if strength != 1 else ops
    return Views.twice(Chain((*ops, *([_MADE[add](size, channels)] if add else []))))


def _ops(policy: str, size: int, channels: int) -> Sequence[Policy]:
    first = named(policy, size=size, channels=channels).policies[0]
    if not isinstance(first, Chain):
        raise RecipeError(f"the policy {policy!r} is no chain of operations; take one that is, as simclr-cifar")
    return first.ops


def _stronger(op: Policy, by: float) -> Policy:
    if isinstance(op, ResizedCrop):
        return replace(op, scale=(op.scale[0] ** by, op.scale[1]))
    if isinstance(op, ColourJitter):
        most = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
        return replace(op, **{name: min(end, by * getattr(op, name)) for name, end in most.items()})
    if isinstance(op, Greyscale):
        return replace(op, p=min(1.0, by * op.p))
    if isinstance(op, Rotate):
        return replace(op, degrees=tuple(max(-180.0, min(180.0, by * angle)) for angle in op.degrees))
    if isinstance(op, Translate):
        return replace(op, share=min(1.0, by * op.share))
    if isinstance(op, Scale):
        return replace(op, factor=tuple(factor**by for factor in op.factor))
    if isinstance(op, Elastic):
        return replace(op, alpha=by * op.alpha)
    return op


def seen_as(ops: str, size: int, channels: int) -> dict[str, str]:
    """`seen` as a cell's settings."""
    return {"views": f"counterpoint.studies.views.parts:seen({ops!r}, {size}, {channels})"}


def altered_as(
    policy: str, size: int, channels: int, *, without: str = "", strength: float = 1.0, add: str = ""
) -> dict[str, str]:
    """`altered` as a cell's settings; none where nothing is altered, so that the run is the usual one."""
    if not without and strength == 1 and not add:
        return {}
    given = f"{policy!r}, {size}, {channels}, without={without!r}, strength={strength:g}, add={add!r}"
    return {"views": f"counterpoint.studies.views.parts:altered({given})"}
