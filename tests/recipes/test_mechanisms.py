"""What a method stands on, asked of its recipe: what a dial reaches, who is compared, whose copy moves when."""

import math
from dataclasses import replace

import pytest
import torch

from counterpoint.distributed import Comm
from counterpoint.encoders import ConvNet, SplitBatchNorm
from counterpoint.engine import Numerics, compare, train_step
from counterpoint.heads import MLPHead, PrototypeHead, Truncated
from counterpoint.model import Model
from counterpoint.negatives import (
    AcrossViews,
    Asking,
    Centred,
    Exemplars,
    Gated,
    InBatch,
    Mixed,
    Noise,
    OtherViews,
    Parametric,
    Prototypes,
    Queue,
)
from counterpoint.objectives import (
    AlignUniform,
    BarlowTwins,
    Contrast,
    CosineEmbedding,
    CosineRegression,
    Debiased,
    Each,
    GatedContrast,
    Joint,
    VICReg,
)
from counterpoint.optim import SGD
from counterpoint.pairing import ArbitraryPairs, Asked, DisjointPairs, SameClass, SimilarClass
from counterpoint.random import Streams, forked
from counterpoint.recipe import compose
from counterpoint.schedules import Cosine as Decay
from counterpoint.schedules import Linear, MomentumToOne
from counterpoint.scores import Cosine, Dot
from counterpoint.targets import MovingAverage, Same, StopGradient
from counterpoint.types import Batch, Clock, Context, Facts

IMAGES = 12
FACTS = Facts("noise", "glyphs", 1, 8, IMAGES, classes=4, total_steps=4, steps_per_epoch=4)
SMALL = ConvNet(stages=(4, 8), width=10)
SPLIT = SplitBatchNorm(SMALL, 6)
MOCO = {"temperature": 0.3, "queue": 24, "momentum": 0.7, "split": 2}
PACO = {"alpha": 0.2, "queue": 24, "long_tailed": True, "temperature": 0.3}
KEYS = MovingAverage(0.7, when="before", queries=1, shuffle=True)

