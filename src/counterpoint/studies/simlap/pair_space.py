"""Images of some classes in the whole space and in a pair's subspace: as maps, and in numbers of the spaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from counterpoint.errors import RecipeError, SourceError
from counterpoint.evaluation import embedding_map, neighbour_purity
from counterpoint.evaluation.saliency import under_gate
from counterpoint.random import Stream, Streams
from counterpoint.studies.simlap.classes import GATED, gates_of, short
from counterpoint.studies.study import Cell, Trained

__all__ = ["GATES", "KINDS", "MAPS", "PairSpace", "gathering"]

MAPS = {"h": "the representation h", "z": "the projection z", "pair": "the subspace of a pair"}
GATES = {
    "whole": "no gate",
    "own": "the pair's gate",
    "other": "another pair's gate",
    "shuffled": "the pair's gate, its dimensions shuffled",
}
KINDS = {"unrelated": "a class of each group", "kin": "two classes of one group"}


@dataclass(frozen=True)
class PairSpace:
    """Two groups of classes in h, in z, and in the subspaces of pairs.

    `maps` has t-SNE's places of test images in h, in z, and in the subspace of the first class of each group. For each
    of these spaces and its map: the share of ten nearest neighbours that have an image's class (`class`) or are of its
    group (`group`), and the silhouette of the classes, by cosine in the space and by distance on the map. By kind of
    pair and by gate, means over all pairs, in the spaces themselves:

        silhouette   of the images of the pair, which count as one cluster, all others as another
        gathered     share of ten nearest neighbours that are of the pair
        meeting      share of them that are of the pair's other class

    Args:
        first: classes of one group, two or more.
        second: classes of the other, two or more.
        images: of a class, at most.
        perplexity: of the maps.
        neighbours: that are looked at.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    images: int = 50
    perplexity: float = 20.0
    neighbours: int = 10

    name = "pair-space"

    def __post_init__(self) -> None:
        every = {*self.first, *self.second}
        if min(len(self.first), len(self.second)) < 2 or len(every) < len(self.first) + len(self.second):
            raise RecipeError(
                f"maps: groups of classes {self.first} and {self.second}; give two groups of two classes or more, "
                "none in both"
            )
        if min(self.images, self.neighbours) < 2 or not self.perplexity > 1:
            raise RecipeError(
                f"maps: images={self.images}, neighbours={self.neighbours}, perplexity={self.perplexity}; give 2 or "
                "more images and neighbours, and a perplexity above 1"
            )

    def wanted(self, cell: Cell) -> bool:
        """Runs that have gates."""
        return cell.recipe in GATED

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Raises SourceError where a class has fewer than two test images."""
        test = trained.test.labelled()
        assert test.labels is not None
        assert test.z is not None
        classes = (*self.first, *self.second)
        rows: list[Tensor] = [torch.nonzero(test.labels == label)[: self.images, 0] for label in classes]
        if min(map(len, rows)) < 2:
            raise SourceError("a class of the maps has fewer than two test images; name other classes, or give more")
        kept = torch.cat(rows)
        labels = torch.cat([torch.full((len(own),), i) for i, own in enumerate(rows)])
        group = (labels >= len(self.first)).long()
        h, z = test.h[kept], test.z[kept]
        gate = gates_of(trained.model, torch.tensor([[self.first[0]], [self.second[0]]]))[0]
        spaces = {"h": under_gate(h), "z": under_gate(z), "pair": under_gate(z, gate)}
        pairs = _pairs(len(self.first), len(self.second))
        streams = Streams(trained.cell.seed)
        names = trained.dataset.classes
        return {
            "classes": [short(names[label]) for label in classes],
            "groups": [0] * len(self.first) + [1] * len(self.second),
            "pair": [0, len(self.first)],
            "labels": labels.tolist(),
            "maps": {name: self._map(space, labels, group, trained.cell.seed) for name, space in spaces.items()},
            **{
                kind: self._gathered(trained, z, labels, torch.tensor(classes), every, streams.at(f"pairs, {kind}"))
                for kind, every in pairs.items()
            },
        }

    def _map(
        self, space: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], group: Int64[Tensor, " row"], seed: int
    ) -> dict[str, Any]:
        made = embedding_map(space, rows=len(space), perplexity=self.perplexity, seed=seed)
        return {
            "method": made.method,
            "xy": [[round(v, 2) for v in row] for row in made.xy.tolist()],
            "space": self._told(space, labels, group, "cosine"),
            "map": self._told(made.xy, labels, group, "euclidean"),
        }

    def _told(
        self,
        points: Float[Tensor, "row dim"],
        labels: Int64[Tensor, " row"],
        group: Int64[Tensor, " row"],
        metric: str,
    ) -> dict[str, float]:
        from sklearn.metrics import silhouette_score

        return {
            "class": neighbour_purity(points, labels, neighbours=self.neighbours),
            "group": neighbour_purity(points, group, neighbours=self.neighbours),
            "silhouette": float(silhouette_score(points.double().numpy(), labels.numpy(), metric=metric)),
        }

    def _gathered(
        self,
        trained: Trained,
        z: Float[Tensor, "row dim"],
        labels: Int64[Tensor, " row"],
        classes: Int64[Tensor, " class"],
        pairs: Int64[Tensor, "2 pair"],
        stream: Stream,
    ) -> dict[str, Any]:
        gates = gates_of(trained.model, classes[pairs])
        found: dict[str, list[dict[str, float]]] = {name: [] for name in GATES}
        for i, gate in enumerate(gates):
            own = torch.isin(labels, pairs[:, i])
            apart = torch.nonzero(~torch.isin(pairs, pairs[:, i]).any(0))[:, 0]
            other = gates[apart[int(stream.integers(0, len(apart), 1))]] if len(apart) else None
            tried = {
                "whole": torch.ones_like(gate),
                "own": gate,
                "other": other,
                "shuffled": gate[stream.permutation(len(gate))],
            }
            for name, one in tried.items():
                if one is not None:
                    found[name].append(gathering(under_gate(z, one), labels, own, self.neighbours))
        means = {
            name: {key: sum(one[key] for one in every) / len(every) for key in every[0]}
            for name, every in found.items()
            if every
        }
        return {"pairs": len(gates), **means}


def _pairs(first: int, second: int) -> dict[str, Int64[Tensor, "2 pair"]]:
    """All pairs of places, by kind."""
    within = [torch.triu_indices(count, count, 1) for count in (first, second)]
    across = torch.cartesian_prod(torch.arange(first), first + torch.arange(second)).T
    return {"unrelated": across, "kin": torch.cat([within[0], first + within[1]], 1)}


def gathering(
    space: Float[Tensor, "row dim"], labels: Int64[Tensor, " row"], own: Bool[Tensor, " row"], neighbours: int = 10
) -> dict[str, float]:
    """How the images of a pair lie among others: silhouette, and what their nearest neighbours are.

    Args:
        space: unit rows.
        labels: of each row.
        own: rows of the pair's two classes.
        neighbours: that are looked at, at most as many as there are others.
    """
    from sklearn.metrics import silhouette_samples

    cosines = space.double() @ space.double().T
    apart = (1 - cosines).clamp_min(0).fill_diagonal_(0)
    silhouette: Any = silhouette_samples(apart.numpy(), own.long().numpy(), metric="precomputed")
    near = cosines.fill_diagonal_(-torch.inf)[own].topk(min(neighbours, len(space) - 1)).indices
    same = labels[near] == labels[own][:, None]
    return {
        "silhouette": float(silhouette[own.numpy()].mean()),
        "gathered": float(own[near].double().mean()),
        "meeting": float((own[near] & ~same).double().mean()),
    }
