"""What the doctor reads, what it makes of it, and that it leaves a run alone."""

import math
import sys
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import product

import pytest
import torch

import counterpoint as cp
from counterpoint.engine import Chart, diagnose, flags
from counterpoint.engine.health import Budget, Moved, budget, read
from counterpoint.engine.health.diagnosis import EXPLAINS, PATIENCE, TITLES, WINDOW
from counterpoint.evaluation import alignment, uniformity
from counterpoint.evaluation.spectra import spectra
from counterpoint.objectives import Contrast, CosineEmbedding, CosineRegression, Each, Margin, Triplet, contrast
from counterpoint.relations import Aligned, Explicit, Keyed, Partnered, Related, Unrelated
from counterpoint.scores import Cosine, Dot, Euclidean, GatedCosine
from counterpoint.sphere import gated, gated_query
from counterpoint.types import Columns, Encoded, Loss, Match, Rows, Tempered

# ---------------------------------------------------------------- readings


def encoded(z, views=2, h=None):
    n = len(z) // views
    sample, view = torch.arange(n).repeat(views), torch.arange(views).repeat_interleave(n)
    return Encoded(z if h is None else h, z, Rows(sample, sample, view, torch.full((len(z),), -1)))


def pairs(z):
    """NT-Xent's match: row i and row i + n."""
    row = torch.arange(len(z))
    image = row % (len(z) // 2)
    return Match(z, (Columns(z, Keyed(image, image, row, row), Cosine()),))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_agree_with_evaluation():
    z, h = noise(80, 12) + 0.5, noise(80, 30, seed=1).relu()
    h[:, 3] = 0.25
    found = read(encoded(z, h=h), [pairs(z)], Contrast(0.5))
    seen, unit = z[:40], torch.nn.functional.normalize(z)
    assert found["rank_z"] == pytest.approx(spectra(seen).effective_rank.value, rel=1e-4)
    assert found["rank_h"] == pytest.approx(spectra(h[:40]).effective_rank.value, rel=1e-4)
    assert (found["room_z"], found["room_h"]) == (12, 30)
    assert found["std"] == pytest.approx(float(unit[:40].std(0, correction=0).mean()) * 12**0.5, rel=1e-4)
    assert found["uniformity"] == pytest.approx(uniformity(seen), rel=1e-4)
    assert found["alignment"] == pytest.approx(alignment(z[:40], z[40:]), rel=1e-4)
    assert found["dead"] == pytest.approx(1 / 30, rel=1e-4)


def test_pairs_agree_with_loops():
    z = noise(20, 6)
    found = read(encoded(z), [pairs(z)], Contrast(0.5))
    unit = torch.nn.functional.normalize(z)
    positive, negative, ahead, hits = [], [], [], 0
    for i in range(20):
        scores = {j: float(unit[i] @ unit[j]) for j in range(20) if j != i}
        twin = (i + 10) % 20
        positive.append(scores[twin])
        negative += [s for j, s in scores.items() if j != twin]
        ahead.append(sum(s < scores[twin] for j, s in scores.items() if j != twin) / 18)
        hits += max(scores, key=scores.__getitem__) == twin
    assert found["ahead"] == pytest.approx(sum(ahead) / 20, rel=1e-4)
    assert found["floor"] == 0
    assert found["positive"] == pytest.approx(sum(positive) / 20, rel=1e-4)
    assert found["negative"] == pytest.approx(sum(negative) / len(negative), rel=1e-4)
    assert found["accuracy"] == pytest.approx(hits / 20)
    assert found["chance"] == pytest.approx(1 / 19, rel=1e-4)
    assert (found["no_positive"], found["saturated"]) == (0, 0)
    assert found["reach"] == pytest.approx(4)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_ceiling_of_nt_xent(temperature):
    z = noise(34, 5)
    assert read(encoded(z), [pairs(z)], Contrast(temperature))["ceiling"] == pytest.approx(math.log(33))


def test_a_collapsed_batch_guesses():
    z = torch.ones(24, 7)
    found = read(encoded(z), [pairs(z)], Contrast(0.5))
    assert found["accuracy"] == pytest.approx(1 / 23, rel=1e-4)
    assert (found["std"], found["dead"], found["alignment"]) == (0, 1, pytest.approx(0, abs=1e-6))
    assert found["uniformity"] == pytest.approx(0, abs=1e-6)


def test_hand_made_rows():
    """Anchor 0 finds its positive, anchor 1 does not, anchor 2 has none, anchor 3 is tied with a negative."""
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    target = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    prior = torch.zeros(4, 4)
    prior[3, 3] = -torch.inf
    match = Match(query, (Columns(rows, Explicit(target, prior), Cosine()),))
    found = read(encoded(query, 1), [match], Contrast(1.0))
    assert found["accuracy"] == pytest.approx((1 + 0 + 0.5) / 3, rel=1e-4)
    assert found["chance"] == pytest.approx((1 / 4 + 1 / 4 + 1 / 3) / 3, rel=1e-4)
    assert found["no_positive"] == 0.25
    assert found["positive"] == pytest.approx((1 + 0 + 1) / 3, rel=1e-4)
    assert found["ceiling"] == pytest.approx((2 * math.log(4) + math.log(3)) / 3, rel=1e-4)


def test_private_columns_and_a_queue():
    query, own, queue = noise(16, 8), noise(16, 8, seed=1), noise(50, 8, seed=2)
    groups = (
        Columns(own[:, None], Related(), Cosine()),
        Columns(queue, Unrelated(), Cosine()),
    )
    found = read(encoded(query, 1), [Match(query, groups)], Contrast(0.1))
    unit = torch.nn.functional.normalize
    assert found["positive"] == pytest.approx(float((unit(query) * unit(own)).sum(1).mean()), rel=1e-3)
    assert found["negative"] == pytest.approx(float((unit(query) @ unit(queue).T).mean()), rel=1e-3)
    assert found["ceiling"] == pytest.approx(math.log(51), rel=1e-5)
    assert found["chance"] == pytest.approx(1 / 51, rel=1e-4)


def test_learned_centres_in_another_geometry_and_each_denominator():
    h, centres = noise(12, 5), noise(4, 5, seed=1)
    label = torch.arange(12) % 4
    match = Match(h, (Columns(centres, Keyed(label, torch.arange(4)), Dot()),))
    found = read(encoded(h, 1), [match], Contrast(1.0))
    best = (h @ centres.T).argmax(1)
    assert found["accuracy"] == pytest.approx(float((best == label).float().mean()), rel=1e-4)
    assert found["ceiling"] == pytest.approx(math.log(4), rel=1e-5)
    found = read(encoded(h, 1), [match], Contrast(1.0, Each()))
    assert found["ceiling"] == pytest.approx(math.log(4), rel=1e-5)


def test_another_width_for_a_group_and_several_matches():
    z, h = noise(10, 4), noise(10, 9, seed=1)
    both = Match(z, (Columns(z, Aligned(), Cosine()), Columns(noise(3, 9), Unrelated(), Cosine(), query=h)))
    found = read(encoded(z, 1), [both, Match(z, (Columns(z, Aligned(), Cosine()),), weight=3.0)], Contrast(0.5))
    assert found["ceiling"] == pytest.approx((math.log(13) + 3 * math.log(10)) / 4, rel=1e-5)
    assert found["positive"] == pytest.approx(1, rel=1e-5)


def test_rows_under_gates_are_read_in_their_subspace():
    label, row, temperature = torch.arange(30) % 3, torch.arange(30), 0.2
    z, gate = noise(30, 8), torch.rand(30, 8, generator=torch.Generator().manual_seed(1))
    relation = Partnered(label, (label + 1) % 3, label, row, row)
    columns = Columns(gated(z), relation, GatedCosine())
    found = read(encoded(z, views=1), [Match(gated_query(z, gate.square()), (columns,))], Contrast(temperature, Each()))
    cosine = torch.nn.functional.cosine_similarity((gate * z)[:, None], gate[:, None] * z, dim=2)
    block = relation.block(slice(0, 30), slice(0, 30))
    positive = cosine[block.target > 0]
    assert found["positive"] == pytest.approx(float(positive.mean()), rel=1e-4)
    assert found["alignment"] == pytest.approx(float((2 - 2 * positive).mean()), rel=1e-4)
    assert found["reach"] == pytest.approx(2 / temperature)
    assert found["chance"] == pytest.approx(0.5)
    assert found["ceiling"] == pytest.approx(math.log(11), rel=1e-4)  # one positive against ten rows of neither class


@pytest.mark.parametrize(
    ("name", "dials"), [("loss-at-ceiling", {}), ("loss-at-ceiling", {"norm": "batch"}), ("no-positives", {})]
)
def test_advice_for_gates_keeps_them(name, dials):
    from counterpoint.encoders import lookup
    from counterpoint.engine.health.remedies import remedy
    from counterpoint.recipe import compose
    from counterpoint.types import Facts

    facts = Facts("digits", "glyphs", 1, 8, 1000, classes=10)
    made = compose("simlap", facts, lookup("mlp"), dials)
    said, settings = remedy(name, {"parts": made.to_json(), "dials": made.dials, "facts": {}}, {"negative": 0.0})
    assert said
    if dials:
        assert settings == {"norm": "layer"}
        dials, settings = settings, {}
    found = compose("simlap", facts, lookup("mlp"), dials, settings)
    assert type(found.negatives).__name__ == "Gated"
    assert type(found.pairing).__name__ == "ArbitraryPairs"


def test_what_does_not_apply_is_left_out():
    @dataclass(frozen=True)
    class Attract:
        def __call__(self, matches):
            query, rows = matches[0].query, matches[0].columns[0].rows
            return Loss(-(Cosine().prepare(query) * Cosine().prepare(rows)).sum(1).mean())

    z = noise(8, 3)
    found = read(encoded(z, 1), [Match(z, (Columns(z, Aligned(alone=True), Cosine()),))], Attract())
    assert not {"ceiling", "negative", "saturated"} & set(found)
    assert found["chance"] == 1
    nothing = torch.full((8, 3), torch.nan)
    found = read(encoded(nothing, 1), [Match(z, (Columns(nothing, Unrelated(), Cosine()),))], Contrast(0.5))
    assert all(math.isfinite(v) for v in found.values())
    assert not {"std", "rank_z", "accuracy", "positive", "ceiling"} & set(found)


@dataclass(frozen=True)
class Own:
    """Anyone's objective, made of the public function, which refuses anchors without a positive."""

    def __call__(self, matches):
        return Loss(torch.stack([contrast(match) for match in matches]).mean())


def late(n, first):
    """A match whose anchors have a positive from one of them on."""
    z = noise(n, 6)
    target = torch.zeros(n, n)
    target[torch.arange(first, n), torch.arange(first, n) - first] = 1
    return z, Match(z, (Columns(z, Explicit(target, torch.zeros(n, n)), Cosine()),))


@pytest.mark.parametrize("first", [0, 3, 16, 37, 49])
def test_the_ceiling_is_read_where_anchors_have_positives(first):
    z, match = late(50, first)
    for objective in (Own(), Contrast(1.0)):
        assert read(encoded(z, 1), [match], objective)["ceiling"] == pytest.approx(math.log(50), rel=1e-5)


def test_a_reading_never_ends_a_run():
    @dataclass(frozen=True)
    class Picky:
        def __call__(self, matches):
            raise IndexError(f"{len(matches[0].query)} anchors, not 40")

    z, match = late(40, 40)
    with pytest.raises(cp.errors.RecipeError):
        Own()([match])
    for objective in (Own(), Picky(), Contrast(1.0)):
        found = read(encoded(z, 1), [match], objective)
        assert "ceiling" not in found
        assert found["no_positive"] == 1
        assert found["std"] > 0


def test_a_match_that_says_nothing_is_not_asked():
    """The first has no negatives."""
    z, other = noise(12, 5), noise(12, 5, seed=1)
    alone = Match(z, (Columns(other, Aligned(alone=True), Cosine()),))
    both = Match(z, (Columns(other, Aligned(), Cosine()),))
    one, two = (read(encoded(z, 1), matches, Contrast(0.5)) for matches in ([both], [alone, both]))
    assert two["negative"] == one["negative"]
    assert two["positive"] == pytest.approx(one["positive"], rel=1e-5)
    assert two["chance"] == pytest.approx((1 + 1 / 12) / 2, rel=1e-5)


def test_saturation_is_read_only_where_there_is_a_temperature():
    z = 100 * noise(20, 6)
    match = Match(z, (Columns(z, Aligned(), Dot()),))
    assert isinstance(Contrast(1.0), Tempered)
    assert not isinstance(Own(), Tempered)
    assert read(encoded(z, 1), [match], Contrast(1.0))["saturated"] > 0.9
    assert not {"saturated", "reach"} & set(read(encoded(z, 1), [match], Own()))


@pytest.mark.parametrize(("temperature", "saturated"), [(0.001, 1), (0.07, 0), (1.0, 0), (50.0, 1)])
def test_saturation_is_one_hot_or_flat(temperature, saturated):
    z = noise(64, 16)
    found = read(encoded(z), [pairs(z)], Contrast(temperature))
    assert found["saturated"] == pytest.approx(saturated, abs=0.05)


def test_an_update_is_measured():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.tensor([0.0, 5.0])
    before = Moved.before(optimizer)
    optimizer.step()
    found = before.after()
    assert found == {
        "grad_norm": 5.0,
        "weight_norm": 5.0,
        "weight_rms": pytest.approx(5 / 2**0.5, rel=1e-5),
        "update": pytest.approx(0.1, rel=1e-5),
    }


def shared_out(codes, query=None, rows=None):
    """A match whose targets are codes over common candidates."""
    query = noise(len(codes), 4) if query is None else query
    rows = noise(codes.shape[1], 4, seed=1) if rows is None else rows
    return Match(query, (Columns(rows, Explicit(codes), Cosine()),))


def test_codes_agree_with_loops():
    codes = (3 * noise(20, 7)).softmax(1)
    query, rows = noise(20, 4), noise(7, 4, seed=1)
    match = shared_out(codes, query, rows)
    found = read(encoded(query, 1), [match], Contrast(0.1))

    def entropy(shares):
        return -sum(share * math.log(share) for share in shares)

    listed = codes.double().tolist()
    mean = [sum(code[k] for code in listed) / 20 for k in range(7)]
    assert found["codes"] == 7
    assert found["used"] == pytest.approx(math.exp(entropy(mean)), rel=1e-4)
    assert found["used_each"] == pytest.approx(math.exp(sum(map(entropy, listed)) / 20), rel=1e-4)
    best = torch.nn.functional.cosine_similarity(query[:, None], rows[None], dim=2).argmax(1).tolist()
    top = codes.argmax(1).tolist()
    assert found["accuracy"] == pytest.approx(sum(a == b for a, b in zip(best, top, strict=True)) / 20)
    others = [best[i] == top[j] for i in range(20) for j in range(20) if i != j]
    assert found["chance"] == pytest.approx(sum(others) / len(others), rel=1e-4)
    assert found["ceiling"] == pytest.approx(math.log(7), rel=1e-5)
    assert not {"negative", "saturated", "alignment", "one_point"} & set(found)


def test_extreme_codes():
    """One prototype for all, all prototypes for each, one for each."""
    one, even, own = torch.eye(8)[:1].repeat(8, 1), torch.full((8, 8), 1 / 8), torch.eye(8)
    for codes, used, each in ((one, 1, 1), (even, 8, 8), (own, 8, 1)):
        found = read(encoded(noise(8, 4), 1), [shared_out(codes)], Contrast(0.1))
        assert (found["used"], found["used_each"]) == (pytest.approx(used), pytest.approx(each))
    pointed = shared_out(one, torch.ones(8, 4), torch.cat([torch.ones(1, 4), -torch.ones(7, 4)]))
    found = read(encoded(noise(8, 4), 1), [pointed], Contrast(0.1))
    assert (found["accuracy"], found["chance"]) == (1, 1)  # a collapse finds nothing


def test_what_attracts_only_is_lowest_at_one_point():
    z = noise(20, 6)
    match = Match(z, (Columns(z.roll(1, 0), Aligned(), Cosine()),))
    assert read(encoded(z, 1), [match], CosineRegression(4.0, 1.0))["one_point"] == pytest.approx(0, abs=1e-5)
    assert read(encoded(z, 1), [match], CosineRegression())["one_point"] == pytest.approx(-1)
    assert "one_point" not in read(encoded(z, 1), [match], Contrast(0.5))


# ---------------------------------------------------------------- diagnosis

HEALTHY = {
    "std": 0.9, "std_h": 0.5, "rank_z": 30.0, "room_z": 127.0, "rank_h": 50.0, "room_h": 255.0, "accuracy": 0.3,
    "chance": 0.002, "positive": 0.8, "negative": 0.0, "ceiling": 6.2, "saturated": 0.0, "reach": 4.0,
    "no_positive": 0.0, "anchors": 256.0, "dead": 0.0, "grad_norm": 1.0, "weight_norm": 20.0, "weight_rms": 0.03,
    "update": 0.005,
}  # fmt: skip
SICK = {
    "complete-collapse": {"std": 0.01},
    "dimensional-collapse": {"rank_z": 1.4},
    "loss-at-ceiling": {"accuracy": 0.002},
    "saturated-temperature": {"saturated": 1.0, "reach": 0.04},
    "no-positives": {"no_positive": 0.95},
    "one-prototype": {"codes": 512.0, "used": 1.2, "used_each": 1.1},
    "uniform-assignments": {"codes": 512.0, "used": 511.0, "used_each": 490.0},
    "exploding-updates": {"update": 0.4},
    "vanishing-updates": {"update": 1e-9},
}


def history(*healths, lr=1e-3, loss=4.0, every=10):
    """One step line for each."""
    return [
        {"event": "step", "step": every * (i + 1), "loss": loss, "lr": lr, "health": {**HEALTHY, **health}}
        for i, health in enumerate(healths)
    ]


def names(lines):
    return [finding.name for finding in diagnose(lines)]


@pytest.mark.parametrize("name", SICK)
def test_each_fault_is_named_and_goes(name):
    loss = 6.2 if name == "loss-at-ceiling" else 4.0
    assert names(history(*[{}] * 12, loss=loss)) == []
    sick = history(*[SICK[name]] * 6, loss=loss)
    assert names(sick) == [name]
    assert names(sick[:3]) == []  # two judged readings are not enough
    finding = diagnose(sick)[0]
    assert finding.title == TITLES[name]
    assert 20 <= finding.since <= 40
    assert finding.evidence
    assert finding.advice
    assert names(history(*[SICK[name]] * 6, {}, loss=loss)) == [name]
    assert names(history(*[SICK[name]] * 6, {}, {}, loss=loss)) == []


def test_one_bad_reading_is_no_finding():
    for bad in SICK.values():
        assert names(history({}, {}, {}, bad, bad, {}, bad, {}, {})) == []


def test_causes_stand_before_symptoms():
    wreck = {"std": 0.0, "accuracy": 0.002, "rank_z": 1.2, "weight_rms": 3.0}
    assert names(history(*[wreck] * 8, loss=6.2)) == ["exploding-updates"]
    flat = {**SICK["saturated-temperature"], "std": 0.02, "accuracy": 0.002}
    assert names(history(*[flat] * 8, loss=6.2)) == ["saturated-temperature"]
    still = {"update": 1e-9, "std": 0.02, "accuracy": 0.002}
    assert names(history(*[still] * 8, loss=6.2)) == ["vanishing-updates"]


@pytest.mark.parametrize(
    ("used", "each", "anchors", "name"),
    [
        (508, 140, 256, None),  # balanced, and different
        (1000, 690, 256, None),  # little different
        (10, 1.0, 256, None),  # ten kinds of images, and a prototype for each
        (64, 1.0, 64, None),  # a small batch
        (400, 220, 256, "one-prototype"),
        (25, 18, 256, "one-prototype"),
        (1.0, 1.0, 256, "one-prototype"),
        (1024, 1024, 256, "uniform-assignments"),
        (1020, 930, 256, "uniform-assignments"),
    ],
)
def test_codes_are_judged(used, each, anchors, name):
    codes = {"codes": 1024.0, "used": float(used), "used_each": float(each), "anchors": float(anchors)}
    assert names(history(*[codes] * 8)) == ([name] if name else [])


def test_codes_are_no_floor_to_get_below():
    """The loss falls from the logarithm of their number to their entropy; a fiftieth of that way is next to nothing."""
    codes = {"codes": 1024.0, "used": 1000.0, "used_each": 500.0, "accuracy": 0.002, "ceiling": 6.93, "floor": 6.2146}
    assert names(history(*[codes] * 8, loss=6.85)) == []
    assert names(history(*[codes] * 8, loss=6.925)) == ["loss-at-ceiling"]


def test_where_all_attract_positives_are_those_above_their_mean():
    """X-CLR's targets: a twin, a class, and a little for all others. A softmax cannot fall below their entropy."""
    z = noise(6, 4)
    target = torch.tensor([[0.0, 0.3, 0.01, 0.5, 0.18, 0.01]]).roll(3, 1).repeat(6, 1)
    match = Match(z, (Columns(z, Explicit(target, torch.where(target > 0, 0.0, -torch.inf)), Cosine()),))
    found = read(encoded(z), [match], Contrast(0.5))
    cosine = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2)
    above = [0, 4]  # .5 and .3; a fifth of the whole is the mean
    assert found["chance"] == pytest.approx(2 / 5, rel=1e-4)
    assert found["positive"] == pytest.approx(float(cosine[:, above].mean()), rel=1e-4)
    entropy = -float(torch.special.xlogy(target[0], target[0]).sum())
    assert found["floor"] == pytest.approx(entropy, rel=1e-4)


