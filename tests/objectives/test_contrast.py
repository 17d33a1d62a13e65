"""The heart: the dense form against loops over pairs, the tiled form against the dense one."""

import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from counterpoint.errors import RecipeError, ShapeError
from counterpoint.objectives import Contrast, Each, Joint, contrast, contrast_dense
from counterpoint.relations import Aligned, Explicit, Graph, Keyed, Related, Unrelated
from counterpoint.scores import Cosine, Dot, Euclidean
from counterpoint.types import Block, Clock, Columns, Match, Schedule, Score

DENOMINATORS = [Joint(), Each()]


# ---------------------------------------------------------------- loops, in plain floats


def slow(score: list[list[float]], target: list[list[float]], prior: list[list[float]], each: bool) -> float:
    total, anchors = 0.0, 0
    for s, w, p in zip(score, target, prior, strict=True):
        part = [j for j in range(len(s)) if p[j] > -math.inf]
        positives = [j for j in part if w[j] > 0]
        if not positives:
            continue
        anchors += 1
        cost = 0.0
        for j in positives:
            rivals = [k for k in part if w[k] == 0] + [j] if each else part
            denominator = sum(math.exp(s[k] + p[k]) for k in rivals)
            cost += w[j] * -math.log(math.exp(s[j] + p[j]) / denominator)
        total += cost / sum(w[j] for j in positives)
    return total / anchors


