"""What can be seen of a glyph without knowing which one it is: attributes measured from its pixels.

Ink is bright on a dark ground; of a tinted image the largest channel is taken. Each image is enlarged until its side
has at least 56 pixels, and what is brighter than half its maximum is ink. Lengths are shares of the side, so that
images of unlike sizes can be compared. An image without ink has 0 for every attribute.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import MissingExtra
from counterpoint.types import Images
from counterpoint.views import as_float

__all__ = ["ATTRIBUTES", "HUE", "Attribute", "hue_of", "measure"]

SIDE = 56  # of an enlarged image, at least, in pixels
SPUR = 5  # a branch of the skeleton is a stroke from this length on, in pixels of the enlarged image
FORK = 3  # forks that are no further apart than twice this are one crossing
HOLE = 6  # least area of a hole, in pixels of the enlarged image
BLOCK = 1000

Values = Float64[Tensor, " image"]


@dataclass(frozen=True)
class Attribute:
    """Something that can be measured of an image.

    Args:
        name: for people, and in answers.
        said: what it is, one sentence.
        kind: `binary` (0 or 1), `count` or `real`.
    """

    name: str
    said: str
    kind: Literal["binary", "count", "real"] = "real"


def measure(images: Shaped[Tensor, "image channel height width"] | Images) -> dict[str, Float64[Tensor, "image part"]]:
    """Every attribute of every image, by name; those of one number have one part. Of images in colour also the hue.

    Args:
        images: uint8, or float in [0, 1].

    Raises:
        MissingExtra: scikit-image is not installed.

    Example:
        >>> ring = torch.zeros(1, 1, 28, 28)
        >>> ring[..., 6:22, 6:22] = 1
        >>> ring[..., 10:18, 10:18] = 0
        >>> int(measure(ring)["holes"])
        1
    """
    if len(images) == 0:
        return {name: values[:0] for name, values in measure(torch.zeros(1, *images.shape[1:])).items()}
    blocks: list[dict[str, Tensor]] = []
    for start in range(0, len(images), BLOCK):
        block = as_float(images[start : start + BLOCK]).detach().cpu()
        glyphs = _Glyphs(block.amax(1).double())
        found = {attribute.name: rule(glyphs)[:, None] for attribute, rule in _RULES}
        if block.shape[1] == 3:
            found[HUE.name] = hue_of(block)
        blocks.append(found)
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def hue_of(images: Shaped[Tensor, "image 3 height width"]) -> Float64[Tensor, "image 2"]:
    """Sine and cosine of the hue of each image's mean colour, an angle on the circle of HSV; 0 and 0 of a grey one."""
    red, green, blue = as_float(images).double().mean((2, 3)).unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    safe = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(
        high == red,
        ((green - blue) / safe) % 6,
        torch.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    angle = sixth * (torch.pi / 3)
    return torch.stack((angle.sin(), angle.cos()), 1) * (chroma > 0)[:, None]


# ---------------------------------------------------------------- what the measures share


@dataclass(frozen=True, eq=False)
class _Sheet:
    """Images side by side in one picture, with empty lines between: what is local needs one pass for all of them."""

    picture: NDArray[np.bool_]
    height: int
    width: int

    @classmethod
    def of(cls, images: NDArray[np.bool_]) -> "_Sheet":
        count, height, width = images.shape
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
        return cls(padded.reshape(count * (height + 2), width + 2), height + 2, width + 2)

    def __len__(self) -> int:
        return len(self.picture) // self.height

    def owner(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Of which image a pixel is."""
        return flat // (self.height * self.width)

    def row(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Of a pixel in its image."""
        return flat // self.width % self.height - 1

    def column(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Of a pixel in its image."""
        return flat % self.width - 1


def _crossings() -> NDArray[np.int64]:
    """For each of the 256 neighbourhoods, read around the circle, how often it changes from empty to ink."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    return ((bits == 0) & (np.roll(bits, -1, 1) == 1)).sum(1)


_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
_CROSSINGS = _crossings()


class _Glyphs:
    """A block of grey images, and what several measures need of them, each computed once."""

    def __init__(self, grey: Float64[Tensor, "image height width"]) -> None:
        self.grey = grey
        scale = max(1, -(-SIDE // max(grey.shape[1:])))
        large = F.interpolate(grey[:, None], scale_factor=scale, mode="bilinear")[:, 0] if scale > 1 else grey
        top = large.amax((1, 2), keepdim=True)
        self.ink: Bool[Tensor, "image tall wide"] = (large > top / 2) & (top > 0)
        self.side = max(large.shape[1:])

    def zeros(self) -> Values:
        """One number for each image."""
        return torch.zeros(len(self.grey), dtype=torch.float64)

    @cached_property
    def box(self) -> tuple[Values, Values, Values, Values]:
        """First and last row and column of the ink (the last one excluded), in pixels of the enlarged image."""

        def ends(line: Bool[Tensor, "image place"]) -> tuple[Values, Values]:
            place = torch.arange(line.shape[1]).double()
            first = torch.where(line, place, torch.inf).amin(1)
            last = torch.where(line, place, -torch.inf).amax(1) + 1
            empty = ~line.any(1)
            return first.masked_fill(empty, 0.0), last.masked_fill(empty, 0.0)

        return (*ends(self.ink.any(2)), *ends(self.ink.any(1)))

    @cached_property
    def moments(self) -> tuple[Values, Values, Values, Values, Values, Values]:
        """Mass, centre (x, y) and variances (xx, yy, xy) of the grey values, in shares of the side, y down."""
        height, width = self.grey.shape[1:]
        side = max(height, width)
        x = (torch.arange(width).double() - (width - 1) / 2) / side
        y = (torch.arange(height).double() - (height - 1) / 2) / side
        mass = self.grey.sum((1, 2))
        safe = torch.where(mass > 0, mass, 1.0)
        across, down = self.grey.sum(1), self.grey.sum(2)
        mx, my = across @ x / safe, down @ y / safe
        xx = across @ (x * x) / safe - mx**2
        yy = down @ (y * y) / safe - my**2
        xy = torch.einsum("nhw,h,w->n", self.grey, y, x) / safe - mx * my
        return mass / (height * width), mx, my, xx, yy, xy

    @cached_property
    def centred(self) -> Float64[Tensor, "image 1 height width"]:
        """Moved so that the centre of mass is the centre of the image."""
        _, x, y, *_ = self.moments
        height, width = self.grey.shape[1:]
        side = max(height, width)
        move = torch.eye(2, 3, dtype=torch.float64).repeat(len(self.grey), 1, 1)
        move[:, 0, 2], move[:, 1, 2] = x * (2 * side / width), y * (2 * side / height)
        grid = F.affine_grid(move, [len(self.grey), 1, height, width], align_corners=False)
        return F.grid_sample(self.grey[:, None], grid, align_corners=False)

    @cached_property
    def sheet(self) -> _Sheet:
        """The ink of all images."""
        return _Sheet.of(self.ink.numpy())

    @cached_property
    def skeleton(self) -> NDArray[np.bool_]:
        """The middle lines of the strokes on the sheet, without spurs: branches that are too short to be strokes."""
        try:
            from skimage.morphology import skeletonize
        except ImportError as error:
            raise MissingExtra("scikit-image", "studies") from error
        full: Any = skeletonize(self.sheet.picture)
        # Ends are eaten for some steps, then grow again along what was there: a spur, eaten whole, has no end left.
        left = full.copy()
        for _ in range(SPUR):
            left.flat[self._tips(left)] = False
        tips = self._tips(left)
        for _ in range(SPUR):
            near = (tips[:, None] + self._offsets).ravel()
            tips = np.unique(near[full.flat[near] & ~left.flat[near]])
            left.flat[tips] = True
        # A stroke that was eaten whole is no spur.
        gone = np.ones(len(self.sheet), bool)
        gone[self.sheet.owner(np.flatnonzero(left))] = False
        kept = left.reshape(len(self.sheet), -1)
        kept[gone] = full.reshape(len(self.sheet), -1)[gone]
        return left

    @property
    def _offsets(self) -> NDArray[np.int64]:
        return np.array([down * self.sheet.width + right for down, right in _AROUND])

    def _around(self, lines: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels of lines, and how many branches leave each: 1 at an end, 2 along a line, 3 or more at a fork."""
        pixels = np.flatnonzero(lines)
        neighbours = lines.flat[pixels[:, None] + self._offsets]
        return pixels, _CROSSINGS[neighbours @ (1 << np.arange(8))]

    def _tips(self, lines: NDArray[np.bool_]) -> NDArray[np.int64]:
        pixels, crossings = self._around(lines)
        return pixels[crossings == 1]

    def count(self, owners: NDArray[Any], weights: NDArray[Any] | None = None) -> Values:
        """How many (or what sum) each image has."""
        return torch.from_numpy(np.bincount(owners, weights, len(self.sheet)).astype(np.float64))

    @cached_property
    def line(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixels of the skeleton, and how many branches leave each."""
        return self._around(self.skeleton)

    @cached_property
    def holes(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Ground that ink encloses: of which image each hole is, its area in pixels, and the row of its centre."""
        from scipy import ndimage

        found: Any = ndimage.label(~self.sheet.picture)
        labels = found[0].ravel()
        pixels = np.flatnonzero(labels > labels[0])  # the first pixel is outside of all glyphs, and so is its label
        owner, area, row = np.zeros(found[1] + 1), np.bincount(labels), np.zeros(found[1] + 1)
        owner[labels[pixels]] = self.sheet.owner(pixels)
        row = np.bincount(labels[pixels], self.sheet.row(pixels) + 0.5, found[1] + 1) / np.maximum(area, 1)
        area[: labels[0] + 1] = 0
        kept = area >= HOLE
        return owner[kept].astype(np.int64), area[kept], row[kept]

    def longest_run(self, dim: int) -> Values:
        """The longest unbroken run of ink along a dimension, in pixels."""
        run = torch.zeros_like(self.ink.select(dim, 0), dtype=torch.float64)
        longest = run.clone()
        for line in self.ink.unbind(dim):
            run = (run + 1) * line
            longest = torch.maximum(longest, run)
        return longest.amax(1)

    def ratio(self, above: Values, below: Values) -> Values:
        """0 where there is nothing to divide by."""
        return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)


# ---------------------------------------------------------------- the attributes


def _holes(glyphs: _Glyphs) -> Values:
    return glyphs.count(glyphs.holes[0])


def _loop(glyphs: _Glyphs, *, upper: bool) -> Values:
    owner, _, row = glyphs.holes
    first, last = (end.numpy()[owner] for end in glyphs.box[:2])
    place = (row - first) / (last - first)
    return glyphs.count(owner[place < 0.4 if upper else place > 0.6]).clamp(max=1)


def _enclosed(glyphs: _Glyphs) -> Values:
    owner, area, _ = glyphs.holes
    inside = glyphs.count(owner, area)
    return glyphs.ratio(inside, inside + glyphs.ink.sum((1, 2)))


def _ends(glyphs: _Glyphs) -> Values:
    pixels, branches = glyphs.line
    return glyphs.count(glyphs.sheet.owner(pixels[branches == 1]))


def _forks(glyphs: _Glyphs) -> Values:
    from scipy import ndimage

    pixels, branches = glyphs.line
    spots = np.zeros_like(glyphs.skeleton)
    spots.flat[pixels[branches >= 3]] = True
    blobs: Any = ndimage.binary_dilation(spots, np.ones((3, 3), bool), iterations=FORK, mask=~_lines_between(glyphs))
    labels: Any = ndimage.label(blobs, np.ones((3, 3), bool))
    first = np.unique(labels[0].ravel(), return_index=True)[1][1:]
    return glyphs.count(glyphs.sheet.owner(first))


def _lines_between(glyphs: _Glyphs) -> NDArray[np.bool_]:
    """The empty lines between the images of a sheet."""
    rows = np.arange(len(glyphs.sheet.picture)) % glyphs.sheet.height
    between = np.zeros_like(glyphs.sheet.picture)
    between[(rows == 0) | (rows == glyphs.sheet.height - 1)] = True
    between[:, [0, -1]] = True
    return between


def _length(glyphs: _Glyphs) -> Values:
    """Of the skeleton: a step across a corner counts sqrt(2), unless there is a way around it."""
    pixels, _ = glyphs.line
    lines, width = glyphs.skeleton, glyphs.sheet.width
    right, down = lines.flat[pixels + 1], lines.flat[pixels + width]
    falling = lines.flat[pixels + width + 1] & ~right & ~down
    rising = lines.flat[pixels + width - 1] & ~down & ~lines.flat[pixels - 1]
    steps = right + down + np.sqrt(2) * (falling.astype(float) + rising)
    return glyphs.count(glyphs.sheet.owner(pixels), steps) / glyphs.side


def _winding(glyphs: _Glyphs) -> Values:
    top, bottom, left, right = glyphs.box
    return glyphs.ratio(_length(glyphs) * glyphs.side, torch.hypot(bottom - top, right - left))


def _thickness(glyphs: _Glyphs) -> Values:
    from scipy import ndimage

    pixels, _ = glyphs.line
    depth: Any = ndimage.distance_transform_edt(glyphs.sheet.picture)
    owner = glyphs.sheet.owner(pixels)
    # In the middle of w pixels the distance to the ground is (w + 1) / 2 for an odd w, and w / 2 for an even one.
    across = glyphs.ratio(glyphs.count(owner, 2 * depth.flat[pixels] - 0.5), glyphs.count(owner))
    return across / glyphs.side


def _slant(glyphs: _Glyphs) -> Values:
    *_, yy, xy = glyphs.moments
    return torch.rad2deg(torch.atan(glyphs.ratio(-xy, yy)))


def _elongation(glyphs: _Glyphs) -> Values:
    *_, xx, yy, xy = glyphs.moments
    middle, reach = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    return torch.where(middle > 0, 1 - glyphs.ratio(middle - reach, middle + reach).clamp(min=0).sqrt(), 0.0)


def _mirrored(glyphs: _Glyphs, *dims: int) -> Values:
    image = glyphs.centred
    return glyphs.ratio((image * image.flip(dims)).sum((1, 2, 3)), (image * image).sum((1, 2, 3)))


def _bar(glyphs: _Glyphs, dim: int) -> Values:
    top, bottom, left, right = glyphs.box
    return glyphs.ratio(glyphs.longest_run(dim), torch.maximum(bottom - top, right - left))


def _top_share(glyphs: _Glyphs) -> Values:
    top, bottom, *_ = glyphs.box
    rows = glyphs.ink.sum(2).double()
    place = torch.arange(rows.shape[1]).double()
    share = ((top + bottom)[:, None] / 2 - place).clamp(0, 1)
    return glyphs.ratio((rows * share).sum(1), rows.sum(1))


def _width(glyphs: _Glyphs) -> Values:
    return (glyphs.box[3] - glyphs.box[2]) / glyphs.side


def _height(glyphs: _Glyphs) -> Values:
    return (glyphs.box[1] - glyphs.box[0]) / glyphs.side


_RULES: tuple[tuple[Attribute, Callable[[_Glyphs], Values]], ...] = (
    (Attribute("holes", "Regions of the ground that ink encloses.", "count"), _holes),
    (
        Attribute("loop above", "A hole has its centre in the upper 40 % of the glyph's height.", "binary"),
        lambda glyphs: _loop(glyphs, upper=True),
    ),
    (
        Attribute("loop below", "A hole has its centre in the lower 40 % of the glyph's height.", "binary"),
        lambda glyphs: _loop(glyphs, upper=False),
    ),
    (Attribute("enclosed", "Area of the holes, as a share of ink and holes."), _enclosed),
    (Attribute("stroke ends", "Free ends of the skeleton.", "count"), _ends),
    (Attribute("crossings", "Places where lines of the skeleton meet.", "count"), _forks),
    (Attribute("stroke length", "Length of the skeleton, in sides of the image."), _length),
    (
        Attribute("winding", "Length of the skeleton over the diagonal of the glyph's box: 1 is a straight line."),
        _winding,
    ),
    (Attribute("thickness", "Mean width of the strokes along the skeleton, in sides of the image."), _thickness),
    (Attribute("ink", "Mean grey value of the image, in [0, 1]."), lambda glyphs: glyphs.moments[0]),
    (Attribute("width", "From the leftmost to the rightmost ink, in sides of the image."), _width),
    (Attribute("height", "From the highest to the lowest ink, in sides of the image."), _height),
    (Attribute("aspect", "Width over height."), lambda glyphs: glyphs.ratio(_width(glyphs), _height(glyphs))),
    (Attribute("slant", "Angle of the best upright line, in degrees; above 0 it leans to the right."), _slant),
    (Attribute("elongation", "1 - short over long axis of the ink's spread: 0 is round, 1 a line."), _elongation),
    (
        Attribute("horizontal bar", "Longest unbroken run of ink in a row, over the glyph's larger side."),
        lambda glyphs: _bar(glyphs, 2),
    ),
    (
        Attribute("vertical bar", "Longest unbroken run of ink in a column, over the glyph's larger side."),
        lambda glyphs: _bar(glyphs, 1),
    ),
    (
        Attribute("place across", "Centre of mass right of the image's centre, in sides of the image."),
        lambda glyphs: glyphs.moments[1],
    ),
    (
        Attribute("place down", "Centre of mass below the image's centre, in sides of the image."),
        lambda glyphs: glyphs.moments[2],
    ),
    (
        Attribute("left-right symmetry", "Cosine with the image mirrored left to right about its centre of mass."),
        lambda glyphs: _mirrored(glyphs, 3),
    ),
    (
        Attribute("up-down symmetry", "Cosine with the image mirrored up to down about its centre of mass."),
        lambda glyphs: _mirrored(glyphs, 2),
    ),
    (
        Attribute("half-turn symmetry", "Cosine with the image turned by 180 degrees about its centre of mass."),
        lambda glyphs: _mirrored(glyphs, 2, 3),
    ),
    (Attribute("top share", "Share of the ink that lies in the upper half of the glyph's box."), _top_share),
)

ATTRIBUTES: tuple[Attribute, ...] = tuple(attribute for attribute, _ in _RULES)
HUE = Attribute("hue", "Hue of the mean colour, as sine and cosine of its angle.")