def test_a_positive_that_is_ahead_of_most_is_no_ceiling():
    """Of thousands of candidates the best is rarely the positive, long after the rows have something to say."""
    stuck = {"accuracy": 0.0, "chance": 4e-5, "anchors": 16.0}
    assert names(history(*[{**stuck, "ahead": 0.5}] * 40, loss=6.2)) == ["loss-at-ceiling"]
    assert names(history(*[{**stuck, "ahead": 0.53}] * 40, loss=6.2)) == ["loss-at-ceiling"]  # that may be luck
    assert names(history(*[{**stuck, "ahead": 0.65}] * 40, loss=6.2)) == []
    awake = [{**stuck, "ahead": 0.5}] * 30 + [{**stuck, "ahead": 0.8}] * 12
    assert [names(history(*awake[:count], loss=6.2)) for count in (30, 42)] == [["loss-at-ceiling"], []]


def test_a_loss_above_its_ceiling_is_not_left_by_the_least_lead_over_guessing():
    """As SimLAP's, where its projector ends in BatchNorm."""
    stuck = {"accuracy": 0.011, "chance": 0.011, "ahead": 0.5}
    slight, some, found = {**stuck, "ahead": 0.55}, {**stuck, "ahead": 0.7}, {**stuck, "accuracy": 0.1}
    for later, loss, held in (
        (slight, 6.3, True),
        (slight, 6.19, False),
        (some, 6.3, False),
        (found, 6.3, False),
    ):
        lines = history(*[stuck] * 30, *[later] * 40, loss=loss)
        assert names(lines[:30]) == ["loss-at-ceiling"]
        assert names(lines) == (["loss-at-ceiling"] if held else [])
    back = history(*[stuck] * 30, *[slight] * 40, *[stuck] * 60, loss=6.3)
    assert all(names(back[:count]) == ["loss-at-ceiling"] for count in range(30, 131))
    assert names(history(*[slight] * 70, loss=6.3)) == []  # never found, and some lead from the beginning


