"""Presets: what was published, held against the released code's formulas; what a person gives wins."""

import json
import math

import pytest
import torch

import counterpoint as cp
from counterpoint.app.asked import check_same, compose_asked, encoder_asked, understand
from counterpoint.encoders import lookup
from counterpoint.errors import CheckpointError, RecipeError
from counterpoint.model import Model
from counterpoint.recipe import compose, from_json
from counterpoint.signature import find, recipes
from counterpoint.types import Clock, Facts

from ..objectives.aligned_made import views
from ..sources.made import noise, save

CIFAR = Facts("cifar10", "photos", 3, 32, 50_000, classes=10)
IMAGENET = Facts("imagenet", "photos", 3, 224, 1_281_167, classes=1000, mean=(0.5,) * 3, std=(0.5,) * 3)
STL32 = Facts("stl10", "photos", 3, 32, 105_000, classes=10)
STL64 = Facts("stl10", "photos", 3, 64, 105_000, classes=10)
ALL = [(name, preset.name) for name, signature in recipes().items() for preset in signature.presets]


def published(name, preset, facts, **dials):
    return compose(name, facts, encoder_of(name, preset), dials, preset=preset)


def encoder_of(name, preset):
    return lookup(find(name).preset(preset).encoder or "conv")


def rate(recipe, facts, epoch):
    """The learning rate when so many epochs are done."""
    steps = facts.images // recipe.batch_size
    return recipe.optim.rate(Clock(round(epoch * steps), steps * recipe.epochs, steps))


def weights(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_a_preset_composes_says_what_it_is_and_survives_json(name, preset):
    declared = find(name).preset(preset)
    assert 20 < len(declared.summary) < 130
    assert declared.source
    assert declared.size in (32, 64, 224)
    facts = IMAGENET if declared.size == 224 else CIFAR
    made = published(name, preset, facts)
    assert made.name == name
    assert {dial: made.dials[dial] for dial in declared.dials} == declared.dials
    assert from_json(json.dumps(made.to_json())) == made
    assert made != compose(name, facts, encoder_of(name, preset))


# ---------------------------------------------------------------- SimCLR


def simclr_released(base, batch, images, epochs, step):
    """learning_rate_schedule of the released model_util.py, with linear scaling."""
    warm = round(10 * images // batch)
    total = images * epochs // batch + 1
    peak = base * batch / 256
    if step < warm:
        return step / warm * peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


@pytest.mark.parametrize(("preset", "facts", "base"), [("cifar", CIFAR, 1.0), ("paper", IMAGENET, 0.3)])
def test_simclr_has_the_released_learning_rate(preset, facts, base):
    made = published("simclr", preset, facts)
    peak = base * made.batch_size / 256
    assert peak == {"cifar": 2.0, "paper": 4.8}[preset]
    steps = facts.images // made.batch_size
    for epoch in (0, 1, 5, 9.5, 10, 11, 30, made.epochs / 2, made.epochs - 1):
        theirs = simclr_released(base, made.batch_size, facts.images, made.epochs, round(epoch * steps))
        # Their epochs have a fraction of a step more.
        assert rate(made, facts, epoch) == pytest.approx(theirs, abs=0.01 * peak)
    assert rate(made, facts, 5) == pytest.approx(peak / 2)
    assert rate(made, facts, 10) == peak
    assert rate(made, facts, (10 + made.epochs) / 2) == pytest.approx(peak / 2, rel=1e-3)


def test_simclr_on_cifar():
    made = published("simclr", "cifar", CIFAR)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (512, 1000, 0.5)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.trust) == (1e-4, 0.9, 0.001)
    assert made.optim.exclude_bias_and_norm
    assert made.optim.lr_in_momentum
    assert made.dials["policy"] == "simclr-cifar"
    model = Model(made, CIFAR)
    assert weights(model.towers.encoder) == 11_168_832
    # Three layers, each with a norm and none with a bias.
    assert weights(model.towers.projector) == 2 * 512**2 + 512 * 128 + 2 * (512 + 512 + 128)


def test_simclr_on_imagenet():
    made = published("simclr", "paper", IMAGENET)
    assert (made.batch_size, made.epochs, made.objective.temperature, made.optim.weight_decay) == (4096, 100, 0.1, 1e-6)
    with torch.device("meta"):
        model = Model(made, IMAGENET)
    assert weights(model.towers.encoder) == 23_508_032
    assert weights(model.towers.projector) == 2048**2 + 2048 * 128 + 2 * (2048 + 128)


def test_simclr_sums_both_directions_as_the_released_loss_does():
    from counterpoint.relations import Keyed
    from counterpoint.scores import Cosine
    from counterpoint.types import Columns, Match

    z, pair, row = torch.randn(8, 3), torch.arange(8) % 4, torch.arange(8)
    match = Match(z, (Columns(z, Keyed(pair, pair, row, row), Cosine()),))
    mean = compose("simclr", CIFAR, lookup("mlp")).objective([match]).total
    made = published("simclr", "cifar", CIFAR)
    torch.testing.assert_close(made.objective([match]).total, 2 * mean)


# ---------------------------------------------------------------- SupCon


def supcon_released(epoch, total=1000, peak=0.5):
    """adjust_learning_rate and warmup_learning_rate of the released util.py; epochs done, the first is number 1."""
    low = peak * 0.1**3
    cosine = lambda e: low + (peak - low) * (1 + math.cos(math.pi * e / total)) / 2  # noqa: E731
    if epoch < 10:
        return 0.01 + epoch / 10 * (cosine(10) - 0.01)
    return cosine(math.floor(epoch) + 1)


def test_supcon_on_cifar():
    made = published("supcon", "cifar", CIFAR)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (1024, 1000, 0.1)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.nesterov) == (1e-4, 0.9, False)
    assert not made.optim.exclude_bias_and_norm
    assert made.objective.times_temperature * 0.1 == pytest.approx(0.1 / 0.07)
    for epoch in (0, 2.5, 5, 9.9, 10, 50, 100, 250, 500, 505, 750, 900, 990, 999):
        assert rate(made, CIFAR, epoch) == pytest.approx(supcon_released(epoch), abs=0.01 * 0.5)
    assert rate(made, CIFAR, 0) == 0.01
    assert rate(made, CIFAR, 10) == 0.5
    assert rate(made, CIFAR, 1000) == pytest.approx(5e-4)
    kinds = [type(op).__name__ for op in made.views.policies[0].ops]
    assert kinds == ["ResizedCrop", "HFlip", "ColourJitter", "Greyscale"]
    with torch.device("meta"):
        model = Model(made, CIFAR)
    assert weights(model.towers.encoder) == 23_500_352
    assert weights(model.towers.projector) == 2048**2 + 2048 + 2048 * 128 + 128


