"""The page in headless Chromium: silent, self-contained, and it does what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoint.report import gather_runs, write, write_comparison

from .variants import COLLAPSE, changed, variant, with_doctor

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, make_run) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    made = make_run(root / "full")
    plain = make_run(root / "unlabelled", labels=False)
    make_run(root / "curves", scores=False, embeddings=False)
    with_doctor(variant(root / "full", root / "ill", wrong=18, temperature=0.07), COLLAPSE)
    make_run(root / "many")
    changed(root / "many", "scores.json", hundred_classes)
    together = gather_runs([root / "full", root / "ill", variant(root / "full", root / "like", wrong=2)])
    mixed = gather_runs([root / "full", root / "unlabelled", root / "curves"])
    return {
        "full": write(root / "full", images=made["images"], views=made["views"]),
        "ill": write(root / "ill", images=made["images"], views=made["views"]),
        "many": write(root / "many", images=made["images"], views=made["views"]),
        "compare": write_comparison(together, root / "compare.html", images={0: made["images"]}),
        "mixed": write_comparison(mixed, root / "mixed.html", images={0: made["images"]}),
        "unlabelled": write(root / "unlabelled", images=plain["images"], views=None),
        "curves": write(root / "curves", images=None, views=None),
    }


def hundred_classes(scores: dict[str, Any]) -> None:
    """Names of a hundred classes, and their matrix: 7 of 10 right, 3 taken for the next."""
    n = 100
    scores["classes"] = [f"a class with a long name {i}" for i in range(n)]
    scores["details"]["learned"]["confusion"] = [
        [7 if j == i else 3 if j == (i + 1) % n else 0 for j in range(n)] for i in range(n)
    ]


class Opened:
    """A page, with everything it said and everything it asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light", **options: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def at(self, i: int, canvas: str = "atlas") -> tuple[float, float]:
        """Where point i of a map is on the screen."""
        found = self.page.evaluate(
            """([i, id]) => {
                const canvas = document.getElementById(id);
                canvas.scrollIntoView({ block: "center" });
                const box = canvas.getBoundingClientRect();
                const p = canvas.where(i);
                return [box.x + p.x, box.y + p.y];
            }""",
            [i, canvas],
        )
        return found[0], found[1]

    def ink(self, canvas: str = "atlas") -> str:
        """A fingerprint of what a map shows."""
        self.page.wait_for_timeout(60)
        return self.page.evaluate("id => document.getElementById(id).toDataURL()", canvas)


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    opened: list[Opened] = []

    def one(name: str, **options: Any) -> Opened:
        opened.append(Opened(browser, pages[name], **options))
        return opened[-1]

    yield one
    for each in opened:
        each.context.close()
        assert each.said == [], f"the console says {each.said}"
        asked = [url for url in each.asked if not url.startswith(("data:", "file:"))]
        assert asked == []
        assert len([url for url in each.asked if url.startswith("file:")]) == 1, each.asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["full", "ill", "many", "unlabelled", "curves", "compare", "mixed"])
def test_nothing_overflows(show: Any, name: str, width: int, scheme: str) -> None:
    page = show(name, width=width, scheme=scheme).page
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    out = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg, .sr, .tip, fieldset"))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 90))"""
    )
    assert out == []


@pytest.mark.parametrize("name", ["compare", "mixed"])
def test_on_a_narrow_screen_no_table_of_runs_is_cut(show: Any, name: str) -> None:
    page = show(name, width=390).page
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    boxes = page.evaluate(
        "[...document.querySelectorAll('.scroll')].map(e => [e.scrollWidth, e.clientWidth, e.innerText.slice(0, 40)])"
    )
    assert boxes
    assert [box for box in boxes if box[0] > box[1] + 1] == []
    named = page.evaluate("getComputedStyle(document.querySelector('.all-scores td'), '::before').content")
    assert named == '"full"', "each number says whose it is"


def test_both_colour_schemes(show: Any) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = show("full", scheme=scheme).page
        colours[scheme] = page.evaluate(
            "['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k].match(/\\d+/g).map(Number))"
        )
    assert sum(colours["light"][0]) < 200 < 600 < sum(colours["light"][1])
    assert sum(colours["dark"][1]) < 200 < 600 < sum(colours["dark"][0])