def test_rows_that_stand_for_images_are_given_three_epochs():
    """An image's own row is a random one in the first epoch, and of a younger network in the second."""
    start = {"event": "start", "step": 0, "round": 100}
    stuck = history(*[{"accuracy": 0.0, "chance": 4e-5, "ahead": 0.5}] * 40, loss=6.2)
    assert [names([start, *stuck[:count]]) for count in (29, 40)] == [[], ["loss-at-ceiling"]]
    assert names(stuck[:29]) == ["loss-at-ceiling"]


def test_what_is_drawn_to_one_point_is_told_on_the_way():
    """Where something repels, a narrow cone is no collapse."""
    narrow = [{"std": 0.25, "one_point": 0.0}] * 8
    falling = [{"std": 0.95 - 0.05 * i, "one_point": 0.0} for i in range(10)]
    assert [names(history(*falling[:count], loss=0.5)) for count in (7, 10)] == [[], ["complete-collapse"]]
    assert names(history(*falling, loss=-0.5)) == []
    assert names(history(*narrow, loss=0.5)) == ["complete-collapse"]
    assert "to which the loss draws all" in diagnose(history(*narrow, loss=0.5))[0].evidence
    assert names(history(*narrow, loss=-0.5)) == []
    assert names(history(*[{"std": 0.25}] * 8, loss=0.5)) == []
    assert names(history(*[{"std": 0.4, "one_point": 0.0}] * 8, loss=0.5)) == []
    assert names(history(*[{"std": 0.02 * 1.2**i, "one_point": 0.0} for i in range(12)], loss=0.5)) == []


