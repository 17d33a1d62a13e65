"""Options of studies as the command line hands them on."""

from collections.abc import Iterable, Sequence
from inspect import Parameter
from typing import Any

import pytest

from counterpoint.errors import RecipeError
from counterpoint.sources import Digits
from counterpoint.studies.conduct import find_study
from counterpoint.studies.options import suited


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (3, float, 3),
        (0.5, float | None, 0.5),
        (None, float | None, None),
        (True, bool, True),
        (3, str, "3"),
        (0.5, str | float, 0.5),
        ((0, 1), str | Iterable[str], ("0", "1")),
        ([1, "a"], Sequence[str], ("1", "a")),
        ((1, 2.5), str | float | Iterable[float], (1, 2.5)),
        ((1, "x"), Sequence[Any], (1, "x")),
        ("x", Parameter.empty, "x"),
        ("x", Any, "x"),
        ("x", "float", "x"),
        ({"a": 1}, str, {"a": 1}),
    ],
)
def test_what_suits_is_taken(value: Any, hint: Any, expected: Any) -> None:
    found = suited("s", "k", value, hint)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        ("abc", float, "k is 'abc'; give a number$"),
        (2.5, int, "give a whole number$"),
        (True, int, "give a whole number$"),
        (1, bool, "give true or false$"),
        (None, str, "give a text$"),
        ("x", int | None, "give a whole number or none$"),
        ((1, 2), float, "give a number$"),
        (("a", "b"), str | Iterable[float], "k is 'a'; give a number$"),
    ],
)
def test_what_does_not_is_said(value: Any, hint: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        suited("s", "k", value, hint)


def test_a_study_gets_what_it_takes() -> None:
    made = find_study("simlap-transfer", source=Digits(), scale="smoke", options={"classes": (0, 1, 2)})
    assert made.cells[0].source.load().classes == ("0", "1", "2")
    with pytest.raises(RecipeError, match=r"study 'simlap-maps': each is 'x'; give a whole number"):
        find_study("simlap-maps", source=Digits(), scale="smoke", options={"each": "x"})
    with pytest.raises(RecipeError, match="images is 0"):
        find_study("simlap-transfer", source=Digits(), scale="smoke", options={"images": 0})
