"""Arora's bound against an enumeration of every tuple of a small distribution."""

from fractions import Fraction
from itertools import permutations, product
from math import comb, inf, log2

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import ShapeError
from counterpoint.evaluation.class_bound import bound
from counterpoint.evaluation.class_tuples import collision, draw_tuples, grouped
from counterpoint.evaluation.margin_losses import Hinge, Logistic
from counterpoint.evaluation.task_losses import pairs_of, task_losses, tasks_of
from counterpoint.random import Streams
from counterpoint.sphere import unit

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
LOSSES = {
    "hinge": lambda v: max(0.0, 1 + max(-each for each in v)),
    "logistic": lambda v: log2(1 + sum(2.0 ** (-each / 0.6931471805599453) for each in v)),
}


def toy(seed=0, width=3, scale=0.8):
    return scale * torch.randn(10, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def mean(rows):
    return [sum(v) / len(rows) for v in zip(*rows, strict=True)]


def drawn(rows, first, rest):
    """Every way to take places of so many, no row twice while there are any: then the rest, of any row."""
    for here in permutations(rows, first):
        for more in product(rows, repeat=rest):
            yield [*here, *more]


def enumerated(f, labels, share, loss, negatives, block=1):
    """Every tuple with its probability: L_un, its parts, the mean classifier's loss, l0 and tau, in plain loops."""
    f, labels = f.tolist(), labels.tolist()
    members = {c: [row for row, y in zip(f, labels, strict=True) if y == c] for c in share}
    tau = equal = unequal = below = zero = 0.0
    for who in product(share, repeat=1 + negatives):
        own, *others = who
        chance = 1.0
        for c in who:
            chance *= share[c]
        same = [c for c in others if c == own]
        cost = count = guess = 0.0
        for place, x in enumerate(members[own]):
            left = {**members, own: [row for i, row in enumerate(members[own]) if i != place]}
            guess += loss([dot(x, mean(left[own])) - dot(x, mean(left[c])) for c in set(others) - {own}] or [inf])
            kinds = sorted(set(who))
            asked = [block * who.count(c) for c in kinds]
            fits = [min(n, len(left[c])) for n, c in zip(asked, kinds, strict=True)]
            ways = [drawn(left[c], n, m - n) for c, n, m in zip(kinds, fits, asked, strict=True)]
            for taken in product(*ways):
                queue = {c: iter(rows) for c, rows in zip(kinds, taken, strict=True)}
                rows = [[next(queue[c]) for c in who] for _ in range(block)]
                near, *far = (mean([row[i] for row in rows]) for i in range(1 + negatives))
                cost += loss([dot(x, near) - dot(x, each) for each in far]) / len(members[own])
                count += 1 / len(members[own])
        cost, guess = cost / count, guess / len(members[own])
        if same:
            tau += chance
            equal += chance * cost
            zero += chance * loss([0.0] * len(same))
        else:
            unequal += chance * cost
            below += chance * guess
    return {
        "tau": tau,
        "un": equal + unequal,
        "equal": equal / tau,
        "unequal": unequal / (1 - tau),
        "below": below / (1 - tau),
        "zero": zero / tau,
    }


EMPIRICAL = {0: 3 / 10, 1: 3 / 10, 2: 4 / 10}
SHIFTED = {0: 0.1, 1: 0.6, 2: 0.3}


@pytest.mark.parametrize("share", [EMPIRICAL, SHIFTED], ids=["empirical", "shifted"])
@pytest.mark.parametrize(("loss", "negatives"), [(Hinge(), 1), (Logistic(), 1), (Hinge(), 3), (Logistic(), 2)])
def test_every_part_is_that_of_the_enumeration(loss, negatives, share):
    f = toy()
    law = None if share is EMPIRICAL else torch.tensor([share[c] for c in range(3)])
    found = bound(f, LABELS, loss=loss, negatives=negatives, law=law, sizes=(1,), draws=60_000)
    exact = enumerated(f, LABELS, share, LOSSES[loss.name], negatives)
    assert found.collision == pytest.approx(exact["tau"], rel=1e-6)
    assert found.at_zero == pytest.approx(exact["zero"], rel=1e-6)
    error = 5 * found.error + 1e-12
    assert found.error < 0.01
    assert found.unsupervised.value == pytest.approx(exact["un"], abs=error)
    assert found.unequal.value == pytest.approx(exact["unequal"], abs=2 * error)
    assert found.equal.value == pytest.approx(exact["equal"], abs=4 * error)
    assert found.mean_classifier.value == pytest.approx(exact["below"], abs=2 * error)
    limit = (exact["un"] - exact["tau"] * exact["zero"]) / (1 - exact["tau"])
    assert found.first.limit.value == pytest.approx(limit, abs=3 * error)
    assert found.first.slack.value == pytest.approx(limit - exact["below"], abs=3 * error)


def test_blocks_are_those_of_the_enumeration():
    f = toy(1)
    found = bound(f, LABELS, sizes=(1, 2), draws=60_000)
    for b in (1, 2):
        exact = enumerated(f, LABELS, EMPIRICAL, LOSSES["hinge"], 1, block=b)
        assert found.blocks[b].value == pytest.approx(exact["un"], abs=5 * found.error)


@given(st.integers(0, 10_000), st.sampled_from([1, 2]), st.sampled_from(["hinge", "logistic"]))
def test_the_theorems_hold_exactly_for_any_features(seed, negatives, name):
    """The proof, by the oracle: nothing is drawn."""
    f = toy(seed, scale=0.2 + seed % 7)
    exact = enumerated(f, LABELS, SHIFTED, LOSSES[name], negatives)
    limit = (exact["un"] - exact["tau"] * exact["zero"]) / (1 - exact["tau"])
    assert exact["below"] <= limit + 1e-9
    if negatives == 1:
        found = bound(
            f, LABELS, loss={"hinge": Hinge, "logistic": Logistic}[name](), law=torch.tensor([0.1, 0.6, 0.3]), draws=2
        )
        assert exact["equal"] <= 1 + found.beta * (1 - found.collision) / found.collision * found.spread.value + 1e-9
        assert limit <= exact["unequal"] + found.beta * found.spread.value + 1e-9


@given(st.integers(0, 10_000), st.floats(0.1, 20.0))
def test_no_draw_of_tuples_contradicts_the_theorem(seed, scale):
    """Every tuple costs at least the tangent at its means, so that few draws suffice."""
    for loss, negatives in product((Hinge(), Logistic()), (1, 4)):
        found = bound(toy(seed, scale=scale), LABELS, loss=loss, negatives=negatives, draws=20, seed=seed)
        assert all(one.slack.value >= -1e-9 for one in found.by_block.values())
        assert all(one.slack.low >= min(0.0, one.slack.value) for one in found.by_block.values()), "it ends at 0"


def test_the_bound_is_tight_in_fractions_where_classes_are_points():
    """Two classes of equal weight whose images have one feature each: L_un = (L_mu + 1) / 2, to the digit."""
    a, b = (Fraction(1, 2), Fraction(0)), (Fraction(0), Fraction(1, 3))
    losses = [max(Fraction(0), 1 - (dot(x, x) - dot(x, y))) for x, y in ((a, b), (b, a))]
    below = sum(losses) / 2
    f = torch.tensor([[0.5, 0.0]] * 3 + [[0.0, 1 / 3]] * 3, dtype=torch.float64)
    found = bound(f, torch.tensor([0, 0, 0, 1, 1, 1]), sizes=(1, 2), draws=40_000)
    assert found.equal.value == 1
    assert found.spread.value == pytest.approx(0, abs=1e-9)
    assert found.mean_classifier.value == pytest.approx(float(below), abs=0.003)
    assert found.first.slack.value == pytest.approx(0, abs=1e-12), "tuples are shared, so that no noise is left"
    assert found.second is not None
    assert found.second.slack.value == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("loss", [Hinge(), Logistic()])
def test_features_of_zero_cost_one_and_bind(loss):
    found = bound(torch.zeros(10, 4), LABELS, loss=loss, sizes=(1, 2))
    for estimate in (found.unsupervised, found.unequal, found.equal, found.mean_classifier, found.first.limit):
        assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)
    assert found.first.slack.value == found.spread.value == found.radius == 0
    assert found.at_zero == found.guess == 1
    losses = task_losses(torch.zeros(10, 4), LABELS, tasks=[[0, 1], [1, 2]], loss=loss)
    assert losses.mean_classifier.tolist() == pytest.approx([1, 1])
    assert losses.linear.tolist() == pytest.approx([1, 1])


