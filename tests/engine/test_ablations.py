"""What a method must not leave out is named by the doctor where it is left out, and nothing where it is there."""

import pytest
from benchmarks.ablations import ABLATIONS

import counterpoint as cp
from counterpoint import app

HEADS = "counterpoint.heads"
# On the digits: further dials, and the flags that are advised.
DIGITS = {
    "SwAV without Sinkhorn": ({}, "--set negatives.iterations=3"),
    "DINO without centring": ({"epochs": 5}, "--set negatives.momentum=0.9"),
    "DINO without sharpening": ({"epochs": 5}, "--set negatives.temperature=0.04"),
    "BYOL without predictor": ({}, f"--set heads.predictor='{HEADS}:MLPHead((64,), 256)'"),
    "SimSiam without stop-gradient": (
        {"lr": 0.2, "epochs": 30}, "--set target=counterpoint.targets:StopGradient"
    ),
    "NT-Xent without negatives": (
        {},
        "--set objective='counterpoint.objectives:Contrast(temperature=0.2)' "
        "--set negatives=counterpoint.negatives:InBatch",
    ),
    "alignment without uniformity": ({}, "--uniform 1"),
}  # fmt: skip
LONG = ("SimSiam without stop-gradient",)
FAST = ("SwAV without Sinkhorn", "NT-Xent without negatives")


def judged(out, recipe, dials, settings):
    more = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu", "quiet": True}
    more |= {"source": "digits", "encoder": "mlp", "evaluate": False, "report": False, "batch_size": 64}
    cp.train(recipe, out=out, settings=settings, **{"epochs": 3, **more, **dials})
    return app.doctor(out).findings


def _marks(name):
    return () if name in FAST else pytest.mark.long if name in LONG else pytest.mark.slow


@pytest.mark.parametrize("name", [pytest.param(name, marks=_marks(name)) for name in ABLATIONS])
def test_what_is_left_out_is_named(name, tmp_path):
    (more, typed), ablation = DIGITS[name], ABLATIONS[name]
    dials, settings = ablation.asked()
    found = judged(tmp_path / "run", ablation.recipe, {**dials, **more}, settings)
    assert [(each.name, each.flags) for each in found] == [(ablation.finding, typed)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["align_uniform", "byol", "dino", "simclr", "simsiam", "swav"])
def test_the_whole_method_is_healthy(recipe, tmp_path):
    dials = {"lr": 0.2, "epochs": 10} if recipe == "simsiam" else {"epochs": 5}
    assert judged(tmp_path / "run", recipe, dials, {}) == ()
