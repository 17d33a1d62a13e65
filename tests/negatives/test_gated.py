"""The gated contrast against equation 2 in plain loops, and what follows from it."""

import math
from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.errors import RecipeError
from counterpoint.negatives import AcrossViews, Gated, Gates, InBatch, Queue
from counterpoint.objectives import Contrast, Each, GatedContrast, Joint, contrast, contrast_dense
from counterpoint.pairing import ArbitraryPairs, DisjointPairs, SameClass, SameSample
from counterpoint.random import Streams
from counterpoint.relations import Listed, OfPairs, Partnered
from counterpoint.scores import Cosine, Dot, GatedCosine
from counterpoint.sphere import gated, gated_query
from counterpoint.types import Clock, Columns, Context, Encoded, Facts, Match, Rows

DIM, CLASSES = 6, 4
ALONE = Context(Clock(0, 1, 1), Comm.alone(), Streams(0))


def rows_of(label, views=1):
    count = len(label)
    number = torch.arange(count).repeat(views)
    view = torch.arange(views).repeat_interleave(count)
    return Rows(number, number, view, torch.as_tensor(label).repeat(views))


PAIRS = ArbitraryPairs()


def drawn(label, pairing=PAIRS, views=1, seed=0):
    return pairing.draw(rows_of(label, views), Streams(seed).at("pairing", 0))


def leaf(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def facts(classes=CLASSES, width=DIM):
    return Facts("made", "photos", 3, 8, 64, classes, width=width, projection=width)


def gates_of(part, seed=0, **more):
    torch.manual_seed(seed)
    return part.build(facts(**more)).double().train()


class Given(Gates):
    """Gates that a test has set, by pair."""

    def __init__(self, table):
        super().__init__(table.shape[0], 3, 3, table.shape[2])
        self.given = table

    def gate(self, first, second):
        return self.given[first, second]


def given(seed=0, classes=CLASSES, dim=DIM):
    table = torch.rand(classes, classes, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Given((table + table.transpose(0, 1)) / 2)


LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 1, 0, -1, 2])


def equation(z, label, partner, gate, temperature, bypass=False, exclude=True):
    """Equation 2 with the anchor's gate, one number at a time."""
    total, anchors = 0.0, 0
    z = z.tolist()

    def cosine(g, u, v):
        u, v = ([a * b for a, b in zip(g, x, strict=True)] for x in (u, v))
        inner = sum(a * b for a, b in zip(u, v, strict=True))
        return inner / math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))

    for i, (y1, y2) in enumerate(zip(label.tolist(), partner.tolist(), strict=True)):
        if y1 < 0 or y2 < 0:
            continue
        g = [1.0] * len(z[0]) if bypass else gate[y1, y2].tolist()
        positives = [j for j in range(len(z)) if j != i and label[j] == y2]
        out = (y1, y2) if exclude else (y2,)
        negatives = [j for j in range(len(z)) if j != i and int(label[j]) not in out]
        if not positives:
            continue
        against = sum(math.exp(cosine(g, z[i], z[j]) / temperature) for j in negatives)
        costs = []
        for j in positives:
            own = math.exp(cosine(g, z[i], z[j]) / temperature)
            costs.append(-math.log(own / (own + against)))
        total += sum(costs) / len(costs)
        anchors += 1
    return total / anchors


def partner_of(rows):
    return PAIRS.relation(rows, rows).partner


def loss_of(z, rows, state, temperature=0.15, pairing=PAIRS, part=None, objective=None):
    online = Encoded(z, z, rows)
    matches = (part or Gated()).match(online, online, pairing, Cosine(), state, ALONE)
    return (objective or GatedContrast(temperature, Each()))(matches).total


@pytest.mark.parametrize("seed", range(4))
def test_equals_equation_2_in_loops(seed):
    z, rows, state = leaf(len(LABELS), DIM, seed=seed), drawn(LABELS, seed=seed), given(seed)
    partner = partner_of(rows)
    assert len(partner.unique()) > 2
    expected = equation(z, LABELS, partner, state.given, 0.15)
    assert loss_of(z, rows, state).item() == pytest.approx(expected, abs=1e-12)
    # And the loops tell a gate that is left out, and a class that is not excluded.
    assert abs(expected - equation(z, LABELS, partner, state.given, 0.15, bypass=True)) > 1e-3
    assert abs(expected - equation(z, LABELS, partner, state.given, 0.15, exclude=False)) > 1e-3


