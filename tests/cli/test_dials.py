"""Dials whose values are words to choose from."""

import click
import pytest

from counterpoint.cli import main
from counterpoint.cli._shell import DialType
from counterpoint.signature import Dial


def mining(annotation="Literal['drawn', 'hard'] | None"):
    return DialType(Dial("mining", annotation, "drawn", "of the negatives"))


def test_a_word_is_taken_and_another_is_refused():
    assert mining().convert("hard", None, None) == "hard"
    assert mining().convert("none", None, None) is None
    with pytest.raises(click.BadParameter, match="'harder' is not one of drawn, hard"):
        mining().convert("harder", None, None)
    assert mining("Literal['one']").convert("one", None, None) == "one"


def test_the_help_shows_the_words(capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "triplet", "--help"])
    assert left.value.code == 0
    assert "--mining [drawn|hard|semi-hard|distance-weighted]" in capsys.readouterr().out
