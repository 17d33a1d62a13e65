"""What a method must not leave out is named by the doctor where it is left out, and nothing where it is there."""

import pytest

import counterpoint as cp
from counterpoint import app

HEADS = "counterpoint.heads"
ABLATIONS = {
    "swav without Sinkhorn": (
        "swav", {}, {"negatives.iterations": 0}, "one-prototype", "--set negatives.iterations=3"
    ),
    "dino without centring": (
        "dino", {"epochs": 5, "target_warmup": 30.0}, {"negatives.momentum": 1}, "one-prototype",
        "--set negatives.momentum=0.9",
    ),
    "dino without sharpening": (
        "dino", {"epochs": 5}, {"negatives.temperature": 0.1}, "uniform-assignments",
        "--set negatives.temperature=0.04",
    ),
    "byol without predictor": (
        "byol", {}, {"heads.predictor": "none"}, "complete-collapse",
        f"--set heads.predictor='{HEADS}:MLPHead((64,), 256)'",
    ),
    "simsiam without stop-gradient": (
        "simsiam", {"lr": 0.2, "epochs": 30}, {"target": "counterpoint.targets:Same"}, "complete-collapse",
        "--set target=counterpoint.targets:StopGradient",
    ),
    "nt-xent without negatives": (
        "simclr", {},
        {"objective": "counterpoint.objectives:CosineRegression", "negatives": "counterpoint.negatives:OtherViews"},
        "complete-collapse",
        "--set objective='counterpoint.objectives:Contrast(temperature=0.2)' "
        "--set negatives=counterpoint.negatives:InBatch",
    ),
    "alignment without uniformity": (
        "align_uniform", {"uniform": 0.0}, {}, "complete-collapse", "--uniform 1",
    ),
}  # fmt: skip
LONG = ("simsiam without stop-gradient",)
FAST = ("swav without Sinkhorn", "nt-xent without negatives")


def judged(out, recipe, dials, settings):
    more = {"precision": "32-true", "channels_last": "no", "accelerator": "cpu", "quiet": True}
    more |= {"source": "digits", "encoder": "mlp", "evaluate": False, "report": False, "batch_size": 64}
    cp.train(recipe, out=out, settings=settings, **{"epochs": 3, **more, **dials})
    return app.doctor(out).findings


def _marks(name):
    return () if name in FAST else pytest.mark.long if name in LONG else pytest.mark.slow


@pytest.mark.parametrize("name", [pytest.param(name, marks=_marks(name)) for name in ABLATIONS])
def test_what_is_left_out_is_named(name, tmp_path):
    recipe, dials, settings, finding, typed = ABLATIONS[name]
    found = judged(tmp_path / "run", recipe, dials, settings)
    assert [(each.name, each.flags) for each in found] == [(finding, typed)]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["align_uniform", "byol", "dino", "simclr", "simsiam", "swav"])
def test_the_whole_method_is_healthy(recipe, tmp_path):
    dials = {"lr": 0.2, "epochs": 10} if recipe == "simsiam" else {"epochs": 5}
    assert judged(tmp_path / "run", recipe, dials, {}) == ()
