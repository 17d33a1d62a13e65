"""Which second label an anchor gets: from the batch, uniformly, the same on any number of ranks."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.pairing import ArbitraryPairs, SameClass
from counterpoint.random import Streams
from counterpoint.recipe import part_from_json, part_to_json
from counterpoint.types import Rows

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 2, -1])


def rows_of(label, views=1):
    number = torch.arange(len(label)).repeat(views)
    view = torch.arange(views).repeat_interleave(len(label))
    return Rows(number, number, view, label.repeat(views))


def partners(pairing, label, step=0, views=1):
    rows = pairing.draw(rows_of(label, views), Streams(0).at("pairing", step))
    return pairing.relation(rows, rows).partner


def shares(pairing, anchor, steps=3000):
    """How often an anchor gets each label."""
    found = torch.stack([partners(pairing, LABEL, step)[anchor] for step in range(steps)])
    return {int(y): float((found == y).float().mean()) for y in found.unique()}


def test_every_other_known_row_is_as_likely_to_give_its_label():
    for anchor, wanted in ((0, {0: 3 / 6, 1: 2 / 6, 2: 1 / 6}), (6, {0: 4 / 6, 1: 2 / 6})):
        found = shares(ArbitraryPairs(), anchor)
        assert found.keys() == wanted.keys()
        for label, share in wanted.items():
            assert found[label] == pytest.approx(share, abs=4 * (share * (1 - share) / 3000) ** 0.5)


def test_anchors_draw_each_for_itself_and_anew_at_each_step():
    label = torch.arange(50)
    one, other = (partners(ArbitraryPairs(), label, step) for step in (0, 1))
    assert len(one.unique()) > 20
    assert (one == other).float().mean() < 0.2
    assert torch.equal(one, partners(ArbitraryPairs(), label, 0))


def test_views_of_an_image_draw_each_for_itself():
    found = partners(ArbitraryPairs(), torch.arange(40), views=2)
    assert (found[:40] == found[40:]).float().mean() < 0.3


def test_unknown_rows_are_no_anchors_and_give_no_label():
    for step in range(50):
        found = partners(ArbitraryPairs(), LABEL, step)
        assert found[-1] == -1
        assert (found[:-1] >= 0).all()


def test_an_anchor_with_nobody_else_gets_nobody():
    assert partners(ArbitraryPairs(), torch.tensor([3])).tolist() == [-1]
    assert partners(ArbitraryPairs(), torch.tensor([-1, -1])).tolist() == [-1, -1]
    assert partners(ArbitraryPairs(), torch.tensor([2, -1])).tolist() == [-1, -1]
    restricted = ArbitraryPairs(pairs=0.5, classes=4)
    assert partners(restricted, torch.tensor([3])).tolist() == [-1]


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=20), st.integers(0, 1000))
def test_all_pairs_allowed_is_no_restriction(label, step):
    label = torch.tensor(label)
    ranking = tuple(tuple(b for b in range(5) if b != a) for a in range(5))
    free, all_near = ArbitraryPairs(), ArbitraryPairs(nearest=4, classes=5, ranking=ranking)
    assert torch.equal(partners(free, label, step), partners(all_near, label, step))


@given(st.lists(st.integers(-1, 5), min_size=2, max_size=30), st.integers(0, 1000), st.sampled_from([0.05, 0.2, 0.6]))
def test_only_allowed_pairs_are_drawn_and_never_a_class_of_the_anchor_alone(label, step, share):
    label = torch.tensor(label)
    pairing = ArbitraryPairs(pairs=share, classes=6)
    allowed = allowed_of(pairing)
    for own, other in zip(label.tolist(), partners(pairing, label, step).tolist(), strict=True):
        others = label[label >= 0].tolist()
        if own >= 0:
            others.remove(own)
        reachable = {y for y in others if own >= 0 and (own, y) in allowed}
        assert (other in reachable) if reachable else other == -1


def allowed_of(pairing):
    from counterpoint.pairing.arbitrary_pairs import _allowed

    table = _allowed(pairing, torch.device("cpu"))
    return {(int(a), int(b)) for a, b in table.nonzero()}


@pytest.mark.parametrize(("share", "count"), [(1.0, 5050), (0.2, 1010), (0.05, 252)])
def test_a_share_of_the_unordered_pairs_is_allowed(share, count):
    allowed = allowed_of(ArbitraryPairs(pairs=share, classes=100))
    assert len({tuple(sorted(pair)) for pair in allowed}) == count
    assert allowed == {(b, a) for a, b in allowed}
    if share < 1:
        assert allowed != allowed_of(ArbitraryPairs(pairs=share, classes=100, seed=1))


def test_restricted_draws_are_uniform_over_the_rows_of_allowed_classes():
    ranking = ((2, 1), (0, 2), (1, 0))
    pairing = ArbitraryPairs(nearest=1, classes=3, ranking=ranking)
    for anchor, wanted in ((0, {0: 3 / 4, 2: 1 / 4}), (4, {0: 4 / 5, 1: 1 / 5}), (6, {1: 1.0})):
        found = shares(pairing, anchor)
        assert found.keys() == wanted.keys()
        assert found == pytest.approx(wanted, abs=0.04)


def test_the_nearest_none_are_the_own_class():
    ranking = ((2, 1), (0, 2), (1, 0))
    found = partners(ArbitraryPairs(nearest=0, classes=3, ranking=ranking), LABEL)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, -1, -1]


def test_own_is_the_class_pairs_of_supcon():
    label = torch.tensor([0, 0, 1, 1, 1, 2, -1])
    rows = ArbitraryPairs(own=1.0).draw(rows_of(label), Streams(0).at("pairing", 0))
    ours = ArbitraryPairs(own=1.0).relation(rows, rows).block(slice(0, 7), slice(0, 7))
    theirs = SameClass().relation(rows, rows).block(slice(0, 7), slice(0, 7))
    assert torch.equal(ours.target, theirs.target.float())
    known = label >= 0
    assert torch.equal(ours.log_prior[known], theirs.log_prior[known])
    assert ours.target[5].sum() == 0


def test_a_share_of_own_pairs():
    label = torch.arange(1000) % 100
    found = partners(ArbitraryPairs(own=0.3), label)
    assert (found == label).float().mean() == pytest.approx(0.3 + 0.7 * 9 / 999, abs=0.05)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("views", [1, 2])
def test_ranks_draw_what_one_process_draws(world, views):
    label, pairing, images = torch.arange(16) % 5, ArbitraryPairs(), 16
    whole = pairing.draw(rows_of(label, views), Streams(0).at("pairing", 3))
    together = pairing.relation(whole, whole).partner
    share, drawn = images // world, []
    for rank in range(world):
        mine = torch.arange(rank * share, (rank + 1) * share)
        at = torch.cat([mine + view * images for view in range(views)])
        rows = rows_of(label, views).where(at)
        stream = Streams(0, rank=rank, world=world).at("pairing", 3)
        drawn.append((at, pairing.draw(rows, stream)))
    everyone = Rows(
        *(torch.cat([getattr(r, f) for _, r in drawn]) for f in ("sample", "position", "view", "label", "partner"))
    )
    for at, rows in drawn:
        assert torch.equal(rows.partner, whole.partner[at])
        assert torch.equal(pairing.relation(rows, everyone).partner, together[at])


def test_it_is_a_value_that_is_stored():
    ranking = ((2, 1), (0, 2), (1, 0))
    pairing = ArbitraryPairs(own=0.5, pairs=0.2, classes=3, nearest=1, ranking=ranking)
    assert part_from_json(part_to_json(pairing)) == pairing


def test_mistakes_are_refused():
    for wrong in ({"own": 1.5}, {"pairs": 0.0}, {"pairs": 2.0}):
        with pytest.raises(RecipeError, match="give a share"):
            ArbitraryPairs(**wrong)
    with pytest.raises(RecipeError, match="also say of how many classes"):
        ArbitraryPairs(pairs=0.5)
    for ranking in ((), ((1,), (1,)), ((1,), (0, 0))):
        with pytest.raises(RecipeError, match="a ranking that names for each class"):
            ArbitraryPairs(nearest=1, classes=2, ranking=ranking)
    with pytest.raises(RecipeError, match=r"ArbitraryPairs\(classes=2\) met the label 2"):
        partners(ArbitraryPairs(pairs=0.5, classes=2), LABEL)
    with pytest.raises(ShapeError, match="has drawn no lots"):
        ArbitraryPairs().relation(rows_of(LABEL), rows_of(LABEL))


def test_rows_of_an_earlier_batch_are_nobodys_self():
    rows = ArbitraryPairs().draw(rows_of(torch.tensor([4, 4])), Streams(0).at("pairing", 0))
    past = replace(rows, position=torch.full_like(rows.position, -1))
    assert ArbitraryPairs().relation(rows, past).partner.tolist() == [4, 4]
