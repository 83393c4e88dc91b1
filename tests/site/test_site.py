"""Every page in a real browser, from a local server, with the network blocked: it loads, draws, fits and turns dark."""

import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urldefrag, urljoin

import pytest

from training_moat.press import building, notebooks, site
from training_moat.press.folders import ROOT

pytestmark = pytest.mark.slow
PAGES = [f"{page}.html" for page in notebooks.toc_pages()]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHARTS = """() => [...document.querySelectorAll('.moat-chart')].map(chart => ({
    id: chart.id, theme: chart.dataset.drawn || null, width: chart.clientWidth, inner: chart.querySelector('svg')?.getBoundingClientRect().width ?? 0,
    marks: chart.querySelectorAll('svg .mark-rect path, svg .mark-symbol path, svg .mark-line path, svg .mark-rule line, svg .mark-area path').length,
    words: chart.getAttribute('aria-label') || '',
}))"""


@pytest.fixture(scope="module")
def built():
    """The site, built when something has changed since."""
    return building.build().parent


@pytest.fixture(scope="module")
def address(built):
    handler = partial(SimpleHTTPRequestHandler, directory=str(built))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        reason = (
            "no Chromium on this machine; `apt-get install chromium` lets this test open every page"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """One page opened in a window of its own, with everything that went wrong."""

    def __init__(self, browser, address, page, width, height=900, scheme="light"):
        self.troubles: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.context.route("**/*", lambda route: self._local(route, address))
        self.tab = self.context.new_page()
        self.tab.on(
            "console",
            lambda message: (
                message.type == "error" and self.troubles.append(f"console: {message.text}")
            ),
        )
        self.tab.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        self.tab.on("requestfailed", lambda request: self.troubles.append(f"failed: {request.url}"))
        self.tab.on(
            "response",
            lambda response: (
                response.status >= 400
                and self.troubles.append(f"{response.status}: {response.url}")
            ),
        )
        self.tab.goto(urljoin(address, page), wait_until="load")

    def _local(self, route, address):
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            self.troubles.append(f"another host: {route.request.url}")
            route.abort()

    def charts(self, theme):
        """Charts of the page once all are drawn in a theme."""
        self.tab.wait_for_function(
            f"[...document.querySelectorAll('.moat-chart')].every(c => c.dataset.drawn === '{theme}')",
            timeout=20_000,
        )
        return self.tab.evaluate(CHARTS)

    def overflow(self):
        """Pixels by which the page is wider than the window."""
        return self.tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_without_a_network_and_draws_every_chart(browser, address, page):
    with Visit(browser, address, page, 1280) as visit:
        charts = visit.charts("light")
        assert visit.troubles == []
        assert visit.tab.locator(".bd-article h1").count() == 1
        for chart in charts:
            assert chart["marks"] > 0 and chart["words"], chart
            assert chart["inner"] <= chart["width"] + 2, chart
        assert visit.overflow() <= 0
        hidden = visit.tab.evaluate(
            "[...document.querySelectorAll('img.moat-print')].every(image => image.offsetParent === null)"
        )
        assert hidden, "the PNG twins are for paper only"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone_in_the_dark(browser, address, page):
    with Visit(browser, address, page, 390, 844, "dark") as visit:
        charts = visit.charts("dark")
        assert visit.troubles == []
        assert visit.overflow() <= 0
        assert all(chart["inner"] <= chart["width"] + 2 for chart in charts), charts


def test_charts_follow_the_theme_switch(browser, address):
    page = next(page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists())
    with Visit(browser, address, page, 1280) as visit:
        assert visit.charts("light")
        visit.tab.evaluate("document.documentElement.dataset.theme = 'dark'")
        assert visit.charts("dark")
        assert visit.troubles == []


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_book_lead_somewhere(browser, address, built, page):
    with Visit(browser, address, page, 1280) as visit:
        links = visit.tab.evaluate(
            "[...document.querySelectorAll('a[href]')].map(link => link.href)"
        )
    for link in {link for link in links if link.startswith(address)}:
        target, anchor = urldefrag(link.removeprefix(address))
        file = built / target.split("?")[0]
        assert file.is_file() or (file / "index.html").is_file(), link
        if anchor and file.suffix == ".html":
            assert f'id="{anchor}"' in file.read_text(encoding="utf-8"), link


def test_the_first_page_is_the_verdict(built):
    assert "chapters/verdict.html" in (built / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_host(built):
    assert site.other_hosts(built) == []
