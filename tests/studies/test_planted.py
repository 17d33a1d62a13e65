import pytest
import torch

from counterpoint.errors import SourceError
from counterpoint.sources import Digits
from counterpoint.studies.planted import Planted, cues
from counterpoint.studies.tinted import Tinted


def test_a_cue_agrees_as_often_as_it_should_and_else_names_any_other_class() -> None:
    labels = torch.arange(20_000) % 10
    for share in (0.0, 0.5, 0.95, 1.0):
        found = cues(labels, 10, share)
        assert float((found == labels).double().mean()) == pytest.approx(share, abs=0.012)
    other = cues(labels, 10, 0.0)
    counts = torch.bincount((other - labels) % 10, minlength=10)
    assert int(counts[0]) == 0
    assert counts[1:].min() > 1900
    free = cues(labels, 10, None)
    assert float((free == labels).double().mean()) == pytest.approx(0.1, abs=0.01)
    assert not torch.equal(free, cues(labels, 10, None, side="test"))
    assert not torch.equal(free, cues(labels, 10, None, seed=1))


def test_the_cue_is_where_it_should_be_and_nowhere_else() -> None:
    plain = Digits(16).load().train.images.expand(-1, 3, -1, -1)
    patch = Planted(Digits(16), "patch", 0.9, strength=1.0).load().train.images
    assert torch.equal(patch[:, :, 4:], plain[:, :, 4:])
    assert torch.equal(patch[:, :, :4, 4:], plain[:, :, :4, 4:])
    corner = patch[:, :, :4, :4].flatten(2)
    assert bool((corner == corner[:, :, :1]).all())
    assert len(corner[:, :, 0].unique(dim=0)) == 10, "a colour for each class"
    cast = Planted(Digits(16), "cast", 0.9, strength=0.5).load().train.images
    expected = (plain.float() + cast[:, :, :1, :1].float() * 2 - plain[:, :, :1, :1].float()) / 2
    assert float((cast - expected).abs().max()) <= 2
    none = Planted(Digits(16), "cast", 0.9, strength=0.0).load().train.images
    assert torch.equal(none, plain)


def test_the_cue_is_the_same_that_is_told_and_tests_are_tied_to_nothing() -> None:
    source = Planted(Digits(), "patch", 0.9, strength=1.0)
    data = source.load()
    for split, side, share in ((data.train, "train", 0.9), (data.test, "test", 0.1)):
        told = source.of(split, 10, side)  # pyright: ignore[reportArgumentType]
        colour = split.images[:, :, 0, 0]
        for value in range(10):
            assert len(colour[told == value].unique(dim=0)) == 1
        assert split.labels is not None
        assert float((told == split.labels).double().mean()) == pytest.approx(share, abs=0.06)


def test_one_value_takes_as_much_contrast_and_tells_nothing() -> None:
    one, many = (Planted(Digits(16), "cast", values=n, strength=0.6).load().train.images.float() for n in (1, 1000))
    assert len((one - one[:1])[:, :, 0, 0].unique(dim=0)) == 1, "the corner of a digit is dark: what is left is colour"
    assert len((many - many[:1])[:, :, 0, 0].unique(dim=0)) > 500
    spread = [(part.flatten(2).amax(2) - part.flatten(2).amin(2)).mean() for part in (one, many)]
    assert float(spread[0]) == pytest.approx(float(spread[1]), rel=0.02)


def test_what_cannot_be_painted() -> None:
    for make, match in (
        (lambda: Planted(Digits(), agreement=1.2), "share in"),
        (lambda: Planted(Digits(), strength=-1), "share in"),
        (lambda: Planted(Digits(), values=0), "one value"),
        (lambda: Planted(Digits(), agreement=0.5, values=4).load(), "10 classes and the cue 4 values"),
    ):
        with pytest.raises(SourceError, match=match):
            make()
    assert Planted(Tinted(Digits()), agreement=0.5).load().train.images.shape[1] == 3