# Dials that are not the defaults, and the parts that they have to make.
PARTS = {
    "byol": (
        {"momentum": 0.7, "hidden": 9, "width": 7},
        {"target": MovingAverage(MomentumToOne(0.7), when="after"), "negatives": OtherViews()}
        | {"objective": CosineRegression(scale=4.0, offset=1.0), "heads.predictor": MLPHead((9,), 7)},
    ),
    "simsiam": (
        {"width": 9, "bottleneck": 3},
        {"target": StopGradient(), "negatives": OtherViews(), "objective": CosineRegression()}
        | {"heads.predictor": MLPHead((3,), 9, hidden_bias=False)}
        | {"heads.projector": MLPHead((9, 9), 9, hidden_bias=False, final_bias=False, final_norm="batch_no_affine")},
    ),
    "barlow": (
        {"redundancy": 0.3},
        {"target": Same(), "negatives": OtherViews(both_ways=False, gathered=True), "objective": BarlowTwins(0.3)},
    ),
    "vicreg": (
        {"invariance": 2.0, "variance": 3.0, "covariance": 5.0},
        {"target": Same(), "negatives": OtherViews(both_ways=False, gathered=True)}
        | {"objective": VICReg(2.0, 3.0, 5.0)},
    ),
    "align_uniform": (
        {"align": 2.0, "uniform": 3.0, "alpha": 1.5, "t": 4.0},
        {"target": Same(), "negatives": OtherViews(both_ways=False, gathered=True)}
        | {"objective": AlignUniform(2.0, 3.0, 1.5, 4.0)},
    ),
    "directclr": (
        {"share": 0.3, "temperature": 0.2},
        {"heads.projector": Truncated(3), "negatives": InBatch(), "objective": Contrast(0.2)},
    ),
    "moco": (
        MOCO,
        {"encoder": SPLIT, "target": KEYS, "negatives": Queue(24), "objective": Contrast(0.3)},
    ),
    "moco symmetric": (
        MOCO | {"symmetric": True, "split": 1},
        {"encoder": SMALL, "target": MovingAverage(0.7, when="before"), "negatives": Queue(24, symmetric=True)},
    ),
    "mochi": (
        MOCO | {"hardest": 9, "mixed": 5, "with_query": 3, "start": 2.5},
        {"encoder": SPLIT, "target": KEYS, "negatives": Mixed(Queue(24), 9, 5, 3, 2.5), "objective": Contrast(0.3)},
    ),
    "mochi in time": (
        {"epochs": 40, "hardest": 7},
        {"negatives": Mixed(Queue(4096), 7, 32, 16, 4.0)},
    ),
    "moco_v3": (
        {"temperature": 0.3, "momentum": 0.7, "hidden": 9, "width": 7},
        {"target": MovingAverage(MomentumToOne(0.7), when="before"), "negatives": AcrossViews()}
        | {"objective": Contrast(0.3, times_temperature=4.0)}
        | {"heads.predictor": MLPHead((9,), 7, hidden_bias=False, final_bias=False)}
        | {"heads.projector": MLPHead((9,), 7, hidden_bias=False, final_bias=False, final_norm="batch_no_affine")},
    ),
    "paco": (
        PACO | {"momentum": 0.7},
        {"pairing": SameClass(), "target": MovingAverage(0.7, when="before", queries=1), "objective": Contrast(0.3)}
        | {"negatives": Parametric(0.2, queue=24, long_tailed=True, scale=0.3)},
    ),
    "gpaco": (
        PACO | {"smoothing": 0.3, "width": 7},
        {"pairing": SameClass(), "target": Same(), "objective": Contrast(0.3)}
        | {"negatives": Parametric(0.2, queue=24, smoothing=0.3, long_tailed=True, scale=0.3)}
        | {"heads.projector": MLPHead((10, 10), 7, batch_norm=False)},
    ),
    "simlap": (
        {"temperature": 0.3, "gate_penalty": 0.1, "penalty": "binary", "pairs": 0.5, "own": 0.2}
        | {"norm": "batch", "embedding": 6, "gate_hidden": 5, "width": 7},
        {"pairing": ArbitraryPairs(0.2, 0.5, 4), "negatives": Gated(InBatch(), 6, 5, classes=True)}
        | {"objective": GatedContrast(0.3, Each(), penalty=0.1, kind="binary"), "target": Same(), "score": Cosine()}
        | {"heads.projector": MLPHead((10,), 7, first_norm=True, final_norm="batch")},
    ),
    "simlap of the algorithm": (
        {"form": "algorithm"},
        {"pairing": DisjointPairs(), "negatives": Gated(members=True), "objective": GatedContrast(0.15, Joint())},
    ),
    "simlap_moco": (
        {"temperature": 0.3, "momentum": 0.7, "hidden": 9, "width": 7, "pairs": 0.5, "gate_penalty": 0.1},
        {"pairing": ArbitraryPairs(0.0, 0.5, 4), "target": MovingAverage(MomentumToOne(0.7), when="before")}
        | {"negatives": Gated(AcrossViews(), classes=True), "objective": GatedContrast(0.3, Each(), 4.0, 0.1)}
        | {"heads.predictor": MLPHead((9,), 7, hidden_bias=False, final_bias=False)}
        | {"heads.projector": MLPHead((9,), 7, hidden_bias=False, final_bias=False, final_norm="layer")},
    ),
    "xclr": (
        {"graph_temperature": 0.4, "temperature": 0.3},
        {"pairing": SimilarClass(4, None, 0.4), "negatives": InBatch(), "objective": Contrast(0.3)},
    ),
    "pal captcha": (
        {"ask": "captcha", "share": 0.4, "shown": 5, "weight": 0.7, "temperature": 0.3},
        {"pairing": Asked("captcha", 0.4, 5, 0.7), "negatives": InBatch(), "objective": Contrast(0.3)},
    ),
    "pal nearest": ({"ask": "nearest"}, {"pairing": Asked("pair"), "negatives": Asking()}),
    "dino": (
        {"prototypes": 16, "hidden": 9, "bottleneck": 5, "batch_norm": False, "temperature": 0.2, "momentum": 0.7}
        | {"target_temperature": 0.05, "target_temperature_end": 0.08, "target_warmup": 3.0},
        {"target": MovingAverage(MomentumToOne(0.7), when="after", views=2), "objective": Contrast(0.2)}
        | {"negatives": Centred(Linear(0.05, 0.08, epochs=3.0)), "score": Dot()}
        | {"heads.projector": PrototypeHead((9, 9), 5, 16, batch_norm=False)}
        | {"optim.weight_decay": Decay(0.04, 0.4), "optim.clip_norm": 3.0},
    ),
    "dino with a norm": (
        {"prototypes": 16, "hidden": 9, "bottleneck": 5},
        {"heads.projector": PrototypeHead((9, 9), 5, 16, batch_norm=True)},
    ),
    "swav": (
        {"prototypes": 16, "epsilon": 0.1, "temperature": 0.2, "queue": 30, "queue_from": 2.0},
        {"target": StopGradient(), "score": Dot(), "objective": Contrast(0.2)}
        | {"negatives": Prototypes(16, 0.1, queue=30, queue_from=2.0)},
    ),
    "nat": ({"every": 3}, {"negatives": Noise(3), "objective": CosineEmbedding(), "score": Cosine()}),
    "exemplar": ({}, {"negatives": Exemplars(), "objective": Contrast(1.0), "score": Dot()}),
    "debiased": (
        {"temperature": 0.3, "tau_plus": 0.2},
        {"target": Same(), "negatives": InBatch(), "objective": Debiased(0.3, 0.2)},
    ),
}


