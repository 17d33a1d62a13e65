"""Similarity among images of two classes in the dimensions that vary least over them, and controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.embed import embed
from counterpoint.errors import RecipeError
from counterpoint.evaluation.auroc import auroc
from counterpoint.random import Streams
from counterpoint.sphere import unit
from counterpoint.studies.simlap.classes import KINDS, halved, pairs_of_classes, super_of
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Embeddings

__all__ = ["ALONE", "ARMS", "BINS", "SHARE", "LowVariance"]

SHARE = 0.24  # of the dimensions: 500 of 2,048
ARMS = {
    "whole": "all dimensions",
    "lowest": "lowest variance over the pair",
    "random": "random dimensions",
    "set": "lowest variance over a random set",
    "steadiest": "lowest variance over the pair for that over all images",
}
ALONE = "random set"  # measured in the pair's place
BINS = 50


@dataclass(frozen=True)
class LowVariance:
    """Similarity among the images of a pair of classes, and of these to others, in a few dimensions of h.

    Test images are halved, class by class. On one half the dimensions are chosen, by variance over the images of the
    pair; on the other half cosines are measured. Dimensions that are one and the same over the first half are left out
    throughout. By kind of pair and by arm, means over pairs:

        intra, across, others   similarity among the images of the pair, of its two classes, of the pair with others
        auroc                   chance that two images of the pair are more alike than one of it and one of another
        meeting                 the same of an image of the one class and one of the other
        empty                   share of the images that have nothing in the chosen dimensions

    Source: Wu et al. 2024 (SimLAP), its motivation. That variance is of h as it comes, not of unit rows, is our
        reading.

    Args:
        share: of the dimensions, in (0, 1).
        pairs: of each kind.
        others: images of other classes that a pair is held against.
    """

    share: float = SHARE
    pairs: int = 60
    others: int = 500

    name = "low-variance"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or min(self.pairs, self.others) < 1:
            raise RecipeError(
                f"low variance: share={self.share}, pairs={self.pairs}, others={self.others}; give a share of the "
                "dimensions between 0 and 1, and 1 or more pairs and others"
            )

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Of the learned and of the untrained encoder."""
        seed, dataset = trained.cell.seed, trained.dataset
        bare = embed(trained.untrained, dataset.test, dataset, encoder="untrained")
        return {"learned": self.read(trained.test, seed), "untrained": self.read(bare, seed)}

    def read(self, test: Embeddings, seed: int) -> dict[str, Any]:
        """Of some rows, by kind of pair.

        Args:
            test: at least four images of each class.
            seed: of the halves and of the random dimensions and sets.
        """
        test = test.labelled()
        assert test.labels is not None
        labels, above, streams = test.labels, super_of(test), Streams(seed)
        chosen, measured = halved(labels, streams.at("halves"))
        spread = test.h[chosen].double().var(0)
        live = torch.nonzero(spread > 1e-12 * spread.max())[:, 0]
        half = _Half(
            test.h[chosen][:, live].double(),
            labels[chosen],
            test.h[measured][:, live],
            labels[measured],
            spread[live],
            max(1, round(self.share * len(live))),
        )
        found: dict[str, Any] = {"dimensions": len(live), "kept": half.kept, "of": test.h.shape[1]}
        for i, kind in enumerate(KINDS):
            pairs = pairs_of_classes(above, kind, self.pairs)
            each = [
                half.pair(pair, self.others, streams.at("pair", i, number).permutation)
                for number, pair in enumerate(pairs)
            ]
            found[kind] = {"pairs": len(each), **(_mean(each) if each else {})}
        return found


@dataclass(frozen=True, eq=False)
class _Half:
    """Rows that choose and rows that are measured, and how many dimensions are kept."""

    choosing: Float[Tensor, "row dim"]
    theirs: Int64[Tensor, " row"]
    measured: Float[Tensor, "other dim"]
    labels: Int64[Tensor, " other"]
    spread: Float[Tensor, " dim"]
    kept: int

    def pair(self, pair: tuple[int, int], others: int, permutation: Any) -> dict[str, dict[str, Any]]:
        """What each arm measures."""
        first, own = self.labels == pair[0], torch.isin(self.labels, torch.tensor(pair))
        rest = torch.nonzero(~own)[:, 0]
        rest = rest[permutation(len(rest))[:others]]
        choosing = self.choosing[torch.isin(self.theirs, torch.tensor(pair))]
        drawn = self.choosing[permutation(len(self.choosing))[: len(choosing)]]
        spread = choosing.var(0)
        width = self.measured.shape[1]
        arms = {
            "whole": torch.arange(width),
            "lowest": self._lowest(spread),
            "random": permutation(width)[: self.kept],
            "set": self._lowest(drawn.var(0)),
            "steadiest": self._lowest(spread / self.spread),
        }
        found = {arm: _told(self.measured[own], first[own], self.measured[rest], dims) for arm, dims in arms.items()}
        order = permutation(len(self.labels))
        inside, outside = order[: int(own.sum())], order[int(own.sum()) :][:others]
        halves = torch.arange(len(inside)) % 2 == 0
        for arm, dims in {ALONE: arms["set"], f"{ALONE}, whole": arms["whole"]}.items():
            found[arm] = _told(self.measured[inside], halves, self.measured[outside], dims)
        return found

    def _lowest(self, spread: Float[Tensor, " dim"]) -> Int64[Tensor, " kept"]:
        return spread.argsort(stable=True)[: self.kept]


def _told(
    own: Float[Tensor, "row dim"],
    first: Bool[Tensor, " row"],
    others: Float[Tensor, "other dim"],
    dims: Int64[Tensor, " kept"],
) -> dict[str, Any]:
    rows, away = unit(own[:, dims]), unit(others[:, dims])
    one, two = torch.triu_indices(len(rows), len(rows), 1)
    intra, inter = (rows @ rows.T)[one, two], (rows @ away.T).flatten()
    across = intra[first[one] != first[two]]
    return {
        "intra": float(intra.mean()),
        "across": float(across.mean()),
        "others": float(inter.mean()),
        "auroc": _area(intra, inter),
        "meeting": _area(across, inter),
        "empty": float((rows.square().sum(1) == 0).double().mean()),
        "histogram": {"intra": _counts(intra), "others": _counts(inter)},
    }


def _area(inside: Tensor, outside: Tensor) -> float:
    scores = torch.cat([inside, outside])
    return auroc(scores, torch.arange(len(scores)) < len(inside))


def _counts(cosines: Tensor) -> list[float]:
    return (torch.histc(cosines.clamp(-1, 1).float(), BINS, -1, 1) / len(cosines)).tolist()


def _mean(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over pairs, number by number."""
    first = next(iter(every))
    return {
        key: _mean([one[key] for one in every])
        if isinstance(value, Mapping)
        else [round(sum(v) / len(every), 6) for v in zip(*(one[key] for one in every), strict=True)]
        if isinstance(value, list)
        else sum(one[key] for one in every) / len(every)
        for key, value in first.items()
    }
