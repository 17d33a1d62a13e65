"""The page of a study, its figures and its tables."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from counterpoint.errors import RunError
from counterpoint.report.axes import Axis
from counterpoint.report.drawings import draw_bars, draw_heat, draw_histogram, draw_points
from counterpoint.report.exhibits import Bars, Heat, Histogram, Points, Section, Series, Table
from counterpoint.report.study import write_study
from counterpoint.report.tables import columns, write_tables
from counterpoint.studies.study import Decision

from .made_study import bare, rich, sections
from .test_page import Page, parsed

COMMAND = "counterpoint study hyperseparability --source mnist --seeds 5 --out 'my studies/hyper'"
FACTS = {"data": "MNIST & co", "precision": "float32"}


def written(folder: Path, made=rich, **changed) -> Page:  # type: ignore[no-untyped-def]
    study, results, decisions = made(folder)
    write_tables(folder, study.sections(results))
    asked = {"command": COMMAND, "facts": FACTS} | changed
    return parsed(write_study(folder / "study.html", study, results, decisions, **asked))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return written(tmp_path_factory.mktemp("study"))


def test_its_parts_stand_in_order_and_are_linked(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    order = ["verdicts", "claim-mnist-below", "super-classes", "maps", "confusion", "relations", "how-it-was-run"]
    assert [i for i in page.ids if i in order] == order
    assert page.ids.index("how-it-was-run") < page.ids.index("do-it-again")
    assert "verdicts-2" in page.ids, "a section whose anchor is taken keeps a link of its own"
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert COMMAND in page.text
    assert "MNIST & co" in page.text


def test_no_address_leads_out(page: Page) -> None:
    beside = [a for a in page.addresses if not a.startswith(("#", "data:"))]
    assert sorted(beside) == sorted(
        f"tables/{name}.{kind}" for name in ("table-1", "super-classes") for kind in ("csv", "parquet")
    )


def test_a_table_that_does_not_lie_beside_the_page_is_not_linked(tmp_path: Path) -> None:
    study, results, decisions = rich(tmp_path)
    held = parsed(write_study(tmp_path / "s.html", study, results, decisions, command="x", facts={}))
    assert all(a.startswith(("#", "data:")) for a in held.addresses)


def test_what_was_written_is_shown_and_not_run(page: Page, tmp_path: Path) -> None:
    assert "<script>alert(1)</script> & keeps its lead" in page.text
    assert "tint with <jitter>" in page.text
    study, results, decisions = rich(tmp_path)
    text = write_study(tmp_path / "s.html", study, results, decisions, command="a & </code><q>", facts={"<q>": "<q>"})
    raw = text.read_text()
    assert not re.search(r"<(script>alert|jitter|q>)", raw)
    assert "a &amp; &lt;/code&gt;&lt;q&gt;" in raw


def test_each_claim_stands_with_its_verdict_figures_and_rule(page: Page) -> None:
    assert "2 ✓ held 1 ✗ not held 3 ? undecided" in page.text
    assert "96.4 % 94.1 to 98.7 % 5 seeds, spread 1.8" in page.text, "a share, in per cent"
    assert "0.969 0.966 to 0.972 3 seeds" in page.text, "a plain number"
    assert "Measured: Share of the 1,024 super-class errors" in page.text
    assert "Rule: Held where the lower end of the interval over seeds is above one half" in page.text
    assert "In all five seeds more than nine in ten" in page.text
    assert "Nothing was decided: its rule has not been applied." in page.text


def test_a_difference_of_shares_stands_in_points(page: Page) -> None:
    assert "−0.12 points −0.41 to 0.17 points" in page.text


def test_missing_cells_are_named_with_the_reason(page: Page) -> None:
    assert "3 of 20 cells failed or were not run" in page.text
    assert "the evaluator super_class failed: 3 classes have no test image contrastive · MNIST · seed 3" in page.text
    assert "the loss was no longer a number at step 412; try a smaller lr supervised" in page.text
    assert "It has not been run. supervised · EMNIST, 47 classes · seed 4" in page.text
    assert "20 runs, 17 finished" in page.text
    assert "trained, not evaluated in full" in page.text
    assert "cell-00-0f3a9c1e" in page.text


def test_nothing_to_show_is_no_failure(tmp_path: Path) -> None:
    held = written(tmp_path, bare)
    assert "This study decides no claim." in held.text
    assert "The study has no cell." in held.text
    assert held.text.count("No value to draw.") == 8
    assert "No row." in held.text
    assert "No image to show." in held.text
    assert not re.search(r"\b(nan|None|inf)\b", held.text)


def test_values_that_are_none_are_dashes(page: Page) -> None:
    assert not re.search(r"\b(nan|None|inf)\b", page.text)
    assert "EMNIST, 47 classes supervised – – – – – 0" in page.text


def test_a_page_replaces_the_one_before_and_says_when_it_cannot(tmp_path: Path) -> None:
    study, results, decisions = bare(tmp_path)
    target = tmp_path / "s.html"
    target.write_text("an earlier page")
    write_study(target, study, results, decisions, command="", facts={})
    assert "an earlier page" not in target.read_text()
    with pytest.raises(RunError, match="cannot be written"):
        write_study(tmp_path / "nowhere" / "s.html", study, results, decisions, command="", facts={})
    assert [path.name for path in tmp_path.iterdir()] == ["s.html"]


def test_twelve_maps_of_a_thousand_points_stay_small(tmp_path: Path) -> None:
    study, results, decisions = rich(tmp_path)
    path = write_study(tmp_path / "s.html", study, results, decisions, command="", facts={})
    assert path.stat().st_size < 900_000
    points = json.loads(parsed(path).data)
    named = [held["points"] for held in points.values() if "labels" in held]
    assert [sum(map(len, series)) for series in named] == [1000] * 12


# ---------------------------------------------------------------------------------------------------- tables


def test_tables_are_read_back_as_they_were(tmp_path: Path) -> None:
    paths = write_tables(tmp_path, sections())
    assert [path.name for path in paths] == [
        "table-1.csv", "table-1.parquet", "super-classes.csv", "super-classes.parquet",
    ]  # fmt: skip
    tables = {e.name: e for s in sections() for e in s.exhibits if isinstance(e, Table)}
    for name, table in tables.items():
        held = pq.read_table(tmp_path / "tables" / f"{name}.parquet")
        assert held.column_names == list(table.columns)
        for j, column in enumerate(table.columns):
            for value, kept in zip([row[j] for row in table.rows], held[column].to_pylist(), strict=True):
                same = math.isnan(kept) if isinstance(value, float) and math.isnan(value) else kept == value
                assert same, (name, column, value, kept)
        with (tmp_path / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        assert lines[0] == list(table.columns)
        assert len(lines) == len(table.rows) + 1
        assert lines[1] == ["" if value is None else str(value) for value in table.rows[0]]
    assert not [path for path in (tmp_path / "tables").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("names", [("a/b",), ("..",), ("",), ("same", "same")])
def test_a_name_that_is_no_file_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(RunError, match="named"):
        write_tables(tmp_path, [Section("a", "a", (), tuple(Table(name, "t", ("x",), ((1,),)) for name in names))])
    assert not list(tmp_path.iterdir())


def test_a_study_without_tables_leaves_no_folder(tmp_path: Path) -> None:
    assert write_tables(tmp_path, [Section("a", "a")]) == []
    assert not list(tmp_path.iterdir())


def test_columns_are_shown_with_equal_digits() -> None:
    table = Table(
        "t", "t", ("name", "error", "share", "loss", "steps", "tiny", "said", "odd"),
        (("a", 0.0231, 0.96, 3.14159, 12000, 1e-7, "93 %", True), ("b", 0.1 / 3, None, -0.5, -3, 2.0, "–", False)),
        percent=("error", "share"),
    )  # fmt: skip
    shown = {column.heading: column for column in columns(table)}
    mixed = Table("t", "t", ("share",), ((0.93,), (0.0231,), (0.097,), (0.0,)), percent=("share",))
    assert columns(mixed)[0].cells == ("93.0 %", "2.31 %", "9.7 %", "0.0 %")
    assert shown["error"].cells == ("2.31 %", "3.33 %")
    assert shown["share"].cells == ("96.0 %", "–")
    assert shown["loss"].cells == ("3.142", "−0.500")
    assert shown["steps"].cells == ("12,000", "−3")
    assert shown["tiny"].cells == ("1.0 · 10⁻⁷", "2.00")
    assert shown["odd"].cells == ("yes", "no")
    assert [name for name, column in shown.items() if column.numeric] == [
        "error", "share", "loss", "steps", "tiny", "said",
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- figures

UNIT = Axis("x", low=0.0, high=1.0)


def test_a_histogram_is_as_high_as_its_counts() -> None:
    drawing = draw_histogram(Histogram("h", "", (0.0, 0.5, 1.0), {"a": (2.0, 8.0)}, UNIT, ((0.25, "here"),)))
    assert drawing is not None
    floor = float(re.search(r'class="axis"[^>]*y1="([\d.]+)"', drawing.svg)[1])
    tops = [float(v) for v in re.findall(r"V([\d.]+)H", drawing.svg)]
    assert (floor - tops[1]) / (floor - tops[0]) == pytest.approx(4, abs=0.05)
    line = float(re.search(r'class="refer" x1="([\d.]+)"', drawing.svg)[1])
    left, middle = (float(re.search(pattern, drawing.svg)[1]) for pattern in (r"M([\d.]+) ", r"H([\d.]+)V"))
    assert line == pytest.approx((left + middle) / 2, abs=0.1)
    assert ">here</text>" in drawing.svg
    assert 'data-tip="0.500 to 1.00\n8"' in drawing.svg


def test_groups_of_a_histogram_share_a_box_or_stand_below_one_another() -> None:
    few = draw_histogram(Histogram("h", "", (0.0, 1.0), dict.fromkeys("ab", (1.0,)), UNIT))
    many = draw_histogram(Histogram("h", "", (0.0, 1.0), dict.fromkeys("abcd", (1.0,)), UNIT))
    assert few is not None
    assert many is not None
    assert [key.label for key in few.keys] == ["a", "b"]
    assert "stroke-dasharray" in few.keys[1].mark, "told apart without colour, too"
    assert many.keys == ()
    assert re.findall(r'class="panel-name"[^>]*>(\w)<', many.svg) == list("abcd")


def test_a_reference_label_that_does_not_fit_stands_in_the_legend() -> None:
    long = "the multi-class error " * 6
    drawing = draw_histogram(Histogram("h", "", (0.0, 1.0), {"a": (1.0,)}, UNIT, ((0.9, long),)))
    assert drawing is not None
    assert [key.label for key in drawing.keys] == [long]


def test_a_map_keeps_the_proportions_of_its_distances() -> None:
    series = (Series("a", (0.0, 10.0), (0.0, 0.0), ("p", "q")), Series("b", (0.0,), (2.0,)))
    drawing = draw_points(Points("m", "", series))
    assert drawing is not None
    (ax, ay), (bx, by), (cx, cy) = ((int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h0", drawing.svg))
    assert ay == by
    assert ax == cx
    assert (bx - ax) / (ay - cy) == pytest.approx(5, abs=0.05), "upwards is upwards, and both directions have one scale"
    assert drawing.tips["points"] == [["p", "q"], []]
    assert re.findall(r'class="map-name"[^>]*>(\w)<', drawing.svg) == ["a", "b"]


def test_a_scatter_tells_groups_by_shape_and_leaves_out_what_is_no_number() -> None:
    series = (Series("a", (0.2, math.nan), (0.5, 0.5)), Series("b", (0.4, 7.0), (0.5, 0.5)))
    drawing = draw_points(Points("s", "", series, UNIT, UNIT))
    assert drawing is not None
    paths = re.findall(r'data-series="\d" d="([^"]*)"', drawing.svg)
    assert [path.count("M") for path in paths] == [1, 1], "nan, and what lies beyond the axis"
    assert re.sub(r"M[\d. ]+", "", paths[0]) != re.sub(r"M[\d. ]+", "", paths[1])
    assert drawing.tips["points"] == [["a\n0.200, 0.500"], ["b\n0.400, 0.500"]]


def test_more_groups_than_named_colours_have_a_hue_each() -> None:
    series = tuple(Series(str(i), (float(i),), (float(i % 7),)) for i in range(47))
    drawing = draw_points(Points("m", "", series))
    assert drawing is not None
    assert len(set(re.findall(r"--c:(hsl[^;\"]+)", drawing.svg))) == 47


def test_a_bar_is_as_long_as_its_value_with_interval_and_published_value() -> None:
    bars = Bars(
        "b", "", ("one", "two"), {"g": (0.2, 0.8)}, UNIT, {"g": (0.1, None)}, {"g": (0.3, None)}, {"g": (0.4, None)}
    )
    drawing = draw_bars(bars)
    assert drawing is not None
    one, two = (float(w) for w in re.findall(r'class="bar"[^>]* width="([\d.]+)"', drawing.svg))
    assert two / one == pytest.approx(4, abs=0.02)
    x, low, high = (
        float(re.search(pattern, drawing.svg)[1])
        for pattern in (
            r'class="bar" x="([\d.]+)"',
            r'class="whisker" d="M([\d.]+)',
            r'class="whisker" d="M[\d. ]+H([\d.]+)',
        )
    )
    assert (low - x, high - x) == pytest.approx((one / 2, 1.5 * one), abs=0.3)
    published = float(re.search(r'class="published" x1="([\d.]+)"', drawing.svg)[1])
    assert published - x == pytest.approx(2 * one, abs=0.3)
    assert drawing.svg.count('class="whisker"') == drawing.svg.count('class="published"') == 1
    assert [key.label for key in drawing.keys] == ["published", "interval"]


def test_bars_of_names_that_each_have_one_group_stand_in_one_row() -> None:
    def drawn(groups: dict[str, tuple[float | None, ...]]) -> tuple[str, list[str]]:
        drawing = draw_bars(Bars("b", "", ("one", "two", "three"), groups, Axis("share", low=0.0)))
        assert drawing is not None
        return drawing.svg, [key.label for key in drawing.keys]

    apart, keys = drawn({"x": (0.5, None, None), "y": (None, 0.3, 0.2)})
    beside, _ = drawn({"x": (0.5, None, 0.1), "y": (None, 0.3, 0.2)})
    alone, _ = drawn({"x": (0.5, 0.3, 0.2)})
    assert keys == ["x", "y"]
    height = [float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1]) for svg in (apart, beside, alone)]
    assert height[0] == height[2] < height[1]
    assert apart.count('class="amount"') == 3


@pytest.mark.parametrize("axis", [Axis("y", low=0.5), Axis("y", log=True)])
def test_an_axis_without_zero_has_dots(axis: Axis) -> None:
    drawing = draw_bars(Bars("b", "", ("one",), {"g": (0.8,), "h": (0.7,)}, axis))
    assert drawing is not None
    assert 'class="bar"' not in drawing.svg
    assert drawing.svg.count('class="mark-shape"') == 2


def test_a_confusion_matrix_has_two_hues_and_other_matrices_one_for_each_sign() -> None:
    counts = Heat("m", "", ("a", "b"), ("a", "b"), ((9.0, 1.0), (0.0, 4.0)))
    confusion, alike = draw_heat(replace(counts, confusion=True)), draw_heat(counts)
    grid = draw_heat(Heat("m", "", ("a", "b"), ("c",), ((0.1,), (0.3,)), percent=True))
    signed = draw_heat(Heat("m", "", ("a", "b"), ("c",), ((-0.5,), (0.25,))))
    assert confusion is not None
    assert alike is not None
    assert grid is not None
    assert signed is not None

    def shades(svg: str) -> dict[str, list[float]]:
        found = re.findall(r'class="(cool|warm)" fill-opacity="([\d.]+)"', svg)
        return {hue: [float(v) for each, v in found if each == hue] for hue in ("cool", "warm")}

    assert shades(confusion.svg) == {"cool": [1.0], "warm": [0.4]}, "root of 1 / 10, upwards to a tenth"
    assert shades(alike.svg)["warm"] == []
    assert shades(grid.svg) == {"cool": [0.1, 1.0], "warm": []}
    assert shades(signed.svg) == {"cool": [0.5], "warm": [1.0]}
    assert re.findall(r"px\">([\d.]+)</text>", grid.svg) == ["10.0", "30.0"]
    assert confusion.tips["heat"] == [["9", "1"], ["0", "4"]]
    assert not confusion.large


def test_a_large_matrix_is_one_path_for_each_shade() -> None:
    names = tuple(str(i) for i in range(47))
    drawing = draw_heat(
        Heat("m", "", names, names, tuple(tuple(float((i * j) % 7) for j in range(47)) for i in range(47)))
    )
    assert drawing is not None
    assert drawing.large
    assert drawing.svg.count("<path") <= 20
    assert len(drawing.svg) < 120_000


def test_every_figure_is_said_in_words(page: Page, tmp_path: Path) -> None:
    raw = (written(tmp_path), (tmp_path / "study.html").read_text())[1]
    figures = re.findall(r'<svg class="chart[^>]*>', raw)
    assert len(figures) == 32
    assert all(re.search(r'role="img" aria-label="[^"]{12,}"', figure) for figure in figures)
    assert "multi-class error 2.3 % at 2.3 %" in raw


def test_a_decision_with_less_than_all_figures(tmp_path: Path) -> None:
    study, results, _ = rich(tmp_path)
    decisions = {
        "mnist-below": Decision("held", 0.9, seeds=1, unit="share"),
        "elastic": Decision("not held", float("nan")),
    }
    held = parsed(write_study(tmp_path / "s.html", study, results, decisions, command="", facts={}))
    assert "90.0 % 1 seed " in held.text
    assert not re.search(r"\bnan\b", held.text)