def made(name, dials):
    return compose(name.split(" ")[0], FACTS, SMALL, {"batch_size": IMAGES, **dials})


@pytest.mark.parametrize("name", PARTS)
def test_a_dial_reaches_its_part(name):
    dials, parts = PARTS[name]
    recipe = made(name, dials)
    for path, expected in parts.items():
        found = recipe
        for step in path.split("."):
            found = getattr(found, step)
        assert found == expected, path


def test_the_graph_of_a_file_reaches_xclr(tmp_path):
    (tmp_path / "classes.txt").write_text("a cat\na dog\na red car\na red bus\n")
    recipe = made("xclr", {"graph": str(tmp_path / "classes.txt")})
    assert recipe.pairing == SimilarClass(4, str(tmp_path / "classes.txt"), 0.1)
    losses = [compare(r, built(r), batch(), at(0)).loss.total for r in (recipe, made("xclr", {}))]
    assert abs(losses[0] - losses[1]) > 1e-6


# ---------------------------------------------------------------- a step


def built(recipe):
    with forked(0):
        return Model(recipe, FACTS).double().train()


def batch():
    noise = torch.Generator().manual_seed(0)
    order = torch.arange(IMAGES)
    return Batch(torch.randint(0, 256, (IMAGES, 1, 8, 8), dtype=torch.uint8, generator=noise), order, order, order % 4)


def at(step):
    return Context(Clock(step, 4, 4), Comm.alone(), Streams(0))


def rising(start, step):
    return 1 - (1 - start) * (1 + math.cos(math.pi * step / 4)) / 2


MOVES = {
    "moco": ("before", lambda step: 0.7),
    "mochi": ("before", lambda step: 0.7),
    "paco": ("before", lambda step: 0.7),
    "moco_v3": ("before", lambda step: rising(0.7, step)),
    "simlap_moco": ("before", lambda step: rising(0.7, step)),
    "byol": ("after", lambda step: rising(0.7, step)),
    "dino": ("after", lambda step: rising(0.7, step)),
}


