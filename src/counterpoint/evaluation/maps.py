"""A representation on paper: two dimensions for the eye, none for a measurement."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from counterpoint.errors import MissingExtra, ShapeError
from counterpoint.evaluation.arrays import Features, features, sampled
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["EmbeddingMap", "Method", "embedding_map"]

Method = Literal["tsne", "pca", "umap"]


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Rows in the plane.

    Args:
        method: how, in words.
        row: positions of the rows shown.
        xy: where each lies; distances between clusters and their sizes mean nothing (PCA's do).
    """

    method: str
    row: Int64[Tensor, " row"]
    xy: Float[Tensor, "row 2"]


def _principal(rows: Tensor, dims: int) -> Tensor:
    """Coordinates on the leading principal axes, the largest loading of each positive so that the sign is fixed."""
    centred = rows - rows.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T)
    leading = vectors.flip(1)[:, : min(dims, vectors.shape[1])]
    if centred.shape[1] > len(centred):
        leading = torch.nn.functional.normalize(centred.T @ leading, dim=0)
    leading = leading * leading.gather(0, leading.abs().argmax(0, keepdim=True)).sign()
    return centred @ leading


def embedding_map(
    x: Features,
    *,
    method: Method = "tsne",
    rows: int = 2000,
    perplexity: float = 30.0,
    seed: int = 0,
) -> EmbeddingMap:
    """Unit rows in the plane, to at most 50 principal components first.

    t-SNE starts from the first two components and runs 250 steps exaggerated and 750 plain, learning rate n/12 or 200;
    fewer than 12 rows are shown by PCA.

    Source: van der Maaten & Hinton 2008; Kobak & Berens 2019 for the start and the rate.

    Args:
        x: at least 2 rows.
        method: `tsne` (openTSNE), `pca`, or `umap` (needs an extra).
        rows: at most so many, drawn without replacement.
        perplexity: effective neighbours; lowered to a third of the rows where there are few.
        seed: of the sample and of the map.

    Raises:
        ShapeError: fewer than 2 rows.
        MissingExtra: UMAP is not installed.
    """
    every = features(x)
    if len(every) < 2:
        raise ShapeError(f"a map needs at least 2 rows, but {len(every)} arrived")
    kept = sampled(len(every), rows, Streams(seed).at("map"))
    points = _principal(unit(every[kept.to(every.device)].double()), 50)
    if points.shape[1] < 2:
        points = torch.nn.functional.pad(points, (0, 2 - points.shape[1]))
    state = Streams(seed).number("map") % 2**31
    n = len(points)
    if method == "umap":
        try:
            from umap import UMAP  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise MissingExtra("umap-learn", "umap") from None
        placed = UMAP(n_neighbors=min(15, n - 1), random_state=state, n_jobs=1).fit_transform(points.cpu().numpy())
        return EmbeddingMap(f"UMAP of {n} rows, 15 neighbours", kept, torch.as_tensor(placed).float())
    flat = float(points.square().sum()) <= 1e-12
    if method == "pca" or n < 12 or flat:
        return EmbeddingMap(f"PCA of {n} rows", kept, points[:, :2].cpu().float())

    from openTSNE import TSNE

    reach = min(perplexity, (n - 1) / 3)
    data = points.cpu().numpy()
    fitted = TSNE(
        perplexity=reach,  # pyright: ignore[reportArgumentType]
        learning_rate=max(n / 12, 200.0),  # pyright: ignore[reportArgumentType]
        early_exaggeration_iter=250,
        n_iter=750,
        initialization="pca",
        negative_gradient_method="bh",
        random_state=state,
        n_jobs=1,
    ).fit(data)
    return EmbeddingMap(f"t-SNE of {n} rows, perplexity {reach:.3g}, PCA start", kept, torch.as_tensor(fitted).float())