def test_hover_shows_the_image_of_that_point(show: Any) -> None:
    opened = show("full")
    tip = opened.page.locator(".tip")
    assert not tip.is_visible()
    for i in (7, 200):
        opened.page.mouse.move(*opened.at(i))
        tip.locator(".tile").wait_for()
        style = tip.locator(".tile").evaluate(
            "e => [getComputedStyle(e).backgroundImage, e.style.getPropertyValue('--c')]"
        )
        assert style[0].startswith('url("data:image/')
        near = opened.page.evaluate("document.querySelector('.tip span:last-child').textContent")
        at = opened.page.evaluate("i => { const p = document.getElementById('atlas').where(i); return [p.x, p.y]; }", i)
        shown = int(near.rsplit(" ", 1)[1])
        place = opened.page.evaluate(
            "i => { const p = document.getElementById('atlas').where(i); return [p.x, p.y]; }", shown
        )
        assert abs(place[0] - at[0]) + abs(place[1] - at[1]) < 2, "another point than the one under the pointer"
    opened.page.mouse.move(5, 5)
    assert not tip.is_visible()


def test_click_shows_the_neighbours_and_a_second_one_puts_them_away(show: Any) -> None:
    opened = show("full")
    page = opened.page
    before = opened.ink()
    page.mouse.click(*opened.at(7))
    page.locator(".panel .near button").nth(7).wait_for()
    chosen = int(page.locator(".panel .chosen p").last.inner_text().rsplit(" ", 1)[1])
    data = page.evaluate("JSON.parse(document.getElementById('data-json').textContent).map")
    titles = [b.get_attribute("title") for b in page.locator(".panel .near button").all()]
    assert [int(t.split(",")[0].rsplit(" ", 1)[1]) for t in titles] == data["near"][chosen]
    page.mouse.move(5, 5)
    assert opened.ink() != before
    page.locator(".panel .near button").first.click()
    assert int(page.locator(".panel .chosen p").last.inner_text().rsplit(" ", 1)[1]) == data["near"][chosen][0]
    page.locator("#atlas").press("Escape")
    assert page.locator(".panel .hint").is_visible()
    page.mouse.move(5, 5)
    assert opened.ink() == before


def test_colouring_by_cluster_redraws_map_and_legend(show: Any) -> None:
    opened = show("full")
    page = opened.page
    before = opened.ink()
    assert page.locator(".legend li").count() == 10
    page.locator("text=cluster").first.click()
    assert page.locator(".legend li").count() == 2
    assert opened.ink() != before
    page.locator("input[value=label] + span").click()
    assert opened.ink() == before
    page.locator(".legend button").nth(3).click()
    assert opened.ink() != before
    page.locator(".legend button").nth(3).click()
    assert opened.ink() == before


def test_images_can_stand_on_the_map(show: Any) -> None:
    opened = show("full")
    before = opened.ink()
    opened.page.locator("input[value=images] + span").click()
    assert opened.ink() != before
    opened.page.wait_for_timeout(60)
    rim = opened.page.evaluate(
        """() => {
            const canvas = document.getElementById("atlas");
            const { width: w, height: h } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, w, h);
            const inked = (x, y) => data[4 * (y * w + x) + 3] > 0;
            for (let x = 0; x < w; x++) if (inked(x, 0) || inked(x, h - 1)) return true;
            for (let y = 0; y < h; y++) if (inked(0, y) || inked(w - 1, y)) return true;
            return false;
        }"""
    )
    assert not rim, "no image is cut at the edge"


def test_wheel_drag_keys_and_buttons_move_the_map(show: Any) -> None:
    opened = show("full")
    page = opened.page

    def span() -> float:
        return page.evaluate(
            """() => {
                const w = document.getElementById("atlas").where;
                return Math.hypot(w(0).x - w(5).x, w(0).y - w(5).y);
            }"""
        )

    x, y = opened.at(7)
    page.wait_for_timeout(320)  # a wheel that was just scrolling the page goes on scrolling it
    whole = span()
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(60)
    assert span() > whole * 1.5
    assert opened.at(7) == pytest.approx((x, y), abs=2), "the point under the pointer stays there"
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=4)
    page.mouse.up()
    assert opened.at(7) == pytest.approx((x + 30, y + 20), abs=2)
    assert page.locator(".panel .hint").is_visible(), "a drag is no click"
    page.locator("text=whole map").click()
    assert span() == pytest.approx(whole)
    page.locator("#atlas").press("+")
    assert span() > whole * 1.3


def test_touch_chooses_a_point(show: Any) -> None:
    opened = show("full", width=390, has_touch=True, is_mobile=True)
    opened.page.touchscreen.tap(*opened.at(7))
    opened.page.locator(".panel .near button").nth(7).wait_for()