@pytest.mark.parametrize("temperature", [0.005, 0.2, 3.0])  # the first is too low for powers without a peak
@pytest.mark.parametrize("under_gates", [True, False])
def test_tiles_equal_the_dense_form(temperature, under_gates):
    z, rows, state = leaf(len(LABELS), DIM), drawn(LABELS), given()
    state.given.requires_grad_()
    online = Encoded(z, z, rows)
    (match,) = Gated().match(online, online, ArbitraryPairs(), Cosine(), state, ALONE)
    leaves = [z, state.given]
    if not under_gates:
        (match,), leaves = InBatch().match(online, online, ArbitraryPairs(), Cosine(), None, ALONE), [z]
    dense = contrast_dense(match, temperature=temperature, denominator=Each())
    for tile in (1, 5, None):
        tiled = contrast(match, temperature=temperature, denominator=Each(), tile=tile)
        assert torch.allclose(dense, tiled, rtol=1e-12, atol=1e-12)
        for left, right in zip(
            torch.autograd.grad(dense, leaves, retain_graph=True),
            torch.autograd.grad(tiled, leaves, retain_graph=True),
            strict=True,
        ):
            assert torch.allclose(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.005, 0.2])
def test_where_nobody_repels_nothing_is_learned(temperature):
    """Of two images each is the other's partner."""
    label = torch.tensor([0, 1])
    z, rows, state = leaf(2, DIM), drawn(label), given(classes=2)
    loss = loss_of(z, rows, state, temperature)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, z)[0].eq(0).all()


def test_the_gradient_reaches_rows_embeddings_and_filter_and_is_exact():
    part = Gated(embedding=5, hidden=7)
    state, rows, z = gates_of(part), drawn(LABELS), leaf(len(LABELS), DIM)
    weights = list(state.parameters())

    total = loss_of(z, rows, state, part=part)
    found = torch.autograd.grad(total, [z, *weights])
    assert all(bool((gradient != 0).any()) for gradient in found[:3])
    step = 1e-6
    for i, tensor in enumerate([z, *weights]):
        flat, gradient = tensor.data.view(-1), found[i].reshape(-1)
        for at in (0, len(flat) // 2, len(flat) - 1):
            was = flat[at].item()
            flat[at] = was + step
            above = loss_of(z, rows, state, part=part).item()
            flat[at] = was - step
            below = loss_of(z, rows, state, part=part).item()
            flat[at] = was
            assert gradient[at].item() == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8)


def test_gradcheck_of_rows_and_gates():
    rows = drawn(LABELS)

    def loss(z, table):
        state = given()
        state.given = table
        return loss_of(z, rows, state)

    assert torch.autograd.gradcheck(loss, (leaf(len(LABELS), DIM), given().given.requires_grad_()), fast_mode=True)


# ---------------------------------------------------------------- closed forms


def constant(value):
    state = given()
    state.given = value.expand(CLASSES, CLASSES, DIM) if value.ndim == 1 else value
    return state


def test_gates_of_ones_are_the_cosine_contrast_with_masks():
    z, rows = leaf(len(LABELS), DIM), drawn(LABELS)
    relation = ArbitraryPairs().relation(rows, rows)
    plain = contrast(Match(z, (Columns(z, relation, Cosine()),)), temperature=0.15, denominator=Each())
    assert torch.allclose(loss_of(z, rows, constant(torch.ones(DIM).double())), plain, rtol=0, atol=1e-12)


