"""The images of a page: one sheet of them, where each stands in it, and how large it is shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from counterpoint.report.atlas import Atlas
from counterpoint.report.sprites import BUDGET, Sheet, sheet
from counterpoint.types import Images

__all__ = ["Pictures", "called", "gather", "payload"]

SIZES = {"small": 40, "middle": 64, "large": 112}


@dataclass(frozen=True)
class Pictures:
    """A sheet of test images.

    Args:
        name: of its CSS class.
        sheet: the images.
        place: where each sample stands in it.
        sizes: widths in pixels of a small, a middle and a large tile: whole multiples where the original is small.
        full: height and width of the images that the sheet shows smaller; None where it shows every pixel.
    """

    name: str
    sheet: Sheet
    place: dict[int, int]
    sizes: dict[str, int]
    full: tuple[int, int] | None


def gather(
    images: UInt8[Tensor, "image channel height width"] | Images | None,
    samples: Iterable[int],
    *,
    name: str = "sheet-0",
    budget: int = BUDGET,
) -> Pictures | None:
    """The sheet of some samples; None where there are no images.

    Args:
        images: the test split.
        samples: positions in it; repeated ones and those beyond it are left out.
        name: CSS class of the sheet.
        budget: bytes of the encoded sheet, about.
    """
    if images is None or len(images) == 0:
        return None
    wanted = [s for s in dict.fromkeys(samples) if 0 <= s < len(images)]
    if not wanted:
        return None
    made = sheet(images, torch.tensor(wanted), budget=budget)
    edge = max(made.width, made.height)
    if made.pixelated:
        sizes = {word: made.width * max(1, round(size / edge)) for word, size in SIZES.items()}
    else:
        sizes = {word: round(made.width * size / edge) for word, size in SIZES.items()}
    full = None if made.pixelated else (int(images.shape[-2]), int(images.shape[-1]))
    return Pictures(name, made, {sample: i for i, sample in enumerate(wanted)}, sizes, full)


def called(sample: int, names: Sequence[str] | None) -> str:
    """What a person calls a test image: by its name, or by its position where it has none."""
    return names[sample] if names is not None and 0 <= sample < len(names) else f"test image {sample}"


def payload(
    atlas: Atlas, pictures: Pictures | None, classes: tuple[str, ...], names: Sequence[str] | None = None
) -> dict[str, Any]:
    """What the script needs to open a map."""
    place: dict[int, int] = {} if pictures is None else pictures.place
    tiles = None if pictures is None else pictures.sheet
    return {
        "map": {**atlas.data(), "tile": [place.get(s, -1) for s in atlas.sample.tolist()]},
        "called": [called(s, names) for s in atlas.sample.tolist()],
        "sheet": tiles
        and {"columns": tiles.columns, "width": tiles.width, "height": tiles.height, "pixelated": tiles.pixelated},
        "tile": f"tile {pictures.name}" if pictures is not None else "tile",
        "sizes": pictures.sizes if pictures is not None else dict.fromkeys(SIZES, 0),
        "classes": list(classes),
        "of": atlas.of,
    }
