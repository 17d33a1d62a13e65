"""SimLAP's gated contrast, forward and backward, beside the matrix products that it cannot do without.

    python -m benchmarks.gated              batches of 512 and 1,024, of 10, 100 and 1,000 classes
    python -m benchmarks.gated --batch N    another batch

Ours is everything from z and the gates of the batch's pairs of classes to their gradients: drawing partners, folding
gates in, scores, masks, the loss. Beside it stand the products alone, with the gradient's two for each: of the anchors
under their gates with the candidates (g^2 z) Z^T, and of the gates of distinct pairs with the candidates' squares,
G^2 (Z Z)^T. NT-Xent of the same rows has one of the two, and needs no gates. What the filter costs, which makes gates
of label embeddings, is told apart.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint.distributed import Comm
from counterpoint.engine.allocator import keep_freed_memory
from counterpoint.negatives import Gated, Gates
from counterpoint.objectives import Each, GatedContrast, nt_xent
from counterpoint.pairing import ArbitraryPairs
from counterpoint.random import Streams
from counterpoint.scores import Cosine
from counterpoint.types import Clock, Context, Encoded, Facts, Rows

GOAL, WIDTH, TEMPERATURE = 1.3, 256, 0.15
STREAMS = Streams(0)


class _Ready(Gates):
    """Gates that stand ready: the filter is not part of the objective."""

    def gate(self, first: Tensor, second: Tensor) -> Tensor:
        if not hasattr(self, "ready") or len(self.ready) != len(first):
            self.ready = torch.rand(len(first), self.width, generator=torch.Generator().manual_seed(1)).requires_grad_()
        return self.ready


def _rows(batch: int, classes: int) -> tuple[Tensor, Rows]:
    made = torch.Generator().manual_seed(0)
    z = torch.randn(batch, WIDTH, generator=made).requires_grad_()
    number = torch.arange(batch)
    label = torch.randint(0, classes, (batch,), generator=made)
    return z, ArbitraryPairs().draw(Rows(number, number, torch.zeros_like(number), label), STREAMS.at("pairing", 0))


def _ours(z: Tensor, rows: Rows, state: Gates) -> Callable[[], None]:
    part, pairing, objective = Gated(), ArbitraryPairs(), GatedContrast(TEMPERATURE, Each())
    context = Context(Clock(0, 1, 1), Comm.alone(), STREAMS)

    def work() -> None:
        z.grad = None
        state.zero_grad(set_to_none=True)
        online = Encoded(z, z, rows)
        objective(part.match(online, online, pairing, Cosine(), state, context)).total.backward()

    return work


def _products(batch: int, pairs: int) -> Callable[[], None]:
    """Two, and two more for each in the backward pass; all into tables that stand ready."""
    drawn, z, gates, squares = (torch.randn(n, WIDTH) for n in (batch, batch, pairs, batch))
    score, length = torch.empty(batch, batch), torch.empty(pairs, batch)
    out = [torch.empty_like(t) for t in (drawn, z, gates, squares)]

    def work() -> None:
        torch.mm(drawn, z.mT, out=score)
        torch.mm(gates, squares.mT, out=length)
        torch.mm(score, z, out=out[0])
        torch.mm(score.mT, drawn, out=out[1])
        torch.mm(length, squares, out=out[2])
        torch.mm(length.mT, gates, out=out[3])

    return work


def _both_ways(loss: Callable[[], Tensor], leaf: Tensor) -> Callable[[], None]:
    def work() -> None:
        leaf.grad = None
        loss().backward()

    return work


def rows(batch: int, classes: int, repeats: int = 15) -> list[Row]:
    """One batch."""
    keep_freed_memory()  # as training does
    z, who = _rows(batch, classes)
    facts = Facts("made", "photos", 3, 32, batch, classes, width=WIDTH, projection=WIDTH)
    filtered = Gated().build(facts)
    assert isinstance(filtered, Gates)
    ready = _Ready(classes, 8, 8, WIDTH)
    alone = _ours(z, who, ready)
    alone()
    pairs = len(ready.ready)
    sides = {
        "ours": alone,
        "products": _products(batch, pairs),
        "nt_xent": _both_ways(lambda: nt_xent(z, temperature=TEMPERATURE), z),
        "with filter": _ours(z, who, filtered),
    }
    spent = {side: 1e3 * seconds for side, seconds in middle(interleaved(sides, repeats=repeats, warm_up=3)).items()}
    figure = f"gated contrast, batch {batch:,} of width {WIDTH}, {classes:,} classes, {pairs:,} distinct pairs"
    note = f"nt_xent of the same rows {spent['nt_xent']:.3g} ms; with the filter {spent['with filter']:.3g} ms"
    ratio = spent["ours"] / spent["products"]
    threads = f"{torch.get_num_threads()} thread(s)"
    return [
        Row(figure, spent["ours"], spent["products"], "ms", f"its products, {threads}", ratio, "at most", GOAL, note)
    ]


if __name__ == "__main__":
    batches = [int(sys.argv[sys.argv.index("--batch") + 1])] if "--batch" in sys.argv else [512, 1024]
    for batch in batches:
        for classes in (10, 100, 1000):
            show(rows(batch, classes))
