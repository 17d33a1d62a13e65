"""Comparisons of patches: steps ahead (CPC), the same image (Selfie), an image and its pretext (PIRL)."""

import math

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError, ShapeError
from counterpoint.negatives import Ahead, Bank, Branches, SameImage
from counterpoint.objectives import Contrast, NoiseContrastive, info_nce
from counterpoint.pairing import HiddenPatches, SameSample
from counterpoint.random import Stream, Streams, forked
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Batch, Clock, Context, Encoded, Facts, Rows, State

DIM = 6
FACTS = Facts("made", "photos", 3, 8, 40, projection=DIM)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def context(comm=None, step=0):
    return Context(Clock(step, 100, 10), comm or Comm.alone(), Streams(0))


def encoded(batch, views, z=None, p=None, hidden=None, seed=0):
    image = torch.arange(batch)
    who = Rows.of(Batch(torch.zeros(batch, 1, 2, 2, dtype=torch.uint8), image + 3, image, image), views)
    if hidden:
        who = HiddenPatches(hidden).draw(who, Stream(seed))
    z = normal(seed, batch * views, DIM) if z is None else z
    return Encoded(z, z, who, p)


def state(part, facts=FACTS):
    with forked(0):
        made = part.build(facts)
    return made if made is None else made.double()


def loss(part, rows, score, objective, owned=None):
    return objective(part.match(rows, rows, SameSample(), score, owned, context())).total


# ---------------------------------------------------------------- CPC


class Owned(State):
    """Given matrices."""

    def __init__(self, matrices):
        super().__init__()
        self.matrices = matrices


def ahead_slow(z, c, matrices, grid, batch, nearest):
    """Loops over the places of the grid; z, c [grid, grid, batch, dim]."""
    costs = []
    for k, matrix in enumerate(matrices, nearest):
        places = [(r, a, b) for r in range(k, grid) for a in range(grid) for b in range(batch)]
        for r in range(grid - k):
            for a in range(grid):
                for b in range(batch):
                    scores = {at: float(z[at] @ matrix @ c[r, a, b]) for at in places}
                    total = sum(math.exp(s) for s in scores.values())
                    costs.append(math.log(total) - scores[r + k, a, b])
    return sum(costs) / len(costs)


@pytest.mark.parametrize(("steps", "nearest"), [(1, 1), (2, 1), (2, 2)])
def test_ahead_equals_loops(steps, nearest):
    grid, batch = 3, 2
    z, p = normal(0, 18, DIM), normal(1, 18, DIM)
    part = Ahead(grid, steps, nearest)
    owned = state(part)
    ours = loss(part, encoded(batch, 9, z, p), Dot(), Contrast(1.0), owned)
    shaped = (t.view(grid, grid, batch, DIM) for t in (z, p))
    slow = ahead_slow(*shaped, owned.matrices.detach(), grid, batch, nearest)
    assert ours.item() == pytest.approx(slow, rel=1e-10)
    assert part.seen(batch, 9) == (3 - nearest) * 3 * batch - 1


def test_a_critic_that_knows_nothing_costs_the_logarithm_of_the_candidates():
    part = Ahead(4, 3)
    rows = encoded(5, 16, torch.ones(80, DIM, dtype=torch.float64))
    count = [(4 - k) * 4 * 5 for k in (1, 2, 3)]
    expected = sum(n * math.log(n) for n in count) / sum(count)
    assert loss(part, rows, Dot(), Contrast(1.0), state(part)).item() == pytest.approx(expected, rel=1e-12)


def test_with_the_identity_over_a_temperature_it_is_info_nce():
    part, z = Ahead(2, 1), torch.nn.functional.normalize(normal(0, 12, DIM), dim=1)
    c = torch.nn.functional.normalize(normal(1, 12, DIM), dim=1)
    owned = Owned((torch.eye(DIM, dtype=torch.float64) / 0.2)[None])
    (match,) = part.match(encoded(3, 4, z, c), encoded(3, 4, z, c), SameSample(), Dot(), owned, context())
    expected = info_nce(c[:6], z[6:], temperature=0.2)
    assert Contrast(1.0)([match]).total.item() == pytest.approx(expected.item(), rel=1e-12)


