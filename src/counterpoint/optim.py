"""Optimisers as values: settings that a recipe stores, and that become a torch optimiser when there is a model.

Learning rates are absolute: a recipe applies its own rule (linear: `base * batch / 256`; square root: `base *
sqrt(batch)`) and hands the product over. `lr`, `weight_decay` and `momentum` may be schedules; the loop calls
`set_lr(optimizer, clock)` before each step.

Which tensors decay differs by tradition: plain SGD recipes (MoCo, SimSiam, SupCon) decay everything, LARS and AdamW
recipes leave out biases and the scales and shifts of norms, that is, tensors with at most one axis. Each class has the
default of its tradition in `exclude_bias_and_norm`.
"""

# torch has no public names for its operations on lists of tensors (torch._foreach_*).
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from counterpoint.errors import RecipeError, nearest
from counterpoint.schedules import value
from counterpoint.types import Clock, Number, Schedule

__all__ = ["LARS", "SGD", "Adam", "AdamW", "Group", "Optim"]

Tensors = list[Tensor] | tuple[Tensor, ...]


@dataclass(frozen=True)
class Group:
    """An exception for some of the parameters; the first group that fits a parameter decides.

    SimSiam's predictor keeps its learning rate: `Group("predictor", lr=0.05)`. Barlow Twins' biases and norms have one
    of their own: `Group(vectors=True, lr_factor=0.0048 / 0.2)`.

    Args:
        name: whole parts of the dotted name: `predictor` and `heads.predictor` fit `heads.predictor.0.weight`, `pred`
            does not. Empty: all.
        vectors: only tensors with at most one axis.
        lr_factor: multiplies the learning rate.
        lr: in place of the optimiser's learning rate; the factor still applies.
        weight_decay: in place of the optimiser's, also for tensors that it would leave out.
    """

    name: str = ""
    vectors: bool = False
    lr_factor: float = 1.0
    lr: Number | None = None
    weight_decay: Number | None = None

    def fits(self, name: str, parameter: Tensor) -> bool:
        """Whether a parameter belongs here."""
        return (not self.name or f".{self.name}." in f".{name}.") and (parameter.ndim <= 1 or not self.vectors)