def test_a_note_hides_nothing():
    for share, told in ((0.7, ["no-positives", "vanishing-updates"]), (0.95, ["no-positives"])):
        found = diagnose(history(*[{"no_positive": share, "update": 1e-9}] * 8))
        assert [finding.name for finding in found] == told
        assert found[0].severity == ("bad" if share > 0.9 else "note")


def test_whatever_holds_something_is_told():
    order = list(TITLES)
    assert set(EXPLAINS) == set(order)
    assert set(TopologicalSorter(EXPLAINS).static_order()) == set(order)  # refuses a cycle
    chart = Chart()
    for line in history({}):
        chart.add(line)
    for held in product([False, True], repeat=len(order)):
        for case, found in zip(chart.cases.values(), held, strict=True):
            case.found = found
        assert bool(chart.findings) == any(held)


def test_a_run_that_learned_and_then_broke():
    learned, broken = [{"accuracy": 0.9}] * 20, [{"accuracy": 0.002}] * 50
    lines = history(*learned, *broken)
    for line in lines[20:]:
        line["loss"] = 6.2
    assert names(lines) == ["loss-at-ceiling"]
    assert 200 < diagnose(lines)[0].since <= 10 * (20 + WINDOW + PATIENCE)
    assert names(lines[: 20 + WINDOW - 5]) == []
    again = history(*learned, *broken, {"accuracy": 0.9}, {"accuracy": 0.9}, loss=6.2)
    assert names(again) == []


