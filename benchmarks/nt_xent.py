"""The speed and the memory of `nt_xent`, forward and backward, beside lightly's NTXentLoss and beside bare products.

    python -m benchmarks.nt_xent            8,192 pairs of width 128, float32
    python -m benchmarks.nt_xent --pairs N  another number of pairs
    python -m benchmarks.nt_xent --large    131,072 pairs as well: minutes

Memory is the peak of the resident set of a fresh process (VmHWM of /proc/self/status, Linux) above what it held when
the rows stood ready and a loss of 64 pairs had loaded every library: the gradient of the rows counts, the rows do not.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint.objectives import info_nce, nt_xent, sup_con

PAIRS, WIDTH, TEMPERATURE, TILE = 8192, 128, 0.5, 512
LARGE, MIB = 131_072, 2**20
LIGHTLY = "lightly NTXentLoss(temperature=0.5, memory_bank_size=0, gather_distributed=False)"


def rows() -> list[Row]:
    """Goals first, then what training meets."""
    pairs = int(sys.argv[sys.argv.index("--pairs") + 1]) if "--pairs" in sys.argv else PAIRS
    found = [*_time(pairs), _memory(pairs), *_small()]
    return [*found, _large()] if "--large" in sys.argv else found


def _rows(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def _both_ways(loss: Callable[[], Tensor], *leaves: Tensor) -> Callable[[], None]:
    def work() -> None:
        for leaf in leaves:
            leaf.grad = None
        loss().backward()

    return work


def _ours(z: Tensor) -> Callable[[], None]:
    return _both_ways(lambda: nt_xent(z, temperature=TEMPERATURE), z)


def _lightly(z: Tensor) -> Callable[[], None]:
    from lightly.loss import NTXentLoss

    loss: nn.Module = NTXentLoss(temperature=TEMPERATURE, memory_bank_size=0, gather_distributed=False)
    return _both_ways(lambda: loss(*z.chunk(2)), z)


def _products(z: Tensor) -> Callable[[], None]:
    """Scores of all rows, and the two products of their gradient, tile by tile in one buffer."""
    unit = normalize(z.detach(), dim=1)
    gradient, score = torch.zeros_like(unit), torch.empty(TILE, TILE)

    def work() -> None:
        for rows in unit.split(TILE):
            for columns, slope in zip(unit.split(TILE), gradient.split(TILE), strict=True):
                tile = torch.mm(rows, columns.mT, out=score[: len(rows), : len(columns)])
                gradient[: len(rows)].addmm_(tile, columns)
                slope.addmm_(tile.mT, rows)

    return work


def _time(pairs: int) -> list[Row]:
    z = _rows(2 * pairs)
    seconds = middle(interleaved({"ours": _ours(z), "lightly": _lightly(z), "products": _products(z)}, repeats=3))
    ours, theirs, bare = (seconds[side] for side in ("ours", "lightly", "products"))
    figure = f"nt_xent, {pairs:,} pairs of width {WIDTH}, forward and backward, float32"
    return [
        Row(f"{figure}: time", ours, theirs, "s", LIGHTLY, theirs / ours, "at least", 5.0),
        Row(
            f"{figure}: time beside its three matrix products",
            ours,
            bare,
            "s",
            f"torch.mm of all rows in tiles of {TILE}",
            ours / bare,
            "at most",
            1.2,
            "symmetry leaves two of the three, the scores computed twice included",
        ),
    ]


def _small() -> list[Row]:
    """A training batch, classes, and a queue, beside the dense form a person would write."""
    z, number = _rows(1024), torch.arange(1024)
    classes = number % 10
    query, key, queue = _rows(256, 1), _rows(256, 2).detach(), normalize(_rows(65_536, 3).detach(), dim=1)

    def dense_pairs() -> Tensor:
        unit = normalize(z, dim=1)
        logit = (unit @ unit.mT / TEMPERATURE).fill_diagonal_(-torch.inf)
        return cross_entropy(logit, (number + 512) % 1024)

    def dense_classes() -> Tensor:
        unit = normalize(z, dim=1)
        own = torch.eye(len(unit), dtype=torch.bool)
        share = (unit @ unit.mT / TEMPERATURE).masked_fill(own, -torch.inf).log_softmax(1).masked_fill(own, 0.0)
        related = (classes[:, None] == classes).float().fill_diagonal_(0.0)
        return -((share * related).sum(1) / related.sum(1)).mean()

    def dense_queue() -> Tensor:
        unit = normalize(query, dim=1)
        own = (unit * normalize(key, dim=1)).sum(1, keepdim=True)
        return cross_entropy(torch.cat([own, unit @ queue.mT], 1) / TEMPERATURE, torch.zeros(256, dtype=torch.int64))

    t = TEMPERATURE
    sides: dict[str, tuple[Tensor, Callable[[], Tensor], Callable[[], Tensor], int]] = {
        "nt_xent, 512 pairs": (z, lambda: nt_xent(z, temperature=t), dense_pairs, 20),
        "sup_con, 1,024 rows of 10 classes": (z, lambda: sup_con(z, classes, temperature=t), dense_classes, 20),
        "info_nce, 256 queries, a queue of 65,536": (
            query,
            lambda: info_nce(query, key, temperature=t, queue=queue),
            dense_queue,
            5,
        ),
    }
    found: list[Row] = []
    for figure, (leaf, ours, dense, repeats) in sides.items():
        work = {"ours": _both_ways(ours, leaf), "dense": _both_ways(dense, leaf)}
        spent = {side: 1e3 * seconds for side, seconds in middle(interleaved(work, repeats=repeats)).items()}
        ratio = spent["dense"] / spent["ours"]
        found.append(Row(f"{figure}: time", spent["ours"], spent["dense"], "ms", "the dense form, by hand", ratio))
    return found


# ---------------------------------------------------------------- memory, each side in a process of its own


def _memory(pairs: int) -> Row:
    ours, theirs = (_measured(side, pairs)[0] for side in ("ours", "lightly"))
    figure = f"nt_xent, {pairs:,} pairs of width {WIDTH}, forward and backward, float32: peak memory above its inputs"
    return Row(figure, ours, theirs, "MiB", LIGHTLY, theirs / ours, "at least", 20.0)


def _large() -> Row:
    above, seconds, whole = _measured("ours", LARGE)
    figure = f"nt_xent, {LARGE:,} pairs of width {WIDTH}, forward and backward: peak memory of the whole process"
    note = f"{seconds:.0f} s on {torch.get_num_threads()} threads; {above:.0f} MiB above the inputs"
    return Row(figure, whole, 1536, "MiB", "the goal", whole / 1536, "at most", 1.0, note)


def _measured(side: str, pairs: int) -> tuple[float, float, float]:
    """MiB above the inputs, seconds, and MiB of the process."""
    command = [sys.executable, "-m", "benchmarks.nt_xent", "--alone", side, str(pairs), str(torch.get_num_threads())]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    above, seconds, whole = map(float, answer[-3:])
    return above, seconds, whole


def _alone(side: str, pairs: int, threads: int) -> None:
    torch.set_num_threads(threads)
    make = {"ours": _ours, "lightly": _lightly}[side]
    make(_rows(128))()
    z = _rows(2 * pairs)
    work = make(z)
    before = _resident("VmRSS")
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print((_resident("VmHWM") - before) / MIB, seconds, _resident("VmHWM") / MIB)


def _resident(entry: str) -> float:
    with open("/proc/self/status") as status:
        return next(1024.0 * int(line.split()[1]) for line in status if line.startswith(entry))


if __name__ == "__main__":
    if "--alone" in sys.argv:
        _alone(sys.argv[-3], int(sys.argv[-2]), int(sys.argv[-1]))
    else:
        show(rows())
