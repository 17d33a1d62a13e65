"""The map of the test images: where they lie, who is near whom, and how they look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.report.run import Run

__all__ = ["Atlas", "chart_out", "neighbours"]

POINTS = 3000
NEIGHBOURS = 8
GRID = 65_535  # map coordinates are stored as integers


@dataclass(frozen=True, eq=False)
class Atlas:
    """A sample of the test images in two dimensions.

    Args:
        method: how the plane was made.
        sample: position in the test split.
        x, y: in [0, 65535], one unit for both.
        label, cluster: None where there are none.
        near, cosine: nearest of the sampled points and their similarity, None without embeddings.
        of: how many test images there were to sample from.
    """

    method: str
    sample: Int64[Tensor, " point"]
    x: Int64[Tensor, " point"]
    y: Int64[Tensor, " point"]
    label: Int64[Tensor, " point"] | None
    cluster: Int64[Tensor, " point"] | None
    near: Int64[Tensor, "point neighbour"] | None
    cosine: Float[Tensor, "point neighbour"] | None
    of: int

    def data(self) -> dict[str, Any]:
        """For the script of the page."""
        cosine = None if self.cosine is None else (self.cosine * 1000).round().long().tolist()
        return {
            "sample": self.sample.tolist(),
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "label": None if self.label is None else self.label.tolist(),
            "cluster": None if self.cluster is None else self.cluster.tolist(),
            "near": None if self.near is None else self.near.tolist(),
            "cosine": cosine,
        }


def neighbours(
    h: Float[Tensor, "row width"], k: int = NEIGHBOURS
) -> tuple[Int64[Tensor, "row neighbour"], Float[Tensor, "row neighbour"]]:
    """The k most similar other rows by cosine, most similar first, and their cosines. Fewer rows give fewer.

    Args:
        h: any scale.
        k: at most as many as there are other rows.
    """
    unit = torch.nn.functional.normalize(h.float(), dim=1)
    k = min(k, len(unit) - 1)
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(unit), 512):
        similarity = unit[start : start + 512] @ unit.T
        rows = torch.arange(len(similarity))
        similarity[rows, rows + start] = -2.0
        top = similarity.topk(k, dim=1)
        found.append((top.indices, top.values))
    return torch.cat([i for i, _ in found]), torch.cat([c for _, c in found])


def chart_out(run: Run, most: int = POINTS) -> Atlas | None:
    """The stored map, or the two first principal components where only embeddings are there; None without either.

    Args:
        run: read from its folder.
        most: more images than this are sampled, by their position: the same ones in every run on the same test images.
    """
    stored = run.details("learned").get("map")
    if stored and stored.get("sample"):
        method, sample = str(stored.get("method") or "map"), torch.tensor(stored["sample"], dtype=torch.int64)
        plane = torch.tensor([stored["x"], stored["y"]], dtype=torch.float64).T
        label, cluster = _column(stored, "label"), _column(stored, "cluster")
    elif run.test is not None and len(run.test.sample) >= 3:
        method, sample, plane = "PCA", run.test.sample, _principal(run.test.h)
        label, cluster = (run.test.label if run.test.label.max() >= 0 else None), None
    else:
        return None
    keep = torch.nonzero(plane.isfinite().all(1))[:, 0]
    of = max(len(sample), 0 if run.test is None else len(run.test.sample), int(run.section("dataset").get("test") or 0))
    if len(keep) > most:
        order = np.random.default_rng(0).permutation(int(sample.max()) + 1)[sample[keep].numpy()]
        keep = keep[torch.from_numpy(np.sort(np.argsort(order, kind="stable")[:most]))]
    if len(keep) == 0:
        return None
    plane = plane[keep] - plane[keep].amin(0)
    grid = (plane / plane.max().clamp(min=1e-12) * GRID).round().long()
    near, cosine = _near(run, sample[keep])
    return Atlas(
        method,
        sample[keep],
        grid[:, 0],
        grid[:, 1],
        None if label is None else label[keep],
        None if cluster is None else cluster[keep],
        near,
        cosine,
        of,
    )


def _column(stored: Mapping[str, Any], name: str) -> Int64[Tensor, " point"] | None:
    values = stored.get(name)
    return None if values is None else torch.tensor(values, dtype=torch.int64)


def _principal(h: Float[Tensor, "row width"]) -> Float[Tensor, "row 2"]:
    centred = h.double() - h.double().mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    plane = centred @ vectors[:, -2:].flip(1)
    return plane if plane.shape[1] == 2 else torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))


def _near(
    run: Run, sample: Int64[Tensor, " point"]
) -> tuple[Int64[Tensor, "point neighbour"] | None, Float[Tensor, "point neighbour"] | None]:
    if run.test is None or len(sample) < 2:
        return None, None
    row = {int(s): i for i, s in enumerate(run.test.sample.tolist())}
    rows = [row.get(int(s), -1) for s in sample.tolist()]
    if min(rows) < 0:
        return None, None
    return neighbours(run.test.h[torch.tensor(rows)])
