"""Filters on neighbouring pixels, and noise: Gaussian blur, Sobel edges, Gaussian noise."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.random import Stream
from counterpoint.views.op import Images, as_float, chosen, interval, share
from counterpoint.views.resample import band, gaussian_taps, resample

__all__ = ["Blur", "BlurDraw", "Noise", "NoiseDraw", "Sobel"]


class BlurDraw(NamedTuple):
    """Which samples, and the standard deviation of each, in pixels."""

    keep: Bool[Tensor, " batch"]
    sigma: Float[Tensor, " batch"]


@dataclass(frozen=True)
class Blur:
    """Gaussian blur with a standard deviation drawn for each sample; borders are reflected.

    Agrees with torchvision's `gaussian_blur` to 1e-5. Each axis is one product with a banded matrix.

    Args:
        kernel: side of the window in pixels, odd; its half must be below the side of the image.
        sigma: range of the standard deviation in pixels, drawn uniformly.
        p: probability for a sample.
    """

    kernel: int = 3
    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        share(self.p, "Blur", "p")
        interval(self.sigma, "Blur", "sigma", above=0.0)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise RecipeError(f"Blur(kernel={self.kernel}) is not possible: kernel must be odd and positive")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> BlurDraw:
        """Choice and standard deviation."""
        keep = stream.uniform(len(images)) < self.p
        sigma = stream.uniform(len(images), low=self.sigma[0], high=self.sigma[1])
        return BlurDraw(keep.to(images.device), sigma.to(images.device))

    def apply(self, images: Images, drawn: BlurDraw) -> Float[Tensor, "batch channel height width"]:
        """Blurred where drawn."""
        height, width = images.shape[-2:]
        radius = self.kernel // 2
        if radius >= min(height, width):
            raise ShapeError(
                f"Blur(kernel={self.kernel}) reflects {radius} pixels at each border, but the image is "
                f"{height} x {width}; take a kernel of at most {2 * min(height, width) - 1}"
            )

        def change(x: Tensor, index: Tensor) -> Tensor:
            taps = gaussian_taps(radius, drawn.sigma[index])
            vertical = band(taps, height, border="reflect")
            horizontal = vertical if width == height else band(taps, width, border="reflect")
            return resample(x, vertical, horizontal).clamp_(0, 1)

        return chosen(as_float(images), drawn.keep, change)


@dataclass(frozen=True)
class Sobel:
    """Strength of edges in each channel: sqrt((g_x^2 + g_y^2) / 2), g from the Sobel kernels divided by 4, in [0, 1].

    Borders repeat the edge pixel. torchvision has no Sobel; agrees with `skimage.filters.sobel`'s definition, checked
    against `scipy.ndimage.sobel` to 1e-6.

    Args:
        p: probability for a sample.
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        share(self.p, "Sobel", "p")

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> Bool[Tensor, " batch"]:
        """Which samples."""
        return stream.uniform(len(images)).to(images.device) < self.p

    def apply(self, images: Images, drawn: Bool[Tensor, " batch"]) -> Float[Tensor, "batch channel height width"]:
        """Edges where drawn."""
        return chosen(as_float(images), drawn, lambda x, _: _edges(x))


def _edges(x: Tensor) -> Tensor:
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (x[..., 2:] - x[..., :-2]) / 4
    down = (x[..., 2:, :] - x[..., :-2, :]) / 4
    across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return ((across.square() + down.square()) / 2).sqrt()


class NoiseDraw(NamedTuple):
    """Which samples, and the noise that is added."""

    keep: Bool[Tensor, " batch"]
    noise: Float[Tensor, "batch channel height width"]


@dataclass(frozen=True)
class Noise:
    """Independent Gaussian noise on every value, clipped to [0, 1].

    Agrees with torchvision's `gaussian_noise` exactly, given the same noise.

    Args:
        std: of the noise, images being in [0, 1]; drawn uniformly from this range for each sample.
        p: probability for a sample.
    """

    std: tuple[float, float] = (0.05, 0.05)
    p: float = 1.0

    def __post_init__(self) -> None:
        share(self.p, "Noise", "p")
        interval(self.std, "Noise", "std", above=-1e-9)

    def after(self, height: int, width: int) -> tuple[int, int]:
        """Unchanged."""
        return height, width

    def draw(self, images: Tensor, stream: Stream) -> NoiseDraw:
        """Choice and noise."""
        keep = stream.uniform(len(images)) < self.p
        std = stream.uniform(len(images), low=self.std[0], high=self.std[1])
        noise = stream.normal(*images.shape) * std[:, None, None, None]
        return NoiseDraw(keep.to(images.device), noise.to(images.device))

    def apply(self, images: Images, drawn: NoiseDraw) -> Float[Tensor, "batch channel height width"]:
        """Noisy where drawn."""
        return chosen(as_float(images), drawn.keep, lambda x, index: (x + drawn.noise[index]).clamp_(0, 1))
