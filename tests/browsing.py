"""A real browser with the network blocked, and a local server for what it opens."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import chromium
import pytest

CHARTS = """() => [...document.querySelectorAll('.moat-chart')].map(chart => ({
    id: chart.id, theme: chart.dataset.drawn || null, width: chart.clientWidth, inner: chart.querySelector('svg')?.getBoundingClientRect().width ?? 0,
    marks: chart.querySelectorAll('svg .mark-rect path, svg .mark-symbol path, svg .mark-line path, svg .mark-rule line, svg .mark-area path').length,
    words: chart.getAttribute('aria-label') || '',
}))"""


@contextmanager
def served(folder) -> Iterator[str]:
    """Address of a folder on a server of this process."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    path = chromium.path()
    if path is None:
        reason = (
            "no Chromium on this machine; `apt-get install chromium` lets this test open every page"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield opened
        opened.close()


class Visit:
    """One page opened in a window of its own, with everything that went wrong."""

    def __init__(self, browser, address, page, width, height=900, scheme="light"):
        self.troubles: list[str] = []
        self.loaded: set[str] = set()
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
            lambda response: response.url.startswith(address) and self.loaded.add(response.url),
        )
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
