"""InfoNCE: each query finds its key."""

from jaxtyping import Float
from torch import Tensor

from counterpoint.errors import ShapeError
from counterpoint.objectives._plain import require_rows
from counterpoint.objectives.contrast import contrast
from counterpoint.relations import Aligned, Related, Unrelated
from counterpoint.sphere import Cosine
from counterpoint.types import Columns, Match

__all__ = ["info_nce"]


def info_nce(
    queries: Float[Tensor, "query dim"],
    keys: Float[Tensor, "key width"],
    *,
    temperature: float,
    queue: Float[Tensor, "stored depth"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over queries of -log softmax of the cosine to the query's own key.

    Without a queue the key competes with the other keys of the batch; with one, with the queue alone.

    Source: van den Oord et al. 2018, eq. 4; He et al. 2020 (MoCo), eq. 1 and algorithm 1, with a queue.

    Args:
        queries: the anchors; their lengths do not matter.
        keys: row i is the positive of query i.
        temperature: > 0, divides a cosine.
        queue: keys of earlier batches, negatives for every query; None or without rows: the batch's keys are used.

    Raises:
        ShapeError: queries, keys and queue do not fit.

    See also: `nt_xent`, where the views of one batch are queries and keys at once.

    Example:
        The key equals the query and three stored keys are orthogonal to it: log(1 + 3/e).

        >>> import torch
        >>> q = torch.eye(4)[:1]
        >>> round(info_nce(q, q, temperature=1.0, queue=torch.eye(4)[1:]).item(), 6)
        0.743668
    """
    for name, rows in (("queries", queries), ("keys", keys), ("queue", queue)):
        if rows is not None:
            require_rows("info_nce", name, rows)
            if rows.shape[1] != queries.shape[1]:
                raise ShapeError(
                    f"info_nce got queries of width {queries.shape[1]} and {name} of width {rows.shape[1]}; "
                    "both must come from heads of one width"
                )
    if len(queries) != len(keys):
        raise ShapeError(
            f"info_nce got {len(queries)} queries and {len(keys)} keys; give one key for each query, in order"
        )
    score, device = Cosine(), queries.device
    if queue is None or not len(queue):
        return contrast(Match(queries, (Columns(keys, Aligned(device=device), score),)), temperature=temperature)
    own = Columns(keys[:, None], Related(device), score)
    return contrast(Match(queries, (own, Columns(queue, Unrelated(device), score))), temperature=temperature)