def cosine_slow(a: list[float], b: list[float]) -> float:
    inner = sum(x * y for x, y in zip(a, b, strict=True))
    return inner / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def small(seed: int, anchors: int = 5, candidates: int = 7, dim: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    query, rows = torch.randn(anchors, dim, generator=g).double(), torch.randn(candidates, dim, generator=g).double()
    target = torch.rand(anchors, candidates, generator=g) * (torch.rand(anchors, candidates, generator=g) < 0.4)
    prior = torch.randn(anchors, candidates, generator=g)
    prior[torch.rand(anchors, candidates, generator=g) < 0.2] = -torch.inf
    target[0, 0], prior[0, 0] = 1.0, 0.0
    return query, rows, target.double(), prior.double()


@pytest.mark.parametrize("form", [contrast_dense, contrast])
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_loops_over_pairs(form: Callable[..., Tensor], denominator: Joint | Each, seed: int) -> None:
    query, rows, target, prior = small(seed)
    score = [[cosine_slow(a, b) / 0.3 for b in rows.tolist()] for a in query.tolist()]
    expected = slow(score, target.tolist(), prior.tolist(), isinstance(denominator, Each))
    match = Match(query, (Columns(rows, Explicit(target, prior), Cosine()),))
    assert form(match, temperature=0.3, denominator=denominator).item() == pytest.approx(expected, abs=1e-10)


def test_one_denominator_for_each_positive_by_hand() -> None:
    # Two positives of cosine 1 and 0, one negative of cosine 0: log(1 + 1/e) and log 2.
    query, rows = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    match = Match(query, (Columns(rows, Explicit(torch.tensor([[1.0, 1.0, 0.0]])), Cosine()),))
    expected = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert contrast(match, denominator=Each()).item() == pytest.approx(expected, abs=1e-6)


def test_four_identical_keys_and_orthogonal_negatives() -> None:
    # VINCE: log(1 + n / e^(1/t)) for each positive, whatever their number.
    query, temperature, n = torch.eye(4)[:1], 0.5, 3
    rows = torch.cat([torch.eye(4)[:1].repeat(4, 1), torch.eye(4)[1:]])
    match = Match(query, (Columns(rows, Explicit(torch.tensor([[1.0] * 4 + [0.0] * n])), Cosine()),))
    expected = math.log(1 + n * math.exp(-1 / temperature))
    assert contrast(match, temperature=temperature, denominator=Each()).item() == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------- tiled equals dense


def groups(anchors: int, dtype: torch.dtype, seed: int = 0) -> tuple[Match, list[Tensor]]:
    """Every kind of group in one match: shared and private rows, a queue, another query, two scores, soft targets."""
    g = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype).requires_grad_()

    z, h, centres, queue, private = leaf(anchors, 4), leaf(anchors, 6), leaf(5, 6), leaf(9, 4), leaf(anchors, 3, 4)
    label = torch.randint(-1, max(2, anchors // 2), (anchors,), generator=g)
    number = torch.arange(anchors)
    soft = torch.rand(6, 6, generator=g)
    columns = (
        Columns(z, Keyed(label, label, number, number, weight=0.7), Cosine()),
        Columns(centres, Keyed(label, torch.arange(5), log_prior=torch.rand(5, generator=g)), Dot(0.5), query=h),
        Columns(queue, Unrelated(), Cosine()),
        Columns(queue, Graph(soft, label.clamp_max(5), torch.arange(9) % 7 - 1), Dot()),
        Columns(private, Explicit((torch.rand(anchors, 3, generator=g) < 0.3).double()), Cosine()),
    )
    return Match(z, columns), [z, h, centres, queue, private]


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("anchors", [1, 2, 7, 13, 19])
@pytest.mark.parametrize("tile", [1, 3, 8, 13, None])
def test_tiled_equals_dense(denominator: Joint | Each, anchors: int, tile: int | None) -> None:
    match, leaves = groups(anchors, torch.float64, seed=anchors)
    dense = contrast_dense(match, temperature=0.2, denominator=denominator)
    tiled = contrast(match, temperature=0.2, denominator=denominator, tile=tile)
    assert torch.allclose(dense, tiled, rtol=0, atol=1e-10)
    for left, right in zip(torch.autograd.grad(dense, leaves), torch.autograd.grad(tiled, leaves), strict=True):
        assert torch.allclose(left, right, rtol=0, atol=1e-10)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_tiled_equals_dense_in_float32(denominator: Joint | Each) -> None:
    match, leaves = groups(33, torch.float32)
    dense = contrast_dense(match, temperature=0.1, denominator=denominator)
    tiled = contrast(match, temperature=0.1, denominator=denominator, tile=8)
    assert dense.dtype == tiled.dtype == torch.float32
    assert torch.allclose(dense, tiled, rtol=1e-5)
    for left, right in zip(torch.autograd.grad(dense, leaves), torch.autograd.grad(tiled, leaves), strict=True):
        assert torch.allclose(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", [contrast_dense, contrast])
@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_gradient_equals_differences(form: Callable[..., Tensor], denominator: Joint | Each) -> None:
    match, leaves = groups(4, torch.float64)
    soft = match.columns

    def loss(z: Tensor, h: Tensor, centres: Tensor, queue: Tensor, private: Tensor) -> Tensor:
        rows = [z, centres, queue, queue, private]
        columns = tuple(
            Columns(row, group.relation, group.score, h if group.query is not None else None)
            for row, group in zip(rows, soft, strict=True)
        )
        settings = {"tile": 3} if form is contrast else {}
        return form(Match(z, columns), temperature=0.5, denominator=denominator, **settings)

    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True, rtol=1e-6, atol=1e-7)


def test_a_learned_score_is_differentiated_by_autograd() -> None:
    class Distance:
        def prepare(self, rows: Tensor) -> Tensor:
            return rows

        def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
            return -(anchors[:, None] - candidates).square().sum(-1).exp().log1p()

    z = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pair, number = torch.arange(9) % 4, torch.arange(9)
    match = Match(z, (Columns(z, Keyed(pair, pair, number, number), Distance()),))
    dense, tiled = contrast_dense(match, temperature=0.3), contrast(match, temperature=0.3, tile=4)
    assert torch.allclose(dense, tiled, rtol=0, atol=1e-12)
    assert torch.allclose(torch.autograd.grad(dense, z)[0], torch.autograd.grad(tiled, z)[0], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- who takes no part


@pytest.mark.parametrize("form", [contrast_dense, contrast])
@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_masked_candidate_gets_no_gradient(form: Callable[..., Tensor], denominator: Joint | Each) -> None:
    query, rows, target, prior = small(5)
    prior[:, 2] = -torch.inf
    query[4], target[4] = 0.0, 0.0
    prior[3] = -torch.inf
    rows.requires_grad_()
    query.requires_grad_()
    match = Match(query, (Columns(rows, Explicit(target, prior), Dot()),))
    form(match, temperature=0.1, denominator=denominator).backward()
    assert rows.grad is not None
    assert query.grad is not None
    assert (rows.grad[2] == 0).all()
    assert (rows.grad[0] != 0).any()
    assert (query.grad[3:] == 0).all()
    assert query.grad.isfinite().all()
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("form", [contrast_dense, contrast])
def test_a_relation_that_attracts_who_takes_no_part_is_read_as_if_it_did_not(form: Callable[..., Tensor]) -> None:
    class Careless:
        def block(self, anchors: slice, candidates: slice) -> Block:
            target = torch.tensor([[1.0, 1.0, 0.0]])
            return Block(target[anchors, candidates], torch.tensor([[0.0, -torch.inf, 0.0]])[anchors, candidates])

    rows = torch.tensor([[1.0], [5.0], [1.0]])
    match = Match(torch.ones(1, 1), (Columns(rows, Careless(), Dot()),))
    assert form(match).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("form", [contrast_dense, contrast])
def test_each_without_negatives_is_nothing(form: Callable[..., Tensor]) -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    match = Match(z, (Columns(z.detach(), Related(), Cosine()),))
    loss = form(match, temperature=0.1, denominator=Each())
    loss.backward()
    assert loss.item() == 0.0
    assert z.grad is not None
    assert (z.grad == 0).all()


@pytest.mark.parametrize("form", [contrast_dense, contrast])
def test_anchors_without_a_positive_are_left_out(form: Callable[..., Tensor]) -> None:
    query, rows, target, prior = small(1)
    target[2] = 0.0
    some = torch.tensor([0, 1, 3, 4])
    whole = form(Match(query, (Columns(rows, Explicit(target, prior), Cosine()),)), temperature=0.5)
    part = form(Match(query[some], (Columns(rows, Explicit(target[some], prior[some]), Cosine()),)), temperature=0.5)
    assert whole.item() == pytest.approx(part.item(), abs=1e-12)


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_a_relation_may_be_more_precise_than_the_rows(denominator: Joint | Each) -> None:
    query, rows, target, prior = small(2)
    z = query.float().requires_grad_()
    match = Match(z, (Columns(rows.float(), Explicit(target, prior), Cosine()),))
    dense, tiled = (form(match, temperature=0.5, denominator=denominator) for form in (contrast_dense, contrast))
    assert dense.dtype == tiled.dtype == torch.float32
    assert torch.allclose(torch.autograd.grad(dense, z)[0], torch.autograd.grad(tiled, z)[0], atol=1e-6)


def test_no_anchors_at_all() -> None:
    z = torch.eye(3)[:0].requires_grad_()
    match = Match(z, (Columns(torch.eye(3), Aligned(), Cosine()),))
    loss = Contrast()([match])
    loss.total.backward()
    assert (loss.total.item(), loss.anchors) == (0.0, 0)
    with pytest.raises(RecipeError, match="none of the 0 anchors has a positive"):
        contrast(match)


def test_aligned_alone_is_related() -> None:
    q, k = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).unbind()
    queue = Columns(torch.eye(3), Unrelated(), Cosine())
    left = contrast(Match(q, (Columns(k, Aligned(alone=True), Cosine()), queue)), temperature=0.2)
    right = contrast(Match(q, (Columns(k[:, None], Related(), Cosine()), queue)), temperature=0.2)
    assert torch.allclose(left, right)


# ---------------------------------------------------------------- properties


@given(st.integers(0, 10_000), st.sampled_from(DENOMINATORS), st.floats(0.05, 2.0))
def test_order_axis_and_length_do_not_matter(seed: int, denominator: Joint | Each, temperature: float) -> None:
    query, rows, target, prior = small(seed)
    g = torch.Generator().manual_seed(seed)

    def loss(query: Tensor, rows: Tensor, target: Tensor, prior: Tensor) -> float:
        match = Match(query, (Columns(rows, Explicit(target, prior), Cosine()),))
        return contrast(match, temperature=temperature, denominator=denominator, tile=3).item()

    plain = loss(query, rows, target, prior)
    a, c = torch.randperm(len(query), generator=g), torch.randperm(len(rows), generator=g)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=g).double())
    length = torch.rand(len(rows), 1, generator=g).double() * 9 + 0.1
    assert loss(query[a], rows[c], target[a][:, c], prior[a][:, c]) == pytest.approx(plain, abs=1e-9)
    assert loss(query @ turn, rows @ turn, target, prior) == pytest.approx(plain, abs=1e-9)
    assert loss(query * 3, rows * length, target, prior) == pytest.approx(plain, abs=1e-9)
    assert loss(query, rows, target * 5, prior) == pytest.approx(plain, abs=1e-9)
    if isinstance(denominator, Joint):
        assert loss(query, rows, target, prior + 2) == pytest.approx(plain, abs=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(DENOMINATORS))