@pytest.mark.parametrize("name", MOVES)
def test_the_copy_moves_at_its_moment_by_its_momentum(name):
    """Before: towards the network that the step encodes with. After: towards the one that it leaves."""
    when, momentum = MOVES[name]
    recipe = replace(made(name, {"momentum": 0.7}), optim=SGD(lr=0.1))
    model = built(recipe)
    optimizer = recipe.optim.build(model)
    encoding = []
    model.target.towers.encoder.register_forward_pre_hook(
        lambda *_: encoding.append([p.clone() for p in model.target.towers.parameters()])
    )
    for step in range(3):
        copy, old = ([p.clone() for p in of.parameters()] for of in (model.target.towers, model.towers))
        recipe.optim.set_lr(optimizer, at(step).clock)
        train_step(recipe, model, optimizer, batch(), at(step), Numerics())
        new = list(model.towers.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
        m, towards = momentum(step), old if when == "before" else new
        for was, to, now in zip(copy, towards, model.target.towers.parameters(), strict=True):
            torch.testing.assert_close(now, m * was + (1 - m) * to)
        # The keys of the step are those of the moved copy, or of the one of before.
        asked = list(model.target.towers.parameters()) if when == "before" else copy
        assert all(torch.equal(a, b) for a, b in zip(encoding.pop(), asked, strict=True))


@pytest.mark.parametrize(("name", "path"), [("swav", "negatives.rows"), ("dino", "towers.projector.prototypes.weight")])
def test_prototypes_rest_for_an_epoch(name, path):
    recipe = replace(made(name, {}), optim=SGD(lr=0.1, momentum=0.0))
    model = built(recipe)
    optimizer, prototypes = recipe.optim.build(model), model.get_parameter(path)
    first = torch.nn.functional.normalize(prototypes.detach(), dim=1)
    for step, rests in ((0, True), (3, True), (4, False)):
        recipe.optim.set_lr(optimizer, at(step).clock)
        train_step(recipe, model, optimizer, batch(), at(step), Numerics())
        assert torch.allclose(torch.nn.functional.normalize(prototypes.detach(), dim=1), first) == rests


# Views that query, views that answer, groups of columns of each match, and whether the answers take a gradient.
WHO = {
    "moco": ([0], [1], [2], False),
    "mochi": ([0], [1], [3], False),
    "moco_v3": ([0, 1], [0, 1], [1, 1], False),
    "simlap": ([0], [0], [1], True),
    "simlap_moco": ([0, 1], [0, 1], [1, 1], False),
    "paco": ([0], [1], [4], False),
    "gpaco": ([0, 1], [0, 1], [3], True),
    "dino": ([0, 1], [0, 1], [1, 1], False),
    "swav": ([0, 1], [0, 1], [1, 1], False),
    "exemplar": ([0], [0], [1], True),
    "nat": ([0], [0], [1], True),
    "debiased": ([0, 1], [0, 1], [1], True),
    "pal": ([0, 1], [0, 1], [1], True),
    "xclr": ([0, 1], [0, 1], [1], True),
}


@pytest.mark.parametrize("name", WHO)
def test_who_asks_and_who_answers(name):
    ask, answer, groups, learned = WHO[name]
    recipe = made(name, {"start": 0.0} if name == "mochi" else {})
    found = compare(recipe, built(recipe), batch(), at(0))
    assert found.online.rows.view.unique().tolist() == ask
    assert found.keys.rows.view.unique().tolist() == answer
    assert [len(match.columns) for match in found.matches] == groups
    assert all(match.query.requires_grad or name == "dino" for match in found.matches)
    assert found.keys.z.requires_grad == learned
    assert (found.online.p is not None) == (name in ("moco_v3", "simlap_moco"))
