"""The memory bank: who is whose, how rows move, the constant Z; and learned centres in its place."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import Bank, Exemplars
from counterpoint.objectives import Contrast, NoiseContrastive
from counterpoint.pairing import SameSample
from counterpoint.scores import Cosine, Dot
from counterpoint.sphere import unit
from counterpoint.types import Encoded, Facts

from .rows_made import context, encoded, rows_of, share

FACTS = Facts("made", "photos", 3, 8, images=20, width=6, projection=5)


def bank(part=None):
    torch.manual_seed(0)
    return (part or Bank()).build(FACTS).double()


def match(part, state, online, step=0, context_=None):
    (made,) = part.match(online, online, SameSample(), Cosine(), state, context_ or context(step))
    return made


# ---------------------------------------------------------------- the full softmax


def test_it_is_cross_entropy_over_all_images():
    part, online = Bank(), encoded(1, views=1, first=7)
    state = bank(part)
    loss = Contrast(0.1)([match(part, state, online)])
    logit = unit(online.z) @ state.rows.mT / 0.1
    torch.testing.assert_close(loss.total, nn.functional.cross_entropy(logit, online.rows.sample))


def test_rows_all_alike():
    part, online = Bank(), encoded(1, views=1)
    state = bank(part)
    state.rows.fill_(1.0)
    assert float(Contrast(0.07)([match(part, state, online)]).total) == pytest.approx(math.log(20))


def test_learned_centres_at_the_rows_of_the_bank_are_the_bank():
    online = encoded(1, views=1, first=7)
    state, centres = bank(), Exemplars().build(FACTS).double()
    with torch.no_grad():
        centres.layer.weight.copy_(state.rows)
    (made,) = Exemplars().match(online, online, SameSample(), Cosine(), centres, context())
    torch.testing.assert_close(Contrast(0.1)([made]).total, Contrast(0.1)([match(Bank(), state, online)]).total)
    assert Exemplars().seen(8, 1) == 0


def test_learned_centres_are_a_classifier_of_images_for_every_view():
    online, state = encoded(1, views=2, first=3), Exemplars().build(FACTS).double()
    online.z.requires_grad_()
    (made,) = Exemplars().match(online, online, SameSample(), Dot(), state, context())
    loss = Contrast(1.0)([made]).total
    torch.testing.assert_close(loss, nn.functional.cross_entropy(state.layer(online.z), online.rows.sample))
    loss.backward()
    assert (state.layer.weight.grad != 0).any(1).all()
    assert (online.z.grad != 0).any(1).all()


# ---------------------------------------------------------------- noise


def test_the_sample_is_shared_and_the_loss_is_that_of_its_chances():
    part, online = Bank(negatives=6, temperature=0.2), encoded(1, views=1, first=7)
    state = bank(part)
    made = match(part, state, online)
    own, noise = made.columns
    assert torch.equal(own.rows[:, 0], state.rows[7:11])
    assert noise.rows.shape == (6, 5)
    assert all((row == state.rows).all(1).any() for row in noise.rows)
    exponentials = [
        math.exp(float(q @ row) / 0.2)
        for q, mine in zip(unit(online.z), own.rows[:, 0], strict=True)
        for row in [mine, *noise.rows]
    ]
    z = 20 * sum(exponentials) / len(exponentials)
    assert math.exp(state.log_z) == pytest.approx(z, rel=1e-6)
    total = 0.0
    for i in range(4):
        first, *rest = (e / z for e in exponentials[i * 7 : i * 7 + 7])
        chance = lambda p: p / (p + 6 / 20)  # noqa: E731
        total -= math.log(chance(first)) + sum(math.log(1 - chance(p)) for p in rest)
    assert float(NoiseContrastive(0.2)([made]).total) == pytest.approx(total / 4, rel=1e-6)
    # A softmax over the same rows does not feel what all of them carry.
    plain = match(replace(part, temperature=None), state, online)
    torch.testing.assert_close(Contrast(0.2)([made]).total, Contrast(0.2)([plain]).total)


def test_all_scores_equal():
    """log(1 + K) + K log((1 + K) / K)."""
    part, online = Bank(negatives=4, temperature=0.07), encoded(1, views=1)
    state = bank(part)
    state.rows.fill_(1.0)
    flat = replace(online, z=torch.ones_like(online.z))
    found = float(NoiseContrastive(0.07)([match(part, state, flat)]).total)
    assert found == pytest.approx(2.502012, abs=1e-6)


def test_z_is_of_the_first_batch_and_stays():
    part = Bank(negatives=6, temperature=0.2)
    state = bank(part)
    match(part, state, encoded(1, views=1))
    first = state.log_z.clone()
    assert first != 0
    match(part, state, encoded(2, views=1), step=1)
    assert torch.equal(state.log_z, first)
    restored = bank(part)
    restored.load_state_dict(state.state_dict())
    match(part, restored, encoded(3, views=1), step=2)
    assert torch.equal(restored.log_z, first)


def test_each_row_is_drawn_as_often_and_steps_draw_anew():
    part = Bank(negatives=40_000)
    state, online = bank(part), encoded(1, views=1)
    rows = [match(part, state, online, step).columns[1].rows for step in (3, 3, 4)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    drawn = (rows[0] @ state.rows.mT).argmax(1)
    share_ = torch.bincount(drawn, minlength=20) / 40_000
    assert (share_ - 0.05).abs().max() < 5 * (0.05 * 0.95 / 40_000) ** 0.5


# ---------------------------------------------------------------- how rows move


def test_two_updates_from_an_orthogonal_row():
    """cos(row, v) is 0.7071, then 0.9239."""
    state = bank()
    state.rows.copy_(torch.eye(5).repeat(4, 1))
    z = 3 * torch.eye(5, dtype=torch.float64)[[1]]
    online = Encoded(z, z, rows_of(1, views=1))
    for expected in (0.7071, 0.9239):
        state.after_step(nn.Identity(), context(), online, online)
        assert float(state.rows[0, 1]) == pytest.approx(expected, abs=1e-4)
        assert float(state.rows[0].norm()) == pytest.approx(1.0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_only_rows_of_the_batch_move_and_by_their_first_view(momentum):
    state = bank(Bank(momentum=momentum))
    before, online = state.rows.clone(), encoded(1, views=2, first=7)
    state.after_step(nn.Identity(), context(), online, online)
    v = unit(online.z[:4])
    torch.testing.assert_close(state.rows[7:11], unit(momentum * before[7:11] + (1 - momentum) * v))
    others = [i for i in range(20) if not 7 <= i < 11]
    assert torch.equal(state.rows[others], before[others])


def test_a_match_leaves_the_bank_and_gets_a_gradient_for_the_query_alone():
    """It takes no copy of the bank, which moves when the gradient is there."""
    for part, objective in ((Bank(), Contrast(0.1)), (Bank(6, temperature=0.1), NoiseContrastive(0.1))):
        state, online = bank(part), encoded(1, views=1)
        before = state.rows.clone()
        online.z.requires_grad_()
        made = match(part, state, online)
        assert part.negatives or made.columns[0].rows is state.rows
        objective([made]).total.backward()
        assert torch.equal(state.rows, before)
        state.after_step(nn.Identity(), context(), online, online)
        assert (online.z.grad != 0).any(1).all()
        assert not state.rows.requires_grad
        assert not torch.equal(state.rows, before)


def test_two_ranks_compare_and_keep_what_one_process_does():
    part = Bank(negatives=6, temperature=0.2)
    whole = encoded(1, views=1, first=7)
    alone = bank(part)
    joined = match(part, alone, whole)
    alone.after_step(nn.Identity(), context(), whole, whole)
    levels = []

    class Two(Comm):
        def gather(self, t):
            if t.ndim == 1:
                levels.append(t)
                return torch.cat([*levels]) if len(levels) == 2 else torch.cat([t, t])
            return unit(whole.z)

        def gather_rows(self, rows):
            return whole.rows

    for rank in range(2):
        state = bank(part)
        mine = context(comm=Two(rank, 2))
        made = match(part, state, share(whole, rank), context_=mine)
        assert torch.equal(made.columns[1].rows, joined.columns[1].rows)
        assert torch.equal(made.columns[0].rows, joined.columns[0].rows[rank * 2 : rank * 2 + 2])
        state.after_step(nn.Identity(), mine, share(whole, rank), whole)
        torch.testing.assert_close(state.rows, alone.rows)
    assert float(state.log_z) == pytest.approx(float(alone.log_z))


def test_mistakes_are_sentences():
    for fields in ({"negatives": -1}, {"momentum": 1.5}):
        with pytest.raises(RecipeError, match="negatives of 0 or more"):
            Bank(**fields)
    with pytest.raises(RecipeError, match="leave it out for a softmax"):
        Bank(4, temperature=0.0)
    with pytest.raises(RecipeError, match="leave it out for a softmax"):
        Bank(0, temperature=0.1).build(FACTS)
    assert Bank(4).seen(8, 1) == 4
    assert Bank().seen(8, 1) is None
