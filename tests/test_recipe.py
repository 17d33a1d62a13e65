import json
from dataclasses import dataclass, replace

import pytest

from counterpoint.encoders import lookup
from counterpoint.errors import RecipeError
from counterpoint.recipe import compose, find, from_json, part_from_json, part_to_json, set_path
from counterpoint.signature import recipes
from counterpoint.types import Facts

FACTS = Facts(source="digits", kind="glyphs", channels=1, size=8, images=1000, classes=10)


def made(name="simclr", **dials):
    return compose(name, FACTS, lookup("mlp"), dials)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_recipe_survives_json(name):
    recipe = made(name)
    again = from_json(json.dumps(recipe.to_json()))
    assert again == recipe
    assert again.name == name


def test_dials_come_first_so_that_what_derives_is_computed_again():
    half, whole = made(batch_size=256), made(batch_size=1024)
    assert whole.optim.lr.start == pytest.approx(2 * half.optim.lr.start)
    assert made(epochs=7).dials["epochs"] == 7


def test_any_field_is_set_by_its_path():
    recipe = compose("simclr", FACTS, lookup("mlp"), {}, {"objective.temperature": "0.07", "heads.projector.out": "32"})
    assert recipe.objective.temperature == 0.07
    assert recipe.heads.projector.out == 32
    assert set_path(recipe, "batch_size", 64).batch_size == 64
    nested = set_path(recipe, "views.policies.0", recipe.views.policies[1])
    assert nested.views == recipe.views


def test_a_part_is_replaced_by_its_import_path():
    recipe = set_path(made(), "target", "counterpoint.targets:MovingAverage(momentum=0.5)")
    assert recipe.target.momentum == 0.5
    assert from_json(json.dumps(recipe.to_json())) == recipe


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("objectiv.temperature", "1", "did you mean 'objective'"),
        ("objective.temprature", "1", "did you mean 'temperature'"),
        ("batch_size", "many", "expected int"),
        ("batch_size", "0.5", "expected int"),
        ("batch_size.x", "1", "nothing below"),
        ("views.policies.9", "1", "no position"),
        ("target", "counterpoint.targets:Nothing", "has no 'Nothing'"),
        ("target", "nowhere.at.all:Nothing", "cannot be imported"),
        ("target", "counterpoint.targets:MovingAverage(moment=0.5)", "cannot be made"),
        ("target", "counterpoint.targets:MovingAverage(momentum=2)", "in \\[0, 1\\]"),
        ("objective", "counterpoint.scores:Cosine", "expected Objective"),
        ("score", "3", "expected Score"),
        ("heads.projector.final_norm", "loud", "expected"),
    ],
)
def test_a_bad_path_or_value_gets_one_sentence(path, value, words):
    with pytest.raises(RecipeError, match=words) as caught:
        set_path(made(), path, value)
    assert "\n" not in str(caught.value)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'simclr'"):
        find("simclear")
    with pytest.raises(RecipeError, match="did you mean 'temperature'"):
        made(temprature=1.0)
    with pytest.raises(RecipeError, match="does not exist"):
        find("nowhere.py:mine")


def test_a_batch_of_one_and_no_epochs_are_refused():
    with pytest.raises(RecipeError, match="at least 2 images"):
        made(batch_size=1)
    with pytest.raises(RecipeError, match="epochs is 0"):
        made(epochs=0)


def test_json_with_an_unknown_part_or_field_is_refused():
    data = part_to_json(made())
    data["objective"]["temprature"] = 1
    with pytest.raises(RecipeError, match="did you mean 'temperature'"):
        part_from_json(data)
    with pytest.raises(RecipeError, match="no part"):
        part_from_json({"part": "json:dumps"})
    with pytest.raises(RecipeError, match="expected a Recipe"):
        from_json("{}")


@dataclass(frozen=True)
class Odd:
    what: object


def test_what_cannot_be_stored_is_refused():
    with pytest.raises(RecipeError, match="cannot be stored"):
        part_to_json(Odd(object()))


def test_recipes_compare_and_print():
    assert made() == made()
    assert made() != replace(made(), epochs=3)
    assert "temperature=0.5" in repr(made())