def test_a_constant_costs_the_closed_form_of_k():
    found = bound(torch.ones(10, 2), LABELS, loss=Logistic(), negatives=3, sizes=(1,))
    assert found.unsupervised.value == pytest.approx(log2(4))
    assert bound(torch.ones(10, 2), LABELS, negatives=3, sizes=(1,)).unsupervised.value == pytest.approx(1)


def test_a_bound_that_promises_nothing_is_what_guessing_costs_or_more():
    """Features of zero: the formula with l0, which is not 1 of several negatives and the logistic loss."""
    found = bound(torch.zeros(40, 2), torch.arange(40) % 10, loss=Logistic(), negatives=4, sizes=(1,))
    assert found.guess == pytest.approx(found.mean_classifier.value)
    assert 1 < found.at_zero < 1.2
    limit = (log2(5) - found.collision * found.at_zero) / (1 - found.collision)
    assert found.first.limit.value == pytest.approx(limit, abs=0.002)
    assert limit > found.guess > 1.5
    assert found.spread is found.second is None
    many = bound(torch.zeros(120, 2), torch.arange(120) % 40, loss=Logistic(), negatives=1100, sizes=(1,), draws=4)
    assert many.unsupervised.value == pytest.approx(log2(1101))


def test_classes_apart_by_a_margin_leave_only_collisions():
    f = 3 * torch.eye(3)[LABELS]
    found = bound(f, LABELS)
    assert found.unequal.value == found.mean_classifier.value == 0
    assert found.unsupervised.value == pytest.approx(found.collision * found.equal.value)
    assert found.radius == 3