def test_ahead_gradients():
    z, p, matrices = (normal(seed, *shape).requires_grad_() for seed, shape in enumerate([(8, 2), (8, 2), (1, 2, 2)]))

    def of(z, p, matrices):
        return loss(Ahead(2, 1), encoded(2, 4, z, p), Dot(), Contrast(1.0), Owned(matrices))

    assert torch.autograd.gradcheck(of, (z, p, matrices))


def test_neither_the_first_row_is_a_candidate_nor_the_last_an_anchor():
    part = Ahead(3, 2)
    z, p = normal(0, 18, DIM).requires_grad_(), normal(1, 18, DIM).requires_grad_()
    loss(part, encoded(2, 9, z, p), Dot(), Contrast(1.0), state(part)).backward()
    assert (z.grad[:6] == 0).all()
    assert (z.grad[6:] != 0).any(1).all()
    assert (p.grad[12:] == 0).all()
    assert (p.grad[:12] != 0).any(1).all()


# ---------------------------------------------------------------- Selfie


def test_same_image_equals_loops():
    batch, patches, hidden = 3, 5, 3
    z, p = normal(0, 15, DIM), normal(1, 15, DIM)
    rows = encoded(batch, patches, z, p, hidden)
    mask, costs = rows.rows.hidden.view(patches, batch), []
    for b in range(batch):
        own = [j for j in range(patches) if mask[j, b]]
        assert len(own) == hidden
        for m in own:
            scores = {j: float(p[m * batch + b] @ z[j * batch + b]) for j in own}
            costs.append(math.log(sum(math.exp(s) for s in scores.values())) - scores[m])
    ours = loss(SameImage(hidden), rows, Dot(), Contrast(1.0))
    assert ours.item() == pytest.approx(sum(costs) / len(costs), rel=1e-12)
    assert SameImage(3).seen(8, 5) == 2


def test_equal_features_cost_the_logarithm_of_the_hidden():
    rows = encoded(4, 9, torch.ones(36, DIM, dtype=torch.float64), normal(1, 36, DIM), 4)
    assert loss(SameImage(4), rows, Dot(), Contrast(1.0)).item() == pytest.approx(math.log(4), rel=1e-12)


def test_only_hidden_patches_are_asked_for_and_offered():
    z, p = normal(0, 36, DIM).requires_grad_(), normal(1, 36, DIM).requires_grad_()
    rows = encoded(4, 9, z, p, 4)
    loss(SameImage(4), rows, Dot(), Contrast(1.0)).backward()
    for grad in (z.grad, p.grad):
        assert torch.equal((grad != 0).any(1), rows.rows.hidden)


def test_an_image_does_not_depend_on_another():
    z, p = normal(0, 36, DIM), normal(1, 36, DIM)
    rows = encoded(4, 9, z, p, 4)
    (match,) = SameImage(4).match(rows, rows, SameSample(), Dot(), None, context())
    assert match.columns[0].rows.shape == (16, 1, DIM)
    assert match.columns[1].rows.shape == (16, 3, DIM)
    image = (z[:, None] == torch.cat([g.rows for g in match.columns], 1).flatten(0, 1)).all(-1).nonzero()[:, 0] % 4
    assert image.numel() == 64
    for anchor, query in enumerate(match.query):
        own = int((p == query).all(1).nonzero()) % 4
        found = [int((z == row).all(1).nonzero()) % 4 for g in match.columns for row in g.rows[anchor]]
        assert set(found) == {own}


def test_same_image_gradients():
    z, p = normal(0, 8, 2).requires_grad_(), normal(1, 8, 2).requires_grad_()
    of = lambda z, p: loss(SameImage(3), encoded(2, 4, z, p, 3), Dot(), Contrast(1.0))  # noqa: E731
    assert torch.autograd.gradcheck(of, (z, p))


# ---------------------------------------------------------------- PIRL