def test_gates_of_zeros_and_ones_delete_dimensions():
    z, rows = leaf(len(LABELS), DIM), drawn(LABELS)
    keep = torch.tensor([1, 0, 1, 1, 0, 1]).double()
    relation = ArbitraryPairs().relation(rows, rows)
    small = z[:, keep > 0]
    plain = contrast(Match(small, (Columns(small, relation, Cosine()),)), temperature=0.15, denominator=Each())
    deleted = loss_of(z, rows, constant(keep))
    assert torch.allclose(deleted, plain, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(deleted, z)
    assert (gradient[:, keep == 0] == 0).all()
    assert (gradient[:, keep > 0] != 0).any()


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1e5])
def test_the_scale_of_a_gate_changes_nothing(scale):
    z, rows, state = leaf(len(LABELS), DIM), drawn(LABELS), given()
    was = loss_of(z, rows, state).item()
    factor = torch.rand(CLASSES, CLASSES, 1, generator=torch.Generator().manual_seed(3)).double() + 0.5
    state.given = state.given * scale * (factor + factor.transpose(0, 1))
    assert loss_of(z, rows, state).item() == pytest.approx(was, abs=1e-10)


@pytest.mark.parametrize(("temperature", "expected"), [(0.15, 0.005078), (1.0, 0.904833)])
def test_one_positive_of_cosine_one_and_four_orthogonal_negatives(temperature, expected):
    rows = rows_of(torch.tensor([0, 1, 2, 2, 3, 3]))
    rows = replace(rows, partner=torch.zeros(6, dtype=torch.int64))
    z = torch.eye(6).double()[[0, 0, 2, 3, 4, 5]]

    class Fixed(ArbitraryPairs):
        def relation(self, anchors, candidates):
            made = super().relation(anchors, candidates)
            return replace(made, partner=torch.tensor([1, -1, -1, -1, -1, -1]))

    state = constant(torch.rand(6, generator=torch.Generator().manual_seed(0)).double() + 0.1)
    assert loss_of(z, rows, state, temperature, Fixed()).item() == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(math.log(1 + 4 * math.exp(-1 / temperature)), abs=1e-6)


def test_a_gate_is_of_an_unordered_pair_and_of_one_class_where_both_are_it():
    state = gates_of(Gated(embedding=5, hidden=7)).eval()
    first, second = torch.tensor([0, 2, 3]), torch.tensor([1, 2, 0])
    gate = state.gate(first, second)
    assert torch.equal(gate, state.gate(second, first))
    expected = state.filter(state.table[2:3])
    torch.testing.assert_close(gate[1:2], expected)
    assert ((gate > 0) & (gate < 1)).all()


def test_the_filter_is_table_5c():
    state = Gated().build(facts(1000, 256))
    nn = torch.nn
    kinds = [nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.Sigmoid]
    assert all(isinstance(layer, kind) for layer, kind in zip(state.filter, kinds, strict=True))
    assert state.table.shape == (1000, 512)
    assert [layer.weight.shape for layer in state.filter if isinstance(layer, torch.nn.Linear)] == [
        (1024, 512),
        (256, 1024),
    ]


def test_the_filter_sees_each_pair_of_classes_once():
    seen = []

    class Spied(Given):
        def gate(self, first, second):
            seen.append(list(zip(first.tolist(), second.tolist(), strict=True)))
            return super().gate(first, second)

    z, rows, state = leaf(len(LABELS), DIM), drawn(LABELS), Spied(given().given)
    loss_of(z, rows, state)
    partner = partner_of(rows).tolist()
    wanted = {tuple(sorted((a, b))) for a, b in zip(LABELS.tolist(), partner, strict=True) if a >= 0 and b >= 0}
    assert seen == [sorted(wanted)]
    seen.clear()
    loss_of(z, rows, state, part=Gated(classes=True))
    assert seen == [sorted(wanted | {(y, y) for y in range(CLASSES)})]


def test_one_pair_alone_does_not_stop_the_filter():
    part = Gated(embedding=5, hidden=7)
    z, rows = leaf(4, DIM), drawn(torch.tensor([1, 1, 1, 1]))
    assert loss_of(z, rows, gates_of(part), part=part).item() == 0.0  # nobody to repel


