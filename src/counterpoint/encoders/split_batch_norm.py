"""Batch statistics of parts of a batch, as devices have that each normalise their own share."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.errors import RecipeError
from counterpoint.types import Comm, Encoder, Facts

__all__ = ["SplitBatchNorm", "SplitNorm", "bare", "in_groups"]


@dataclass(frozen=True)
class SplitBatchNorm:
    """An encoder whose BatchNorm layers normalise groups of rows apart from one another.

    MoCo needs it: where a query and its key are normalised with the same images, the network can tell the key by their
    statistics, without looking at the image. With keys in a random order (`MovingAverage(shuffle=True)`) it can't.
    The weights are those of the encoder; one without BatchNorm stays as it is.

    Source: He et al. 2020, section 3.3 (shuffled BatchNorm over 8 devices); their CIFAR code splits a batch on one.

    Args:
        inner: the encoder; its norms are torch's BatchNorm layers.
        rows: of a group, >= 2: rows that follow one another, of one view. On more ranks than one, groups are those of
            one process where each rank's share of a view is a whole number of them.
    """

    inner: Encoder
    rows: int = 32

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise RecipeError(f"SplitBatchNorm(rows={self.rows}): a group has at least 2 rows; 32 is usual")

    @property
    def width(self) -> int:
        """The encoder's."""
        return self.inner.width

    def build(self, facts: Facts) -> nn.Module:
        """The encoder's module, each of its BatchNorm layers exchanged for one that splits."""
        return _split(self.inner.build(facts), self.rows)


def in_groups(encoder: Encoder, batch: int, split: int | None = None) -> Encoder:
    """The encoder with a batch's BatchNorm statistics in groups; with one group the encoder itself.

    Args:
        encoder: any.
        batch: images of a global batch.
        split: groups, from 1 to half the batch; None: 8, or as many as a batch below 16 has.

    Raises:
        RecipeError: the batch has no such groups.
    """
    most = max(1, batch // 2)
    groups = min(8, most) if split is None else split
    if not 1 <= groups <= most:
        raise RecipeError(
            f"a batch of {batch} images cannot be split into {groups} groups of 2 or more; give a split of 1 to {most}"
        )
    return encoder if groups == 1 else SplitBatchNorm(encoder, batch // groups)


def bare(encoder: Encoder) -> Encoder:
    """The encoder itself, whose weights and output in use are the same."""
    return encoder.inner if isinstance(encoder, SplitBatchNorm) else encoder


class SplitNorm(nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
    """Batch normalisation of groups of rows, each with its own mean and variance.

    The running statistics move towards the groups' mean, over all ranks. Parameters and buffers have the names of
    torch's layer.

    Args:
        layer: torch's; parameters and buffers are taken over.
        rows: of a group; where they do not divide a batch, as many groups as they make, of nearly equal size.
    """

    per_rank = True

    def __init__(self, layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, rows: int) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, affine=False, track_running_stats=False)
        self.rows = rows
        self.comm: Comm | None = None
        self.affine, self.track_running_stats, self.training = layer.affine, layer.track_running_stats, layer.training
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked

    def among(self, comm: Comm) -> None:
        """Running statistics are the mean over these ranks."""
        self.comm = comm

    def forward(self, input: Float[Tensor, "row channel *space"]) -> Float[Tensor, "row channel *space"]:
        """Normalised input; by groups where the statistics are the batch's."""
        if not self.training and self.running_mean is not None:
            return super().forward(input)
        groups = max(1, len(input) // self.rows)
        # One split, not slices: the backward pass of each slice would fill a gradient of the whole batch.
        parts = input.split([len(input) // groups + (at < len(input) % groups) for at in range(groups)])
        exact = torch.promote_types(input.dtype, torch.float32)
        found = torch.zeros(2, len(parts), self.num_features, dtype=exact, device=input.device)
        # With a momentum of 1 the running statistics are those of the group.
        out = [
            functional.batch_norm(part, mean, var, self.weight, self.bias, True, 1.0, self.eps)
            for part, mean, var in zip(parts, *found, strict=True)
        ]
        if self.training and self.running_mean is not None:
            self._move(*found.mean(1))
        return out[0] if len(out) == 1 else torch.cat(out)

    def _move(self, mean: Tensor, var: Tensor) -> None:
        if self.comm is not None and self.comm.world > 1:
            mean, var = self.comm.sum(torch.stack([mean, var])) / self.comm.world
        tracked = cast(Tensor, self.num_batches_tracked).add_(1)
        momentum = 1.0 / float(tracked) if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            cast(Tensor, running).lerp_(new.to(cast(Tensor, running).dtype), momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected [row, channel, …], got {list(input.shape)}")


def _split(module: nn.Module, rows: int) -> nn.Module:
    if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        return SplitNorm(cast(nn.BatchNorm2d, module), rows)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
        raise RecipeError(
            f"only torch's own BatchNorm can be split, but this encoder has {type(module).__name__}; take another "
            "encoder, or do not split its statistics"
        )
    for name, child in module.named_children():
        setattr(module, name, _split(child, rows))
    return module