NCE = Bank(8, temperature=0.5)


def test_two_branches_are_the_weighted_losses_of_each():
    part = Branches(Bank(), 0.3)
    rows = encoded(4, 10)
    owned = state(part)
    bank = torch.nn.functional.normalize(owned.rows, dim=1)

    def slow(view):
        costs = []
        for b in range(4):
            query = torch.nn.functional.normalize(rows.z[view * 4 + b], dim=0)
            scores = (bank @ query / 0.2).exp()
            costs.append(float(scores.sum().log() - scores[b + 3].log()))
        return sum(costs) / 4

    ours = loss(part, rows, Cosine(), Contrast(0.2), owned)
    assert ours.item() == pytest.approx(0.7 * slow(0) + 0.3 * slow(1), rel=1e-10)


def test_without_a_share_it_is_the_bank_alone():
    rows = encoded(4, 10)
    for objective, bank in ((NoiseContrastive(0.5), NCE), (Contrast(0.5), Bank())):
        alone = loss(bank, rows, Cosine(), objective, state(bank))
        assert loss(Branches(bank, 0.0), rows, Cosine(), objective, state(bank)).item() == alone.item()
        assert loss(Branches(bank, 0.5), rows, Cosine(), objective, state(bank)).item() != alone.item()


def test_equal_scores_cost_each_branch_the_closed_form():
    """log(1 + K) + K log((1 + K) / K)."""
    owned = state(NCE)
    owned.rows.copy_(torch.nn.functional.normalize(torch.ones_like(owned.rows), dim=1))
    rows = encoded(4, 10, torch.ones(40, DIM, dtype=torch.float64))
    expected = math.log(9) + 8 * math.log(9 / 8)
    for share in (0.0, 0.5, 1.0):
        value = loss(Branches(NCE, share), rows, Cosine(), NoiseContrastive(0.5), owned)
        assert value.item() == pytest.approx(expected, rel=1e-6)


def test_the_bank_keeps_the_image_and_not_its_patches():
    part = Branches(Bank(), 0.5)
    owned = state(part)
    rows = encoded(4, 10)
    owned.after_step(torch.nn.Identity(), context(), rows, rows)
    before = state(part).rows
    moved = (owned.rows - before).abs().amax(1) > 0
    assert torch.equal(moved.nonzero()[:, 0], torch.arange(4) + 3)
    new = torch.nn.functional.normalize(rows.z[:4], dim=1)
    expected = torch.nn.functional.normalize(0.5 * before[3:7] + 0.5 * new, dim=1)
    torch.testing.assert_close(owned.rows[3:7], expected)


def test_both_branches_are_compared_with_the_same_rows():
    owned = state(NCE)
    rows = encoded(4, 10)
    one, two = Branches(NCE).match(rows, rows, SameSample(), Cosine(), owned, context())
    assert torch.equal(one.columns[1].rows, two.columns[1].rows)
    assert torch.equal(one.query, rows.z[:4])
    assert torch.equal(two.query, rows.z[4:8])
    assert (one.weight, two.weight) == (0.5, 0.5)
    assert Branches(NCE).seen(4, 10) == NCE.seen(4, 1)


def test_mistakes_are_sentences():
    with pytest.raises(RecipeError, match="share in"):
        Branches(Bank(), 1.5).build(FACTS)
    with pytest.raises(RecipeError, match="no view 1"):
        loss(Branches(Bank()), encoded(4, 1), Cosine(), Contrast(0.5), state(Bank()))
    with pytest.raises(RecipeError, match="1 <= nearest <= steps < grid"):
        Ahead(3, 3).build(FACTS)
    with pytest.raises(ShapeError, match="4 x 4 patches"):
        loss(Ahead(4, 2), encoded(4, 9), Dot(), Contrast(1.0), state(Ahead(4, 2)))
    with pytest.raises(RecipeError, match=r"HiddenPatches\(count=3\)"):
        loss(SameImage(3), encoded(4, 9, hidden=4), Dot(), Contrast(1.0))