@pytest.mark.parametrize("epoch", [0, 1, 6, 11.5, 12, 13, 100, 181, 300, 349])
def test_supcon_on_imagenet_has_the_released_learning_rate(epoch):
    """build_learning_rate_schedule of the released utils.py, where an epoch is 1281167 / 6144 steps."""
    made, peak = published("supcon", "paper", IMAGENET), 0.4 * 6144 / 256
    theirs = peak * epoch / 12 if epoch < 12 else peak / 2 * (1 + math.cos(math.pi * (epoch - 12) / (350 - 12)))
    assert rate(made, IMAGENET, epoch) == pytest.approx(theirs, abs=0.001 * peak)


def test_supcon_on_imagenet():
    made = published("supcon", "paper", IMAGENET)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (6144, 350, 0.1)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.trust, made.optim.clip) == (1e-3, 0.9, 1e-3, False)
    assert made.objective.times_temperature * 0.1 == pytest.approx(0.1)
    assert built(made, IMAGENET) == (23_508_032, 2048 * 128 + 128, 0)


# ---------------------------------------------------------------- solo-learn's on CIFAR-10

# Peak at a batch of 256, weight decay, clipped LARS or SGD; each file's `optimizer`.
SOLO = {
    ("byol", "cifar"): (1.0, 1e-5, "LARS"),
    ("simsiam", "cifar"): (0.5, 1e-5, "SGD"),
    ("barlow", "cifar"): (0.3, 1e-4, "LARS"),
    ("vicreg", "cifar"): (0.3, 1e-4, "LARS"),
    ("moco", "cifar_v2_plus"): (0.3, 1e-4, "SGD"),
    ("moco_v3", "cifar"): (0.3, 1e-6, "LARS"),
    ("swav", "cifar"): (0.6, 1e-6, "LARS"),
    ("dino", "cifar"): (0.3, 1e-6, "LARS"),
}