def test_side_vectors_take_the_place_of_embeddings(tmp_path):
    (tmp_path / "side.csv").write_text("1,0,2\n0,1,0\n1,1,0\n0,0,3\n")
    part = Gated(embedding=5, hidden=7, side=str(tmp_path / "side.csv"))
    state = gates_of(part)
    assert "table" not in dict(state.named_parameters())
    assert state.table.tolist()[3] == [0.0, 0.0, 3.0]
    assert state.filter[2].in_features == 3
    loss_of(leaf(len(LABELS), DIM), drawn(LABELS), state, part=part).backward()
    with pytest.raises(RecipeError, match="one row for each of the 5 classes"):
        part.build(facts(5))


# ---------------------------------------------------------------- algorithm 1


def test_the_algorithm_gates_each_by_its_own_pair_against_all_rows():
    label = torch.tensor([0, 1, 2, 2, 3, 0, 1, 1])
    z, rows, state, temperature = leaf(8, DIM), rows_of(label), given(), 0.15
    part, pairing = Gated(members=True), DisjointPairs()
    found = loss_of(z, rows, state, temperature, pairing, part, GatedContrast(temperature, Joint()))
    with torch.no_grad():
        own = torch.stack([z[i] * state.given[label[i], label[i ^ 1]] for i in range(8)])
        own = own / own.norm(dim=1, keepdim=True)
        total = 0.0
        for k in range(8):
            score = [float(own[k] @ own[j]) / temperature for j in range(8)]
            total += -score[k ^ 1] + math.log(sum(math.exp(s) for s in score))
    assert found.item() == pytest.approx(total / 8, abs=1e-12)
    (gradient,) = torch.autograd.grad(found, z)
    assert (gradient != 0).any()


def test_the_last_of_an_odd_batch_has_no_mate_and_neither_has_an_unknown_one():
    rows = rows_of(torch.tensor([0, 1, 2, -1, 1]))
    relation = DisjointPairs().relation(rows, rows)
    assert relation.index.tolist() == [1, 0, -1, -1, -1]
    assert relation.partner.tolist() == [1, 0, -1, -1, -1]


# ---------------------------------------------------------------- with keys


def test_gates_of_ones_over_instances_are_moco_v3():
    count = 5
    rows = drawn(torch.arange(count), ArbitraryPairs(own=1.0), views=2)
    q, k = leaf(2 * count, DIM), leaf(2 * count, DIM, seed=1).detach()
    online, keys = Encoded(q, q, rows, q), Encoded(k, k, rows)
    state = Given(torch.ones(count, count, DIM).double())
    part = Gated(AcrossViews())
    ours = GatedContrast(0.2, Each(), 4.0)(part.match(online, keys, ArbitraryPairs(own=1.0), Cosine(), state, ALONE))
    theirs = Contrast(0.2, times_temperature=4.0)(
        AcrossViews().match(online, keys, SameSample(), Cosine(), None, ALONE)
    )
    torch.testing.assert_close(ours.total, theirs.total, rtol=0, atol=1e-12)
    left, right = (torch.autograd.grad(loss.total, q, retain_graph=True)[0] for loss in (ours, theirs))
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)
    assert ours.anchors == theirs.anchors == 2 * count


def test_keys_attract_by_class_in_the_other_view_alone():
    rows = drawn(LABELS, views=2)
    q, k, state = leaf(24, DIM), leaf(24, DIM, seed=1).detach(), given()
    online, keys = Encoded(q, q, rows, q), Encoded(k, k, rows)
    matches = Gated(AcrossViews()).match(online, keys, ArbitraryPairs(), Cosine(), state, ALONE)
    found = GatedContrast(0.2, Each())(matches).total.item()
    costs = []
    for view in (0, 1):
        us, them = (torch.nonzero(rows.view == v)[:, 0] for v in (view, 1 - view))
        partner = ArbitraryPairs().relation(rows.where(us), rows.where(them)).partner
        for i in range(12):
            y1, y2 = int(LABELS[i]), int(partner[i])
            if y1 < 0:
                continue
            g = state.given[y1, y2]
            score = torch.nn.functional.cosine_similarity(g * q[us[i]], g * k[them]) / 0.2
            against = score[(y1 != LABELS) & (y2 != LABELS)].logsumexp(0)
            costs.append((torch.logaddexp(against, score[y2 == LABELS]) - score[y2 == LABELS]).mean().item())
    assert found == pytest.approx(sum(costs) / len(costs), abs=1e-12)