def test_blocks_bind_more_tightly_as_they_grow():
    f = torch.randn(300, 6, generator=torch.Generator().manual_seed(3)) + 2 * torch.eye(6)[torch.arange(300) % 3]
    found = bound(f, torch.arange(300) % 3, sizes=(1, 2, 5, 10))
    losses = [found.blocks[b].value for b in (1, 2, 5, 10)]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4
    assert found.blocks[1] == found.unsupervised
    assert found.by_block[1] == found.first
    slacks = [found.by_block[b].slack.value for b in (1, 2, 5, 10)]
    assert slacks == sorted(slacks, reverse=True)
    assert slacks[-1] > 0
    assert found.second is not None
    assert found.second.slack.value >= found.first.slack.value


def test_many_negatives_collide():
    share = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    assert collision(share, 1) == pytest.approx(0.38)
    assert collision(share, 4) == pytest.approx(sum(p * (1 - (1 - p) ** 4) for p in share.tolist()))
    assert [collision(share, k) for k in (1, 2, 5, 50)] == sorted(collision(share, k) for k in (1, 2, 5, 50))


def test_tuples_are_drawn_from_their_law():
    classes = grouped(toy(), LABELS)
    share, k, n = classes.share.tolist(), 3, 200_000
    tuples = draw_tuples(classes, n, negatives=k, block=1, collide=True, stream=Streams(0).at("x"))
    hits = (tuples.cls[:, 1:] == tuples.cls[:, :1]).sum(1)
    tau = collision(classes.share, k)
    assert int(hits.min()) == 1
    for m in (1, 2, 3):
        chance = sum(p * comb(k, m) * p**m * (1 - p) ** (k - m) for p in share) / tau
        assert float((hits == m).double().mean()) == pytest.approx(chance, abs=0.005)
    places = (tuples.cls[:, 1:] == tuples.cls[:, :1]).double().mean(0)
    assert float(places.max() - places.min()) < 0.006, "no place is preferred"
    apart = draw_tuples(classes, n, negatives=k, block=2, collide=False, stream=Streams(0).at("x"))
    assert not bool((apart.cls[:, 1:] == apart.cls[:, :1]).any())
    for c, p in enumerate(share):
        own = p * (1 - p) ** k / (1 - tau)
        assert float((apart.cls[:, 0] == c).double().mean()) == pytest.approx(own, abs=0.005)
    given_first = apart.cls[apart.cls[:, 0] == 0, 1]
    assert float((given_first == 1).double().mean()) == pytest.approx(share[1] / (share[1] + share[2]), abs=0.01)
    assert bool((classes.index[apart.candidate] == apart.cls[:, :, None]).all())
    assert bool((classes.index[apart.anchor] == apart.cls[:, 0]).all())
    assert len(apart.candidate.flatten().unique()) == 10
    assert not bool((apart.candidate == apart.anchor[:, None, None]).any())
    assert bool((apart.candidate[:, 0, 0] != apart.candidate[:, 0, 1]).all()), "no row twice while there are others"
    of_largest = tuples.cls == 2
    used = torch.where(of_largest, tuples.candidate[:, :, 0], -1 - torch.arange(4)).sort(1).values
    assert bool((used[:, 1:] != used[:, :-1])[of_largest.sum(1) < 4].all())
    first = apart.candidate[apart.anchor == 0, 0, 0]
    assert float((first == 1).double().mean()) == pytest.approx(1 / 2, abs=0.02), "each other row as often"


