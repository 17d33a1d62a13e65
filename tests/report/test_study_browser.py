"""The page of a study in headless Chromium: silent, nothing overflows, and it tells what stands under the pointer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoint.report.study import write_study
from counterpoint.report.tables import write_tables

from .made_study import bare, rich
from .test_browser import Opened

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = [1280, 390]
SCHEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made: dict[str, Path] = {}
    for name, make in (("rich", rich), ("bare", bare)):
        folder = tmp_path_factory.mktemp(name)
        study, results, decisions = make(folder)
        write_tables(folder, study.sections(results))
        command = "counterpoint study hyperseparability --source mnist --root data/mnist --seeds 5 --scale full"
        facts = {"machine": "2 cores"}
        made[name] = write_study(folder / "study.html", study, results, decisions, command=command, facts=facts)
    return made


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    opened: list[Opened] = []

    def one(name: str, **options: Any) -> Any:
        opened.append(Opened(browser, pages[name], **options))
        return opened[-1].page

    yield one
    for each in opened:
        each.context.close()
        assert each.said == [], f"the console says {each.said}"
        assert len([url for url in each.asked if not url.startswith("data:")]) == 1, each.asked


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["rich", "bare"])
def test_nothing_overflows(show: Any, name: str, width: int, scheme: str) -> None:
    page = show(name, width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    out = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg, .sr"))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 90))"""
    )
    assert out == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_written_can_be_read(show: Any, scheme: str) -> None:
    """Contrast of at least 4.5 to 1 between every mark of a verdict, or value in a matrix, and what lies below it."""
    page = show("rich", scheme=scheme)
    low = page.evaluate(
        """() => {
            const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => {
                const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * x + 0.7152 * y + 0.0722 * z;
            };
            const ratio = (a, b) => {
                const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
                return (x + 0.05) / (y + 0.05);
            };
            const paper = rgb(getComputedStyle(document.body).backgroundColor);
            const poor = [];
            const texts = ".stamp, .said, .fine, .rows td, .rows th, figcaption p, .key-row li";
            for (const e of document.querySelectorAll(texts)) {
                const seen = ratio(rgb(getComputedStyle(e).color), paper);
                if (seen < 4.5) poor.push([e.className || e.tagName, seen]);
            }
            for (const svg of document.querySelectorAll("svg.shades")) {
                const cells = [...svg.querySelectorAll("path")];
                for (const text of svg.querySelectorAll("text:not(.side):not(.head)")) {
                    const box = text.getBBox();
                    const at = svg.createSVGPoint();
                    [at.x, at.y] = [box.x + box.width / 2, box.y + box.height / 2];
                    const cell = cells.find(path => path.isPointInFill(at));
                    if (!cell) continue;
                    const style = getComputedStyle(cell);
                    const [ink, share] = [rgb(style.fill), Number(style.fillOpacity)];
                    const ground = ink.slice(0, 3).map((v, i) => v * share + paper[i] * (1 - share));
                    const seen = ratio(rgb(getComputedStyle(text).fill), ground);
                    if (seen < 4.5) poor.push([text.textContent, share, seen]);
                }
            }
            return poor;
        }"""
    )
    assert low == []


def told(page: Any, figure: str, x: float, y: float) -> str:
    """What a figure says of a place, given as shares of its width and height."""
    svg = page.locator(f"figure:has(h3:text-is('{figure}')) svg.chart").first
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
    return page.locator(f"figure:has(h3:text-is('{figure}')) .readout").first.inner_text()


def test_figures_tell_what_is_under_the_pointer(show: Any) -> None:
    page = show("rich")
    assert "0.0 % to 0.3 %" in told(page, "Contrastive, MNIST", 0.13, 0.6)
    assert told(page, "Strength of the distortion", 0.2, 0.3).startswith("σ = 2 → α = 8\n3.1")
    assert "triplet margin · SimCLR · CIFAR-10" in told(page, "Accuracy of the twelve cells", 0.3, 0.94)
    page.mouse.move(2, 2)
    assert page.locator(".readout:visible").count() == 0


def test_a_point_tells_its_name_and_group(show: Any) -> None:
    page = show("rich")
    figure = "cosine embedding · SimCLR · MNIST"
    svg = f"figure:has(h3:text-is('{figure}')) svg.chart"
    x, y = page.evaluate(
        """() => {
            const svg = [...document.querySelectorAll("figure")].find(f => f.querySelector("h3").textContent ===
                "cosine embedding · SimCLR · MNIST").querySelector("svg");
            const found = svg.querySelector("path[data-series='6']").getAttribute("d").match(/M(\\d+) (\\d+)/);
            return [found[1] / svg.viewBox.baseVal.width, found[2] / svg.viewBox.baseVal.height];
        }"""
    )
    assert told(page, figure, x, y).endswith("\n6")
    page.mouse.move(2, 2)
    assert page.locator(svg).count() == 1


def test_a_legend_shows_one_group_alone_in_all_maps_by_key(show: Any) -> None:
    page = show("rich")
    button = page.locator(".shared .chooses button").nth(3)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    maps = page.locator(".gallery:has(.shared .chooses)").first
    assert maps.locator("path[data-series]:not(.away)").count() == 6
    assert maps.locator("path.away").count() == 54
    page.keyboard.press("Enter")
    assert maps.locator(".away").count() == 0


def test_a_claim_is_reached_from_the_strip(show: Any) -> None:
    page = show("rich")
    page.locator(".strip a").nth(2).press("Enter")
    assert page.evaluate("document.querySelector('.claims tr:target').id") == "claim-elastic"


def test_headings_of_a_long_table_stay_in_sight(show: Any) -> None:
    page = show("rich", width=390)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    frame = page.locator("#verdicts-2 .framed")
    frame.scroll_into_view_if_needed()
    frame.evaluate("e => e.scrollTo(80, 900)")
    top, left = frame.evaluate("e => [e.getBoundingClientRect().top, e.getBoundingClientRect().left]")
    assert frame.locator("thead th").nth(1).evaluate("e => e.getBoundingClientRect().top") == pytest.approx(top, abs=1)
    first = frame.locator("tbody th").nth(40).evaluate("e => e.getBoundingClientRect().left")
    assert first == pytest.approx(left, abs=1)


def test_on_paper_everything_is_open(show: Any) -> None:
    page = show("rich")
    assert page.locator("details[open]").count() == 0
    page.emulate_media(media="print")
    page.pdf()
    assert page.locator("details:not([open])").count() == 0