def test_a_run_that_learned_and_then_collapsed():
    """Its pairs belong together: the collapse is the fault, however long it lasts."""
    lines = history(*[{"accuracy": 0.9}] * 5, *[{"accuracy": 0.002, "std": 0.05}] * 60, loss=6.2)
    assert all(names(lines[:count]) == ["complete-collapse"] for count in range(8, 66))


def test_a_run_that_goes_on_learning_little_is_healthy():
    """At a high temperature the loss stays near its ceiling."""
    assert names(history(*[{"accuracy": 0.05}] * 100, loss=6.19)) == []


def test_unrelated_pairs_collapse_and_related_ones_do_too():
    """The first never found a positive while there were rows to tell apart; the second did."""
    fading = [{"std": 0.4 * 0.6**i, "accuracy": 0.002} for i in range(12)]
    assert names(history(*fading, loss=6.2)) == ["loss-at-ceiling"]
    fading[0]["accuracy"] = fading[1]["accuracy"] = 0.4
    assert names(history(*fading, loss=6.2)) == ["complete-collapse"]
    at_once = [{"std": 1e-6, "accuracy": 0.002}] * 12
    assert names(history(*at_once, loss=6.2)) == ["complete-collapse"]


def test_a_warm_up_is_not_judged():
    rates = [1e-3 * (i + 1) / 12 for i in range(12)]
    lines = history(*[{"std": 0.03, "update": 1e-7}] * 12)
    for line, rate in zip(lines, rates, strict=True):
        line["lr"] = rate
    assert names(lines) == []
    growing = history(*[{"std": 0.01 * 1.3**i} for i in range(8)])
    assert names(growing) == []


