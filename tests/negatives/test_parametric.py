"""PaCo and GPaCo: centres and features under one softmax, against loops, closed forms and cross-entropy."""

import math

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Centres, InBatch, Parametric
from counterpoint.objectives import Contrast
from counterpoint.pairing import SameClass, SameSample
from counterpoint.random import Streams
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows

CONTEXT = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))
FACTS = Facts("made", "photos", 3, 8, 100, classes=3, width=6, projection=5)
LABELS = [0, 2, -1, 2]
T = 0.3


def encoded(labels=LABELS, seed=0, views=(0, 1)):
    n, generator = len(labels), torch.Generator().manual_seed(seed)
    images = torch.zeros(n, 3, 2, 2, dtype=torch.uint8)
    rows = Rows.of(Batch(images, torch.arange(n), torch.arange(n), torch.tensor(labels)), max(views) + 1)
    rows = rows.where(torch.isin(rows.view, torch.tensor(views)))
    h, z = (torch.randn(len(rows), d, generator=generator, dtype=torch.float64).requires_grad_() for d in (6, 5))
    return Encoded(h, z, rows)


def built(part, seed=0):
    torch.manual_seed(seed)
    state = part.build(FACTS).double()
    with torch.no_grad():
        state.label[: len(state.label) // 2] = torch.arange(len(state.label) // 2) % 3
    return state


def loss_of(part, online, keys=None, state=None, pairing=None):
    state = built(part) if state is None else state
    keys = online if keys is None else keys
    return Contrast(T)(part.match(online, keys, pairing or SameClass(), Cosine(), state, CONTEXT))


def slow(part, state, online, keys=None):
    """The released loss in plain loops: logits of all centres, then cosines over T, minus the anchor itself."""
    unit = lambda v: [x / math.sqrt(sum(y * y for y in v)) for x in v]  # noqa: E731
    dot = lambda a, b: sum(x * y for x, y in zip(a, b, strict=True))  # noqa: E731
    weight, bias = state.layer.weight.tolist(), state.layer.bias.tolist()
    count = state.count.tolist()
    prior = [math.log(c / sum(count)) if part.long_tailed else 0.0 for c in count]
    features = [(unit(z), label) for z, label in zip(online.z.tolist(), online.rows.label.tolist(), strict=True)]
    others = [(unit(z), label) for z, label in zip(state.rows.tolist(), state.label.tolist(), strict=True)]
    if keys is not None:
        others += [(unit(z), label) for z, label in zip(keys.z.tolist(), keys.rows.label.tolist(), strict=True)]
    costs = []
    for i, (z, label) in enumerate(features):
        if label < 0:
            continue
        h = online.h[i].tolist()
        h = unit(h) if part.normalised else h
        logits = [dot(w, h) + b + p for w, b, p in zip(weight, bias, prior, strict=True)]
        target = [part.smoothing / 2] * 3
        target[label] = 1 - part.smoothing
        target = [part.beta * t for t in target]
        exponentials = [math.exp(v) for v in logits]
        if part.gamma:
            for other, theirs in [f for j, f in enumerate(features) if j != i] + others:
                logits.append(dot(z, other) / T + math.log(part.gamma))
                target.append(part.alpha * (label == theirs))
                exponentials.append(math.exp(logits[-1]))
        level = math.log(sum(exponentials))
        costs.append(sum(t * (level - v) for t, v in zip(target, logits, strict=True)) / sum(target))
    return sum(costs) / len(costs)


PARTS = {
    "plain": Parametric(0.2, queue=0, scale=T),
    "queue": Parametric(0.2, queue=7, scale=T),
    "smooth": Parametric(0.2, beta=2.0, queue=7, smoothing=0.3, scale=T),
    "gamma": Parametric(0.2, gamma=0.5, queue=7, scale=T),
    "long tail": Parametric(0.2, queue=7, long_tailed=True, scale=T),
    "directions": Parametric(0.2, queue=7, normalised=True, scale=T),
    "none": Parametric(0.0, gamma=0.0, scale=T),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_both_views_as_anchors_equal_loops(part):
    state, online = built(part), encoded()
    state.count.copy_(torch.tensor([5, 1, 3]))
    found = loss_of(part, online, state=state)
    assert found.total.item() == pytest.approx(slow(part, state, online), rel=1e-6)
    assert found.anchors == 6


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_one_view_against_the_keys_of_the_other_equals_loops(part):
    state, online, keys = built(part), encoded(views=(0,)), encoded(seed=1, views=(1,))
    found = loss_of(part, online, keys, state)
    expected = slow(part, state, online, keys if part.gamma else None)
    assert found.total.item() == pytest.approx(expected, rel=1e-6)
    found.total.backward()
    assert keys.z.grad is None
    assert online.z.grad is not None or not part.gamma


# ---------------------------------------------------------------- neighbours and closed forms


def test_without_features_it_is_cross_entropy_and_so_are_the_centres():
    part, online = PARTS["none"], encoded()
    state, known = built(part), online.rows.label >= 0
    expected = nn.functional.cross_entropy(state.layer(online.h)[known], online.rows.label[known])
    torch.testing.assert_close(loss_of(part, online, state=state).total, expected)
    centres = Contrast(1.0)(Centres().match(online, online, SameClass(), Dot(), state, CONTEXT)).total
    torch.testing.assert_close(centres, expected)
    torch.testing.assert_close(
        loss_of(Parametric(0.0, gamma=1e-12, queue=0, scale=T), online, state=state).total, expected
    )


def test_with_class_frequencies_it_is_logit_adjustment():
    part, online = Parametric(0.0, gamma=0.0, long_tailed=True, scale=T), encoded()
    state, known = built(part), online.rows.label >= 0
    state.count.copy_(torch.tensor([70, 20, 10]))
    adjusted = state.layer(online.h) + torch.tensor([0.7, 0.2, 0.1]).double().log()
    torch.testing.assert_close(
        loss_of(part, online, state=state).total, nn.functional.cross_entropy(adjusted[known], online.rows.label[known])
    )


def test_smoothed_centres_are_smoothed_cross_entropy():
    """torch spreads its share over all classes, the own too: 2/3 of it leave the own class."""
    part, online = Parametric(0.0, gamma=0.0, smoothing=0.2, scale=T), encoded()
    state, known = built(part), online.rows.label >= 0
    expected = nn.functional.cross_entropy(state.layer(online.h)[known], online.rows.label[known], label_smoothing=0.3)
    torch.testing.assert_close(loss_of(part, online, state=state).total, expected, rtol=1e-6, atol=0)


def test_equal_logits_cost_the_log_of_the_classes():
    part = Parametric(0.0, gamma=0.0, scale=T)
    state = part.build(Facts("made", "photos", 3, 8, 100, classes=10, width=6, projection=5)).double()
    for tensor in state.layer.parameters():
        nn.init.zeros_(tensor)
    assert loss_of(part, encoded(), state=state).total.item() == pytest.approx(2.302585, abs=1e-6)


def test_with_weightless_centres_far_below_it_is_supcon():
    part, online = Parametric(1.0, beta=1e-12, queue=0, scale=T), encoded()
    state = built(part)
    with torch.no_grad():
        state.layer.bias.fill_(-60.0)
        state.layer.weight.zero_()
    supcon = Contrast(T)(InBatch().match(online, online, SameClass(), Cosine(), None, CONTEXT)).total
    torch.testing.assert_close(loss_of(part, online, state=state).total, supcon, rtol=1e-8, atol=1e-8)


def test_a_constant_on_all_candidates_changes_nothing_and_on_centres_alone_something():
    online, state = encoded(), built(PARTS["queue"])
    before = loss_of(PARTS["queue"], online, state=state).total
    with torch.no_grad():
        state.layer.bias += 2.0
    centres = loss_of(PARTS["queue"], online, state=state).total
    everywhere = loss_of(Parametric(0.2, gamma=math.exp(2.0), queue=7, scale=T), online, state=state).total
    torch.testing.assert_close(everywhere, before)
    assert abs(centres - before) > 1e-2


def test_the_pairing_says_which_features_attract():
    online = encoded()
    state = built(PARTS["queue"])
    by_class, by_image = (loss_of(PARTS["queue"], online, state=state, pairing=p()) for p in (SameClass, SameSample))
    assert by_class.total != by_image.total
    # An image of unknown class has no centre, but its other view.
    assert (by_class.anchors, by_image.anchors) == (6, 8)


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    "part",
    [
        Parametric(0.2, gamma=0.5, queue=2, long_tailed=True, scale=T),
        Parametric(0.2, beta=2.0, queue=2, smoothing=0.3, normalised=True, scale=T),
    ],
)
def test_gradcheck(part):
    state, rows = built(part), encoded([0, 2])
    weight, bias = (p.detach().clone().requires_grad_() for p in (state.layer.weight, state.layer.bias))

    def cost(h, z, weight, bias):
        del state.layer.weight, state.layer.bias
        state.layer.weight, state.layer.bias = weight, bias
        return loss_of(part, Encoded(h, z, rows.rows), state=state).total

    assert torch.autograd.gradcheck(cost, (rows.h, rows.z, weight, bias))


def test_every_centre_learns_and_the_queue_does_not():
    """Centres of absent classes are pushed away: they are candidates of all anchors."""
    part, online = PARTS["queue"], encoded([0, 0])
    state = built(part)
    loss_of(part, online, state=state).total.backward()
    assert (state.layer.weight.grad.abs().sum(1) > 0).all()
    assert (online.h.grad.abs().sum(1) > 0).all()
    # The queue is a buffer: what trains is the layer alone.
    assert {name for name, _ in built(part).named_parameters()} == {"layer.weight", "layer.bias"}


# ---------------------------------------------------------------- the queue and the counts


def test_the_queue_takes_keys_and_labels_after_the_step_and_wraps():
    part = Parametric(queue=6)
    state = part.build(FACTS).double()
    assert (state.label == -1).all()
    before = state.rows.clone()
    first, second = encoded(seed=1), encoded([1, 1, 0, -1], seed=2)
    part.match(first, first, SameClass(), Cosine(), state, CONTEXT)
    assert torch.equal(state.rows, before)
    state.after_step(nn.Identity(), CONTEXT, first, first)
    assert torch.equal(state.rows[:4], first.z[4:])
    assert state.label.tolist() == [*LABELS, -1, -1]
    state.after_step(nn.Identity(), CONTEXT, second, second)
    assert state.label.tolist() == [0, -1, -1, 2, 1, 1]
    assert state.sample.tolist() == [2, 3, 2, 3, 0, 1]
    assert torch.equal(state.rows[[4, 5, 0, 1]], second.z[4:])
    assert int(state.head) == 2
    # One for each class to begin with; an image counts once, whatever its views.
    assert state.count.tolist() == [1 + 2, 1 + 2, 1 + 2]
    small = Parametric(queue=3).build(FACTS).double()
    small.after_step(nn.Identity(), CONTEXT, first, first)
    assert torch.equal(small.rows, first.z[5:])
    assert small.label.tolist() == LABELS[1:]
    none = Parametric(queue=0).build(FACTS)
    none.after_step(nn.Identity(), CONTEXT, first, first)
    assert none.count.tolist() == [2, 1, 3]


def test_labels_in_the_queue_attract():
    part, online = PARTS["queue"], encoded()
    state = built(part)
    before = loss_of(part, online, state=state).total
    state.label.fill_(-1)
    assert loss_of(part, online, state=state).total != before


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="labels of at least two classes"):
        Parametric().build(Facts("made", "photos", 3, 8, 100))
    for wrong in ({"alpha": -1.0}, {"queue": -1}, {"beta": 0.0}, {"scale": 0.0}, {"smoothing": 1.0}):
        with pytest.raises(RecipeError, match="give"):
            Parametric(**wrong)
    assert Parametric(gamma=0.0).seen(8, 2) == 0
    assert Parametric(queue=10).seen(8, 2) == 24