@dataclass(frozen=True)
class Optim(ABC):
    """What all optimisers have.

    Args:
        lr: learning rate, absolute, >= 0.
        weight_decay: >= 0.
        exclude_bias_and_norm: tensors with at most one axis do not decay (nor, in LARS, adapt).
        clip_norm: the gradient of all parameters together is scaled down to this Euclidean norm before each step;
            None: never.
        groups: exceptions for some parameters.
    """

    lr: Number
    weight_decay: Number = field(default=0.0, kw_only=True)
    exclude_bias_and_norm: bool = field(default=True, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    groups: tuple[Group, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay", "eps"):
            self._check(name, lambda number: number >= 0, "a number of 0 or more")
        self._check("momentum", lambda number: 0 <= number < 1, "a number in [0, 1)")
        self._check("trust", lambda number: number > 0, "a number above 0")
        self._check("clip_norm", lambda number: number > 0, "a number above 0, or None")
        betas: tuple[float, ...] = getattr(self, "betas", ())
        if not all(0 <= beta < 1 for beta in betas):
            raise RecipeError(f"{type(self).__name__}(betas={betas}): both must lie in [0, 1)")

    def _check(self, name: str, holds: Callable[[float], bool], expected: str) -> None:
        number = getattr(self, name, None)
        if number is None:
            return
        # A schedule is looked at along a run of a thousand steps, before anything is built or written.
        moments = [Clock(step, 1000, 100) for step in range(0, 1000, 50)]
        for reached in [value(number, clock) for clock in moments] if isinstance(number, Schedule) else [number]:
            if not holds(reached):
                raise RecipeError(f"{type(self).__name__}({name}={reached:g}): give {expected}")

    @abstractmethod
    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        """The torch optimiser of these parameter groups."""

    def rate(self, clock: Clock) -> float:
        """The learning rate at this step, of parameters without a group of their own."""
        return value(self.lr, clock)

    def build(self, parameters: nn.Module | Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
        """The torch optimiser of a model's trained parameters, as it stands before the first step.

        Args:
            parameters: a module, or named parameters; those that need no gradient are left out.

        Raises:
            RecipeError: nothing to train, or a group that fits no parameter.
        """
        named = parameters.named_parameters() if isinstance(parameters, nn.Module) else parameters
        trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
        if not trained:
            raise RecipeError(f"{type(self).__name__} has nothing to train: no parameter needs a gradient")
        sets: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in trained:
            place = next((i for i, group in enumerate(self.groups) if group.fits(name, parameter)), -1)
            plain = self.exclude_bias_and_norm and parameter.ndim <= 1
            sets.setdefault((place, plain), []).append(parameter)
        self._refuse_idle_groups({place for place, _ in sets}, [name for name, _ in trained])
        optimizer = self._make(
            [{"params": sets[key], "group": key[0], "plain": key[1], "lr": 0.0} for key in sorted(sets)]
        )
        self.set_lr(optimizer, Clock(0, 1, 1))
        if (limit := self.clip_norm) is not None:

            def clip(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
                nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], limit)

            optimizer.register_step_pre_hook(clip)
        return optimizer

    def _refuse_idle_groups(self, used: set[int], names: list[str]) -> None:
        for i, group in enumerate(self.groups):
            if i not in used:
                known = {part for name in names for part in name.split(".")[:-1] if not part.isdigit()}
                raise RecipeError(f"{group} fits no parameter that earlier groups left; {nearest(group.name, known)}")

    def set_lr(self, optimizer: Optimizer, clock: Clock) -> None:
        """Set learning rate, weight decay and momentum of every parameter group to those of this step."""
        lr, decay = value(self.lr, clock), value(self.weight_decay, clock)
        momentum: Number | None = getattr(self, "momentum", None)
        for target in optimizer.param_groups:
            group = self.groups[target["group"]] if target["group"] >= 0 else Group()
            target["lr"] = (lr if group.lr is None else value(group.lr, clock)) * group.lr_factor
            if group.weight_decay is not None:
                target["weight_decay"] = value(group.weight_decay, clock)
            else:
                target["weight_decay"] = 0.0 if target["plain"] else decay
            if momentum is not None:
                target["momentum"] = value(momentum, clock)


@dataclass(frozen=True)
class SGD(Optim):
    """Stochastic gradient descent, torch's: `m <- mu m + (grad + wd w); w <- w - lr m`.

    Args:
        momentum: mu, in [0, 1).
        nesterov: look ahead.
        exclude_bias_and_norm: no by default, as in the recipes of MoCo, SimSiam and SupCon.
    """

    momentum: Number = field(default=0.9, kw_only=True)
    nesterov: bool = field(default=False, kw_only=True)
    exclude_bias_and_norm: bool = field(default=False, kw_only=True)

    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        # A momentum above 0 is what torch asks of nesterov; set_lr puts the step's own there.
        return _SGD(groups, lr=0.0, momentum=0.9, nesterov=self.nesterov, fused=True)


class _SGD(torch.optim.SGD):
    """torch's, whose fused step cannot take weights that were frozen at first and have no momentum where others do."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and self.state[parameter].get("momentum_buffer") is None:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return super().step(closure)


@dataclass(frozen=True)
class Adam(Optim):
    """Adam, torch's; weight decay is added to the gradient.

    Source: Kingma and Ba 2015, algorithm 1.

    Args:
        betas: decay of the two moments, in [0, 1).
        eps: added to the root of the second moment.
        exclude_bias_and_norm: no by default, as in torch.
    """

    betas: tuple[float, float] = field(default=(0.9, 0.999), kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    exclude_bias_and_norm: bool = field(default=False, kw_only=True)

    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.Adam(groups, lr=0.0, betas=self.betas, eps=self.eps, fused=True)


@dataclass(frozen=True)
class AdamW(Optim):
    """AdamW, torch's: `w <- w - lr wd w` apart from the gradient.

    Source: Loshchilov and Hutter 2019, algorithm 2.

    Args:
        betas: decay of the two moments, in [0, 1).
        eps: added to the root of the second moment.
    """

    weight_decay: Number = field(default=1e-2, kw_only=True)
    betas: tuple[float, float] = field(default=(0.9, 0.999), kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)

    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        return torch.optim.AdamW(groups, lr=0.0, betas=self.betas, eps=self.eps, fused=True)


@dataclass(frozen=True)
class LARS(Optim):
    r"""Layer-wise adaptive rate scaling: each tensor moves in proportion to its own norm.

    With `g = grad + wd w` and the trust coefficient eta,

        r = eta |w| / |g|                                       (1 where either norm is 0)
        r = min(eta |w| / ((|grad| + wd |w| + eps) lr), 1)      clip
        m <- mu m + r g;        w <- w - lr m
        m <- mu m + lr r g;     w <- w - m                      lr_in_momentum

    Tensors with at most one axis are plain: no decay, r = 1.

    Source: You et al. 2017, algorithm 1. The unclipped form has the ratio of the whole step, decay included, as the
    optimisers of SimCLR and BYOL; `lr_in_momentum` is SimCLR's, the same at a constant rate, slower to follow one that
    falls. The clipped form is that of the published CIFAR recipes, there with a trust of 0.02: no tensor moves further
    than SGD would. Learning rates do not carry over from one form to the other.

    Args:
        momentum: mu, in [0, 1).
        trust: eta, dimensionless, > 0.
        clip: the clipped form.
        lr_in_momentum: the learning rate goes into the momentum buffer.
        eps: keeps the clipped ratio finite.
    """

    momentum: Number = field(default=0.9, kw_only=True)
    trust: float = field(default=0.001, kw_only=True)
    clip: bool = field(default=False, kw_only=True)
    lr_in_momentum: bool = field(default=False, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)

    def _make(self, groups: list[dict[str, Any]]) -> Optimizer:
        return _LARS(groups, trust=self.trust, clip=self.clip, lr_in_momentum=self.lr_in_momentum, eps=self.eps)


class _LARS(Optimizer):
    """The optimiser of `LARS`: all tensors of a group at once, and nothing is read back from the device."""

    def __init__(
        self, groups: list[dict[str, Any]], *, trust: float, clip: bool, lr_in_momentum: bool, eps: float
    ) -> None:
        settings = {"trust": trust, "clip": clip, "lr_in_momentum": lr_in_momentum, "eps": eps}
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "momentum": 0.9, **settings})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [p for p in cast("list[Tensor]", group["params"]) if p.grad is not None]
            if not weights:
                continue
            grads = [cast("Tensor", p.grad) for p in weights]
            lr: float = group["lr"]
            update: Tensors = grads
            if group["weight_decay"]:
                update = torch._foreach_add(grads, weights, alpha=group["weight_decay"])
            if not group["plain"]:
                update = torch._foreach_mul(update, _ratio(weights, grads, update, group).unbind())
            for p in weights:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            momenta: list[Tensor] = [self.state[p]["momentum_buffer"] for p in weights]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, update, alpha=lr if group["lr_in_momentum"] else 1.0)
            torch._foreach_add_(weights, momenta, alpha=-1.0 if group["lr_in_momentum"] else -lr)
        return loss


def _ratio(weights: Tensors, grads: Tensors, update: Tensors, group: dict[str, Any]) -> Float[Tensor, " tensor"]:
    """The trust ratio of each tensor."""
    weight = torch.stack(torch._foreach_norm(weights))
    if group["clip"]:
        grad = torch.stack(torch._foreach_norm(grads))
        whole = grad + group["weight_decay"] * weight + group["eps"]
        ratio = (group["trust"] * weight / whole / group["lr"]).clamp(max=1.0) if group["lr"] else torch.ones_like(grad)
    else:
        grad = torch.stack(torch._foreach_norm(update))
        ratio = group["trust"] * weight / grad
    return torch.where((weight > 0) & (grad > 0), ratio, 1.0)
