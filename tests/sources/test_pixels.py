import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional

from counterpoint.sources import fit_images, measure, pixels


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 1000))
def test_measure_is_the_mean_and_deviation_of_float64(n: int, channels: int, seed: int) -> None:
    images = torch.randint(
        0, 256, (n, channels, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    exact = images.double().div(255).transpose(0, 1).flatten(1)
    mean, std = measure(images)
    np.testing.assert_allclose(mean, exact.mean(1), rtol=1e-13)
    np.testing.assert_allclose(std, exact.std(1, unbiased=False), rtol=1e-12, atol=1e-15)


def test_measure_does_not_depend_on_the_chunk(monkeypatch) -> None:
    images = torch.randint(0, 256, (37, 3, 6, 6), dtype=torch.uint8)
    whole = measure(images)
    monkeypatch.setattr(pixels, "_CHUNK", 100)
    assert measure(images) == whole


def slow_fit(image: Tensor, size: int) -> Tensor:
    return functional.center_crop(functional.resize(image, [size], antialias=True), [size])


def test_fit_agrees_with_torchvision() -> None:
    for height, width, size in ((20, 31, 9), (31, 20, 9), (8, 8, 16), (7, 12, 12)):
        images = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
        assert (fit_images(images, size).int() - slow_fit(images, size).int()).abs().max() <= 1


def test_fit_leaves_images_of_the_size_alone() -> None:
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    assert fit_images(images, None) is images
    assert fit_images(images, 8) is images