def test_the_interval_covers_at_about_its_rate():
    centres = 1.2 * torch.eye(4)[:3]

    def rows(n, seed):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, 4, generator=generator) * torch.tensor([1.2, 0.5, 0.4, 0.3])
        return centres[torch.arange(n) % 3] + noise, torch.arange(n) % 3

    truth = bound(*rows(30_000, 999), sizes=(1, 5), draws=200_000)
    inside = {"un": 0, "slack": 0, "spread": 0, "below": 0, "wide": 0, "block": 0}
    for seed in range(60):
        found = bound(*rows(240, seed), sizes=(1, 5), draws=5000, seed=seed)
        for name, of in (
            ("un", lambda b: b.unsupervised),
            ("slack", lambda b: b.first.slack),
            ("spread", lambda b: b.spread),
            ("below", lambda b: b.mean_classifier),
            ("wide", lambda b: b.second.slack),
            ("block", lambda b: b.by_block[5].limit),
        ):
            inside[name] += of(found).low <= of(truth).value <= of(found).high
    assert all(count >= 51 for count in inside.values()), inside
    assert inside["below"] < 60


def test_few_images_of_many_classes_do_not_flatter():
    """An image that judged itself would make both sides too small, by more than the intervals are wide."""
    centres = torch.randn(50, 16, generator=torch.Generator().manual_seed(7))

    def rows(each, seed):
        labels = torch.arange(50 * each) % 50
        noise = torch.randn(len(labels), 16, generator=torch.Generator().manual_seed(seed))
        return unit(centres[labels] + noise), labels

    truth = bound(*rows(400, 999), sizes=(1, 2), draws=50_000)
    for each in (4, 10):
        found = [bound(*rows(each, seed), sizes=(1, 2), draws=3000, seed=seed) for seed in range(20)]
        for of in (
            lambda b: b.unsupervised,
            lambda b: b.mean_classifier,
            lambda b: b.first.limit,
            lambda b: b.first.slack,
            lambda b: b.by_block[2].limit,
        ):
            inside = sum(of(one).low <= of(truth).value <= of(one).high for one in found)
            assert inside >= 17, (each, inside)
            assert sum(of(one).value for one in found) / 20 == pytest.approx(of(truth).value, abs=0.012)


