"""Every page in a real browser, from a local server, with the network blocked: it loads, draws, fits and turns dark."""

import gzip
from functools import cache
from types import SimpleNamespace
from urllib.parse import urldefrag

import pytest
from browsing import Visit, served

from training_moat.press import building, notebooks, site
from training_moat.press.folders import ROOT

pytestmark = pytest.mark.slow
PAGES = [f"{page}.html" for page in notebooks.toc_pages()]
NOTEBOOKS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists()]


@pytest.fixture(scope="module")
def built():
    """The site, built when something has changed since."""
    return building.build().parent


@pytest.fixture(scope="module")
def address(built):
    with served(built) as where:
        yield where


HIDDEN = (
    "[...document.querySelectorAll('img.moat-print')].every(image => image.offsetParent === null)"
)
PRINTED = """() => {
    const shown = element => element.getClientRects().length > 0;
    const wide = document.documentElement.clientWidth + 1;
    return {
        live: [...document.querySelectorAll('.moat-chart')].filter(shown).length,
        paper: [...document.querySelectorAll('img.moat-print')].filter(shown).length,
        figures: document.querySelectorAll('.moat-figure').length,
        folded: [...document.querySelectorAll('.moat-card dl')].filter(list => !list.checkVisibility()).length,
        cut: [...document.querySelectorAll('.moat-scroll td')].filter(cell => shown(cell) && cell.getBoundingClientRect().right > wide).length,
        beyond: [...document.querySelectorAll('.moat-equation, .bd-article pre')].filter(box => shown(box) && box.scrollWidth > box.clientWidth + 2).length,
        scrolling: [...document.querySelectorAll('.moat-scroll')].filter(box => box.scrollHeight > box.clientHeight + 2 && getComputedStyle(box).overflowY !== 'visible').length,
    };
}"""
HIDDEN_COLUMNS = """() => [...document.querySelectorAll('.moat-scroll')]
    .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.getAttribute('aria-label'))"""
CROWDED = r"""() => [...document.querySelectorAll('.moat-chart')].filter(chart => [...chart.querySelectorAll('.role-axis-label')].some(axis => {
    const upright = [...axis.querySelectorAll('text')].filter(word => word.textContent && !/rotate\((?!0\))/.test(word.getAttribute('transform')) && getComputedStyle(word).opacity !== '0');
    const boxes = upright.map(word => word.getBoundingClientRect());
    return boxes.some((one, place) => boxes.slice(place + 1).some(other => Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1
        && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 3));
})).map(chart => chart.id)"""
"""Charts of which two labels of an axis lie on each other."""
SHORTENED = """[...document.querySelectorAll('.role-axis-title text, .role-legend-label text')]
    .map(words => words.textContent).filter(words => words.endsWith('…'))"""
"""Titles of axes and names of colours that a narrow chart cuts."""
LINKS = "[...document.querySelectorAll('a[href]')].map(link => link.href)"


@pytest.fixture(scope="module")
def seen(browser, address):
    """What a page shows on a desk, looked at once for all who ask."""

    @cache
    def look(page):
        with Visit(browser, address, page, 1400) as visit:
            charts = visit.charts("light")
            found = SimpleNamespace(
                charts=charts,
                troubles=list(visit.troubles),
                titles=visit.tab.locator(".bd-article h1").count(),
                overflow=visit.overflow(),
                hidden_columns=visit.tab.evaluate(HIDDEN_COLUMNS),
                crowded=visit.tab.evaluate(CROWDED),
                twins_hidden=visit.tab.evaluate(HIDDEN),
                links=visit.tab.evaluate(LINKS),
                loaded={request.removeprefix(address).split("?")[0] for request in visit.loaded},
            )
            visit.tab.set_viewport_size({"width": 1100, "height": 900})  # no margin beside the page
            found.narrow_overflow = visit.overflow()
            visit.tab.set_viewport_size({"width": 700, "height": 900})  # A4 without its margins
            visit.tab.emulate_media(media="print")
            found.printed = visit.tab.evaluate(PRINTED)
            return found

    return look


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_without_a_network_and_draws_every_chart(seen, page):
    found = seen(page)
    assert found.troubles == []
    assert found.titles == 1
    for chart in found.charts:
        assert chart["marks"] > 0, chart
        assert len(chart["words"]) >= 40, (
            "a chart tells its finding, not what its renderer calls it"
        )
        assert chart["inner"] <= chart["width"] + 2, chart
    assert found.overflow <= 0 and found.narrow_overflow <= 0
    assert found.hidden_columns == [], "these tables go on behind the edge of a desk's window"
    assert found.crowded == [], "labels of these charts lie on each other"
    assert found.twins_hidden, "the PNG twins are for paper only"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone_in_the_dark(browser, address, page):
    with Visit(browser, address, page, 390, 844, "dark") as visit:
        charts = visit.charts("dark")
        assert visit.troubles == []
        assert visit.overflow() <= 0
        assert all(chart["inner"] <= chart["width"] + 2 for chart in charts), charts
        assert visit.tab.evaluate(SHORTENED) == []