def solo_rate(peak, epoch, steps=195, epochs=1000, start=3e-5):
    """LinearWarmupCosineAnnealingLR by steps: 10 epochs up, then down to 0."""
    step, warm, total = epoch * steps, 10 * steps, epochs * steps
    if step < warm:
        return start + step * (peak - start) / (warm - 1)
    return peak / 2 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


@pytest.mark.parametrize(("name", "preset"), SOLO)
def test_solo_learns_schedule_and_optimizer(name, preset):
    peak, decay, optimizer = SOLO[name, preset]
    made = published(name, preset, CIFAR)
    assert (made.batch_size, made.epochs, type(made.optim).__name__) == (256, 1000, optimizer)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.clip_norm) == (decay, 0.9, None)
    assert made.optim.exclude_bias_and_norm is (optimizer == "LARS")
    if optimizer == "LARS":
        assert (made.optim.clip, made.optim.trust, made.optim.lr_in_momentum) == (True, 0.02, False)
    for epoch in (0, 1, 5, 9, 10, 11, 50, 100, 505, 900, 999):
        assert rate(made, CIFAR, epoch) == pytest.approx(solo_rate(peak, epoch), abs=1e-3 * peak)
    assert rate(made, CIFAR, 10) == peak
    assert rate(published(name, preset, CIFAR, batch_size=512), CIFAR, 10) == 2 * peak


def linear(before, after, *, bias=True, norm=False):
    return before * after + bias * after + norm * 2 * after


PLAIN = {"bias": False}
HEADS = {
    ("byol", "cifar"): (
        linear(512, 4096, norm=True) + linear(4096, 256),
        linear(256, 4096, norm=True) + linear(4096, 256),
    ),
    # The last norm has no scale and no shift.
    ("simsiam", "cifar"): (
        linear(512, 2048, **PLAIN, norm=True) + linear(2048, 2048, **PLAIN, norm=True) + linear(2048, 2048, **PLAIN),
        linear(2048, 512, **PLAIN, norm=True) + linear(512, 2048),
    ),
    ("simsiam", "cifar_paper"): (
        linear(512, 2048, **PLAIN, norm=True) + linear(2048, 2048, **PLAIN),
        linear(2048, 512, **PLAIN, norm=True) + linear(512, 2048),
    ),
    ("barlow", "cifar"): (linear(512, 2048, norm=True) + linear(2048, 2048, norm=True) + linear(2048, 2048), 0),
    ("vicreg", "cifar"): (linear(512, 2048, norm=True) + linear(2048, 2048, norm=True) + linear(2048, 2048), 0),
    ("moco", "cifar"): (linear(512, 128), 0),
    ("moco", "cifar_v2_plus"): (linear(512, 2048) + linear(2048, 256), 0),
    ("moco_v3", "cifar"): (
        linear(512, 4096, **PLAIN, norm=True) + linear(4096, 256, **PLAIN),
        linear(256, 4096, **PLAIN, norm=True) + linear(4096, 256, **PLAIN),
    ),
    ("swav", "cifar"): (linear(512, 2048, norm=True) + linear(2048, 128), 0),
    ("dino", "cifar"): (
        linear(512, 2048) + linear(2048, 2048) + linear(2048, 256) + linear(256, 4096, **PLAIN),
        0,
    ),
    ("instdisc", "cifar"): (linear(512, 128), 0),
}


def built(made, facts):
    """Weights of encoder, projector and predictor."""
    with torch.device("meta"):
        model = Model(made, facts)
    return (
        weights(model.towers.encoder),
        weights(model.towers.projector),
        0 if model.predictor is None else weights(model.predictor),
    )


@pytest.mark.parametrize(("name", "preset"), HEADS)
def test_networks_on_cifar(name, preset):
    assert built(published(name, preset, CIFAR), CIFAR) == (11_168_832, *HEADS[name, preset])


def at(number, epoch, *, steps, epochs):
    return number.at(Clock(round(epoch * steps), steps * epochs, steps))


