"""Dials whose values are words to choose from."""

import click
import pytest

from counterpoint.cli import main
from counterpoint.cli._shell import DialType
from counterpoint.encoders import MLP
from counterpoint.recipe import compose
from counterpoint.signature import Dial
from counterpoint.types import Facts


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("selfie --grid 0", "selfie: grid is 0, but a patch has at least 2 px and an image 8; give 2 to 4"),
        ("selfie --grid 9", "selfie: grid is 9, but a patch has at least 2 px and an image 8; give 2 to 4"),
        ("cpc --grid=-1", "cpc: grid is -1, but a patch has at least 2 px"),
        ("cpc --grid 20", "and an image 8; give 2 to 7, or larger images with --size"),
        ("cpc --nearest 4", "nearest=4): give 1 <= nearest <= steps < grid"),
        (
            "cpc --encoder vit_small",
            "the encoder sees patches of 2 px, not whole images (a smaller grid makes them larger)",
        ),
        ("mochi --queue 64 --hardest 100", "hardest=100) of a queue of 64: give"),
        ("moco --split 0", "cannot be split into 0 groups of 2 or more; give a split of 1 to 128"),
        ("moco --split=-4", "cannot be split into -4 groups"),
        ("mochi --split 1000", "cannot be split into 1000 groups of 2 or more; give a split of 1 to 128"),
        ("instdisc --proximal 3", "instdisc: proximal is 3 but negatives is 0"),
        ("paco --temperature 0", "paco cannot take temperature=0.0: Parametric("),
        (
            "dino --target-warmup=-3 --epochs 4",
            "dino cannot take target_warmup=-3.0: Linear(epochs=-3) is negative; give 0",
        ),
        ("nat --views 0", "nat: views is 0, but an image is seen at least once in a step; give 1 or more"),
        ("simclr --layers 0", "simclr: layers is 0, but a head has at least one; give 1 or more"),
        ("simsiam --set heads.predictor=none", 'also give --set "optim.groups=()"'),
    ],
)
def test_a_dial_that_cannot_be_is_one_sentence_that_names_it(line, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["train", *line.split(), "--source", "digits", "--dry-run"])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.splitlines()[-1].startswith("error: ")


def test_what_follows_from_a_dial_follows():
    def made(name, **dials):
        return compose(name, Facts("made", "photos", 3, 32, 50_000, 10), MLP((24,)), dials)

    assert [made("mochi", queue=queue).negatives.hardest for queue in (64, 4096)] == [64, 128]
    assert [made("moco", batch_size=batch).encoder.rows for batch in (8, 128, 512)] == [2, 16, 64]
    for split, shuffled in ((1, False), (2, True)):
        alone = made("moco", split=split)
        assert (alone.target.shuffle, alone.encoder == MLP((24,))) == (shuffled, not shuffled)
    assert [made("simclr", layers=layers).heads.projector.hidden for layers in (1, 2, 3)] == [(), (24,), (24, 24)]