def test_gradient_of_a_cosine_is_orthogonal_to_its_row(seed: int, denominator: Joint | Each) -> None:
    query, rows, target, prior = small(seed)
    query.requires_grad_()
    rows.requires_grad_()
    match = Match(query, (Columns(rows, Explicit(target, prior), Cosine()),))
    contrast(match, temperature=0.2, denominator=denominator, tile=3).backward()
    for leaf in (query, rows):
        assert leaf.grad is not None
        assert (leaf * leaf.grad).sum(-1).abs().max() < 1e-12


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("form", [contrast_dense, contrast])
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_finite_in_half_precision_at_a_low_temperature(
    form: Callable[..., Tensor], denominator: Joint | Each, dtype: torch.dtype
) -> None:
    leaf = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    pair, number = torch.arange(16) % 8, torch.arange(16)
    # Without self masks, a queue of the very rows: logits up to 100.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = leaf * 1.0
        match = Match(z, (Columns(z, Keyed(pair, pair, number, number), Cosine()), Columns(z, Unrelated(), Cosine())))
        loss = form(match, temperature=0.01, denominator=denominator)
        loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    full = leaf.detach().float()
    exact = Match(
        full, (Columns(full, Keyed(pair, pair, number, number), Cosine()), Columns(full, Unrelated(), Cosine()))
    )
    assert loss.item() == pytest.approx(form(exact, temperature=0.01, denominator=denominator).item(), rel=1e-5)