def test_a_schedule_that_ends_is_no_standstill():
    lines = history(*[{}] * 5, *[{"update": 1e-9}] * 7)
    for line in lines[5:]:
        line["lr"] = 1e-9
    assert names(lines) == []
    lines = history(*[{"update": 1e-9}] * 12)
    for line in lines[6:]:
        line["lr"] = 1e-9
    assert names(lines) == ["vanishing-updates"]


def test_two_classes_span_one_direction():
    assert names(history(*[{"rank_z": 1.2, "chance": 0.5, "accuracy": 0.99}] * 8)) == []
    assert names(history(*[{"rank_z": 2.2, "chance": 0.1, "accuracy": 0.99}] * 8)) == ["dimensional-collapse"]
    assert names(history(*[{"rank_z": 2.0, "room_z": 2.0}] * 8)) == []


def test_lines_without_readings_say_nothing():
    old = [{"event": "step", "step": 10 * i, "loss": 1.0, "lr": 1.0} for i in range(20)]
    assert diagnose(old) == ()
    assert diagnose([]) == ()


@pytest.mark.parametrize("name", SICK)
def test_readings_may_be_far_apart(name):
    lines = history(*[SICK[name]] * 6, loss=6.2 if name == "loss-at-ceiling" else 4.0, every=400)
    between = [{k: v for k, v in line.items() if k != "health"} | {"step": line["step"] + 10} for line in lines]
    sparse = [line for pair in zip(lines, between, strict=True) for line in pair]
    assert diagnose(sparse) == diagnose(lines)
    assert names(sparse) == [name]
    empty = [line | {"health": {}} for line in between]
    assert names([line for pair in zip(lines, empty, strict=True) for line in pair]) == [name]


def test_a_warm_up_is_seen_between_readings():
    """The rate is that of the last reading again, and falls."""
    lines = history(*[{"std": 0.03}] * 8)
    for i, line in enumerate(lines):
        line["lr"] = 1e-3 * (i + 1)
    peaks = [{"event": "step", "step": line["step"] + 5, "loss": 1.0, "lr": line["lr"] + 9e-3} for line in lines]
    assert names(lines) == []
    assert names([line for pair in zip(peaks, lines, strict=True) for line in pair]) == ["complete-collapse"]


def test_a_run_that_stopped_by_itself():
    assert names([{"event": "end", "step": 1, "reason": "no-positives"}]) == ["no-positives"]
    assert names([{"event": "end", "step": 4, "reason": "diverged"}]) == ["exploding-updates"]
    burst = history({}, {"update": 0.5})
    assert names([*burst, {"event": "end", "step": 21, "reason": "diverged"}]) == ["exploding-updates"]
    assert names([*history({}, {}), {"event": "end", "step": 21, "reason": "diverged"}]) == []
    assert names([*history(*[{}] * 5), {"event": "end", "step": 50, "reason": "finished"}]) == []


def test_a_chart_followed_line_by_line_says_the_same():
    lines = history(*[{}] * 4, *[{"std": 0.01}] * 5, *[{}] * 4)
    chart, seen = Chart(), []
    for i, line in enumerate(lines):
        chart.add(line)
        assert chart.findings == diagnose(lines[: i + 1])
        seen.append([finding.name for finding in chart.findings])
    assert seen.index(["complete-collapse"]) == 6  # four healthy readings, then three that are not
    assert seen[-1] == []


# ---------------------------------------------------------------- advice


def recipe(**parts):
    plain = {
        "pairing": {"part": "counterpoint.pairing:SameSample"},
        "negatives": {"part": "counterpoint.negatives:InBatch"},
        "objective": {"part": "counterpoint.objectives:Contrast", "temperature": 0.5},
        "score": {"part": "counterpoint.scores:Cosine"},
        "optim": {
            "part": "counterpoint.optim:AdamW", "lr": {"part": "counterpoint.schedules:Cosine", "start": 1e-3},
            "weight_decay": 1e-4, "clip_norm": None,
        },
        "heads": {"projector": {"part": "counterpoint.heads:MLPHead", "hidden": [256], "out": 128}},
    }  # fmt: skip
    return {"parts": {**plain, **parts}, "dials": {"temperature": 0.5, "lr": 1e-3, "policy": None}, "settings": {}}


def advised(name, given, **health):
    return next(f for f in diagnose(history(*[{**SICK[name], **health}] * 6, loss=6.2), given) if f.name == name)


def test_advice_is_what_can_be_typed():
    found = advised("saturated-temperature", recipe())
    assert (found.settings, found.flags) == ({"temperature": 0.2}, "--temperature 0.2")
    shadowed = {**recipe(), "settings": {"objective.temperature": "50"}}
    assert advised("saturated-temperature", shadowed).flags == "--set objective.temperature=0.2"
    optim = {"part": "counterpoint.optim:SGD", "lr": 100.0, "weight_decay": 0.0, "clip_norm": None}
    own = {**recipe(optim=optim), "settings": {"optim": "counterpoint.optim:SGD(lr=100.0)"}}
    assert advised("exploding-updates", own).settings == {"optim.lr": 0.05}
    clipped = recipe(optim={**optim, "lr": 0.05, "clip_norm": 1e-9})
    assert advised("vanishing-updates", clipped).flags == "--set optim.clip_norm=none"
    narrow = recipe(heads={"projector": {"hidden": [2], "out": 128}})
    assert advised("dimensional-collapse", narrow).settings == {"heads.projector.hidden": (128,)}
    assert flags({"heads.projector.hidden": (128,)}, {}) == "--set heads.projector.hidden='(128,)'"
    other = recipe(pairing={"part": "my:Pairing"})
    assert advised("loss-at-ceiling", other).settings == {"pairing": "counterpoint.pairing:SameSample"}
    other = recipe(objective={"part": "my:Attract"})
    assert "counterpoint.objectives:Contrast" in advised("complete-collapse", other).flags
    assert advised("complete-collapse", recipe()).settings == {"lr": 1e-4}
    drawn = {"part": "counterpoint.negatives:Drawn", "count": 1, "other_class": True}
    for name in ("CosineEmbedding", "Debiased", "Margin", "Triplet"):
        pairs = recipe(objective={"part": f"counterpoint.objectives:{name}"}, negatives=drawn)
        assert advised("complete-collapse", pairs, negative=0.5).settings == {"lr": 1e-4}
    hard = recipe(objective={"part": "counterpoint.objectives:Triplet", "mining": "hard"})
    assert advised("complete-collapse", {**hard, "dials": {"mining": "hard"}}).flags == "--mining semi-hard"


