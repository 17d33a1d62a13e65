"""All super-class heads at once against a loop over scikit-learn's fits, and against their own matrix products.

    COUNTERPOINT_DATA=DATA python -m benchmarks.super_class [RUN]

The features are the 400 numbers that RUN, a folder that `counterpoint train` wrote, makes of the 60,000 MNIST training
images; without RUN, those of the study's contrastive network after three passes.
"""

import os
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.harness import Row, interleaved, middle, show
from counterpoint import sources
from counterpoint.evaluation.linear_heads import Converged, LinearHeads, Passes, fit_heads
from counterpoint.evaluation.super_class import every_subset, random_subsets
from counterpoint.random import Streams

__all__ = ["against_loop", "against_products", "mnist_features", "rows"]

FITS = 20
TOLERANCES = (1e-4, 1e-5)  # scikit-learn's default, and the study's


def mnist_features(root: Path, run: Path | None) -> tuple[Tensor, Tensor]:
    """Standardised h of the training images, with their labels."""
    from counterpoint.app.train import train
    from counterpoint.serving import load

    source = sources.lookup("mnist", root=root)
    dataset = source.load()
    with TemporaryDirectory() as folder:
        if run is None:
            run = Path(folder) / "run"
            train(
                "simclr",
                source=source,
                encoder="mlp",
                out=run,
                dials={"temperature": 1.0, "width": 100, "policy": "elastic", "batch_size": 1000, "epochs": 3},
                settings={
                    "heads.projector": "counterpoint.heads:MLPHead((), 100)",
                    "optim": "counterpoint.optim:Adam(lr=0.001)",
                },
                evaluate=False,
                report=False,
                quiet=True,
            )
        h = torch.from_numpy(load(str(run)).embed(dataset.train.images))
    scale = h.std(0, correction=0)
    assert dataset.train.labels is not None
    return (h - h.mean(0)) / torch.where(scale > 0, scale, 1.0), dataset.train.labels


def _objective(x: Tensor, wanted: Tensor, weight: Tensor, bias: float, c: float) -> float:
    logits = x.double() @ weight.double() + bias
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.double())
    return float(loss) + float(weight.double().square().sum()) / (2 * c * len(x))


def against_loop(x: Tensor, labels: Tensor, *, tolerance: float, c: float = 1.0) -> Row:
    """Seconds of 1,024 heads; of the loop, 20 fits of distinct heads stand for all. Ours stands before and after."""
    from sklearn.linear_model import LogisticRegression

    members = every_subset(10)
    training = Converged(c=c, tolerance=tolerance, standardise=False)
    chosen = (Streams(0).at("heads").permutation(1022)[:FITS] + 1).tolist()
    data = x.numpy()
    ours: list[float] = []
    theirs: list[float] = []
    gaps: list[float] = []

    def all_heads() -> LinearHeads:
        begun = time.perf_counter()
        heads = fit_heads(x, labels, members, training)
        ours.append(time.perf_counter() - begun)
        return heads

    heads = all_heads()
    for head in chosen:
        wanted = members[labels, head]
        begun = time.perf_counter()
        fitted = LogisticRegression(C=c, tol=tolerance, max_iter=100_000).fit(data, wanted.numpy())
        theirs.append(time.perf_counter() - begun)
        aimed = _objective(x, wanted, torch.as_tensor(fitted.coef_[0]), float(fitted.intercept_[0]), c)
        gaps.append(_objective(x, wanted, heads.weight[:, head], float(heads.bias[head]), c) / aimed - 1)
    all_heads()
    loop = sum(theirs) / len(theirs) * members.shape[1]
    worst = float(heads.gradient.max())
    if worst > 1.5 * tolerance:
        raise AssertionError(f"a head ends with a gradient of {worst:.2g}, wanted {tolerance:g}: no fair comparison")
    return Row(
        f"1,024 converged super-class heads, {len(x):,} x {x.shape[1]}, C = {c:g}, tolerance {tolerance:g}",
        median(ours),
        loop,
        "s",
        f"a loop over scikit-learn LogisticRegression(C={c:g}, tol={tolerance:g}, max_iter=100000), extrapolated from "
        f"{FITS} fits",
        median(ours) / loop,
        "at most",
        0.1,
        f"the same float32 features on both sides; a set and its complement are solved once, 511 problems in all; "
        f"{heads.steps} steps; objectives differ by {min(gaps):+.2%} to {max(gaps):+.2%}",
    )


def against_products(x: Tensor, labels: Tensor, *, repeats: int = 3) -> Row:
    """The ten epochs of 1,024 distinct heads, and the two products of each batch into memory that is there."""
    # Classes split in two by position, so that there are more than 511 distinct sets.
    labels = labels + 10 * (torch.arange(len(labels)) % 2)
    members = random_subsets(20, 1024, seed=1)
    training = Passes(standardise=False)
    batch = training.batch_size
    weight, slope = torch.zeros(x.shape[1], members.shape[1]), torch.empty(x.shape[1], members.shape[1])
    answer = torch.empty(batch, members.shape[1])

    def products() -> None:
        for _ in range(training.epochs):
            for part in x.split(batch):
                torch.mm(part, weight, out=answer[: len(part)])
                torch.mm(part.T, answer[: len(part)], out=slope)

    fit_heads(x[:100], labels[:100], members[:, :2], training)  # what the optimiser imports at its first use
    sides = {"ours": lambda: fit_heads(x, labels, members, training), "theirs": products}
    taken = middle(interleaved(sides, repeats=repeats, warm_up=0))
    return Row(
        f"an epoch of 1,024 super-class heads, {len(x):,} x {x.shape[1]}, batches of {batch}",
        taken["ours"] / training.epochs,
        taken["theirs"] / training.epochs,
        "s",
        "the two float32 matrix products of each batch alone",
        taken["ours"] / taken["theirs"],
        "at most",
        1.5,
        "a tenth of ten epochs of 1,024 distinct sets: with Adam, the order of the rows, and at the end the loss and "
        "gradient over all rows",
    )


def rows() -> list[Row]:
    """All figures of this file."""
    given = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    root = Path(os.environ.get("COUNTERPOINT_DATA", "data")) / "mnist"
    x, labels = mnist_features(root, given[0] if given else None)
    return [
        *(against_loop(x, labels, tolerance=tolerance) for tolerance in TOLERANCES),
        against_products(x, labels),
    ]


if __name__ == "__main__":
    show(rows())
