from dataclasses import replace

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Centres, Exemplars, InBatch, Queue
from counterpoint.objectives import Contrast, nt_xent
from counterpoint.pairing import SameClass, SameSample
from counterpoint.random import Streams
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))
FACTS = Facts("made", "photos", 3, 8, 100, classes=4, width=6, projection=5)


def encoded(n=4, seed=0, labels=None):
    generator = torch.Generator().manual_seed(seed)
    batch = Batch(
        torch.zeros(n, 3, 8, 8, dtype=torch.uint8),
        torch.arange(n),
        torch.arange(n),
        torch.tensor(labels) if labels else torch.full((n,), -1),
    )
    z = torch.randn(2 * n, 5, generator=generator)
    return Encoded(torch.randn(2 * n, 6, generator=generator), z, Rows.of(batch, 2))


def test_in_batch_is_nt_xent():
    rows = encoded()
    matches = InBatch().match(rows, rows, SameSample(), Cosine(), None, CONTEXT)
    torch.testing.assert_close(Contrast(0.3)(matches).total, nt_xent(rows.z, temperature=0.3))
    assert InBatch().seen(global_batch=4, views=2) == 6


def test_centres_are_softmax_cross_entropy():
    rows = encoded(labels=[0, 3, -1, 1])
    state = Centres().build(FACTS)
    loss = Contrast(1.0)(Centres().match(rows, rows, SameClass(), Dot(), state, CONTEXT))
    known = rows.rows.label >= 0
    expected = nn.functional.cross_entropy(state.layer(rows.h[known]), rows.rows.label[known])
    torch.testing.assert_close(loss.total, expected)
    assert loss.anchors == 6
    with pytest.raises(RecipeError, match="labels of at least two classes"):
        Centres().build(Facts("made", "photos", 3, 8, 100))


def test_exemplars_are_softmax_cross_entropy_over_the_images_of_the_data_set():
    rows = encoded(labels=[0, 3, -1, 1])
    # Of the data set, not of the batch.
    who = replace(rows.rows, sample=torch.tensor([40, 7, 99, 0]).repeat(2))
    rows = Encoded(rows.h, rows.z.requires_grad_(), who)
    state = Exemplars().build(FACTS)
    loss = Contrast(1.0)(Exemplars().match(rows, rows, SameSample(), Dot(), state, CONTEXT))
    torch.testing.assert_close(loss.total, nn.functional.cross_entropy(state.layer(rows.z), who.sample))
    assert loss.anchors == 8
    loss.total.backward()
    assert state.layer.weight.grad.shape == (100, 5)
    assert (state.layer.weight.grad != 0).any(1).all()
    assert (rows.z.grad != 0).any(1).all()


def moco(query, key, queue, temperature):
    """The loss of MoCo in plain loops."""
    total = 0.0
    for q, k in zip(query.tolist(), key.tolist(), strict=True):
        dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
        scores = [dot(q, k) / temperature] + [dot(q, row) / temperature for row in queue.tolist()]
        peak = max(scores)
        total += peak + torch.tensor([s - peak for s in scores]).exp().sum().log().item() - scores[0]
    return total / len(query)


def test_a_queue_is_moco_in_plain_loops():
    part = Queue(7)
    state = part.build(FACTS)
    online, keys = encoded(seed=1), encoded(seed=2)
    unit = nn.functional.normalize
    loss = Contrast(0.2)(part.match(online, keys, SameSample(), Cosine(), state, CONTEXT))
    slow = moco(unit(online.z[:4], dim=1), unit(keys.z[4:], dim=1), unit(state.rows, dim=1), 0.2)
    assert float(loss.total) == pytest.approx(slow, rel=1e-5)


def test_a_queue_takes_the_keys_after_the_step_and_wraps():
    part = Queue(6)
    state = part.build(FACTS)
    before = state.rows.clone()
    first, second = encoded(seed=1), encoded(seed=2)
    part.match(first, first, SameSample(), Cosine(), state, CONTEXT)
    assert torch.equal(state.rows, before)
    state.after_step(nn.Identity(), CONTEXT, first, first)
    assert torch.equal(state.rows[:4], first.z[4:])
    assert torch.equal(state.rows[4:], before[4:])
    state.after_step(nn.Identity(), CONTEXT, second, second)
    assert torch.equal(state.rows[[4, 5, 0, 1]], second.z[4:])
    assert int(state.head) == 2
    # More keys than places: the newest stay.
    small = Queue(3).build(FACTS)
    small.after_step(nn.Identity(), CONTEXT, first, first)
    assert torch.equal(small.rows, first.z[5:])


def test_the_gradient_reaches_the_query_and_not_the_queue():
    part = Queue(7)
    state = part.build(FACTS)
    online, keys = encoded(seed=1), encoded(seed=2)
    online.z.requires_grad_()
    keys.z.requires_grad_()
    Contrast(0.2)(part.match(online, keys, SameSample(), Cosine(), state, CONTEXT)).total.backward()
    assert online.z.grad[:4].abs().sum() > 0
    assert online.z.grad[4:].abs().sum() == 0
    assert keys.z.grad is None