OWN = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Apart:
    holds: ClassVar[str] = "negatives"

@dataclass(frozen=True)
class Spread:
    holds: ClassVar[str] = "spread"
    spread: float = 2.0
"""


def test_a_new_part_says_itself_what_holds_images_apart(tmp_path):
    """No list of the doctor has to name it, inside the package or outside."""
    (tmp_path / "own.py").write_text(OWN)
    mine = {"part": "my:Negatives"}
    apart = recipe(objective={"part": f"{tmp_path}/own.py:Apart"}, negatives=mine)
    assert advised("complete-collapse", apart, negative=0.5).settings == {"lr": 1e-4}
    assert advised("loss-at-ceiling", recipe(negatives=mine), negative=0.5).settings == {"policy": "objects"}
    alone = history(*[SICK["complete-collapse"]] * 6)
    for line in alone:
        del line["health"]["negative"]
    assert [f.settings for f in diagnose(alone, apart)] == [{"negatives": "counterpoint.negatives:InBatch"}]
    weak = recipe(objective={"part": f"{tmp_path}/own.py:Spread", "spread": 0.0})
    assert advised("complete-collapse", weak).settings == {"objective.spread": 2.0}
    itself = recipe(objective={"part": "counterpoint.objectives:BarlowTwins", "redundancy": 0.0})
    assert advised("complete-collapse", itself).settings == {"lr": 1e-4}


def regression(target="StopGradient", predictor="MLPHead"):
    part = "counterpoint.heads:MLPHead"
    return recipe(
        objective={"part": "counterpoint.objectives:CosineRegression"},
        negatives={"part": "counterpoint.negatives:OtherViews"},
        target={"part": f"counterpoint.targets:{target}"},
        heads={
            "projector": {"part": part, "hidden": [512], "out": 256},
            "predictor": {"part": part, "hidden": [128], "out": 256} if predictor else None,
        },
    )


def test_a_collapse_is_put_down_to_what_lacks():
    made = advised("complete-collapse", regression(target="Same"))
    assert made.settings == {"target": "counterpoint.targets:StopGradient"}
    assert "no stop-gradient" in made.advice
    made = advised("complete-collapse", regression(predictor=None))
    assert made.settings == {"heads.predictor": "counterpoint.heads:MLPHead((64,), 256)"}
    assert "no predictor" in made.advice
    assert set(advised("dimensional-collapse", regression("Same", None)).settings) == {"objective", "negatives"}
    assert advised("complete-collapse", regression()).settings == {"lr": 1e-4}
    for objective, weight, usual in (("AlignUniform", "uniform", 1.0), ("VICReg", "variance", 25.0)):
        made = recipe(objective={"part": f"counterpoint.objectives:{objective}", weight: 0.0})
        assert advised("complete-collapse", made).settings == {f"objective.{weight}": usual}
        made = recipe(objective={"part": f"counterpoint.objectives:{objective}", weight: usual})
        assert advised("complete-collapse", made).settings == {"lr": 1e-4}


def test_codes_that_say_nothing_are_put_down_to_what_makes_them():
    def swav(**fields):
        return recipe(
            negatives={"part": "counterpoint.negatives:Prototypes", "epsilon": 0.05, "iterations": 3, **fields}
        )

    def dino(temperature, momentum=0.9):
        made = {"part": "counterpoint.negatives:Centred", "temperature": temperature, "momentum": momentum}
        return recipe(negatives=made, objective={"part": "counterpoint.objectives:Contrast", "temperature": 0.1})

    def schedule(end):
        return {"part": "counterpoint.schedules:Linear", "start": 0.04, "end": end}

    assert advised("one-prototype", swav(iterations=0)).flags == "--set negatives.iterations=3"
    assert advised("one-prototype", swav()).flags == "--set negatives.iterations=10"
    assert advised("one-prototype", dino(0.04, momentum=1)).flags == "--set negatives.momentum=0.9"
    assert advised("one-prototype", dino(0.04)).flags == "--set negatives.temperature=0.07"
    assert advised("uniform-assignments", swav(epsilon=1.0)).flags == "--set negatives.epsilon=0.05"
    assert advised("uniform-assignments", swav()).settings == {"lr": 1e-4}
    assert advised("uniform-assignments", dino(0.1)).flags == "--set negatives.temperature=0.04"
    given = dino(schedule(0.1))
    assert advised("uniform-assignments", given).settings == {
        "negatives.temperature.start": 0.04,
        "negatives.temperature.end": 0.04,
    }
    given["dials"] |= {"target_temperature": 0.04, "target_temperature_end": 0.1}
    assert advised("uniform-assignments", given).flags == "--target-temperature 0.04 --target-temperature-end 0.04"
    assert advised("uniform-assignments", dino(schedule(0.07))).settings == {"lr": 1e-4}


@pytest.mark.parametrize(
    ("objective", "score", "ceiling"),
    [(CosineEmbedding(), Cosine(), 0.5), (Margin(2.0), Euclidean(), 1.0), (Triplet(0.3), Euclidean(), 0.3)],
)
def test_pairs_of_an_anchors_own_are_read(objective, score, ceiling):
    z = noise(40, 6)
    near, far = z[20:, None], z[:20].roll(1, 0)[:, None]
    match = Match(z[:20], (Columns(near, Related(), score), Columns(far, Unrelated(), score)))
    found = read(encoded(z), [match], objective)
    cosine = torch.nn.functional.cosine_similarity
    distance = torch.nn.functional.pairwise_distance
    expected = cosine(z[:20], far[:, 0]) if score == Cosine() else -distance(z[:20], far[:, 0])
    assert found["negative"] == pytest.approx(float(expected.mean()), rel=1e-4)
    assert (found["chance"], found["anchors"], found["no_positive"]) == (0.5, 20, 0)
    assert found["ceiling"] == pytest.approx(ceiling, rel=1e-4)
    assert "saturated" not in found


@pytest.mark.parametrize("name", SICK)
def test_every_finding_has_advice_without_a_recipe(name):
    assert advised(name, None).advice


# ---------------------------------------------------------------- a run


PLAIN = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu", "quiet": True}


def trained(out, **more):
    options = {"source": "digits", "encoder": "mlp", "evaluate": False, "report": False, "batch_size": 64, **PLAIN}
    return cp.train("simclr", out=out, **{**options, **more})


def weights(run):
    return torch.load(max(run.checkpoints.glob("step-*.pt")), weights_only=True)["model"]


def test_readings_change_nothing(tmp_path, monkeypatch):
    read_too = trained(tmp_path / "with", epochs=4)
    with monkeypatch.context() as patch:
        patch.setattr(budget, "ALWAYS", 0)
        patch.setattr(budget, "SHARE", 0.0)
        seldom = trained(tmp_path / "seldom", epochs=4)
    loop = sys.modules["counterpoint.engine.fit"]  # the package has a function of this name
    original = loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda *a, **k: original(*a, **{**k, "examine": False}))
    without = trained(tmp_path / "without", epochs=4)
    for other in (seldom, without):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(read_too).items())
    each, few, none = (
        {line["step"]: line.get("health") for line in run.history() if line["event"] == "step"}
        for run in (read_too, seldom, without)
    )
    assert list(each) == list(few) == list(none) == [10, 20, 30, 40, 50, 60, 70, 80, 88]
    assert all(health["std"] > 0 for health in each.values())
    assert {step: each[step] for step in (10, 30, 50, 70, 88)} == {k: v for k, v in few.items() if v}, (
        "the first, and where a quarter of the run has just ended, whatever it costs"
    )
    assert not any(none.values())


@pytest.mark.parametrize(("step", "reading", "share"), [(1.0, 0.05, 0.005), (0.004, 0.003, 0.01), (1e-3, 1.0, None)])
def test_readings_take_a_hundredth_of_the_time(step, reading, share):
    """At every logged step where they are cheap, else spread over the run; a dozen whatever they cost."""
    kept, elapsed, taken = Budget(), 0.0, []
    for number in range(1, 20_001):
        elapsed += step
        if number % 10 == 0 and kept.allows(elapsed):
            kept.charge(reading)
            elapsed += reading
            taken.append(number)
    assert taken[:12] == list(range(10, 130, 10))
    assert kept.taken == len(taken)
    if share is None:
        assert len(taken) == 12
    else:
        assert kept.spent / elapsed == pytest.approx(share, rel=0.03)
        assert kept.spent <= 0.01 * elapsed


def test_a_resumed_run_has_had_its_dozen():
    assert Budget(taken=3).allows(0.0)
    kept = Budget(taken=12)
    assert kept.allows(0.0)
    kept.charge(1.0)
    assert not kept.allows(99.0)
    assert not kept.allows(199.0)  # one more would take as long
    assert kept.allows(200.0)


def test_a_finding_is_logged_and_said(tmp_path, capsys):
    run = trained(tmp_path / "run", epochs=3, temperature=50.0, quiet=False)
    found = [line for line in run.history() if line["event"] == "finding"]
    assert [line["name"] for line in found] == ["saturated-temperature"]
    assert found[0]["step"] == 40
    assert found[0]["settings"] == {"temperature": 0.2}
    said = capsys.readouterr().err
    assert "doctor: saturated temperature since step 20" in said
    assert "--temperature 0.2" in said
    assert "held to the end" in said


def test_a_resumed_run_says_what_it_would_have_said(tmp_path):
    straight = trained(tmp_path / "straight", epochs=3, temperature=50.0)
    trained(tmp_path / "broken", epochs=3, temperature=50.0, max_time=0.0)
    trained(tmp_path / "broken", epochs=3, temperature=50.0, resume=True)
    both = [straight.history(), cp.Run.open(tmp_path / "broken").history()]
    assert [[(line["step"], line["name"]) for line in lines if line["event"] == "finding"] for lines in both] == [
        [(40, "saturated-temperature")]
    ] * 2


def test_a_batch_without_positives_is_named(tmp_path):
    once = "counterpoint.views:named(name='none', size=8, channels=1)"
    with pytest.raises(cp.errors.NoPositives):
        trained(tmp_path / "run", epochs=1, settings={"views": once})
    lines = cp.Run.open(tmp_path / "run").history()
    assert [line.get("name") for line in lines[-2:]] == [None, "no-positives"]
    assert lines[-1]["settings"] == {"views": 'counterpoint.views:named(name="glyphs", size=8, channels=1)'}
