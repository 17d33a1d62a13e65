"""A number out of its range is refused where it is given: when a recipe is composed, shown, set or read again."""

import json

import pytest

from counterpoint import app
from counterpoint import negatives as of
from counterpoint import objectives as by
from counterpoint.encoders import lookup
from counterpoint.errors import RecipeError
from counterpoint.recipe import compose, from_json
from counterpoint.schedules import Constant, Cosine, Linear, MomentumToOne, Steps
from counterpoint.targets import MovingAverage
from counterpoint.types import Clock, Facts, Schedule, ends

FACTS = Facts("digits", "glyphs", 1, 8, 1000, classes=10)
NAN = float("nan")
REFUSED = [
    (by.Contrast, "temperature", (0.0, -1.0, NAN, Linear(0.1, 0.0), Cosine(0.5, 0.1, warmup_epochs=1.0))),
    (by.Contrast, "times_temperature", (-1.0, NAN)),
    (by.NoiseContrastive, "temperature", (0.0, Constant(-0.1))),
    (by.NoiseContrastive, "proximal", (-1.0,)),
    (by.Debiased, "temperature", (0.0, Steps(0.1, (3.0,), warmup_epochs=1.0))),
    (by.Debiased, "tau_plus", (-0.1, 1.0, NAN)),
    (by.AlignUniform, "align", (-1.0, NAN)),
    (by.AlignUniform, "uniform", (-1.0,)),
    (by.AlignUniform, "alpha", (0.5, NAN)),
    (by.AlignUniform, "t", (0.0, 21.0, NAN)),
    (by.VICReg, "variance", (-1.0, NAN)),
    (by.BarlowTwins, "redundancy", (-0.1, NAN)),
    (by.BarlowTwins, "scale", (0.0,)),
    (by.BarlowTwins, "eps", (-1.0,)),
    (by.CosineRegression, "scale", (0.0, NAN)),
    (by.CosineEmbedding, "margin", (1.5, NAN)),
    (by.Margin, "margin", (0.0, NAN)),
    (by.Triplet, "margin", (0.0,)),
    (of.Bank, "negatives", (-1,)),
    (of.Bank, "momentum", (1.5,)),
    (of.Centred, "temperature", (0.0, Linear(0.0, 0.1))),
    (of.Centred, "momentum", (1.5, Linear(0.5, 1.5))),
    (of.Drawn, "count", (0,)),
    (of.InParts, "images", (1,)),
    (of.Mixed, "hardest", (0,)),
    (of.Mixed, "keys", (-1,)),
    (of.Noise, "every", (-1,)),
    (of.Prototypes, "epsilon", (0.0, NAN)),
    (of.Prototypes, "iterations", (-1,)),
    (of.Queue, "size", (0,)),
    (MovingAverage, "momentum", (1.5, Linear(0.5, 1.5))),
]


@pytest.mark.parametrize(("part", "field", "values"), REFUSED)
def test_a_part_refuses_it(part, field, values):
    part()
    for value in values:
        with pytest.raises(RecipeError) as told:
            part(**{field: value})
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("recipe", "dial", "value"),
    [
        ("simclr", "temperature", 0.0),
        ("debiased", "tau_plus", 1.0),
        ("swav", "epsilon", 0.0),
        ("align_uniform", "t", 0.0),
        ("barlow", "redundancy", -1.0),
        ("moco", "queue", 0),
        ("pirl", "share", 1.5),
        ("instdisc", "momentum", 2.0),
    ],
)
def test_a_recipe_refuses_it_before_there_is_data(recipe, dial, value):
    with pytest.raises(RecipeError):
        compose(recipe, FACTS, lookup("conv"), {dial: value})


def test_show_and_a_stored_recipe_refuse_it():
    with pytest.raises(RecipeError, match="must be above 0"):
        app.describe("simclr", settings={"objective.temperature": "0"})
    stored = compose("simclr", FACTS, lookup("conv")).to_json()
    stored["objective"]["temperature"] = -0.5
    with pytest.raises(RecipeError, match="must be above 0"):
        from_json(json.dumps(stored))


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(0.3),
        Linear(0.1, 0.7, epochs=3.0),
        Cosine(0.5, 0.1),
        Cosine(0.5, 0.1, warmup_epochs=2.0, warmup_start=0.05),
        Steps(1.0, (1.0, 2.0), warmup_epochs=0.5),
        MomentumToOne(0.9),
    ],
)
def test_a_schedule_stays_between_its_ends(schedule):
    values = [schedule.at(Clock(step, 100, 10)) for step in range(101)]
    assert min(values) == pytest.approx(min(ends(schedule)))
    assert max(values) == pytest.approx(max(ends(schedule)))


def test_a_schedule_without_ends_is_taken_at_its_word():
    class Own(Schedule):
        def at(self, clock):
            return 0.5

    assert ends(Own()) == ()
    assert ends(0.2) == (0.2,)
    by.Contrast(Own())
