"""Where this machine's Chromium is, and how it is started without a window, a network of its own or a sandbox."""

from __future__ import annotations

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ALONE = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
"""Besides: no host but this machine is found."""


def path() -> str | None:
    """The program, or None where none is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)
