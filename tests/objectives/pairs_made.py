"""Small matches for the losses of pairs and triplets, and the reading of them in plain loops."""

import torch

from counterpoint.relations import Explicit, Keyed, Related, Unrelated
from counterpoint.types import Columns, Match


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def in_batch(z, labels, score, weight=1.0):
    """Every row against all others, by class."""
    row, labels = torch.arange(len(z)), torch.as_tensor(labels)
    return Match(z, (Columns(z, Keyed(labels, labels, row, row), score),), weight)


def given(query, rows, target, part, score):
    """With a mask of who takes part."""
    prior = torch.zeros_like(target).masked_fill(~part, -torch.inf)
    return Match(query, (Columns(rows, Explicit(target, prior), score),))


def private(query, positive, negative, score):
    """Positives and negatives of each anchor's own, [anchor, candidate, dim]."""
    return Match(query, (Columns(positive, Related(), score), Columns(negative, Unrelated(), score)))


def table(match):
    """For each anchor the scores of its positives and of its negatives, as lists of floats."""
    found = []
    for i in range(len(match.query)):
        positives, negatives = [], []
        for group in match.columns:
            shared = group.rows.ndim == 2
            rows = group.rows if shared else group.rows[i]
            score = group.score
            scores = score.tile(score.prepare(match.query[i : i + 1]), score.prepare(rows))[0].tolist()
            block = group.relation.block(slice(i, i + 1), slice(0, len(rows)))
            for s, w, p in zip(scores, block.target[0].tolist(), block.log_prior[0].tolist(), strict=True):
                if p > -torch.inf:
                    (positives if w > 0 else negatives).append(s)
        found.append((positives, negatives))
    return found