# ---------------------------------------------------------------- ways to ask for it


def one(z: Tensor, score: Score, rows: Tensor | None = None) -> Match:
    """Twelve rows, two by two."""
    pair, number = torch.arange(12) % 6, torch.arange(12)
    return Match(z, (Columns(z if rows is None else rows, Keyed(pair, pair, number, number), score),))


def twelve(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()


def agree(match: Match, leaf: Tensor, denominator: Joint | Each, tile: int | None, times: float = 1.0) -> None:
    dense = contrast_dense(match, temperature=0.2, denominator=denominator)
    found = contrast(match, temperature=0.2, denominator=denominator, tile=tile)
    assert torch.allclose(dense, found)
    wanted, gradient = (torch.autograd.grad(times * loss, leaf, retain_graph=True)[0] for loss in (dense, found))
    assert torch.allclose(wanted, gradient)
    # A second backward, with another factor.
    assert torch.allclose(torch.autograd.grad(-2 * found, leaf)[0], -2 * wanted / times)


@pytest.mark.parametrize("tile", [None, 5, 12])
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("score", [Cosine(), Euclidean()])
def test_any_upstream_and_a_second_backward(score: Score, denominator: Joint | Each, tile: int | None) -> None:
    z = twelve(torch.float64)
    agree(one(z, score), z, denominator, tile, 3.5)


class Turned(Dot):
    """Its tiles are strided."""

    def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        return (candidates @ anchors.mT).mT


class Added(Dot):
    """Its gradients are numbers that were expanded."""

    def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        return anchors.sum(1, keepdim=True) + candidates.sum(1)


class Same(torch.autograd.Function):
    """Both gradients are one tensor, for as many anchors as candidates."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return left @ left.mT + right @ right.mT

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        left, _ = ctx.saved_tensors
        found = (upstream + upstream.mT) @ left
        return found, found


class Twice(Dot):
    def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        return cast(Tensor, Same.apply(anchors, candidates))


@pytest.mark.parametrize(
    ("score", "tile"), [(Turned(), 5), (Turned(), None), (Added(), 5), (Added(), None), (Twice(), None)]
)
@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_scores_may_answer_with_any_tensor(score: Score, tile: int | None, denominator: Joint | Each) -> None:
    z = twelve(torch.float64)
    agree(one(z, score), z, denominator, tile)
    both = Match(z, one(z, score).columns * 2)
    agree(both, z, denominator, tile)


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("score", [Cosine(), Dot(), Euclidean()])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Callable[[], Any], score: Score, denominator: Joint | Each) -> None:
    z = twelve()
    with mode():
        loss = contrast(one(z, score), temperature=0.2, denominator=denominator)
    assert not loss.requires_grad
    assert torch.allclose(loss, contrast(one(z, score), temperature=0.2, denominator=denominator).detach())


@pytest.mark.parametrize("tile", [None, 5])
@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_no_gradient_is_made_for_nobody(denominator: Joint | Each, tile: int | None) -> None:
    slopes: list[Tensor] = []

    class Counted(Euclidean):
        def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
            score = super().tile(anchors, candidates)
            if score.requires_grad:
                score.register_hook(slopes.append)
            return score

    z = twelve()
    with torch.no_grad():
        contrast(one(z, Counted()), temperature=0.2, denominator=denominator, tile=tile)
    assert not slopes
    contrast(one(z, Counted()), temperature=0.2, denominator=denominator, tile=tile)
    assert len(slopes) == (1 if tile is None else 9)


@pytest.mark.parametrize("rows", [[0], list(range(12))])
@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("score", [Cosine(), Euclidean()])
def test_what_is_no_number_makes_the_loss_none(score: Score, denominator: Joint | Each, rows: list[int]) -> None:
    z = twelve().detach()
    z[rows] = torch.nan
    loss = Contrast(0.2, denominator)([one(z.requires_grad_(), score)])
    assert loss.total.isnan()
    assert loss.anchors == 12


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("score", [Cosine(), Dot(), Euclidean()])
def test_a_second_derivative_is_refused_in_a_sentence(score: Score, denominator: Joint | Each) -> None:
    z = twelve()
    loss = contrast(one(z, score), temperature=0.2, denominator=denominator)
    with pytest.raises(RecipeError, match="a second derivative was asked for"):
        torch.autograd.grad(loss, z, create_graph=True)


# ---------------------------------------------------------------- memory


def test_no_tile_is_larger_than_asked() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(Cosine):
        def tile(self, anchors: Tensor, candidates: Tensor) -> Tensor:
            score = super().tile(anchors, candidates)
            seen.append(tuple(score.shape))
            return score

    z = torch.randn(100, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pair, number = torch.arange(100) % 50, torch.arange(100)
    contrast(Match(z, (Columns(z, Keyed(pair, pair, number, number), Watched()),)), tile=16).backward()
    assert max(max(shape) for shape in seen) == 16
    assert len(seen) == 2 * 7 * 7


def test_peak_memory_at_8192_rows_is_far_below_the_matrix() -> None:
    rows = 8192
    z = torch.randn(rows, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    pair, number = torch.arange(rows) % (rows // 2), torch.arange(rows)
    match = Match(z, (Columns(z, Keyed(pair, pair, number, number), Cosine()),))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        contrast(match, temperature=0.1).backward()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    matrix = rows * rows * 4
    assert 0 < peak < matrix / 8, f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_an_explicit_tile_bounds_memory(denominator: Joint | Each) -> None:
    tile = 64
    z, queue = (
        torch.randn(tile, 4, generator=torch.Generator().manual_seed(0), requires_grad=True),
        torch.randn(10_000, 4),
    )
    key = torch.arange(tile)
    match = Match(z, (Columns(queue, Keyed(key, torch.arange(10_000)), Euclidean()),))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        contrast(match, temperature=0.1, denominator=denominator, tile=tile).backward()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert 0 < peak < queue.nbytes + 40 * tile * tile * 4


# ---------------------------------------------------------------- the part


def pairs(seed: int, images: int) -> Match:
    z = torch.randn(2 * images, 4, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    image, number = torch.arange(2 * images) % images, torch.arange(2 * images)
    return Match(z, (Columns(z, Keyed(image, image, number, number), Cosine()),))


def test_the_part_is_the_weighted_mean_of_its_matches() -> None:
    one, two = pairs(0, 3), pairs(1, 3)
    loss = Contrast(0.2)([one, Match(two.query, two.columns, weight=3.0)])
    expected = (contrast(one, temperature=0.2) + 3 * contrast(two, temperature=0.2)) / 4
    assert torch.allclose(loss.total, expected)
    assert loss.anchors == 6 + 3 * 6
    assert loss.terms["match 0"].item() == pytest.approx(contrast(one, temperature=0.2).item())
    assert Contrast(0.2)([one]).terms == {}


def test_the_part_answers_zero_where_nobody_has_a_positive() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    label, number = torch.arange(4), torch.arange(4)
    loss = Contrast()([Match(z, (Columns(z, Keyed(label, label, number, number), Cosine()),))])
    assert loss.anchors == 0
    assert loss.total.item() == 0.0
    loss.total.backward()
    assert z.grad is not None
    assert (z.grad == 0).all()


def test_the_part_is_a_value() -> None:
    assert Contrast(0.1, Each()) == Contrast(0.1, Each()) != Contrast(0.1)
    assert repr(Contrast(0.1)) == "Contrast(temperature=0.1, denominator=Joint(), times_temperature=0.0)"


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("form", [contrast_dense, contrast])
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_must_be_above_zero(form: Callable[..., Tensor], temperature: float) -> None:
    with pytest.raises(RecipeError, match=r"the temperature is .* must be above 0"):
        form(pairs(0, 2), temperature=temperature)


@pytest.mark.parametrize("form", [contrast_dense, contrast])
def test_nobody_has_a_positive(form: Callable[..., Tensor]) -> None:
    z = torch.eye(3)
    with pytest.raises(RecipeError, match="none of the 3 anchors has a positive; the pairing must put at least two"):
        form(Match(z, (Columns(z, Unrelated(), Cosine()),)))


def test_groups_must_fit_the_anchors() -> None:
    z = torch.eye(3)
    with pytest.raises(ShapeError, match=r"must be \[candidate, dim\], or \[3, candidate, dim\]"):
        contrast(Match(z, (Columns(torch.ones(2, 5, 3), Related(), Cosine()),)))
    with pytest.raises(ShapeError, match="3 anchors, but group 0 of its columns has a query of 2 rows"):
        contrast(Match(z, (Columns(z, Related(), Cosine(), query=z[:2]),)))
    with pytest.raises(ShapeError, match="no candidates"):
        contrast(Match(z, ()))
    with pytest.raises(RecipeError, match="a tile of 0 rows"):
        contrast(pairs(0, 2), tile=0)
    with pytest.raises(RecipeError, match="at least one match"):
        Contrast()([])


def test_a_schedule_must_be_resolved_first() -> None:
    class Falling(Schedule):
        def at(self, clock: Clock) -> float:
            return 1.0 / (1 + clock.step)

    with pytest.raises(RecipeError, match="still the schedule"):
        Contrast(Falling())([pairs(0, 2)])
