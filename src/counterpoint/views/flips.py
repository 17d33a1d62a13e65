"""Mirror and quarter turns: pixels move, values stay."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.random import Stream
from counterpoint.views.op import Images, as_float, chosen, share

__all__ = ["HFlip", "QuarterTurn", "VFlip"]


def _flip_points(points: Tensor, flip: Tensor, axis: int) -> Tensor:
    sign = torch.ones(len(flip), 1, 1, 2, device=points.device)
    sign[:, 0, 0, axis] = torch.where(flip, -1.0, 1.0)
    return points * sign


@dataclass(frozen=True)
class HFlip:
    """Mirror left-right. Agrees with torchvision's `hflip` exactly.

    Args:
        p: probability for a sample.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        share(self.p, "HFlip", "p")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Bool[Tensor, " batch"]:
        """Which samples."""
        return stream.uniform(len(images)).to(images.device) < self.p

    def apply(self, images: Images, drawn: Bool[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Mirrored where drawn."""
        return chosen(as_float(images), drawn, lambda x, _: x.flip(-1))

    @property
    def interpolation(self) -> None:
        """None: moves whole pixels only."""
        return None

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """The mirrored place."""
        return _flip_points(points, drawn, 0)


@dataclass(frozen=True)
class VFlip:
    """Mirror top-bottom. Agrees with torchvision's `vflip` exactly.

    Args:
        p: probability for a sample.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        share(self.p, "VFlip", "p")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Bool[Tensor, " batch"]:
        """Which samples."""
        return stream.uniform(len(images)).to(images.device) < self.p

    def apply(self, images: Images, drawn: Bool[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Mirrored where drawn."""
        return chosen(as_float(images), drawn, lambda x, _: x.flip(-2))

    @property
    def interpolation(self) -> None:
        """None: moves whole pixels only."""
        return None

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """The mirrored place."""
        return _flip_points(points, drawn, 1)


@dataclass(frozen=True)
class QuarterTurn:
    """Rotate by 0, 90, 180 or 270 degrees, counter-clockwise, each as likely; equals torchvision's `rotate` exactly.

    Square images only. The drawn number of turns is the label of rotation prediction (Gidaris et al. 2018).
    """

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Int64[Tensor, " batch"]:
        """Number of quarter turns."""
        if images.shape[-1] != images.shape[-2]:
            raise ShapeError(
                f"QuarterTurn needs square images, but got {images.shape[-2]} x {images.shape[-1]}; crop them first"
            )
        return stream.integers(0, 4, len(images)).to(images.device)

    def apply(self, images: Images, drawn: Int64[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Turned images."""
        x = as_float(images)
        for turns in (1, 2, 3):
            x = chosen(x, drawn == turns, lambda part, _, k=turns: part.rot90(k, (-2, -1)))
        return x

    @property
    def interpolation(self) -> None:
        """None: moves whole pixels only."""
        return None

    def trace(self, points: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """The place before turning."""
        cosine = torch.tensor([1.0, 0.0, -1.0, 0.0], device=points.device)[drawn][:, None, None]
        sine = torch.tensor([0.0, 1.0, 0.0, -1.0], device=points.device)[drawn][:, None, None]
        x, y = points.unbind(-1)
        return torch.stack((cosine * x - sine * y, sine * x + cosine * y), -1)
