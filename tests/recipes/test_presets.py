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

CIFAR = Facts("cifar10", "photos", 3, 32, 50_000, classes=10)
IMAGENET = Facts("imagenet", "photos", 3, 224, 1_281_167, classes=1000)
ALL = [(name, preset.name) for name, signature in recipes().items() for preset in signature.presets]


def published(name, preset, facts, **dials):
    declared = find(name).preset(preset)
    return compose(name, facts, lookup(declared.encoder), dials, preset=preset)


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
    facts = IMAGENET if preset == "paper" else CIFAR
    made = published(name, preset, facts)
    assert made.name == name
    assert {dial: made.dials[dial] for dial in declared.dials} == declared.dials
    assert from_json(json.dumps(made.to_json())) == made
    assert made != compose(name, facts, lookup(declared.encoder), dict(declared.dials))


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


# ---------------------------------------------------------------- what is given wins


def test_what_a_person_gives_wins_and_what_follows_from_it_follows():
    made = published("simclr", "cifar", CIFAR, batch_size=128, epochs=20, temperature=0.2, width=64)
    assert (made.batch_size, made.epochs, made.objective.temperature, made.dials["lr"]) == (128, 20, 0.2, 1.0)
    assert made.optim.lr.start == 0.5
    assert made.heads.projector.out == 64
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), ALL)
def test_it_starts_on_small_images_and_goes_on(name, preset, tmp_path):
    flags = {"evaluate": False, "report": False, "quiet": True, "accelerator": "cpu", "precision": "32-true"}
    dials = {"batch_size": 600, "epochs": 1}
    first = cp.train(name, preset=preset, source="digits", out=tmp_path / "run", dials=dials, **flags)
    assert first.recipe()["encoder"] == find(name).preset(preset).encoder
    losses = [line["loss"] for line in first.history() if line["event"] == "step"]
    assert all(map(math.isfinite, losses))
    cp.train(resume=True, out=tmp_path / "run", **flags)
