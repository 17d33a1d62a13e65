"""Convolutions on maps that their kernel does not fill, kept from bfloat16."""

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["guard_small_maps", "unread", "unwritten"]


_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def guard_small_maps(model: nn.Module) -> nn.Module:
    """The module, whose convolutions are computed in their weights' precision where bfloat16 autocast goes wrong.

    Torch's bfloat16 convolution on CPUs (seen in 2.14.1, oneDNN; one, two and three dimensions) leaves those entries of
    a weight's gradient unset whose place of the kernel meets nothing but padding: what the memory held before, up to
    infinity, where 0 is right. A 3 x 3 kernel of stride 2 on a 1 x 1 map is enough. Transposed convolutions have the
    same fault where their output is smaller than the kernel, or misses a place of it. Elsewhere nothing changes: the
    weights, their names and what is computed at float32 or on a GPU stay. Not guarded: functional calls, and layers
    with a forward pass of their own.
    """
    for module in model.modules():
        kind = type(module)
        if any(issubclass(kind, plain) and kind.forward is plain.forward for plain in _GUARDED):
            module.__class__ = _GUARDED.get(kind) or _guarded(kind)
    return model


def unread(sides: tuple[int, ...], layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Whether a place of the kernel meets only padding, along one of the `sides` (pixels) of a map."""
    if layer.padding_mode != "zeros":
        return False
    for axis, side in enumerate(sides):
        kernel, stride, step = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
        if isinstance(layer.padding, str):
            both = step * (kernel - 1) if layer.padding == "same" else 0
            before = both // 2
        else:
            both, before = 2 * layer.padding[axis], layer.padding[axis]
        outputs = (side + both - step * (kernel - 1) - 1) // stride + 1
        if _misses(kernel, stride, step, before, outputs, side):
            return True
    return False


def unwritten(sides: tuple[int, ...], layer: nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) -> bool:
    """Whether a transposed convolution's output is smaller than its kernel, or misses a place of it, along one axis."""
    for axis, side in enumerate(sides):
        kernel, stride, step = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
        before = cast(tuple[int, ...], layer.padding)[axis]
        output = (side - 1) * stride - 2 * before + step * (kernel - 1) + 1
        if output < step * (kernel - 1) + 1 or _misses(kernel, stride, step, before, side, output):
            return True
    return False


def _misses(kernel: int, stride: int, step: int, before: int, steps: int, side: int) -> bool:
    """Whether a place of a kernel that is set down `steps` times from `before` a line's start never meets the line."""
    for place in range(kernel):
        first = place * step - before
        # Of the points first, first + stride, ..., the one nearest to the line's start that is not before it.
        skipped = max(0, -(first // stride))
        if skipped >= steps or first + skipped * stride >= side:
            return True
    return False


def _unsafe(layer: nn.Module, x: Tensor) -> bool:
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    if isinstance(layer, _TRANSPOSED):
        return unwritten(tuple(x.shape[-len(layer.kernel_size) :]), layer)
    plain = cast(nn.Conv2d, layer)
    return unread(tuple(x.shape[-len(plain.kernel_size) :]), plain)


class _Guarded(nn.Module):
    """Of a transposed convolution the forward pass has one more argument, the output's size."""

    def forward(self, input: Tensor, *size: list[int] | None, **named: list[int] | None) -> Tensor:
        if not _unsafe(self, input):
            return super().forward(input, *size, **named)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(cast(Tensor, self.weight).dtype), *size, **named)


class _Conv1d(_Guarded, nn.Conv1d): ...


class _Conv2d(_Guarded, nn.Conv2d): ...


class _Conv3d(_Guarded, nn.Conv3d): ...


class _ConvTranspose1d(_Guarded, nn.ConvTranspose1d): ...


class _ConvTranspose2d(_Guarded, nn.ConvTranspose2d): ...


class _ConvTranspose3d(_Guarded, nn.ConvTranspose3d): ...


_GUARDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: _Conv1d,
    nn.Conv2d: _Conv2d,
    nn.Conv3d: _Conv3d,
    nn.ConvTranspose1d: _ConvTranspose1d,
    nn.ConvTranspose2d: _ConvTranspose2d,
    nn.ConvTranspose3d: _ConvTranspose3d,
}


@cache
def _guarded(kind: type[nn.Module]) -> type[nn.Module]:
    """Of a class that is somebody else's: a layer with a parametrization, or with another way to begin."""
    return type(kind.__name__, (_Guarded, kind), {})