def cosine(start, end, share):
    """From start to end, as half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(
    ("name", "preset", "start", "end"),
    [
        ("byol", "cifar", 0.99, 1.0),
        ("moco", "cifar_v2_plus", 0.99, 0.999),
        ("moco_v3", "cifar", 0.99, 1.0),
        ("dino", "cifar", 0.9995, 1.0),
    ],
)
def test_the_moving_average_on_cifar(name, preset, start, end):
    momentum = published(name, preset, CIFAR).target.momentum
    for epoch in (0, 10, 250, 500, 900, 1000):
        assert at(momentum, epoch, steps=195, epochs=1000) == pytest.approx(cosine(start, end, epoch / 1000))


def test_numbers_of_their_own_on_cifar():
    simsiam = published("simsiam", "cifar", CIFAR)
    (group,) = simsiam.optim.groups
    assert (group.name, group.lr) == ("predictor", 0.5)
    barlow = published("barlow", "cifar", CIFAR)
    assert (barlow.objective.redundancy, barlow.objective.scale) == (0.0051, 0.1)
    moco = published("moco", "cifar_v2_plus", CIFAR)
    assert (moco.objective.temperature, moco.negatives.size, moco.negatives.symmetric) == (0.2, 32768, True)
    assert not moco.target.shuffle
    assert published("moco_v3", "cifar", CIFAR).objective.temperature == 0.2
    swav = published("swav", "cifar", CIFAR).negatives
    assert (swav.count, swav.epsilon, swav.queue, swav.queue_from, swav.frozen_epochs) == (3000, 0.05, 3840, 50, 2)
    dino = published("dino", "cifar", CIFAR)
    assert [at(dino.negatives.temperature, epoch, steps=195, epochs=1000) for epoch in (0, 30, 999)] == [0.07] * 3
    assert dino.objective.temperature == 0.1


def test_simsiam_on_cifar_as_in_its_paper():
    made = published("simsiam", "cifar_paper", CIFAR)
    assert (made.batch_size, made.epochs, made.optim.weight_decay, made.optim.momentum) == (512, 800, 5e-4, 0.9)
    (group,) = made.optim.groups
    assert (group.name, group.lr) == ("predictor", 0.06)
    for epoch in (0, 5, 10, 11, 100, 405, 799):
        theirs = 0.006 * epoch if epoch < 10 else 0.03 * (1 + math.cos(math.pi * (epoch - 10) / 790))
        assert rate(made, CIFAR, epoch) == pytest.approx(theirs, abs=1e-3 * 0.06)
    kinds = [type(op).__name__ for op in made.views.policies[0].ops]
    assert kinds == ["ResizedCrop", "HFlip", "ColourJitter", "Greyscale"]
    assert made.views.policies[0].ops[0].scale == (0.2, 1.0)


def test_vicreg_on_cifar_sums_the_variance_terms_of_both_views():
    x, y = (torch.randn(16, 8, generator=torch.Generator().manual_seed(s), dtype=torch.float64) / 2 for s in (0, 1))

    def deviation(z):
        return torch.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()

    def overlap(z):
        table = torch.cov(z.T)
        return (table.square().sum() - table.diagonal().square().sum()) / z.shape[1]

    theirs = 25 * (x - y).square().mean() + 25 * (deviation(x) + deviation(y)) + overlap(x) + overlap(y)
    made = published("vicreg", "cifar", CIFAR)
    torch.testing.assert_close(made.objective([views(x, y)]).total, theirs)


# ---------------------------------------------------------------- released codes on CIFAR-10 and STL-10


@pytest.mark.parametrize("epoch", [0, 1, 50, 100, 150, 199])
def test_moco_on_cifar_has_the_notebooks_learning_rate(epoch):
    made = published("moco", "cifar", CIFAR)
    assert rate(made, CIFAR, epoch) == pytest.approx(0.06 * 0.5 * (1 + math.cos(math.pi * epoch / 200)))


def test_moco_on_cifar():
    made = published("moco", "cifar", CIFAR)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (512, 200, 0.1)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.exclude_bias_and_norm) == (5e-4, 0.9, False)
    assert (made.negatives.size, made.negatives.symmetric, made.target.momentum) == (4096, False, 0.99)
    assert (made.encoder.rows, made.target.shuffle) == (512 // 8, True)


@pytest.mark.parametrize("epoch", [0, 79, 80, 119, 120, 159, 160, 199])
def test_instdisc_on_cifar_has_the_released_learning_rate(epoch):
    theirs = 0.03 * 0.1 ** ((epoch - 80) // 40) if epoch >= 80 else 0.03
    assert rate(published("instdisc", "cifar", CIFAR), CIFAR, epoch) == pytest.approx(theirs)


def test_instdisc_on_cifar():
    made = published("instdisc", "cifar", CIFAR)
    assert (made.batch_size, made.epochs, made.optim.weight_decay, made.optim.momentum) == (128, 200, 5e-4, 0.9)
    assert (made.objective.temperature, made.negatives.momentum, len(made.views)) == (0.1, 0.5, 1)


def test_debiased_on_stl10():
    made = published("debiased", "stl10", STL32)
    assert (made.batch_size, made.epochs, made.objective.temperature, made.objective.tau_plus) == (256, 500, 0.5, 0.1)
    assert (type(made.optim).__name__, made.optim.lr, made.optim.weight_decay) == ("Adam", 1e-3, 1e-6)
    assert built(made, STL32) == (23_500_352, 2048 * 512 + 2 * 512 + 512 * 128 + 128, 0)


def test_debiased_on_cifar():
    made = published("debiased", "cifar", CIFAR)
    assert (made.batch_size, made.epochs, made.objective.temperature, made.objective.tau_plus) == (256, 400, 0.5, 0.1)
    assert (type(made.optim).__name__, made.optim.lr, made.optim.weight_decay) == ("Adam", 1e-3, 1e-6)


@pytest.mark.parametrize("name", ["paco", "gpaco"])
@pytest.mark.parametrize("epoch", [0, 4, 9, 11, 100, 320, 321, 360, 361, 399])
def test_paco_on_cifar_has_the_released_learning_rate(name, epoch):
    """adjust_learning_rate, which moves once an epoch: halfway through it."""
    theirs = 0.05 * (0.01 if epoch > 360 else 0.1 if epoch > 320 else min(1.0, (epoch + 1) / 10))
    made = published(name, "cifar", CIFAR)
    assert rate(made, CIFAR, epoch + 0.5) == pytest.approx(theirs, abs=0.05 / 10 / 2 * 1.01)
    assert made.optim.rate(Clock(390 * epoch, 390 * 400, 390)) <= 0.05


def test_paco_on_cifar():
    for name, temperature, width in (("paco", 0.05, 32), ("gpaco", 0.07, 128)):
        made = published(name, "cifar", CIFAR)
        part = made.negatives
        assert (made.batch_size, made.epochs, made.objective.temperature, part.scale) == (128, 400, *[temperature] * 2)
        assert (part.alpha, part.beta, part.gamma, part.queue, part.smoothing) == (0.01, 1.0, 1.0, 1024, 0.0)
        # Frequencies of classes are added whether they differ or not.
        assert part.long_tailed
        assert (made.optim.weight_decay, made.optim.momentum, made.optim.exclude_bias_and_norm) == (5e-4, 0.9, False)
        assert made.heads.projector.out == width
    assert published("paco", "cifar", CIFAR).target.momentum == 0.999
    made = published("gpaco", "cifar", CIFAR)
    assert built(made, CIFAR) == (23_500_352, 2 * linear(2048, 2048) + linear(2048, 128), 0)
    kinds = [type(op).__name__ for op in made.views.policies[0].ops]
    assert kinds == ["ResizedCrop", "ColourJitter", "Greyscale", "Blur", "HFlip"]
    assert (made.views.policies[0].ops[0].scale, made.views.policies[0].ops[3].p) == ((0.2, 1.0), 0.5)


@pytest.mark.parametrize("epoch", [0, 100, 154, 155, 170, 185, 199])
def test_align_uniform_on_stl10(epoch):
    made = published("align_uniform", "stl10", STL64)
    assert (made.batch_size, made.epochs, made.optim.weight_decay, made.optim.momentum) == (768, 200, 1e-4, 0.9)
    theirs = 0.12 * 768 / 256 * 0.1 ** sum(epoch >= milestone for milestone in (155, 170, 185))
    assert rate(made, STL64, epoch) == pytest.approx(theirs)


# ---------------------------------------------------------------- released codes on ImageNet


@pytest.mark.parametrize("epoch", [0, 1, 5, 10, 11, 50, 55, 90, 99])
def test_moco_v3_on_imagenet_moves_as_released(epoch):
    """adjust_learning_rate and adjust_moco_momentum, by fractional epochs."""
    made = published("moco_v3", "paper", IMAGENET)
    peak = 0.6 * 4096 / 256
    theirs = peak * epoch / 10 if epoch < 10 else peak * 0.5 * (1 + math.cos(math.pi * (epoch - 10) / 90))
    assert rate(made, IMAGENET, epoch) == pytest.approx(theirs)
    momentum = 1 - 0.5 * (1 + math.cos(math.pi * epoch / 100)) * (1 - 0.99)
    assert at(made.target.momentum, epoch, steps=312, epochs=100) == pytest.approx(momentum)


def test_moco_v3_on_imagenet():
    made = published("moco_v3", "paper", IMAGENET)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (4096, 100, 1.0)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.trust, made.optim.clip) == (1e-6, 0.9, 1e-3, False)
    # Both directions are summed, each times 2 t.
    assert made.objective.times_temperature == 4.0
    assert made.encoder.zero_init_residual
    projector = linear(2048, 4096, **PLAIN, norm=True) + linear(4096, 256, **PLAIN)
    assert built(made, IMAGENET) == (23_508_032, projector, HEADS["moco_v3", "cifar"][1])


@pytest.mark.parametrize("epoch", [0, 1, 5, 10, 11, 100, 405, 700, 799])
def test_swav_on_imagenet_has_the_released_learning_rate(epoch):
    """The two arrays of main_swav.py, joined."""
    made, steps = published("swav", "paper", IMAGENET), 1_281_167 // 4096
    warm, rest = steps * 10, steps * (800 - 10)
    step = epoch * steps
    if step < warm:
        theirs = 0.3 + (4.8 - 0.3) * step / (warm - 1)
    else:
        theirs = 0.0048 + 0.5 * (4.8 - 0.0048) * (1 + math.cos(math.pi * (step - warm) / rest))
    assert rate(made, IMAGENET, epoch) == pytest.approx(theirs, abs=1e-3 * 4.8)


def test_swav_on_imagenet():
    made = published("swav", "paper", IMAGENET)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (4096, 800, 0.1)
    assert (made.optim.weight_decay, made.optim.momentum, made.optim.trust, made.optim.clip) == (1e-6, 0.9, 1e-3, False)
    assert not made.optim.exclude_bias_and_norm
    assert (made.negatives.count, made.negatives.queue, made.negatives.iterations) == (3000, 0, 3)
    steps = 1_281_167 // 4096
    frozen = [Clock(step, 800 * steps, steps).epoch < made.negatives.frozen_epochs for step in (312, 313)]
    assert frozen == [True, False]
    assert [side for side, _ in made.views.size(256, 256)] == [224] * 2 + [96] * 6
    assert built(made, IMAGENET) == (23_508_032, linear(2048, 2048, norm=True) + linear(2048, 128), 0)
    with torch.device("meta"):
        assert weights(Model(made, IMAGENET).negatives) == 3000 * 128


@pytest.mark.parametrize("epoch", [0, 1, 5, 10, 11, 50, 90, 99])
def test_dino_on_imagenet_moves_as_released(epoch):
    """cosine_scheduler of utils.py, for rate, weight decay and momentum; the temperature stays."""
    made, steps = published("dino", "paper", IMAGENET), 1_281_167 // 512
    peak = 0.0005 * 512 / 256
    theirs = peak * epoch / 10 if epoch < 10 else cosine(peak, 1e-6, (epoch - 10) / 90)
    assert rate(made, IMAGENET, epoch) == pytest.approx(theirs, abs=1e-3 * peak)
    clock = {"steps": steps, "epochs": 100}
    assert at(made.optim.weight_decay, epoch, **clock) == pytest.approx(cosine(0.04, 0.4, epoch / 100))
    assert at(made.target.momentum, epoch, **clock) == pytest.approx(cosine(0.996, 1.0, epoch / 100))
    assert at(made.negatives.temperature, epoch, **clock) == 0.04


def test_dino_on_imagenet():
    made = published("dino", "paper", IMAGENET)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (512, 100, 0.1)
    assert (made.optim.clip_norm, made.negatives.frozen_epochs, made.negatives.momentum) == (3.0, 1.0, 0.9)
    assert [side for side, _ in made.views.size(256, 256)] == [224] * 2 + [96] * 8
    head = linear(384, 2048) + linear(2048, 2048) + linear(2048, 256) + linear(256, 65536, **PLAIN)
    assert built(made, IMAGENET) == (21_665_664, head, 0)


def test_dino_on_imagenet_with_a_resnet():
    made, steps = published("dino", "paper_resnet50", IMAGENET), 1_281_167 // 512
    assert (type(made.optim).__name__, made.optim.momentum, made.optim.clip_norm) == ("SGD", 0.9, 3.0)
    assert (made.optim.weight_decay, made.optim.exclude_bias_and_norm) == (1e-4, True)
    peak = 0.03 * 512 / 256
    for epoch in (0, 5, 10, 11, 50, 99):
        theirs = peak * epoch / 10 if epoch < 10 else cosine(peak, 1e-6, (epoch - 10) / 90)
        assert rate(made, IMAGENET, epoch) == pytest.approx(theirs, abs=1e-3 * peak)
    assert at(made.target.momentum, 0, steps=steps, epochs=100) == 0.996
    scales = [policy.ops[0].scale for policy in made.views.policies]
    assert scales == [(0.14, 1.0)] * 2 + [(0.05, 0.14)] * 8
    assert [side for side, _ in made.views.size(256, 256)] == [224] * 2 + [96] * 8
    head = linear(2048, 2048) + linear(2048, 2048) + linear(2048, 256) + linear(256, 65536, **PLAIN)
    assert built(made, IMAGENET) == (23_508_032, head, 0)


# ---------------------------------------------------------------- what is given wins


def test_what_a_person_gives_wins_and_what_follows_from_it_follows():
    made = published("simclr", "cifar", CIFAR, batch_size=128, epochs=20, temperature=0.2, width=64)
    assert (made.batch_size, made.epochs, made.objective.temperature, made.dials["lr"]) == (128, 20, 0.2, 1.0)
    assert made.optim.lr.start == 0.5
    assert made.heads.projector.out == 64
    assert len(published("simclr", "cifar", CIFAR, layers=2).heads.projector.hidden) == 1
    assert published("simclr", "cifar", CIFAR, lr=0.25).optim.lr.start == 0.5
    set_too = compose("simclr", CIFAR, lookup("mlp"), {}, {"optim.weight_decay": "0.5"}, "cifar")
    assert set_too.optim.weight_decay == 0.5
    assert set_too.optim.trust == 0.001


def test_an_unknown_preset_comes_with_the_nearest():
    with pytest.raises(RecipeError, match="simclr has no preset 'cifr'; did you mean 'cifar'"):
        compose("simclr", CIFAR, lookup("mlp"), preset="cifr")


def given(recipe=None, stored=None, **more):
    known = {"source": None, "options": {}, "encoder": None, "dials": {}, "settings": {}, "seed": None}
    return understand(recipe, stored, **{**known, **more})


def test_the_encoder_is_the_presets_unless_one_is_given():
    assert encoder_asked(given("simclr", preset="cifar"), CIFAR) == "resnet18"
    assert encoder_asked(given("simclr", preset="cifar", encoder="mlp"), CIFAR) == "mlp"
    assert encoder_asked(given("simclr"), CIFAR) == "conv"


def test_its_batch_is_kept_where_a_default_would_be_halved():
    few = Facts("few", "photos", 3, 32, 600, classes=10)
    sizes = [compose_asked(given("simclr", preset=p), few, lookup("mlp"), None).batch_size for p in (None, "cifar")]
    assert sizes == [128, 512]


# ---------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset") / "run"
    dials = {"batch_size": 256, "epochs": 1}
    how = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu"}
    quick = {"evaluate": False, "report": False, "quiet": True}
    return cp.train("simclr", preset="cifar", source="digits", encoder="mlp", out=folder, dials=dials, **how, **quick)


def test_a_run_records_its_preset_and_goes_on(run):
    stored = run.recipe()
    assert stored["preset"] == "cifar"
    assert stored["dials"]["lr"] == 1.0
    assert stored["parts"]["optim"]["part"].endswith(":LARS")
    again = cp.train(resume=True, out=run.folder, evaluate=False, report=False, quiet=True)
    assert again.recipe() == stored
    with pytest.raises(CheckpointError, match="its preset is 'cifar', not 'paper'"):
        cp.train(resume=True, out=run.folder, preset="paper", evaluate=False, report=False, quiet=True)


def test_a_stored_recipe_keeps_its_preset_and_another_takes_its_place(run):
    stored = run.recipe()
    digits = Facts.stored(stored["facts"])
    same = given(stored=stored)
    assert same.stored is stored
    longer = given(stored=stored, dials={"epochs": 30})
    assert longer.preset == "cifar"
    made = compose_asked(longer, digits, None, None)
    assert (made.epochs, made.batch_size, type(made.optim).__name__) == (30, 256, "LARS")
    other = given(stored=stored, preset="paper", dials={"batch_size": 64})
    assert (other.preset, other.encoder, other.stored) == ("paper", "resnet50", None)
    made = compose_asked(other, digits, lookup("mlp"), None)
    assert (made.batch_size, made.epochs, made.objective.temperature) == (64, 100, 0.1)
    assert made.optim.lr.start == pytest.approx(0.3 / 4)
    # A run of before there were presets has none.
    old = {name: value for name, value in stored.items() if name != "preset"}
    check_same(given(stored=old), old, run.folder)


@pytest.mark.long
@pytest.mark.parametrize(("name", "preset"), ALL)
def test_it_starts_with_the_published_network_and_goes_on(name, preset, tmp_path):
    """A few images of the published size; the batch is what has to be smaller here."""
    size = 224 if preset.startswith("paper") else 32
    for i, image in enumerate(noise(10, size, size, 3)):
        save(tmp_path / "images" / str(i % 2) / f"{i}.png", image)
    flags = {"evaluate": False, "report": False, "quiet": True, "accelerator": "cpu", "precision": "32-true"}
    flags["channels_last"] = "no"
    dials = {"batch_size": 4, "epochs": 1} | ({"split": 2} if (name, preset) == ("moco", "cifar") else {})
    whole = {"preset": preset, "source": tmp_path / "images", "size": size, "out": tmp_path / "run", "dials": dials}
    begun = cp.train(name, **whole, **flags, max_time=0.01)
    assert begun.recipe()["encoder"] == (find(name).preset(preset).encoder or "conv")
    ended = cp.train(resume=True, out=tmp_path / "run", **flags)
    events = {line["event"]: line for line in ended.history()}
    assert 0 < events["resume"]["step"] < events["end"]["step"]
    assert events["end"]["reason"] == "finished"
    assert math.isfinite(events["step"]["loss"])


# ---------------------------------------------------------------- SimLAP


@pytest.mark.parametrize(
    ("name", "preset", "peak", "decay", "epochs"),
    [
        ("simlap", "paper", 0.2, 1e-4, 1000),
        ("simlap", "paper_vit", 2e-3, 1e-2, 300),
        ("simlap_moco", "paper", 0.3, 1.5e-6, 1000),
    ],
)
def test_simlap_is_table_5(name, preset, peak, decay, epochs):
    made = published(name, preset, IMAGENET)
    assert (made.batch_size, made.epochs, made.optim.weight_decay) == (1024, epochs, decay)
    assert rate(made, IMAGENET, 40) == pytest.approx(peak)
    assert rate(made, IMAGENET, 20) == pytest.approx(peak / 2)
    assert rate(made, IMAGENET, (40 + epochs) / 2) == pytest.approx(peak / 2, rel=1e-3)
    assert made.optim.__class__.__name__ == ("AdamW" if preset == "paper_vit" else "LARS")


def test_simlap_has_the_paper_s_projector_and_filter():
    made = published("simlap", "paper", IMAGENET)
    assert (made.objective.temperature, made.objective.penalty, len(made.views)) == (0.15, 0.0, 1)
    with torch.device("meta"):
        model = Model(made, IMAGENET)
    # Norm, 2048 to 2048, norm, 2048 to 256, LayerNorm; embedding, norm, 512 to 1024, norm, 1024 to 256.
    assert weights(model.towers.projector) == 2 * 2048 + 2048**2 + 2048 + 2 * 2048 + 2048 * 256 + 256 + 2 * 256
    assert weights(model.negatives) == 1000 * 512 + 2 * 512 + 512 * 1024 + 1024 + 2 * 1024 + 1024 * 256 + 256
