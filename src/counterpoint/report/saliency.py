"""Saliency as pictures: an image, its map, and both, in rows; a PNG or a page."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from counterpoint.files import whole
from counterpoint.report.exhibits import Pictures, Section, Table
from counterpoint.report.study import write_sections

__all__ = ["COLUMNS", "FORMATS", "tiles", "write_panel", "write_saliency_page"]

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
COLUMNS = ("image", "map", "both")
READABLE = 128  # side of a tile in pixels, at least
GAP, LINE = 6, 16  # between tiles, and the height of a line of words, in pixels
# From dark to light, and told apart without colour: the stops of matplotlib's inferno.
RAMP = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
SHARE = 0.7  # of the map's colour where the map is largest


def _coloured(maps: Float[Tensor, "row height width"]) -> Float[Tensor, "row 3 height width"]:
    stops = torch.tensor(RAMP, dtype=torch.float32) / 255
    place = maps.clamp(0, 1) * (len(stops) - 1)
    below = place.long().clamp(max=len(stops) - 2)
    between = (place - below)[..., None]
    return (stops[below] * (1 - between) + stops[below + 1] * between).permute(0, 3, 1, 2)


def tiles(
    images: UInt8[Tensor, "row plane height width"], maps: Float[Tensor, "row tall wide"] | None
) -> UInt8[Tensor, "row column 3 high broad"]:
    """Each image, its map, and the map laid over it: where the map is small the image is seen; without maps, the image.

    Small images are enlarged by a whole factor without smoothing, their maps smoothly.

    Args:
        images: grey or RGB.
        maps: in [0, 1], of any size.
    """
    factor = max(1, -(-READABLE // max(images.shape[-2:])))
    shown = images.float().div(255).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    shown = shown.expand(-1, 3, -1, -1) if images.shape[1] == 1 else shown[:, :3]
    columns = [shown]
    if maps is not None:
        large = functional.interpolate(maps[:, None], shown.shape[-2:], mode="bilinear", align_corners=False)
        colour, share = _coloured(large[:, 0]), SHARE * large.clamp(0, 1)
        columns += [colour, shown * (1 - share) + colour * share]
    return torch.stack(columns, 1).mul(255).round().to(torch.uint8)


def write_panel(
    target: Path, pictures: UInt8[Tensor, "row column 3 high broad"], rows: Sequence[str], columns: Sequence[str]
) -> Path:
    """Write rows of tiles as one image file, whole or not at all: words above the columns and above each row.

    Args:
        target: the file; its ending, one of `FORMATS`, says of which kind.
        pictures: tiles.
        rows: captions.
        columns: captions.
    """
    from PIL import Image, ImageDraw

    count, across, _, high, broad = pictures.shape
    width, height = GAP + across * (broad + GAP), LINE + count * (LINE + high + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for j, words in enumerate(columns):
        pen.text((GAP + j * (broad + GAP), 2), _plain(words), fill="black")
    for i, words in enumerate(rows):
        top = LINE + i * (LINE + high + GAP)
        pen.text((GAP, top + 2), _plain(words), fill="black")
        for j in range(across):
            tile = Image.fromarray(pictures[i, j].permute(1, 2, 0).contiguous().numpy())
            sheet.paste(tile, (GAP + j * (broad + GAP), top + LINE))
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as temporary:
        sheet.save(temporary, format=FORMATS[target.suffix.lower()])
    return target


def _plain(words: str) -> str:
    """What Pillow's own font can draw, wherever it was built."""
    return words.encode("latin-1", "replace").decode("latin-1")


def write_saliency_page(
    target: Path,
    pictures: UInt8[Tensor, "row column 3 high broad"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    about: Sequence[str],
    numbers: Table,
    command: str,
    facts: dict[str, str],
) -> Path:
    """Write the same as a page with its numbers, one file that needs nothing else.

    Args:
        target: the file; an earlier one is replaced.
        pictures: tiles.
        rows: captions.
        columns: captions.
        title: of the page.
        about: paragraphs at its head.
        numbers: the table.
        command: that makes the page again.
        facts: how it was made, by name.

    Raises:
        RunError: the page cannot be written.
    """
    note = (
        "The maps of a row are divided by their largest value, so that they say where, not how much: the numbers say "
        "that. Where one of two images speaks alone, the other's map is dark."
    )
    shown = Pictures("Maps", note, pictures, tuple(rows), tuple(columns))
    target.parent.mkdir(parents=True, exist_ok=True)
    sections = (Section("maps", "Where it comes from", (), (shown,)), Section("numbers", "How much", (), (numbers,)))
    return write_sections(target, title=title, about=about, sections=sections, command=command, facts=facts)
