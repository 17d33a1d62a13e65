"""Charts, sprite sheets and the map, each by itself."""

import base64
import io
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from PIL import Image

from counterpoint.report import sprites
from counterpoint.report.atlas import chart_out, neighbours
from counterpoint.report.charts import Axis, Chart, Line, draw, thin
from counterpoint.report.classes import confused, matrix
from counterpoint.report.numbers import in_points, per_cent
from counterpoint.report.run import read
from counterpoint.report.sprites import sheet


def chart(*lines: Line, x: Axis | None = None, y: Axis | None = None) -> Chart:
    return Chart("a < b", "", lines, x or Axis("epochs"), y or Axis("loss"))


def values(svg: str, label: str, axis: str) -> list[float]:
    """Back from pixels to data, as the script of the page does."""
    root = ET.fromstring(svg)
    left, top, right, bottom = map(float, root.attrib["data-box"].split(","))
    kind, low, high, _ = root.attrib[f"data-{axis}"].split(",")
    ends = [math.log10(float(v)) if kind == "log" else float(v) for v in (low, high)]
    start, stop = (left, right) if axis == "x" else (bottom, top)
    found = []
    for line in root.iter("polyline"):
        if line.attrib.get("data-label") == label:
            for pair in line.attrib["points"].split():
                at = float(pair.split(",")[axis == "y"])
                v = ends[0] + (at - start) / (stop - start) * (ends[1] - ends[0])
                found.append(10**v if kind == "log" else v)
    return found


@pytest.mark.parametrize("log", [False, True])
def test_the_values_under_the_pointer_are_those_drawn(log: bool) -> None:
    x, y = (1.0, 10.0, 50.0, 100.0), (8.0, 2.0, 1.0, 0.125)
    svg = draw(chart(Line("loss", x, y, "s-learned"), x=Axis("step", log=log), y=Axis("loss", log=log)))
    assert values(svg, "loss", "x") == pytest.approx(x, rel=2e-3)
    assert values(svg, "loss", "y") == pytest.approx(y, rel=2e-2)


def test_what_is_not_finite_interrupts_a_curve() -> None:
    svg = draw(chart(Line("loss", (0.0, 1.0, 2.0, 3.0, 4.0), (1.0, 2.0, math.nan, 2.0, math.inf), "s-learned")))
    assert "nan" not in svg
    assert "inf" not in svg
    assert svg.count("<polyline") == 2
    assert draw(chart(Line("loss", (0.0,), (math.nan,), "s-learned"))) == ""


@pytest.mark.parametrize("y", [(3.0, 3.0), (0.0, 0.0), (1e-9, 2e-9), (-1e7, 1e9)])
def test_any_range_can_be_drawn(y: tuple[float, float]) -> None:
    root = ET.fromstring(draw(chart(Line("v", (0.0, 1.0), y, "s-0"))))
    assert 2 <= len([n for n in root.iter("line") if n.attrib["class"] == "grid"]) <= 7


@pytest.mark.parametrize("y", [(1.0, 1.0), (1.0, 1.0 + 1e-9), (0.98765, 0.987651), (3e6, 3.0001e6)])
def test_no_two_ticks_say_the_same(y: tuple[float, float]) -> None:
    for x in ((0.0, 1.0), (5.0, 5.0)):
        root = ET.fromstring(draw(chart(Line("v", x, y, "s-0"))))
        for anchor in ("end", "middle"):
            ticks = [
                n.text for n in root.iter("text") if n.attrib["class"] == "tick" and n.attrib["text-anchor"] == anchor
            ]
            assert len(set(ticks)) == len(ticks) > 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_stays_between_none_and_all(value: float) -> None:
    for axis in (Axis("share", percent=True), Axis("share", low=0.0, percent=True)):
        root = ET.fromstring(draw(chart(Line("v", (0.0, 1.0), (value, value), "s-0"), y=axis)))
        low, high = map(float, root.attrib["data-y"].split(",")[1:3])
        assert 0.0 <= low < high <= 1.0