# ---------------------------------------------------------------- mutants and mistakes


def test_who_takes_no_part_gets_no_gradient():
    z, state = leaf(4, DIM), given()
    rows = replace(rows_of(torch.tensor([0, 0, 1, 2])), partner=torch.zeros(4, dtype=torch.int64))

    class Fixed(ArbitraryPairs):
        def relation(self, anchors, candidates):
            return replace(super().relation(anchors, candidates), partner=torch.tensor([1, -1, -1, -1]))

    (gradient,) = torch.autograd.grad(loss_of(z, rows, state, pairing=Fixed()), z)
    assert (gradient[1] == 0).all()
    assert all((gradient[i] != 0).any() for i in (0, 2, 3))


def test_the_relation_says_who_attracts_who_repels_and_who_stands_aside():
    number = torch.arange(5)
    label = torch.tensor([0, 0, 1, -1, 2])
    relation = Partnered(label, torch.tensor([1, 0, 1, 1, -1]), label, number, number)
    assert isinstance(relation, Listed)
    assert isinstance(relation, OfPairs)
    block = relation.block(slice(0, 5), slice(0, 5))
    aside = torch.tensor(
        [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]], dtype=torch.bool
    )
    assert torch.equal(block.log_prior == -torch.inf, aside)
    attracts = [[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert block.target.tolist() == attracts
    part = relation.block(slice(1, 3), slice(2, 5))
    assert torch.equal(part.target, block.target[1:3, 2:5])
    assert torch.equal(part.log_prior, block.log_prior[1:3, 2:5])


def test_a_gated_cosine_is_the_cosine_of_gated_rows():
    u, v, g = leaf(5, DIM), leaf(7, DIM, seed=1), torch.rand(5, DIM).double()
    g[1] = g[0]
    score = GatedCosine()
    found = score.tile(score.prepare(gated_query(u, g.square())), score.prepare(gated(v)))
    wanted = torch.nn.functional.cosine_similarity((g * u)[:, None], g[:, None] * v, dim=2)
    torch.testing.assert_close(found, wanted)
    private = score.tile(gated_query(u, g.square()), gated(v.expand(5, 7, DIM)))
    torch.testing.assert_close(private, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_neighbours_share_a_gate_only_where_it_is_said(dtype):
    """Gates that are equal by value are still differentiated one by one."""
    u, v = leaf(4, DIM).detach(), leaf(7, DIM, seed=1).detach()
    w = torch.randn(4, 7, generator=torch.Generator().manual_seed(2)).double()
    gates = torch.ones(4, DIM).double().requires_grad_()
    wanted = torch.nn.functional.cosine_similarity((gates * u)[:, None], gates[:, None] * v, dim=2)
    (expected,) = torch.autograd.grad((wanted * w).sum(), gates)
    score = GatedCosine()

    def slope(run):
        query = gated_query(u.to(dtype), gates.to(dtype).square(), run)
        found = score.tile(score.prepare(query), score.prepare(gated(v.to(dtype))))
        return torch.autograd.grad((found * w).sum(), gates)[0]

    near = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 0.1}
    torch.testing.assert_close(slope(None), expected, **near)
    # Numbers that half precision would round to one.
    torch.testing.assert_close(slope(torch.tensor([1000, 1001, 1002, 1003])), expected, **near)
    shared = slope(torch.tensor([5, 5, 7, 7]))
    torch.testing.assert_close(shared[0::2] + shared[1::2], expected[0::2] + expected[1::2], **near)
    assert not torch.allclose(shared, expected, atol=0.1)


def test_a_second_derivative_of_a_gated_score_is_refused():
    u = leaf(3, DIM)
    score = GatedCosine().tile(gated_query(u, torch.rand(3, DIM).double()), gated(u)).sum()
    with pytest.raises(RecipeError, match="a second derivative was asked for"):
        torch.autograd.grad(score, u, create_graph=True)


def test_the_first_anchors_are_of_any_classes():
    label = torch.randint(0, 50, (256,), generator=torch.Generator().manual_seed(0))
    z, rows = leaf(256, DIM), drawn(label)
    online = Encoded(z, z, rows)
    (match,) = Gated().match(online, online, PAIRS, Cosine(), gates_of(Gated(), classes=50), ALONE)
    relation = match.columns[0].relation
    lower = torch.minimum(relation.own, relation.partner)
    assert lower[:64].float().mean() == pytest.approx(lower.float().mean(), abs=5)
    assert match.left_out == 256 - len(match.query)


def test_anchors_that_are_left_out_are_counted_by_the_doctor():
    from counterpoint.engine.health import read

    label = torch.arange(10).repeat(12)
    z, pairing = leaf(120, DIM), ArbitraryPairs(pairs=0.05, classes=10)
    online, part = Encoded(z, z, drawn(label, pairing)), Gated(classes=True)
    matches = part.match(online, online, pairing, Cosine(), gates_of(part, classes=10), ALONE)
    alone = int((pairing.relation(online.rows, online.rows).partner < 0).sum())
    assert 0 < alone < 120
    for penalty in (0.0, 0.1):
        objective = GatedContrast(0.15, penalty=penalty)
        found = read(online, matches, objective)
        assert found["no_positive"] == pytest.approx(alone / 120, abs=1e-5)
        assert "ceiling" in found


def test_a_label_beyond_the_gates_is_refused():
    label = torch.arange(12)
    z = leaf(12, DIM)
    online = Encoded(z, z, drawn(label))
    with pytest.raises(RecipeError, match=r"gates of 10 classes, but a row has the label 1[01]"):
        Gated().match(online, online, PAIRS, Cosine(), gates_of(Gated(), classes=10), ALONE)


def test_a_row_without_length_in_the_subspace_scores_nothing():
    g = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double().requires_grad_()
    u, v = leaf(2, 2), torch.tensor([[0.0, 3.0], [1.0, 1.0]]).double().requires_grad_()
    score = GatedCosine().tile(gated_query(u, g.square()), gated(v))
    assert score[0, 0] == 0
    assert (score[1] == 0).all()
    for gradient in torch.autograd.grad(score.sum(), (u, v, g)):
        assert gradient.isfinite().all()


def test_what_cannot_be_gated_is_refused():
    z, rows, state = leaf(len(LABELS), DIM), drawn(LABELS), given()
    online = Encoded(z, z, rows)
    with pytest.raises(RecipeError, match=r"take pairing=counterpoint\.pairing:ArbitraryPairs"):
        Gated().match(online, online, SameClass(), Cosine(), state, ALONE)
    with pytest.raises(RecipeError, match=r"take Cosine\(\)"):
        Gated().match(online, online, ArbitraryPairs(), Dot(), state, ALONE)
    with pytest.raises(RecipeError, match="keeps rows of earlier steps"):
        Gated(Queue(8)).build(facts())
    with pytest.raises(RecipeError, match="labels of at least two classes"):
        Gated().build(facts(0))
    with pytest.raises(RecipeError, match="widths of 1 or more"):
        Gated(embedding=0)
    keys = Encoded(z.detach(), z.detach(), rows)
    with pytest.raises(RecipeError, match="the anchors are the candidates"):
        Gated(members=True).match(online, keys, ArbitraryPairs(), Cosine(), state, ALONE)


def test_candidates_of_an_anchors_own_are_refused():
    class Private(InBatch):
        def match(self, *args, **more):
            found = super().match(*args, **more)
            return [
                replace(match, columns=tuple(replace(c, query=match.query) for c in match.columns)) for match in found
            ]

    z = leaf(len(LABELS), DIM)
    online = Encoded(z, z, drawn(LABELS))
    with pytest.raises(RecipeError, match="Gated cannot take Private, whose candidates are an anchor's own"):
        Gated(Private()).match(online, online, PAIRS, Cosine(), given(), ALONE)


def test_seen_is_the_inner_parts():
    assert Gated(InBatch()).seen(10, 1) == 9
    assert Gated(AcrossViews()).seen(10, 2) == 9
