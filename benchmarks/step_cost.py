"""What a recipe's step costs beside the passes of its networks and the products of its scores.

    python -m benchmarks.step_cost                      every recipe
    python -m benchmarks.step_cost --only moco nat

Random images of 32 px, the conv encoder, a batch of 512, float32. Views are ready on both sides: what they cost is
measured in benchmarks/views.py. A step of ours is all else that training does. Beside it, in turns and in one process,
what no implementation can leave out: the same passes of the same networks, those of a moving average too, a backward
pass from constant gradients, the optimizer's update and the average's; and the products of the comparison as plain
matrix products, with one more in the backward pass for each side that takes a gradient. What stands above that is the
method's own: the loss, its targets, what is drawn, what moves after the step.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from torch.optim import Optimizer

from benchmarks.harness import Row, interleaved, show
from counterpoint.distributed import Comm
from counterpoint.encoders import ConvNet
from counterpoint.engine import Numerics, train_step
from counterpoint.engine.allocator import keep_freed_memory
from counterpoint.engine.step import asked, compare
from counterpoint.model import Model
from counterpoint.negatives import Noise, Prototypes
from counterpoint.objectives import AlignUniform, BarlowTwins, CosineRegression, SquaredError, VICReg
from counterpoint.random import Streams, forked
from counterpoint.recipe import Recipe, compose
from counterpoint.schedules import resolve
from counterpoint.signature import recipes
from counterpoint.types import Batch, Clock, Context, Facts, Match, Rows

__all__ = ["rows", "step_cost"]

GOAL = 1.10
IMAGES, CLASSES, SIDE, BATCH = 4096, 10, 32, 512
# Methods of patches encode many rows of each image.
SMALLER = {"cpc": 64, "pirl": 128, "selfie": 128}
# In the middle of a run: queues are filled, mixing has begun, nothing is frozen any more.
CLOCK = Clock(50 * IMAGES // BATCH, 100 * IMAGES // BATCH, IMAGES // BATCH)


@dataclass(frozen=True)
class _Product:
    """Scores of so many anchors and candidates: [anchor, dim] x [candidate, dim], or a table for each anchor.

    Args:
        anchor, candidate, dim: sizes.
        private: each anchor has candidates of its own.
        backward: products of the backward pass: one for each side that takes a gradient, where the sides differ.
    """

    anchor: int
    candidate: int
    dim: int
    private: bool = False
    backward: int = 1

    def work(self) -> Callable[[], None]:
        """A function that forms them."""
        query = torch.randn(self.anchor, self.dim)
        if self.private:
            own = torch.randn(self.anchor, self.candidate, self.dim)

            def private() -> None:
                scores = torch.bmm(own, query[:, :, None])
                for back in range(self.backward):
                    _ = scores.mT @ own if back == 0 else scores @ query[:, None]

            return private
        rows = torch.randn(self.candidate, self.dim)

        def shared() -> None:
            for part in query.split(1024):  # a table of all would be no faster, and not fit a cache
                scores = part @ rows.mT
                for back in range(self.backward):
                    _ = scores @ rows if back == 0 else scores.mT @ part

        return shared


def _products(recipe: Recipe, matches: Sequence[Match], images: int) -> Iterator[_Product]:
    """What the comparison cannot do without."""
    objective, negatives = recipe.objective, recipe.negatives
    for match in matches:
        anchors, dim = match.query.shape
        if isinstance(objective, BarlowTwins):
            yield _Product(dim, dim, anchors, backward=2)
        elif isinstance(objective, VICReg):
            yield from (_Product(dim, dim, anchors),) * 2
        elif isinstance(objective, AlignUniform):
            yield from (_Product(anchors, anchors, dim),) * 2
        elif not isinstance(objective, CosineRegression | SquaredError):
            for group in match.columns:
                query = match.query if group.query is None else group.query
                wide = group.rows.shape[-1]
                if group.rows.ndim == 2 or wide > 1:
                    twice = query.requires_grad and group.rows.requires_grad and query is not group.rows
                    yield _Product(anchors, group.rows.shape[-2], wide, group.rows.ndim == 3, 1 + twice)
        if isinstance(negatives, Prototypes) and len(matches[0].query) == images:
            queue = negatives.queue
            yield _Product(images + queue, negatives.count, dim, backward=0)
    if isinstance(negatives, Noise):
        yield _Product(images, images, matches[0].query.shape[1], backward=0)


class _Side:
    """A model of its own, with one batch of ready views."""

    def __init__(self, name: str, batch: int) -> None:
        facts = Facts(
            "made",
            "photos",
            3,
            SIDE,
            IMAGES,
            CLASSES,
            (0.5,) * 3,
            (0.25,) * 3,
            CLOCK.total_steps,
            CLOCK.steps_per_epoch,
        )
        self.recipe = compose(name, facts, ConvNet(), {"batch_size": batch})
        self.context = Context(CLOCK, Comm.alone(), Streams(0))
        with forked(0):
            self.model = Model(self.recipe, facts).train()
        self.optimizer: Optimizer = self.recipe.optim.build(self.model)
        self.recipe.optim.set_lr(self.optimizer, CLOCK)
        made = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (batch, 3, SIDE, SIDE), dtype=torch.uint8, generator=made)
        sample = torch.randperm(IMAGES, generator=made)[:batch]
        self.views = self.recipe.views(images, self.context.streams.at("views", 0))
        self.batch = Batch(images, sample, torch.arange(batch), sample % CLASSES, tuple(self.views))

    def step(self) -> None:
        """As training does it."""
        train_step(self.recipe, self.model, self.optimizer, self.batch, self.context, Numerics())

    def bare(self) -> Callable[[], None]:
        """The passes, the products and the update alone."""
        model, context = self.model, self.context
        recipe = resolve(self.recipe, CLOCK)
        rows = recipe.pairing.draw(Rows.of(self.batch, len(self.views)), context.streams.at("pairing", 0))
        found = compare(recipe, model, self.batch, context)
        products = [product.work() for product in _products(recipe, found.matches, len(self.batch.sample))]
        found.loss.total.backward()
        learned = [] if model.negatives is None else list(model.negatives.parameters())
        gradients = {parameter: torch.full_like(parameter, 1e-6) for parameter in learned}
        both = model.predictor is not None and found.keys is found.online  # projections learn beside predictions
        shapes: list[Tensor] = [found.online.query, *([found.online.z] if both else [])]
        upstream = [torch.full_like(tensor, 1e-6) for tensor in shapes]

        def step() -> None:
            self.optimizer.zero_grad(set_to_none=True)
            if model.target is not None:
                model.target.before_forward(model, context)
            online = model(*asked(recipe.target, self.views, rows))
            keys = recipe.target.keys(model, model.target, self.views, online, context)
            for product in products:
                product()
            torch.autograd.backward([online.query, *([online.z] if both else [])], upstream)
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
            self.optimizer.step()
            if model.target is not None:
                model.target.after_step(model, context, online.detached(), keys.detached())

        return step


def step_cost(name: str, *, batch: int | None = None, repeats: int = 7) -> Row:
    """One recipe's step, and what it cannot do without."""
    batch = batch or SMALLER.get(name, BATCH)
    keep_freed_memory()  # as training does
    ours, bare = _Side(name, batch), _Side(name, batch).bare()
    seconds = interleaved({"ours": ours.step, "bare": bare}, repeats=repeats, warm_up=2)
    taken = {side: median(values) for side, values in seconds.items()}
    ratio = median(a / b for a, b in zip(seconds["ours"], seconds["bare"], strict=True))
    return Row(
        f"a step of {name}, batch {batch}, conv, {len(ours.views)} views",
        1e3 * taken["ours"],
        1e3 * taken["bare"],
        "ms",
        "its passes, products and update",
        ratio,
        "at most",
        GOAL,
        f"{torch.get_num_threads()} thread(s), median of {repeats} pairs",
    )


def rows(only: Sequence[str] = (), batch: int | None = None) -> Iterator[Row]:
    """All recipes, or some."""
    for name in only or sorted(recipes()):
        yield step_cost(name, batch=batch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="RECIPE")
    parser.add_argument("--batch", type=int, help="images; none: 512, fewer for methods of patches")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for row in rows(given.only, given.batch):
        show([row])
