"""Measures of glyphs that are drawn here, so that the answers are known."""

import math
import sys
from itertools import pairwise

import pytest
import torch

from counterpoint.errors import MissingExtra
from counterpoint.random import Stream
from counterpoint.studies.attributes import ATTRIBUTES, HUE, hue_of, measure
from counterpoint.views import Elastic

ROUND = torch.linspace(0, 2 * math.pi, 40).tolist()
RING = [(14 + 7 * math.cos(a), 14 + 7 * math.sin(a)) for a in ROUND]
EIGHT = [(14 + 6 * math.sin(2 * a), 14 - 9 * math.cos(a)) for a in ROUND]


def drawn(*lines, thickness=3.0, side=28):
    """White polylines of points (x, y) in pixels, y down, with soft edges."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    nearest = torch.full((side, side), torch.inf)
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(line):
            dx, dy = x1 - x0, y1 - y0
            t = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
            nearest = torch.minimum(nearest, torch.hypot(x - x0 - t * dx, y - y0 - t * dy))
    return (0.5 + thickness / 2 - nearest).clamp(0, 1)[None]


def moved(points, by=(0.0, 0.0), shrink=1.0):
    return [(14 + shrink * (x - 14) + by[0], 14 + shrink * (y - 14) + by[1]) for x, y in points]


GLYPHS = {
    "bar": drawn([(14, 5), (14, 23)]),
    "dash": drawn([(5, 14), (23, 14)]),
    "ell": drawn([(8, 5), (8, 23), (20, 23)]),
    "tee": drawn([(6, 6), (22, 6)], [(14, 6), (14, 23)]),
    "plus": drawn([(14, 5), (14, 23)], [(5, 14), (23, 14)]),
    "ring": drawn(RING),
    "six": drawn(moved(RING, (0, 4), 0.7), [(9, 18), (11, 8), (15, 4)]),
    "nine": drawn(moved(RING, (0, -4), 0.7), [(19, 10), (17, 20), (13, 24)]),
    "eight": drawn(EIGHT, thickness=2.0),
}


def of(*glyphs):
    return measure(torch.stack(glyphs))


def value(name, glyph):
    return float(of(glyph)[name])


@pytest.mark.parametrize(
    ("glyph", "holes", "ends", "crossings", "above", "below"),
    [
        ("bar", 0, 2, 0, 0, 0),
        ("ell", 0, 2, 0, 0, 0),
        ("tee", 0, 3, 1, 0, 0),
        ("plus", 0, 4, 1, 0, 0),
        ("ring", 1, 0, 0, 0, 0),
        ("six", 1, 1, 1, 0, 1),
        ("nine", 1, 1, 1, 1, 0),
        ("eight", 2, 0, 1, 1, 1),
    ],
)
def test_what_can_be_counted(glyph, holes, ends, crossings, above, below):
    found = of(GLYPHS[glyph])
    names = ("holes", "stroke ends", "crossings", "loop above", "loop below")
    assert [int(found[name]) for name in names] == [holes, ends, crossings, above, below]


@pytest.mark.parametrize("degrees", [-30.0, -10.0, 0.0, 20.0, 40.0])
def test_slant_of_a_slanted_line(degrees):
    lean = 9 * math.tan(math.radians(degrees))
    line = drawn([(14 + lean, 5), (14 - lean, 23)], thickness=2.0)
    assert value("slant", line) == pytest.approx(degrees, abs=1.0)


@pytest.mark.parametrize("thickness", [2.0, 3.0, 4.0, 6.0])
def test_thickness_of_a_stroke(thickness):
    for line in ([(14, 5), (14, 23)], [(6, 7), (21, 22)]):
        assert 28 * value("thickness", drawn(line, thickness=thickness)) == pytest.approx(thickness, abs=0.6)
    assert 28 * value("thickness", drawn(RING, thickness=thickness)) == pytest.approx(thickness, rel=0.12)


def test_lengths_of_skeletons():
    diagonal = drawn([(5, 5), (23, 23)], thickness=2.0)
    assert 28 * value("stroke length", diagonal) == pytest.approx(18 * math.sqrt(2), rel=0.08)
    assert 28 * value("stroke length", GLYPHS["ring"]) == pytest.approx(2 * math.pi * 7, rel=0.08)
    assert value("winding", diagonal) == pytest.approx(1.0, abs=0.12)
    assert value("winding", GLYPHS["ring"]) > 1.6


def test_boxes_and_places():
    square = torch.zeros(1, 28, 28)
    square[:, 4:12, 6:22] = 1
    found = of(square)
    assert 28 * float(found["width"]) == pytest.approx(16, abs=0.6)
    assert 28 * float(found["height"]) == pytest.approx(8, abs=0.6)
    assert float(found["aspect"]) == pytest.approx(2, abs=0.1)
    assert 28 * float(found["place across"]) == pytest.approx(0, abs=1e-9)
    assert 28 * float(found["place down"]) == pytest.approx(-6, abs=1e-9)
    assert float(found["ink"]) == pytest.approx(8 * 16 / 784)
    assert float(found["top share"]) == pytest.approx(0.5)
    # Variances of uniform numbers over 16 and over 8 pixels.
    assert float(found["elongation"]) == pytest.approx(1 - math.sqrt((64 - 1) / (256 - 1)), abs=1e-6)


def test_bars():
    assert value("vertical bar", GLYPHS["bar"]) > 0.95
    assert value("horizontal bar", GLYPHS["bar"]) < 0.2
    assert value("horizontal bar", GLYPHS["dash"]) > 0.95
    assert value("horizontal bar", GLYPHS["tee"]) > 0.8
    # A run ends where the ink does: the ring's opposite sides are two runs.
    assert value("horizontal bar", GLYPHS["ring"]) < 0.75


def test_symmetries():
    assert value("left-right symmetry", GLYPHS["tee"]) == pytest.approx(1, abs=0.01)
    assert value("up-down symmetry", GLYPHS["tee"]) < 0.7
    for name in ("left-right", "up-down", "half-turn"):
        assert value(f"{name} symmetry", GLYPHS["ring"]) == pytest.approx(1, abs=0.01)
    diagonal = drawn([(6, 22), (22, 6)])
    assert value("half-turn symmetry", diagonal) == pytest.approx(1, abs=0.01)
    assert value("left-right symmetry", diagonal) < 0.4
    assert value("top share", GLYPHS["six"]) < 0.45 < 0.55 < value("top share", GLYPHS["nine"])
    assert value("enclosed", drawn(RING, thickness=1.5)) > value("enclosed", drawn(RING, thickness=4.0)) > 0.1


def test_spurs_are_no_strokes():
    """A bump on the side of a bar has no end of its own; a branch has."""
    bump = drawn([(14, 5), (14, 23)], [(14, 14), (16, 14)], thickness=3)
    branch = drawn([(14, 5), (14, 23)], [(14, 14), (22, 14)], thickness=3)
    assert value("stroke ends", bump) == 2
    assert value("stroke ends", branch) == 3


def test_an_image_is_measured_alone():
    """Its neighbours on the sheet, and the number of images, have no say."""
    order = torch.tensor([5, 3, 8, 0, 1, 2, 4, 7, 6])
    glyphs = torch.stack(list(GLYPHS.values()))
    together, shuffled = measure(glyphs), measure(glyphs[order])
    for name, found in together.items():
        torch.testing.assert_close(found[order], shuffled[name], atol=1e-12, rtol=0)
        alone = torch.cat([measure(glyph[None])[name] for glyph in glyphs])
        torch.testing.assert_close(alone, found, atol=1e-12, rtol=0)


def test_blocks_change_nothing(monkeypatch):
    from counterpoint.studies import attributes

    glyphs = torch.stack(list(GLYPHS.values()))
    whole = measure(glyphs)
    monkeypatch.setattr(attributes, "BLOCK", 4)
    for name, found in measure(glyphs).items():
        torch.testing.assert_close(found, whole[name], atol=1e-12, rtol=0)


def test_every_attribute_has_a_name_a_sentence_and_its_kind():
    found = of(*GLYPHS.values())
    assert list(found) == [attribute.name for attribute in ATTRIBUTES]
    assert len(found) >= 12
    for attribute in ATTRIBUTES:
        values = found[attribute.name]
        assert values.shape == (len(GLYPHS), 1)
        assert values.isfinite().all()
        assert values.unique().numel() > 1
        assert attribute.said.endswith(".")
        if attribute.kind != "real":
            assert torch.equal(values, values.round())
        if attribute.kind == "binary":
            assert set(values[:, 0].tolist()) == {0.0, 1.0}


def test_bytes_and_floats_measure_alike():
    glyphs = (torch.stack(list(GLYPHS.values())) * 255).round()
    whole, floats = measure(glyphs.to(torch.uint8)), measure(glyphs / 255)
    for name, found in whole.items():
        torch.testing.assert_close(found, floats[name], atol=1e-6, rtol=0)


def test_nothing_to_see_is_no_error():
    for images in (torch.zeros(2, 1, 28, 28), torch.zeros(2, 3, 9, 7, dtype=torch.uint8)):
        for found in measure(images).values():
            assert found.abs().max() == 0
    assert measure(torch.zeros(0, 1, 28, 28))["holes"].shape == (0, 1)


def test_a_dot_is_measured():
    """One pixel has a skeleton of its own, whatever is pruned."""
    dot = torch.zeros(1, 28, 28)
    dot[:, 13:15, 13:15] = 1
    found = of(dot)
    assert 28 * float(found["width"]) == pytest.approx(2, abs=0.6)
    assert float(found["thickness"]) > 0


def test_another_size_measures_alike():
    """Lengths are shares of the side."""
    large = drawn([(16, 10), (16, 46), (40, 46)], thickness=6.0, side=56)
    small = GLYPHS["ell"]
    for name in ("width", "height", "slant", "thickness", "stroke length", "horizontal bar", "ink"):
        assert value(name, large) == pytest.approx(value(name, small), rel=0.1), name


def test_hue_is_an_angle_of_the_circle():
    colours = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0.5], [0.5, 0.5, 0.5]])
    glyph = GLYPHS["ell"]
    found = hue_of(glyph[None] * colours[:, :, None, None])
    degrees = torch.rad2deg(torch.atan2(found[:, 0], found[:, 1])) % 360
    torch.testing.assert_close(degrees[:5], torch.tensor([0.0, 60, 120, 240, 330]).double(), atol=1e-4, rtol=0)
    assert found[5].abs().max() == 0
    measured = measure(glyph[None] * colours[:, :, None, None])
    assert HUE.name in measured
    assert measured["holes"].abs().max() == 0


def test_shape_is_measured_under_any_tint():
    """The largest channel is taken, so that a tint of full value changes nothing but the hue."""
    glyph = GLYPHS["six"]
    plain, tinted = of(glyph), of(glyph * torch.tensor([1.0, 0.2, 0.6])[:, None, None])
    for attribute in ATTRIBUTES:
        torch.testing.assert_close(plain[attribute.name], tinted[attribute.name], atol=1e-6, rtol=0)


def test_distorted_glyphs_keep_their_holes_but_not_their_slant():
    """What the study is about, on a small scale."""
    glyphs = torch.stack([GLYPHS["six"], GLYPHS["ell"], GLYPHS["eight"], GLYPHS["plus"]]).repeat(20, 1, 1, 1)
    elastic = Elastic()
    before, after = measure(glyphs), measure(elastic.apply(glyphs, elastic.draw(glyphs, Stream(0))))
    assert (before["holes"] == after["holes"]).double().mean() > 0.85
    assert (before["slant"] - after["slant"]).abs().mean() > 2


def test_a_missing_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(MissingExtra, match=r"'scikit-image'.*counterpoint\[studies\]"):
        of(GLYPHS["bar"])
