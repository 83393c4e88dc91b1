"""Fixtures that several test folders share."""

from browsing import browser  # noqa: F401
from hypothesis import settings
from small_book import small_book  # noqa: F401

# How long an example takes says nothing on a shared machine, and the same examples are tried everywhere.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")
