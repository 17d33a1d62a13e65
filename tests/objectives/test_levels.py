"""The quick engine: it answers where it should, equals the dense form there, and leaves the rest to the tiles."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counterpoint.objectives import Each, contrast, contrast_dense, levels, tiles
from counterpoint.objectives._prepared import prepare
from counterpoint.relations import Aligned, Explicit, Keyed, Related, Summed, Unrelated
from counterpoint.scores import Cosine, Dot
from counterpoint.types import Columns, Match, Relation, Score

TEMPERATURES = [0.001, 0.02, 0.0226, 0.07, 0.5, 100.0]


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def views(z: Tensor, images: int) -> Match:
    """Every row against every other, as SimCLR with len(z) / images views."""
    image, number = torch.arange(len(z)) % images, torch.arange(len(z))
    return Match(z, (Columns(z, Keyed(image, image, number, number), Cosine()),))


def classes(z: Tensor, count: int) -> Match:
    label, number = torch.arange(len(z)) * 7 % (count + 1) - 1, torch.arange(len(z)) * 3 + 5
    return Match(z, (Columns(z, Keyed(label, label, number, number, weight=0.3), Cosine()),))


def same(match: Match, leaves: list[Tensor], temperature: float, tile: int | None, within: float = 1e-10) -> None:
    """Value and gradients of the quick form and of the definition; the quick form is really taken."""
    assert levels.levelled(*prepare(match), temperature, tile) is not None
    dense = contrast_dense(match, temperature=temperature)
    quick = contrast(match, temperature=temperature, tile=tile)
    assert torch.allclose(dense, quick, rtol=within, atol=within)
    wanted, found = torch.autograd.grad(dense, leaves), torch.autograd.grad(quick, leaves)
    for left, right in zip(wanted, found, strict=True):
        assert right.isfinite().all()
        assert torch.allclose(left, right, rtol=within, atol=within * max(1.0, 1 / temperature))


# ---------------------------------------------------------------- equals the dense form


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("tile", [1, 5, 8, None])
def test_views_of_images(temperature: float, tile: int | None) -> None:
    for rows, images in ((2, 1), (12, 6), (15, 5), (18, 3)):
        z = normal(rows, rows, 4)
        same(views(z, images), [z], temperature, tile)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("count", [1, 3])
def test_classes_with_many_positives(temperature: float, count: int) -> None:
    z = normal(count, 23, 5)
    same(classes(z, count), [z], temperature, 6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_queue_and_a_key_of_ones_own(temperature: float) -> None:
    query, key, queue = normal(0, 7, 4), normal(1, 7, 4), normal(2, 19, 4)
    groups = Columns(key[:, None], Related(), Cosine()), Columns(queue, Unrelated(), Cosine())
    same(Match(query, groups), [query, key, queue], temperature, 4)
    same(Match(query, (Columns(key, Aligned(), Cosine()), groups[1])), [query, key, queue], temperature, 4)


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_groups_of_every_kind_in_one_denominator(temperature: float) -> None:
    z, h, centres, private = normal(0, 11, 4), normal(1, 11, 6), normal(2, 3, 6), normal(3, 11, 2, 4)
    label, number = torch.arange(11) % 4 - 1, torch.arange(11).flip(0)
    prior = torch.tensor([[0.3, -torch.inf]]).repeat(11, 1)
    groups = (
        Columns(z, Keyed(label, label, number, number), Cosine()),
        Columns(centres, Keyed(label, torch.arange(3)), Dot(0.5), query=h),
        Columns(z[:6], Aligned(), Dot()),
        Columns(private, Explicit(torch.ones(11, 2).double(), prior.double()), Cosine()),
    )
    # Aligned with fewer columns than anchors has to be read block by block.
    assert levels.levelled(*prepare(Match(z, groups)), temperature, 4) is None
    kept = (*groups[:2], groups[3])
    same(Match(z, kept), [z, h, centres, private], temperature, 4)


def test_rows_that_others_mark_as_themselves() -> None:
    # The anchors are every other candidate, in reverse: who is excluded lies off the diagonal.
    z = normal(0, 14, 3)
    number, label = torch.arange(14), torch.arange(14) % 3
    some = torch.arange(12, -1, -2)
    query = z[some].detach().requires_grad_()
    match = Match(query, (Columns(z, Keyed(label[some], label, number[some], number), Cosine()),))
    same(match, [query, z], 0.3, 4)
    # As many anchors as candidates and one tensor, but row i is candidate 13 - i's self.
    turned = Match(z, (Columns(z, Keyed(label, label, number, number.flip(0)), Cosine()),))
    same(turned, [z], 0.3, 4)


def test_gradient_of_one_side_alone() -> None:
    query, rows = normal(0, 6, 3), normal(1, 9, 3)
    label = torch.arange(9) % 3
    for leaf, left, right in ((query, query, rows.detach()), (rows, query.detach(), rows)):
        for temperature in (0.02, 0.2):
            same(Match(left, (Columns(right, Keyed(label[:6], label), Cosine()),)), [leaf], temperature, 4)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 9), st.floats(0.001, 100.0), st.integers(1, 12))
def test_any_labels_any_size(seed: int, rows: int, count: int, temperature: float, tile: int) -> None:
    z = normal(seed, rows, 3)
    label = torch.randint(-1, count, (rows,), generator=torch.Generator().manual_seed(seed))
    label[:1], label[-1:] = 0, 0
    match = Match(z, (Columns(z, Keyed(label, label, torch.arange(rows), torch.arange(rows)), Cosine()),))
    if rows > 1:
        same(match, [z], temperature, tile)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equal_rows_and_rows_of_nothing(temperature: float) -> None:
    equal = torch.tensor([[0.3, -2.0]], dtype=torch.float64).repeat(10, 1).requires_grad_()
    same(views(equal, 5), [equal], temperature, 4)
    assert contrast(views(equal, 5), temperature=temperature).item() == pytest.approx(math.log(9), abs=1e-9)
    with torch.no_grad():
        nothing = normal(0, 10, 2)
        nothing[3] = 0.0
    same(views(nothing.requires_grad_(), 5), [nothing], temperature, 4)


@pytest.mark.parametrize("temperature", [0.001, 0.02, 0.05, 0.5])
@pytest.mark.parametrize("score", [Cosine(), Dot(), Dot(-3.0), Dot(50.0)])
def test_float32_at_every_temperature_and_length(score: Score, temperature: float) -> None:
    # Opposite rows: every candidate of an anchor is as far away as can be.
    z = torch.cat([torch.ones(1, 4), -torch.ones(9, 4)]).add(normal(0, 10, 4, dtype=torch.float32).detach() * 1e-3)
    pair, number = torch.arange(10) % 5, torch.arange(10)
    found: list[Tensor] = []
    for dtype, form in ((torch.float64, contrast_dense), (torch.float32, contrast)):
        leaf = z.to(dtype).requires_grad_()
        loss = form(Match(leaf, (Columns(leaf, Keyed(pair, pair, number, number), score),)), temperature=temperature)
        found += [loss.double(), torch.autograd.grad(loss, leaf)[0].double()]
    assert found[2].item() == pytest.approx(found[0].item(), rel=1e-5, abs=1e-4 / temperature)
    assert found[3].isfinite().all()
    if isinstance(score, Cosine):
        assert torch.allclose(found[1], found[3], rtol=1e-2, atol=1e-3 * float(found[1].abs().max()))


def test_anchors_without_candidates_or_positives() -> None:
    z = normal(0, 3, 2)
    # Anchor 0 is everybody's self, and marks 1 and 2 attract: it has no candidate at all in its group.
    lonely = Keyed(torch.tensor([0, 1, 1]), torch.tensor([1, 1]), torch.tensor([-1, -1, -1]), torch.tensor([0, 0]))
    match = Match(z, (Columns(z[1:], lonely, Cosine()),))
    same(match, [z], 0.5, 2)
    nobody = Keyed(torch.tensor([5]), torch.tensor([5]), torch.tensor([7]), torch.tensor([7]))
    one = Match(z[:1], (Columns(z[:1], nobody, Cosine()), Columns(z[1:], Related(), Cosine())))
    same(one, [z], 0.5, 2)


def test_gradient_equals_differences_also_of_each_anchor() -> None:
    z, queue = normal(0, 6, 3), normal(1, 5, 3)

    def losses(z: Tensor, queue: Tensor, temperature: float) -> Tensor:
        match = Match(z, (*views(z, 3).columns, Columns(queue, Unrelated(), Cosine())))
        found = levels.levelled(*prepare(match), temperature, 4)
        assert found is not None
        return found[0]

    for temperature in (0.02, 0.5):
        assert torch.autograd.gradcheck(lambda z, q, t=temperature: losses(z, q, t), (z, queue), rtol=1e-5)


def test_scores_are_kept_or_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    z = normal(0, 20, 4)
    whole = torch.autograd.grad(contrast(views(z, 10), temperature=0.3, tile=8), z)[0]
    for room in (0, 70, 200):
        monkeypatch.setattr(levels, "_KEPT", room)
        for temperature in (0.3, 0.01):
            same(views(z, 10), [z], temperature, 8)
        again = torch.autograd.grad(contrast(views(z, 10), temperature=0.3, tile=8), z)[0]
        assert torch.allclose(whole, again, rtol=0, atol=1e-14)


def test_backward_twice() -> None:
    z = normal(0, 10, 3)
    loss = contrast(views(z, 5), temperature=0.3)
    once = torch.autograd.grad(loss, z, retain_graph=True)[0]
    assert torch.equal(once, torch.autograd.grad(loss, z)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rows(dtype: torch.dtype) -> None:
    z = normal(0, 16, 8).detach().to(dtype).requires_grad_()
    loss = contrast(views(z, 8), temperature=0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert z.grad is not None
    full = z.detach().float()
    assert loss.item() == pytest.approx(contrast_dense(views(full, 8), temperature=0.1).item(), rel=1e-5)


# ---------------------------------------------------------------- who takes it


@pytest.mark.parametrize(
    "relation",
    [
        Explicit(torch.ones(4, 4)),
        Aligned(alone=True),
        Keyed(torch.arange(4), torch.arange(4), log_prior=torch.ones(4)),
        Keyed(torch.arange(8) % 4, torch.arange(8) % 4, torch.arange(8) // 4, torch.arange(8) // 4),
    ],
    ids=["explicit", "alone", "prior", "views"],
)
def test_the_rest_is_read_block_by_block(relation: Relation) -> None:
    rows = len(relation.anchor_key) if isinstance(relation, Keyed) else 4
    z = normal(0, rows, 3)
    match = Match(z, (Columns(z, relation, Cosine()),))
    assert levels.levelled(*prepare(match), 0.5, None) is None
    assert torch.allclose(contrast(match, temperature=0.5), contrast_dense(match, temperature=0.5))


def test_a_score_that_changes_its_tile_is_asked_for_it() -> None:
    class Squared(Cosine):
        def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
            return super().tile(anchors, candidates).square()

    z = normal(0, 8, 3)
    number = torch.arange(8)
    match = Match(z, (Columns(z, Keyed(number % 4, number % 4, number, number), Squared()),))
    assert torch.allclose(contrast(match, tile=3), contrast_dense(match), rtol=0, atol=1e-12)


def test_both_engines_agree() -> None:
    z = normal(0, 30, 4)
    for match in (views(z, 10), classes(z, 4)):
        quick = levels.levelled(*prepare(match), 0.2, 8)
        total, anchors = tiles.tiled(*prepare(match), 0.2, joint=True, tile=8)
        assert quick is not None
        each, mass = quick
        assert torch.allclose(each.sum(), total, rtol=0, atol=1e-11)
        assert anchors == (mass > 0).sum()


def test_each_positive_with_its_own_denominator_is_left_to_the_tiles() -> None:
    z = normal(0, 12, 4)
    forms: list[Callable[..., Tensor]] = [contrast, contrast_dense]
    quick, dense = (form(views(z, 4), temperature=0.2, denominator=Each()) for form in forms)
    assert torch.allclose(quick, dense, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- cost


def test_symmetry_halves_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[slice, slice]] = []
    formed = levels._Plan.formed

    def watched(plan: levels._Plan, query: Tensor, keys: Tensor, rows: slice, columns: slice) -> Tensor:
        counted.append((rows, columns))
        return formed(plan, query, keys, rows, columns)

    monkeypatch.setattr(levels._Plan, "formed", watched)
    monkeypatch.setattr(levels, "_KEPT", 0)
    z = normal(0, 40, 4)
    contrast(views(z, 20), temperature=0.5, tile=10).backward()
    assert len(counted) == 2 * 10
    assert all(columns.start >= rows.start for rows, columns in counted)
    counted.clear()
    contrast(Match(z, (Columns(z.detach(), Related(), Cosine()),)), temperature=0.5, tile=10).backward()
    assert len(counted) == 16
    counted.clear()
    contrast(Match(z, (Columns(normal(1, 40, 4), Related(), Cosine()),)), temperature=0.5, tile=10).backward()
    assert len(counted) == 2 * 16


def test_summed_is_a_promise_that_can_be_checked() -> None:
    assert isinstance(Unrelated(), Summed)
    assert not isinstance(Explicit(torch.ones(1, 1)), Summed)
