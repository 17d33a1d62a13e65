"""The augmentation policies of the literature, by name, and the default for a kind of images.

A definition holds for one size of the result; kernels and local crops follow the size by the source's own rule. On one
channel the operations that only change colour are left out. No policy normalises: the model does. Crops are
anti-aliased, bilinear where the source uses bilinear or says nothing, bicubic where it says so.

A `+` puts policies in sequence: `elastic+rotate` distorts each view, then turns it.
"""

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

from counterpoint.errors import RecipeError, nearest
from counterpoint.types import Policy
from counterpoint.views.chain import Chain, OneOf, Views
from counterpoint.views.colour import ColourJitter, Greyscale, Solarize
from counterpoint.views.crops import CentreCrop, Jigsaw, Pad, Resize, ResizedCrop
from counterpoint.views.filters import Blur
from counterpoint.views.flips import HFlip
from counterpoint.views.merged import Merged
from counterpoint.views.warps import Elastic, Rotate, Scale, Translate

__all__ = ["default", "named", "names"]


class _Make(NamedTuple):
    """What a policy is made for: side of the result in pixels, channels."""

    size: int
    channels: int

    def jitter(self, brightness: float, contrast: float, saturation: float, hue: float, p: float = 0.8) -> list[Policy]:
        if self.channels == 1:
            saturation = hue = 0.0
        return [ColourJitter(brightness, contrast, saturation, hue, p)]

    def grey(self, p: float = 0.2, tiles: int = 1) -> list[Policy]:
        return [] if self.channels == 1 else [Greyscale(p, tiles)]

    def blur(self, p: float, side: int | None = None) -> list[Policy]:
        """Kernel: a tenth of the side made odd (SimCLR), at least 3."""
        kernel = max(3, (side or self.size) // 10)
        return [Blur(kernel + 1 - kernel % 2, (0.1, 2.0), p)]

    def whole(self) -> list[Policy]:
        return [Resize(self.size), CentreCrop(self.size)]

    def local(self, of_224: int) -> int:
        """Side of a local crop, in proportion to the global one."""
        return max(1, round(self.size * of_224 / 224))


def _none(make: _Make) -> Views:
    return Views.once(Chain(tuple(make.whole())))


def _simclr(make: _Make) -> Views:
    crop = ResizedCrop(make.size, interpolation="bicubic")
    return Views.twice(Chain((crop, HFlip(), *make.jitter(0.8, 0.8, 0.8, 0.2), *make.grey(), *make.blur(0.5))))


def _simclr_cifar(make: _Make) -> Views:
    crop = ResizedCrop(make.size, interpolation="bicubic")
    return Views.twice(Chain((crop, HFlip(), *make.jitter(0.4, 0.4, 0.4, 0.1), *make.grey())))


def _simclr_cifar_merged(make: _Make) -> Views:
    (policy, _) = _simclr_cifar(make).policies
    assert isinstance(policy, Chain)
    return Views.twice(Merged(policy.ops))


def _cifar(
    make: _Make, jitter: tuple[float, float, float, float], blur: float, solarize: float, smallest: float = 0.08
) -> Chain:
    ops = [ResizedCrop(make.size, scale=(smallest, 1.0)), *make.jitter(*jitter), *make.grey()]
    ops += make.blur(blur) if blur else []
    ops += [Solarize(p=solarize)] if solarize else []
    return Chain((*ops, HFlip()))


def _symmetric_cifar(make: _Make) -> Views:
    return Views.twice(_cifar(make, (0.8, 0.8, 0.8, 0.2), 0.5, 0.0))


def _weak_cifar(make: _Make) -> Views:
    return Views.twice(_cifar(make, (0.4, 0.4, 0.4, 0.1), 0.5, 0.0))


def _asym_cifar(make: _Make) -> Views:
    jitter = (0.4, 0.4, 0.2, 0.1)
    return Views((_cifar(make, jitter, 0.0, 0.0), _cifar(make, jitter, 0.0, 0.2)))


def _vicreg_cifar(make: _Make) -> Views:
    return Views.twice(_cifar(make, (0.4, 0.4, 0.2, 0.1), 0.0, 0.1, smallest=0.2))


def _moco_cifar(make: _Make) -> Views:
    return Views.twice(Chain((ResizedCrop(make.size), HFlip(), *make.jitter(0.4, 0.4, 0.4, 0.1), *make.grey())))


def _instdisc_cifar(make: _Make) -> Views:
    crop = ResizedCrop(make.size, scale=(0.2, 1.0))
    return Views.twice(Chain((crop, *make.jitter(0.4, 0.4, 0.4, 0.4, p=1.0), *make.grey())))


def _instdisc(make: _Make) -> Views:
    crop = ResizedCrop(make.size, scale=(0.2, 1.0))
    return Views.twice(Chain((crop, *make.grey(), *make.jitter(0.4, 0.4, 0.4, 0.4, p=1.0), HFlip())))


def _moco_v2(make: _Make) -> Views:
    crop = ResizedCrop(make.size, scale=(0.2, 1.0))
    return Views.twice(Chain((crop, *make.jitter(0.4, 0.4, 0.4, 0.1), *make.grey(), *make.blur(0.5), HFlip())))


def _supcon(make: _Make) -> Views:
    crop = ResizedCrop(make.size, scale=(0.2, 1.0))
    return Views.twice(Chain((crop, HFlip(), *make.jitter(0.4, 0.4, 0.4, 0.1), *make.grey())))


def _byol_asym(make: _Make) -> Views:
    head = (ResizedCrop(make.size, interpolation="bicubic"), HFlip(), *make.jitter(0.4, 0.4, 0.2, 0.1), *make.grey())
    return Views((Chain((*head, *make.blur(1.0))), Chain((*head, *make.blur(0.1), Solarize(p=0.2)))))


def _moco_v3(make: _Make) -> Views:
    head = (ResizedCrop(make.size, scale=(0.2, 1.0)), *make.jitter(0.4, 0.4, 0.2, 0.1), *make.grey())
    return Views((Chain((*head, *make.blur(1.0), HFlip())), Chain((*head, *make.blur(0.1), Solarize(p=0.2), HFlip()))))


def _swav(make: _Make) -> Views:
    def view(side: int, scale: tuple[float, float]) -> Chain:
        tail = (*make.jitter(0.8, 0.8, 0.8, 0.2), *make.grey(), *make.blur(0.5, side))
        return Chain((ResizedCrop(side, scale=scale), HFlip(), *tail))

    return Views((view(make.size, (0.14, 1.0)),) * 2 + (view(make.local(96), (0.05, 0.14)),) * 6)


def _dino(make: _Make, split: float = 0.4) -> Views:
    """Local crops have an area up to `split`, global ones from there on."""

    def view(side: int, scale: tuple[float, float], blur: float, *tail: Policy) -> Chain:
        colour = (*make.jitter(0.4, 0.4, 0.2, 0.1), *make.grey(), *make.blur(blur, side))
        return Chain((ResizedCrop(side, scale=scale, interpolation="bicubic"), HFlip(), *colour, *tail))

    first = view(make.size, (split, 1.0), 1.0)
    second = view(make.size, (split, 1.0), 0.1, Solarize(p=0.2))
    return Views((first, second, *(view(make.local(96), (0.05, split), 0.5),) * 8))


def _dino_resnet(make: _Make) -> Views:
    return _dino(make, 0.14)


def _multicrop_cifar(make: _Make) -> Views:
    def whole(*tail: Policy) -> Chain:
        crop = ResizedCrop(make.size, scale=(0.2, 1.0))
        return Chain((crop, *make.jitter(0.6, 0.6, 0.6, 0.2), *make.grey(), *tail, HFlip()))

    side = max(1, round(make.size * 18 / 32))
    local = Chain(
        (
            ResizedCrop(side, scale=(0.08, 0.5)),
            *make.jitter(0.8, 0.8, 0.8, 0.2),
            *make.grey(),
            *make.blur(0.1, side),
            Solarize(p=0.1),
            HFlip(),
        )
    )
    return Views((whole(), whole(Solarize(p=0.2)), *(local,) * 6))


def _align_uniform(make: _Make) -> Views:
    head = (ResizedCrop(make.size), HFlip())
    return Views.twice(Chain((*head, *make.jitter(0.4, 0.4, 0.4, 0.4, p=1.0), *make.grey())))


def _three_augment(make: _Make) -> Views:
    one = OneOf((*make.grey(1.0), Solarize(p=1.0), *make.blur(1.0)))
    return Views.twice(Chain((ResizedCrop(make.size), HFlip(), one, *make.jitter(0.3, 0.3, 0.3, 0.0, p=1.0))))


def _field(make: _Make) -> Elastic:
    """Simard's field for 28 pixels, carried to another size: displacements keep their share of the side."""
    ratio = make.size / 28
    return Elastic(sigma=4 * ratio, alpha=34 * ratio**2)


def _elastic(make: _Make) -> Views:
    return Views.twice(Chain((*make.whole(), _field(make))))


def _elastic_colour(make: _Make) -> Views:
    hue = [] if make.channels == 1 else [ColourJitter(hue=0.5)]
    return Views.twice(Chain((*make.whole(), _field(make), *hue)))


def _rotate(make: _Make) -> Views:
    return Views.twice(Chain((*make.whole(), Rotate((-25.0, 25.0)))))


def _resize(make: _Make) -> Views:
    return Views.twice(Chain((*make.whole(), Scale((0.75, 1.25)))))


def _translate(make: _Make) -> Views:
    return Views.twice(Chain((*make.whole(), Translate(0.15))))


def _glyphs(make: _Make) -> Views:
    """Scale and translation stand for a crop: a crop that cuts strokes off makes one digit look like another."""
    move = (Scale((0.8, 1.2)), Rotate((-15.0, 15.0)), Translate(0.1), _field(make))
    return Views.twice(Chain((*make.whole(), *move, *make.jitter(0.4, 0.4, 0.0, 0.0))))


def _objects(make: _Make) -> Views:
    return Views.twice(Chain((ResizedCrop(make.size, scale=(0.2, 1.0)), HFlip())))


def _pami_none(make: _Make) -> Views:
    return Views.twice(Chain(tuple(make.whole())))


def _pami_fer(make: _Make) -> Views:
    turn = (Pad(18), Rotate((-15.0, 15.0), "nearest"), CentreCrop(int(2 * make.size * 1.125)))
    positive = Chain((Resize(2 * make.size), *turn, Resize(make.size), CentreCrop(make.size)))
    return Views((Chain(tuple(make.whole())), positive))


def _pami_simclr(make: _Make) -> Views:
    tail = (*make.jitter(0.8, 0.8, 0.8, 0.2), *make.grey(), Blur(3, (0.1, 2.0), 1.0))
    return Views((Chain(tuple(make.whole())), Chain((ResizedCrop(make.size), HFlip(), *tail))))


def _pirl(make: _Make) -> Views:
    image = Chain((ResizedCrop(make.size),))
    cell = max(2, round(make.size * 85 / 224))
    patch = max(1, round(cell * 64 / 85))
    crop = ResizedCrop(3 * cell, scale=(0.6, 1.0))
    puzzle = Chain((crop, *make.jitter(0.4, 0.4, 0.4, 0.2, p=1.0), *make.grey(0.2, tiles=3), Jigsaw(3, patch)))
    return Views((image, puzzle))


_POLICIES: dict[str, tuple[Callable[[_Make], Views], str]] = {
    "align-uniform-stl": (
        _align_uniform,
        "crop, flip, jitter (0.4 x 4) always, grey; 64 px in the source. Wang & Isola 2020",
    ),
    "asym-cifar": (
        _asym_cifar,
        "crop, jitter (0.4, 0.4, 0.2, 0.1), grey, flip; view 2 solarizes 0.2. CIFAR recipes of BYOL, Barlow",
    ),
    "byol-asym": (
        _byol_asym,
        "bicubic crop, flip, jitter, grey; blur 1.0 / 0.1 and solarize 0 / 0.2 by view. Grill et al. 2020",
    ),
    "dino-multicrop": (
        _dino,
        "2 global crops 0.4-1 and 8 local 0.05-0.4 of 96/224 the side, blur 1.0 / 0.1 / 0.5. Caron et al. 2021 (DINO)",
    ),
    "dino-multicrop-resnet": (
        _dino_resnet,
        "dino-multicrop with global crops 0.14-1 and local 0.05-0.14, as its released code has for ResNet-50",
    ),
    "elastic": (
        _elastic,
        "elastic distortion only, sigma 4 and alpha 34 at 28 px, in proportion elsewhere. Simard et al. 2003; Nissani",
    ),
    "elastic-colour": (
        _elastic_colour,
        "elastic, then a hue from the whole circle; on one channel the same as elastic. Counterpoint's own",
    ),
    "glyphs": (
        _glyphs,
        "scale, rotation, shift and elastic field in one grid, light and contrast; no flip, no hue. Counterpoint's own",
    ),
    "instdisc": (
        _instdisc,
        "crop 0.2-1, grey, jitter (0.4 x 4) always, flip. Wu et al. 2018; MoCo v1",
    ),
    "instdisc-cifar": (
        _instdisc_cifar,
        "crop 0.2-1, jitter (0.4 x 4) always, grey; no flip. The released CIFAR code of Wu et al. 2018",
    ),
    "moco-cifar": (
        _moco_cifar,
        "crop, flip, jitter (0.4, 0.4, 0.4, 0.1), grey; no blur. CIFAR notebook of MoCo's authors",
    ),
    "moco-v2": (
        _moco_v2,
        "crop 0.2-1, jitter (0.4, 0.4, 0.4, 0.1), grey, blur, flip. Chen et al. 2020 (MoCo v2); SimSiam",
    ),
    "moco-v3": (
        _moco_v3,
        "byol-asym with a bilinear crop 0.2-1. The released code of Chen et al. 2021 (MoCo v3), --crop-min=.2",
    ),
    "multicrop-cifar": (
        _multicrop_cifar,
        "2 crops 0.2-1 and 6 of 18/32 the side 0.08-0.5, strong jitter, blur and solarize 0.1. CIFAR multi-crop recipe",
    ),
    "none": (_none, "the whole image, once: resized and cut to the square. For supervised baselines"),
    "objects": (_objects, "crop 0.2-1, flip; no colour. Counterpoint's default for grey objects (clothing)"),
    "pami-fer": (
        _pami_fer,
        "view 1 clean; view 2 doubled, padded 18, rotated +-15 degrees (nearest), cut, resized. PAMI practicum",
    ),
    "pami-none": (_pami_none, "two clean views. PAMI practicum"),
    "pami-simclr": (
        _pami_simclr,
        "view 1 clean; view 2 crop, flip, jitter (0.8, 0.8, 0.8, 0.2), grey, blur (kernel 3) always. PAMI practicum",
    ),
    "pirl": (
        _pirl,
        "view 1 crop; view 2 a jigsaw of 3 x 3 patches, each grey 0.2. Misra & van der Maaten 2020",
    ),
    "resize": (
        _resize,
        "scale by 0.75-1.25 about the centre, only. Nissani; the range is ours, the paper gives none",
    ),
    "rotate": (
        _rotate,
        "rotation by +-25 degrees only. Nissani; the range is ours, the paper gives none",
    ),
    "simclr": (
        _simclr,
        "bicubic crop 0.08-1, flip, jitter (0.8, 0.8, 0.8, 0.2), grey, blur of size/10. Chen et al. 2020, appendix A",
    ),
    "simclr-cifar": (
        _simclr_cifar,
        "simclr at half the colour strength, without blur. Chen et al. 2020, appendix B.9",
    ),
    "simclr-cifar-merged": (
        _simclr_cifar_merged,
        "simclr-cifar as one resampling and one colour matrix: faster, hue approximate. Counterpoint's own",
    ),
    "supcon": (
        _supcon,
        "crop 0.2-1, flip, jitter (0.4, 0.4, 0.4, 0.1), grey; no blur. Khosla et al. 2020, the released code for CIFAR",
    ),
    "swav-multicrop": (
        _swav,
        "2 crops 0.14-1 and 6 of 96/224 the side 0.05-0.14, full jitter, blur. Caron et al. 2020 (SwAV)",
    ),
    "symmetric-cifar": (
        _symmetric_cifar,
        "crop, jitter (0.8, 0.8, 0.8, 0.2), grey, blur 0.5, flip. CIFAR recipe of SimCLR at full strength",
    ),
    "three-augment": (
        _three_augment,
        "crop, flip, exactly one of grey, solarize, blur, light jitter. Touvron et al. 2022 (DeiT III); not verified",
    ),
    "translate": (
        _translate,
        "shift by up to 0.15 of the side on each axis, only. Nissani; the range is ours, the paper gives none",
    ),
    "vicreg-cifar": (
        _vicreg_cifar,
        "crop 0.2-1, jitter (0.4, 0.4, 0.2, 0.1), grey, solarize 0.1, flip. CIFAR recipe of VICReg",
    ),
    "weak-cifar": (_weak_cifar, "symmetric-cifar with jitter (0.4, 0.4, 0.4, 0.1). CIFAR recipe of MoCo v2+"),
}


def named(name: str, *, size: int, channels: int) -> Views:
    """The views of a policy, or of several in sequence.

    Args:
        name: one of `names()`, or some of them joined by `+`: the first is applied first, view by view, and neighbours
            that only move things share one resampling.
        size: side of a (global) view, in pixels.
        channels: of the images, 1 or 3.

    Raises:
        RecipeError: there is no policy of this name, or the policies of a sequence differ in their views.

    Example:
        >>> len(named("swav-multicrop", size=32, channels=3))
        8
        >>> [type(op).__name__ for op in named("elastic+rotate", size=28, channels=1).policies[0].ops]
        ['Resize', 'CentreCrop', 'Elastic', 'Rotate']
    """
    parts = name.split("+")
    for part in parts:
        if part not in _POLICIES:
            where = f" (in {name!r})" if len(parts) > 1 else "; several in sequence are joined by '+'"
            raise RecipeError(f"there is no policy {part!r}{where}; {nearest(part, _POLICIES)}")
    if size < 1 or channels < 1:
        raise RecipeError(
            f"a policy needs a size and channels of at least 1, but got size {size} and channels {channels}"
        )
    make = _Make(size, channels)
    policies = [_POLICIES[part][0](make) for part in parts]
    for part, views in zip(parts, policies, strict=True):
        ours, first = views.size(size, size), policies[0].size(size, size)
        if ours != first:
            raise RecipeError(
                f"{name!r} is not possible: {parts[0]!r} makes views of sides {_sides(first)}, but {part!r} of "
                f"{_sides(ours)}; put policies in sequence that make equally many views of equal sizes"
            )
    return reduce(lambda one, other: _in_sequence(one, other, make), policies)


def _sides(sizes: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(side) for side, _ in sizes)


def _in_sequence(one: Views, other: Views, make: _Make) -> Views:
    """Each view of one, then that view of the other, which need not fit again what fits the square already."""

    def ops(policy: Policy) -> tuple[Policy, ...]:
        return policy.ops if isinstance(policy, Chain) else (policy,)

    whole = tuple(make.whole())
    chains: list[Chain] = []
    for before, after in zip(one.policies, other.policies, strict=True):
        fits = before.after(make.size, make.size) == (make.size, make.size)
        rest = ops(after)
        chains.append(Chain((*ops(before), *(rest[len(whole) :] if fits and rest[: len(whole)] == whole else rest))))
    return Views(tuple(chains))


def names() -> dict[str, str]:
    """Every policy with one line: what it does, and its source."""
    return {name: line for name, (_, line) in _POLICIES.items()}


def default(kind: str, *, size: int, channels: int) -> str:
    """The policy that suits a kind of images where a person names none.

    Args:
        kind: `glyphs` (no flip, no hue), `objects` (grey clothing: crop and flip; in colour as photos) or `photos`
            (SimCLR's; without blur and at half the colour strength up to 40 pixels).
        size: side of a view, in pixels.
        channels: of the images.

    Raises:
        RecipeError: the kind is not known.
    """
    if kind == "glyphs" or (kind == "objects" and channels == 1):
        return kind
    if kind in ("objects", "photos"):
        return "simclr-cifar" if size <= 40 else "simclr"
    raise RecipeError(f"there is no kind of images {kind!r}; {nearest(kind, ['glyphs', 'objects', 'photos'])}")
