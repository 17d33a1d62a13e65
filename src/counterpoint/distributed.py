"""The only file that knows ranks.

N processes, each with its share of a batch, are to end with the loss, the gradients and the statistics of one process
with the joined batch. Everything here serves that, on CPU (gloo) and CUDA (nccl) alike. With one process nothing is
copied and nothing is sent.

    comm = Comm.current()
    keys = comm.gather(z)                     # gradients flow back to the rank that made a row
    comm.weight(loss).backward()              # a rank counts as much as it has anchors
    comm.average_gradients(model.parameters())
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.errors import NoPositives, RecipeError
from counterpoint.first_order import first_order
from counterpoint.types import Encoded, Loss, Ranked, Rows, State

__all__ = ["Comm", "GlobalBatchNorm"]

Module = TypeVar("Module", bound=nn.Module)

_BUCKET = 25 * 2**20  # bytes sent at once


@dataclass(frozen=True)
class Comm:
    """Which process this is, of how many, and how they exchange tensors.

    Every method is collective: all ranks call it, in the same order.

    Args:
        rank: in [0, world).
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def alone(cls) -> "Comm":
        """One process, whatever torch.distributed says."""
        return cls()

    @classmethod
    def current(cls) -> "Comm":
        """Which process this is among those of torch.distributed; alone where that was not started."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def gather(self, t: Tensor) -> Tensor:
        """The rows of all ranks, rank by rank; a gradient goes back to the rank that made the row, summed over ranks.

        Args:
            t: [row, …], equally many rows on every rank.
        """
        return t if self.world == 1 else cast(Tensor, _Gather.apply(t, self))

    def gather_detached(self, t: Tensor) -> Tensor:
        """The rows of all ranks, without gradient."""
        return t.detach() if self.world == 1 else _gathered(t.detach(), self.world)

    def gather_rows(self, rows: Rows) -> Rows:
        """Who the rows of all ranks are."""
        if self.world == 1:
            return rows
        present = [f.name for f in fields(rows) if getattr(rows, f.name) is not None]
        table = _gathered(torch.stack([getattr(rows, name).long() for name in present], -1), self.world)
        columns = zip(present, table.unbind(-1), strict=True)
        return Rows(**{name: column.to(getattr(rows, name).dtype) for name, column in columns})

    def gather_encoded(self, encoded: Encoded) -> Encoded:
        """What all ranks encoded, with gradient. Who needs only z saves much by gathering z and the rows."""
        if self.world == 1:
            return encoded
        return Encoded(
            self.gather(encoded.h),
            self.gather(encoded.z),
            self.gather_rows(encoded.rows),
            None if encoded.p is None else self.gather(encoded.p),
        )

    def sum(self, t: Tensor) -> Tensor:
        """The sum over ranks, without gradient; the argument stays as it is."""
        return t.detach() if self.world == 1 else _summed(t.detach())

    def sum_differentiable(self, t: Tensor) -> Tensor:
        """The sum over ranks; a gradient is the sum over ranks of the gradients (a moment of the whole batch)."""
        return t if self.world == 1 else cast(Tensor, _Sum.apply(t))

    def weight(self, loss: Loss) -> Tensor:
        """The total of a loss, weighted so that the average of the ranks' gradients is the joined batch's.

        total * anchors * world / (anchors of all ranks): a rank without a positive counts nothing.

        Raises:
            NoPositives: no rank has an anchor with one.
        """
        if self.world == 1:
            anchors = loss.anchors
            weight = 1.0
        else:
            counted = torch.tensor(float(loss.anchors), dtype=torch.float64, device=loss.total.device)
            anchors = _summed(counted).item()
            weight = loss.anchors * self.world / anchors if anchors else 0.0
        if not anchors:
            raise NoPositives(
                "no anchor of the batch has a positive; the pairing must put at least two related rows in a batch: "
                "use a larger batch, or a pairing that needs no labels"
            )
        return loss.total if weight == 1.0 else loss.total * weight

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over ranks.

        A gradient missing here but present on another rank counts as zeros; one missing everywhere stays missing.
        """
        if self.world == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        if not trained:
            return
        present = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32, device=trained[0].device)
        somewhere = _summed(present).tolist()
        gradients: list[Tensor] = []
        for parameter, ranks in zip(trained, somewhere, strict=True):
            if ranks:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([g.reshape(-1) for g in bucket])
            dist.all_reduce(flat)
            flat /= self.world
            for gradient, mean in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(mean.view_as(gradient))

    def broadcast(self, module: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0; buffers of a `State` that is kept per rank stay."""
        if self.world == 1:
            return
        for part in module.modules():
            tensors: list[Tensor] = list(part.parameters(recurse=False))
            if not (isinstance(part, State) and part.per_rank):
                tensors += part.buffers(recurse=False)
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier()

    def synchronised(self, module: Module) -> Module:
        """Give every BatchNorm inside the statistics of all ranks.

        Returns: the module itself, changed in place; a new one where it is a BatchNorm.

        Raises:
            RecipeError: a BatchNorm of another kind, unless it says `per_rank = True` (split or shuffled statistics).
        """
        if self.world == 1:
            return module
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            return cast(Module, GlobalBatchNorm.of(cast(nn.BatchNorm1d, module), self))
        known = (GlobalBatchNorm, nn.SyncBatchNorm)
        other = isinstance(module, nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
        if other and not isinstance(module, known) and not getattr(module, "per_rank", False):
            raise RecipeError(
                f"{type(module).__name__} would keep its statistics by rank, and only torch's own BatchNorm can be "
                "synchronised; train this encoder on one rank, or give the layer per_rank = True"
            )
        if isinstance(module, Ranked):
            module.among(self)
        for name, child in module.named_children():
            setattr(module, name, self.synchronised(child))
        return module


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
    """Batch normalisation over the joined batch of all ranks, on any device, with exact gradients.

    Means and variances are combined without cancellation; the running variance is the unbiased one of the joined batch.
    Parameters and buffers have the names of torch's layer.

    Source: Ioffe & Szegedy 2015, algorithm 1; Chan et al. 1979 for combining variances.

    Args:
        features: number of channels.
        comm: the ranks.
        eps, momentum, affine, track_running_stats: as in `torch.nn.BatchNorm2d`.

    See also: `torch.nn.SyncBatchNorm`, the same on CUDA only.
    """

    def __init__(
        self,
        features: int,
        comm: Comm,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(features, eps, momentum, affine, track_running_stats)
        self.comm = comm

    @classmethod
    def of(cls, layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d, comm: Comm) -> "GlobalBatchNorm":
        """The same layer over all ranks; it takes over the parameters and buffers."""
        new = cls(layer.num_features, comm, layer.eps, layer.momentum, affine=False, track_running_stats=False)
        new.affine, new.track_running_stats, new.training = layer.affine, layer.track_running_stats, layer.training
        new.weight, new.bias = layer.weight, layer.bias
        new.running_mean, new.running_var = layer.running_mean, layer.running_var
        new.num_batches_tracked = layer.num_batches_tracked
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected [row, channel, …], got {list(input.shape)}")

    def forward(self, input: Float[Tensor, "row channel *space"]) -> Float[Tensor, "row channel *space"]:
        """Normalised input; statistics are exchanged in training, and where none are tracked."""
        exchanged = self.training or self.running_mean is None
        if self.comm.world == 1 or not exchanged:
            return super().forward(input)
        self._check_input_dim(input)
        momentum = self._momentum() if self.training and self.track_running_stats else 0.0
        return cast(
            Tensor,
            _Normalise.apply(
                input, self.weight, self.bias, self.running_mean, self.running_var, self.eps, momentum, self.comm
            ),
        )

    def _momentum(self) -> float:
        tracked = cast(Tensor, self.num_batches_tracked)
        tracked.add_(1)
        return 1.0 / float(tracked) if self.momentum is None else self.momentum


# ---------------------------------------------------------------- autograd


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor, comm: Comm) -> Tensor:
        ctx.rows = slice(comm.rank * len(t), (comm.rank + 1) * len(t))
        return _gathered(t, comm.world)

    @staticmethod
    @first_order
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _summed(upstream[0])[ctx.rows], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        return _summed(t)

    @staticmethod
    @first_order
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _summed(upstream[0])


class _Normalise(torch.autograd.Function):
    """Batch normalisation; one exchange forward, one backward."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        eps: float,
        momentum: float,
        comm: Comm,
    ) -> Tensor:
        over = [0, *range(2, x.ndim)]
        exact = torch.promote_types(x.dtype, torch.float32)
        local_var, local_mean = torch.var_mean(x.to(exact), over, correction=0)
        size = x.numel() // x.shape[1]
        shares = _gathered(torch.stack([local_mean, local_var, torch.full_like(local_mean, size)])[None], comm.world)
        means, variances, sizes = shares.unbind(1)
        total = sizes[:, 0].sum()
        mean = (means * sizes).sum(0) / total
        var = ((variances + (means - mean).square()) * sizes).sum(0) / total
        if total < 2:
            raise RecipeError("batch normalisation needs more than one value for each channel; use a larger batch")
        if running_mean is not None and running_var is not None and momentum:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((var * total / (total - 1)).to(running_var.dtype), momentum)
        ctx.eps, ctx.over = eps, over
        ctx.save_for_backward(x, weight, mean, var, total)
        return functional.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @first_order
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, total = cast(tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor], ctx.saved_tensors)
        shape = [1, -1] + [1] * (x.ndim - 2)
        slope = upstream[0].to(mean.dtype)
        spread = (var + ctx.eps).rsqrt().view(shape)
        normal = (x.to(mean.dtype) - mean.view(shape)) * spread
        to_bias, to_weight = slope.sum(ctx.over), (slope * normal).sum(ctx.over)
        all_bias, all_weight = (_summed(torch.stack([to_bias, to_weight])) / total).unbind(0)
        to_x = (slope - all_bias.view(shape) - normal * all_weight.view(shape)) * spread
        if weight is not None:
            to_x = to_x * weight.to(to_x.dtype).view(shape)
        own = (None, None) if weight is None else (to_weight.to(weight.dtype), to_bias.to(weight.dtype))
        return (to_x.to(x.dtype), *own, None, None, None, None, None)


# ---------------------------------------------------------------- collectives


def _gathered(t: Tensor, world: int) -> Tensor:
    t = t.contiguous()
    parts = [torch.empty_like(t) for _ in range(world)]
    dist.all_gather(parts, t)
    return torch.cat(parts)


def _summed(t: Tensor) -> Tensor:
    total = t.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Lists of one precision and device, each of at most a bucket (a larger tensor stands alone)."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for gradient in gradients:
        kinds.setdefault((gradient.dtype, gradient.device), []).append(gradient)
    for kind in kinds.values():
        bucket: list[Tensor] = []
        size = 0
        for gradient in kind:
            bytes_ = gradient.numel() * gradient.element_size()
            if bucket and size + bytes_ > _BUCKET:
                yield bucket
                bucket, size = [], 0
            bucket.append(gradient)
            size += bytes_
        yield bucket