@pytest.mark.parametrize("page", PAGES)
def test_paper_shows_each_figure_once_opens_the_cards_and_cuts_nothing(seen, page):
    figures = seen(page).printed["figures"]
    expected = {"live": 0, "paper": figures, "folded": 0, "cut": 0, "beyond": 0, "scrolling": 0}
    assert seen(page).printed == expected | {"figures": figures}


@cache
def packed(file):
    """Bytes of a file as a server would send it."""
    return len(gzip.compress(file.read_bytes(), 6))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_weighs_less_than_a_megabyte(seen, built, page):
    loaded = seen(page).loaded
    names = {name.rsplit("/", 1)[-1] for name in loaded}
    assert ("vega-bundle.js" in names) == (
        "data-chart=" in (built / page).read_text(encoding="utf-8")
    )
    assert sum(packed(built / name) for name in loaded) < 1_000_000


def test_a_figure_can_be_taken_away(browser, address):
    page = NOTEBOOKS[0]
    chapter = page.split("/")[-1].removesuffix(".html")
    with Visit(browser, address, page, 1400) as visit:
        visit.charts("light")
        for form, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
            button = visit.tab.get_by_role("button", name=f"{form.upper()} of figure 1").first
            with visit.tab.expect_download() as waiting:
                button.click()
            assert waiting.value.suggested_filename.endswith(f"-figure-1.{form}")
            assert waiting.value.suggested_filename.startswith(chapter)
            assert waiting.value.path().read_bytes().startswith(start)
        names = visit.tab.evaluate(
            "[...document.querySelectorAll('.moat-download')].map(a => a.download)"
        )
        assert names and all(name.startswith(f"{chapter}-") for name in names)
        assert visit.tab.locator("#figure-1 .moat-here").get_attribute("href") == "#figure-1"
        assert visit.troubles == []


def test_a_mark_opens_the_source_of_its_row(browser, address):
    with Visit(browser, address, "chapters/history.html", 1280) as visit:
        visit.charts("light")
        visit.tab.evaluate("window.open = place => { window.asked = place; }")
        dot = visit.tab.locator(".moat-chart .mark-symbol path").first
        dot.scroll_into_view_if_needed()
        dot.click(force=True)
        asked = visit.tab.evaluate("window.asked || ''")
        listed = visit.tab.evaluate(
            "[...document.querySelectorAll('.moat-figure .moat-outside')].map(link => link.href)"
        )
        assert asked.startswith("http") and asked in listed


def test_a_link_to_a_source_opens_the_list_of_its_kind(browser, address):
    with Visit(browser, address, "chapters/references.html#source-brown2020", 1280) as visit:
        shown = visit.tab.locator("#source-brown2020")
        shown.wait_for(state="visible")
        assert visit.tab.locator("details[open]").count() == 1
        assert visit.tab.evaluate("document.documentElement.scrollHeight") < 15_000


def test_a_search_finds_places(browser, address):
    with Visit(browser, address, "search.html?q=how+many+chips+hold", 1280) as visit:
        first = visit.tab.locator("#search-results li a")
        first.first.wait_for()
        found = [
            link.split(address)[1] for link in first.evaluate_all("all => all.map(a => a.href)")
        ]
        assert found[0] == "chapters/memory.html"
        assert "chapters/memory.html#how-many-chips-hold-it" in found[:4]
        assert visit.troubles == []


def test_without_a_server_the_plain_search_answers(browser, built):
    with Visit(browser, f"file://{built}/", "search.html?q=wafer", 1280) as visit:
        visit.tab.locator("#search-results li a").first.wait_for()


def test_the_site_says_what_it_is(built):
    text = (built / PAGES[0]).read_text(encoding="utf-8")
    for tag in ('name="description"', 'property="og:title"', 'property="og:description"'):
        assert tag in text
    assert (built / "404.html").is_file() and (built / "robots.txt").is_file()
    assert (built / "index.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(built.rglob("*.map")) == []


def test_charts_follow_the_width_of_their_column(browser, address):
    with Visit(browser, address, NOTEBOOKS[0], 1280) as visit:
        visit.charts("light")
        visit.tab.evaluate("document.querySelector('.moat-chart').style.width = '300px'")
        visit.tab.wait_for_function(
            "document.querySelector('.moat-chart svg').getBoundingClientRect().width <= 302"
            " && document.querySelector('.moat-chart').dataset.width === '300'"
        )


def test_charts_follow_the_theme_switch(browser, address):
    with Visit(browser, address, NOTEBOOKS[0], 1280) as visit:
        assert visit.charts("light")
        visit.tab.evaluate("document.documentElement.dataset.theme = 'dark'")
        assert visit.charts("dark")
        assert visit.troubles == []


@cache
def text_of(file):
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_book_lead_somewhere(seen, address, built, page):
    for link in {link for link in seen(page).links if link.startswith(address)}:
        target, anchor = urldefrag(link.removeprefix(address))
        file = built / target.split("?")[0]
        assert file.is_file() or (file / "index.html").is_file(), link
        if anchor and file.suffix == ".html":
            assert f'id="{anchor}"' in text_of(file), link


def test_the_first_page_is_the_verdict(built):
    assert "chapters/verdict.html" in (built / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_host(built):
    assert site.other_hosts(built) == []