def test_names_are_escaped_in_a_chart() -> None:
    svg = draw(chart(Line('"<script>', (0.0, 1.0), (0.0, 1.0), "s-0")))
    assert ET.fromstring(svg).find("polyline") is not None
    assert "<script" not in svg


def test_a_thinned_curve_keeps_its_ends() -> None:
    x, y = thin(range(10_000), range(10_000), most=100)
    assert (x[0], x[-1], len(x)) == (0.0, 9999.0, 100)
    assert x == y


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_small_images_keep_every_pixel_and_their_place(channels: int) -> None:
    images = torch.randint(0, 256, (7, channels, 6, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = sheet(images)
    assert (made.columns, made.rows, made.count, made.pixelated) == (3, 3, 7, True)
    picture = torch.tensor(list(opened(made.uri).convert("RGB").tobytes()), dtype=torch.uint8).reshape(18, 27, 3)
    for i in range(7):
        row, column = divmod(i, 3)
        tile = picture[row * 6 : row * 6 + 6, column * 9 : column * 9 + 9].permute(2, 0, 1)
        shown = images[i, :3] if channels > 1 else images[i].expand(3, -1, -1)
        assert torch.equal(tile, shown)


def test_large_images_are_scaled_down_and_keep_their_shape() -> None:
    made = sheet(torch.full((5, 3, 60, 120), 77, dtype=torch.uint8))
    assert (made.width, made.height, made.pixelated) == (48, 24, False)
    assert opened(made.uri).convert("RGB").getpixel((3, 3)) == (77, 77, 77)


def test_a_sheet_stays_within_its_budget() -> None:
    """Three thousand tiles have 3.6 MB; a tenth of both. Nothing is harder to compress than noise."""
    assert sprites.BUDGET * 4 / 3 < 6_000_000, "the page has more to hold than this"
    budget = sprites.BUDGET // 10
    noise = torch.randint(0, 256, (300, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert len(sheet(noise, budget=budget).uri) <= budget * 4 / 3 + 50


def test_neighbours_are_those_of_plain_loops() -> None:
    h = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    index, cosine = neighbours(h, 3)
    for i in range(30):
        pairs = sorted(((float(torch.cosine_similarity(h[i], h[j], 0)), j) for j in range(30) if j != i), reverse=True)[
            :3
        ]
        assert index[i].tolist() == [j for _, j in pairs]
        assert cosine[i].tolist() == pytest.approx([c for c, _ in pairs], abs=1e-6)
    assert neighbours(h[:2])[0].tolist() == [[1], [0]]


def test_the_map_falls_back_on_principal_components(tmp_path: Path, make_run) -> None:
    make_run(tmp_path, scores=False)
    atlas = chart_out(read(tmp_path))
    assert atlas is not None
    assert atlas.method == "PCA"
    assert atlas.label is not None
    assert int(atlas.x.max()) == 65_535
    assert 0 < int(atlas.y.max()) < 65_535, "both axes share one unit"


def test_confusions_count_both_ways(tmp_path: Path, make_run) -> None:
    made = make_run(tmp_path)
    counts = made["scores"]["details"]["learned"]["confusion"]
    run = read(tmp_path)
    pairs = confused(run)
    assert pairs[0].forward + pairs[0].backward == max(counts[i][j] + counts[j][i] for i in range(10) for j in range(i))
    labels = made["scores"]["details"]["learned"]["predicted"]["label"]
    for pair in pairs:
        assert pair.forward == counts[pair.first][pair.second] >= pair.backward == counts[pair.second][pair.first]
        assert all(labels[s] == pair.first for s in pair.examples[0])
        assert all(labels[s] == pair.second for s in pair.examples[1])
    assert [[cell.count for cell in row] for row in matrix(run)] == counts


def test_shares_and_their_differences_as_a_sentence_says_them():
    assert [per_cent(v) for v in (0.9719, 0.1, 0.0163, 0.0, -0.5)] == [
        "97.2 %",
        "10.0 %",
        "1.63 %",
        "0.00 %",
        "−50.0 %",
    ]
    assert [in_points(v) for v in (0.117, -0.0034)] == ["11.7 points", "−0.34 points"]