def test_noise_costs_what_guessing_does():
    f = unit(torch.randn(400, 32, generator=torch.Generator().manual_seed(0)))
    found = bound(f, torch.arange(400) // 4, sizes=(1,), draws=5000)
    assert found.mean_classifier.low < 1 < found.mean_classifier.high
    assert found.mean_classifier.value > 0.97


def test_the_size_of_a_pass_and_the_order_of_rows_change_nothing():
    f, order = toy(), torch.randperm(10, generator=torch.Generator().manual_seed(0))
    whole, parts = bound(f, LABELS, draws=500), bound(f, LABELS, draws=500, cells=90)
    assert parts.first.slack.value == pytest.approx(whole.first.slack.value, abs=1e-12)
    assert parts.first.slack.high == pytest.approx(whole.first.slack.high, abs=1e-9)
    turned = bound(f[order], LABELS[order], draws=60_000)
    assert turned.unsupervised.value == pytest.approx(bound(f, LABELS, draws=60_000).unsupervised.value, abs=0.02)
    assert bound(f, LABELS, draws=500) == whole, "the seed decides"


def test_pairs_are_the_tasks_of_the_bound_on_other_images():
    f, labels = toy(), LABELS.tolist()
    tasks, weight = pairs_of(grouped(f, LABELS))
    rows = {c: [row for row, y in zip(f.tolist(), labels, strict=True) if y == c] for c in range(3)}
    for loss in (Hinge(), Logistic()):
        losses = task_losses(f, LABELS, tasks=tasks, loss=loss, c=1e4)
        for (c, other), cost in zip(tasks.tolist(), losses.mean_classifier.tolist(), strict=True):
            sides = []
            for own, far in ((c, other), (other, c)):
                each = [LOSSES[loss.name]([dot(x, mean(rows[own])) - dot(x, mean(rows[far]))]) for x in rows[own]]
                sides.append(sum(each) / len(each))
            assert cost == pytest.approx(sum(sides) / 2, rel=1e-9)
        assert bool((losses.linear <= losses.mean_classifier + 1e-12).all())
    assert float((losses.mean_classifier - losses.linear).max()) > 0.05, "a fitted classifier is better than the means"
    generator, labels = torch.Generator().manual_seed(0), torch.arange(4000) % 4
    x, y = (torch.eye(4)[labels] + torch.randn(4000, 4, generator=generator) for _ in range(2))
    tasks, weight = pairs_of(grouped(x, labels))
    held = float(weight @ task_losses(x, labels, tasks=tasks, test=y, test_labels=labels).mean_classifier)
    assert bound(y, labels, sizes=(1,)).mean_classifier.value == pytest.approx(held, abs=0.03)


def test_a_task_of_classes_that_were_held_out():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    f = 3 * torch.eye(4)[labels].clamp_max(1) + 0.3 * torch.randn(400, 4, generator=generator)
    f[labels == 3] = f[labels == 2][: (labels == 3).sum()]  # the last two cannot be told apart
    train, test = slice(0, 200), slice(200, 400)
    found = task_losses(
        f[train], labels[train], tasks=[[0, 1], [2, 3]], loss=Logistic(), test=f[test], test_labels=labels[test]
    )
    assert float(found.accuracy[0]) == float(found.mean_accuracy[0]) == pytest.approx(1)
    assert found.linear[0] < 0.05
    assert found.linear[1] == pytest.approx(1, abs=0.1)
    assert found.accuracy[1] == pytest.approx(0.5, abs=0.1)
    classes = grouped(f, labels, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert classes.label.tolist() == [0, 1]
    drawn = tasks_of(grouped(f, labels), 3, 50)
    assert drawn.shape == (50, 3)
    assert all(len(set(task)) == 3 for task in drawn.tolist())


def test_the_linear_classifier_is_chosen_where_it_was_fitted():
    """Labels of the judged rows are turned round: whoever chose by them would take the mean classifier."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    f = torch.eye(2)[labels] + 0.3 * torch.randn(60, 2, generator=generator)
    seen = task_losses(f, labels, tasks=[[0, 1]], loss=Logistic(), c=100.0)
    assert seen.linear[0] < seen.mean_classifier[0]
    turned = task_losses(f, labels, tasks=[[0, 1]], loss=Logistic(), c=100.0, test=f, test_labels=1 - labels)
    assert turned.linear[0] > turned.mean_classifier[0]
    assert float(turned.accuracy[0]) == pytest.approx(1 - float(seen.accuracy[0]))


def test_errors_are_sentences():
    f = toy()
    with pytest.raises(ShapeError, match="two or more"):
        bound(f, torch.zeros(10, dtype=torch.int64))
    with pytest.raises(ShapeError, match="one is all that is left"):
        bound(f, LABELS, law=torch.tensor([0.0, 1.0, 0.0]))
    with pytest.raises(ShapeError, match="of 1100 negatives"):
        bound(f, LABELS, negatives=1100)
    with pytest.raises(ShapeError, match="class 1 has 2"):
        bound(f[:5], LABELS[:5])
    with pytest.raises(ShapeError, match="negatives=0"):
        bound(f, LABELS, negatives=0)
    with pytest.raises(ShapeError, match="has no rows"):
        bound(f, LABELS, law=torch.tensor([0.2, 0.2, 0.2, 0.4]))
    with pytest.raises(ShapeError, match="2 weights, but class 2"):
        bound(f, LABELS, law=torch.tensor([0.5, 0.5]))
    with pytest.raises(ShapeError, match="class 7"):
        task_losses(f, LABELS, tasks=[[0, 7]])
    with pytest.raises(ShapeError, match="each once"):
        task_losses(f, LABELS, tasks=[[1, 1]])
    with pytest.raises(ShapeError, match="expected 2 to 3"):
        tasks_of(grouped(f, LABELS), 4, 1)