def test_the_matrix_and_the_curves_tell_their_values(show: Any) -> None:
    page = show("full").page
    page.locator("table.matrix tbody tr").nth(3).locator("td").nth(3).hover()
    assert page.locator("#cell").inner_text().startswith("3 recognised: ")
    chart = page.locator("#training svg.chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2)
    told = page.locator("#training .readout").first.inner_text()
    assert "epochs 60" in told
    assert "3.9" in told or "3.8" in told


def test_neighbours_are_told_with_their_distance_in_the_embedding(show: Any) -> None:
    opened = show("full")
    page = opened.page
    page.mouse.click(*opened.at(7))
    page.locator(".panel .near button").nth(7).wait_for()
    chosen = int(page.locator(".panel .chosen p").last.inner_text().rsplit(" ", 1)[1])
    cosine = page.evaluate("JSON.parse(document.getElementById('data-json').textContent).map.cosine")[chosen]
    told = [float(t) for t in page.locator(".panel .near .far").all_inner_texts()]
    assert told == pytest.approx([1 - c / 1000 for c in cosine], abs=0.0051)
    assert told == sorted(told)
    assert page.locator(".panel .near .tile").count() == 8
    assert "cosine distance" in page.locator(".panel .unit").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_large_matrix_is_drawn_and_tells_its_values(show: Any, scheme: str) -> None:
    page = show("many", scheme=scheme).page
    heat = page.locator("#heat")
    heat.scroll_into_view_if_needed()
    box = heat.bounding_box()
    for row, column, said in ((3, 3, "7 of 10 (70.0 %)"), (3, 4, "3 of 10 (30.0 %)"), (3, 9, "0 of 10 (0.0 %)")):
        page.mouse.move(box["x"] + (column + 0.5) / 100 * box["width"], box["y"] + (row + 0.5) / 100 * box["height"])
        told = page.locator("#cell").inner_text()
        what = "recognised" if row == column else f"taken for a class with a long name {column}"
        assert told == f"a class with a long name {row} {what}: {said}"
    shades = page.evaluate(
        """() => {
            const heat = document.getElementById("heat"), edge = heat.width / 100;
            const row = heat.getContext("2d").getImageData(0, 3.5 * edge, heat.width, 1).data;
            return [3, 4, 9].map(j => row.slice(4 * Math.floor((j + 0.5) * edge)).slice(0, 4).join());
        }"""
    )
    assert len(set(shades)) == 3


def test_pointing_at_an_image_marks_it_on_the_other_maps(show: Any) -> None:
    opened = show("compare")
    page = opened.page
    before = [opened.ink(f"atlas-{k}") for k in range(3)]
    page.mouse.move(*opened.at(7, "atlas-0"))
    page.locator(".map[data-run='0'] .tip .tile").wait_for()
    assert [opened.ink(f"atlas-{k}") != before[k] for k in range(3)] == [True] * 3
    assert page.locator(".tip:visible").count() == 1, "only the map under the pointer shows the image"
    page.mouse.move(5, 5)
    assert [opened.ink(f"atlas-{k}") for k in range(3)] == before


def test_clicking_an_image_shows_whom_each_run_puts_beside_it(show: Any) -> None:
    opened = show("compare")
    page = opened.page
    page.mouse.click(*opened.at(7, "atlas-1"))
    page.locator(".map[data-run='0'] .panel .near button").nth(7).wait_for()
    chosen = {p.inner_text() for p in page.locator(".panel .chosen p:last-child").all()}
    assert len(chosen) == 1, "all maps show the same image"
    assert page.locator(".panel .chosen").count() == 3
    page.locator("#atlas-1").press("Escape")
    assert page.locator(".panel .chosen").count() == 0


def test_one_set_of_controls_moves_all_maps(show: Any) -> None:
    opened = show("compare")
    page = opened.page
    before = [opened.ink(f"atlas-{k}") for k in range(3)]
    page.locator("input[value=cluster] + span").click()
    assert all(opened.ink(f"atlas-{k}") != before[k] for k in range(3))
    page.locator("input[value=label] + span").click()
    page.locator("[data-zoom='1.6']").click()
    assert all(opened.ink(f"atlas-{k}") != before[k] for k in range(3))
    page.locator("text=whole map").click()
    assert [opened.ink(f"atlas-{k}") for k in range(3)] == before


def test_runs_on_other_images_do_not_mark_one_another(show: Any) -> None:
    opened = show("mixed")
    before = opened.ink("atlas-1")
    opened.page.mouse.move(*opened.at(7, "atlas-0"))
    opened.page.locator(".map[data-run='0'] .tip .tile").wait_for()
    assert opened.ink("atlas-1") == before


def test_the_curves_of_a_comparison_tell_every_run(show: Any) -> None:
    page = show("compare").page
    chart = page.locator("#training svg.chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    told = page.locator("#training .readout").first.inner_text()
    assert all(name in told for name in ("full", "ill", "like"))
