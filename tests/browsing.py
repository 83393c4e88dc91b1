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


class Quiet(SimpleHTTPRequestHandler):
    """Hands out files and says nothing about it."""

    def log_message(self, *_):
        """Nobody reads what was asked for."""

    def do_GET(self):
        """A browser looks for an icon that no page speaks of."""
        if self.path == "/favicon.ico" and not os.path.exists(self.translate_path(self.path)):
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()


@contextmanager
def served(folder) -> Iterator[str]:
    """Address of a folder on a server of this process."""
    handler = partial(Quiet, directory=str(folder))
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
        opened = driver.chromium.launch(
            executable_path=path, args=[*chromium.FLAGS, *chromium.ALONE]
        )
        yield opened
        opened.close()
        _windows.clear()


_windows = {}
"""The one window of each browser: opening one costs more than any page, and what is loaded stays at hand."""


def window(browser):
    """The browser's window, empty."""
    if browser not in _windows:
        _windows[browser] = browser.new_context().new_page()
    return _windows[browser]


class Visit:
    """One page opened in the browser's window, with everything that went wrong."""

    def __init__(self, browser, address, page, width, height=900, scheme="light"):
        self.troubles: list[str] = []
        self.loaded: set[str] = set()
        self.browser, self.address = browser, address
        self.tab = window(browser)
        self.tab.set_viewport_size({"width": width, "height": height})
        self.tab.emulate_media(media="screen", color_scheme=scheme)
        self.heard = {
            "console": self._said,
            "dialog": self._asked,
            "pageerror": lambda error: self.troubles.append(f"script: {error}"),
            "request": self._requested,
            "requestfailed": lambda request: self.troubles.append(f"failed: {request.url}"),
            "response": self._answered,
        }
        for event, hear in self.heard.items():
            self.tab.on(event, hear)
        self.tab.goto(urljoin(address, page), wait_until="load")

    def _said(self, message):
        if message.type == "error":
            self.troubles.append(f"console: {message.text}")

    def _asked(self, dialog):
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request):
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.troubles.append(f"another host: {request.url}")

    def _answered(self, response):
        if response.url.startswith(self.address):
            self.loaded.add(response.url)
        if response.status >= 400:
            self.troubles.append(f"{response.status}: {response.url}")

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

    def __exit__(self, kind, *_):
        for event, hear in self.heard.items():
            self.tab.remove_listener(event, hear)
        if kind is None:
            self.tab.goto("about:blank")
        else:  # the next visit need not suffer from what went wrong here
            _windows.pop(self.browser).context.close()
