"""Do the classes form clusters by themselves?"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from counterpoint.evaluation.arrays import Features, Labels, features, labelled, sampled
from counterpoint.evaluation.resampling import Estimate, centred, resamples
from counterpoint.random import Streams
from counterpoint.sphere import unit

__all__ = ["ClusterAgreement", "agreement", "cluster_agreement", "k_means"]


@dataclass(frozen=True, eq=False)
class ClusterAgreement:
    """Clusters found without labels, against the labels.

    Args:
        nmi: normalised mutual information, arithmetic mean of the entropies; 1 where clusters are the classes.
        ari: adjusted Rand index; 0 for chance, 1 where clusters are the classes.
        clusters: how many.
        row: positions among the labelled rows that were clustered.
        cluster: of each.
    """

    nmi: Estimate
    ari: Estimate
    clusters: int
    row: Int64[Tensor, " row"]
    cluster: Int64[Tensor, " row"]


def k_means(x: Features, clusters: int, *, seed: int = 0) -> Int64[Tensor, " row"]:
    """The cluster of each unit row: scikit-learn's KMeans, best of three starts; mini-batches above 20,000 rows."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    rows = unit(features(x)).cpu().float().numpy()
    clusters = max(1, min(clusters, len(rows)))
    state = Streams(seed).number("clusters") % 2**32
    method = KMeans if len(rows) <= 20_000 else MiniBatchKMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct rows than clusters: the agreement says it
        fitted = method(clusters, n_init=3, random_state=state)  # pyright: ignore[reportArgumentType]
        return torch.as_tensor(fitted.fit_predict(rows)).long()


def agreement(
    table: Float64[Tensor, "draw cluster class"],
) -> tuple[Float64[Tensor, " draw"], Float64[Tensor, " draw"]]:
    """NMI and adjusted Rand index of contingency tables.

    Source: Strehl & Ghosh 2002 (NMI; normalised by the mean of the entropies); Hubert & Arabie 1985 (ARI).
    """
    total = table.sum((1, 2))
    share = table / total[:, None, None]
    rows, columns = share.sum(2), share.sum(1)
    h_rows, h_columns = (torch.special.entr(side).sum(1) for side in (rows, columns))
    information = (h_rows + h_columns - torch.special.entr(share).sum((1, 2))).clamp(min=0)
    mean = (h_rows + h_columns) / 2
    nmi = torch.where(mean > 1e-12, information / mean.clamp(min=1e-12), 1.0)

    def pairs(count: Tensor) -> Tensor:
        return count * (count - 1) / 2

    both = pairs(table).sum((1, 2))
    same_row, same_column = pairs(table.sum(2)).sum(1), pairs(table.sum(1)).sum(1)
    chance = same_row * same_column / pairs(total).clamp(min=1)
    most = (same_row + same_column) / 2
    ari = torch.where((most - chance).abs() > 1e-12, (both - chance) / (most - chance), 1.0)
    return nmi, ari


def cluster_agreement(
    x: Features,
    labels: Labels | None = None,
    *,
    clusters: int | None = None,
    rows: int = 10_000,
    draws: int = 200,
    seed: int = 0,
) -> ClusterAgreement:
    """k-means on unit rows, compared with the classes.

    Intervals: bootstrap over the clustered rows, clusters held fixed.

    Args:
        x: rows; those of label -1 are left out.
        labels: in place of the labels of Embeddings.
        clusters: how many; as many as there are classes where None.
        rows: at most so many are clustered, drawn without replacement.
        draws: resamples.
        seed: of the rows, the starts and the resampling.

    Raises:
        ShapeError: no labels.
    """
    every, known = labelled(x, labels, "test")
    kept = sampled(len(every), rows, Streams(seed).at("clusters")).to(every.device)
    present, dense = known[kept].unique(return_inverse=True)
    k = len(present) if clusters is None else clusters
    cluster = k_means(every[kept], k, seed=seed)
    dense = dense.cpu()
    height = int(cluster.max()) + 1
    code = cluster * len(present) + dense

    def tables(weight: Tensor) -> Tensor:
        flat = torch.zeros(len(weight), height * len(present), dtype=torch.float64)
        return flat.index_add_(1, code, weight.double()).view(len(weight), height, len(present))

    value = torch.stack(agreement(tables(torch.ones(1, len(kept)))), 1)
    most = max(len(kept), (1 << 22) // (height * len(present)) * len(kept))
    drawn = [torch.stack(agreement(tables(w)), 1) for w in resamples(len(kept), draws, seed, min(most, 1 << 24))]
    nmi, ari = centred(value, torch.cat(drawn), -1.0, 1.0)
    return ClusterAgreement(nmi, ari, k, kept, cluster)
