"""The towers of a run, and what its stages own, in one module that is saved and moved as one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.heads import OfRows
from counterpoint.recipe import Recipe
from counterpoint.small_maps import guard_small_maps
from counterpoint.types import Encoded, Facts, Rows, State

__all__ = ["Model", "Normalise"]


class Normalise(nn.Module):
    """(x - mean) / std for each channel: the first layer of every encoder, the same in training and in use."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32)[:, None, None])

    def forward(self, x: Float[Tensor, "row channel height width"]) -> Float[Tensor, "row channel height width"]:
        """Images in [0, 1] to zero mean and unit deviation."""
        if x.shape[1] != len(self.mean):
            raise ShapeError(f"the encoder was built for images of {len(self.mean)} channels, got {x.shape[1]}")
        return (x - self.mean) / self.std


class _Towers(nn.Module):
    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector


class Model(nn.Module):
    """Normalisation, encoder, projector, predictor, and the states of target and negatives.

    Args:
        recipe: its parts are built here.
        facts: of the data and the schedule.
        start: weights of the encoder to start from, before a target copies them; None: as initialised.
    """

    def __init__(self, recipe: Recipe, facts: Facts, start: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        facts = replace(facts, width=recipe.encoder.width)
        self.facts = replace(facts, projection=recipe.heads.projector.width or facts.width)
        self.normalise = Normalise(facts.mean, facts.std)
        encoder = recipe.encoder.build(self.facts)
        projector, self.predictor = recipe.heads.build(self.facts)
        self.towers = _Towers(encoder, projector)
        if start is not None:
            encoder.load_state_dict(start)
        self._check_views(recipe)
        self.target = recipe.target.build(self.facts, self)
        self.negatives = recipe.negatives.build(self.facts)
        guard_small_maps(self)

    @torch.no_grad()
    def _check_views(self, recipe: Recipe) -> None:
        """Show the encoder, built for images of one size, a view of each other size (small crops)."""
        side = self.facts.size
        sizes = set(recipe.views.size(side, side)) - {(side, side)}
        encoder = self.towers.encoder.eval()
        for height, width in sorted(sizes):
            view = torch.zeros(1, self.facts.channels, height, width)
            try:
                fits = encoder(self.normalise(view)).shape == (1, self.facts.width)
            except (RuntimeError, AssertionError, ValueError):
                fits = False
            if not fits:
                raise RecipeError(
                    f"the encoder {type(recipe.encoder).__name__} is built for images of {side} px and cannot encode "
                    f"views of {height} x {width} px; take an encoder that ends in an average (--encoder conv or "
                    "resnet18), or a policy whose views have one size (--policy simclr-cifar, glyphs, …)"
                )
        encoder.train()

    def states(self) -> Iterator[State]:
        """What stages own."""
        for state in (self.target, self.negatives):
            if state is not None:
                yield state

    def represent(self, x: Float[Tensor, "row channel side side"]) -> Float[Tensor, "row dim"]:
        """Images in [0, 1] to h."""
        return self.towers.encoder(self.normalise(x))

    def through(self, towers: nn.Module, views: Sequence[Tensor], rows: Rows | None = None) -> tuple[Tensor, Tensor]:
        """Views through a set of towers: those of one size in one pass, BatchNorm statistics over all of them."""
        runs: list[list[Tensor]] = []
        for view in views:
            if runs and runs[-1][0].shape[1:] == view.shape[1:]:
                runs[-1].append(view)
            else:
                runs.append([view])
        h = torch.cat([towers.get_submodule("encoder")(self.normalise(torch.cat(run))) for run in runs])
        return h, _head(towers.get_submodule("projector"), h, rows)

    def forward(self, views: Sequence[Tensor], rows: Rows) -> Encoded:
        """Views in [0, 1], one tensor each, to what the online network makes of them."""
        h, z = self.through(self.towers, views, rows)
        return Encoded(h, z, rows, None if self.predictor is None else _head(self.predictor, z, rows))


def _head(head: nn.Module, x: Tensor, rows: Rows | None) -> Tensor:
    return head(x, rows) if isinstance(head, OfRows) else head(x)
