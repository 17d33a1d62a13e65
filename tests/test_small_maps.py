"""Convolutions on maps that their kernel does not fill."""

import copy
import itertools
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from counterpoint.encoders import ConvNet
from counterpoint.engine import Numerics
from counterpoint.model import Model
from counterpoint.recipe import compose
from counterpoint.small_maps import guard_small_maps, unread, unwritten
from counterpoint.types import Facts


def places_read(side: int, kernel: int, stride: int, padding: int, dilation: int) -> set[int]:
    """By walking over all outputs."""
    outputs = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return {
        place
        for output in range(outputs)
        for place in range(kernel)
        if 0 <= output * stride - padding + place * dilation < side
    }


def test_which_places_of_a_kernel_meet_only_padding():
    for side in range(1, 7):
        for kernel in range(1, 6):
            for stride in range(1, 5):
                for dilation in (1, 2):
                    for padding in range(4):
                        if side + 2 * padding < dilation * (kernel - 1) + 1:
                            continue
                        layer = nn.Conv1d(1, 1, kernel, stride, padding, dilation)
                        expected = len(places_read(side, kernel, stride, padding, dilation)) < kernel
                        assert unread((side,), layer) == expected, (side, kernel, stride, padding, dilation)


def test_padding_by_name_and_by_the_image_itself():
    assert unread((1, 5), nn.Conv2d(1, 1, 3, padding="same"))
    assert not unread((5, 5), nn.Conv2d(1, 1, 3, padding="same"))
    assert not unread((3, 3), nn.Conv2d(1, 1, 3, padding="valid"))
    assert not unread((2, 2), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))


def gradients(layer: nn.Module, x: torch.Tensor, precision: str) -> torch.Tensor:
    layer.zero_grad()
    # What is freed here is what an unset gradient would hold.
    junk = [torch.full((n,), 1e30) for n in (73728, 1 << 20, 64 * 128 * 3, 64 * 128 * 27) for _ in range(4)]
    del junk
    with Numerics(precision).autocast(x.device):
        y = layer(x)
    y.float().square().sum().backward()
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    assert weight.grad is not None
    return weight.grad.clone()


@pytest.mark.parametrize(("kind", "axes"), [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)])
@pytest.mark.parametrize("side", [1, 2])
def test_the_gradient_is_that_of_float32_up_to_rounding(kind: type[nn.Conv2d], axes: int, side: int):
    torch.manual_seed(0)
    layer = kind(64, 128, 3, 3, 1)
    x = torch.randn(8, 64, *([side] * axes))
    exact = gradients(layer, x, "32-true")
    guarded = guard_small_maps(copy.deepcopy(layer))
    rough = gradients(guarded, x, "bf16-mixed")
    assert torch.isfinite(rough).all()
    assert (rough - exact).norm() < 0.02 * exact.norm()
    assert (rough[(exact == 0)] == 0).all()


@pytest.mark.parametrize(
    ("kind", "side", "kernel", "stride"),
    [
        (nn.ConvTranspose1d, 1, 4, 3),
        (nn.ConvTranspose1d, 2, 3, 5),
        (nn.ConvTranspose2d, 1, 3, 3),
        (nn.ConvTranspose3d, 1, 4, 3),
        (nn.ConvTranspose3d, 2, 4, 1),
    ],
)
def test_so_is_that_of_a_transposed_convolution(kind: type[nn.ConvTranspose2d], side: int, kernel: int, stride: int):
    torch.manual_seed(0)
    layer = kind(64, 128, kernel, stride, 2 if stride == 5 else 1)
    x = torch.randn(8, 64, *([side] * len(layer.kernel_size)))
    exact = gradients(layer, x, "32-true")
    guarded = guard_small_maps(copy.deepcopy(layer))
    rough = gradients(guarded, x, "bf16-mixed")
    assert torch.isfinite(rough).all()
    assert (rough - exact).norm() < 0.02 * exact.norm()


def test_which_places_of_a_kernel_miss_the_output():
    for side, kernel, stride, padding, dilation in itertools.product(
        range(1, 6), range(1, 5), range(1, 8), range(3), (1, 2)
    ):
        output = (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
        if output < 1:
            continue
        met = {
            place
            for i in range(side)
            for place in range(kernel)
            if 0 <= i * stride + place * dilation - padding < output
        }
        layer = nn.ConvTranspose1d(1, 1, kernel, stride, padding, dilation=dilation)
        expected = output < dilation * (kernel - 1) + 1 or len(met) < kernel
        assert unwritten((side,), layer) == expected, (side, kernel, stride, padding, dilation)


def test_a_transposed_convolution_of_a_full_map_stays_in_bfloat16():
    layer = guard_small_maps(nn.ConvTranspose2d(3, 4, 3, 2, 1))
    with torch.autocast("cpu", torch.bfloat16):
        whole = layer(torch.randn(2, 3, 8, 8))
        assert (whole.dtype, whole.shape[2:]) == (torch.bfloat16, (15, 15))
        assert layer(torch.randn(2, 3, 8, 8), [16, 16]).shape[2:] == (16, 16)
        assert layer(torch.randn(2, 3, 1, 1)).dtype == torch.float32


def test_a_full_map_stays_in_bfloat16_and_nothing_is_renamed():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1))
    names = list(layer.state_dict())
    guard_small_maps(layer)
    assert list(layer.state_dict()) == names
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 3, 8, 8)).dtype == torch.bfloat16
        assert layer(torch.randn(2, 3, 1, 1)).dtype == torch.float32
    again = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), layer.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["own class", "parametrized"])
def test_other_peoples_convolutions_are_guarded_too(kind: str):
    class Mine(nn.Conv2d): ...

    torch.manual_seed(0)
    layer = Mine(64, 128, 3, 2, 1) if kind == "own class" else weight_norm(nn.Conv2d(64, 128, 3, 2, 1))
    guarded = guard_small_maps(layer)
    assert guard_small_maps(guarded) is guarded
    assert isinstance(guarded, type(layer))
    with torch.autocast("cpu", torch.bfloat16):
        assert guarded(torch.randn(2, 64, 1, 1)).dtype == torch.float32
        assert guarded(torch.randn(2, 64, 8, 8)).dtype == torch.bfloat16


def test_a_layer_in_double_precision_stays_there():
    layer = guard_small_maps(nn.Conv2d(3, 4, 3, 2, 1).double())
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 3, 1, 1, dtype=torch.float64)).dtype == torch.float64


def test_every_model_is_guarded():
    """Whatever loop it is trained in."""
    facts = Facts("made", "objects", 1, 28, 512, 10, (0.5,), (0.5,), total_steps=2, steps_per_epoch=2)
    model = Model(compose("selfie", facts, ConvNet(), {"batch_size": 8}), facts)
    strided = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert strided
    with torch.autocast("cpu", torch.bfloat16):
        assert all(m(torch.randn(2, m.in_channels, 1, 1)).dtype == torch.float32 for m in strided)
